"""What the randomisation of a network's weights gives; :mod:`randomisation` computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from saliency_core.explanation import Explanation

HEAD = "head"
"""The stage behind the last default layer."""


@dataclass(frozen=True)
class Stage:
    """Modules whose weights are drawn anew together."""

    name: str
    """The default layer in which they end; ``"head"`` for those behind the last one."""
    modules: tuple[str, ...]
    """Their paths in the network, in the order in which they begin."""
    weights: int
    """How many numbers are drawn anew."""


@dataclass(frozen=True)
class RandomisationResult:
    """The maps of a network, those of the network randomised down to each stage, and how alike they are."""

    stages: tuple[Stage, ...]
    """From the scores to the input, those that are done."""
    trained: Explanation
    """By the network as it is."""
    explanations: tuple[Explanation, ...]
    """By the network randomised down to each stage, for the same class."""
    correlations: Mapping[tuple[str, str], tuple[float | None, ...]] = field(repr=False)
    """(method, layer) -> Spearman's ρ of the two maps at the input's size, per stage; None where one
    of them is constant."""
    similarities: Mapping[tuple[str, str], tuple[float | None, ...]] = field(repr=False)
    """The same for the structural similarity, see :func:`ssim`."""

    @property
    def nbytes(self) -> int:
        """Memory held by the maps, in bytes."""
        return sum(each.nbytes for each in (self.trained, *self.explanations))
