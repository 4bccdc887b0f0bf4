import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import saliency_core as sc
from saliency_core.engine.failures import UNEXPECTED
from saliency_core.engine.queue import CLOSED, TaskQueue
from saliency_core.engine.tasks import Task, TaskState
from saliency_core.errors import ArgumentError, ArgumentTypeError, BusyError
from saliency_core.progress import Cancelled, ProgressCallback
from tests.threads import LONG, Clock, Work

QUEUED, RUNNING, DONE, FAILED, CANCELLED = TaskState


@pytest.fixture
def queue() -> Iterator[TaskQueue]:
    queue = TaskQueue(workers=1)
    yield queue
    queue.close(LONG)


def ended(task: Task[str]) -> Task[str]:
    assert task.wait(LONG)
    return task


def failing(error: BaseException) -> Callable[[ProgressCallback], str]:
    def run(progress: ProgressCallback) -> str:
        raise error

    return run


def giving(result: str) -> Callable[[ProgressCallback], str]:
    return lambda progress: result


def test_a_task_goes_from_queued_to_running_to_done_with_its_result(queue: TaskQueue) -> None:
    first, work = Work(), Work()
    queue.submit("first", first)
    task = queue.submit("key", work, title="Occlusion of a cat", total=200, unit="photos")
    assert (task.state, task.ended, task.result, task.fraction) == (QUEUED, False, None, 0.0)
    assert (task.key, task.title, task.unit, task.total) == ("key", "Occlusion of a cat", "photos", 200)
    first.let(200)
    assert work.begun.wait(LONG)
    assert (task.state, task.ended, task.wait(0)) == (RUNNING, False, False)
    work.let(200)
    ended(task)
    assert (task.state, task.result, task.error, task.value()) == (DONE, "result", None, "result")
    assert (task.fraction, task.seconds_left, task.done) == (1.0, 0.0, 200)
    assert queue.find("key") is task


@pytest.mark.parametrize("session", [[1], {}, ("a", [1])])
def test_a_session_that_cannot_be_hashed_is_refused_and_the_others_are_served(
    session: object, queue: TaskQueue
) -> None:
    with pytest.raises(ArgumentTypeError, match="expected a hashable value"):
        queue.submit("key", giving("result"), session=session)  # type: ignore[arg-type]
    assert queue.submit("key", giving("result"), session="other").value() == "result"


def test_progress_is_the_share_of_the_units_done(queue: TaskQueue) -> None:
    work = Work()
    task = queue.submit("key", work, total=7)
    assert work.begun.wait(LONG)
    assert task.total == 7  # as submitted, until the computation reports
    work.go(50)
    assert (task.fraction, task.done, task.total) == (0.25, 50, 200)
    work.go(50)
    assert task.fraction == 0.5
    assert not task.ended
    work.let(100)
    assert ended(task).fraction == 1.0


def test_the_fraction_is_0_while_the_total_is_unknown_and_never_above_1() -> None:
    task: Task[str] = Task("key")
    task._report(3, 0)
    assert (task.fraction, task.seconds_left) == (0.0, None)
    task._report(3, 2)
    assert task.fraction == 1.0


def test_the_time_left_follows_the_measured_pace() -> None:
    clock, work = Clock(), Work()
    queue = TaskQueue(workers=1, clock=clock)
    task = queue.submit("key", work, total=200)
    assert work.begun.wait(LONG)
    assert task.seconds_left is None  # nothing is known yet
    clock.now += 3  # importing and warming up
    work.go(1)
    assert task.seconds_left == pytest.approx(199 * 3)
    clock.now += 0.5
    work.go(1)
    assert task.seconds_left == pytest.approx(198 * 0.5)  # the first step no longer counts
    clock.now += 1.5
    assert task.seconds_left == pytest.approx(198 * 0.5 - 1.5)  # it goes down between the reports
    work.go(1)
    assert task.seconds_left == pytest.approx(197 * 1.0)  # two seconds for two steps
    clock.now += 1000
    assert task.seconds_left == 0.0  # late, but never less than nothing
    queue.close(0)
    work.let(1)
    assert ended(task).seconds_left == 0.0


def test_sessions_that_submit_the_same_key_share_one_task(queue: TaskQueue) -> None:
    work = Work()
    start = threading.Barrier(8)

    def ask(_: int) -> Task[str]:
        start.wait(LONG)
        return queue.submit("key", work)

    with ThreadPoolExecutor(8) as sessions:
        tasks = list(sessions.map(ask, range(8)))
    assert all(task is tasks[0] for task in tasks)
    work.go(1)
    assert queue.submit("key", failing(AssertionError("a second computation"))) is tasks[0]
    work.let(199)
    assert ended(tasks[0]).result == "result"
    assert work.steps == 200
    assert queue.submit("other key", giving("other")) is not tasks[0]


def test_an_ended_task_starts_again_on_request(queue: TaskQueue) -> None:
    first = ended(queue.submit("key", giving("first")))
    second = ended(queue.submit("key", giving("second")))
    assert (first.result, second.result) == ("first", "second")
    assert queue.find("key") is second


def test_cancelling_stops_a_task_at_its_next_report_and_keeps_nothing(queue: TaskQueue) -> None:
    work = Work()
    task = queue.submit("key", work)
    work.go(3)
    task.cancel()
    assert (task.state, task.ended) == (CANCELLED, False)
    work.let(100)
    assert work.stopped.wait(LONG)
    ended(task)
    assert work.steps == 4
    assert (task.result, task.error, task.state) == (None, None, CANCELLED)
    with pytest.raises(Cancelled):
        task.value()


def test_a_cancelled_task_starts_again_even_before_it_has_ended(queue: TaskQueue) -> None:
    work = Work()
    first = queue.submit("key", work)
    work.go(1)
    first.cancel()
    second = queue.submit("key", giving("again"))
    assert second is not first
    work.let(1)
    assert ended(second).result == "again"
    assert queue.find("key") is second
    assert first.state is CANCELLED


def test_a_task_cancelled_while_queued_never_runs_and_can_be_submitted_again(queue: TaskQueue) -> None:
    work = Work()
    running = queue.submit("running", work)
    assert work.begun.wait(LONG)
    waiting = queue.submit("waiting", failing(AssertionError("it ran")))
    assert (running.state, waiting.state, waiting.seconds_left) == (RUNNING, QUEUED, None)
    waiting.cancel()
    assert (waiting.state, waiting.ended, waiting.error) == (CANCELLED, True, None)
    again = queue.submit("waiting", giving("again"))
    assert again is not waiting
    work.let(200)
    assert ended(running).result == "result"
    assert ended(again).result == "again"
    assert (waiting.state, waiting.error, waiting.result) == (CANCELLED, None, None)


def test_a_task_cancelled_when_its_turn_comes_is_not_started() -> None:
    task: Task[str] = Task("key")
    with task._lock:  # between the two halves of cancel()
        task._state = CANCELLED
    assert not task._begin()
    assert task.state is CANCELLED


@pytest.mark.parametrize("late", [giving("too late"), failing(OSError("too late"))])
def test_a_result_after_cancellation_is_dropped(
    queue: TaskQueue, late: Callable[[ProgressCallback], str], caplog: pytest.LogCaptureFixture
) -> None:
    begun, go = threading.Event(), threading.Event()

    def run(progress: ProgressCallback) -> str:
        begun.set()
        assert go.wait(LONG)
        return late(progress)

    task = queue.submit("key", run)
    assert begun.wait(LONG)
    task.cancel()
    go.set()
    assert (ended(task).result, task.error, task.state) == (None, None, CANCELLED)
    assert not caplog.records


def test_cancelling_an_ended_task_changes_nothing(queue: TaskQueue) -> None:
    task = ended(queue.submit("key", giving("result")))
    task.cancel()
    assert (task.result, task.state) == ("result", DONE)


def test_a_user_facing_error_becomes_the_tasks_error_word_for_word(queue: TaskQueue) -> None:
    given = sc.TargetError("There is no class 9.")
    task = ended(queue.submit("key", failing(given)))
    assert (task.state, task.error, task.result) == (FAILED, "There is no class 9.", None)
    assert task.fraction < 1
    with pytest.raises(sc.TargetError, match="There is no class 9.") as raised:
        task.value()
    assert raised.value is given
    assert queue.find("key") is task
    again = ended(queue.submit("key", giving("good")))
    assert (again.error, again.result) == (None, "good")


class Weird(BaseException):
    """Neither an Exception nor one that Python knows."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("/home/someone/secret.png"),
        OSError(13, "secret"),
        RuntimeError("0x7f secret"),
        MemoryError("secret"),
        AssertionError("secret"),
        ImportError("secret"),
        SystemExit("secret"),
        KeyboardInterrupt("secret"),
        GeneratorExit("secret"),
        StopIteration("secret"),
        Weird("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_is_logged_with_the_id_that_the_task_shows(
    queue: TaskQueue, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    task = ended(queue.submit("key", failing(error), title="Loading"))
    record = caplog.records[-1]
    assert (record.levelno, record.exc_info[1]) == (logging.ERROR, error)
    error_id = record.getMessage().rpartition(" ")[2]
    assert len(error_id) == 8
    assert error_id in task.error
    assert "secret" not in task.error
    assert ended(queue.submit("key", giving("good"))).result == "good"


def test_a_task_fails_even_if_its_error_cannot_be_logged(
    queue: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("the disk is full")

    handler = Broken()
    logging.getLogger().addHandler(handler)
    try:
        task = ended(queue.submit("key", failing(RuntimeError("inside"))))
    finally:
        logging.getLogger().removeHandler(handler)
    assert (task.state, task.error) == (FAILED, UNEXPECTED)
    assert ended(queue.submit("key", giving("good"))).result == "good"


class Photo:
    """Something large that a computation holds."""


def test_a_failed_task_keeps_nothing_of_what_its_computation_held(queue: TaskQueue) -> None:
    held: list[weakref.ref[Photo]] = []

    def load(photo: Photo) -> str:
        try:
            raise OSError("no file")
        except OSError as error:
            raise sc.WeightsError("no weights") from error

    def run(progress: ProgressCallback) -> str:
        photo = Photo()
        held.append(weakref.ref(photo))
        return load(photo)

    task = ended(queue.submit("key", run))
    queue.close(LONG)  # its thread is done with it
    gc.collect()
    assert held[0]() is None
    for _ in range(3):
        with pytest.raises(sc.WeightsError, match="no weights"):
            task.value()


def test_tasks_run_in_the_order_of_asking_and_only_so_many_at_once() -> None:
    queue = TaskQueue(workers=2)
    works = [Work(str(number)) for number in range(4)]
    tasks = [queue.submit(number, work) for number, work in enumerate(works)]
    assert works[0].begun.wait(LONG)
    assert works[1].begun.wait(LONG)
    assert [task.state for task in tasks] == [RUNNING, RUNNING, QUEUED, QUEUED]
    works[1].let(200)
    assert works[2].begun.wait(LONG)
    assert tasks[3].state is QUEUED
    for work in works:
        work.let(200)
    assert [ended(task).result for task in tasks] == ["0", "1", "2", "3"]


def test_more_than_may_wait_are_refused_with_a_sentence() -> None:
    queue = TaskQueue(workers=1, max_waiting=2)
    works = [Work() for _ in range(3)]
    tasks = [queue.submit(number, work) for number, work in enumerate(works)]
    refused = queue.submit("one more", giving("never"))
    assert (refused.ended, refused.state) == (True, FAILED)
    assert refused.error == "The server is busy for about 3 seconds."
    with pytest.raises(BusyError):
        refused.value()
    assert queue.submit(1, giving("never")) is tasks[1]  # those under way are still shared
    tasks[1].cancel()  # one more can wait again
    taken = queue.submit("one more", giving("taken"))
    for work in works:
        work.let(200)
    assert ended(taken).result == "taken"


@pytest.mark.parametrize("remembered", [0, 2])
def test_only_the_newest_ended_tasks_are_remembered_though_no_other_is_submitted(remembered: int) -> None:
    queue = TaskQueue(workers=1, max_ended=remembered)
    for number in range(5):
        assert queue.submit(number, giving(str(number))).wait(LONG)
    queue.close(LONG)  # its thread has done what it does after a task
    assert [queue.find(number) is not None for number in range(5)] == [
        number >= 5 - remembered for number in range(5)
    ]


def test_a_task_after_another_waits_for_it_without_a_thread(queue: TaskQueue) -> None:
    other, work = TaskQueue(workers=1), Work()
    loading = other.submit("loading", work)
    after = queue.submit("after", giving("after"), after=loading)
    assert ended(queue.submit("free", giving("free"))).result == "free"  # the only thread is not taken
    assert after.state is QUEUED
    work.let(200)
    assert ended(after).result == "after"
    assert loading.state is DONE


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_a_task_after_one_that_has_ended_begins_at_once(queue: TaskQueue, end: str) -> None:
    first: Task[str] = Task("first")
    if end == "cancelled":
        first.cancel()
    else:
        first._end(TaskState(end))
    assert ended(queue.submit("key", giving("result"), after=first)).result == "result"


def test_a_task_after_one_that_is_cancelled_in_the_same_queue_begins(queue: TaskQueue) -> None:
    work = Work()
    queue.submit("running", work)
    first = queue.submit("first", failing(AssertionError("it ran")))
    second = queue.submit("second", giving("second"), after=first)
    first.cancel()
    work.let(200)
    assert ended(second).result == "second"


def test_many_tasks_that_wait_for_one_all_run_when_it_ends() -> None:
    queue, work = TaskQueue(workers=4, max_waiting=32), Work()
    loading = TaskQueue(workers=1).submit("loading", work)
    together = threading.Barrier(4)

    def run(progress: ProgressCallback) -> str:
        together.wait(LONG)  # passes only if four run at once
        return "result"

    tasks = [queue.submit(number, run, after=loading) for number in range(16)]
    work.let(200)
    assert all(ended(task).result == "result" for task in tasks)


def test_closing_cancels_waits_and_takes_no_more(queue: TaskQueue) -> None:
    begun = threading.Event()

    def endless(progress: ProgressCallback) -> str:
        while True:
            begun.set()
            progress(1, 2)

    running = queue.submit("running", endless, total=2)
    waiting = queue.submit("waiting", failing(AssertionError("it ran")))
    behind = queue.submit("behind", failing(AssertionError("it ran")), after=waiting)
    assert begun.wait(LONG)
    queue.close(LONG)
    assert [task.state for task in (running, waiting, behind)] == [CANCELLED] * 3
    assert all(task.ended for task in (running, waiting, behind))
    assert queue.submit("late", giving("late")).error == CLOSED


def test_a_queue_can_be_closed_from_one_of_its_tasks(queue: TaskQueue) -> None:
    def run(progress: ProgressCallback) -> str:
        queue.close()
        progress(1, 1)
        return "result"

    assert ended(queue.submit("key", run)).state is CANCELLED


def test_the_interpreter_exits_in_order_while_a_task_is_inside_the_network() -> None:
    code = """
import threading, torch
from saliency_core.engine.queue import TaskQueue
inside = threading.Event()
def run(progress):
    weights = torch.randn(256, 256)
    for done in range(10**9):
        weights @ weights
        inside.set()
        progress(done, 10**9)
queue = TaskQueue()
tasks = [queue.submit(key, run) for key in range(5)]
inside.wait()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_task_can_be_finished_or_refused_from_the_start() -> None:
    finished = Task.finished("key", "cached", title="A cat")
    assert (finished.state, finished.ended, finished.result, finished.value()) == (
        DONE,
        True,
        "cached",
        "cached",
    )
    assert (finished.fraction, finished.error, finished.title) == (1.0, None, "A cat")
    refused: Task[str] = Task.refused("key", sc.TargetError("There is no such class."))
    assert (refused.state, refused.ended, refused.result) == (FAILED, True, None)
    assert refused.error == "There is no such class."


def test_who_asks_to_be_called_back_is_called_once_before_or_after_the_end() -> None:
    task: Task[str] = Task("key")
    calls: list[str] = []
    task.when_ended(lambda: calls.append("before"))
    assert calls == []
    task._end(DONE, "result")
    task.when_ended(lambda: calls.append("after"))
    task.cancel()
    assert calls == ["before", "after"]


@pytest.mark.parametrize("bounds", [{"workers": 0}, {"max_waiting": 0}, {"max_ended": -1}])
def test_a_queue_without_room_is_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match="expected 1 or more"):
        TaskQueue(**bounds)
