"""How much of a saliency map lies on an object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from saliency_core.combine import FloatMap, checked_map, checked_size, numbers, resize
from saliency_core.errors import ArgumentError

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as fractions of the map: (0, 0, 1, 1) is all of it."""


def energy_inside(values: FloatMap, boxes: Sequence[Box], size: tuple[int, int] = (224, 224)) -> float | None:
    r"""The share of a map's positive part that lies inside boxes, in [0, 1].

    .. math:: \sum_{u \in B} m_u^+ \Big/ \sum_u m_u^+

    The map is resized to ``size`` first, bilinear. A pixel is inside if its centre is; one inside several
    boxes counts once. None, for undefined, where no value is positive. A map with the same value everywhere
    has the boxes' share of the area.

    Source: the energy-based pointing game of Wang et al., *Score-CAM*, CVPR workshops 2020.

    Args:
        values: (height, width).
        boxes: fractions of the map.
        size: (height, width).

    Raises:
        ArgumentError, ArgumentTypeError: not a finite map (height, width), no box, a box without area, or
            not a size.

    >>> import numpy as np
    >>> energy_inside(np.array([[3.0, 1.0], [-5.0, 0.0]]), [(0, 0, 0.5, 1)], size=(2, 2))
    0.75
    """
    values = checked_map(values, "the map")
    inside = inside_boxes(boxes, checked_size(size))
    positive = np.maximum(resize(values, inside.shape).astype(np.float64), 0)
    total = float(positive.sum())
    return float(positive[inside].sum()) / total if total > 0 else None


def inside_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a map of ``size`` = (height, width) whose centres are in at least one of the boxes.

    Errors as for :func:`energy_inside`.
    """
    edges = numbers(boxes, "boxes")
    if edges.ndim != 2 or edges.shape[1] != 4:
        raise ArgumentError(
            f"boxes have shape {edges.shape}; expected at least one (left, top, right, bottom)"
        )
    height, width = size
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    inside = np.zeros((height, width), bool)
    for left, top, right, bottom in edges.tolist():
        if not (left < right and top < bottom):
            raise ArgumentError(
                f"the box {(left, top, right, bottom)} has no area; expected (left, top, right, bottom) with "
                "left < right and top < bottom, as fractions of the map"
            )
        inside |= ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None]
    return inside
