"""Explanations for many sessions at once: models loaded once, results cached, one computation per key."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from PIL import Image

from saliency_core.backprop.variants import MetaStep
from saliency_core.engine.tasks import FairLock, Job, JobPool
from saliency_core.explain import Explanation, explain
from saliency_core.methods.registry import METHODS
from saliency_core.models.catalogue import MODELS, ModelSpec, build_classifier
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import choose_device
from saliency_core.models.weights import weights_folder
from saliency_core.progress import ProgressCallback

CACHE_BYTES = 256 << 20
MOST_QUESTIONS = 4096
"""Photos × models × fits whose most likely class is remembered."""
Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class SharedCache(Generic[Key, Result]):
    """A least-recently-used cache bounded in bytes; callers that ask for one key at once compute it once."""

    def __init__(self, most_bytes: int, size_of: Callable[[Result], int]) -> None:
        if most_bytes < 0:
            raise ValueError(f"the cache's size is {most_bytes} bytes; expected 0 or more")
        self.most_bytes = most_bytes
        self.nbytes = 0
        self._size_of = size_of
        self._kept: OrderedDict[Key, Result] = OrderedDict()
        self._pending: dict[Key, Future[Result]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def peek(self, key: Key) -> Result | None:
        """The result if it is here, without computing it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def get(
        self, key: Key, compute: Callable[[], Result], keep_as: Callable[[Result], Key] | None = None
    ) -> Result:
        """The result for the key, computed by the first who asks; an error reaches all who wait for it.

        ``keep_as`` gives the key to keep the result under when that is known only afterwards.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            pending = self._pending.get(key)
            if pending is None:
                mine: Future[Result] = Future()
                self._pending[key] = mine
        if pending is not None:
            return pending.result()
        try:
            result = compute()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._pending[key]
            self._keep(key if keep_as is None else keep_as(result), result)
        mine.set_result(result)
        return result

    def put(self, key: Key, result: Result) -> None:
        """Keep a result that is known already."""
        with self._lock:
            self._keep(key, result)

    def _keep(self, key: Key, result: Result) -> None:
        size = self._size_of(result)
        if key in self._kept or size > self.most_bytes:
            return
        self._kept[key] = result
        self.nbytes += size
        while self.nbytes > self.most_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.nbytes -= self._size_of(dropped)


@dataclass(frozen=True)
class Loading:
    """How far the loading of a model is."""

    received: int = 0
    """Bytes fetched so far."""
    total: int | None = None
    """Bytes to fetch, if known."""
    done: bool = False
    """Whether it has ended, well or not."""
    error: str | None = None
    """A sentence for people when it failed."""


class Engine:
    """The cached core that all sessions share.

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
        self.models = MODELS if models is None else models
        self.weights_dir = weights_folder(weights_dir)
        self.cache: SharedCache[tuple[object, ...], Explanation] = SharedCache(
            cache_bytes, lambda explanation: explanation.nbytes
        )
        self._most_likely: SharedCache[tuple[str, str, str], int] = SharedCache(MOST_QUESTIONS, lambda _: 1)
        self._classifiers: SharedCache[str, Classifier] = SharedCache(len(self.models), lambda _: 1)
        self._loading: dict[str, Loading] = {}
        self._loading_lock = threading.Lock()
        # One pass at a time: two at once on the same cores or device are slower than one after the other.
        self._compute = FairLock()
        self._jobs: JobPool[Explanation] = JobPool()

    def classifier(self, name: str) -> Classifier:
        """A model, loaded by the first who asks and kept. Raises as ``load_classifier``."""
        spec = self.models[name]
        return self._classifiers.get(name, lambda: self._load(spec))

    def is_loaded(self, name: str) -> bool:
        """Whether the model is in memory."""
        return self._classifiers.peek(name) is not None

    def is_local(self, name: str) -> bool:
        """Whether the model can be loaded without fetching anything."""
        return self.models[name].source.is_local(self.weights_dir)

    def start_loading(self, name: str) -> Loading:
        """Begin to load a model in the background, unless it is under way; never blocks.

        One thread per model serves all sessions; after a failure the next call begins anew.
        """
        spec = self.models[name]
        with self._loading_lock:
            state = self._loading.get(name)
            if self.is_loaded(name):
                return Loading(done=True)
            if state is None or state.done:
                state = self._loading[name] = Loading(total=spec.download_bytes)
                threading.Thread(target=self._load_in_background, args=(name,), daemon=True).start()
        return state

    def loading(self, name: str) -> Loading | None:
        """How far the last loading of the model is; None if it was never begun in the background."""
        with self._loading_lock:
            return self._loading.get(name)

    def explain(
        self,
        model_name: str,
        image: Image.Image,
        *,
        target: int | str | None = None,
        fit: str = "crop",
        digest: str | None = None,
        methods: Sequence[str] | None = None,
        meta: MetaStep | None = None,
    ) -> Explanation:
        """The explanation of a photo, cached by content: photo, model, class, fit, methods and meta step.

        ``digest`` is the SHA-256 of the photo's file where the caller knows it; taken from the pixels
        otherwise. Raises as :func:`saliency_core.explain` and :func:`saliency_core.load_classifier`.
        """
        asked = None if methods is None else tuple(methods)
        question, index = self._question(model_name, image, target, fit, digest)
        classifier = self.classifier(model_name)

        def compute() -> Explanation:
            return explain(classifier, image, index, methods=asked, fit=fit, meta=meta, lock=self._compute)

        explanation = self.cache.get(
            (*question, index, asked, meta), compute, lambda result: (*question, result.target, asked, meta)
        )
        if index is None:
            self._most_likely.put(question, explanation.target)
        return explanation

    def start_job(
        self,
        model_name: str,
        image: Image.Image,
        method: str,
        *,
        target: int | str | None = None,
        fit: str = "crop",
        digest: str | None = None,
    ) -> Job[Explanation]:
        """Begin a method that takes many passes in the background; never blocks on the computation.

        Sessions that ask for the same photo, model, class, fit and method share one job, whose result is an
        explanation with that method alone and is kept in the cache like every other.
        """
        question, index = self._question(model_name, image, target, fit, digest)
        if index is None:
            index = self.explain(model_name, image, fit=fit, digest=digest).target
        key = (*question, index, (method,), None)
        known = self.cache.peek(key)
        if known is not None:
            return Job.finished(known)
        classifier = self.classifier(model_name)

        def run(progress: ProgressCallback) -> Explanation:
            # Kept, but not shared through the cache while it runs: nobody who waits is stopped with it.
            found = explain(
                classifier, image, index, methods=[method], fit=fit, progress=progress, lock=self._compute
            )
            self.cache.put(key, found)
            return found

        return self._jobs.start(key, METHODS[method].passes, run)

    def _question(
        self, model_name: str, image: Image.Image, target: int | str | None, fit: str, digest: str | None
    ) -> tuple[tuple[str, str, str], int | None]:
        """Photo, model and fit as a key, and the class if it is known."""
        question = (digest or image_digest(image), model_name, fit)
        if target is not None:
            return question, self.classifier(model_name).class_index(target)
        return question, self._most_likely.peek(question)

    def _load(self, spec: ModelSpec) -> Classifier:
        def progress(received: int, total: int | None) -> None:
            self._note(spec.name, received=received, total=total or spec.download_bytes)

        return build_classifier(spec, self.device, weights_dir=self.weights_dir, progress=progress)

    def _load_in_background(self, name: str) -> None:
        try:
            self.classifier(name)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            log.exception("loading %s failed", name)
            self._note(name, done=True, error=str(error))
        else:
            self._note(name, done=True)

    def _note(self, name: str, **news: object) -> None:
        with self._loading_lock:
            self._loading[name] = replace(self._loading.get(name, Loading()), **news)  # type: ignore[arg-type]


def image_digest(image: Image.Image) -> str:
    """SHA-256 of an image's mode, size and pixels."""
    digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
