"""Long computations in the background, one per key for all sessions: progress, time left, cancel."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from saliency_core.progress import Cancelled, ProgressCallback

Result = TypeVar("Result")
Clock = Callable[[], float]
log = logging.getLogger(__name__)

FAILED = "The computation failed unexpectedly. Try again; the reason is in the server's log."
CROWDED = "Too many computations are waiting already. Try again in a minute."
CLOSED = "The server is shutting down."
EXIT_SECONDS = 10.0
"""How long the interpreter waits for each thread at its exit; a batch of passes takes less."""


class FairLock:
    """A lock that is served in the order of asking.

    A plain lock may be taken again by the thread that has just released it while others wait: a job that
    takes it batch after batch would keep everyone else out until it ends. Not reentrant.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._lock:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # released by the one before, who hands the lock over without letting go of it

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class Job(Generic[Result]):
    """One computation in the background, as all sessions that asked for it see it."""

    def __init__(self, total: int, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._stop = False
        self._steps, self._total = 0, total
        self._begun: float | None = None
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None
        self._result: Result | None = None
        self._error: str | None = None

    @classmethod
    def finished(cls, result: Result) -> Job[Result]:
        """A job that had nothing to do: its result is known already."""
        job = cls(0)
        job._end(result)
        return job

    @classmethod
    def refused(cls, error: str) -> Job[Result]:
        """A job that was not taken on, with the reason as a sentence for people."""
        job = cls(0)
        job._end(error=error)
        return job

    @property
    def done(self) -> bool:
        """Whether it has ended: with a result, an error, or stopped."""
        return self._ended.is_set()

    @property
    def waiting(self) -> bool:
        """Whether it has not begun yet, since others come first."""
        return self._begun is None and not self.done

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop before it ended; it ends after the batch of passes under way."""
        return self._stop

    @property
    def result(self) -> Result | None:
        """The result once ``done``; None before, after an error and after ``cancel``."""
        return self._result

    @property
    def error(self) -> str | None:
        """A sentence for people when it failed."""
        return self._error

    @property
    def fraction(self) -> float:
        """How much of it is done, 0 to 1."""
        with self._lock:
            if self._result is not None:
                return 1.0
            return min(self._steps / self._total, 1.0) if self._total > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time to its end at the pace measured so far, in seconds; None while that is unknown, 0 once done.

        The first report counts from the beginning and includes what happens once (importing, warming up);
        from the second on only the time since the first counts.
        """
        with self._lock:
            if self.done:
                return 0.0
            if self._begun is None or self._first is None or self._last is None:
                return None
            since = (0, self._begun) if self._last[0] == self._first[0] else self._first
            pace = (self._last[1] - since[1]) / (self._last[0] - since[0])  # seconds per pass
            expected = self._last[1] + pace * (self._total - self._last[0])
            return max(expected - self._clock(), 0.0)

    def cancel(self) -> None:
        """Stop it for all sessions, after the batch of passes under way; nothing is kept. Never blocks."""
        with self._lock:
            if self.done:
                return
            self._stop = True
            if self._begun is None:
                self._ended.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, ``timeout`` seconds at most; whether it has."""
        return self._ended.wait(timeout)

    def _begin(self) -> bool:
        """Whether it is still wanted, now that its turn has come."""
        with self._lock:
            if self.done:
                return False
            self._begun = self._clock()
            return True

    def _report(self, steps: int, total: int) -> None:
        """The ``step`` that the computation calls."""
        with self._lock:
            if self._stop:
                raise Cancelled
            self._steps, self._total = steps, total
            if steps > (self._last[0] if self._last else 0):
                self._last = (steps, self._clock())
                self._first = self._first or self._last

    def _end(self, result: Result | None = None, error: str | None = None, *, stopped: bool = False) -> None:
        with self._lock:
            self._stop = self._stop or stopped
            if not self._stop:
                self._result, self._error = result, error
            self._ended.set()


class JobPool(Generic[Result]):
    """Background jobs for all sessions: one per key, on a few threads, in the order of asking.

    Threads are started when there is work and end when there is none. Before the interpreter exits, all jobs
    are cancelled and the threads waited for.

    Args:
        workers: jobs that run at once. Where they share a :class:`FairLock` they take turns, batch by batch.
        most_waiting: jobs that may wait beside those that run; more are refused with a sentence.
        most_finished: ended jobs remembered, with their results or errors.
        clock: seconds, for the time left.

    >>> pool = JobPool()
    >>> job = pool.start("sum", total=3, run=lambda step: sum(range(3)))
    >>> job.wait(), job.result
    (True, 3)
    """

    def __init__(
        self,
        workers: int = 2,
        most_waiting: int = 16,
        most_finished: int = 64,
        clock: Clock = time.monotonic,
    ) -> None:
        if min(workers, most_waiting, most_finished) < 1:
            raise ValueError("workers, most_waiting and most_finished must be 1 or more")
        self.workers = workers
        self.most_waiting = most_waiting
        self.most_finished = most_finished
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: OrderedDict[Hashable, Job[Result]] = OrderedDict()
        self._queue: deque[tuple[Job[Result], Callable[[ProgressCallback], Result]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._running: set[Job[Result]] = set()
        self._closed = False
        _POOLS.add(self)

    def find(self, key: Hashable) -> Job[Result] | None:
        """The newest job of the key, running or ended, if it is remembered."""
        with self._lock:
            return self._jobs.get(key)

    def start(self, key: Hashable, total: int, run: Callable[[ProgressCallback], Result]) -> Job[Result]:
        """The job of the key that is under way, or a new one; never blocks.

        One that has ended or was cancelled begins again. ``run`` gets a ``progress`` to call with (done,
        total) after every piece of work; ``progress`` raises ``Cancelled`` once the job is cancelled, and
        ``run`` must let that pass. A ``ValueError`` or ``OSError`` of ``run`` becomes its ``error`` as
        it reads, any
        other exception a general sentence; both are logged.

        Args:
            total: passes expected, until ``run`` reports.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and not job.done and not job.cancelled:
                return job
            if self._closed:
                return Job.refused(CLOSED)
            self._queue = deque(entry for entry in self._queue if not entry[0].done)
            if len(self._running) + len(self._queue) >= self.workers + self.most_waiting:
                return Job.refused(CROWDED)
            if len(self._threads) < self.workers:
                thread = threading.Thread(target=self._work, name="saliency-job", daemon=True)
                self._threads.add(thread)
                try:
                    thread.start()
                except RuntimeError:  # the system has no thread left
                    self._threads.discard(thread)
                    log.exception("no thread could be started for a job")
                    return Job.refused(CROWDED)
            job = Job(total, self._clock)
            self._jobs[key] = job
            self._jobs.move_to_end(key)
            self._queue.append((job, run))
            ended = [key for key, one in self._jobs.items() if one.done]
            for key in ended[: max(len(ended) - self.most_finished, 0)]:
                del self._jobs[key]
            return job

    def close(self, timeout: float | None = None) -> None:
        """Cancel all jobs, take no more, and wait for the threads, ``timeout`` seconds each at most."""
        with self._lock:
            self._closed = True
            for job in (*self._running, *(job for job, _ in self._queue)):
                job.cancel()
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(timeout)

    def _work(self) -> None:
        """A thread's life: one job after the other until none waits."""
        while True:
            with self._lock:
                while self._queue and not self._queue[0][0]._begin():
                    self._queue.popleft()
                if not self._queue:
                    self._threads.discard(threading.current_thread())
                    return
                job, run = self._queue.popleft()
                self._running.add(job)
            try:
                _carry_out(job, run)
            finally:
                with self._lock:
                    self._running.discard(job)
            del job, run  # what they hold is not needed while the thread waits for the next


def _carry_out(job: Job[Result], run: Callable[[ProgressCallback], Result]) -> None:
    try:
        result = run(job._report)
    except Cancelled:
        job._end(stopped=True)
    except (ValueError, OSError) as error:
        log.warning("a job failed", exc_info=True)
        job._end(error=str(error))
    except BaseException:  # whatever it is, those who wait must learn that it ended
        log.exception("a job failed unexpectedly")
        job._end(error=FAILED)
    else:
        job._end(result)


_POOLS: weakref.WeakSet[JobPool[Any]] = weakref.WeakSet()


@atexit.register
def _close_pools() -> None:
    """A thread that is inside the network while the interpreter goes away would bring the process down."""
    for pool in tuple(_POOLS):
        pool.close(EXIT_SECONDS)
