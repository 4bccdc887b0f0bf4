"""Insertion and deletion of one photo as an engine answers it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_core.metrics.perturbation_curve import PerturbationCurve


@dataclass(frozen=True, eq=False)
class Perturbation:
    """The answer to a :class:`PerturbationRequest`: for every map in its order, then for the random order.

    `curves` have NaN at the steps that are not computed yet. `levels` (orders, H, W) has the step, from 0,
    in which each pixel of the input is changed. `photo` and `baseline` (H, W, 3) are the network's input and
    what replaces it, as pictures.
    """

    curves: tuple[PerturbationCurve, ...]
    levels: NDArray[np.uint8]
    photo: NDArray[np.uint8]
    baseline: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays, in bytes."""
        curves = sum(each.deletion.nbytes + each.insertion.nbytes for each in self.curves)
        return curves + self.levels.nbytes + self.photo.nbytes + self.baseline.nbytes
