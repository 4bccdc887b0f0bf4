"""The engine of one process: models loaded once, answers cached, one computation per request."""

from __future__ import annotations

import os
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
from saliency_core.explain import Explanation, explain
from saliency_core.methods.registry import METHODS, unavailable
from saliency_core.models.catalogue import MODELS, ModelSpec, build_classifier
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import choose_device
from saliency_core.models.weights import weights_folder
from saliency_core.progress import ProgressCallback, no_progress

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
        self._likely: SharedCache[tuple[str, str, str], int] = SharedCache(MAX_KNOWN_CLASSES)
        self._classifiers: SharedCache[str, Classifier] = SharedCache(len(self._specs))
        self._infos: SharedCache[str, ModelInfo] = SharedCache(len(self._specs))
        # One pass at a time: two at once on the same cores or device are slower than one after the other.
        self._passes = FairLock()
        # Apart, so that a page never waits for a thread behind a download or a sweep.
        self._explaining, self._loading, self._background = TaskQueue(4, 64), TaskQueue(2), TaskQueue(2)

    def models(self) -> tuple[ModelListing, ...]:
        """The models offered, in the order of the registry."""
        return tuple(self._listing(spec) for spec in self._specs.values())

    def classifier(self, name: str) -> Classifier:
        """A model, loaded by the first who asks and kept. Raises as ``load_classifier``."""
        kept = self._classifiers.peek(name)
        if kept is None:
            self.load(name).value()
            kept = self._classifiers.get(name, lambda: self._build(self._specs[name], no_progress))
        return kept

    def model_info(self, name: str) -> ModelInfo:
        """Labels, layers and unavailable methods of a model, which is loaded first if it has to be."""
        return self._infos.get(name, lambda: _info(self._specs[name], self.classifier(name)))

    def load(self, name: str) -> Task[ModelInfo]:
        """Load a model in the background; see :meth:`ExplainEngine.load`."""
        spec = self._specs[name]
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

        A model's name in the request's place stands for the request with the other arguments; ``digest`` is
        the photo's where the caller knows it. Raises as :func:`saliency_core.explain` and
        :func:`saliency_core.load_classifier`.
        """
        if isinstance(request, str):
            request = ExplainRequest(
                photo=digest or image_digest(image),
                model=request,
                target=None if target is None else self.classifier(request).class_index(target),
                fit=fit,
                methods=None if methods is None else tuple(methods),
                variant=meta,
                options=frozen_options(options),
            )
        return self._answer(request, image, no_progress)

    def submit(self, request: ExplainRequest, image: Image.Image, *, title: str = "") -> Task[Explanation]:
        """The answer as a task; see :meth:`ExplainEngine.submit`."""
        request = self._with_likely_class(request)
        kept = self._classifiers.peek(request.model)
        if kept is not None and (known := self.cache.peek(_key(request, kept))) is not None:
            return Task.finished(request, known, title=title)
        passes = sum(METHODS[name].passes for name in request.methods or ())
        queue = self._background if passes else self._explaining
        return queue.submit(
            request, lambda progress: self._answer(request, image, progress), title=title, total=passes
        )

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
        request = self._with_likely_class(request)
        classifier = self.classifier(request.model)

        def compute() -> Explanation:
            return explain(
                classifier,
                image,
                request.target,
                request.layers,
                request.methods,
                fit=request.fit,
                meta=request.variant,
                progress=progress,
                lock=self._passes,
            )

        def full_key(found: Explanation) -> Hashable:
            return _key(replace(request, target=found.target), classifier)

        if any(METHODS[name].passes for name in request.methods or ()):
            # Not shared through the cache while it runs, so that cancelling stops nobody else who waits.
            found = self.cache.peek(_key(request, classifier)) or compute()
            self.cache.put(full_key(found), found)
        else:
            found = self.cache.get(_key(request, classifier), compute, full_key)
        if request.target is None and request.variant is None:
            self._likely.put(_question(request), found.target)
        return found

    def _with_likely_class(self, request: ExplainRequest) -> ExplainRequest:
        """The request with its class, if the most likely one is meant and known."""
        if request.target is not None:
            return request
        return replace(request, target=self._likely.peek(_question(request)))

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

        return build_classifier(spec, self.device, weights_dir=self.weights_dir, progress=report)


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
    )


def _question(request: ExplainRequest) -> tuple[str, str, str]:
    return request.photo, request.model, request.fit


def _key(request: ExplainRequest, classifier: Classifier) -> Hashable:
    """The request, and which weights it is answered with: those changed in place are others."""
    tensors = chain(classifier.module.parameters(), classifier.module.buffers())
    versions = sum(0 if tensor.is_inference() else tensor._version for tensor in tensors)
    return request, id(classifier), versions
