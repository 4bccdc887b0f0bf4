"""What is known of a network before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.weights.sources import WeightSource


@dataclass(frozen=True)
class ModelSpec:
    """A network: how it is built, where its weights come from, how it wants its photos, its classes."""

    name: str
    title: str
    summary: str
    """One sentence for the list of models."""
    build: Callable[[], nn.Module]
    source: WeightSource
    labels: Callable[[], list[str]]
    preprocess: Preprocess
    reference: str
    default_layers: tuple[str, ...] | None = None
    """The stages explained by default, input to output; found in the network if None."""
    presets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Published layer weights: title -> layer -> weight."""
    by_position: bool = False
    """Whether the checkpoint has the same tensors in the same order under other names."""

    @property
    def embedded(self) -> bool:
        """Whether the weights are part of the installation."""
        return self.source.download_bytes is None

    @property
    def download_bytes(self) -> int | None:
        """Size of the download, None when nothing is fetched."""
        return self.source.download_bytes
