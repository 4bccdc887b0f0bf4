"""What a host can ask of an engine, wherever it computes: in this process or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import Image

from saliency_core.engine.checkpoints import CheckpointFacts, CheckpointModel
from saliency_core.engine.evaluations import EvaluationRequest
from saliency_core.engine.priorities import Priority
from saliency_core.engine.request import ExplainRequest, FolderEntry, ModelInfo, ModelListing
from saliency_core.engine.status import EngineStatus
from saliency_core.engine.tasks import Task
from saliency_core.explanation import Explanation
from saliency_core.progress import ProgressCallback

Result = TypeVar("Result")
Answer = TypeVar("Answer")


class ExplainEngine(Protocol):
    """Answers requests for all sessions. Safe to call from many threads."""

    def models(self) -> tuple[ModelListing, ...]:
        """The models that are offered first, in the order of the list; others are found with ``search``."""

    def search(self, query: str, limit: int = 50) -> tuple[ModelListing, ...]:
        """The models in whose names every word of the query occurs, the best matches first, without details.

        An empty query gives the models that are offered first. Fast: no model is built.
        """

    def listing(self, name: str) -> ModelListing:
        """One model with its details, which may have to be built without weights for it.

        Raises:
            UnknownNameError: no model has this name.
        """

    def title(self, name: str) -> str:
        """The title of a model; no model is built for it.

        Raises:
            UnknownNameError: no model has this name.
        """

    def near(self, name: str, most: int = 3) -> tuple[str, ...]:
        """Names like one that no model has, the likeliest first."""

    def folder(self) -> tuple[FolderEntry, ...]:
        """What is in the folder of models of the machine that computes, by name."""

    def describe_checkpoint(self, file: Path) -> CheckpointFacts:
        """What a checkpoint looks like. The file must lie where the engine can read it.

        Raises:
            WeightsError: it cannot be read safely.
        """

    def add_model(self, model: CheckpointModel) -> None:
        """Offer a model of one session's own, to whoever knows its name, once it has been read and fits.

        It is in no list. When there are too many, the one used least recently is removed.

        Raises:
            UnknownNameError: no such architecture.
            WeightsError: the file cannot be read safely, or does not fit.
            ArgumentError: a name that does not begin with ``own:``, or a wrong number of labels.
        """

    def remove_model(self, name: str) -> None:
        """Forget a model that was added, if it is here: its network, and its answers."""

    def model_info(self, name: str) -> ModelInfo:
        """Labels, layers and unavailable methods of a model, which is loaded first if it has to be."""

    def load(self, name: str) -> Task[ModelInfo]:
        """Load a model in the background, fetching its weights if needed; never blocks.

        Sessions that ask for the same model share one task. After a failure the next call starts again. The
        task of a model that was loaded before is done, also if its network had to leave the memory since: it
        comes back with the next explanation that is not known yet.

        The unit is bytes: those received of the download. Once all of them are here, in ``done`` as in
        ``total``, the network is being built.
        """

    def explain(self, request: ExplainRequest, image: Image.Image) -> Explanation:
        """The answer to a request, from the cache or computed now.

        Raises:
            SaliencyError: as :func:`saliency_core.explain` and :func:`saliency_core.load_classifier`.
        """

    def submit(
        self,
        request: ExplainRequest,
        image: Image.Image,
        *,
        title: str = "",
        session: Hashable = None,
        priority: Priority = Priority.SCREEN,
    ) -> Task[Explanation]:
        """The answer to a request as a task; never blocks.

        Equal requests share one task, and a cached answer gives a task that is done. ``title`` says what is
        computed, in words; ``session`` for whom, so that no session keeps others waiting: any hashable, never
        logged. A request with many-pass methods has their ``priority`` whatever it is given.
        """

    def submit_evaluation(
        self,
        request: EvaluationRequest[Answer],
        image: Image.Image | None = None,
        *,
        title: str = "",
        session: Hashable = None,
        priority: Priority = Priority.SWEEP,
    ) -> Task[Answer]:
        """An evaluation of maps as a task; never blocks. As with ``submit``, equal ones share one task."""

    def partial_evaluation(self, request: EvaluationRequest[Answer]) -> Answer | None:
        """The answer to an evaluation under way as far as it is known; None before, and once it has ended."""

    def run(
        self,
        key: Hashable,
        compute: Callable[[ProgressCallback], Result],
        *,
        title: str,
        total: int,
        unit: str = "passes",
        short: bool = False,
        session: Hashable = None,
        priority: Priority = Priority.SWEEP,
    ) -> Task[Result]:
        """Any other computation in the background, made of this engine's answers; one task per key.

        ``short``: it takes about a second, so it does not wait behind long tasks; ``session`` and
        ``priority`` as for ``submit``.
        """

    def status(self) -> EngineStatus:
        """What the operator may know of it: models, stores, queues, waits, errors; fast, never blocks."""
