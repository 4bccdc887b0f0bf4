"""The engine of one process: models in memory up to a bound, answers cached, one computation per request."""

from __future__ import annotations

import contextlib
import difflib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from PIL import Image

from saliency_core.backprop.meta_step import MetaStep
from saliency_core.engine.batches import in_batches, usual_batch, within_memory
from saliency_core.engine.cache import SharedCache
from saliency_core.engine.checkpoints import CheckpointFacts, CheckpointModel
from saliency_core.engine.counters import Counters
from saliency_core.engine.evaluations import EvaluationRequest, Helpers
from saliency_core.engine.failures import last_errors
from saliency_core.engine.loaded import LoadedModel, LoadedModels
from saliency_core.engine.locks import FairLock
from saliency_core.engine.model_info import info_of
from saliency_core.engine.names import FOLDER, FOREIGN, MAX_OWN_MODELS, OWN
from saliency_core.engine.priorities import Asker, Priority, current_asker, on_behalf_of
from saliency_core.engine.queue import Joint, TaskQueue
from saliency_core.engine.request import (
    ExplainRequest,
    FolderEntry,
    ModelInfo,
    ModelListing,
    frozen_options,
    image_digest,
)
from saliency_core.engine.status import EngineStatus, StoreStatus
from saliency_core.engine.tasks import Task
from saliency_core.errors import ArgumentError, SaliencyError, UnknownNameError, WeightsError
from saliency_core.explain import explain, explain_many
from saliency_core.explanation import Explanation
from saliency_core.methods.method import MultiPass
from saliency_core.methods.passes import LARGE_BATCH, batch_limit
from saliency_core.methods.registry import METHODS
from saliency_core.models.catalogue.catalogue import MODELS, Catalogue
from saliency_core.models.catalogue.checkpoint_model import checkpoint_spec, fitting_architectures
from saliency_core.models.catalogue.default import DEFAULT_MODEL
from saliency_core.models.catalogue.folder import FolderProblem, folder_models
from saliency_core.models.catalogue.loading import build_classifier
from saliency_core.models.catalogue.names import parse_name
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import choose_device, memory_bytes
from saliency_core.models.targets import MostLikelyOf
from saliency_core.models.weights.checkpoint import checkpoint_shapes
from saliency_core.models.weights.sources import Embedded, weights_folder
from saliency_core.progress import Cancelled, ProgressCallback, no_progress
from saliency_core.registry import unknown

CACHE_BYTES = 256 << 20
MODEL_SHARE = 4
"""Loaded models take at most one part in so many of the device's memory, unless another bound is given."""
MODEL_BYTES = "SALIENCY_MODEL_BYTES"
MAX_KNOWN_CLASSES = 4096
"""Photos × models × fits whose most likely class is remembered."""
MAX_INFOS = 32
"""Models of which labels and layers are remembered, in memory or not."""
MAX_SCREEN, MAX_LONG, MAX_LOADS = 200, 32, 64
"""Computations for what is on the screen, longer ones of each kind, and models that may wait."""
SESSION_SCREEN, SESSION_LONG = 16, 8
"""Those of one session that may wait and run, of which one long one of each kind runs at once."""
QUEUE_NAMES = {Priority.SCREEN: "screen", Priority.SWEEP: "sweeps", Priority.MANY_PASSES: "many passes"}
LOADING_THREADS = 8
"""Models that are fetched at once: one whose source does not answer leaves room for the others."""
SMALLER_BATCHES = (4, 1)
"""Copies of a photo that go through the network at once where the device had no memory for more."""
BUILDING = 2
"""Networks that are built at once."""
BYTES_PER_PARAMETER = 4
GIGABYTE = 1e9
Result = TypeVar("Result")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Known:
    """What stays known of a model that was loaded: `digest` is that of its weights as they were loaded."""

    spec: ModelSpec
    info: ModelInfo
    digest: Hashable


class _Key(NamedTuple):
    """What an answer is kept under."""

    request: ExplainRequest | EvaluationRequest[Any]
    weights: Hashable


@dataclass(frozen=True, eq=False)
class _Asked:
    """A request that waits to be answered, perhaps together with others."""

    request: ExplainRequest
    image: Image.Image
    loading: Task[ModelInfo] | None


class Engine:
    """The engine that computes in this process, shared by all sessions.

    Args:
        device: as for :func:`saliency_core.load_classifier`.
        cache_bytes: bound of the explanation cache.
        weights_dir: folder for downloaded weights.
        models: the models offered, :data:`saliency_core.MODELS` if None.
        model_bytes: bound of the models in memory; ``SALIENCY_MODEL_BYTES``, or a quarter of the device's
            memory if None. The least recently used goes first and the default model last; one in use
            stays, so does one that is larger by itself. Answers stay valid when a model is loaded again.
        batch: requests for the same model that wait together and run as one batch, at most; 1 on the CPU,
            where each answer is exactly that of a single request, and 16 on a GPU if None. In a batch,
            answers are the same up to rounding.

    Raises:
        ArgumentError: a bound that is no number of bytes, or a batch below 1.

    >>> engine = Engine()  # doctest: +SKIP
    >>> engine.explain("tf_efficientnet_lite0", image).label  # doctest: +SKIP
    'Egyptian cat'
    """

    def __init__(
        self,
        device: str | torch.device = "auto",
        cache_bytes: int = CACHE_BYTES,
        *,
        weights_dir: str | os.PathLike[str] | None = None,
        models: Mapping[str, ModelSpec] | None = None,
        model_bytes: int | None = None,
        batch: int | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.batch = usual_batch(self.device) if batch is None else batch
        if self.batch < 1:
            raise ArgumentError(f"batch is {batch}; expected 1 or more")
        self.weights_dir = weights_folder(weights_dir)
        # Explanations, and the answers to evaluations.
        self.cache: SharedCache[_Key, Any] = SharedCache(cache_bytes, lambda found: found.nbytes)
        self._partial: dict[EvaluationRequest[Any], Any] = {}
        self._specs = MODELS if models is None else models
        self._likely: SharedCache[tuple[str, str, str, Hashable], int] = SharedCache(MAX_KNOWN_CLASSES)
        self.loaded = LoadedModels(_model_bytes(model_bytes, self.device), last=DEFAULT_MODEL)
        self._known: SharedCache[str, _Known] = SharedCache(MAX_INFOS)
        self._own: OrderedDict[str, ModelSpec] = OrderedDict()  # the least recently used first
        self._own_lock = threading.Lock()
        self._counters = Counters()
        # One pass at a time: two at once on the same cores or device are slower than one after the other.
        # This lock is the device's queue; the others only say who has a thread and so may stand in it.
        self._passes = FairLock()
        self._host_passes = FairLock()  # of networks for which the device has not enough memory
        # Threads apart, so that a page never waits for one behind a download or a sweep. Ended tasks are not
        # kept: results are in the caches, errors in the task that its session holds. For batches to form,
        # requests must wait in the queue: one thread computes while another prepares.
        threads = 4 if self.batch == 1 else 2
        self._queues = {
            Priority.SCREEN: TaskQueue(threads, MAX_SCREEN, max_ended=0, per_session=SESSION_SCREEN),
            Priority.SWEEP: TaskQueue(2, MAX_LONG, max_ended=0, per_session=SESSION_LONG, at_once=1),
            Priority.MANY_PASSES: TaskQueue(2, MAX_LONG, max_ended=0, per_session=SESSION_LONG, at_once=1),
        }
        self._loading = TaskQueue(LOADING_THREADS, MAX_LOADS, max_ended=0)
        self._building = threading.BoundedSemaphore(BUILDING)

    def models(self) -> tuple[ModelListing, ...]:
        """The models offered first, in the order of the catalogue."""
        return tuple(self._listing(spec) for spec in self._specs.values())

    def search(self, query: str, limit: int = 50) -> tuple[ModelListing, ...]:
        """The models that a query finds; see :meth:`ExplainEngine.search`."""
        if isinstance(self._specs, Catalogue):
            names: Sequence[str] = [hit.name for hit in self._specs.search(query, limit)]
        else:
            words = query.lower().split()
            texts = {name: f"{name} {spec.title}".lower() for name, spec in self._specs.items()}
            names = [name for name, text in texts.items() if all(word in text for word in words)][:limit]
        return tuple(self._listing(self._specs[name]) for name in names)

    def listing(self, name: str) -> ModelListing:
        """One model with its details; see :meth:`ExplainEngine.listing`."""
        spec = self._spec(name)
        return replace(
            self._listing(spec), name=name, details=spec.details(), default_tag=self._default_tag(spec)
        )

    def title(self, name: str) -> str:
        """The title of a model; see :meth:`ExplainEngine.title`."""
        return self._spec(name).title

    def near(self, name: str, most: int = 3) -> tuple[str, ...]:
        """Names like one that no model has; see :meth:`ExplainEngine.near`."""
        if isinstance(self._specs, Catalogue):
            return self._specs.near(name, most)
        return tuple(difflib.get_close_matches(name, self._specs, most))

    def folder(self) -> tuple[FolderEntry, ...]:
        """What is in the folder of models; see :meth:`ExplainEngine.folder`."""
        return tuple(
            FolderEntry(each.name, each.title, each.text if isinstance(each, FolderProblem) else "")
            for each in folder_models()
        )

    def describe_checkpoint(self, file: Path) -> CheckpointFacts:
        """What a checkpoint looks like; see :meth:`ExplainEngine.describe_checkpoint`."""
        return CheckpointFacts(len(checkpoint_shapes(file)), fitting_architectures(file))

    def add_model(self, model: CheckpointModel | ModelSpec) -> None:
        """Offer a model that one session has brought; see :meth:`ExplainEngine.add_model`."""
        spec = _checked(model) if isinstance(model, CheckpointModel) else model
        if not spec.name.startswith(OWN):
            raise ArgumentError(f"a model is named {spec.name!r}; the name of one's own begins with {OWN!r}")
        with self._own_lock:
            self._own.pop(spec.name, None)
            oldest = [*self._own][: max(len(self._own) + 1 - MAX_OWN_MODELS, 0)]
            self._own[spec.name] = spec
        for name in oldest:
            self.remove_model(name)

    def remove_model(self, name: str) -> None:
        """Forget a model that was added; see :meth:`ExplainEngine.remove_model`."""
        with self._own_lock:
            self._own.pop(name, None)
        if name.startswith(OWN):
            self._forget(name)

    def _forget(self, name: str) -> None:
        """Forget a model that is not offered any more: network, labels and answers."""
        self.loaded.remove(name)
        self._known.drop(name)
        self.cache.drop_where(lambda key: key.request.model == name)
        self._likely.drop_where(lambda question: question[1] == name)

    def classifier(self, name: str) -> Classifier:
        """A model, loaded by the first who asks. Raises as ``load_classifier``.

        It may leave the engine's memory, but is not loaded a second time as long as you hold it.
        """
        return self._with_model(name, lambda _, classifier: classifier)

    def model_info(self, name: str) -> ModelInfo:
        """Labels, layers and unavailable methods of a model, which is loaded first if it has to be."""
        return _wait_for_model(self.load(name))

    def load(self, name: str) -> Task[ModelInfo]:
        """Load a model in the background; see :meth:`ExplainEngine.load`."""
        spec = self._spec(name)
        if (known := self._known.peek(spec.name)) is not None:
            return Task.finished(name, known.info, title=spec.title)
        return self._load(spec)

    def weights(self, name: str) -> Hashable | None:
        """Identifies the weights of a model: a text that is the same on all machines.

        It is no text where the weights were changed since they were loaded, None if they never were.
        """
        return self._weights(self._spec(name))

    def explain(
        self,
        request: ExplainRequest | str,
        image: Image.Image,
        *,
        target: int | str | None = None,
        fit: str = "crop",
        digest: str | None = None,
        methods: Sequence[str] | None = None,
        meta: MetaStep | None = None,
        options: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Explanation:
        """The answer to a request, from the cache or computed now.

        A model's name instead of a request stands for the request with the other arguments; ``digest`` is
        the photo's where the caller knows it. Raises as :func:`saliency_core.explain` and
        :func:`saliency_core.load_classifier`.
        """
        if isinstance(request, str):
            names = (methods,) if isinstance(methods, str) else methods
            request = ExplainRequest(
                photo=digest or image_digest(image),
                model=request,
                target=None if target is None else self._class_index(request, target),
                fit=fit,
                methods=None if names is None else tuple(names),
                variant=meta,
                options=frozen_options(options),
            )
        elif (target, fit, digest, methods, meta, options) != (None, "crop", None, None, None, None):
            raise ArgumentError(
                "a request has its own class, fit, methods, variant and options; change them there, or pass "
                "a model's name instead"
            )
        return self._answer(request, image, no_progress)

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
        try:
            spec = self._spec(request.model)
            request, known = self._kept(spec, request)
            if known is not None:
                self._counters.known(spec.name)
                return Task.finished(request, known, title=title)
            loading = self._needed(spec)
        except SaliencyError as error:
            return Task.refused(request, error, title=title, logged=f"An explanation by {request.model}")

        def run(progress: ProgressCallback) -> Explanation:
            if loading is not None:
                _wait_for_model(loading)  # it has ended: raises what it has failed with
            return self._answer(request, image, progress)

        passes = _many_passes(request, spec.preprocess.input_size)
        priority = Priority.MANY_PASSES if passes else priority
        joint: Joint[Explanation] | None = None
        if self.batch > 1 and not passes and request.variant is None:  # a meta step has its own network
            key = (spec.name, request.fit, request.methods, request.layers, request.options)
            joint = Joint(key, _Asked(request, image, loading), self._answer_together, self.batch)
        return self._queues[priority].submit(
            request,
            run,
            title=title,
            total=passes,
            after=loading,
            session=session,
            priority=priority,
            logged=f"An explanation by {spec.name}",
            joint=joint,
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
        try:
            spec = self._spec(request.model)
        except SaliencyError as error:
            return Task.refused(request, error, title=title, logged=f"An evaluation of {request.model}")
        weights = self._weights(spec)
        known: Answer | None = None if weights is None else self.cache.peek(_Key(request, weights))
        if known is not None:
            return Task.finished(request, known, title=title)
        loading = self._needed(spec)

        def run(progress: ProgressCallback) -> Answer:
            if loading is not None:
                _wait_for_model(loading)
            return self._evaluate(request, image, progress)

        return self._queues[priority].submit(
            request,
            run,
            title=title,
            after=loading,
            session=session,
            priority=priority,
            logged=f"An evaluation of {spec.name}",
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
        """Any other computation in the background; see :meth:`ExplainEngine.run`."""
        priority = Priority.SCREEN if short else priority
        return self._queues[priority].submit(
            key,
            compute,
            title=title,
            total=total,
            unit=unit,
            session=session,
            priority=priority,
            logged=f"A computation ({key[0] if isinstance(key, tuple) and key else type(key).__name__})",
        )

    def status(self) -> EngineStatus:
        """What the operator may know of it; see :meth:`ExplainEngine.status`."""
        models = self.loaded.status()
        hits, misses = self._counters.hits, self._counters.computed.count
        with self._own_lock:
            own = len(self._own)
        queues = self._queues.values()
        return EngineStatus(
            kind="local",
            device=str(self.device),
            models=models,
            stores=(
                StoreStatus("answers", len(self.cache), self.cache.size, self.cache.max_size, hits, misses),
                StoreStatus("models", len(models), self.loaded.size, self.loaded.max_bytes),
                _counted("facts about models", len(self._known), MAX_INFOS),
                _counted("most likely classes", len(self._likely), MAX_KNOWN_CLASSES),
                _counted("models of sessions", own, MAX_OWN_MODELS),
                _counted("evaluations under way", len(self._partial), sum(queue.workers for queue in queues)),
            ),
            queues=(
                *(queue.status(QUEUE_NAMES[priority]) for priority, queue in self._queues.items()),
                self._loading.status("loading"),
            ),
            waited=self._counters.waited.histogram(),
            computed=self._counters.computed.histogram(),
            refused=sum(queue.refused for queue in (*queues, self._loading)),
            dropped=sum(queue.dropped for queue in queues),
            errors=last_errors(),
        )

    # -- answers ---------------------------------------------------------------------------------------------

    def _answer(self, request: ExplainRequest, image: Image.Image, progress: ProgressCallback) -> Explanation:
        spec = self._spec(request.model)
        _, known = self._kept(spec, request)
        if known is not None:
            self._counters.known(spec.name)
            return known

        def work(model: LoadedModel, classifier: Classifier) -> Explanation:
            weights = model.state(classifier)  # before the passes: an answer must not outlive its weights
            asked = self._with_likely_class(request, weights)
            computed: list[Explanation] = []

            def explained(network: Classifier, lock: FairLock, limit: int) -> Explanation:
                with batch_limit(limit):
                    return explain(
                        network,
                        image,
                        asked.target,
                        asked.layers,
                        asked.methods,
                        fit=asked.fit,
                        meta=asked.variant,
                        options={method: dict(values) for method, values in asked.options},
                        progress=progress,
                        lock=lock,
                    ).without_image()

            def on_host() -> Explanation:
                return self._on_host(spec, lambda host: explained(host, self._host_passes, LARGE_BATCH))

            def compute() -> Explanation:
                several = _many_passes(asked, spec.preprocess.input_size) > 0
                attempts: list[Callable[[], Explanation]] = [
                    partial(explained, classifier, self._passes, limit)
                    for limit in ((LARGE_BATCH, *SMALLER_BATCHES) if several else (LARGE_BATCH,))
                ]
                if self.device.type != "cpu" and weights == model.digest:
                    attempts.append(on_host)
                with self._timed(spec.name):
                    computed.append(within_memory(attempts, self.device))
                return computed[0]

            def full_key(found: Explanation) -> _Key:
                return _Key(replace(asked, target=found.target), weights)

            found: Explanation = self.cache.get(_Key(asked, weights), compute, full_key)
            if not computed:
                self._counters.known(spec.name)
            self._note_class(asked, weights, found)
            return found

        return self._with_model(request.model, work)

    def _answer_together(self, asked: Sequence[tuple[_Asked, Asker]]) -> Sequence[Explanation | Exception]:
        """The answers to several requests that differ in their photos and classes alone."""
        try:
            for each, _ in asked:
                if each.loading is not None:
                    _wait_for_model(each.loading)
        except Exception as error:
            return [error] * len(asked)
        first = asked[0][0].request

        def work(model: LoadedModel, classifier: Classifier) -> list[Explanation | Exception]:
            weights = model.state(classifier)
            requests = [self._with_likely_class(each.request, weights) for each, _ in asked]
            new = {
                request: (each.image, asker)
                for request, (each, asker) in zip(requests, asked, strict=True)
                if self.cache.peek(_Key(request, weights)) is None
            }
            every_class = MostLikelyOf(tuple(range(len(classifier.labels))))

            def together(some: Sequence[ExplainRequest]) -> Sequence[Explanation]:
                with self._timed(first.model, [new[request][1] for request in some]):
                    found = explain_many(
                        classifier,
                        [new[request][0] for request in some],
                        [every_class if request.target is None else request.target for request in some],
                        first.layers,
                        first.methods,
                        fit=first.fit,
                        lock=self._passes,
                    )
                return [self._kept_answer(*pair, weights) for pair in zip(some, found, strict=True)]

            def alone(request: ExplainRequest) -> Explanation:
                with on_behalf_of(new[request][1]):
                    return self._answer(request, new[request][0], no_progress)

            found = dict(zip(new, in_batches(tuple(new), together, alone, self.device), strict=True))
            # One that was known, or the same as another of them, is in the cache now.
            return [
                found.pop(request) if request in found else self._answer(request, each.image, no_progress)
                for request, (each, _) in zip(requests, asked, strict=True)
            ]

        return self._with_model(first.model, work)

    def _kept_answer(self, asked: ExplainRequest, found: Explanation, weights: Hashable) -> Explanation:
        """An answer that is in the cache from now on."""
        found = found.without_image()
        self.cache.put(_Key(replace(asked, target=found.target), weights), found)
        self._note_class(asked, weights, found)
        return found

    def _note_class(self, asked: ExplainRequest, weights: Hashable, found: Explanation) -> None:
        """Remember the most likely class, if that is what was explained."""
        if asked.target is None and asked.variant is None and found.target is not None:
            self._likely.put(_question(asked, weights), found.target)

    @contextlib.contextmanager
    def _timed(self, model: str, askers: Sequence[Asker] = ()) -> Iterator[None]:
        """Count and log the explanations of the block, of which the device's share is divided evenly."""
        mine = current_asker()
        everyone = askers or (mine,)
        before, began = mine.waited, time.perf_counter()
        with on_behalf_of(mine):
            yield
        waited = mine.waited - before
        computed = (time.perf_counter() - began - waited) / len(everyone)
        for each in everyone:
            seconds = each.take_waited() + (0.0 if each is mine else waited)
            self._counters.explained(model, seconds, computed, len(everyone))

    def _on_host(self, spec: ModelSpec, work: Callable[[Classifier], Result]) -> Result:
        """What `work` makes of a copy of a network on the CPU, for which the device has no room."""
        return self.loaded.use(
            f"{spec.name} on the CPU",
            lambda: build_classifier(spec, "cpu", weights_dir=self.weights_dir),
            lambda _, classifier: work(classifier),
        )

    def _evaluate(
        self, request: EvaluationRequest[Answer], image: Image.Image | None, progress: ProgressCallback
    ) -> Answer:
        def work(model: LoadedModel, classifier: Classifier) -> Answer:
            def explain(asked: ExplainRequest) -> Explanation:
                if image is None:
                    raise ArgumentError("no photo was sent with this evaluation, so none can be explained")
                return self._answer(asked, image, no_progress)

            helpers = Helpers[Answer](
                explain=explain,
                progress=progress,
                lock=self._passes,
                partial=partial(self._partial.__setitem__, request),
            )
            found: Answer = self.cache.get(
                _Key(request, model.state(classifier)), lambda: request.compute(classifier, image, helpers)
            )
            return found

        try:
            return self._with_model(request.model, work)
        finally:
            self._partial.pop(request, None)

    def _weights(self, spec: ModelSpec) -> Hashable | None:
        """Identifies the weights of a model, which need not be in memory: they would be those loaded last."""
        if (loaded := self.loaded.peek(spec.name)) is not None:
            return loaded[0].state(loaded[1])
        known = self._known.peek(spec.name)
        return None if known is None else known.digest

    def _kept(self, spec: ModelSpec, request: ExplainRequest) -> tuple[ExplainRequest, Explanation | None]:
        """The request with its class, as far as that is known, and its answer if that is kept."""
        weights = self._weights(spec)
        if weights is None:
            return request, None
        request = self._with_likely_class(request, weights)
        return request, self.cache.peek(_Key(request, weights))

    def _with_likely_class(self, request: ExplainRequest, weights: Hashable) -> ExplainRequest:
        """The request with its class, if the most likely one is meant and known."""
        if request.target is not None:
            return request
        return replace(request, target=self._likely.peek(_question(request, weights)))

    def _class_index(self, name: str, target: int | str) -> int:
        return self._with_model(name, lambda _, classifier: classifier.class_index(target))

    # -- models ----------------------------------------------------------------------------------------------

    def _spec(self, name: str) -> ModelSpec:
        with self._own_lock:
            if name in self._own:
                self._own.move_to_end(name)
                return self._own[name]
        if name.startswith(OWN):
            raise UnknownNameError(FOREIGN)
        try:
            spec = self._specs[name]
        except SaliencyError:
            raise
        except KeyError:
            raise UnknownNameError(unknown("model", name, tuple(self._specs))) from None
        if name.startswith(FOLDER):
            known = self._known.peek(name)
            if known is not None and known.spec is not spec:
                self._forget(name)  # its files have changed
        return spec

    def _listing(self, spec: ModelSpec) -> ModelListing:
        loaded, local = spec.name in self.loaded, self._is_local(spec)
        return ModelListing(
            name=spec.name,
            title=spec.title,
            summary=spec.summary,
            state="random" if spec.random else "loaded" if loaded else "local" if local else "download",
            download_bytes=None if loaded or local else spec.download_bytes,
            library=spec.library,
            tag=spec.tag,
        )

    def _default_tag(self, spec: ModelSpec) -> str | None:
        """Which weights the name of its architecture alone stands for."""
        with contextlib.suppress(SaliencyError, KeyError):
            return self._specs[parse_name(spec.name).base].tag
        return None

    def _is_local(self, spec: ModelSpec) -> bool:
        return spec.random or spec.embedded or spec.source.is_local(self.weights_dir)

    def _load(self, spec: ModelSpec) -> Task[ModelInfo]:
        """A task that loads a model; it stays in memory if no other needs the room."""

        def run(progress: ProgressCallback) -> ModelInfo:
            known = self._use(spec, progress, lambda model, classifier: self._facts(spec, model, classifier))
            return known.info

        total = 0 if self._is_local(spec) else spec.download_bytes or 0
        return self._loading.submit(
            spec.name, run, title=spec.title, total=total, unit="bytes", logged=f"Loading {spec.name}"
        )

    def _needed(self, spec: ModelSpec) -> Task[ModelInfo] | None:
        """The task that loads a model for an answer, if it is not in memory.

        It goes on if the session that has chosen the model leaves.
        """
        if spec.name in self.loaded:
            return None
        loading = self._load(spec)
        loading.hold()
        return loading

    def _with_model(self, name: str, work: Callable[[LoadedModel, Classifier], Result]) -> Result:
        """What `work` makes of a model, which is loaded first if it has to be and stays meanwhile."""
        spec = self._spec(name)
        if (loading := self._needed(spec)) is not None:
            _wait_for_model(loading)
        return self._use(spec, no_progress, work)

    def _use(
        self,
        spec: ModelSpec,
        progress: ProgressCallback,
        work: Callable[[LoadedModel, Classifier], Result],
    ) -> Result:
        def noted(model: LoadedModel, classifier: Classifier) -> Result:
            self._facts(spec, model, classifier)
            return work(model, classifier)

        try:
            return self.loaded.use(
                spec.name, lambda: self._build(spec, progress), noted, self._expected_bytes(spec)
            )
        finally:
            with self._own_lock:
                removed = spec.name.startswith(OWN) and spec.name not in self._own
            if removed:  # in the meantime
                self._forget(spec.name)

    def _facts(self, spec: ModelSpec, model: LoadedModel, classifier: Classifier) -> _Known:
        """What stays known of a model in memory."""
        known = self._known.peek(spec.name)
        if known is None or known.digest != model.digest:
            known = _Known(spec, info_of(spec, classifier), model.digest)
            self._known.put(spec.name, known)
        return known

    def _expected_bytes(self, spec: ModelSpec) -> int:
        """Memory that the weights are going to take; 0 if that is not known.

        Raises:
            WeightsError: more than there is.
        """
        if spec.name in self.loaded or spec.embedded:
            return 0
        expected = spec.download_bytes or 0
        with contextlib.suppress(Exception):  # building it says what is wrong
            expected = expected or BYTES_PER_PARAMETER * (spec.details().parameters or 0)
        memory = memory_bytes(self.device)
        if expected > memory:
            raise WeightsError(
                f"{spec.title} needs {expected / GIGABYTE:.1f} GB of memory for its weights alone, and this "
                f"machine has {memory / GIGABYTE:.1f} GB. Choose a smaller model."
            )
        return expected

    def _build(self, spec: ModelSpec, progress: ProgressCallback) -> Classifier:
        def report(received: int, total: int | None) -> None:
            progress(received, total or spec.download_bytes or 0)

        try:
            if spec.random:
                progress(1, 1)  # nothing to fetch
            else:
                # Fetched first, so that a source that does not answer keeps no other model waiting; once the
                # file is complete, what follows is known to be the building.
                file = spec.source.path(self.weights_dir, report)
                size = file.stat().st_size
                progress(size, size)
                spec = replace(spec, source=Embedded(lambda: str(file)))
            with self._building:
                return build_classifier(spec, self.device, weights_dir=self.weights_dir)
        except WeightsError as error:
            raise WeightsError(f"{spec.title} couldn't be loaded: {error}") from error


def _counted(name: str, entries: int, most: int) -> StoreStatus:
    """A store whose bound is a number of entries."""
    return StoreStatus(name, entries, entries, most, counted=True)


def _checked(model: CheckpointModel) -> ModelSpec:
    """The entry of a checkpoint, which has been read and fits."""
    return checkpoint_spec(model.file, model.architecture, model.labels, name=model.name, title=model.title)


def _wait_for_model(loading: Task[ModelInfo]) -> ModelInfo:
    """The result of a task of :meth:`Engine.load`; cancelling it concerns its own caller, not others."""
    try:
        return loading.value()
    except Cancelled:
        raise WeightsError(f"Loading {loading.title} was cancelled. Choose it again to load it.") from None


def _many_passes(request: ExplainRequest, size: tuple[int, int]) -> int:
    """Passes of its many-pass methods on an input of (height, width); 0 if it cannot be answered."""
    options = {method: dict(values) for method, values in request.options}
    with contextlib.suppress(SaliencyError):  # the explanation says what is wrong
        kinds = [(METHODS[name].kind, options.get(name)) for name in dict.fromkeys(request.methods or ())]
        return sum(
            kind.passes(kind.values(given), size) for kind, given in kinds if isinstance(kind, MultiPass)
        )
    return 0


def _question(request: ExplainRequest, weights: Hashable) -> tuple[str, str, str, Hashable]:
    return request.photo, request.model, request.fit, weights


def _model_bytes(given: int | None, device: torch.device) -> int:
    """The bound of the loaded models."""
    if given is not None:
        return given
    text = os.environ.get(MODEL_BYTES, "").strip()
    if not text:
        return memory_bytes(device) // MODEL_SHARE
    if not text.isdecimal():
        raise ArgumentError(f"{MODEL_BYTES} is {text!r}; expected a number of bytes, such as 4000000000")
    return int(text)
