"""The networks in memory: a bound on their bytes, one copy of each, and none that goes while it is used."""

from __future__ import annotations

import hashlib
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor

from saliency_core.engine.status import ModelStatus
from saliency_core.errors import ArgumentError
from saliency_core.memory import trim
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import release_memory

Result = TypeVar("Result")
_numbers = itertools.count()


class LoadedModel:
    """A classifier in memory, with the facts about it that hold as long as nobody changes its weights.

    Attributes:
        nbytes: the memory that it holds; see :func:`size_of`.
        digest: identifies its weights, preprocessing, labels and layers: the same when it is loaded again.
        users: how many are using it now.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.nbytes = size_of(classifier)
        self.digest = digest_of(classifier)
        self.users = 0
        self._kept: Classifier | None = classifier
        self._device = classifier.device
        self._number = next(_numbers)
        self._versions = _versions(classifier)
        largest = max(_tensors(classifier), key=lambda tensor: tensor.nbytes, default=classifier.example)
        self._references = weakref.ref(classifier), weakref.ref(largest)

    @property
    def classifier(self) -> Classifier | None:
        """The classifier; None once it was dropped and nobody else holds it either."""
        return self._references[0]()

    @property
    def in_memory(self) -> bool:
        """Whether its weights are: someone may hold them after it was dropped."""
        return any(each() is not None for each in self._references)

    @property
    def dropped(self) -> bool:
        """Whether it stays only as long as somebody else holds it."""
        return self._kept is None

    def keep(self, classifier: Classifier) -> None:
        """Hold it again."""
        self._kept = classifier

    def drop(self) -> None:
        """Hold it no longer."""
        self._kept = None
        if self.in_memory or self._device.type != "cpu":
            release_memory(self._device)
        else:
            trim()

    def state(self, classifier: Classifier) -> Hashable:
        """Identifies its weights as they are now: ``digest`` until they are changed in place or replaced.

        It follows PyTorch's version counters, which see every in-place operation but those on
        ``tensor.data``.
        """
        versions = _versions(classifier)
        return self.digest if versions == self._versions else (self._number, hash(versions))


class LoadedModels:
    """Classifiers by name, with a bound on their bytes; safe to use from many threads.

    When room is needed, the model that was used least recently goes first, and ``last`` after all others; one
    in use never goes. Together they take no more than the bound, except that those in use stay, and so does
    one that is larger than the bound by itself as long as there is no other. One that somebody holds after it
    was dropped counts until they let go of it, and is taken back when it is asked for: there are never two
    copies.

    Args:
        max_bytes: the bound.
        last: the name of the model that goes last.

    Raises:
        ArgumentError: a negative bound.
    """

    def __init__(self, max_bytes: int, last: str | None = None) -> None:
        if max_bytes < 0:
            raise ArgumentError(f"the bound of the loaded models is {max_bytes} bytes; expected 0 or more")
        self.max_bytes = max_bytes
        self._last = last
        self._changed = threading.Condition()
        self._models: dict[str, LoadedModel] = {}  # the least recently used first
        self._removed: list[LoadedModel] = []
        self._building: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Bytes of the models in memory, and of those that are being loaded, as far as these are known."""
        with self._changed:
            return self._size()

    def status(self) -> tuple[ModelStatus, ...]:
        """The models in memory, the least recently used first."""
        with self._changed:
            return tuple(
                ModelStatus(name, each.nbytes, each.users)
                for name, each in self._models.items()
                if each.in_memory
            )

    def __contains__(self, name: str) -> bool:
        return self.peek(name) is not None

    def peek(self, name: str) -> tuple[LoadedModel, Classifier] | None:
        """The model if it is in memory; does not count as a use."""
        with self._changed:
            return self._find(name)

    def use(
        self,
        name: str,
        build: Callable[[], Classifier],
        work: Callable[[LoadedModel, Classifier], Result],
        expected: int = 0,
    ) -> Result:
        """What `work` makes of a model, which stays in memory meanwhile.

        Args:
            name: which model.
            build: loads it, called by the first who asks for it. What it raises is passed on, and the next
                who asks loads it again.
            work: called with the model.
            expected: bytes that it will take, for which room is made before it is loaded; 0 if unknown.
        """
        model, classifier = self._taken(name, build, expected)
        try:
            return work(model, classifier)
        finally:
            del classifier  # it may have to go now
            with self._changed:
                model.users -= 1
                self._make_room()

    def remove(self, name: str) -> None:
        """Forget a model, if it is here; whoever uses it goes on with it, and the next who asks loads it."""
        with self._changed:
            model = self._models.pop(name, None)
            if model is not None:
                self._removed.append(model)
                model.drop()

    def _taken(
        self, name: str, build: Callable[[], Classifier], expected: int
    ) -> tuple[LoadedModel, Classifier]:
        with self._changed:
            while name in self._building:
                self._changed.wait()
            if (found := self._find(name)) is not None:
                return self._take(name, *found)
            self._building[name] = expected
        try:
            with self._changed:
                self._make_room(for_another=True)
            classifier = build()
            model = LoadedModel(classifier)
            with self._changed:
                del self._building[name]
                self._take(name, model, classifier)
                self._make_room()
        finally:
            with self._changed:
                self._building.pop(name, None)
                self._changed.notify_all()
        return model, classifier

    def _take(self, name: str, model: LoadedModel, classifier: Classifier) -> tuple[LoadedModel, Classifier]:
        before = self._models.pop(name, None)
        if before is not None and before is not model:
            self._removed.append(before)  # somebody still holds its weights
        self._models[name] = model
        model.keep(classifier)
        model.users += 1
        return model, classifier

    def _find(self, name: str) -> tuple[LoadedModel, Classifier] | None:
        model = self._models.get(name)
        classifier = None if model is None else model.classifier
        return None if model is None or classifier is None else (model, classifier)

    def _size(self) -> int:
        models = (*self._models.values(), *self._removed)
        return sum(each.nbytes for each in models if each.in_memory) + sum(self._building.values())

    def _make_room(self, *, for_another: bool = False) -> None:
        """Drop models that nobody uses until the others keep to the bound.

        The one used last stays, unless room is made `for_another`: who has just used it is likely to ask for
        it again. Where it is larger than the bound by itself, it stays only if there is no other.
        """
        self._models = {name: each for name, each in self._models.items() if each.in_memory}
        self._removed = [each for each in self._removed if each.in_memory]
        idle = {name: each for name, each in self._models.items() if not each.users and not each.dropped}
        alone = len(self._models) + len(self._removed) + len(self._building) == 1
        newest = next(reversed(idle), None)
        if newest is not None and not for_another and (idle[newest].nbytes <= self.max_bytes or alone):
            del idle[newest]
        for name in sorted(idle, key=lambda name: name == self._last):  # else in the order of use
            if self._size() <= self.max_bytes:
                break
            idle[name].drop()


def size_of(classifier: Classifier) -> int:
    """Memory that a classifier holds, in bytes: parameters, buffers and its example (shared once), labels."""
    storages = {
        (tensor.device, storage.data_ptr()): storage.nbytes()
        for tensor in (*_tensors(classifier), classifier.example)
        for storage in (tensor.untyped_storage(),)
    }
    return sum(storages.values()) + sum(map(sys.getsizeof, classifier.labels))


def digest_of(classifier: Classifier) -> str:
    """SHA-256 of all that an explanation depends on: weights, preprocessing, labels and default layers."""
    digest = hashlib.sha256()
    facts = (classifier.preprocess, classifier.labels, classifier.default_layers, classifier.layers)
    digest.update(repr(facts).encode())
    for tensor in _tensors(classifier):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(classifier: Classifier) -> Iterator[Tensor]:
    return chain(classifier.module.parameters(), classifier.module.buffers())


def _versions(classifier: Classifier) -> tuple[tuple[int, int], ...]:
    """Address and version of every tensor, for each request: `parameters()` takes seven times as long."""
    found: list[tuple[int, int]] = []
    modules, seen = [classifier.module], set[int]()
    while modules:
        module = modules.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        for each in (*module._parameters.values(), *module._buffers.values()):
            if each is not None:
                found.append((each.data_ptr(), 0 if each.is_inference() else each._version))
        modules += [inner for inner in module._modules.values() if inner is not None]
    return tuple(found)
