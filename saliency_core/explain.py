"""The one joiner: a photo, a network and a class become every method's map at every layer."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from saliency_core.backprop.backward_rules import obstacle
from saliency_core.backprop.capture import Capture, capture, capture_classes
from saliency_core.backprop.variants import MetaStep
from saliency_core.combine import FloatMap, is_constant, normalise, resize
from saliency_core.errors import NonFiniteError, UnavailableError
from saliency_core.inputs.preprocess import Box
from saliency_core.methods.multi_pass import BASELINES
from saliency_core.methods.registry import METHODS, surviving_energy, unavailable
from saliency_core.models.classifier import Classifier
from saliency_core.models.layers import INPUT, Layer, choose_layers
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import unknown

SINGLE_PASS = tuple(
    name for name, method in METHODS.items() if method.cost == "single" and method.where == "any"
)
"""The methods that one forward and one backward pass give at every layer."""


@dataclass(frozen=True)
class Explanation:
    """Every method's map at every layer for one photo, network and class. Immutable."""

    target: int
    """Index of the class explained."""
    label: str
    probabilities: NDArray[np.float32]
    """Softmax of the class scores, (classes,)."""
    layers: tuple[Layer, ...]
    methods: tuple[str, ...]
    box: Box
    """What the network saw: (left, top, right, bottom) in the photo's pixels."""
    size: tuple[int, int]
    """(height, width) of the network's input."""
    seconds: float
    """Time taken by the forward pass, the backward pass and all maps."""
    _maps: Mapping[tuple[str, str], FloatMap] = field(repr=False)
    _energy: Mapping[str, float] = field(repr=False)

    def has(self, method: str, layer: str) -> bool:
        """Whether there is a map of this method at this layer."""
        return (method, layer) in self._maps

    def layers_of(self, method: str) -> tuple[Layer, ...]:
        """The layers at which this method has a map: all that were asked, or the input alone."""
        if method not in self.methods:
            raise ValueError(unknown("method", method, self.methods))
        found = tuple(layer for layer in self.layers if (method, layer.name) in self._maps)
        return found or (Layer(INPUT, 3, *self.size),)

    def map(self, method: str, layer: str) -> FloatMap:
        """The raw map, float32 (height, width) of the layer, read-only."""
        try:
            return self._maps[method, layer]
        except KeyError:
            names = tuple(each.name for each in self.layers_of(method))
            raise ValueError(unknown("layer", layer, names)) from None

    def resized(self, method: str, layer: str, size: tuple[int, int] = (224, 224)) -> FloatMap:
        """The map resized to (height, width), bilinear, then min-max normalised to [0, 1]."""
        values = self.map(method, layer)
        return np.zeros(size, np.float32) if is_constant(values) else normalise(resize(values, size))

    def constant(self, method: str, layer: str) -> bool:
        """Whether the map says the same at every place, so that there is nothing to see."""
        return is_constant(self.map(method, layer))

    def energy(self, layer: str) -> float | None:
        """Share of the gradient's energy that survives spatial averaging; None for a zero gradient.

        See :func:`saliency_core.methods.registry.surviving_energy`.
        """
        names = tuple(layer.name for layer in self.layers)
        if layer not in names:
            raise ValueError(unknown("layer", layer, names))
        share = self._energy[layer]
        return None if math.isnan(share) else min(share, 1.0)

    def joined(self, other: Explanation) -> Explanation:
        """This explanation with the methods of another one of the same photo, class and layers as well.

        Raises ``ValueError`` when the two explain something else.
        """
        same_photo = np.allclose(self.probabilities, other.probabilities, atol=1e-4)
        if not same_photo or (self.target, self.layers, self.box) != (other.target, other.layers, other.box):
            raise ValueError(
                "these explanations are of different photos, classes or layers and cannot be joined"
            )
        return replace(
            self,
            methods=tuple(dict.fromkeys((*self.methods, *other.methods))),
            _maps={**self._maps, **other._maps},
        )

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.probabilities.nbytes + sum(values.nbytes for values in self._maps.values())


def explain(
    classifier: Classifier,
    image: Image.Image | Tensor,
    target: int | str | None = None,
    layers: Iterable[str] | None = None,
    methods: Iterable[str] | None = None,
    *,
    fit: str = "crop",
    meta: MetaStep | None = None,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
) -> Explanation:
    """Explain one photo: one forward and one backward pass, every single-pass method at every layer.

    Methods with a backward rule of their own take one more pass each, for all layers together. Baselines take
    many passes; their map is at the layer ``"input"``.

    Args:
        image: a PIL image, or a prepared tensor (1, 3, H, W).
        target: class index or label; the most likely class if None.
        layers: the classifier's default stages if None; any of ``classifier.layers`` by name, or ``"input"``.
        methods: every method of the single pass if None.
        fit: how a PIL image is laid into the input: ``"crop"``, ``"stretch"`` or ``"pad"``.
        meta: one step of learning before the explanation; the probabilities stay those before it.
        progress: called with (passes done, passes in all) by the baselines; what it raises stops them.
        lock: entered for every batch of passes, a lock for instance.

    Raises:
        ValueError: an unknown name (with the choices), a method that is not defined here (with the reason),
            a batch of more than one, or NaN in the network.
        TypeError: an image that is neither.

    >>> e = explain(load_classifier("tf_efficientnet_lite0"), open_image("cat.jpg"))  # doctest: +SKIP
    >>> e.map("normgrad", "blocks.4").shape  # doctest: +SKIP
    (14, 14)
    """
    names, layers = _question(classifier, methods, layers)
    if meta is not None and (slow := [name for name in names if METHODS[name].cost == "passes"]):
        raise UnavailableError(f"{METHODS[slow[0]].title} is not available after a meta step; choose another")
    start = time.perf_counter()
    batch, box = _prepared(classifier, image, fit)
    with contextlib.ExitStack() as stack:
        after = None
        if meta is not None:
            index = None if target is None else classifier.class_index(target)
            with lock:
                after = stack.enter_context(meta.modified(classifier, batch, index))
            target = int(after.targets[0])
        network = None if after is None else after.network
        with lock:
            first = capture(
                classifier, batch, target, layers, convolutions=_wants(names, "convolution"), network=network
            )
        ask = _Ask(classifier, batch, box, layers, names, progress, lock, network)
        return ask.answer(first, first.logits if after is None else after.logits, start)


def explain_classes(
    classifier: Classifier,
    image: Image.Image | Tensor,
    classes: Sequence[int | str] | None = None,
    layers: Iterable[str] | None = None,
    methods: Iterable[str] | None = None,
    *,
    fit: str = "crop",
    meta: MetaStep | None = None,
    lock: Lock = NO_LOCK,
) -> tuple[Explanation, ...]:
    """Explain one photo for several classes: one forward pass, and one backward pass per class.

    With a meta step, which changes the network for each class, every class takes passes of its own.

    Args:
        classes: indices or labels; the most and the least likely class if None.
        image, layers, methods, fit, meta, lock: as for :func:`explain`, which also lists the errors.
    """
    asked = layers if layers is None or isinstance(layers, str) else tuple(layers)
    names, layers = _question(classifier, methods, asked)
    start = time.perf_counter()
    batch, box = _prepared(classifier, image, fit)
    chosen = None if classes is None else [classifier.class_index(target) for target in classes]
    if chosen is not None and len(chosen) < 1:
        raise ValueError("no class was asked for; name at least one, or pass None for the extremes")
    if meta is not None or _wants(names, "convolution"):
        if chosen is None:
            with lock, torch.no_grad():
                chosen = _extremes(classifier.module(classifier.to_device(batch).clone())[0])
        found = (explain(classifier, batch, target, asked, names, meta=meta, lock=lock) for target in chosen)
        return tuple(replace(explanation, box=box) for explanation in found)
    with lock:
        captures = capture_classes(classifier, batch, lambda logits: chosen or _extremes(logits), layers)
    ask = _Ask(classifier, batch, box, layers, names, no_progress, lock, None)
    return tuple(ask.answer(captured, captured.logits, start) for captured in captures)


def _extremes(logits: Tensor) -> list[int]:
    """The most and the least likely class."""
    return [int(logits.argmax()), int(logits.argmin())]


@dataclass(frozen=True)
class _Ask:
    """A question whose first pass is done: the other passes, the maps, the answer."""

    classifier: Classifier
    batch: Tensor
    box: Box
    layers: tuple[str, ...]
    names: tuple[str, ...]
    progress: ProgressCallback
    lock: Lock
    network: nn.Module | None

    def answer(self, first: Capture, logits: Tensor, start: float) -> Explanation:
        index, classifier = int(first.targets[0]), self.classifier
        with self.lock:
            stacks = _stacks(first, [name for name in self.names if METHODS[name].cost == "single"])
            energies = torch.cat([stack.energy for stack in stacks if stack.energy is not None])
        rules = (METHODS[name].rule for name in self.names)
        for rule in dict.fromkeys(rule for rule in rules if rule is not None):
            with self.lock:
                second = capture(
                    classifier,
                    self.batch,
                    index,
                    [layer for layer in self.layers if obstacle(classifier, rule, layer) is None],
                    rule=rule,
                    plain_logits=first.logits,
                    network=self.network,
                )
                stacks += _stacks(second, [name for name in self.names if METHODS[name].rule is rule])
        for name in (name for name in self.names if METHODS[name].cost == "passes"):
            slow = BASELINES[name].compute(
                classifier, self.batch, index, progress=self.progress, lock=self.lock
            )
            stacks.append(_Stack(INPUT, [name], slow[None]))
        probabilities, shares, *arrays = _to_host(
            [logits[0].detach().softmax(0), energies, *(stack.maps for stack in stacks)]
        )
        planes: dict[tuple[str, str], FloatMap] = {}
        for stack, array in zip(stacks, arrays, strict=True):
            _check_finite(stack, array)
            planes |= {(name, stack.layer): array[row] for row, name in enumerate(stack.names)}
        return Explanation(
            target=index,
            label=classifier.labels[index],
            probabilities=probabilities,
            layers=tuple(Layer(name, *pair.activation.shape[1:]) for name, pair in first.layers.items()),
            methods=self.names,
            box=self.box,
            size=(int(self.batch.shape[2]), int(self.batch.shape[3])),
            seconds=time.perf_counter() - start,
            _maps=planes,
            _energy=dict(zip(first.layers, shares.tolist(), strict=True)),
        )


def _question(
    classifier: Classifier, methods: Iterable[str] | None, layers: Iterable[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Methods and layers, checked."""
    names = _methods(methods)
    chosen = classifier.default_layers if layers is None else choose_layers(classifier.survey, layers)
    # Of the default layers a method takes those at which it is defined; named ones it must all take.
    for name in names:
        for layer in (None,) if layers is None else chosen:
            if (reason := unavailable(classifier, name, layer)) is not None:
                raise UnavailableError(f"{METHODS[name].title} is not available: {reason}")
    return names, chosen


def _prepared(classifier: Classifier, image: Image.Image | Tensor, fit: str) -> tuple[Tensor, Box]:
    """The input (1, 3, H, W) and what it shows."""
    if not isinstance(image, Tensor):
        return classifier.prepare(image, fit)
    if image.ndim != 4 or len(image) != 1:
        raise ValueError(f"image has shape {tuple(image.shape)}; expected one prepared image (1, 3, H, W)")
    return image, (0.0, 0.0, float(image.shape[3]), float(image.shape[2]))


@dataclass(frozen=True)
class _Stack:
    """Several methods' maps at one layer, and the share of the pass's energy that survives averaging."""

    layer: str
    names: list[str]
    maps: Tensor
    """(methods, H, W)."""
    energy: Tensor | None = None
    """(1,); None for what took many passes."""


def _stacks(captured: Capture, names: list[str]) -> list[_Stack]:
    stacks: list[_Stack] = []
    with torch.inference_mode():
        for layer, pair in captured.layers.items():
            # A copy: the terms that its methods share go with it, and the next layer's take their memory.
            own = replace(pair)
            defined = [name for name in names if own.convolution or METHODS[name].where != "convolution"]
            maps = [METHODS[name](own) for name in defined] or [own.gradient[:0, 0]]
            stacks.append(_Stack(layer, defined, torch.cat(maps), surviving_energy(own)))
    return stacks


def _wants(names: Iterable[str], where: str) -> bool:
    return any(METHODS[name].where == where for name in names)


def _methods(methods: Iterable[str] | None) -> tuple[str, ...]:
    if methods is None:
        return SINGLE_PASS
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    for name in names:
        METHODS[name]
    if not names:
        raise ValueError("no method was asked for; name at least one, or pass None for all of them")
    return tuple(dict.fromkeys(names))


def _to_host(tensors: list[Tensor]) -> list[NDArray[np.float32]]:
    """Everything in one copy from the device: read-only float32 arrays of the same shapes."""
    flat = torch.cat([tensor.float().reshape(-1) for tensor in tensors]).cpu().numpy()
    flat.flags.writeable = False
    ends = np.cumsum([tensor.numel() for tensor in tensors])
    return [
        flat[end - tensor.numel() : end].reshape(tuple(tensor.shape))
        for tensor, end in zip(tensors, ends, strict=True)
    ]


def _check_finite(stack: _Stack, maps: NDArray[np.float32]) -> None:
    if np.isfinite(maps).all():
        return
    bad = next(name for name, values in zip(stack.names, maps, strict=True) if not np.isfinite(values).all())
    raise NonFiniteError(
        f"{METHODS[bad].title} at layer {stack.layer!r} contains NaN or infinity: the network's "
        "activations or gradients overflow there; check its weights and the input"
    )
