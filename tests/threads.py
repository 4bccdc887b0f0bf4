"""What tests of threads share: waits with a bound, and work that goes on only when the test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from saliency_core.progress import Cancelled, ProgressCallback

Result = TypeVar("Result")

LONG = 30.0
"""Seconds after which a wait has failed; nothing here takes a tenth of it."""


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns, in a thread of its own: one that drives a browser has a loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does but has no event for."""
    pause = threading.Event()
    for _ in range(int(LONG * 1000)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("waited in vain")


class Clock:
    """Seconds that pass only when the test moves them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Work:
    """A computation in two hundred steps that waits before each until the test lets it go on."""

    def __init__(self, result: str = "result") -> None:
        self.result = result
        self.begun, self.stopped = threading.Event(), threading.Event()
        self.steps = 0
        self._go, self._reported = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, progress: ProgressCallback) -> str:
        self.begun.set()
        try:
            for done in range(1, 201):
                assert self._go.acquire(timeout=LONG)
                self.steps = done
                progress(done, 200)
                self._reported.release()
        except Cancelled:
            self.stopped.set()
            raise
        return self.result

    def go(self, steps: int) -> None:
        """Let it take steps, and wait until it has reported them."""
        for _ in range(steps):
            self.let(1)
            assert self._reported.acquire(timeout=LONG)

    def let(self, steps: int) -> None:
        """Let it take steps, and do not wait."""
        self._go.release(steps)
