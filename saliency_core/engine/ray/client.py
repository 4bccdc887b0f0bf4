"""The engine as a web process asks it on a Ray cluster: the same protocol, answered by replicas."""

from __future__ import annotations

import asyncio
import concurrent.futures
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from saliency_core.engine.cache import SharedCache
from saliency_core.engine.checkpoints import CheckpointFacts, CheckpointModel
from saliency_core.engine.evaluations import EvaluationRequest
from saliency_core.engine.names import FOLDER, FOREIGN, MAX_OWN_MODELS, OWN
from saliency_core.engine.priorities import Priority
from saliency_core.engine.queue import TaskQueue
from saliency_core.engine.ray import deployment
from saliency_core.engine.ray.answers import Answers
from saliency_core.engine.ray.connection import AUTO, connect, imported
from saliency_core.engine.ray.messages import Answered, Call, Failed, Message, Order, Partial, Progress
from saliency_core.engine.ray.photos import Photos
from saliency_core.engine.ray.scale import Scale
from saliency_core.engine.ray.sums import together
from saliency_core.engine.request import ExplainRequest, FolderEntry, ModelInfo, ModelListing, image_digest
from saliency_core.engine.status import EngineStatus, StoreStatus
from saliency_core.engine.tasks import Task
from saliency_core.errors import BusyError, UnavailableError, UnknownNameError
from saliency_core.explanation import Explanation
from saliency_core.models.catalogue.default import DEFAULT_MODEL
from saliency_core.progress import ProgressCallback, no_progress

CACHE_BYTES = 128 << 20
"""Of the answers that this process keeps beside the store of the cluster."""
MAX_KNOWN = 4096
MAX_INFOS = 32
WAITING_THREADS = 32
"""Threads that wait for answers about what is on the screen; they compute nothing."""
LONG_THREADS = 8
MAX_SCREEN, MAX_LONG = 256, 64
"""Tasks that may wait beside those that run."""
SESSION_SCREEN, SESSION_LONG, SESSION_AT_ONCE = 16, 8, 2
"""Tasks of one session: that may wait and run, of both kinds, and long ones that run while others wait."""
LOOK_SECONDS = 0.25
"""How often a thread that waits looks whether its task was cancelled."""
ASK_SECONDS = 30
LOST = (
    "The process that computed this was lost, and so was the one that tried it again. It may need more "
    "memory than there is: try a smaller photo or model."
)
BUSY = "Too many computations are waiting already. Try again in a minute."
NOT_THERE = "The machines that compute cannot be reached. Try again in a minute."

_Key = tuple[Any, str]
"""A request, and the weights that its answer was computed with."""
_Question = tuple[str, str, str, str]
"""Photo, model, fit and weights, which decide on the most likely class."""

Result = TypeVar("Result")
Answer = TypeVar("Answer")


class RayEngine:
    """The engine that asks the replicas of a Ray cluster. Safe to call from many threads.

    Args:
        address: of the cluster, ``"10.0.0.1:6379"``; ``"auto"`` takes the one that this machine belongs to,
            and starts Ray on this machine alone if there is none. The deployment is started if it does not
            run there yet.
        scale: of the deployment, if it is started; what suits the cluster if None.
        cache_bytes: bound of the answers that this process keeps.

    Raises:
        UnavailableError: Ray is not installed, no cluster is at the address, or no replica can be started.
    """

    def __init__(
        self, address: str = AUTO, *, scale: Scale | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._ray = imported("serve")
        connect(self._ray, address)
        self._handle = deployment.handle(self._ray) or deployment.deploy(
            self._ray, scale or Scale.fitting(self._ray)
        )
        self._streams = self._handle.options(stream=True).answer
        self._answers = Answers()
        self._photos = Photos(self._ray)
        self.cache: SharedCache[_Key, Any] = SharedCache(cache_bytes, lambda found: found.nbytes)
        self._weights: SharedCache[str, str] = SharedCache(MAX_KNOWN)
        self._likely: SharedCache[_Question, int] = SharedCache(MAX_KNOWN)
        self._infos: SharedCache[str, ModelInfo] = SharedCache(MAX_INFOS)
        self._titles: SharedCache[str, str] = SharedCache(MAX_KNOWN)
        self._own: OrderedDict[str, CheckpointModel] = OrderedDict()  # the least recently used first
        self._own_lock = threading.Lock()
        self._partial: dict[Any, Any] = {}
        self._process = secrets.token_hex(8)
        # Here sessions take their turns, so that few requests wait in Ray's own queue, which knows none.
        self._explaining = TaskQueue(WAITING_THREADS, MAX_SCREEN, max_ended=0, per_session=SESSION_SCREEN)
        self._background = TaskQueue(
            LONG_THREADS, MAX_LONG, max_ended=0, per_session=SESSION_LONG, at_once=SESSION_AT_ONCE
        )
        self._loading = TaskQueue(LONG_THREADS, MAX_LONG, max_ended=0)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="saliency-ray", daemon=True).start()

    # -- models ----------------------------------------------------------------------------------------------

    def models(self) -> tuple[ModelListing, ...]:
        """The models offered first; see :meth:`ExplainEngine.models`."""
        return self._ask("models")  # type: ignore[no-any-return]

    def search(self, query: str, limit: int = 50) -> tuple[ModelListing, ...]:
        """The models that a query finds; see :meth:`ExplainEngine.search`."""
        return self._ask("search", query, limit)  # type: ignore[no-any-return]

    def listing(self, name: str) -> ModelListing:
        """One model with its details; see :meth:`ExplainEngine.listing`."""
        return self._ask("listing", name, name=name)  # type: ignore[no-any-return]

    def title(self, name: str) -> str:
        """The title of a model; see :meth:`ExplainEngine.title`."""
        if name.startswith(FOLDER):  # whose files may change
            return self._ask("title", name)  # type: ignore[no-any-return]
        return self._titles.get(name, lambda: self._ask("title", name, name=name))

    def near(self, name: str, most: int = 3) -> tuple[str, ...]:
        """Names like one that no model has; see :meth:`ExplainEngine.near`."""
        return self._ask("near", name, most)  # type: ignore[no-any-return]

    def folder(self) -> tuple[FolderEntry, ...]:
        """What is in the folder of models of the replicas; see :meth:`ExplainEngine.folder`."""
        return self._ask("folder")  # type: ignore[no-any-return]

    def describe_checkpoint(self, file: Path) -> CheckpointFacts:
        """What a checkpoint looks like; see :meth:`ExplainEngine.describe_checkpoint`."""
        return self._ask("describe_checkpoint", file)  # type: ignore[no-any-return]

    def add_model(self, model: CheckpointModel) -> None:
        """Offer a model that one session has brought; see :meth:`ExplainEngine.add_model`.

        Its entry travels with every request for it; its files must have the same path on all machines.
        """
        self._ask("add_model", model)
        with self._own_lock:
            self._own.pop(model.name, None)
            oldest = [*self._own][: max(len(self._own) + 1 - MAX_OWN_MODELS, 0)]
            self._own[model.name] = model
        for name in oldest:
            self.remove_model(name)

    def remove_model(self, name: str) -> None:
        """Forget a model that was added; see :meth:`ExplainEngine.remove_model`."""
        with self._own_lock:
            known = self._own.pop(name, None)
        if known is None:
            return
        self.cache.drop_where(lambda key: key[0].model == name)
        self._weights.drop(name)
        self._infos.drop(name)
        self._titles.drop(name)
        self._likely.drop_where(lambda question: question[1] == name)
        self._answers.forget(name)
        self._asked(self._handle.broadcast("ask", None, "remove_model", name))

    def model_info(self, name: str) -> ModelInfo:
        """Labels, layers and unavailable methods of a model, which is loaded first if it has to be."""
        return self.load(name).value()

    def load(self, name: str) -> Task[ModelInfo]:
        """Load a model in the background; see :meth:`ExplainEngine.load`."""
        known = self._infos.peek(name)
        if known is not None:
            return Task.finished(name, known, title=known.title)

        def run(progress: ProgressCallback) -> ModelInfo:
            found = self._computed(Order(Call.LOAD, name, own=self._brought(name)), None, progress)
            info: ModelInfo = found.answer
            if found.weights is not None:
                self._infos.put(name, info)
                self._weights.put(name, found.weights)
            return info

        return self._loading.submit(name, run, title=name, unit="bytes", logged=f"Loading {name}")

    # -- answers ---------------------------------------------------------------------------------------------

    def explain(self, request: ExplainRequest, image: Image.Image) -> Explanation:
        """The answer to a request, from a cache or computed now; see :meth:`ExplainEngine.explain`."""
        return self._kept(request) or self._explained(request, image, no_progress)

    def submit(
        self,
        request: ExplainRequest,
        image: Image.Image,
        *,
        title: str = "",
        session: Hashable = None,
        priority: Priority = Priority.SCREEN,
    ) -> Task[Explanation]:
        """The answer as a task; see :meth:`ExplainEngine.submit`."""
        known = self._kept(request)
        if known is not None:
            return Task.finished(request, known, title=title)

        def run(progress: ProgressCallback) -> Explanation:
            return self._explained(
                request, image, progress, title=title, session=self._sent(session), priority=priority
            )

        return self._queue(priority).submit(
            request,
            run,
            title=title,
            session=session,
            priority=priority,
            logged=f"An explanation by {request.model}",
        )

    def submit_evaluation(
        self,
        request: EvaluationRequest[Answer],
        image: Image.Image | None = None,
        *,
        title: str = "",
        session: Hashable = None,
        priority: Priority = Priority.SWEEP,
    ) -> Task[Answer]:
        """An evaluation as a task; see :meth:`ExplainEngine.submit_evaluation`."""
        weights = self._weights.peek(request.model)
        known = None if weights is None else self.cache.peek((request, weights))
        if known is not None:
            return Task.finished(request, known, title=title)

        def run(progress: ProgressCallback) -> Answer:
            found = None if image is None else self._answers.peek(request.model, request)
            if found is None:
                order = Order(
                    Call.EVALUATE,
                    request.model,
                    request,
                    title=title,
                    session=self._sent(session),
                    priority=priority,
                    own=self._brought(request.model),
                )
                photo = None if image is None else self._photos.reference(image_digest(image), image)
                try:
                    found = self._computed(order, photo, progress)
                finally:
                    self._partial.pop(request, None)
            self._keep(request, found)
            answer: Answer = found.answer
            return answer

        return self._queue(priority).submit(
            request,
            run,
            title=title,
            session=session,
            priority=priority,
            logged=f"An evaluation of {request.model}",
        )

    def partial_evaluation(self, request: EvaluationRequest[Answer]) -> Answer | None:
        """An evaluation as far as it is known; see :meth:`ExplainEngine.partial_evaluation`."""
        return self._partial.get(request)

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
        """Any other computation in the background, in this process; see :meth:`ExplainEngine.run`."""
        queue = self._explaining if short else self._background
        return queue.submit(
            key, compute, title=title, total=total, unit=unit, session=session, priority=priority
        )

    def status(self) -> EngineStatus:
        """What the operator may know, of all replicas together; see :meth:`ExplainEngine.status`."""
        try:
            found = self._awaited(self._handle.broadcast("status"))
            replicas = [each for each in found if isinstance(each, EngineStatus)]
        except (self._ray.exceptions.RayError, self._ray.serve.exceptions.RayServeException, TimeoutError):
            replicas = []
        return together(
            replicas,
            stores=(
                StoreStatus("answers", len(self.cache), self.cache.size, self.cache.max_size),
                *filter(None, [self._answers.status()]),
            ),
            queues=(
                self._explaining.status("explaining"),
                self._loading.status("loading"),
                self._background.status("background"),
            ),
            refused=self._explaining.refused + self._background.refused,
            dropped=self._explaining.dropped + self._background.dropped,
        )

    def _sent(self, session: Hashable) -> str | None:
        """What stands for a session in a replica: the session itself need not be a value that can be sent."""
        return None if session is None else f"{self._process} {hash(session)}"

    def _queue(self, priority: Priority) -> TaskQueue:
        """Where a task waits: what is on the screen never waits for a thread behind a sweep."""
        return self._explaining if priority is Priority.SCREEN else self._background

    def _explained(
        self, request: ExplainRequest, image: Image.Image, progress: ProgressCallback, **options: Any
    ) -> Explanation:
        found = self._answers.peek(request.model, request)
        if found is None:
            order = Order(Call.EXPLAIN, request.model, request, own=self._brought(request.model), **options)
            found = self._computed(order, self._photos.reference(request.photo, image), progress)
        explanation: Explanation = found.answer
        target, weights = explanation.target, found.weights
        self._keep(replace(request, target=target), found)
        if weights is not None and target is not None and request.target is None and request.variant is None:
            self._likely.put(_question(request, weights), target)
        return explanation

    def _kept(self, request: ExplainRequest) -> Explanation | None:
        """The answer that this process keeps."""
        weights = self._weights.peek(request.model)
        if weights is None:
            return None
        if request.target is None:
            request = replace(request, target=self._likely.peek(_question(request, weights)))
        return self.cache.peek((request, weights))

    def _keep(self, request: ExplainRequest | EvaluationRequest[Any], found: Answered) -> None:
        if found.weights is not None:
            self._weights.put(request.model, found.weights)
            self.cache.put((request, found.weights), found.answer)

    # -- replicas --------------------------------------------------------------------------------------------

    def _brought(self, name: str) -> CheckpointModel | None:
        """The model that a session has brought, if it is one.

        Raises:
            UnknownNameError: it is not here.
        """
        if not name.startswith(OWN):
            return None
        with self._own_lock:
            if name not in self._own:
                raise UnknownNameError(FOREIGN)
            self._own.move_to_end(name)
            return self._own[name]

    def _ask(self, method: str, *arguments: Any, name: str = "") -> Any:
        """What a method of a replica's engine returns that takes little time.

        Raises:
            SaliencyError: what the method raises, or that no replica can be asked.
        """
        own = self._brought(name)
        found = self._tried(lambda: self._awaited(self._handle.ask.remote(own, method, *arguments)))
        if isinstance(found, Failed):
            raise found.error
        return found

    def _computed(self, order: Order, photo: Any, progress: ProgressCallback) -> Answered:
        """What a replica answers.

        Raises:
            Cancelled: `progress` raises it.
            SaliencyError: why there is no answer.
        """
        handle = self._streams
        if order.model != DEFAULT_MODEL:  # which every replica has
            handle = handle.options(multiplexed_model_id=order.model)
        return self._tried(lambda: self._streamed(handle.remote(order, photo), order, progress))

    def _streamed(self, response: Any, order: Order, progress: ProgressCallback) -> Answered:
        reported = 0, 0
        try:
            while True:
                following = asyncio.run_coroutine_threadsafe(_next(response), self._loop)
                while not concurrent.futures.wait([following], LOOK_SECONDS).done:
                    progress(*reported)  # raises if it was cancelled
                message = following.result()
                match message:
                    case Progress():
                        reported = message.done, message.total
                        progress(*reported)
                    case Partial():
                        self._partial[order.request] = message.answer
                    case Failed():
                        raise message.error
                    case Answered():
                        return message
        except BaseException:
            response.cancel()
            raise

    def _tried(self, call: Callable[[], Result]) -> Result:
        """What a call returns, which is tried once more if its replica is lost."""
        errors, refused = self._ray.exceptions, self._ray.serve.exceptions
        try:
            try:
                return call()
            except errors.RayActorError:
                return call()
        except errors.RayActorError as error:
            raise UnavailableError(LOST) from error
        except refused.BackPressureError as error:
            raise BusyError(BUSY) from error
        except (errors.RayError, refused.RayServeException) as error:
            raise UnavailableError(NOT_THERE) from error

    def _awaited(self, response: Any) -> Any:
        """The result of a call, also in a thread that runs an event loop, where Ray Serve refuses to wait."""
        return self._asked(response).result(ASK_SECONDS)

    def _asked(self, response: Any) -> concurrent.futures.Future[Any]:
        return asyncio.run_coroutine_threadsafe(_result(response), self._loop)


async def _result(response: Any) -> Any:
    if hasattr(response, "results_async"):  # of all replicas, some of which may be lost
        return await response.results_async(return_exceptions=True)
    return await response


async def _next(response: Any) -> Message:
    return await anext(response)


def _question(request: ExplainRequest, weights: str) -> _Question:
    return request.photo, request.model, request.fit, weights
