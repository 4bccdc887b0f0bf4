"""Structural similarity of two saliency maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saliency_core.combine import FloatMap, checked_map, is_constant
from saliency_core.errors import ArgumentError

WINDOW = 7
"""Side of the square window, in pixels."""
STABILISERS = 0.01**2, 0.03**2
"""Added to the products of the means and to the covariance, for values from 0 to 1."""


def ssim(first: FloatMap, second: FloatMap) -> float | None:
    r"""The mean structural similarity of two maps of one shape, in [-1, 1]; 1 where they are equal.

    .. math:: \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}
              {(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}

    Means, variances and the covariance are those of a window of 7 × 7 pixels, each with the same weight,
    averaged over all windows inside the maps. Both maps are scaled to their own range first, min-max to
    [0, 1], so the range of the data is 1. As scikit-image's ``structural_similarity`` by default.

    None, for undefined, where one of the maps is constant.

    Source: Wang et al., *Image quality assessment: from error visibility to structural similarity*, 2004.

    Raises:
        ArgumentError, ArgumentTypeError: not two finite maps (height, width) of one shape, of at least 7 × 7.

    >>> import numpy as np
    >>> ssim(np.eye(9), 5 * np.eye(9) - 2)
    1.0
    """
    first, second = (
        checked_map(each, f"the {nth} map") for each, nth in ((first, "first"), (second, "second"))
    )
    if first.shape != second.shape:
        raise ArgumentError(f"the maps have shapes {first.shape} and {second.shape}; expected the same")
    if min(first.shape) < WINDOW:
        raise ArgumentError(
            f"the maps have shape {first.shape}; expected at least {WINDOW} × {WINDOW}: resize them first"
        )
    if is_constant(first) or is_constant(second):
        return None
    return WindowedMap.of(first).similarity(WindowedMap.of(second))


class WindowedMap:
    """A map with the means and variances of its windows, to be compared with several others."""

    def __init__(self, unit: NDArray[np.float64]) -> None:
        self.unit = unit
        self.mean = _means(unit)
        self.variance = _means(unit * unit) - self.mean**2

    @classmethod
    def of(cls, values: FloatMap) -> WindowedMap:
        """A map (h, w) that is not constant, scaled to its range."""
        wide = np.asarray(values, np.float64)
        low, high = wide.min(), wide.max()
        return cls((wide - low) / (high - low))

    def similarity(self, other: WindowedMap) -> float:
        """:func:`ssim` of two maps of one shape."""
        # Estimates from a sample: a window of n pixels has n - 1 degrees of freedom.
        unbiased = WINDOW**2 / (WINDOW**2 - 1)
        covariance = unbiased * (_means(self.unit * other.unit) - self.mean * other.mean)
        variances = unbiased * (self.variance + other.variance)
        c1, c2 = STABILISERS
        above = (2 * self.mean * other.mean + c1) * (2 * covariance + c2)
        below = (self.mean**2 + other.mean**2 + c1) * (variances + c2)
        return float((above / below).mean())


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of every window inside, (h, w) -> (h - 6, w - 6)."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    sums[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    windows = sums[WINDOW:, WINDOW:] - sums[:-WINDOW, WINDOW:] - sums[WINDOW:, :-WINDOW]
    return np.asarray((windows + sums[:-WINDOW, :-WINDOW]) / WINDOW**2)
