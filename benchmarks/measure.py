"""Timings: interleaved runs, medians, and ratios taken pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """One line of the table; a figure without a bound is only shown."""

    what: str
    value: str
    bound: str = "–"
    met: bool | None = None

    @property
    def mark(self) -> str:
        """Whether the bound is met, for the last column."""
        return "" if self.met is None else "✓" if self.met else "✗"


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes, until a GPU has done what it was given, too."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_seconds(call: Callable[[], object], runs: int) -> float:
    """Median over several calls, after one that is not counted."""
    ((median,), _) = in_turn([call], runs)
    return median


def ratio(call: Callable[[], object], against: Callable[[], object], runs: int) -> tuple[float, float, float]:
    """Median of the ratio of two calls, and both medians."""
    (ours, theirs), ratios = in_turn([against, call], runs)
    return ratios[1], theirs, ours


def in_turn(calls: Sequence[Callable[[], object]], runs: int) -> tuple[list[float], list[float]]:
    """Medians of several calls, and of each one's ratio to the first.

    The calls take turns, after one round that is not counted, so that a machine that becomes slower or faster
    meanwhile affects all of them.
    """
    for call in calls:
        call()
    rounds = [[seconds(call) for call in calls] for _ in range(runs)]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    ratios = [
        statistics.median(one / row[0] for one, row in zip(column, rounds, strict=True))
        for column in zip(*rounds, strict=True)
    ]
    return medians, ratios
