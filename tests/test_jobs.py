import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from saliency_core.engine.tasks import CLOSED, CROWDED, FAILED, FairLock, Job, JobPool
from saliency_core.methods.registry import METHODS
from saliency_core.progress import Cancelled, ProgressCallback
from tests.networks import batch, classifier

LONG = 30.0
"""Seconds after which a wait has failed; nothing here takes a tenth of it."""


class Clock:
    """Seconds that pass only when told to."""

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


@pytest.fixture
def pool() -> Iterator[JobPool[str]]:
    pool = JobPool[str](workers=1)
    yield pool
    pool.close(LONG)


def ended(job: Job[str]) -> Job[str]:
    assert job.wait(LONG)
    return job


def failing(error: BaseException) -> Callable[[ProgressCallback], str]:
    def run(progress: ProgressCallback) -> str:
        raise error

    return run


def test_a_job_ends_with_its_result(pool: JobPool[str]) -> None:
    work = Work()
    job = pool.start("key", 200, work)
    assert (job.done, job.result, job.fraction) == (False, None, 0.0)
    work.let(200)
    ended(job)
    assert (job.done, job.result, job.error, job.cancelled) == (True, "result", None, False)
    assert (job.fraction, job.seconds_left, job.waiting) == (1.0, 0.0, False)
    assert pool.find("key") is job


def test_progress_is_the_share_of_the_steps_done(pool: JobPool[str]) -> None:
    work = Work()
    job = pool.start("key", 7, work)
    work.go(50)
    assert job.fraction == 0.25
    work.go(50)
    assert job.fraction == 0.5
    assert not job.done
    work.let(100)
    assert ended(job).fraction == 1.0


def test_the_time_left_follows_the_measured_pace() -> None:
    clock, work = Clock(), Work()
    pool = JobPool[str](workers=1, clock=clock)
    job = pool.start("key", 200, work)
    assert work.begun.wait(LONG)
    assert job.seconds_left is None  # nothing is known yet
    clock.now += 3  # importing and warming up
    work.go(1)
    assert job.seconds_left == pytest.approx(199 * 3)
    clock.now += 0.5
    work.go(1)
    assert job.seconds_left == pytest.approx(198 * 0.5)  # the first step no longer counts
    clock.now += 1.5
    assert job.seconds_left == pytest.approx(198 * 0.5 - 1.5)  # it goes down between the reports
    work.go(1)
    assert job.seconds_left == pytest.approx(197 * 1.0)  # two seconds for two steps
    clock.now += 1000
    assert job.seconds_left == 0.0  # late, but never less than nothing
    pool.close(0)
    work.let(1)
    assert ended(job).seconds_left == 0.0


def test_sessions_that_start_the_same_key_share_one_job(pool: JobPool[str]) -> None:
    work = Work()
    start = threading.Barrier(8)

    def ask(_: int) -> Job[str]:
        start.wait(LONG)
        return pool.start("key", 200, work)

    with ThreadPoolExecutor(8) as sessions:
        jobs = list(sessions.map(ask, range(8)))
    assert all(job is jobs[0] for job in jobs)
    work.go(1)
    assert pool.start("key", 200, failing(AssertionError("a second computation"))) is jobs[0]
    work.let(199)
    assert ended(jobs[0]).result == "result"
    assert work.steps == 200
    assert pool.start("other key", 1, lambda step: "other") is not jobs[0]


def test_an_ended_job_begins_anew_on_request(pool: JobPool[str]) -> None:
    first = ended(pool.start("key", 1, lambda step: "first"))
    second = ended(pool.start("key", 1, lambda step: "second"))
    assert (first.result, second.result) == ("first", "second")
    assert pool.find("key") is second


def test_cancelling_ends_a_job_at_its_next_step_and_keeps_nothing(pool: JobPool[str]) -> None:
    work = Work()
    job = pool.start("key", 200, work)
    work.go(3)
    job.cancel()
    assert (job.cancelled, job.done) == (True, False)
    work.let(100)
    assert work.stopped.wait(LONG)
    ended(job)
    assert work.steps == 4
    assert (job.result, job.error, job.cancelled) == (None, None, True)


def test_a_cancelled_job_begins_anew_even_before_it_has_ended(pool: JobPool[str]) -> None:
    work = Work()
    first = pool.start("key", 200, work)
    work.go(1)
    first.cancel()
    second = pool.start("key", 1, lambda step: "anew")
    assert second is not first
    work.let(1)
    assert ended(second).result == "anew"
    assert pool.find("key") is second


def test_a_job_cancelled_while_it_waits_never_runs(pool: JobPool[str]) -> None:
    work = Work()
    running = pool.start("running", 200, work)
    assert work.begun.wait(LONG)
    waiting = pool.start("waiting", 1, failing(AssertionError("it ran")))
    assert (running.waiting, waiting.waiting, waiting.seconds_left) == (False, True, None)
    waiting.cancel()
    assert (waiting.done, waiting.waiting, waiting.cancelled, waiting.error) == (True, False, True, None)
    work.let(200)
    assert ended(running).result == "result"
    assert ended(pool.start("after", 1, lambda step: "after")).result == "after"
    assert waiting.error is None


def test_a_result_that_comes_after_the_cancelling_is_dropped(pool: JobPool[str]) -> None:
    begun, go = threading.Event(), threading.Event()

    def run(progress: ProgressCallback) -> str:
        begun.set()
        assert go.wait(LONG)
        return "too late"

    job = pool.start("key", 1, run)
    assert begun.wait(LONG)
    job.cancel()
    go.set()
    assert ended(job).result is None
    assert job.cancelled


def test_cancelling_an_ended_job_changes_nothing(pool: JobPool[str]) -> None:
    job = ended(pool.start("key", 1, lambda step: "result"))
    job.cancel()
    assert (job.result, job.cancelled) == ("result", False)


@pytest.mark.parametrize("error", [ValueError("No such class."), OSError("No connection.")])
def test_a_failure_leaves_its_sentence_and_can_be_started_again(pool: JobPool[str], error: Exception) -> None:
    job = ended(pool.start("key", 1, failing(error)))
    assert (job.error, job.result, job.cancelled) == (str(error), None, False)
    assert job.fraction < 1
    assert pool.find("key") is job
    again = ended(pool.start("key", 1, lambda step: "good"))
    assert (again.error, again.result) == (None, "good")


@pytest.mark.parametrize("error", [RuntimeError("0x7f in kernel"), SystemExit(1)])
def test_an_unexpected_failure_is_logged_and_told_in_general_words(
    pool: JobPool[str], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert ended(pool.start("key", 1, failing(error))).error == FAILED
    assert caplog.records[0].exc_info[1] is error
    assert ended(pool.start("key", 1, lambda step: "good")).result == "good"


def test_jobs_run_in_the_order_of_asking_and_only_so_many_at_once() -> None:
    pool = JobPool[str](workers=2)
    works = [Work(str(number)) for number in range(4)]
    jobs = [pool.start(number, 200, work) for number, work in enumerate(works)]
    assert works[0].begun.wait(LONG)
    assert works[1].begun.wait(LONG)
    assert [job.waiting for job in jobs] == [False, False, True, True]
    works[1].let(200)
    assert works[2].begun.wait(LONG)
    assert jobs[3].waiting
    for work in works:
        work.let(200)
    assert [ended(job).result for job in jobs] == ["0", "1", "2", "3"]


def test_more_than_may_wait_are_refused_with_a_sentence() -> None:
    pool = JobPool[str](workers=1, most_waiting=2)
    works = [Work() for _ in range(3)]
    jobs = [pool.start(number, 200, work) for number, work in enumerate(works)]
    refused = pool.start("one more", 1, lambda step: "never")
    assert (refused.done, refused.error) == (True, CROWDED)
    jobs[1].cancel()  # its place is free again
    taken = pool.start("one more", 1, lambda step: "taken")
    for work in works:
        work.let(200)
    assert ended(taken).result == "taken"


def test_only_the_newest_ended_jobs_are_remembered() -> None:
    pool = JobPool[int](workers=1, most_finished=2)
    for number in range(5):
        assert pool.start(number, 1, lambda step, number=number: number).wait(LONG)
    pool.start("next", 1, lambda step: 0).wait(LONG)
    assert [pool.find(number) is not None for number in range(5)] == [False, False, False, True, True]


def test_closing_cancels_waits_and_takes_no_more(pool: JobPool[str]) -> None:
    begun = threading.Event()

    def endless(progress: ProgressCallback) -> str:
        while True:
            begun.set()
            progress(1, 2)

    running = pool.start("running", 2, endless)
    waiting = pool.start("waiting", 1, failing(AssertionError("it ran")))
    assert begun.wait(LONG)
    pool.close(LONG)
    assert (running.done, running.cancelled, waiting.done, waiting.cancelled) == (True, True, True, True)
    assert pool.start("late", 1, lambda step: "late").error == CLOSED


def test_the_interpreter_goes_away_in_order_while_a_job_is_inside_the_network() -> None:
    code = """
import threading, torch
from saliency_core.engine.tasks import JobPool
inside = threading.Event()
def run(step):
    weights = torch.randn(256, 256)
    for done in range(10**9):
        weights @ weights
        inside.set()
        progress(done, 10**9)
pool = JobPool()
jobs = [pool.start(key, 1, run) for key in range(5)]
inside.wait()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_job_is_known_to_be_finished_or_refused_from_the_start() -> None:
    finished = Job.finished("cached")
    assert (finished.done, finished.result, finished.fraction, finished.error) == (True, "cached", 1.0, None)
    refused = Job.refused("There is no such class.")
    assert (refused.done, refused.result, refused.error) == (True, None, "There is no such class.")


def test_a_pool_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        JobPool(workers=0)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline


def test_a_fair_lock_goes_to_who_asked_first_not_to_who_is_fastest() -> None:
    lock = FairLock()
    order: list[str] = []
    held = threading.Event()

    def greedy() -> None:
        with lock:
            held.set()
            until(lambda: lock.waiting == 1)
        with lock:  # at once again
            order.append("greedy")

    thread = threading.Thread(target=greedy)
    thread.start()
    assert held.wait(LONG)
    with lock:
        order.append("patient")
    thread.join(LONG)
    assert order == ["patient", "greedy"]
    assert lock.waiting == 0


def test_a_fair_lock_lets_one_in_at_a_time() -> None:
    lock = FairLock()
    inside: list[int] = []
    most: list[int] = []

    def often(number: int) -> None:
        for _ in range(300):
            with lock:
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(often, number) for number in range(4)]:
            future.result(LONG)
    assert (len(most), max(most)) == (1200, 1)


def test_a_fair_lock_is_let_go_of_after_an_error() -> None:
    lock = FairLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    with lock:
        assert lock.waiting == 0


def test_a_baseline_as_a_job_lets_others_in_between_its_batches_and_stops_within_one() -> None:
    clf, x, lock = classifier(), batch(), FairLock()
    batches: list[int] = []
    first = threading.Event()

    def note(_module: object, _inputs: object, scores: object) -> None:
        batches.append(1)
        first.set()
        if len(batches) == 1:
            until(lambda: lock.waiting == 1)

    clf.module.head.register_forward_hook(note)
    pool, smoothgrad = JobPool(workers=1), METHODS["smoothgrad"].kind
    job = pool.start("key", 50, lambda step: smoothgrad.run(clf, x, 0, progress=step, lock=lock))
    assert first.wait(LONG)
    with lock:  # a quick explanation: its turn comes after one batch of the job
        assert len(batches) == 1
        job.cancel()
    assert job.wait(LONG)
    assert len(batches) <= 2
    assert job.result is None
