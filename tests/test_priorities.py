"""Whose turn it is: at the device, and in the queue for a thread."""

from __future__ import annotations

import gc
import threading

import pytest

from saliency_core.engine.locks import FairLock
from saliency_core.engine.priorities import PATIENCE, Asker, FairOrder, Priority, on_behalf_of
from saliency_core.engine.queue import TaskQueue
from saliency_core.engine.tasks import Task, TaskState
from saliency_core.errors import BusyError
from saliency_core.progress import Cancelled, ProgressCallback
from tests.threads import LONG, Clock, until

SCREEN, SWEEP, MANY_PASSES = Priority


def taken(order: FairOrder[str]) -> list[str]:
    """All that waits, in the order of its turns."""
    return [item for _ in range(len(order)) if (item := order.take()) is not None]


def test_the_most_urgent_goes_first_then_the_session_served_least_recently_then_the_first() -> None:
    order: FairOrder[str] = FairOrder()
    for item, priority, session in [
        ("many", MANY_PASSES, "A"),
        ("sweep", SWEEP, "B"),
        ("a1", SCREEN, "A"),
        ("a2", SCREEN, "A"),
        ("a3", SCREEN, "A"),
        ("b1", SCREEN, "B"),
        ("c1", SCREEN, "C"),
    ]:
        order.add(item, priority, session)
    assert taken(order) == ["a1", "b1", "c1", "a2", "a3", "sweep", "many"]


def test_a_session_that_asks_for_much_keeps_no_other_waiting_longer_than_one_turn_of_each() -> None:
    order: FairOrder[str] = FairOrder()
    for number in range(100):
        order.add(f"greedy {number}", SCREEN, "greedy")
    for name in "abc":
        order.add(name, SCREEN, name)
    assert set(taken(order)[:4]) == {"greedy 0", "a", "b", "c"}


@pytest.mark.parametrize("kinds", [(SWEEP,), (MANY_PASSES,), (SWEEP, MANY_PASSES)])
def test_less_urgent_work_gets_a_turn_though_urgent_work_never_ends(kinds: tuple[Priority, ...]) -> None:
    order: FairOrder[object] = FairOrder()
    slices = {order_kind: object() for order_kind in kinds}
    for kind, item in slices.items():
        order.add(item, kind, None)
    since = dict.fromkeys(kinds, 0)
    for turn in range(200):
        order.add(f"screen {turn}", SCREEN, turn)
        found = order.take()
        for kind in kinds:
            since[kind] += 1
            if found is slices[kind]:
                since[kind] = 0
                order.add(found, kind, None)  # its next slice
            # Another kind may be due in the same turn, and then goes first.
            assert since[kind] <= PATIENCE + len(kinds)


def test_only_what_may_be_taken_is_taken_and_counts_as_passed_over() -> None:
    order: FairOrder[str] = FairOrder()
    order.add("not ready", SCREEN, "A")
    order.add("ready", SWEEP, "B")
    assert order.take(lambda item: item == "ready") == "ready"
    assert order.take(lambda item: item == "ready") is None
    assert list(order) == ["not ready"]


# ------------------------------------------------------------------------------------------ at the device


class Waiting:
    """Threads that ask for a lock one after another while it is held; the order in which they got it."""

    def __init__(self, lock: FairLock) -> None:
        self.lock = lock
        self.order: list[str] = []
        self.threads: list[threading.Thread] = []

    def ask(self, name: str, asker: Asker) -> None:
        """Let a thread wait for the lock."""

        def run() -> None:
            try:
                with on_behalf_of(asker), self.lock:
                    self.order.append(name)
            except Cancelled:
                self.order.append(f"{name} cancelled")

        thread = threading.Thread(target=run)
        before = self.lock.waiting
        thread.start()
        until(lambda: self.lock.waiting == before + 1)
        self.threads.append(thread)

    def join(self) -> list[str]:
        """The order, once all are through."""
        for thread in self.threads:
            thread.join(LONG)
        return self.order


def test_between_its_slices_a_job_gives_way_to_what_is_on_the_screen() -> None:
    lock = FairLock()
    waiting = Waiting(lock)
    with lock:
        waiting.ask("many passes", Asker("A", MANY_PASSES))
        waiting.ask("sweep", Asker("B", SWEEP))
        waiting.ask("screen", Asker("C", SCREEN))
    assert waiting.join() == ["screen", "sweep", "many passes"]


def test_of_what_is_on_the_screen_the_explanation_that_began_first_is_finished_first() -> None:
    lock = FairLock()
    waiting = Waiting(lock)
    first, second = Asker("A"), Asker("B")
    with lock:
        waiting.ask("second", second)
        waiting.ask("first, its second pass", first)
    assert waiting.join() == ["first, its second pass", "second"]


def test_sessions_take_turns_with_the_slices_of_their_long_jobs() -> None:
    lock = FairLock()
    waiting = Waiting(lock)
    with lock:
        waiting.ask("a1", Asker("A", SWEEP))
        waiting.ask("a2", Asker("A", SWEEP))
        waiting.ask("b1", Asker("B", SWEEP))
    assert waiting.join() == ["a1", "b1", "a2"]


def test_whoever_is_not_wanted_any_more_gets_no_turn_and_hands_it_on() -> None:
    lock = FairLock()
    waiting = Waiting(lock)
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise Cancelled

    left = Asker("A", check=check)
    with lock:
        waiting.ask("left", left)
        waiting.ask("stayed", Asker("B"))
        gone.set()
    assert sorted(waiting.join()) == ["left cancelled", "stayed"]
    assert not left.began
    with pytest.raises(Cancelled), on_behalf_of(left), lock:
        raise AssertionError("entered")
    with lock:  # it is free
        assert lock.waiting == 0


# ------------------------------------------------------------------------------------------- in the queue


class Held:
    """A queue of one thread, which the test holds until it lets go."""

    def __init__(self, **bounds: int) -> None:
        self.queue = TaskQueue(workers=1, **{"max_waiting": 100, **bounds})
        self.order: list[str] = []
        self._begun, self._go = threading.Event(), threading.Event()
        self.first = self.queue.submit("first", self._wait)
        assert self._begun.wait(LONG)

    def _wait(self, progress: ProgressCallback) -> str:
        self._begun.set()
        assert self._go.wait(LONG)
        return "first"

    def add(self, name: str, session: str, priority: Priority = SCREEN) -> Task[None]:
        """Let a task wait that notes its turn."""
        return self.queue.submit(name, lambda _: self.order.append(name), session=session, priority=priority)

    def served(self) -> list[str]:
        """The order of turns once the test has let go."""
        self._go.set()
        until(lambda: not self.queue.status("").waiting and not self.queue.status("").running)
        return self.order


def test_a_queue_serves_by_urgency_and_one_session_after_the_other() -> None:
    held = Held()
    held.add("sweep", "C", SWEEP)
    for number in range(3):
        held.add(f"a{number}", "A")
    held.add("b", "B")
    assert held.served() == ["a0", "b", "a1", "a2", "sweep"]


def test_a_session_runs_one_long_task_at_once_though_a_thread_is_free() -> None:
    queue = TaskQueue(workers=2, at_once=1)
    go, other = threading.Event(), threading.Event()
    first = queue.submit("a1", lambda _: go.wait(LONG), session="A")
    second = queue.submit("a2", lambda _: True, session="A")
    queue.submit("b1", lambda _: other.set(), session="B")
    assert other.wait(LONG)
    assert second.state is TaskState.QUEUED
    go.set()
    assert first.value()
    assert second.value()


def test_one_session_cannot_fill_the_queue_for_everyone() -> None:
    held = Held(per_session=3)
    for number in range(3):
        held.add(f"a{number}", "A")
    refused = held.add("a3", "A")
    assert refused.error == "You have 3 computations waiting already. Try again when some of them have ended."
    assert held.queue.refused == 1
    accepted = held.add("b0", "B")
    assert "b0" in held.served()
    assert accepted.error is None


def test_a_full_queue_says_at_once_for_how_long_it_is_busy_at_the_measured_pace() -> None:
    clock = Clock()
    queue = TaskQueue(workers=1, max_waiting=9, clock=clock)

    def four_seconds(progress: ProgressCallback) -> None:
        clock.now += 4.0

    for number in range(40):
        assert queue.submit(number, four_seconds).wait(LONG)
        until(lambda: not queue.status("").running)
    go, begun = threading.Event(), threading.Event()
    queue.submit("running", lambda _: (begun.set(), go.wait(LONG)))
    assert begun.wait(LONG)
    for number in range(9):
        assert queue.submit(f"waiting {number}", lambda _: None).error is None
    refused = queue.submit("one more", lambda _: None)
    assert refused.error == "The server is busy for about 40 seconds."
    with pytest.raises(BusyError) as raised:
        refused.value()
    assert raised.value.seconds == 40
    go.set()


@pytest.mark.parametrize("leave", ["release", "gone"])
def test_what_nobody_wants_any_more_is_dropped_before_it_runs(leave: str) -> None:
    class Session:
        pass

    held, left, stayed = Held(), Session(), Session()
    task, other = held.add("left", "A"), held.add("stayed", "B")
    task.hold(left)
    other.hold(stayed)
    if leave == "release":
        task.release(left)
    else:  # the session ended without a word
        del left
        gc.collect()
    assert held.served() == ["stayed"]
    assert task.state is TaskState.CANCELLED
    assert held.queue.dropped == 1


def test_a_task_that_only_a_left_session_held_is_computed_anew_for_the_next() -> None:
    class Session:
        pass

    held, left = Held(), Session()
    task = held.add("key", "A")
    task.hold(left)
    del left
    gc.collect()
    again = held.add("key", "B")
    assert again is not task
    assert held.served() == ["key"]
    assert (task.state, again.state) == (TaskState.CANCELLED, TaskState.DONE)


def test_a_running_task_stops_at_its_next_report_once_its_sessions_are_gone() -> None:
    class Session:
        pass

    left, begun, go = Session(), threading.Event(), threading.Event()

    def run(progress: ProgressCallback) -> None:
        begun.set()
        assert go.wait(LONG)
        progress(1, 2)
        raise AssertionError("it went on")

    task = TaskQueue(workers=1).submit("key", run)
    task.hold(left)
    assert begun.wait(LONG)
    del left
    gc.collect()
    go.set()
    assert task.wait(LONG)
    assert task.state is TaskState.CANCELLED


def test_threads_end_when_there_is_no_work() -> None:
    before = threading.active_count()
    held = Held()
    held.add("a", "A")
    held.served()
    until(lambda: threading.active_count() <= before)
