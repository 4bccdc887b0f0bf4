"""Means over photos with bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saliency_core.errors import ArgumentError, ArgumentTypeError

LEVEL = 0.95
DRAWS = 2000
AT_ONCE = 4_000_000
"""How many numbers of draws are held in memory at a time."""


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float
    count: int
    """How many values were defined."""

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 is outside the interval: of a difference, whether its sign is certain at this level."""
        return self.low > 0 or self.high < 0


class BootstrapOptions(TypedDict, total=False):
    """The keyword arguments of :func:`mean_intervals`."""

    clusters: Sequence[object] | NDArray[np.generic] | None
    classes: Sequence[object] | NDArray[np.generic] | None
    level: float
    draws: int
    seed: int


def mean_interval(values: ArrayLike, **options: Unpack[BootstrapOptions]) -> Interval | None:
    """The mean of values (n,) and its interval; None where none is defined. See :func:`mean_intervals`.

    >>> mean_interval([1.0, 0.0, None, 1.0]).count
    3
    """
    column = _table(values)
    if column.shape[1] != 1:
        raise ArgumentError(f"values have shape {np.shape(values)}; expected one row of numbers")
    return mean_intervals(column, **options)[0]


def difference_interval(
    first: ArrayLike, second: ArrayLike, **options: Unpack[BootstrapOptions]
) -> Interval | None:
    """The mean of ``first - second``, paired: over the items for which both are defined.

    Arguments as for :func:`mean_intervals`, for values (n,).
    """
    one, other = _table(first), _table(second)
    if one.shape != other.shape:
        raise ArgumentError(f"there are {len(one)} and {len(other)} values to pair; expected as many")
    return mean_interval((one - other)[:, 0], **options)


def mean_intervals(
    values: ArrayLike,
    *,
    clusters: Sequence[object] | NDArray[np.generic] | None = None,
    classes: Sequence[object] | NDArray[np.generic] | None = None,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Interval | None]:
    """The means of several columns over the same items, with percentile bootstrap intervals.

    Clusters are drawn with replacement, as many as there are, and with a cluster all of its items: values of
    one photo are not independent. All columns see the same draws. The ends are the quantiles (1 - level) / 2
    and (1 + level) / 2 of the means of the draws, interpolated linearly. Where all values are equal the
    interval has no width, however few there are. The same arguments always give the same numbers.

    Args:
        values: (n, columns), or (n,) for one column; None or NaN where undefined, which is left out.
        clusters: the cluster of each item, such as its photo; every item by itself if None.
        classes: the class of each item. The mean is then that over the classes of each class's mean, as the
            accuracy of the pointing game; a draw's mean is over the classes that are in it.
        level: of confidence, between 0 and 1.
        draws: how many.
        seed: of the draws.

    Returns:
        One interval per column; None for a column without defined values.

    Raises:
        ArgumentTypeError: not numbers.
        ArgumentError: lengths that differ, infinite values, a level outside (0, 1), fewer than one draw.

    Source: Efron, Tibshirani, *An introduction to the bootstrap*, 1993.
    """
    table = _table(values)
    if not 0 < level < 1 or draws < 1:
        raise ArgumentError(
            f"level is {level} and draws {draws}; expected 0 < level < 1 and at least one draw"
        )
    groups = np.arange(len(table)) if clusters is None else _numbered(clusters, len(table), "clusters")
    kinds = np.zeros(len(table), np.intp) if classes is None else _numbered(classes, len(table), "classes")
    parts = [_by_cluster(table, groups, np.flatnonzero(kinds == kind)) for kind in np.unique(kinds)]
    means = _class_mean(
        [(sums.sum(axis=0), counts.sum(axis=0)) for _, sums, counts in parts], table.shape[1:]
    )
    drawn = _drawn(parts, int(groups.max(initial=-1)) + 1, table.shape[1], draws, seed)
    found: list[Interval | None] = []
    for mean, column, count in zip(means, drawn.T, np.isfinite(table).sum(axis=0).tolist(), strict=True):
        defined = column[np.isfinite(column)]
        if count == 0:
            found.append(None)
            continue
        if not defined.size:  # few draws, none with a cluster that has values
            defined = mean[None]
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
        found.append(Interval(float(mean), low, high, count))
    return found


_Part = tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]
"""Of one class: its clusters, and per cluster and column the sum and the number of defined values."""


def _by_cluster(table: NDArray[np.float64], groups: NDArray[np.intp], rows: NDArray[np.intp]) -> _Part:
    clusters, place = np.unique(groups[rows], return_inverse=True)
    defined = np.isfinite(table[rows])
    sums, counts = np.zeros((2, len(clusters), table.shape[1]))
    np.add.at(sums, place, np.where(defined, table[rows], 0))
    np.add.at(counts, place, defined)
    return clusters, sums, counts


def _class_mean(
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """The mean over classes of sum / count, where there is a count."""
    total, used = np.zeros(shape), np.zeros(shape)
    for sums, counts in parts:
        total += np.where(counts > 0, sums / np.maximum(counts, 1), 0)
        used += counts > 0
    return np.asarray(np.where(used > 0, total / np.maximum(used, 1), np.nan))


def _drawn(parts: Sequence[_Part], clusters: int, columns: int, draws: int, seed: int) -> NDArray[np.float64]:
    """The mean of every draw, (draws, columns)."""
    generator = np.random.default_rng(seed)
    found = np.full((draws, columns), np.nan)
    step = max(1, AT_ONCE // max(clusters, 1))
    for start in range(0, draws if clusters else 0, step):
        some = min(step, draws - start)
        chosen = generator.integers(clusters, size=(some, clusters)) + clusters * np.arange(some)[:, None]
        times = np.bincount(chosen.ravel(), minlength=some * clusters).reshape(some, clusters)
        weights = times.astype(np.float64)
        sums = [(weights[:, those] @ s, weights[:, those] @ n) for those, s, n in parts]
        found[start : start + some] = _class_mean(sums, (some, columns))
    return found


def _table(values: ArrayLike) -> NDArray[np.float64]:
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"values are {values!r}; expected numbers, or None where undefined") from None
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or np.isinf(table).any():
        raise ArgumentError(
            f"values have shape {np.shape(values)}; expected finite numbers, (items,) or (items, columns)"
        )
    return table


def _numbered(given: Sequence[object] | NDArray[np.generic], count: int, what: str) -> NDArray[np.intp]:
    """The number of each item's group, from 0, in the order in which they come."""
    if len(given) != count:
        raise ArgumentError(f"there are {len(given)} {what} for {count} values; expected one each")
    numbers: dict[object, int] = {}
    items = given.tolist() if isinstance(given, np.ndarray) else given
    return np.array([numbers.setdefault(item, len(numbers)) for item in items], np.intp)
