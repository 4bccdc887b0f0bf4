"""Honest timings: interleaved runs, medians, and ratios taken pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    bound: str
    met: bool


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median_seconds(call: Callable[[], object], runs: int) -> float:
    """Median over several calls, after one that is not counted."""
    call()
    return statistics.median(seconds(call) for _ in range(runs))


def ratio(call: Callable[[], object], against: Callable[[], object], runs: int) -> tuple[float, float, float]:
    """Median of the ratio, taken in turn so that a change of the machine's pace meets both; both medians."""
    call(), against()
    pairs = [(seconds(call), seconds(against)) for _ in range(runs)]
    return (
        statistics.median(one / other for one, other in pairs),
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
    )
