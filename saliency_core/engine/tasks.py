"""Background work of every kind as one type: queued, running, done, failed or cancelled."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import traceback
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Generic, TypeVar

from saliency_core.engine.failures import UNEXPECTED, user_message
from saliency_core.engine.status import QueueStatus
from saliency_core.errors import ArgumentError, BusyError, SaliencyError
from saliency_core.progress import Cancelled, ProgressCallback

Result = TypeVar("Result")
Clock = Callable[[], float]

BUSY = "Too many computations are waiting already. Try again in a minute."
CLOSED = "The server is shutting down."
EXIT_SECONDS = 10.0
"""How long the interpreter waits for each thread at its exit; a batch of passes takes less."""


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
    """

    def __init__(
        self,
        key: Hashable,
        *,
        title: str = "",
        total: int = 0,
        unit: str = "passes",
        clock: Clock = time.monotonic,
    ) -> None:
        self.key = key
        self.title = title
        self.unit = unit
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._state = TaskState.QUEUED
        self._holders = 0
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
    def refused(cls, key: Hashable, error: SaliencyError, *, title: str = "") -> Task[Result]:
        """A task that was not accepted, for a reason that can be shown: it has failed already."""
        task = cls(key, title=title)
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

    def hold(self) -> None:
        """Note one more session that wants the result; see ``release``."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        """Note that a session no longer wants the result: the last one that held the task cancels it."""
        with self._lock:
            self._holders -= 1
            last = self._holders <= 0
        if last:
            self.cancel()

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
            if self._state is not TaskState.QUEUED:
                return False
            self._state = TaskState.RUNNING
            self._begun = self._clock()
            return True

    def _report(self, done: int, total: int) -> None:
        """The progress callback that the computation gets."""
        with self._lock:
            if self._state is TaskState.CANCELLED:
                raise Cancelled
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
                error = user_message(exception, self.title or f"The task {self.key!r}")
        self._end(TaskState.FAILED, exception=exception, error=error)

    def _forget_frames(self) -> None:
        """Let go of the local variables (photos, tensors) that the traceback of an error would keep."""
        error = self._exception
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__cause__ or error.__context__


@dataclass(frozen=True, eq=False)
class _Entry:
    """A task that waits for its turn, and for another task to end first."""

    task: Task[Any]
    run: Callable[[ProgressCallback], Any]
    after: Task[Any] | None

    @property
    def ready(self) -> bool:
        return self.after is None or self.after.ended


class TaskQueue:
    """Tasks for all sessions: one per key, on a few threads, in the order of asking.

    Threads are started when there is work and end when there is none. Before the interpreter exits, all tasks
    are cancelled and the threads waited for.

    Args:
        workers: tasks that run at once.
        max_waiting: tasks that may wait beside those that run; more are refused with a sentence.
        max_ended: ended tasks remembered, with their results or errors.
        clock: seconds, for the time left.

    Raises:
        ArgumentError: ``workers`` or ``max_waiting`` below 1, or ``max_ended`` below 0.

    >>> tasks = TaskQueue()
    >>> task = tasks.submit("sum", lambda progress: sum(range(3)))
    >>> task.value(), task.state.value
    (3, 'done')
    """

    def __init__(
        self,
        workers: int = 2,
        max_waiting: int = 16,
        max_ended: int = 64,
        clock: Clock = time.monotonic,
    ) -> None:
        if min(workers, max_waiting) < 1 or max_ended < 0:
            raise ArgumentError(
                f"workers is {workers}, max_waiting {max_waiting} and max_ended {max_ended}; expected 1 or "
                "more for the first two and 0 or more for the last"
            )
        self.workers = workers
        self.max_waiting = max_waiting
        self.max_ended = max_ended
        self._clock = clock
        self._lock = threading.Lock()
        self._tasks: OrderedDict[Hashable, Task[Any]] = OrderedDict()
        self._waiting: list[_Entry] = []
        self._threads: set[threading.Thread] = set()
        self._running: set[Task[Any]] = set()
        self._closed = False
        _QUEUES.add(self)

    def find(self, key: Hashable) -> Task[Any] | None:
        """The newest task of the key, running or ended, if it is remembered."""
        with self._lock:
            return self._tasks.get(key)

    def submit(
        self,
        key: Hashable,
        run: Callable[[ProgressCallback], Result],
        *,
        title: str = "",
        total: int = 0,
        unit: str = "passes",
        after: Task[Any] | None = None,
    ) -> Task[Result]:
        """The task of the key that is queued or running, or a new one; never blocks.

        A key whose task has ended or was cancelled gets a new task. ``run`` gets a ``progress`` to call with
        (done, total) after every unit of work; ``progress`` raises ``Cancelled`` once the task is cancelled,
        and ``run`` must let that pass. What else ``run`` raises becomes the task's ``error``.

        ``after`` is a task of any queue that has to end first, however it ends; no thread waits for it.
        ``run`` itself must not wait for another task of this queue, which might wait for its thread.
        """
        with self._lock:
            task = self._tasks.get(key)
            if task is not None and not task.ended and task.state is not TaskState.CANCELLED:
                return task
            if self._closed:
                return Task.refused(key, BusyError(CLOSED), title=title)
            self._waiting = [entry for entry in self._waiting if not entry.task.ended]
            under_way = sum(not each.ended for each in self._running)
            if under_way + len(self._waiting) >= self.workers + self.max_waiting:
                return Task.refused(key, BusyError(BUSY), title=title)
            if len(self._threads) < self.workers and not self._start_thread():
                return Task.refused(key, BusyError(BUSY), title=title)
            task = Task(key, title=title, total=total, unit=unit, clock=self._clock)
            self._tasks[key] = task
            self._tasks.move_to_end(key)
            self._waiting.append(_Entry(task, run, after))
            self._forget_ended()
        if after is not None:
            after.when_ended(self._wake)
        return task

    def status(self, name: str) -> QueueStatus:
        """How many wait and run now."""
        with self._lock:
            waiting = sum(not entry.task.ended for entry in self._waiting)
            return QueueStatus(name, waiting, len(self._running), self.max_waiting)

    def close(self, timeout: float | None = None) -> None:
        """Cancel all tasks, accept no more, and wait for the threads, ``timeout`` seconds each at most."""
        with self._lock:
            self._closed = True
            tasks = (*self._running, *(entry.task for entry in self._waiting))
            self._waiting.clear()
            threads = self._threads - {threading.current_thread()}
        for task in tasks:
            task.cancel()
        for thread in threads:
            thread.join(timeout)

    def _forget_ended(self) -> None:
        """Keep the newest ended tasks only: they hold results."""
        ended = [key for key, each in self._tasks.items() if each.ended]
        for key in ended[: max(len(ended) - self.max_ended, 0)]:
            del self._tasks[key]

    def _wake(self) -> None:
        """Have a thread look at what waits: something that was waited for has ended."""
        with self._lock:
            if any(entry.ready for entry in self._waiting) and len(self._threads) < self.workers:
                self._start_thread()

    def _start_thread(self) -> bool:
        """Start one more thread; False if the system has none left and no other thread is running."""
        thread = threading.Thread(target=self._work, name="saliency-task", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            self._threads.discard(thread)
            user_message(error, "Starting a thread for a task")
            return bool(self._threads)
        return True

    def _work(self) -> None:
        """The loop of a thread: one task after another until none is ready."""
        while (entry := self._next()) is not None:
            try:
                _compute(entry.task, entry.run)
            finally:
                with self._lock:
                    self._running.discard(entry.task)
                    self._forget_ended()
            entry.task._forget_frames()

    def _next(self) -> _Entry | None:
        """The first entry whose turn has come; None ends the thread."""
        with self._lock:
            for entry in tuple(self._waiting):
                if entry.ready:
                    self._waiting.remove(entry)
                    if entry.task._begin():
                        self._running.add(entry.task)
                        return entry
            self._threads.discard(threading.current_thread())
            return None


def _compute(task: Task[Result], run: Callable[[ProgressCallback], Result]) -> None:
    try:
        result = run(task._report)
    except Cancelled:
        task._end(TaskState.CANCELLED)
    except BaseException as error:  # whatever it is, those who wait must learn that it ended
        task._fail(error)
    else:
        task._end(TaskState.DONE, result)


_QUEUES: weakref.WeakSet[TaskQueue] = weakref.WeakSet()


@atexit.register
def _close_queues() -> None:
    """A thread that is inside the network while the interpreter exits would crash the process."""
    for queue in tuple(_QUEUES):
        queue.close(EXIT_SECONDS)
