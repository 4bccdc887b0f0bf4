"""What a host can ask of an engine, wherever it computes: in this process or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from PIL import Image

from saliency_core.engine.request import ExplainRequest, ModelInfo, ModelListing
from saliency_core.engine.tasks import Task
from saliency_core.explain import Explanation
from saliency_core.progress import ProgressCallback

Result = TypeVar("Result")


class ExplainEngine(Protocol):
    """Answers requests for all sessions. Safe to call from many threads."""

    def models(self) -> tuple[ModelListing, ...]:
        """The models that can be asked for, in the order of the list."""

    def model_info(self, name: str) -> ModelInfo:
        """Labels, layers and unavailable methods of a model, which is loaded first if it has to be."""

    def load(self, name: str) -> Task[ModelInfo]:
        """Load a model in the background, fetching its weights if needed; never blocks.

        Sessions that ask for the same model share one task. After a failure the next call starts again.
        """

    def explain(self, request: ExplainRequest, image: Image.Image) -> Explanation:
        """The answer to a request, from the cache or computed now.

        Raises:
            SaliencyError: as :func:`saliency_core.explain` and :func:`saliency_core.load_classifier`.
        """

    def submit(self, request: ExplainRequest, image: Image.Image, *, title: str = "") -> Task[Explanation]:
        """The answer to a request as a task; never blocks.

        Equal requests share one task, and a cached answer gives a task that is done. ``title`` says what is
        computed, in words.
        """

    def run(
        self,
        key: Hashable,
        compute: Callable[[ProgressCallback], Result],
        *,
        title: str,
        total: int,
        unit: str = "passes",
        short: bool = False,
    ) -> Task[Result]:
        """Any other computation in the background, made of this engine's answers; one task per key.

        ``short``: it takes about a second, so it does not wait behind long tasks.
        """
