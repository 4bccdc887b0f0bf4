"""Bounded stores that many threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from cachetools import LRUCache

from saliency_core.errors import ArgumentError
from saliency_core.progress import Cancelled

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
        """The value for the key, computed by the first caller who asks for it.

        Callers who ask meanwhile wait for that computation and get its value or its error. If it was
        cancelled or interrupted, that concerns its own caller only: one of those who wait computes again.

        ``keep_as`` gives the key under which the value is kept where that is known only afterwards; a value
        that is there already is returned instead of the new one.
        """
        mine: Future[Value] = Future()
        try:
            while True:
                with self._lock:
                    if key in self._values:
                        return self._values[key]
                    pending = self._pending.setdefault(key, mine)
                if pending is mine:
                    break
                error = pending.exception()
                if error is None:
                    return pending.result()
                if isinstance(error, Exception) and not isinstance(error, Cancelled):
                    raise error
            value = compute()
            stored_key = key if keep_as is None else keep_as(value)
            with self._lock:
                if stored_key in self._values:
                    value = self._values[stored_key]
                else:
                    self._keep(stored_key, value)
                del self._pending[key]
            mine.set_result(value)
        except BaseException as error:
            # All of it is inside the try: a KeyboardInterrupt at any point must leave no thread waiting.
            with self._lock:
                if self._pending.get(key) is mine:
                    del self._pending[key]
            if not mine.done():
                mine.set_exception(error)
            raise
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value that is known already, in place of the one that was kept under this key."""
        with self._lock:
            self._keep(key, value)

    def drop(self, key: Key) -> None:
        """Forget a value, if it is here."""
        with self._lock:
            self._values.pop(key, None)

    def drop_where(self, matches: Callable[[Key], bool]) -> None:
        """Forget the values whose keys match."""
        with self._lock:
            for key in [key for key in self._values if matches(key)]:
                del self._values[key]

    def _keep(self, key: Key, value: Value) -> None:
        self._values.pop(key, None)
        if self._values.getsizeof(value) <= self.max_size:
            self._values[key] = value
