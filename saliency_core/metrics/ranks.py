"""Spearman's rank correlation of two saliency maps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from saliency_core.combine import FloatMap, checked_map, is_constant
from saliency_core.errors import ArgumentError


def rank_correlation(first: FloatMap, second: FloatMap) -> float | None:
    r"""Spearman's rank correlation of two maps of one shape, in [-1, 1].

    The Pearson correlation of the ranks, equal values sharing their mean rank. None, for undefined, when one
    of the maps is constant.

    Raises:
        ArgumentError, ArgumentTypeError: not two finite maps (height, width) of one shape.

    >>> import numpy as np
    >>> rank_correlation(np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 100.0, 1000.0]]))
    1.0
    """
    first, second = (
        checked_map(each, f"the {nth} map") for each, nth in ((first, "first"), (second, "second"))
    )
    if first.shape != second.shape:
        raise ArgumentError(f"the maps have shapes {first.shape} and {second.shape}; expected the same")
    if is_constant(first) or is_constant(second):
        return None
    return pearson(ranks(first), ranks(second))


def ranks(values: FloatMap) -> NDArray[np.float64]:
    """Ranks of all values from 0, equal values sharing their mean rank, as one row.

    Several times faster than ``scipy.stats.rankdata``.
    """
    flat = values.ravel()
    order = np.argsort(flat)
    ordered = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(starts[1:], flat.size)
    found = np.empty(flat.size)
    found[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return found


def pearson(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Pearson's correlation of two arrays that are not constant, in [-1, 1]."""
    a, b = first - first.mean(), second - second.mean()
    # Not a @ b: NumPy's BLAS has its own threads, which wait in a loop and take the cores from PyTorch's.
    products = float((a * b).sum()), float((a * a).sum()), float((b * b).sum())
    return float(np.clip(products[0] / math.sqrt(products[1] * products[2]), -1, 1))
