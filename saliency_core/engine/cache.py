"""Bounded stores that many threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from cachetools import LRUCache

from saliency_core.errors import ArgumentError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SharedCache(Generic[Key, Value]):
    """A least-recently-used cache with a bound; callers that ask for one key at once compute it once.

    Args:
        max_size: the bound, in the unit of ``size_of``.
        size_of: the size of a value, in bytes for instance; 1 each if None. A value larger than the bound is
            returned but not kept.

    Raises:
        ArgumentError: a negative bound.
    """

    def __init__(self, max_size: int, size_of: Callable[[Value], int] | None = None) -> None:
        if max_size < 0:
            raise ArgumentError(f"the bound of a cache is {max_size}; expected 0 or more")
        self.max_size = max_size
        self._values: LRUCache[Key, Value] = LRUCache(max_size, size_of)
        self._pending: dict[Key, Future[Value]] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """The sum of the sizes of the values kept."""
        with self._lock:
            return int(self._values.currsize)

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def peek(self, key: Key) -> Value | None:
        """The value if it is here, without computing it; counts as a use."""
        with self._lock:
            return self._values.get(key)

    def find(self, matches: Callable[[Key], bool]) -> Value | None:
        """The first value whose key matches; counts as a use."""
        with self._lock:
            key = next((key for key in self._values if matches(key)), None)
            return None if key is None else self._values.get(key)

    def get(
        self, key: Key, compute: Callable[[], Value], keep_as: Callable[[Value], Key] | None = None
    ) -> Value:
        """The value for the key, computed by the first who asks; an error reaches all who wait for it.

        ``keep_as`` gives the key to keep the value under when that is known only afterwards.
        """
        with self._lock:
            if key in self._values:
                return self._values[key]
            pending = self._pending.get(key)
            if pending is None:
                mine: Future[Value] = Future()
                self._pending[key] = mine
        if pending is not None:
            return pending.result()
        try:
            value = compute()
            kept_key = key if keep_as is None else keep_as(value)
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._pending[key]
            self._keep(kept_key, value)
        mine.set_result(value)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value that is known already."""
        with self._lock:
            self._keep(key, value)

    def drop(self, key: Key) -> None:
        """Forget a value, if it is here."""
        with self._lock:
            self._values.pop(key, None)

    def _keep(self, key: Key, value: Value) -> None:
        size = self._values.getsizeof(value)
        if size <= self.max_size:
            self._values[key] = value
