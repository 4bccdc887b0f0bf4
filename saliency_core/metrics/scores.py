"""Hits and energy shares of all maps of one photo at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from saliency_core.combine import (
    CONSTANT_TOLERANCE,
    FloatMap,
    checked_map,
    checked_size,
    combine,
    is_constant,
    layer_weights,
)
from saliency_core.errors import ArgumentError, LayerError
from saliency_core.explanation import Explanation
from saliency_core.inputs.preprocess import InputRegion
from saliency_core.metrics.localisation import inside_boxes
from saliency_core.metrics.mixes import Mix, mix_named
from saliency_core.metrics.pointing import (
    TOLERANCE,
    Mask,
    Maximum,
    ObjectPixels,
    Region,
    axis,
    checked_box,
    checked_tolerance,
    maxima,
    point_in_photo,
    seen_objects,
)
from saliency_core.models.layers import Layer, layer_name
from saliency_core.registry import chosen_names, name_tuple, unknown

NEAR_MAXIMUM = 1e-5
"""Where another value of a mix falls short of the largest by at most this share, and what maps with a small
range lose to rounding, the whole mix is computed again by :func:`combine`, which decides between them."""
EPSILON = float(np.finfo(np.float32).eps)
COARSE = 4
"""Maps with at most one cell per 4 × 4 pixels are resized by matrix products, which is faster for them."""


@dataclass(frozen=True)
class Score:
    """What a map says of the objects."""

    point: tuple[int, int] | None
    """The maximum as a pixel (u, v) of the photo, column and row; None for a constant map."""
    hit: bool | None
    """Whether it is on an object, or nearer than the tolerance; None for a constant map."""
    energy: float | None
    """The share of the map's positive part that is on the objects; None where nothing is positive."""


@dataclass(frozen=True)
class MapScore(Score):
    """The score of a method's map at a layer, or of a mix of its layers."""

    method: str
    layer: str
    """The layer's name, or that of the mix."""
    area: float
    """The share of the input's pixels on the objects, which is the energy share of a constant map."""


class MapScorer:
    """Scores maps of one photo against the objects of one class: :func:`pointing_game` and energy shares.

    The share of energy is that of :func:`energy_inside` with the boxes in the region that the network sees; a
    pixel of the input is on a mask if the photo's pixel that its centre lies in is. Many maps together take a
    small part of the time that they take one by one.

    Args:
        objects: boxes (left, top, right, bottom) in pixels of the photo, or masks (height, width).
        box: what the network sees of the photo, see :attr:`saliency_core.Explanation.box`.
        photo_size: (width, height), as ``image.size``.
        size: (height, width) of the network's input.
        tolerance: in pixels of the photo.

    Attributes:
        objects: their pixels in the region that the network sees.
        area: the share of the input's pixels on them.

    Raises:
        ArgumentError, ArgumentTypeError: as for :func:`pointing_game`.
    """

    def __init__(
        self,
        objects: Sequence[Region | Mask] | Mask | ObjectPixels,
        *,
        box: InputRegion | None,
        photo_size: tuple[int, int],
        size: tuple[int, int] = (224, 224),
        tolerance: float = TOLERANCE,
    ) -> None:
        self.size, self.box = checked_size(size), checked_box(box)
        self.tolerance = checked_tolerance(tolerance)
        self.objects = seen_objects(objects, photo_size, box)
        inside = _inside(self.objects, self.box, self.size)
        self.area = float(inside.mean())
        self._inside = torch.from_numpy(inside).float()
        self._by_cells: dict[tuple[int, int], Tensor] = {}
        self._planes = np.empty((0, self.size[0] * self.size[1]), np.float32)

    def scores(self, stack: NDArray[np.floating] | Sequence[FloatMap]) -> list[Score]:
        """The scores of maps of one size, (M, h, w).

        Raises:
            ArgumentError, ArgumentTypeError: not finite maps of one size.
        """
        maps = [checked_map(values, f"map {index}") for index, values in enumerate(stack)]
        if len({values.shape for values in maps}) > 1:
            raise ArgumentError("the maps have different sizes; score those of one layer together")
        return self._scores(np.stack(maps)) if maps else []

    def _scores(self, stack: NDArray[np.floating]) -> list[Score]:
        flat = stack.reshape(len(stack), -1)
        low, high = flat.min(axis=1), flat.max(axis=1)
        varied = np.flatnonzero(high - low > CONSTANT_TOLERANCE * np.maximum(abs(low), abs(high)))
        points: list[Maximum | None] = [None] * len(stack)
        if len(varied):
            for index, at in zip(varied.tolist(), maxima(stack[varied], self.size), strict=True):
                points[index] = at
        energies = self._energies(stack, low < 0)
        return [self._score(at, energy) for at, energy in zip(points, energies, strict=True)]

    def _score(self, at: Maximum | None, energy: float | None) -> Score:
        if at is None:
            return Score(None, None, energy)
        point = point_in_photo(at, self.size, self.box)
        return Score(point, self.objects.near(point, self.tolerance), energy)

    def _energies(self, stack: NDArray[np.floating], signed: NDArray[np.bool_]) -> list[float | None]:
        sums = np.empty((len(stack), 2))
        plain, others = np.flatnonzero(~signed), np.flatnonzero(signed)
        if plain.size:
            # The sum over pixels of an interpolated map is a sum over its cells, each with its own weight.
            cells = torch.from_numpy(stack[plain].reshape(plain.size, -1)).double()
            sums[plain] = (cells @ self._weights((stack.shape[1], stack.shape[2]))).numpy()
        if others.size:
            large = torch.empty((others.size, *self.size))
            for values, out in zip(torch.from_numpy(stack[others].astype(np.float32)), large, strict=True):
                _resize_into(values, out)
            sums[others] = self._sums(large.clamp_(min=0))
        return _shares(sums)

    def _sums(self, planes: Tensor) -> NDArray[np.float64]:
        """Of planes (n, H, W) ≥ 0: the sums on the objects, and over all pixels, (n, 2)."""
        # Rows are added in float32, and their sums in float64: exact to some 1e-7.
        rows = torch.stack([(planes * self._inside).sum(dim=2), planes.sum(dim=2)], dim=1)
        return np.asarray(rows.double().sum(dim=2).numpy())

    def _weights(self, cells: tuple[int, int]) -> Tensor:
        """What each cell of a map (h, w) adds to the sum on the objects and to that of all, (hw, 2)."""
        if cells not in self._by_cells:
            down, across = (interpolation(n, side) for n, side in zip(cells, self.size, strict=True))
            inside = down.T @ self._inside @ across
            everywhere = down.sum(dim=0)[:, None] * across.sum(dim=0)
            self._by_cells[cells] = torch.stack([inside.flatten(), everywhere.flatten()], dim=1).double()
        return self._by_cells[cells]

    def mixed(self, maps: Sequence[FloatMap], mixes: Sequence[tuple[str, Sequence[float]]]) -> list[Score]:
        """The scores of mixes of one method's layers, each a ``how`` and weights as :func:`combine` takes.

        The points are the first largest pixels of the maps that :func:`combine` gives; the shares of energy
        are theirs to 1e-5.
        """
        return self._mixed([checked_map(values, f"map {index}") for index, values in enumerate(maps)], mixes)

    def _mixed(
        self, maps: Sequence[NDArray[np.floating]], mixes: Sequence[tuple[str, Sequence[float]]]
    ) -> list[Score]:
        kept = [index for index, values in enumerate(maps) if not is_constant(values)]
        used = [maps[index] for index in kept]
        if len(self._planes) < len(used):  # kept for the next method: new memory costs more than the rest
            self._planes = np.empty((len(used), self._planes.shape[1]), np.float32)
        flat = self._planes[: len(used)]
        lost = [self._normalise_into(values, row) for values, row in zip(used, flat, strict=True)]
        near = NEAR_MAXIMUM + 4 * max(lost, default=0.0)
        found: dict[int, Score] = {}
        for how in ("sum", "product"):  # the sums first: the logarithms take the place of the values
            chosen = [index for index, (each, _) in enumerate(mixes) if each == how]
            if how == "product" and chosen:
                with np.errstate(divide="ignore"):
                    np.log(flat, out=flat)  # several times faster than PyTorch's
            for index in chosen:
                weights = np.array(mixes[index][1], np.float64)[kept]
                some = np.flatnonzero(weights)  # 0 times the logarithm of 0 is not a number
                if not some.size:
                    found[index] = Score(None, None, None)
                    continue
                gamma = weights[some] / weights.sum()
                chosen_planes = torch.from_numpy(flat if len(some) == len(flat) else flat[some])
                plane = (torch.from_numpy(gamma.astype(np.float32))[None] @ chosen_planes).numpy()[0]
                if how == "product":
                    np.exp(plane, out=plane)
                found[index] = self._of_mix(plane, near, maps, *mixes[index])
        return [found[index] for index in range(len(mixes))]

    def _normalise_into(self, values: NDArray[np.floating], out: NDArray[np.float32]) -> float:
        """A map (h, w) resized and normalised to [0, 1], (HW,); gives the rounding of its values."""
        _resize_into(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(out).view(self.size))
        low, high = out.min(), out.max()
        high = high if high > low else low + 1  # a resize to fewer pixels can leave one value
        out -= low
        out *= 1 / (high - low)
        return EPSILON * float(max(abs(low), abs(high)) / (high - low))

    def _of_mix(
        self,
        plane: NDArray[np.float32],
        near: float,
        maps: Sequence[NDArray[np.floating]],
        how: str,
        weights: Sequence[float],
    ) -> Score:
        """The score of a mix, (HW,), and what it is made of; ``near`` is the share that rounding may be."""
        if is_constant(plane):
            return Score(None, None, self._share(plane))
        at = int(plane.argmax())
        if np.count_nonzero(plane >= plane[at] * (1 - near)) > 1:
            at = int(combine(maps, weights, how, self.size).argmax())
        return self._score(divmod(at, self.size[1]), self._share(plane))

    def _share(self, plane: NDArray[np.float32]) -> float | None:
        return _shares(self._sums(torch.from_numpy(plane).view(1, *self.size)))[0]


def score_explanation(
    explanation: Explanation,
    objects: Sequence[Region | Mask] | Mask | ObjectPixels,
    *,
    methods: Iterable[str] | None = None,
    layers: Iterable[str | Layer] | None = None,
    mixes: Iterable[str | Mix] = (),
    photo_size: tuple[int, int] | None = None,
    tolerance: float = TOLERANCE,
) -> list[MapScore]:
    """The pointing game and the share of energy for every map of an explanation, and for mixes of layers.

    Per method its layers in order, then the mixes. A method with a map at the input alone is scored there; it
    has no mixes, and neither has one with maps at fewer than two layers to which a mix gives weight.

    Args:
        objects: boxes (left, top, right, bottom) in pixels of the photo, or masks (height, width): all
            objects of the class explained.
        methods, layers: names; all of the explanation's if None.
        mixes: names such as ``"uniform product"`` and ``"linear sum"``, with one of the network's
            own presets as well, or :class:`Mix`. They mix the layers of the explanation, whatever ``layers``.
        photo_size: (width, height); that of the explanation's photo if None.
        tolerance: in pixels of the photo.

    Raises:
        UnknownNameError, LayerError: a method, layer or mix that does not exist, with the choices.
        ArgumentError, ArgumentTypeError: as for :func:`pointing_game`; no size of the photo.
    """
    image = explanation.subject.image
    if photo_size is None:
        if image is None:
            raise ArgumentError("the explanation has no photo; pass photo_size=(width, height)")
        photo_size = image.size
    names = explanation.methods if methods is None else chosen_names(methods, "method")
    wanted = None if layers is None else _chosen_layers(explanation, layers)
    scorer = MapScorer(
        objects, box=explanation.box, photo_size=photo_size, size=explanation.size, tolerance=tolerance
    )
    held = {name: [layer.name for layer in explanation.layers_of(name)] for name in names}
    scored: dict[tuple[str, str], Score] = {}
    for layer in dict.fromkeys(layer for each in held.values() for layer in each):
        here = [name for name in names if layer in held[name]]
        if wanted is not None and layer not in wanted and any(len(held[name]) > 1 for name in here):
            continue
        by_size: dict[tuple[int, ...], list[str]] = {}
        for name in here:
            by_size.setdefault(explanation.map(name, layer).shape, []).append(name)
        for some in by_size.values():
            stack = np.stack([explanation.map(name, layer) for name in some])
            scored |= {(name, layer): score for name, score in zip(some, scorer._scores(stack), strict=True)}
    scored |= _mixed_scores(explanation, scorer, held, _mix_weights(explanation, mixes))
    order = {name: index for index, name in enumerate(names)}
    return [
        MapScore(score.point, score.hit, score.energy, method, place, scorer.area)
        for (method, place), score in sorted(scored.items(), key=lambda item: order[item[0][0]])
    ]


def _mixed_scores(
    explanation: Explanation,
    scorer: MapScorer,
    held: Mapping[str, Sequence[str]],
    weights: Mapping[str, tuple[str, Mapping[str, float]]],
) -> dict[tuple[str, str], Score]:
    """(method, mix) -> score, of the methods with the layers at which they have maps."""
    used = {
        name: {
            mix: (how, [by_layer.get(layer, 0.0) for layer in layers])
            for mix, (how, by_layer) in weights.items()
            if sum(by_layer.get(layer, 0.0) > 0 for layer in layers) > 1
        }
        for name, layers in held.items()
    }
    mixing = [name for name in held if used[name]]
    scored: dict[tuple[str, str], Score] = {}
    for name in mixing:
        found = scorer._mixed(
            [explanation.map(name, layer) for layer in held[name]], list(used[name].values())
        )
        scored |= {(name, mix): score for mix, score in zip(used[name], found, strict=True)}
    return scored


@lru_cache(maxsize=64)
def interpolation(cells: int, size: int) -> Tensor:
    """The weights of bilinear interpolation (``align_corners=False``) along one axis, (size, cells)."""
    along = axis(cells, size)
    matrix = np.zeros((size, cells))
    pixels = np.arange(size)
    np.add.at(matrix, (pixels, along.low), 1 - along.t)
    np.add.at(matrix, (pixels, along.high), along.t)
    return torch.from_numpy(matrix).float()


def _inside(objects: ObjectPixels, box: InputRegion, size: tuple[int, int]) -> Mask:
    """The pixels of the input that are on the objects, (H, W)."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    fractions = [
        ((a - left) / width, (b - top) / height, (c - left) / width, (d - top) / height)
        for a, b, c, d in objects.regions
    ]
    inside = inside_boxes(fractions, size) if fractions else np.zeros(size, bool)
    if objects.masks:
        rows, columns = (
            np.floor(start + (np.arange(side) + 0.5) / side * extent).astype(np.intp)
            for start, side, extent in ((top, size[0], height), (left, size[1], width))
        )
        y = np.flatnonzero((rows >= 0) & (rows < objects.photo_size[1]))
        x = np.flatnonzero((columns >= 0) & (columns < objects.photo_size[0]))
        for mask in objects.masks:
            inside[np.ix_(y, x)] |= mask[np.ix_(rows[y], columns[x])]
    return inside


def _shares(sums: NDArray[np.float64]) -> list[float | None]:
    return [inside / total if total > 0 else None for inside, total in sums.tolist()]


def _resize_into(values: Tensor, out: Tensor) -> None:
    """Bilinear resize (``align_corners=False``) of a map, (h, w) -> (H, W)."""
    if all(COARSE * n <= side for n, side in zip(values.shape, out.shape, strict=True)):
        down, across = (interpolation(n, side) for n, side in zip(values.shape, out.shape, strict=True))
        torch.mm(down @ values, across.T, out=out)
    else:
        size = (out.shape[0], out.shape[1])
        out.copy_(F.interpolate(values[None, None], size=size, mode="bilinear", align_corners=False)[0, 0])


def _chosen_layers(explanation: Explanation, layers: Iterable[str | Layer]) -> tuple[str, ...]:
    given = (layers,) if isinstance(layers, str | Layer) else layers
    names = name_tuple([layer_name(layer) for layer in given], "layer")
    known = tuple(layer.name for layer in explanation.layers)
    for name in names:
        if name not in known:
            raise LayerError(unknown("layer", name, known))
    return names


def _mix_weights(
    explanation: Explanation, mixes: Iterable[str | Mix]
) -> dict[str, tuple[str, Mapping[str, float]]]:
    """Name -> how and weight per layer."""
    found: dict[str, tuple[str, Mapping[str, float]]] = {}
    names = [layer.name for layer in explanation.layers]
    for given in (mixes,) if isinstance(mixes, str | Mix) else mixes:
        mix = given if isinstance(given, Mix) else mix_named(given, explanation.subject.presets)
        found[mix.name] = mix.how, dict(zip(names, layer_weights(names, mix.preset), strict=True))
    return found
