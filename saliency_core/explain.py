"""The one joiner: a photo, a network and a class become every method's map at every layer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saliency_core.capture import capture
from saliency_core.classifier import Classifier
from saliency_core.combine import FloatMap, is_constant, normalise, resize
from saliency_core.errors import NonFiniteError
from saliency_core.layers import Layer
from saliency_core.methods import METHODS, surviving_energy
from saliency_core.preprocess import Box
from saliency_core.registry import unknown


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

    def map(self, method: str, layer: str) -> FloatMap:
        """The raw map, float32 (height, width) of the layer, read-only."""
        try:
            return self._maps[method, layer]
        except KeyError:
            names = tuple(layer.name for layer in self.layers)
            if method not in self.methods:
                raise ValueError(unknown("method", method, self.methods)) from None
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

        See :func:`saliency_core.methods.surviving_energy`.
        """
        names = tuple(layer.name for layer in self.layers)
        if layer not in names:
            raise ValueError(unknown("layer", layer, names))
        share = self._energy[layer]
        return None if math.isnan(share) else min(share, 1.0)

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
) -> Explanation:
    """Explain one photo: one forward and one backward pass, every method at every layer.

    Args:
        image: a PIL image, or a prepared tensor (1, 3, H, W).
        target: class index or label; the most likely class if None.
        layers: the classifier's default stages if None; any of ``classifier.layers`` by name.
        methods: every registered method if None.
        fit: how a PIL image is laid into the input: ``"crop"``, ``"stretch"`` or ``"pad"``.

    Raises:
        ValueError: an unknown name (with the choices), a batch of more than one, or NaN in the network.
        TypeError: an image that is neither.

    >>> e = explain(load_classifier("tf_efficientnet_lite0"), open_image("cat.jpg"))  # doctest: +SKIP
    >>> e.map("normgrad", "blocks.4").shape  # doctest: +SKIP
    (14, 14)
    """
    names = _methods(methods)
    start = time.perf_counter()
    if isinstance(image, Tensor):
        if image.ndim != 4 or len(image) != 1:
            raise ValueError(
                f"image has shape {tuple(image.shape)}; expected one prepared image (1, 3, H, W)"
            )
        batch, (height, width) = image, (int(image.shape[2]), int(image.shape[3]))
        box: Box = (0.0, 0.0, float(width), float(height))
    else:
        batch, box = classifier.prepare(image, fit)
        height, width = batch.shape[2:]
    captured = capture(classifier, batch, target, layers)
    maps: dict[tuple[str, str], Tensor] = {}
    with torch.no_grad():
        for layer, pair in captured.layers.items():
            maps |= {(name, layer): METHODS[name](pair)[0] for name in names}
        energies = torch.cat([surviving_energy(pair) for pair in captured.layers.values()])
        arrays = _to_host([captured.logits[0].softmax(0), energies, *maps.values()])
    probabilities, shares, planes = arrays[0], arrays[1], dict(zip(maps, arrays[2:], strict=True))
    _check_finite(planes)
    index = int(captured.targets[0])
    return Explanation(
        target=index,
        label=classifier.labels[index],
        probabilities=probabilities,
        layers=tuple(Layer(name, *pair.activation.shape[1:]) for name, pair in captured.layers.items()),
        methods=names,
        box=box,
        size=(height, width),
        seconds=time.perf_counter() - start,
        _maps=planes,
        _energy=dict(zip(captured.layers, shares.tolist(), strict=True)),
    )


def _methods(methods: Iterable[str] | None) -> tuple[str, ...]:
    names = tuple(METHODS) if methods is None else (methods,) if isinstance(methods, str) else tuple(methods)
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


def _check_finite(planes: Mapping[tuple[str, str], FloatMap]) -> None:
    for (method, layer), values in planes.items():
        if not np.isfinite(values).all():
            raise NonFiniteError(
                f"{METHODS[method].title} at layer {layer!r} contains NaN or infinity: the network's "
                "activations or gradients overflow there; check its weights and the input"
            )
