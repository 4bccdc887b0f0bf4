"""What an engine can be asked beside explanations: requests that compute their answers where the network is.

A request is a value that can be compared, hashed and sent. Equal ones have equal answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from PIL import Image

from saliency_core.engine.request import ExplainRequest
from saliency_core.explanation import Explanation
from saliency_core.progress import Lock, ProgressCallback

if TYPE_CHECKING:
    from saliency_core.models.classifier import Classifier

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Helpers(Generic[Answer]):
    """What an engine lends to a computation.

    `explain` answers a request on the same photo, from the engine's cache if it is there; `partial` is called
    with the answer as far as it is known, as often as that changes.
    """

    explain: Callable[[ExplainRequest], Explanation]
    progress: ProgressCallback
    lock: Lock
    partial: Callable[[Answer], None]


class EvaluationRequest(ABC, Generic[Answer]):
    """An evaluation of maps; equal ones have equal answers, whose ``nbytes`` says their size in memory."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the network that is needed."""

    @abstractmethod
    def compute(self, classifier: Classifier, image: Image.Image | None, helpers: Helpers[Answer]) -> Answer:
        """The answer. `image` is the photo that was sent with the request, if there was one."""
