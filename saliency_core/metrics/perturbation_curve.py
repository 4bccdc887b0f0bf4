"""Curves of insertion and deletion, and what they depend on; :mod:`perturbation` computes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from saliency_core.combine import FloatMap, resize
from saliency_core.deferred import deferred
from saliency_core.errors import ArgumentError
from saliency_core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from saliency_core.metrics import baselines
    from saliency_core.models.classifier import Classifier
else:
    baselines = deferred("saliency_core.metrics.baselines")


RANDOM = "random"
"""The name of the curve of a random order."""
MODES = ("deletion", "insertion")
STEPS = 32
MOST_STEPS = 512
BLUR_KERNEL = 11
BLUR_SIGMA = 5.0
"""Of the blurred photo, in pixels of the input, as the authors'."""


@dataclass(frozen=True)
class Baseline:
    """What takes the place of pixels that are removed."""

    name: str
    title: str
    summary: str
    """One sentence."""
    make: Callable[[Classifier, Tensor], Tensor] = field(repr=False)
    """A prepared image (1, C, H, W) -> what is left without its pixels, of the same shape."""


BASELINES: Registry[Baseline] = Registry("baseline")


@dataclass(frozen=True)
class PerturbationCurve:
    """The probability of a class while pixels are removed from a photo, and while they are put back."""

    fractions: NDArray[np.float64]
    """Shares of the pixels, from 0 to 1, (steps + 1,)."""
    deletion: NDArray[np.float64]
    """The probability without this share of the pixels, the most important first; NaN if not computed yet."""
    insertion: NDArray[np.float64]
    """The probability with this share of the pixels alone."""

    @property
    def deletion_area(self) -> float | None:
        """The area under ``deletion``, in [0, 1]; lower is better. None until it is complete."""
        return _area(self.fractions, self.deletion)

    @property
    def insertion_area(self) -> float | None:
        """The area under ``insertion``, in [0, 1]; higher is better. None until it is complete."""
        return _area(self.fractions, self.insertion)


Curves = Mapping[str, PerturbationCurve]


def pixel_ranks(values: FloatMap | None, size: tuple[int, int], seed: int = 0) -> NDArray[np.int64]:
    """Each pixel's place in the order in which pixels are removed, from 0, (H, W).

    From the largest value of the map resized to ``size`` down, equal ones at random; all at random for None.
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise ArgumentError(f"seed is {seed!r}; expected a whole number from 0")
    shuffled = np.random.default_rng(int(seed)).permutation(size[0] * size[1])
    if values is not None:
        large = resize(values, size).ravel()
        shuffled = shuffled[np.argsort(-large[shuffled], kind="stable")]
    ranks = np.empty(shuffled.size, np.int64)
    ranks[shuffled] = np.arange(shuffled.size)
    return ranks.reshape(size)


def pixel_count(fraction: float, pixels: int) -> int:
    """How many pixels a share is, to the nearest one."""
    return math.floor(fraction * pixels + 0.5)


def _area(shares: NDArray[np.float64], values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).any() else float(np.trapezoid(values, shares))


for _baseline in (
    Baseline(
        "blur",
        "Blurred photo",
        f"The photo blurred by a Gaussian with σ = {BLUR_SIGMA:g} pixels of the input, {BLUR_KERNEL} × "
        f"{BLUR_KERNEL}; colours and large shapes stay.",
        partial(baselines.blurred, width=BLUR_KERNEL, sigma=BLUR_SIGMA),
    ),
    Baseline(
        "mean",
        "Mean colour",
        "0 after normalising: for most networks the mean of the training photos.",
        baselines.mean,
    ),
    Baseline(
        "black",
        "Black",
        "Black, which the edges of the pixels that are left stand out from.",
        baselines.black,
    ),
):
    BASELINES.add(_baseline.name, _baseline)
