"""What a client sends to a replica, and what the replica sends back while it computes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from saliency_core.engine.checkpoints import CheckpointModel
from saliency_core.engine.evaluations import EvaluationRequest
from saliency_core.engine.priorities import Priority
from saliency_core.engine.request import ExplainRequest
from saliency_core.errors import SaliencyError
from saliency_core.version import VERSION


class Call(StrEnum):
    """What an order asks for: a method of the engine."""

    LOAD = "load"
    EXPLAIN = "explain"
    EVALUATE = "evaluate"


@dataclass(frozen=True)
class Order:
    """One call of a replica, whose photo travels beside it."""

    call: Call
    model: str
    request: ExplainRequest | EvaluationRequest[Any] | None = None
    title: str = ""
    session: Hashable = None
    priority: Priority = Priority.SCREEN
    own: CheckpointModel | None = None
    """A model that one session has brought, which the replica may not know yet."""
    version: str = VERSION


@dataclass(frozen=True)
class Progress:
    """How far the computation is."""

    done: int
    total: int


@dataclass(frozen=True)
class Partial:
    """The answer to an evaluation as far as it is known."""

    answer: Any


@dataclass(frozen=True)
class Answered:
    """The answer. `weights` identifies the weights that it was computed with, if it may be kept."""

    answer: Any
    weights: str | None


@dataclass(frozen=True)
class Failed:
    """Why there is no answer."""

    error: SaliencyError


Message = Progress | Partial | Answered | Failed


class ReplicaError(SaliencyError):
    """An error of a replica that nobody expected: the sentence names its entry in the replica's log."""
