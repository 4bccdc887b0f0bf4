"""From photos, a network and classes to every method's map at every layer."""

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

from saliency_core.backprop.capture import Capture, capture, capture_classes
from saliency_core.backprop.variants import MetaStep, stepped
from saliency_core.combine import FloatMap, is_constant, normalise, resize
from saliency_core.errors import (
    ArgumentError,
    ArgumentTypeError,
    NonFiniteError,
    TargetError,
    UnavailableError,
    UnknownNameError,
)
from saliency_core.inputs.preprocess import Box
from saliency_core.methods.gradient import surviving_energy
from saliency_core.methods.method import Domain, MultiPass, SharedPass
from saliency_core.methods.registry import METHODS, unavailable
from saliency_core.models.classifier import Classifier
from saliency_core.models.layers import INPUT, Layer, choose_layers
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import unknown

Target = int | str
"""A class by its index or its label."""
Options = Mapping[str, Mapping[str, float]]
"""Method -> option -> value, see :attr:`saliency_core.methods.method.Method.options`."""

SINGLE_PASS = tuple(
    name
    for name, method in METHODS.items()
    if isinstance(method.kind, SharedPass) and method.domain is Domain.LAYERS
)
"""The methods that one forward and one backward pass give at every layer."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Every method's map at every layer for one photo, network and class. Immutable, compared by identity."""

    target: int
    """Index of the class explained."""
    label: str
    probabilities: NDArray[np.float32]
    """Softmax of the class scores, (classes,); those before the meta step, if there was one."""
    layers: tuple[Layer, ...]
    methods: tuple[str, ...]
    box: Box
    """What the network saw: (left, top, right, bottom) in the photo's pixels."""
    size: tuple[int, int]
    """(height, width) of the network's input."""
    seconds: float
    """Time taken by all passes and maps; of a batch, its time divided by the number of images."""
    meta: MetaStep | None
    """The gradient step taken before explaining."""
    _maps: Mapping[tuple[str, str], FloatMap] = field(repr=False)
    _energy: Mapping[str, float] = field(repr=False)

    def has(self, method: str, layer: str | Layer) -> bool:
        """Whether there is a map of this method at this layer."""
        return (method, _layer_name(layer)) in self._maps

    def layers_of(self, method: str) -> tuple[Layer, ...]:
        """The layers at which this method has a map: all that were asked for, or the input alone.

        Raises:
            UnknownNameError: a method that is not in this explanation, with the choices.
        """
        if method not in self.methods:
            raise UnknownNameError(unknown("method", method, self.methods))
        found = tuple(layer for layer in self.layers if (method, layer.name) in self._maps)
        return found or (Layer(INPUT, 3, *self.size),)

    def map(self, method: str, layer: str | Layer) -> FloatMap:
        """The raw map, float32 (height, width) of the layer, read-only.

        Args:
            method: one of ``methods``.
            layer: one of ``layers``, or its name.

        Raises:
            UnknownNameError: no map of this name, with the choices.
        """
        name = _layer_name(layer)
        try:
            return self._maps[method, name]
        except KeyError:
            names = tuple(each.name for each in self.layers_of(method))
            raise UnknownNameError(unknown("layer", name, names)) from None

    def resized(self, method: str, layer: str | Layer, size: tuple[int, int] = (224, 224)) -> FloatMap:
        """The map resized to (height, width), bilinear, then min-max normalised to [0, 1]."""
        values = self.map(method, layer)
        return np.zeros(size, np.float32) if is_constant(values) else normalise(resize(values, size))

    def constant(self, method: str, layer: str | Layer) -> bool:
        """Whether the map has the same value at every location, so that there is nothing to see."""
        return is_constant(self.map(method, layer))

    def energy(self, layer: str | Layer) -> float | None:
        """Share of the gradient energy left after averaging over all locations; None for a zero gradient.

        See :func:`saliency_core.methods.gradient.surviving_energy`.
        """
        name, names = _layer_name(layer), tuple(each.name for each in self.layers)
        if name not in names:
            raise UnknownNameError(unknown("layer", name, names))
        share = self._energy[name]
        return None if math.isnan(share) else min(share, 1.0)

    def joined(self, other: Explanation) -> Explanation:
        """This explanation with the methods of another one of the same photo, class and layers too.

        Raises:
            ArgumentError: the two explain something else.
        """
        same_photo = self.probabilities.shape == other.probabilities.shape and np.allclose(
            self.probabilities, other.probabilities, atol=1e-4
        )
        mine, others = ((each.target, each.layers, each.box, each.size, each.meta) for each in (self, other))
        if not same_photo or mine != others:
            raise ArgumentError(
                "these explanations are of different photos, classes, layers or meta steps and cannot be "
                "joined; explain both with the same arguments"
            )
        return replace(
            self,
            methods=tuple(dict.fromkeys((*self.methods, *other.methods))),
            _maps={**self._maps, **other._maps},
        )

    def only(self, methods: str | Iterable[str]) -> Explanation:
        """This explanation with some of its methods, whose maps alone it holds.

        Raises:
            UnknownNameError: a method that is not in this explanation, with the choices.
            ArgumentError: no method.
        """
        names = _names(methods, "method")
        for name in names:
            if name not in self.methods:
                raise UnknownNameError(unknown("method", name, self.methods))
        # Copies: a view would keep the memory of all the other maps.
        kept = {key: _read_only(values.copy()) for key, values in self._maps.items() if key[0] in names}
        return replace(self, methods=names, _maps=kept)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.probabilities.nbytes + sum(values.nbytes for values in self._maps.values())


def explain(
    classifier: Classifier,
    image: Image.Image | Tensor,
    target: Target | None = None,
    layers: Iterable[str | Layer] | None = None,
    methods: Iterable[str] | None = None,
    *,
    fit: str = "crop",
    meta: MetaStep | None = None,
    options: Options | None = None,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
) -> Explanation:
    """Explain one photo: one forward and one backward pass, every single-pass method at every layer.

    Methods with a backward rule of their own take one more pass each, for all layers together. Many-pass
    methods run the network on many changed copies; their map is at the layer ``"input"``.

    Args:
        image: a PIL image, or a prepared tensor (1, 3, H, W).
        target: class index or label; the most likely class if None.
        layers: layers or their names, ``"input"`` too; the classifier's default stages if None.
        methods: names; every method of the shared pass if None.
        fit: how a PIL image is laid into the input: ``"crop"``, ``"stretch"`` or ``"pad"``.
        meta: one gradient step before the explanation; the probabilities stay those before it.
        options: values for options of many-pass methods, ``{"rise": {"masks": 500}}``.
        progress: called with (passes done, passes in all) by many-pass methods; what it raises stops them.
        lock: entered for every batch of passes.

    Raises:
        UnknownNameError, LayerError, TargetError: an unknown name, with the choices.
        UnavailableError: a method that is not defined here, with the reason.
        ArgumentError, ArgumentTypeError: an image, option or list of names that cannot be used.
        NonFiniteError: NaN or infinity in the network.

    >>> e = explain(load_classifier("tf_efficientnet_lite0"), open_image("cat.jpg"))  # doctest: +SKIP
    >>> e.map("normgrad", "blocks.4").shape  # doctest: +SKIP
    (14, 14)
    """
    if isinstance(image, Tensor) and image.ndim == 4 and len(image) != 1:
        raise ArgumentError(
            f"image has shape {tuple(image.shape)}; expected one prepared image (1, 3, H, W); "
            "explain_many takes several"
        )
    (found,) = explain_many(
        classifier,
        [image],
        None if target is None else [target],
        layers,
        methods,
        fit=fit,
        meta=meta,
        options=options,
        progress=progress,
        lock=lock,
    )
    return found


def explain_many(
    classifier: Classifier,
    images: Sequence[Image.Image | Tensor] | Tensor,
    targets: Target | Sequence[Target] | None = None,
    layers: Iterable[str | Layer] | None = None,
    methods: Iterable[str] | None = None,
    *,
    fit: str = "crop",
    meta: MetaStep | None = None,
    options: Options | None = None,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
) -> tuple[Explanation, ...]:
    """Explain several photos together: one forward and one backward pass for the batch.

    The maps are those of each photo alone, up to rounding. With a meta step, which changes the network for
    each photo, and for many-pass methods the photos take their passes one after the other.

    Args:
        images: PIL images and prepared tensors (1, 3, H, W), or one tensor (N, 3, H, W), all of one size
            once prepared. Memory grows with their number.
        targets: one class for all, one per image, or None for each image's most likely class.
        layers, methods, fit, meta, options, progress, lock: as for :func:`explain`, which also lists the
            errors.
    """
    request = _request(classifier, layers, methods, meta, options, progress, lock)
    start = time.perf_counter()
    batch, regions = _prepared(classifier, images, fit)
    classes = _targets(classifier, targets, len(batch))
    if meta is None:
        with lock:
            first = capture(
                classifier, batch, classes, request.layers, convolutions=request.needs_convolutions
            )
        return request.answers(batch, regions, first, first.logits, start)
    found: list[Explanation] = []
    for index, region in enumerate(regions):
        single, target = batch[index : index + 1], None if classes is None else classes[index]
        found += request.answers_after_step(single, region, target, meta)
    return tuple(found)


def explain_classes(
    classifier: Classifier,
    image: Image.Image | Tensor,
    classes: Sequence[Target] | None = None,
    layers: Iterable[str | Layer] | None = None,
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

    Raises:
        TargetError: no class; or none given, where all classes are equally likely.
    """
    request = _request(classifier, layers, methods, meta, None, no_progress, lock)
    start = time.perf_counter()
    batch, regions = _prepared(classifier, [image], fit)
    chosen = None if classes is None else class_indices(classifier, classes)
    if meta is None and not request.needs_convolutions:
        with lock:
            captures = capture_classes(
                classifier, batch, lambda logits: chosen or _extremes(logits), request.layers
            )
        return tuple(
            request.answers(batch, regions, captured, captured.logits, start)[0] for captured in captures
        )
    if chosen is None:
        with lock, torch.no_grad():
            chosen = _extremes(classifier.module(classifier.to_device(batch))[0])
    found: list[Explanation] = []
    for target in chosen:
        if meta is not None:
            found += request.answers_after_step(batch, regions[0], target, meta)
            continue
        with lock:
            captured = capture(classifier, batch, target, request.layers, convolutions=True)
        found += request.answers(batch, regions, captured, captured.logits, start)
    return tuple(found)


def class_indices(classifier: Classifier, classes: Sequence[Target]) -> list[int]:
    """The indices of classes given by index or label.

    Raises:
        ArgumentTypeError: a single class instead of a sequence.
        TargetError: no class, or one that does not exist.
    """
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise ArgumentTypeError(f"classes is {classes!r}; expected a sequence of class indices or labels")
    chosen = [classifier.class_index(target) for target in classes]
    if not chosen:
        raise TargetError("no class was asked for; name at least one, or pass None for the extremes")
    return chosen


def _extremes(logits: Tensor) -> list[int]:
    """The most and the least likely class."""
    most, least = int(logits.argmax()), int(logits.argmin())
    if most == least:
        reason = "the network has a single class" if len(logits) == 1 else "all classes are equally likely"
        raise TargetError(f"{reason}, so none is the most and another the least likely; name the classes")
    return [most, least]


@dataclass(frozen=True)
class _Request:
    """What is computed for every image: layers and methods, checked, with the options of each method."""

    classifier: Classifier
    layers: tuple[str, ...]
    names: tuple[str, ...]
    meta: MetaStep | None
    options: Mapping[str, Mapping[str, float]]
    progress: ProgressCallback
    lock: Lock

    @property
    def needs_convolutions(self) -> bool:
        return any(METHODS[name].domain is Domain.CONVOLUTIONS for name in self.names)

    def answers_after_step(
        self, image: Tensor, region: Box, target: int | None, meta: MetaStep
    ) -> tuple[Explanation, ...]:
        """The explanation of one image (1, 3, H, W) by the network after its meta step."""
        start = time.perf_counter()
        with contextlib.ExitStack() as stack:
            with self.lock:
                after = stack.enter_context(stepped(self.classifier, image, target, meta))
            with self.lock:
                first = capture(
                    self.classifier,
                    image,
                    int(after.targets[0]),
                    self.layers,
                    convolutions=self.needs_convolutions,
                    network=after.network,
                )
            return self.answers(image, [region], first, after.logits, start, after.network)

    def answers(
        self,
        batch: Tensor,
        regions: Sequence[Box],
        first: Capture,
        logits: Tensor,
        start: float,
        network: nn.Module | None = None,
    ) -> tuple[Explanation, ...]:
        """The explanations of a batch (N, 3, H, W) whose shared pass is done."""
        targets = [int(target) for target in first.targets]
        with self.lock:
            shared = [name for name in self.names if isinstance(METHODS[name].kind, SharedPass)]
            stacks = _stacks(first, shared, with_energy=True)
            energies = torch.stack([each.energy for each in stacks if each.energy is not None], dim=1)
        for rule in dict.fromkeys(rule for name in self.names if (rule := METHODS[name].rule)):
            with self.lock:
                second = capture(self.classifier, batch, targets, self.layers, rule=rule, network=network)
                stacks += _stacks(second, [name for name in self.names if METHODS[name].rule is rule])
        stacks += self._at_the_input(batch, targets)
        scores = logits.detach()
        probabilities = scores.to(torch.promote_types(scores.dtype, torch.float32)).softmax(dim=1)
        rows = _to_host([probabilities, energies, *(stack.maps for stack in stacks)])
        layers = tuple(Layer(name, *pair.activation.shape[1:]) for name, pair in first.layers.items())
        explanations = []
        for target, region, (probability, shares, *arrays) in zip(targets, regions, rows, strict=True):
            maps: dict[tuple[str, str], FloatMap] = {}
            for stack, array in zip(stacks, arrays, strict=True):
                _check_finite(stack, array)
                maps |= {(name, stack.layer): array[row] for row, name in enumerate(stack.names)}
            explanations.append(
                Explanation(
                    target=target,
                    label=self.classifier.labels[target],
                    probabilities=probability,
                    layers=layers,
                    methods=self.names,
                    box=region,
                    size=(int(batch.shape[2]), int(batch.shape[3])),
                    seconds=(time.perf_counter() - start) / len(batch),
                    meta=self.meta,
                    _maps=maps,
                    _energy=dict(zip(first.layers, shares.tolist(), strict=True)),
                )
            )
        return tuple(explanations)

    def _at_the_input(self, batch: Tensor, targets: Sequence[int]) -> list[_Stack]:
        """The maps of the many-pass methods, image by image, with one count of passes for all."""
        kinds = {name: kind for name in self.names if isinstance(kind := METHODS[name].kind, MultiPass)}
        size = (int(batch.shape[2]), int(batch.shape[3]))
        passes = {name: kind.passes(self.options[name], size) for name, kind in kinds.items()}
        total, before = len(batch) * sum(passes.values()), 0
        stacks = []
        for name, kind in kinds.items():
            maps = []
            for index, target in enumerate(targets):

                def report(done: int, _: int, before: int = before) -> None:
                    self.progress(before + done, total)

                image = batch[index : index + 1]
                maps.append(
                    kind.run(
                        self.classifier, image, target, self.options[name], progress=report, lock=self.lock
                    )
                )
                before += passes[name]
            stacks.append(_Stack(INPUT, [name], torch.stack(maps)[:, None]))
        return stacks


def _request(
    classifier: Classifier,
    layers: Iterable[str | Layer] | None,
    methods: Iterable[str] | None,
    meta: MetaStep | None,
    options: Options | None,
    progress: ProgressCallback,
    lock: Lock,
) -> _Request:
    """Layers, methods and options, checked."""
    names = SINGLE_PASS if methods is None else _names(methods, "method")
    for name in names:
        METHODS[name]
    chosen = classifier.default_layers
    if layers is not None:
        given = (layers,) if isinstance(layers, str | Layer) else layers
        if not isinstance(given, Iterable):
            raise ArgumentTypeError(f"layers is {layers!r}; expected names of layers, or None")
        chosen = choose_layers(classifier.survey, [_layer_name(layer) for layer in given])
    # Of the default layers a method takes those at which it is defined; named ones it must all take.
    for name in names:
        for layer in (None,) if layers is None else chosen:
            if (reason := unavailable(classifier, name, layer)) is not None:
                raise UnavailableError(f"{METHODS[name].title} is not available: {reason}")
    if meta is not None and (slow := [name for name in names if isinstance(METHODS[name].kind, MultiPass)]):
        raise UnavailableError(
            f"{METHODS[slow[0]].title} is not available after a meta step; leave it out, or take no step"
        )
    return _Request(classifier, chosen, names, meta, _option_values(names, options), progress, lock)


def _names(given: str | Iterable[str], kind: str) -> tuple[str, ...]:
    """Names without repetitions; a single one may stand for itself."""
    if not isinstance(given, Iterable):
        raise ArgumentTypeError(f"{kind}s is {given!r}; expected names of {kind}s, or None")
    names = (given,) if isinstance(given, str) else tuple(given)
    if not names:
        raise ArgumentError(f"no {kind} was asked for; name at least one, or pass None for all of them")
    return tuple(dict.fromkeys(names))


def _layer_name(layer: str | Layer) -> str:
    return layer.name if isinstance(layer, Layer) else layer


def _option_values(names: Sequence[str], options: Options | None) -> dict[str, dict[str, float]]:
    """For every many-pass method asked for, a value for each of its options."""
    if options is not None and not isinstance(options, Mapping):
        raise ArgumentTypeError(f"options is {options!r}; expected {{method: {{option: value}}}}")
    for name, given in (options or {}).items():
        title = METHODS[name].title
        if name not in names:
            raise ArgumentError(f"options are given for {title}, which is not among the methods asked for")
        if not METHODS[name].options:
            having = ", ".join(each for each, method in METHODS.items() if method.options)
            raise ArgumentError(f"{title} takes no options; those that do: {having}")
        if not isinstance(given, Mapping):
            raise ArgumentTypeError(f"the options of {title} are {given!r}; expected {{option: value}}")
    return {
        name: kind.values((options or {}).get(name))
        for name in names
        if isinstance(kind := METHODS[name].kind, MultiPass)
    }


def _prepared(
    classifier: Classifier, images: Sequence[Image.Image | Tensor] | Tensor, fit: str
) -> tuple[Tensor, list[Box]]:
    """The inputs (N, 3, H, W), and what each of them shows."""
    if isinstance(images, Image.Image):
        raise ArgumentTypeError("images is a single image; expected a sequence of images (explain takes one)")
    prepared: list[Tensor] = []
    regions: list[Box] = []
    for image in images[:, None] if isinstance(images, Tensor) and images.ndim == 4 else images:
        if isinstance(image, Tensor):
            if image.ndim != 4 or len(image) != 1:
                raise ArgumentError(
                    f"image has shape {tuple(image.shape)}; expected one prepared image (1, 3, H, W)"
                )
            prepared.append(image)
            regions.append((0.0, 0.0, float(image.shape[3]), float(image.shape[2])))
        else:
            x, region = classifier.prepare(image, fit)
            prepared.append(x)
            regions.append(region)
    if not prepared:
        raise ArgumentError("no images were given; expected at least one")
    shapes = dict.fromkeys(tuple(x.shape) for x in prepared)
    if len(shapes) > 1:
        raise ArgumentError(
            f"the prepared images have different shapes, {', '.join(map(str, shapes))}; explain them one "
            "by one"
        )
    if len(prepared) == 1:
        return prepared[0], regions
    return torch.cat([classifier.to_device(x) for x in prepared]), regions


def _targets(
    classifier: Classifier, targets: Target | Sequence[Target] | None, count: int
) -> list[int] | None:
    """A class index per image; None for the most likely ones."""
    if targets is None:
        return None
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        return [classifier.class_index(targets)] * count
    indices = [classifier.class_index(target) for target in targets]
    if len(indices) != count:
        raise TargetError(f"{len(indices)} targets were given for {count} images; expected one each")
    return indices


@dataclass(frozen=True)
class _Stack:
    """Several methods' maps at one layer."""

    layer: str
    names: list[str]
    maps: Tensor
    """(N, methods, H, W)."""
    energy: Tensor | None = None
    """Share of the gradient energy left after averaging, (N,); for the shared pass alone."""


def _stacks(captured: Capture, names: list[str], *, with_energy: bool = False) -> list[_Stack]:
    """The maps of these methods at every layer of a pass, where they are defined."""
    stacks: list[_Stack] = []
    with torch.inference_mode():
        for layer, pair in captured.layers.items():
            # A copy: the terms that its methods share go with it, and the next layer's take their memory.
            own = replace(pair)
            defined = [
                name for name in names if own.convolution or METHODS[name].domain is not Domain.CONVOLUTIONS
            ]
            maps = [METHODS[name](own) for name in defined]
            stacks.append(
                _Stack(
                    layer,
                    defined,
                    torch.stack(maps, dim=1) if maps else own.gradient[:, :0],
                    surviving_energy(own) if with_energy else None,
                )
            )
    return stacks


def _to_host(tensors: list[Tensor]) -> list[list[NDArray[np.float32]]]:
    """Everything in one copy from the device: per image of the batch, read-only float32 arrays.

    Tensors (N, …) -> N lists of arrays (…).
    """
    flat = torch.cat([tensor.float().flatten(1) for tensor in tensors], dim=1).cpu().numpy()
    sizes = [tensor[0].numel() for tensor in tensors]
    ends = np.cumsum(sizes)
    # Of a batch each image gets memory of its own, which goes with its explanation.
    rows = [_read_only(row if len(flat) == 1 else row.copy()) for row in flat]
    return [
        [
            row[end - size : end].reshape(tuple(tensor.shape[1:]))
            for tensor, size, end in zip(tensors, sizes, ends, strict=True)
        ]
        for row in rows
    ]


def _read_only(values: NDArray[np.float32]) -> NDArray[np.float32]:
    values.flags.writeable = False
    return values


def _check_finite(stack: _Stack, maps: NDArray[np.float32]) -> None:
    if np.isfinite(maps).all():
        return
    bad = next(name for name, values in zip(stack.names, maps, strict=True) if not np.isfinite(values).all())
    raise NonFiniteError(
        f"{METHODS[bad].title} at layer {stack.layer!r} contains NaN or infinity: the network's "
        "activations or gradients overflow there; check its weights and the input"
    )
