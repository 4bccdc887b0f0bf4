"""What an engine says of itself to the operator: no photo, no file name, no session's name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelStatus:
    """A network in memory: its name, its bytes, and how many computations use it now."""

    name: str
    bytes: int
    users: int


@dataclass(frozen=True)
class StoreStatus:
    """A bounded store: what it holds, its bound, and how often what was asked for was there.

    ``size`` and ``max_size`` are bytes or, if ``counted``, entries.
    """

    name: str
    entries: int
    size: int
    max_size: int
    hits: int = 0
    misses: int = 0
    counted: bool = False


@dataclass(frozen=True)
class QueueStatus:
    """Tasks that wait and run, and how many may wait."""

    name: str
    waiting: int
    running: int
    max_waiting: int


@dataclass(frozen=True)
class Histogram:
    """Seconds, counted: ``counts[i]`` of them are at most ``bounds[i]``, the last count is of all others."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True)
class LoggedError:
    """An error not meant for users, as in the log: its id, when (Unix seconds), where, and its type."""

    id: str
    time: float
    context: str
    kind: str


@dataclass(frozen=True)
class EngineStatus:
    """An engine at one moment. ``waited`` and ``computed`` are seconds per explanation that was computed."""

    kind: str
    """``"local"`` or ``"ray"``."""
    device: str
    models: tuple[ModelStatus, ...]
    stores: tuple[StoreStatus, ...]
    queues: tuple[QueueStatus, ...]
    waited: Histogram
    computed: Histogram
    refused: int
    """Requests that were answered with "busy"."""
    dropped: int
    """Requests that nobody wanted any more when their turn came."""
    errors: tuple[LoggedError, ...]
    """The newest last."""
