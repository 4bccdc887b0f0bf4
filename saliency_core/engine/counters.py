"""What an engine counts about itself for the operator."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left

from saliency_core.engine.status import Histogram

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds; those of Prometheus' default buckets that matter here, and longer ones."""
log = logging.getLogger("saliency_core.engine")


class Seconds:
    """Seconds, counted in a histogram. Thread-safe."""

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Count one."""
        with self._lock:
            self._counts[bisect_left(self._bounds, seconds)] += 1
            self._sum += seconds

    @property
    def count(self) -> int:
        """How many were counted."""
        with self._lock:
            return sum(self._counts)

    def histogram(self) -> Histogram:
        """All that was counted until now."""
        with self._lock:
            return Histogram(self._bounds, tuple(self._counts), self._sum)


class Counters:
    """Explanations counted and logged, one line each. Thread-safe.

    The log says the model, the seconds and whether the answer was known: nothing about the photo, its file
    or the session.
    """

    def __init__(self) -> None:
        self.waited, self.computed = Seconds(), Seconds()
        self.hits = 0
        self._lock = threading.Lock()

    def explained(self, model: str, waited: float, computed: float, together: int = 1) -> None:
        """An explanation was computed, `together` with others in one batch that share its time."""
        self.waited.add(waited)
        self.computed.add(computed)
        log.info(
            "explained model=%s waited=%.3f computed=%.3f hit=no batch=%d", model, waited, computed, together
        )

    def known(self, model: str) -> None:
        """An explanation was in the cache."""
        with self._lock:
            self.hits += 1
        log.info("explained model=%s waited=0.000 computed=0.000 hit=yes", model)
