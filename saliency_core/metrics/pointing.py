"""The pointing game: whether the maximum of a saliency map lies on the object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from saliency_core.combine import FloatMap, checked_map, checked_size, is_constant, numbers
from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.inputs.preprocess import InputRegion
from saliency_core.registry import listed

TOLERANCE = 15.0
"""Of the pointing game, in pixels of the photo (Zhang et al. 2018)."""

Region = tuple[float, float, float, float]
"""A box (left, top, right, bottom) in pixels of the photo: (0, 0, width, height) is all of it."""
Mask = NDArray[np.bool_]
"""The pixels of an object, (height, width) of the photo."""
PixelBox = tuple[int, int, int, int]
"""First column, first row, and one past the last column and row."""
Maximum = tuple[int, int]
"""Row and column."""


@dataclass(frozen=True)
class Axis:
    """How ``size`` pixels are interpolated between ``cells`` values along one axis.

    The value at pixel p is (1 - t) v[low] + t v[high].
    """

    low: NDArray[np.intp]
    """(size,), as ``high`` and ``t``."""
    high: NDArray[np.intp]
    t: NDArray[np.float64]
    ends: NDArray[np.intp]
    """First and last pixel between the centres of cell i and the next one, (cells, 2)."""


@lru_cache(maxsize=256)
def axis(cells: int, size: int) -> Axis:
    """Bilinear interpolation with ``align_corners=False`` along one axis.

    Where ``size`` < ``cells`` there are cells without a pixel behind them: their ``ends`` are those of the
    next pixel.
    """
    at = np.maximum((np.arange(size) + 0.5) * cells / size - 0.5, 0)
    low = np.minimum(at.astype(np.intp), cells - 1)
    first = np.searchsorted(low, np.arange(cells), side="left")
    last = np.searchsorted(low, np.arange(cells), side="right") - 1
    ends = np.clip(np.stack([first, last], axis=1), 0, size - 1)
    return Axis(low, np.minimum(low + 1, cells - 1), at - low, ends)


def maximum(values: FloatMap, size: tuple[int, int] = (224, 224)) -> Maximum | None:
    """Row and column of a map's maximum, after a bilinear resize to ``size``; None for a constant map.

    The first one in row order where several pixels are equal. Interpolated in float64, so that the rounding
    of float32 does not choose between equal ones.

    Args:
        values: (h, w).
        size: (height, width).

    Raises:
        ArgumentError, ArgumentTypeError: not a finite map (h, w), or not a size.

    >>> import numpy as np
    >>> maximum(np.array([[0.0, 1.0], [0.0, 0.0]]), size=(4, 4))
    (0, 3)
    """
    values = checked_map(values, "the map")
    size = checked_size(size)
    return None if is_constant(values) else maxima(values[None], size)[0]


def maxima(stack: NDArray[np.floating], size: tuple[int, int]) -> list[Maximum]:
    """:func:`maximum` of several maps of one layer, (M, h, w), without the full resize.

    Interpolation is linear along a row and along a column between the centres of two cells, so that of the
    pixels between four centres one of the corners is the largest, and the first one of the largest. A pixel
    is at most as large as the largest of its four cells: only pixels next to cells that reach the largest
    value found beside the map's largest cell are looked at.
    """
    stack = np.asarray(stack)
    if size[0] < stack.shape[1] or size[1] < stack.shape[2]:
        # Several cells for one pixel: the largest cell may have no pixel near it.
        y, x = (each.ravel() for each in np.indices(size))
        planes = (values_at(each, size, y, x) for each in stack)
        return [divmod(int(plane.argmax()), size[1]) for plane in planes]
    largest = np.divmod(stack.reshape(len(stack), -1).argmax(axis=1), stack.shape[2])
    floor = _near(stack, size, np.arange(len(stack)), *largest)[2].max(axis=1)
    cells = np.flatnonzero(stack >= floor[:, None, None])  # several times faster than nonzero
    which, row, column = np.unravel_index(cells, stack.shape)
    y, x, found = _near(stack, size, which, row, column)
    starts = np.searchsorted(which, np.arange(len(stack)))
    best = np.maximum.reduceat(found.max(axis=1), starts)
    place = np.where(found == best[which, None], y * size[1] + x, size[0] * size[1]).min(axis=1)
    return [divmod(int(first), size[1]) for first in np.minimum.reduceat(place, starts)]


def values_at(
    values: NDArray[np.floating], size: tuple[int, int], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float64]:
    """What a map (h, w) resized to ``size`` has at rows y and columns x, float64."""
    rows, columns = axis(values.shape[0], size[0]), axis(values.shape[1], size[1])
    return _between(values[None], rows, columns, y, x, np.zeros(1, np.intp))


def _near(
    stack: NDArray[np.floating],
    size: tuple[int, int],
    which: NDArray[np.intp],
    row: NDArray[np.intp],
    column: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Rows, columns and values, (n, 16) each, of the first and last pixels around n cells."""
    rows, columns = axis(stack.shape[1], size[0]), axis(stack.shape[2], size[1])
    y = np.concatenate([rows.ends[np.maximum(row - 1, 0)], rows.ends[row]], axis=1)[:, :, None]
    x = np.concatenate([columns.ends[np.maximum(column - 1, 0)], columns.ends[column]], axis=1)[:, None]
    y, x = (np.broadcast_to(each, (len(row), 4, 4)).reshape(-1, 16) for each in (y, x))
    return y, x, _between(stack, rows, columns, y, x, which[:, None])


def _between(
    stack: NDArray[np.floating],
    rows: Axis,
    columns: Axis,
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    which: NDArray[np.intp],
) -> NDArray[np.float64]:
    """The interpolated values at rows y and columns x of maps."""

    def along(row: NDArray[np.intp]) -> NDArray[np.float64]:
        first, second = (
            stack[which, row, each[x]].astype(np.float64) for each in (columns.low, columns.high)
        )
        # In this form equal neighbours give their own value, without rounding.
        return first + columns.t[x] * (second - first)

    above, below = along(rows.low[y]), along(rows.high[y])
    return np.asarray(above + rows.t[y] * (below - above))


def point_in_photo(at: Maximum, size: tuple[int, int], box: InputRegion) -> tuple[int, int]:
    """The pixel (u, v) of the photo, column and row, in which the centre of an input's pixel lies.

    Outside the photo where the input shows padding.

    Args:
        at: row and column in the input.
        size: (height, width) of the input.
        box: what the input shows, see :attr:`saliency_core.Explanation.box`.

    >>> point_in_photo((0, 111), (224, 224), (50, 0, 350, 300))
    (199, 0)
    """
    (row, column), (height, width), (left, top, right, bottom) = at, size, box
    return (
        math.floor(left + (column + 0.5) / width * (right - left)),
        math.floor(top + (row + 0.5) / height * (bottom - top)),
    )


@dataclass(frozen=True, eq=False)
class ObjectPixels:
    """The pixels of the objects of one class in a photo: boxes and masks, together one object."""

    photo_size: tuple[int, int]
    """(width, height), as of a PIL image."""
    regions: tuple[Region, ...]
    """The boxes, inside the photo."""
    boxes: tuple[PixelBox, ...]
    """Their pixels: from the one with the left edge to the one that the right edge ends in."""
    masks: tuple[Mask, ...]

    @classmethod
    def of(cls, objects: Sequence[Region | Mask] | Mask, photo_size: tuple[int, int]) -> ObjectPixels:
        """Objects as boxes (left, top, right, bottom), as masks (height, width), or both.

        Boxes are cut at the borders of the photo; those outside it are left out.

        Raises:
            ArgumentTypeError: neither boxes nor masks, or no size.
            ArgumentError: no object, a box without area, or a mask that is not as large as the photo.
        """
        width, height = _checked_photo_size(photo_size)
        if isinstance(objects, np.ndarray) and objects.dtype == bool:
            objects = [objects]
        given = listed(objects, "objects", "boxes (left, top, right, bottom), or masks (height, width)")
        if not given:
            raise ArgumentError("no object was given; expected at least one box or mask")
        regions: list[Region] = []
        masks: list[Mask] = []
        for each in given:
            if isinstance(each, np.ndarray) and each.dtype == bool:
                if each.shape != (height, width):
                    raise ArgumentError(
                        f"a mask has shape {each.shape}; expected that of the photo, {(height, width)}"
                    )
                masks.append(each)
            else:
                left, top, right, bottom = checked_region(each)
                cut = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
                if cut[0] < cut[2] and cut[1] < cut[3]:
                    regions.append(cut)
        return cls((width, height), tuple(regions), tuple(map(_pixels, regions)), tuple(masks))

    def within(self, box: InputRegion) -> ObjectPixels:
        """The part of the objects in the region that the network sees."""
        left, top, right, bottom = _pixels(box)
        cut = [(max(a, left), max(b, top), min(c, right), min(d, bottom)) for a, b, c, d in self.boxes]
        kept = [index for index, (a, b, c, d) in enumerate(cut) if a < c and b < d]
        seen = np.s_[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        masks = [np.zeros_like(mask) for mask in self.masks]
        for mask, inside in zip(self.masks, masks, strict=True):
            inside[seen] = mask[seen]
        return ObjectPixels(
            self.photo_size,
            tuple(self.regions[index] for index in kept),
            tuple(cut[index] for index in kept),
            tuple(inside for inside in masks if inside.any()),
        )

    @property
    def empty(self) -> bool:
        """Whether there is no pixel."""
        return not self.boxes and not any(mask.any() for mask in self.masks)

    def mask(self) -> Mask:
        """All pixels, (height, width) of the photo."""
        found = np.zeros((self.photo_size[1], self.photo_size[0]), bool)
        for left, top, right, bottom in self.boxes:
            found[top:bottom, left:right] = True
        for mask in self.masks:
            found |= mask
        return found

    @property
    def share(self) -> float:
        """The share of the photo's pixels that are the objects'."""
        return float(self.mask().mean())

    def near(self, point: tuple[int, int], tolerance: float = TOLERANCE) -> bool:
        """Whether the distance from a pixel (u, v) to one of these is less than ``tolerance``, in pixels."""
        u, v = point
        limit = tolerance * tolerance
        for left, top, right, bottom in self.boxes:
            aside = u - min(max(u, left), right - 1), v - min(max(v, top), bottom - 1)
            if aside[0] ** 2 + aside[1] ** 2 < limit:
                return True
        if not self.masks:
            return False
        reach = math.ceil(tolerance)
        rows = np.arange(max(v - reach, 0), min(v + reach + 1, self.photo_size[1]))
        columns = np.arange(max(u - reach, 0), min(u + reach + 1, self.photo_size[0]))
        disc = ((rows - v) ** 2)[:, None] + ((columns - u) ** 2)[None] < limit
        window = np.ix_(rows, columns)
        return any(bool((mask[window] & disc).any()) for mask in self.masks)


def checked_region(given: object) -> Region:
    """A box that a user gave, in pixels of the photo.

    Raises:
        ArgumentTypeError: not numbers.
        ArgumentError: not four finite ones, or a box without area.
    """
    edges = numbers(given, "a box")
    if edges.shape != (4,):
        raise ArgumentError(f"a box has shape {edges.shape}; expected (left, top, right, bottom)")
    left, top, right, bottom = edges.tolist()
    if not np.isfinite(edges).all() or not (left < right and top < bottom):
        raise ArgumentError(
            f"the box {(left, top, right, bottom)} has no area; expected (left, top, right, bottom) with "
            "left < right and top < bottom, in pixels of the photo"
        )
    return left, top, right, bottom


def _pixels(region: Region) -> PixelBox:
    left, top, right, bottom = region
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)


def _checked_photo_size(given: object) -> tuple[int, int]:
    sides = listed(given, "photo_size", "(width, height)")
    if len(sides) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in sides):
        raise ArgumentTypeError(f"photo_size is {given!r}; expected (width, height) in whole pixels")
    return int(sides[0]), int(sides[1])


def checked_tolerance(tolerance: object) -> float:
    """A tolerance that a user gave, in pixels; raises ``ArgumentError`` unless it is a number above 0."""
    found = numbers(tolerance, "tolerance")
    if found.shape != () or not 0 < float(found) < math.inf:
        raise ArgumentError(f"tolerance is {tolerance!r}; expected a number of pixels above 0")
    return float(found)


def checked_box(box: object) -> InputRegion:
    """The region of the photo that a network sees; raises ``ArgumentTypeError`` where it is unknown."""
    if box is None:
        raise ArgumentTypeError(
            "it is unknown what part of the photo the network sees, as its transform does not tell; use a "
            "Preprocess, or fit the photo yourself and give the objects in the input's pixels"
        )
    return checked_region(box)


def seen_objects(
    objects: Sequence[Region | Mask] | Mask | ObjectPixels,
    photo_size: tuple[int, int],
    box: InputRegion | None,
) -> ObjectPixels:
    """The pixels of the objects in the region that the network sees; see :meth:`ObjectPixels.of`.

    Raises:
        ArgumentTypeError: an unknown region.
        ArgumentError: no pixel of the objects is in it.
    """
    found = objects if isinstance(objects, ObjectPixels) else ObjectPixels.of(objects, photo_size)
    found = found.within(checked_box(box))
    if found.empty:
        raise ArgumentError(
            "no pixel of the objects is in the part of the photo that the network sees; leave this photo "
            'out, or show the network all of it with fit="pad"'
        )
    return found


def hits(
    point: tuple[int, int],
    objects: Sequence[Region | Mask] | Mask,
    photo_size: tuple[int, int],
    tolerance: float = TOLERANCE,
) -> bool:
    """Whether a pixel (u, v) of the photo is an object's, or nearer to one of its pixels than ``tolerance``.

    Args:
        point: column and row.
        objects: boxes (left, top, right, bottom) in pixels of the photo, or masks (height, width).
        photo_size: (width, height), as ``image.size``.
        tolerance: in pixels; a distance of exactly this is a miss.

    Raises:
        ArgumentTypeError, ArgumentError: objects or a tolerance that cannot be used.

    >>> hits((24, 5), [(0, 0, 10, 10)], (100, 100)), hits((23, 5), [(0, 0, 10, 10)], (100, 100))
    (False, True)
    """
    place = numbers(point, "point")
    if place.shape != (2,) or not np.isfinite(place).all():
        raise ArgumentError(f"point is {point!r}; expected a pixel (u, v), column and row")
    return ObjectPixels.of(objects, photo_size).near(point, checked_tolerance(tolerance))


def pointing_game(
    values: FloatMap,
    objects: Sequence[Region | Mask] | Mask,
    *,
    box: InputRegion | None,
    photo_size: tuple[int, int],
    size: tuple[int, int] = (224, 224),
    tolerance: float = TOLERANCE,
) -> bool | None:
    """Whether the maximum of a map lies on an object, or within 15 pixels of it, at the photo's own scale.

    The map is resized to the network's input (bilinear, ``align_corners=False``); the centre of its first
    largest pixel in row order is carried to the photo, to the pixel (u, v) in which it lies. A hit if a pixel
    of the objects has a distance of less than ``tolerance`` from it. The objects are all those of the class
    explained, and count so far as the network sees them. A box has the pixels from floor(left) to
    ceil(right) - 1.

    None, for undefined, where the map is constant and has no maximum: the protocol counts it as a miss.

    Source: Zhang et al., *Top-down neural attention by excitation backprop*, IJCV 2018; Rebuffi et al. 2020.

    Args:
        values: (h, w), the map of the class.
        objects: boxes (left, top, right, bottom) in pixels of the photo, or masks (height, width).
        box: what the network sees of the photo, see :attr:`saliency_core.Explanation.box`.
        photo_size: (width, height), as ``image.size``.
        size: (height, width) of the network's input.
        tolerance: in pixels of the photo.

    Raises:
        ArgumentError: no object, none that the network sees, or one without area; not a finite map.
        ArgumentTypeError: no numbers, or an unknown ``box``.

    >>> import numpy as np
    >>> values = np.array([[0.0, 0.0], [0.0, 1.0]])
    >>> pointing_game(values, [(150, 150, 200, 200)], box=(0, 0, 200, 200), photo_size=(200, 200))
    True
    """
    seen, reach = seen_objects(objects, photo_size, box), checked_tolerance(tolerance)
    at = maximum(values, size)
    return None if at is None else seen.near(point_in_photo(at, size, checked_box(box)), reach)
