"""A replica: a process of Ray Serve with the engine of one process, and the networks that it was asked for.

The engine's own bound on bytes decides which networks are in memory. Ray Serve's list of models says where
requests for a network go, so that not every replica loads it; a network that leaves the list leaves the
memory, and there is never a second copy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_core.engine.checkpoints import CheckpointModel
from saliency_core.engine.names import FOLDER
from saliency_core.engine.ray.answers import Answers
from saliency_core.engine.ray.connection import imported
from saliency_core.engine.ray.messages import (
    Answered,
    Call,
    Failed,
    Message,
    Order,
    Partial,
    Progress,
    ReplicaError,
)
from saliency_core.engine.ray.scale import Scale
from saliency_core.engine.request import ExplainRequest
from saliency_core.engine.status import EngineStatus
from saliency_core.engine.tasks import Task, TaskState
from saliency_core.errors import SaliencyError, UnavailableError, UnknownNameError
from saliency_core.version import VERSION

if TYPE_CHECKING:
    from saliency_core.engine.local import Engine
    from saliency_core.models.catalogue.spec import ModelSpec

serve = imported("serve").serve

CACHE_BYTES = 128 << 20
"""Of each replica, so that an evaluation finds its explanations; all answers are in the shared store."""
MAX_MODELS = 8
"""Networks for which requests are sent to one replica, beside the default one, which all of them have."""
MAX_BATCH = 16
BATCH_SECONDS = 0.004
"""How long a replica on a GPU waits for requests that it can compute together with the first."""
TELL_SECONDS = 0.1
"""How often the progress is sent."""
UNFINISHED = "This machine has stopped computing. Try again."


class Replica:
    """Answers orders with an engine of its own.

    Args:
        scale: the device and the threads.
        models: the models offered, the catalogue if None.
    """

    def __init__(self, scale: Scale, models: Mapping[str, ModelSpec] | None = None) -> None:
        # Only in the replica itself: whoever starts the deployment needs no PyTorch.
        import torch

        from saliency_core.engine.local import Engine

        torch.set_num_threads(scale.threads)
        self.engine = Engine(scale.device, CACHE_BYTES, models=models)
        self._answers = Answers()
        self._on_cpu = self.engine.device.type == "cpu"

    def check_health(self) -> None:
        """Called by Ray Serve: a replica whose GPU has failed is replaced."""
        if self.engine.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.engine.device)

    def status(self) -> EngineStatus:
        """What the operator may know of it."""
        return self.engine.status()

    def ask(self, own: CheckpointModel | None, method: str, *arguments: Any) -> Any:
        """What a method of the engine returns that takes little time, or why it failed.

        Args:
            own: a model that one session has brought and this replica may not know yet.
            method: its name.
            arguments: for the method.
        """
        try:
            if own is not None:
                self._adopt(own)
            return getattr(self.engine, method)(*arguments)
        except SaliencyError as error:
            return Failed(error)

    async def answer(self, order: Order, photo: NDArray[np.uint8] | None = None) -> AsyncIterator[Message]:
        """Compute, and say how far it is on the way. The last message has the answer, or why there is none.

        Args:
            order: what is asked for.
            photo: its pixels (H, W, 3), if it is about one.
        """
        if order.version != VERSION:
            sentence = f"the cluster has normgrad-studio {VERSION}, and it was asked by {order.version}"
            yield Failed(UnavailableError(f"{sentence}; install the same version everywhere"))
            return
        if serve.get_multiplexed_model_id():
            await self._routed()
        if order.own is not None:
            try:
                await asyncio.to_thread(self._adopt, order.own)
            except SaliencyError as error:
                yield Failed(error)
                return
        image = None if photo is None else Image.fromarray(photo)
        while True:
            task: Task[Any] = (
                self._submit(order, image) if self._on_cpu else await self._submitted((order, image))
            )
            task.hold()
            try:
                async for message in self._told(order, task):
                    yield message
            finally:
                task.release()  # also if the caller has cancelled it
            if task.state is not TaskState.CANCELLED:  # as it was by another who had asked for the same
                break
        last = self._end(order, task)
        yield last
        if photo is not None and isinstance(last, Answered) and last.weights is not None:
            self._keep(order.request, last.answer, last.weights)  # that of a photo set has a file

    def _adopt(self, own: CheckpointModel) -> None:
        """Know a model that one session has brought."""
        try:
            self.engine.title(own.name)
        except UnknownNameError:
            self.engine.add_model(own)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_SECONDS)  # type: ignore[untyped-decorator]
    async def _submitted(self, asked: Sequence[tuple[Order, Image.Image | None]]) -> list[Task[Any]]:
        """Hand on to the engine's queue what came at the same time, which it can compute together."""
        return [self._submit(order, image) for order, image in asked]

    def _submit(self, order: Order, image: Image.Image | None) -> Task[Any]:
        try:
            if order.call is Call.LOAD:
                return self.engine.load(order.model)
            common: dict[str, Any] = {
                "title": order.title,
                "session": order.session,
                "priority": order.priority,
            }
            request: Any = order.request
            if order.call is Call.EXPLAIN and image is not None:
                return self.engine.submit(request, image, **common)
            return self.engine.submit_evaluation(request, image, **common)
        except SaliencyError as error:
            return Task.refused(order.model, error)

    async def _told(self, order: Order, task: Task[Any]) -> AsyncIterator[Message]:
        """Progress and partial answers until the task has ended."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        task.when_ended(lambda: _call(loop, ended.set))
        told, last = (0, 0), None
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), TELL_SECONDS)
            if (now := (task.done, task.total)) != told:
                told = now
                yield Progress(*now)
            if order.call is Call.EVALUATE:
                partial: Any = self.engine.partial_evaluation(order.request)  # type: ignore[arg-type]
                if partial is not None and partial is not last:
                    last = partial
                    yield Partial(partial)

    def _end(self, order: Order, task: Task[Any]) -> Message:
        try:
            found = task.value()
        except SaliencyError as error:
            return Failed(error)
        except Exception:  # which the task has logged
            return Failed(ReplicaError(task.error or UNFINISHED))
        weights = self.engine.weights(order.model)
        if not isinstance(weights, str) or order.model.startswith(FOLDER):
            return Answered(found, None)  # its files may be replaced
        return Answered(found, weights)

    def _keep(self, asked: Any, found: Any, weights: str) -> None:
        """Keep an answer for everybody."""
        meant = replace(asked, target=found.target) if isinstance(asked, ExplainRequest) else asked
        self._answers.keep(asked.model, asked, meant, weights, found)

    @serve.multiplexed(max_num_models_per_replica=MAX_MODELS)  # type: ignore[untyped-decorator]
    async def _holds(self, model: str) -> _Held:
        return _Held(self.engine, model)

    async def _routed(self) -> None:
        """Have requests for the model of this one come here."""
        await self._holds(serve.get_multiplexed_model_id())


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the replica is shut down
        loop.call_soon_threadsafe(function)


class _Held:
    """A model in Ray Serve's list of those that requests come here for."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self._model = model

    def __del__(self) -> None:
        """Called by Ray Serve when the model leaves its list."""
        self._engine.loaded.remove(self._model)
