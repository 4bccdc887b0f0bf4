"""Two classes, also after meta steps of several sizes: maps, probabilities and correlations.

The same as ``meta-steps.js`` of the viewer's mode "classes": what lies between two computed sizes is linear
between them, over the logarithm of the size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from saliency_core.combine import FloatMap
from saliency_core.errors import ArgumentError
from saliency_core.explanation import Explanation
from saliency_core.figures.maps import Other, raw_map
from saliency_core.methods.method import Method
from saliency_core.metrics.class_comparison import compare_classes
from saliency_core.viewer.payload import ClassComparison, SweepPoint

NEAR = 1e-6
"""A position closer to a size than this share of the gap to the next counts as the size itself."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ of both classes' maps, or None and why there is none."""

    value: float | None
    reason: str = ""
    interpolated: bool = False
    """Whether it lies between two that were computed."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The explanations of two classes, and those after meta steps."""

    first: Explanation
    second: Explanation
    sweep: tuple[SweepPoint, ...]
    """In order of size; none for the explanations as they are."""
    method: str
    """The one whose maps the sweep has."""

    @classmethod
    def of(cls, explanation: Explanation, other: Other) -> Classes:
        """Both classes of a figure; raises ``ArgumentError`` if there is only one."""
        if isinstance(other, ClassComparison):
            return cls(explanation, other.other, other.sweep, other.method)
        if other is None:
            raise ArgumentError(
                "this figure is of two classes; pass the explanation of the second one, other=..."
            )
        return cls(explanation, other, (), "")

    def both(self) -> tuple[Explanation, Explanation]:
        """The explanations without the sweep."""
        return self.first, self.second

    def map(self, which: int, method: Method, layer: str, epsilon: float) -> tuple[FloatMap | None, str]:
        """A class's map after a step, and why there is nothing to see, or "".

        Raises:
            ArgumentError: another method than that of the sweep.
        """
        if not self.sweep:
            return raw_map(self.both()[which], method, layer)
        if method.name != self.method:
            raise ArgumentError(
                f"the meta steps were computed for {self.method!r}; pass left={self.method!r}"
            )
        index, part = self._split(epsilon)
        values, reason = raw_map(_side(self.sweep[index], which), method, layer)
        if part < NEAR or values is None:
            return values, reason
        after, other = raw_map(_side(self.sweep[index + 1], which), method, layer)
        if after is None:
            return values, reason
        return values + part * (after - values), reason if other else ""

    def probabilities(self, which: int, epsilon: float) -> tuple[float | None, float | None]:
        """A class's probability before and after the step; None where there is none."""
        e = self.both()[which]
        if e.subject.features:
            return None, None
        if not self.sweep or epsilon <= 0:
            return e.probability, e.probability_after
        index, part = self._split(epsilon)
        found = _probability(_side(self.sweep[index], which))
        if part >= NEAR:
            found += part * (_probability(_side(self.sweep[index + 1], which)) - found)
        return e.probability, found

    def correlation(self, method: Method, layer: str, epsilon: float) -> Correlation:
        """ρ of both classes' maps at a layer."""
        if not self.sweep:
            return correlation(self.first, self.second, method, layer)
        index, part = self._split(epsilon)
        point = self.sweep[index]
        found = correlation(point.first, point.second, method, layer)
        if part < NEAR:
            return found
        point = self.sweep[index + 1]
        to = correlation(point.first, point.second, method, layer)
        if found.value is None or to.value is None:
            return found if found.value is None else to
        return Correlation(found.value + part * (to.value - found.value), "", True)

    def _split(self, epsilon: float) -> tuple[int, float]:
        position = position_of([point.epsilon for point in self.sweep], epsilon)
        return int(position), position - int(position)


def correlation(first: Explanation, second: Explanation, method: Method, layer: str) -> Correlation:
    """ρ of two classes' maps of one method at a layer."""
    if method.name not in first.methods or not first.has(method.name, layer):
        return Correlation(None, f"{method.title} has no map at {layer}. {method.needs}".strip())
    one, two = (_at(each, method.name, layer) for each in (first, second))
    cell = compare_classes(one, two).cells[method.name, layer]
    return Correlation(cell.correlation, cell.undefined or "")


def position_of(sizes: Sequence[float], epsilon: float) -> float:
    """Where a size lies among the computed ones: 0 is the first, 1.5 halfway (in log ε) to the third."""
    following = next((i for i, size in enumerate(sizes) if size >= epsilon * (1 - 1e-9)), None)
    if following is None:
        return len(sizes) - 1.0
    if following == 0:
        return 0.0
    low, high = sizes[following - 1], sizes[following]
    part = epsilon / high if low == 0 else math.log(epsilon / low) / math.log(high / low)
    return following - 1 + min(max(part, 0.0), 1.0)


def _at(explanation: Explanation, method: str, layer: str) -> Explanation:
    """The explanation with one map alone."""
    only = explanation.only(method)
    return replace(only, layers=tuple(each for each in only.layers if each.name == layer))


def _side(point: SweepPoint, which: int) -> Explanation:
    return (point.first, point.second)[which]


def _probability(explanation: Explanation) -> float:
    after = explanation.probability_after
    found = explanation.probability if after is None else after
    return 0.0 if found is None else found
