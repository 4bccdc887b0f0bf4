"""A lock that is handed over in the order of asking."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock that its waiting threads get in the order in which they asked.

    A plain lock may be taken again by the thread that has just released it while others wait: a task that
    takes it batch after batch would keep everyone else out until it ends. Not reentrant. An exception while
    waiting, such as ``KeyboardInterrupt``, leaves the lock to the other threads.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        # A turn is a lock that the previous holder releases when it hands over.
        self._holder: threading.Lock | None = None
        self._turns: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait for it."""
        return len(self._turns)

    def __enter__(self) -> None:
        turn = threading.Lock()
        turn.acquire()
        try:
            with self._mutex:
                if self._holder is None:
                    self._holder = turn
                    return
                self._turns.append(turn)
            turn.acquire()
        except BaseException:
            with self._mutex:
                if turn is self._holder:  # handed over in the meantime
                    self._hand_over()
                elif turn in self._turns:
                    self._turns.remove(turn)
            raise

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            self._hand_over()

    def _hand_over(self) -> None:
        self._holder = self._turns.popleft() if self._turns else None
        if self._holder is not None:
            self._holder.release()
