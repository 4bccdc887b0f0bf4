"""A lock that is handed over in the order of asking."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock that its waiting threads get in the order in which they asked.

    A plain lock may be taken again by the thread that has just released it while others wait: a task that
    takes it batch after batch would keep everyone else out until it ends. Not reentrant. An exception while
    waiting, such as ``KeyboardInterrupt``, leaves the lock to the others.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._turns: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait for it."""
        return len(self._turns)

    def __enter__(self) -> None:
        with self._mutex:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        try:
            turn.acquire()  # released by the thread before, which hands the lock over
        except BaseException:
            with self._mutex:
                handed_over = turn not in self._turns
                if not handed_over:
                    self._turns.remove(turn)
            if handed_over:
                self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._held = False
