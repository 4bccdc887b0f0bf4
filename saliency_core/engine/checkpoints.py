"""Checkpoints that sessions bring, as plain data: an engine reads the files, wherever it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint looks like."""

    tensors: int
    """How many tensors it holds."""
    fitting: tuple[str, ...]
    """Names of the models offered first whose architecture it fits."""


@dataclass(frozen=True)
class CheckpointModel:
    """A checkpoint with the architecture it belongs to."""

    name: str
    """The model's name, which begins with ``own:``."""
    title: str
    file: Path
    """Where it lies, for the engine as for its host; it stays there as long as the model is offered."""
    architecture: str
    """A model's name, of which the network alone counts."""
    labels: Path | None = None
    """The file with the names of the classes; None for those of the architecture, or numbers."""
