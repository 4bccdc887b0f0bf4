"""Confidence intervals of means, by drawing photos again: the bootstrap over clusters.

Rows of one cluster are not independent, and are drawn together. All columns are computed on the same draws.
Source: A. C. Davison, D. V. Hinkley, *Bootstrap Methods and their Application*, 1997, chapters 2.4 and 3.8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL, DRAWS = 0.95, 2000

BLOCK = 1 << 20
"""Numbers in the array of weights for a part of the draws: 8 MB."""

Part = tuple[NDArray[np.int64], Floats, Floats]
"""The clusters that a stratum has rows of; for each the sums and the numbers of its values, per column."""


def bootstrap_means(
    values: Floats,
    clusters: NDArray[np.int64],
    strata: NDArray[np.int64] | None = None,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Floats, Floats, Floats]:
    """The means of columns with percentile intervals from a bootstrap over clusters of rows.

    In every draw as many clusters are drawn, with replacement, as there are, each with all its rows; all
    columns are computed on the same draws. With `strata`, a mean is that of the means of the strata that have
    values; a stratum without any in a draw is left out of that draw.

    Args:
        values: (rows, columns), NaN for no value.
        clusters: (rows,), numbers of any kind.
        strata: (rows,), numbers of any kind.
        level: of the interval.
        draws: how many.
        seed: of the draws.

    Returns:
        mean, low and high, (columns,) each; NaN where there is no value, and low and high are NaN where fewer
        than two clusters have one.
    """
    _, codes = np.unique(clusters, return_inverse=True)
    number = int(codes.max(initial=-1)) + 1
    parts = [
        _sums(values[rows], codes[rows])
        for rows in ([np.arange(len(values))] if strata is None else _strata(strata))
    ]
    ones = np.ones((1, number))
    mean = _mean_of(parts, ones)[0]
    low, high = (np.full(values.shape[1], np.nan) for _ in range(2))
    if number == 0:
        return mean, low, high
    generator = np.random.default_rng(seed)
    drawn = np.empty((draws, values.shape[1]))
    step = max(1, BLOCK // number)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn[start : start + size] = _mean_of(parts, _weights(generator, size, number))
    valid = np.zeros((number, values.shape[1]), bool)
    for present, _, counts in parts:
        valid[present] |= counts > 0
    several = valid.sum(axis=0) > 1
    bounds = ((1 - level) / 2, (1 + level) / 2)
    whole = several & ~np.isnan(drawn).any(axis=0)
    low[whole], high[whole] = np.quantile(drawn[:, whole], bounds, axis=0)
    for column in np.flatnonzero(several & ~whole):
        low[column], high[column] = np.nanquantile(drawn[:, column], bounds)
    return mean, low, high


def _strata(strata: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(strata, kind="stable")
    _, starts = np.unique(strata[order], return_index=True)
    return np.split(order, starts[1:])


def _sums(values: Floats, codes: NDArray[np.int64]) -> Part:
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    valid = ~np.isnan(values[order])
    if not len(present):
        return present, np.zeros((0, values.shape[1])), np.zeros((0, values.shape[1]))
    sums = np.add.reduceat(np.where(valid, values[order], 0.0), starts, axis=0)
    return present, sums, np.add.reduceat(valid.astype(np.float64), starts, axis=0)


def _weights(generator: np.random.Generator, draws: int, number: int) -> Floats:
    """How often each of `number` clusters is drawn, (draws, clusters)."""
    drawn = generator.integers(0, number, (draws, number))
    drawn += number * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * number).reshape(draws, number).astype(np.float64)


def _mean_of(parts: Sequence[Part], weights: Floats) -> Floats:
    """The means of the columns, or the means over the strata of their means, (draws, columns)."""
    total, strata = (np.zeros((len(weights), parts[0][1].shape[1])) for _ in range(2))
    for present, sums, counts in parts:
        chosen = weights[:, present]
        amount = chosen @ counts
        with np.errstate(invalid="ignore"):
            means = (chosen @ sums) / amount
        total += np.where(amount > 0, means, 0.0)
        strata += amount > 0
    with np.errstate(invalid="ignore"):
        return total / strata
