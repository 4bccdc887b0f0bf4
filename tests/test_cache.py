import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import saliency_core as sc
from saliency_core.engine.cache import SharedCache
from saliency_core.errors import ArgumentError
from saliency_core.progress import Cancelled
from tests.threads import LONG, until


def test_the_least_recently_used_value_is_dropped_beyond_the_bound() -> None:
    cache: SharedCache[str, bytes] = SharedCache(10, len)
    for name in ("a", "b"):
        cache.get(name, lambda: b"12345")
    assert cache.peek("a") == b"12345"  # a use
    cache.get("c", lambda: b"123")
    assert cache.peek("b") is None
    assert cache.find(lambda name: name == "a") == b"12345"  # another
    cache.get("d", lambda: b"123")
    assert (cache.peek("c"), cache.peek("a")) == (None, b"12345")
    assert (cache.size, len(cache)) == (8, 2)


def test_a_value_beyond_the_bound_is_returned_and_not_kept() -> None:
    cache: SharedCache[str, bytes] = SharedCache(10, len)
    cache.put("a", b"12345")
    assert cache.get("huge", lambda: b"x" * 11) == b"x" * 11
    assert (cache.peek("huge"), cache.peek("a")) == (None, b"12345")
    cache.put("a", b"x" * 11)
    assert (cache.peek("a"), cache.size) == (None, 0)  # the old value is not taken for the new one
    nothing: SharedCache[str, int] = SharedCache(0)
    assert (nothing.get("a", lambda: 1), len(nothing)) == (1, 0)


def test_without_sizes_the_bound_is_a_number_of_values() -> None:
    cache: SharedCache[int, int] = SharedCache(2)
    for number in range(3):
        cache.put(number, number)
    assert [cache.peek(number) for number in range(3)] == [None, 1, 2]
    cache.drop(1)
    cache.drop(1)
    assert len(cache) == 1
    cache.put(3, 3)
    cache.drop_where(lambda number: number < 3)
    assert [cache.peek(number) for number in (2, 3)] == [None, 3]


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ArgumentError, match="expected 0 or more"):
        SharedCache(-1, len)


def test_threads_that_ask_at_once_share_one_computation() -> None:
    cache: SharedCache[str, object] = SharedCache(10)
    start, computed = threading.Barrier(8), []

    def compute() -> object:
        computed.append("once")
        return object()

    def ask(_: int) -> object:
        start.wait(LONG)
        return cache.get("key", compute)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(8)))
    assert all(each is found[0] for each in found)
    assert computed == ["once"]


class Waiting:
    """A thread that asks for ``"key"`` while the test's computation of it is under way."""

    def __init__(self, cache: SharedCache[str, str]) -> None:
        self.cache = cache
        self.asked = threading.Event()
        self.executor = ThreadPoolExecutor(1)
        self.future = self.executor.submit(self._ask)

    def _ask(self) -> str:
        self.asked.set()
        return self.cache.get("key", lambda: "computed by the one who waited")

    def result(self) -> str:
        with self.executor:
            return self.future.result(LONG)


def test_an_error_reaches_those_who_wait_and_is_not_kept() -> None:
    cache: SharedCache[str, str] = SharedCache(10)
    waiting: list[Waiting] = []

    def fail() -> str:
        waiting.append(Waiting(cache))
        assert waiting[0].asked.wait(LONG)
        pending = cache._pending["key"]
        until_waited_for(pending)
        raise sc.WeightsError("no connection")

    with pytest.raises(sc.WeightsError, match="no connection"):
        cache.get("key", fail)
    with pytest.raises(sc.WeightsError, match="no connection"):
        waiting[0].result()
    assert cache.get("key", lambda: "good") == "good"


@pytest.mark.parametrize("error", [Cancelled(), KeyboardInterrupt(), SystemExit()])
def test_who_waits_computes_if_the_first_was_cancelled_or_interrupted(error: BaseException) -> None:
    cache: SharedCache[str, str] = SharedCache(10)
    waiting: list[Waiting] = []

    def stop() -> str:
        waiting.append(Waiting(cache))
        assert waiting[0].asked.wait(LONG)
        until_waited_for(cache._pending["key"])
        raise error

    with pytest.raises(type(error)):
        cache.get("key", stop)
    assert waiting[0].result() == "computed by the one who waited"


def until_waited_for(pending: object) -> None:
    """Wait until another thread waits for the future."""
    until(lambda: bool(pending._condition._waiters))


def test_a_value_may_be_kept_under_a_key_known_only_afterwards() -> None:
    cache: SharedCache[str, str] = SharedCache(10)
    assert cache.get("likely", lambda: "cat", lambda value: value) == "cat"
    assert (cache.peek("likely"), cache.peek("cat")) == (None, "cat")


def test_a_value_that_is_kept_already_is_given_instead_of_its_double() -> None:
    cache: SharedCache[str, list[str]] = SharedCache(10)
    first = cache.get("cat", lambda: ["cat"])
    assert cache.get("likely", lambda: ["cat"], lambda value: value[0]) is first
    assert cache.peek("cat") is first
    assert len(cache) == 1


@pytest.mark.parametrize("broken", ["keep_as", "size_of"])
def test_an_error_after_the_computation_leaves_no_thread_waiting(broken: str) -> None:
    fails = [True]

    def maybe(value: str) -> int:
        if fails[0]:
            raise ZeroDivisionError
        return 1

    cache: SharedCache[str, str] = SharedCache(10, maybe if broken == "size_of" else None)
    keep_as = (lambda value: str(maybe(value))) if broken == "keep_as" else None
    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: "value", keep_as)
    fails[0] = False
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(cache.get, "key", lambda: "again", keep_as).result(LONG) == "again"


def test_ctrl_c_during_a_computation_lets_the_next_caller_compute() -> None:
    cache: SharedCache[str, str] = SharedCache(10)

    def compute() -> str:
        signal.raise_signal(signal.SIGINT)
        return "not reached"

    with pytest.raises(KeyboardInterrupt):
        cache.get("key", compute)
    assert cache.get("key", lambda: "again") == "again"
