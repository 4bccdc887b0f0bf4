"""The engine of one process: models loaded once, answers cached, one computation per request."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

import torch
from PIL import Image

from saliency_core.backprop.variants import MetaStep
from saliency_core.engine.cache import SharedCache
from saliency_core.engine.locks import FairLock
from saliency_core.engine.request import (
    ExplainRequest,
    ModelInfo,
    ModelListing,
    frozen_options,
    image_digest,
)
from saliency_core.engine.tasks import Task, TaskQueue
from saliency_core.errors import ArgumentError, SaliencyError, UnknownNameError, WeightsError
from saliency_core.explain import Explanation, explain
from saliency_core.methods.method import MultiPass
from saliency_core.methods.registry import METHODS, is_convolution, unavailable
from saliency_core.models.catalogue.catalogue import MODELS
from saliency_core.models.catalogue.loading import build_classifier
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import choose_device
from saliency_core.models.weights.sources import weights_folder
from saliency_core.progress import Cancelled, ProgressCallback, no_progress
from saliency_core.registry import unknown

CACHE_BYTES = 256 << 20
MAX_KNOWN_CLASSES = 4096
"""Photos × models × fits whose most likely class is remembered."""
Result = TypeVar("Result")


class Engine:
    """The engine that computes in this process, shared by all sessions.

    Args:
        device: as for :func:`saliency_core.load_classifier`.
        cache_bytes: bound of the explanation cache.
        weights_dir: folder for downloaded weights.
        models: the models offered, :data:`saliency_core.MODELS` if None.

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
    ) -> None:
        self.device = choose_device(device)
        self.weights_dir = weights_folder(weights_dir)
        self.cache: SharedCache[Hashable, Explanation] = SharedCache(cache_bytes, lambda found: found.nbytes)
        self._specs = MODELS if models is None else models
        self._likely: SharedCache[tuple[str, str, str, int], int] = SharedCache(MAX_KNOWN_CLASSES)
        # A model that was loaded stays: another copy would be made of one that is dropped while it is used.
        self._classifiers: SharedCache[str, Classifier] = SharedCache(sys.maxsize)
        self._infos: SharedCache[str, ModelInfo] = SharedCache(sys.maxsize)
        # One pass at a time: two at once on the same cores or device are slower than one after the other.
        self._passes = FairLock()
        # Apart, so that a page never waits for a thread behind a download or a sweep. Ended tasks are not
        # kept: results are in the caches, errors in the task that its session holds.
        self._explaining = TaskQueue(4, 64, max_ended=0)
        self._loading = TaskQueue(2, max_ended=0)
        self._background = TaskQueue(2, max_ended=0)

    def models(self) -> tuple[ModelListing, ...]:
        """The models offered, in the order of the registry."""
        return tuple(self._listing(spec) for spec in self._specs.values())

    def classifier(self, name: str) -> Classifier:
        """A model, loaded by the first who asks and kept. Raises as ``load_classifier``."""
        kept = self._classifiers.peek(name)
        if kept is None:
            _wait_for_model(self.load(name))
            kept = self._classifiers.get(name, lambda: self._build(self._spec(name), no_progress))
        return kept

    def model_info(self, name: str) -> ModelInfo:
        """Labels, layers and unavailable methods of a model, which is loaded first if it has to be."""
        return _wait_for_model(self.load(name))

    def load(self, name: str) -> Task[ModelInfo]:
        """Load a model in the background; see :meth:`ExplainEngine.load`."""
        spec = self._spec(name)
        if self._classifiers.peek(name) is not None and (info := self._infos.peek(name)) is not None:
            return Task.finished(name, info, title=spec.title)

        def run(progress: ProgressCallback) -> ModelInfo:
            classifier = self._classifiers.get(name, lambda: self._build(spec, progress))
            return self._infos.get(name, lambda: _info(spec, classifier))

        return self._loading.submit(name, run, title=spec.title, total=spec.download_bytes or 0, unit="bytes")

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
                target=None if target is None else self.classifier(request).class_index(target),
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

    def submit(self, request: ExplainRequest, image: Image.Image, *, title: str = "") -> Task[Explanation]:
        """The answer as a task; see :meth:`ExplainEngine.submit`."""
        try:
            spec, loading = self._spec(request.model), self.load(request.model)
        except SaliencyError as error:
            return Task.refused(request, error, title=title)
        kept = self._classifiers.peek(request.model)
        if kept is not None:
            request = self._with_likely_class(request, _weights_state(kept))
            if (known := self.cache.peek(_key(request, _weights_state(kept)))) is not None:
                return Task.finished(request, known, title=title)

        def run(progress: ProgressCallback) -> Explanation:
            _wait_for_model(loading)  # it has ended: raises what it has failed with
            return self._answer(request, image, progress)

        passes = _many_passes(request, spec.preprocess.input_size)
        queue = self._background if passes else self._explaining
        return queue.submit(request, run, title=title, total=passes, after=loading)

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
        """Any other computation in the background; see :meth:`ExplainEngine.run`."""
        queue = self._explaining if short else self._background
        return queue.submit(key, compute, title=title, total=total, unit=unit)

    def _answer(self, request: ExplainRequest, image: Image.Image, progress: ProgressCallback) -> Explanation:
        classifier = self.classifier(request.model)
        weights = _weights_state(classifier)  # the version before the passes: an answer must not outlive it
        likely_class_wanted = request.target is None
        request = self._with_likely_class(request, weights)

        def compute() -> Explanation:
            return explain(
                classifier,
                image,
                request.target,
                request.layers,
                request.methods,
                fit=request.fit,
                meta=request.variant,
                options={method: dict(values) for method, values in request.options},
                progress=progress,
                lock=self._passes,
            )

        def full_key(found: Explanation) -> Hashable:
            return _key(replace(request, target=found.target), weights)

        found = self.cache.get(_key(request, weights), compute, full_key)
        if likely_class_wanted and request.variant is None:
            self._likely.put(_question(request, weights), found.target)
        return found

    def _with_likely_class(self, request: ExplainRequest, weights: int) -> ExplainRequest:
        """The request with its class, if the most likely one is meant and known."""
        if request.target is not None:
            return request
        return replace(request, target=self._likely.peek(_question(request, weights)))

    def _spec(self, name: str) -> ModelSpec:
        try:
            return self._specs[name]
        except KeyError:
            raise UnknownNameError(unknown("model", name, tuple(self._specs))) from None

    def _listing(self, spec: ModelSpec) -> ModelListing:
        loaded = self._classifiers.peek(spec.name) is not None
        local = loaded or spec.embedded or spec.source.is_local(self.weights_dir)
        return ModelListing(
            name=spec.name,
            title=spec.title,
            summary=spec.summary,
            state="loaded" if loaded else "local" if local else "download",
            download_bytes=None if local else spec.download_bytes,
        )

    def _build(self, spec: ModelSpec, progress: ProgressCallback) -> Classifier:
        def report(received: int, total: int | None) -> None:
            progress(received, total or spec.download_bytes or 0)

        try:
            return build_classifier(spec, self.device, weights_dir=self.weights_dir, progress=report)
        except WeightsError as error:
            raise WeightsError(f"{spec.title} couldn't be loaded: {error}") from error


def _wait_for_model(loading: Task[ModelInfo]) -> ModelInfo:
    """The result of a task of :meth:`Engine.load`; cancelling it concerns its own caller, not others."""
    try:
        return loading.value()
    except Cancelled:
        raise WeightsError(f"Loading {loading.title} was cancelled. Choose it again to load it.") from None


def _info(spec: ModelSpec, classifier: Classifier) -> ModelInfo:
    reasons = {name: unavailable(classifier, name) for name in METHODS}
    return ModelInfo(
        name=spec.name,
        title=spec.title,
        labels=classifier.labels,
        layers=classifier.layers,
        default_layers=classifier.default_layers,
        presets=spec.presets,
        unavailable={name: reason for name, reason in reasons.items() if reason is not None},
        notice=getattr(classifier, "notice", None),
        convolutions=frozenset(
            layer.name for layer in classifier.layers if is_convolution(classifier, layer.name)
        ),
    )


def _many_passes(request: ExplainRequest, size: tuple[int, int]) -> int:
    """Passes of its many-pass methods on an input of that height and width; 0 if it cannot be answered."""
    options = {method: dict(values) for method, values in request.options}
    with contextlib.suppress(SaliencyError):  # the explanation says what is wrong
        kinds = [(METHODS[name].kind, options.get(name)) for name in dict.fromkeys(request.methods or ())]
        return sum(
            kind.passes(kind.values(given), size) for kind, given in kinds if isinstance(kind, MultiPass)
        )
    return 0


def _question(request: ExplainRequest, weights: int) -> tuple[str, str, str, int]:
    return request.photo, request.model, request.fit, weights


def _key(request: ExplainRequest, weights: int) -> Hashable:
    return request, weights


def _weights_state(classifier: Classifier) -> int:
    """A number that changes when weights are changed in place or replaced.

    It follows PyTorch's version counters, which see every in-place operation but those on ``tensor.data``.
    """
    tensors = chain(classifier.module.parameters(), classifier.module.buffers())
    versions = ((each.data_ptr(), 0 if each.is_inference() else each._version) for each in tensors)
    return hash((id(classifier), *versions))
