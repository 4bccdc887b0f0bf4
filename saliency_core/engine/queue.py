"""Tasks that wait for a thread: bounded, in a fair order, and refused at once when there are too many."""

from __future__ import annotations

import atexit
import math
import threading
import time
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from saliency_core.engine.failures import user_message
from saliency_core.engine.priorities import Asker, FairOrder, Priority, on_behalf_of
from saliency_core.engine.status import QueueStatus
from saliency_core.engine.tasks import Clock, Task, TaskState
from saliency_core.errors import ArgumentError, ArgumentTypeError, BusyError
from saliency_core.progress import Cancelled, ProgressCallback

Result = TypeVar("Result")

CLOSED = "The server is shutting down."
EXIT_SECONDS = 10.0
"""How long the interpreter waits for each thread at its exit; a batch of passes takes less."""
FIRST_PACE = 1.0
"""Seconds that a task is taken to need until one was measured."""
SMOOTHING = 0.2
"""The weight of the newest task in the mean of their seconds."""


@dataclass(frozen=True)
class Joint(Generic[Result]):
    """How a task is computed together with others that wait.

    Tasks with equal keys may be computed together, `at_most` so many. `run` gets, for each of them, its
    `item` and who asked, and gives a result or an error for each.
    """

    key: Hashable
    item: object
    run: Callable[[Sequence[tuple[Any, Asker]]], Sequence[Result | Exception]]
    at_most: int


@dataclass(frozen=True, eq=False)
class _Entry:
    """A task that waits for its turn, and for another task to end first."""

    task: Task[Any]
    run: Callable[[ProgressCallback], Any]
    after: Task[Any] | None
    asker: Asker
    asked: float
    joint: Joint[Any] | None


class TaskQueue:
    """Tasks for all sessions: one per key, on a few threads, in a fair order.

    The next task is the most urgent one, then that of the session served least recently, then the first
    (see :class:`FairOrder`). One that nobody wants any more when its turn comes is dropped.

    Threads are started when there is work and end when there is none. Before the interpreter exits, all tasks
    are cancelled and the threads waited for.

    Args:
        workers: tasks that run at once.
        max_waiting: tasks that may wait beside those that run; more are refused with a sentence.
        max_ended: ended tasks remembered, with their results or errors.
        clock: seconds, for the time left and the measured pace.
        per_session: tasks of one session that may wait and run; None for no bound of its own.
        at_once: tasks of one session that run at once, while others wait though a thread may be free; None
            for no bound. Neither bound is for tasks without a session.

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
        *,
        per_session: int | None = None,
        at_once: int | None = None,
    ) -> None:
        if min(workers, max_waiting) < 1 or max_ended < 0:
            raise ArgumentError(
                f"workers is {workers}, max_waiting {max_waiting} and max_ended {max_ended}; expected 1 or "
                "more for the first two and 0 or more for the last"
            )
        self.workers = workers
        self.max_waiting = max_waiting
        self.max_ended = max_ended
        self.per_session = per_session
        self.at_once = at_once
        self.refused = 0
        """Tasks refused because too many were waiting."""
        self.dropped = 0
        """Tasks that nobody wanted any more when their turn came."""
        self._clock = clock
        self._lock = threading.Lock()
        self._tasks: OrderedDict[Hashable, Task[Any]] = OrderedDict()
        self._waiting: FairOrder[_Entry] = FairOrder()
        self._threads: set[threading.Thread] = set()
        self._running: dict[Task[Any], Hashable] = {}
        self._pace = FIRST_PACE
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
        session: Hashable = None,
        priority: Priority = Priority.SCREEN,
        logged: str = "",
        joint: Joint[Result] | None = None,
    ) -> Task[Result]:
        """The task of the key that is queued or running, or a new one; never blocks.

        A key whose task has ended or was cancelled gets a new task. ``run`` gets a ``progress`` to call with
        (done, total) after every unit of work; ``progress`` raises ``Cancelled`` once the task is cancelled,
        and ``run`` must let that pass. What else ``run`` raises becomes the task's ``error``.

        ``after`` is a task of any queue that has to end first, however it ends; no thread waits for it.
        ``run`` itself must not wait for another task of this queue, which might wait for its thread.
        ``session`` says for whom it is, ``priority`` how urgent, ``logged`` what the log calls it (see
        :class:`Task`), ``joint`` how it is computed together with others that wait.

        Raises:
            ArgumentTypeError: a session that cannot be hashed.
        """
        if not _is_hashable(session):  # it would end every thread that looks for the next task
            raise ArgumentTypeError(f"the session is a {type(session).__name__}; expected a hashable value")
        with self._lock:
            found = self._tasks.get(key)
            if found is not None and found.wanted:
                return found
            unwanted = self._remove_unwanted()
            refusal = self._refusal(session)
            if refusal is None and len(self._threads) < self.workers and not self._start_thread():
                refusal = self._busy()
            if refusal is None:
                task: Task[Result] = Task(
                    key, title=title, total=total, unit=unit, clock=self._clock, logged=logged
                )
                self._tasks[key] = task
                self._tasks.move_to_end(key)
                asker = Asker(session, priority, task._check)
                entry = _Entry(task, run, after, asker, self._clock(), joint)
                self._waiting.add(entry, priority, session, asker.number)
                self._forget_ended()
        for each in unwanted:
            each.cancel()
        if refusal is not None:
            return Task.refused(key, refusal, title=title, logged=logged)
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
            self._waiting = FairOrder()
            threads = self._threads - {threading.current_thread()}
        for task in tasks:
            task.cancel()
        for thread in threads:
            thread.join(timeout)

    def _refusal(self, session: Hashable) -> BusyError | None:
        """Why one more task is not accepted, if it is not."""
        if self._closed:
            return BusyError(CLOSED)
        running = [each for task, each in self._running.items() if not task.ended]
        if len(running) + len(self._waiting) >= self.workers + self.max_waiting:
            return self._busy()
        if session is not None and self.per_session is not None:
            waiting = [entry.asker.session for entry in self._waiting]
            own = [*running, *waiting].count(session)
            if own >= self.per_session:
                self.refused += 1
                return BusyError(
                    f"You have {own} computations waiting already. Try again when some of them have ended.",
                    self._seconds(own),
                )
        return None

    def _busy(self) -> BusyError:
        self.refused += 1
        seconds = self._seconds(len(self._waiting) + len(self._running))
        return BusyError(f"The server is busy for about {_duration(seconds)}.", seconds)

    def _seconds(self, tasks: int) -> int:
        """How long so many tasks take at the pace measured so far."""
        return max(math.ceil(tasks * self._pace / self.workers), 1)

    def _remove_unwanted(self) -> list[Task[Any]]:
        """Let tasks wait no longer that nobody wants; they are still to be cancelled, outside the lock."""
        entries = [entry for entry in self._waiting if not entry.task.wanted]
        for entry in entries:
            self._waiting.remove(entry)
        self.dropped += len(entries)
        return [entry.task for entry in entries]

    def _forget_ended(self) -> None:
        """Keep the newest ended tasks only: they hold results."""
        ended = [key for key, each in self._tasks.items() if each.ended]
        for key in ended[: max(len(ended) - self.max_ended, 0)]:
            del self._tasks[key]

    def _wake(self) -> None:
        """Have a thread look at what waits: something that was waited for has ended."""
        with self._lock:
            if any(self._ready(entry) for entry in self._waiting) and len(self._threads) < self.workers:
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
        """The loop of a thread: one task after another, or several together, until none is ready."""
        while entries := self._next():
            began = self._clock()
            for entry in entries:
                entry.asker.waited += began - entry.asked
            try:
                _compute(entries)
            finally:
                with self._lock:
                    for entry in entries:
                        self._running.pop(entry.task, None)
                    self._measure(entries, self._clock() - began)
                    self._forget_ended()
            for entry in entries:
                entry.task._forget_frames()

    def _measure(self, entries: Sequence[_Entry], seconds: float) -> None:
        """Let what has ended correct the measured pace; what was cancelled says nothing about it."""
        states = Counter(entry.task.state for entry in entries)
        self.dropped += sum(
            entry.task.state is TaskState.CANCELLED and not entry.asker.began for entry in entries
        )
        if states[TaskState.DONE]:
            self._pace += SMOOTHING * (seconds / len(entries) - self._pace)

    def _ready(self, entry: _Entry) -> bool:
        """Whether a task may begin: nothing that it waits for, and not too many of its session running."""
        if entry.after is not None and not entry.after.ended:
            return False
        session = entry.asker.session
        if session is None or self.at_once is None:
            return True
        return list(self._running.values()).count(session) < self.at_once

    def _next(self) -> list[_Entry]:
        """The next task, with those that are computed together with it; an empty list ends the thread."""
        unwanted: list[Task[Any]] = []
        begun: list[_Entry] = []
        with self._lock:
            while not begun and (first := self._waiting.take(self._ready)) is not None:
                entries = [first, *self._joined(first)]
                begun = [entry for entry in entries if entry.task._begin()]
                unwanted += [entry.task for entry in entries if entry not in begun]
            self._running |= {entry.task: entry.asker.session for entry in begun}
            self.dropped += len(unwanted)
            if not begun:
                self._threads.discard(threading.current_thread())
        for task in unwanted:
            task.cancel()
        return begun

    def _joined(self, first: _Entry) -> list[_Entry]:
        """The tasks waiting that are computed together with the first."""
        joint, joined = first.joint, list[_Entry]()
        if joint is None:
            return joined

        def alike(entry: _Entry) -> bool:
            return entry.joint is not None and entry.joint.key == joint.key and self._ready(entry)

        while len(joined) + 1 < joint.at_most and (entry := self._waiting.take(alike)) is not None:
            joined.append(entry)
        return joined


def _compute(entries: Sequence[_Entry]) -> None:
    """Compute tasks that have begun; each of them ends, whatever happens."""
    first, *others = entries
    try:
        if first.joint is None or not others:
            with on_behalf_of(first.asker):
                outcomes: Sequence[object] = [first.run(first.task._report)]
        else:
            together = Asker(None, first.asker.priority, lambda: _check_any(entries))
            with on_behalf_of(together):
                pairs = [(entry.joint.item, entry.asker) for entry in entries if entry.joint is not None]
                outcomes = first.joint.run(pairs)
    except Cancelled:
        for entry in entries:
            entry.task._end(TaskState.CANCELLED)
    except BaseException as error:  # whatever it is, those who wait must learn that it ended
        for entry in entries:
            entry.task._fail(error)
    else:
        for entry, outcome in zip(entries, outcomes, strict=True):
            if isinstance(outcome, Exception):
                entry.task._fail(outcome)
            else:
                entry.task._end(TaskState.DONE, outcome)


def _check_any(entries: Sequence[_Entry]) -> None:
    """Raise ``Cancelled`` if nobody wants any of the results."""
    for entry in entries:
        try:
            entry.task._check()
        except Cancelled:
            continue
        return
    raise Cancelled


def _is_hashable(value: object) -> bool:
    """Whether a value can be hashed; a tuple that holds a list, for instance, has `__hash__` but cannot."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _duration(seconds: int) -> str:
    if seconds < 90:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{round(seconds / 60)} minutes"


_QUEUES: weakref.WeakSet[TaskQueue] = weakref.WeakSet()


@atexit.register
def _close_queues() -> None:
    """A thread that is inside the network while the interpreter exits would crash the process."""
    for queue in tuple(_QUEUES):
        queue.close(EXIT_SECONDS)
