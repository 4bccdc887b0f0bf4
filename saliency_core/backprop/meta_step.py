"""One gradient step of the network before it is explained, as a value; :mod:`variants` takes the step."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

from saliency_core.deferred import deferred
from saliency_core.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from torch import Tensor

    from saliency_core.backprop import variants
    from saliency_core.backprop.variants import ModifiedNetwork
    from saliency_core.models.classifier import Classifier
    from saliency_core.models.targets import Goal
else:
    variants = deferred("saliency_core.backprop.variants")


LEARNING_RATE = 2.5e-3
"""The authors' step size."""


@dataclass(frozen=True)
class MetaStep:
    """One step of SGD on the image before it is explained, a :class:`Variant`.

    Args:
        lr: the step size ε ≥ 0; the authors' 0.0025 by default.
        ascend: step in the opposite direction, which lowers the probability of the class.

    Raises:
        ArgumentTypeError: a step size that is not a number.
        ArgumentError: a step size that is negative or not finite.
    """

    lr: float = LEARNING_RATE
    ascend: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.lr, Real):
            raise ArgumentTypeError(f"lr is {self.lr!r}; expected a number >= 0")
        if not math.isfinite(self.lr) or self.lr < 0:
            raise ArgumentError(f"lr is {self.lr}; expected a finite number >= 0")

    def modified(
        self, classifier: Classifier, batch: Tensor, target: Goal | None
    ) -> AbstractContextManager[ModifiedNetwork]:
        """The network after the step; the step is taken on the mean loss of the batch.

        Raises:
            NonFiniteError: the class scores contain NaN or infinity.
            TargetError: a function without a value or gradient.
        """
        return variants.stepped(classifier, batch, target, self.lr if self.ascend else -self.lr)
