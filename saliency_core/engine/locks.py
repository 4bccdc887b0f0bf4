"""The lock around passes of the network, which is handed over by urgency and in a fair order."""

from __future__ import annotations

import threading
import time

from saliency_core.engine.priorities import FairOrder, Priority, current_asker


class FairLock:
    """A lock that its waiting threads get by their priority, and in a fair order.

    A plain lock may be taken again by the thread that has just released it while others wait: a task that
    takes it batch after batch would keep everyone else out until it ends. Here such a task gives way between
    its batches to what is on the screen, and gets its turn after a bounded number of others
    (see :class:`FairOrder`). Of what is on the screen, the computation that began first is finished first;
    of longer computations, the sessions take turns.

    Who is asking is known from :func:`saliency_core.engine.priorities.on_behalf_of`. A thread whose result
    nobody wants any more gets ``Cancelled`` instead of the lock. Not reentrant. An exception while waiting,
    such as ``KeyboardInterrupt``, leaves the lock to the other threads.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        # A turn is a lock that the previous holder releases when it hands over.
        self._holder: threading.Lock | None = None
        self._turns: FairOrder[threading.Lock] = FairOrder()

    @property
    def waiting(self) -> int:
        """How many threads wait for it."""
        return len(self._turns)

    def __enter__(self) -> None:
        asker = current_asker()
        asker.check()
        session = None if asker.priority is Priority.SCREEN else asker.session
        began = time.perf_counter()
        turn = threading.Lock()
        turn.acquire()
        try:
            with self._mutex:
                if self._holder is None:
                    self._holder = turn
                    self._turns.serve(session)
                    asker.began = True
                    return
                self._turns.add(turn, asker.priority, session, asker.number)
            turn.acquire()
            asker.waited += time.perf_counter() - began
            asker.check()
            asker.began = True
        except BaseException:
            with self._mutex:
                if turn is self._holder:  # handed over in the meantime
                    self._hand_over()
                else:
                    self._turns.remove(turn)
            raise

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            self._hand_over()

    def _hand_over(self) -> None:
        self._holder = self._turns.take()
        if self._holder is not None:
            self._holder.release()
