import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from saliency_core.engine.locks import FairLock
from saliency_core.engine.queue import TaskQueue
from saliency_core.methods.method import MultiPass
from saliency_core.methods.registry import METHODS
from tests.networks import batch, classifier
from tests.threads import LONG, until


def test_a_fair_lock_goes_to_the_thread_that_asked_first() -> None:
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


def test_a_fair_lock_serves_several_waiters_in_the_order_of_asking() -> None:
    lock = FairLock()
    order: list[int] = []

    def ask(number: int) -> None:
        with lock:
            order.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    with lock:
        for count, thread in enumerate(threads, 1):
            thread.start()
            until(lambda count=count: lock.waiting == count)
    for thread in threads:
        thread.join(LONG)
    assert order == [0, 1, 2, 3, 4]


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


def test_a_fair_lock_is_released_after_an_error() -> None:
    lock = FairLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    assert free(lock)


def free(lock: FairLock) -> bool:
    """Whether another thread gets the lock."""
    entered = threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered.wait(LONG)


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Sets what happens in the main thread at Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, lambda *_: handler())
    signal.signal(signal.SIGINT, before)


def interrupt_main() -> None:
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def stop() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_while_waiting_leaves_the_lock_to_the_others(
    on_signal: Callable[[Callable[[], None]], None],
) -> None:
    lock = FairLock()
    on_signal(stop)
    held, done = threading.Event(), threading.Event()
    entered: list[str] = []

    def behind() -> None:
        until(lambda: lock.waiting == 1)
        threading.Thread(target=interrupt_when_two_wait).start()
        with lock:
            entered.append("behind")

    def interrupt_when_two_wait() -> None:
        until(lambda: lock.waiting == 2)
        interrupt_main()

    def hold() -> None:
        with lock:
            held.set()
            assert done.wait(LONG)

    threads = [threading.Thread(target=target) for target in (hold, behind)]
    for thread in threads:
        thread.start()
    assert held.wait(LONG)
    with pytest.raises(KeyboardInterrupt), lock:
        entered.append("interrupted")
    assert lock.waiting == 1
    done.set()
    for thread in threads:
        thread.join(LONG)
    assert entered == ["behind"]
    assert free(lock)


def test_ctrl_c_as_the_lock_is_handed_over_hands_it_on(
    on_signal: Callable[[Callable[[], None]], None],
) -> None:
    lock = FairLock()
    held, let_go, released = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            until(lambda: lock.waiting == 1)
            interrupt_main()
            assert let_go.wait(LONG)
        released.set()

    def handed_over_then_interrupted() -> None:
        # Runs in the waiting thread: the lock becomes its own before the exception comes out of the wait.
        let_go.set()
        assert released.wait(LONG)
        stop()

    on_signal(handed_over_then_interrupted)
    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(LONG)
    with pytest.raises(KeyboardInterrupt), lock:
        raise AssertionError("entered")
    thread.join(LONG)
    assert free(lock)


def test_a_many_pass_method_lets_others_in_between_its_batches_and_stops_within_one() -> None:
    clf, x, lock = classifier(), batch(), FairLock()
    batches: list[int] = []
    first = threading.Event()

    def note(_module: object, _inputs: object, scores: object) -> None:
        batches.append(1)
        first.set()
        if len(batches) == 1:
            until(lambda: lock.waiting == 1)

    clf.module.head.register_forward_hook(note)
    queue = TaskQueue(workers=1)
    kind = METHODS["smoothgrad"].kind
    assert isinstance(kind, MultiPass)
    task = queue.submit("key", lambda progress: kind.run(clf, x, 0, progress=progress, lock=lock))
    assert first.wait(LONG)
    with lock:  # a short explanation: its turn comes after one batch of the task
        assert len(batches) == 1
        task.cancel()
    assert task.wait(LONG)
    assert len(batches) <= 2
    assert task.result is None
