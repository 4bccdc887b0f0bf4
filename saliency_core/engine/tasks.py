"""Background work of every kind as one type: queued, running, done, failed or cancelled."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Hashable
from enum import StrEnum
from types import TracebackType
from typing import Generic, TypeVar

from saliency_core.engine.failures import UNEXPECTED, user_message
from saliency_core.errors import SaliencyError
from saliency_core.progress import Cancelled

Result = TypeVar("Result")
Clock = Callable[[], float]


class TaskState(StrEnum):
    """Where a task stands. A task that was cancelled ends after the unit of work under way."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Task(Generic[Result]):
    """One computation in the background, as every session that asked for it sees it. Thread-safe.

    Args:
        key: what is computed; tasks of one queue with equal keys are one task.
        title: the same in words, for a list of tasks.
        total: units of work expected, until the computation reports; 0 if unknown.
        unit: what the units are: ``"passes"``, ``"bytes"``, ``"photos"``.
        clock: seconds, for the time left.
        logged: what the log calls it when it fails, without the names of files; the title if empty.
    """

    def __init__(
        self,
        key: Hashable,
        *,
        title: str = "",
        total: int = 0,
        unit: str = "passes",
        clock: Clock = time.monotonic,
        logged: str = "",
    ) -> None:
        self.key = key
        self.title = title
        self.unit = unit
        self._logged = logged or title or f"The task {key!r}"
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._state = TaskState.QUEUED
        self._holders = 0
        self._watched: list[weakref.ref[object]] = []
        self._done, self._total = 0, total
        self._begun = 0.0
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None
        self._result: Result | None = None
        self._exception: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._error: str | None = None
        self._callbacks: list[Callable[[], None]] = []

    @classmethod
    def finished(cls, key: Hashable, result: Result, *, title: str = "") -> Task[Result]:
        """A task that had nothing to do: its result is known already."""
        task = cls(key, title=title)
        task._end(TaskState.DONE, result)
        return task

    @classmethod
    def refused(
        cls, key: Hashable, error: SaliencyError, *, title: str = "", logged: str = ""
    ) -> Task[Result]:
        """A task that was not accepted, for a reason that can be shown: it has failed already."""
        task = cls(key, title=title, logged=logged)
        task._fail(error)
        return task

    @property
    def state(self) -> TaskState:
        """Queued, running, done, failed or cancelled."""
        return self._state

    @property
    def ended(self) -> bool:
        """Whether nothing more happens: it is done, has failed, or has stopped after ``cancel``."""
        return self._ended.is_set()

    @property
    def done(self) -> int:
        """Units of work done."""
        return self._done

    @property
    def total(self) -> int:
        """Units of work expected; 0 if unknown."""
        return self._total

    @property
    def result(self) -> Result | None:
        """The result of a task that is done; None before, and after an error or ``cancel``."""
        return self._result

    @property
    def error(self) -> str | None:
        """Why it failed, as a user-facing sentence."""
        return self._error

    @property
    def fraction(self) -> float:
        """How much of it is done, from 0 to 1; 0 while the total is unknown."""
        with self._lock:
            if self._state is TaskState.DONE:
                return 1.0
            return min(self._done / self._total, 1.0) if self._total > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time to its end at the pace measured so far, in seconds; None while that is unknown, 0 once ended.

        The first report counts from the beginning and includes what happens once (importing, warming up);
        from the second on only the time since the first counts.
        """
        with self._lock:
            if self.ended:
                return 0.0
            if self._first is None or self._last is None or self._total <= 0:
                return None
            since = (0, self._begun) if self._last[0] == self._first[0] else self._first
            pace = (self._last[1] - since[1]) / (self._last[0] - since[0])  # seconds per unit
            expected = self._last[1] + pace * (self._total - self._last[0])
            return max(expected - self._clock(), 0.0)

    def hold(self, holder: object | None = None) -> None:
        """Note one more session that wants the result; see ``release``.

        A `holder` is not kept alive: once it is gone, as with a session that was left, it holds no longer.
        """
        with self._lock:
            if holder is None:
                self._holders += 1
            else:
                # Without a callback: the garbage collector may run while this thread has the lock.
                self._watched.append(weakref.ref(holder))

    def release(self, holder: object | None = None) -> None:
        """Note that a session no longer wants the result: the last one that held the task cancels it."""
        with self._lock:
            if holder is None:
                self._holders -= 1
            else:
                self._watched = [each for each in self._watched if each() is not holder]
            last = self._holders <= 0 and not self._is_watched()
        if last:
            self.cancel()

    @property
    def wanted(self) -> bool:
        """Whether it is queued or running, and not all that held it are gone without having released it."""
        with self._lock:
            return not self.ended and self._state is not TaskState.CANCELLED and not self._is_abandoned()

    def _is_watched(self) -> bool:
        return any(each() is not None for each in self._watched)

    def _is_abandoned(self) -> bool:
        return bool(self._watched) and self._holders <= 0 and not self._is_watched()

    def cancel(self) -> None:
        """Stop it for all sessions, after the unit of work under way; nothing is kept. Never blocks."""
        with self._lock:
            if self.ended:
                return
            never_began = self._state is TaskState.QUEUED
            self._state = TaskState.CANCELLED
        if never_began:
            self._end(TaskState.CANCELLED)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, ``timeout`` seconds at most; whether it has."""
        return self._ended.wait(timeout)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back once when it ends, in the thread that ends it; now if it has ended."""
        with self._lock:
            if not self.ended:
                self._callbacks.append(callback)
                return
        callback()

    def value(self) -> Result:
        """Wait for the result and return it.

        Raises:
            Cancelled: the task was cancelled.
            Exception: what the computation raised.
        """
        self.wait()
        if self._exception is not None:
            # A traceback that grew with every call would keep the frames of all callers.
            raise self._exception.with_traceback(self._traceback)
        if self._state is not TaskState.DONE:
            raise Cancelled
        return self._result  # type: ignore[return-value]

    def _begin(self) -> bool:
        """Whether it is still wanted when its turn comes."""
        with self._lock:
            if self._state is not TaskState.QUEUED or self._is_abandoned():
                return False
            self._state = TaskState.RUNNING
            self._begun = self._clock()
            return True

    def _check(self) -> None:
        """Raise ``Cancelled`` if nobody wants the result any more."""
        with self._lock:
            if self._is_abandoned() and not self.ended:
                self._state = TaskState.CANCELLED
            if self._state is TaskState.CANCELLED:
                raise Cancelled

    def _report(self, done: int, total: int) -> None:
        """The progress callback that the computation gets."""
        self._check()
        with self._lock:
            self._done, self._total = done, total
            if done > (self._last[0] if self._last else 0):
                self._last = (done, self._clock())
                self._first = self._first or self._last

    def _end(
        self,
        state: TaskState,
        result: Result | None = None,
        exception: BaseException | None = None,
        error: str | None = None,
    ) -> None:
        """Nothing more happens; a task that was cancelled keeps neither result nor error."""
        with self._lock:
            if self._state is not TaskState.CANCELLED:
                self._result, self._error = result, error
                self._state = state  # last: a task that is seen as done has its result
                if exception is not None:
                    self._exception, self._traceback = exception, exception.__traceback__
            self._ended.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def _fail(self, exception: BaseException) -> None:
        error = UNEXPECTED
        # Logging is outside the lock, and a task must end even if it cannot be logged.
        with contextlib.suppress(Exception):
            if self._state is not TaskState.CANCELLED:
                error = user_message(exception, self._logged)
        self._end(TaskState.FAILED, exception=exception, error=error)

    def _forget_frames(self) -> None:
        """Let go of the local variables (photos, tensors) that the traceback of an error would keep."""
        error = self._exception
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__cause__ or error.__context__
