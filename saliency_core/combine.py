"""Mixing the maps of several layers into one: resize, normalise, weighted product or sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from saliency_core.registry import listed, unknown

FloatMap = NDArray[np.float32]
HOW = ("product", "sum")
PRESETS = ("uniform", "linear")
MAX_SIDE = 1 << 15
CONSTANT_TOLERANCE = 1e-4
"""A map is constant if its range is at most this fraction of its largest absolute value: where a thousand
channels cancel, float32 leaves a pattern of a few 1e-5 on a sum that is the same everywhere."""


def checked_size(size: object) -> tuple[int, int]:
    """A (height, width) that a user gave.

    Raises:
        ArgumentTypeError: not two whole numbers.
        ArgumentError: one of them is below 1, or above what a picture has.
    """
    sides = listed(size, "size", "(height, width)")
    if len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
        raise ArgumentTypeError(f"size is {size!r}; expected two whole numbers, (height, width)")
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ArgumentError(f"size is {size!r}; expected a height and a width from 1 to {MAX_SIDE}")
    return int(sides[0]), int(sides[1])


def resize(values: FloatMap, size: tuple[int, int]) -> FloatMap:
    """Bilinear resize (``align_corners=False``) of a map (h, w) to ``size`` = (height, width).

    Without antialiasing, as ``torch.nn.functional.interpolate``, and equal to it up to rounding.
    """
    given = np.asarray(values, np.float32)
    top, bottom, down = _neighbours(given.shape[0], size[0])
    left, right, across = _neighbours(given.shape[1], size[1])
    # Along the rows first: there are fewer of them before the map is enlarged. In double precision: where
    # neighbours are equal, so is what lies between them, which float32 rounds away from the minimum.
    wide = given[:, left] * (1 - across) + given[:, right] * across
    result: FloatMap = (wide[top] * (1 - down)[:, None] + wide[bottom] * down[:, None]).astype(np.float32)
    return result


@lru_cache(maxsize=256)
def _neighbours(cells: int, pixels: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """For every pixel along an axis the two cells with the nearest centres, and the weight of the second."""
    # Every step in float32, as PyTorch takes it: in double precision the last bits of the weights differ.
    half = np.float32(0.5)
    at = np.float32(cells) / np.float32(pixels) * (np.arange(pixels, dtype=np.float32) + half) - half
    at = np.maximum(at, np.float32(0))
    low = np.minimum(at.astype(np.intp), cells - 1)
    return low, np.minimum(low + 1, cells - 1), (at - low).astype(np.float64)


def is_constant(values: FloatMap) -> bool:
    """Whether a map (h, w) has the same value everywhere, up to the rounding of float32."""
    low, high = float(values.min()), float(values.max())
    return high - low <= CONSTANT_TOLERANCE * max(abs(low), abs(high))


def normalise(values: FloatMap) -> FloatMap:
    """Min-max to [0, 1]: ``(v - min) / (max - min)``; zeros for a constant map."""
    if is_constant(values):
        return np.zeros_like(values, dtype=np.float32)
    low, high = values.min(), values.max()
    unit: FloatMap = (values - low) / (high - low)
    return unit


def combine(
    maps: Sequence[FloatMap],
    weights: Sequence[float] | None = None,
    how: str = "product",
    size: tuple[int, int] = (224, 224),
) -> FloatMap:
    r"""Mix maps of several layers into one.

    Each map is resized to ``size`` (bilinear, ``align_corners=False``) and min-max normalised to
    :math:`m_l \in [0, 1]`; the weights are divided by their sum, :math:`\gamma_l = w_l / \sum_k w_k`.

    - ``product``: :math:`\prod_l m_l^{\gamma_l}`, the weighted geometric mean (:math:`0^0 = 1`).
    - ``sum``: :math:`\sum_l \gamma_l m_l`.

    A constant map has no information about locations: it is left out together with its weight. If no map is
    left, the result is zero everywhere.

    Args:
        maps: raw maps (h, w), whose sizes may differ.
        weights: one number ≥ 0 per map, not all zero; all equal if None.
        how: ``"product"`` or ``"sum"``.
        size: (height, width) of the result.

    Returns:
        float32 (height, width), values in [0, 1].

    Raises:
        UnknownNameError: ``how`` is neither.
        ArgumentError: no maps, maps that are not finite (h, w) arrays, or weights or a size that do not fit.
        ArgumentTypeError: maps or weights that are not numbers, or no size.

    >>> import numpy as np
    >>> combine([np.eye(2), np.ones((2, 2))], [1, 2], "sum", size=(2, 2))
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    if how not in HOW:
        raise UnknownNameError(unknown("how", how, HOW))
    size = checked_size(size)
    given = listed(maps, "maps", "a list of maps")
    planes = [
        np.asarray(checked_map(values, f"map {index}"), np.float32) for index, values in enumerate(given)
    ]
    if not planes:
        raise ArgumentError("no maps were given; expected at least one")
    gamma = _weights(weights, len(planes))
    mixed = np.zeros(size, np.float64)
    used = [
        (plane, weight)
        for plane, weight in zip(planes, gamma, strict=True)
        if weight > 0 and not is_constant(plane)
    ]
    total = sum(weight for _, weight in used)
    for plane, weight in used:
        m = normalise(resize(plane, size)).astype(np.float64)
        with np.errstate(divide="ignore"):  # log 0 = -inf, and exp(-inf) = 0 is what is meant
            mixed += weight / total * (np.log(m) if how == "product" else m)
    if used and how == "product":
        mixed = np.exp(mixed)
    return mixed.astype(np.float32)


def layer_weights(layers: Sequence[str], preset: str | Mapping[str, float] = "uniform") -> tuple[float, ...]:
    """Weights for layers named from input to output; they sum to 1.

    Args:
        layers: the layers' names.
        preset: ``"uniform"``, ``"linear"`` (1, 2, …, L, then divided by their sum), or a mapping from
            layer to weight, such as one of a model's ``presets``; layers it does not name get 0.

    Raises:
        UnknownNameError: an unknown preset.
        ArgumentTypeError: not a list of names, or weights that are not numbers.
        ArgumentError: no layers, or a mapping that names none of the layers.

    >>> layer_weights(["layer1", "layer2", "layer3"], "linear")
    (0.16666666666666666, 0.3333333333333333, 0.5)
    """
    expected = "a list of names of layers"
    names = listed(layers, "layers", expected)
    if isinstance(layers, str) or not all(isinstance(name, str) for name in names):
        raise ArgumentTypeError(f"layers is {layers!r}; expected {expected}")
    if not names:
        raise ArgumentError("no layers were given; expected at least one name")
    if isinstance(preset, Mapping):
        raw = numbers([preset.get(layer, 0.0) for layer in names], "preset").tolist()
        if not any(raw):
            raise ArgumentError(
                f"the preset is for {', '.join(map(str, preset))}; the layers are {', '.join(names)}"
            )
    elif isinstance(preset, str) and preset in PRESETS:
        raw = [1.0 if preset == "uniform" else index + 1.0 for index in range(len(names))]
    else:
        raise UnknownNameError(unknown("preset", preset, PRESETS))
    return tuple(_weights(raw, len(names)).tolist())


def numbers(given: object, what: str) -> NDArray[np.float64]:
    """Numbers that a user gave, as an array; raises ``ArgumentTypeError`` for anything else."""
    try:
        found: NDArray[np.float64] = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # as NumPy's and PyTorch's arrays raise them
        raise ArgumentTypeError(f"{what} is {given!r}; expected numbers") from None
    if np.asarray(given).dtype.kind not in "biuf":
        raise ArgumentTypeError(f"{what} is {given!r}; expected numbers")
    return found


def checked_map(values: object, what: str) -> FloatMap:
    """A map that a user gave, (height, width); raises ``ArgumentError`` or ``ArgumentTypeError``."""
    numbers(values, what)
    plane: FloatMap = np.asarray(values)
    if plane.ndim != 2 or 0 in plane.shape:
        raise ArgumentError(f"{what} has shape {plane.shape}; expected (height, width)")
    if not np.isfinite(plane).all():
        raise ArgumentError(f"{what} contains NaN or infinity; expected finite values")
    return plane


def _weights(weights: Sequence[float] | None, count: int) -> NDArray[np.float64]:
    raw = np.ones(count) if weights is None else numbers(weights, "weights")
    if raw.shape != (count,):
        raise ArgumentError(f"{raw.size} weights were given for {count} maps; expected one each")
    if not np.isfinite(raw).all() or (raw < 0).any() or not raw.any():
        raise ArgumentError(f"weights are {raw.tolist()}; expected finite numbers >= 0, at least one above 0")
    gamma: NDArray[np.float64] = raw / raw.sum()
    return gamma
