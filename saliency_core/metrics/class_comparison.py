"""Class sensitivity from explanations of two classes, and its mean over photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from saliency_core.combine import FloatMap, resize
from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.explanation import Explanation
from saliency_core.methods.method import Domain
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.ranks import pearson, ranks
from saliency_core.registry import listed

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ClassSensitivity:
    """How much a method's map at a layer depends on the class asked for."""

    method: str
    layer: str
    classes: tuple[int | None, int | None]
    """Their indices; None for a function of the class scores."""
    correlation: float | None
    """Spearman's ρ of the two maps, resized to the input; None where it is undefined."""
    undefined: str | None
    """Why there is no correlation, as a sentence."""
    maps: tuple[FloatMap, FloatMap] = field(repr=False)
    """The raw maps at the layer's resolution."""


@dataclass(frozen=True)
class SensitivityTable:
    """Class sensitivity of every method at every layer, for one photo and two classes."""

    classes: tuple[int | None, int | None]
    """Their indices; None for a function of the class scores."""
    labels: tuple[str, str]
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    cells: Mapping[tuple[str, str], ClassSensitivity] = field(repr=False)
    explanations: tuple[Explanation, Explanation] = field(repr=False)
    """What the table was made of, one per class."""

    def correlation(self, method: str, layer: str) -> float | None:
        """The entry of a method and layer; None where it is undefined, or where the method has no map."""
        cell = self.cells.get((method, layer))
        return None if cell is None else cell.correlation


@dataclass(frozen=True)
class MeanSensitivity:
    """A mean over photos with its interval."""

    mean: float
    low: float
    high: float
    """Ends of the 95% confidence interval of the mean (Student's t); equal to it for a single photo."""
    count: int
    """Photos for which the correlation was defined."""


def compare_classes(first: Explanation, second: Explanation) -> SensitivityTable:
    """The table for two explanations of one photo, each for its class; maps at the input are left out.

    Raises:
        ArgumentTypeError: not explanations.
        ArgumentError: their layers, methods, input sizes or meta steps differ.
    """
    for each in (first, second):
        if not isinstance(each, Explanation):
            raise ArgumentTypeError(f"{each!r} was to be compared; expected an Explanation")
    one, other = ((each.layers, each.methods, each.size, each.meta) for each in (first, second))
    if one != other:
        raise ArgumentError(
            "the two explanations must have the same layers, methods, input size and meta step; explain both "
            "with the same arguments"
        )
    layers = tuple(layer.name for layer in first.layers)
    methods = tuple(name for name in first.methods if METHODS[name].domain is not Domain.INPUT)
    cells = {
        (method, layer): _compare(first, second, method, layer)
        for method in methods
        for layer in layers
        if first.has(method, layer)
    }
    return SensitivityTable(
        (first.target, second.target), (first.label, second.label), methods, layers, cells, (first, second)
    )


def mean_sensitivity(
    tables: Sequence[SensitivityTable], before: Sequence[SensitivityTable] | None = None
) -> dict[tuple[str, str], MeanSensitivity | None]:
    """The mean over tables of several photos, per (method, layer).

    With ``before``, tables of the same photos in the same order, the mean of the change: of each photo's
    correlation minus the one before.

    Raises:
        ArgumentTypeError: not tables.
        ArgumentError: no tables, or a different number before.
    """
    for given in (tables, before):
        for each in () if given is None else listed(given, "tables", "a list of tables"):
            if not isinstance(each, SensitivityTable):
                raise ArgumentTypeError(f"tables contain {each!r}; expected a SensitivityTable")
    if not tables:
        raise ArgumentError("no photos were given; expected at least one")
    if before is not None and len(before) != len(tables):
        raise ArgumentError(f"there are {len(tables)} tables and {len(before)} before; expected as many")

    def found(key: tuple[str, str]) -> list[float]:
        after = [table.correlation(*key) for table in tables]
        first = [0.0] * len(tables) if before is None else [table.correlation(*key) for table in before]
        pairs = zip(after, first, strict=True)
        return [new - old for new, old in pairs if new is not None and old is not None]

    return {key: _mean(found(key)) for key in tables[0].cells}


def _mean(values: list[float]) -> MeanSensitivity | None:
    if not values:
        return None
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return MeanSensitivity(mean, mean, mean, 1)
    from scipy import stats  # not at the top: it doubles the time of importing this package

    error = float(np.std(values, ddof=1)) / count**0.5
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return MeanSensitivity(mean, mean - half, mean + half, count)


def _compare(first: Explanation, second: Explanation, method: str, layer: str) -> ClassSensitivity:
    maps = first.map(method, layer), second.map(method, layer)
    constant = [e.label for e in (first, second) if e.constant(method, layer)]
    undefined = None
    if constant:
        which = " and ".join(f"“{label}”" for label in constant)
        are = "map for {} is" if len(constant) == 1 else "maps for {} are"
        undefined = f"The {are.format(which)} constant. {METHODS[method].empty}"
    correlation = None if constant else pearson(*(ranks(resize(values, first.size)) for values in maps))
    return ClassSensitivity(method, layer, (first.target, second.target), correlation, undefined, maps)
