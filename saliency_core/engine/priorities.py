"""Whose turn comes first where many computations wait for one device."""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
PATIENCE = 8
"""Turns that others get before one of a less urgent kind gets its own."""
MAX_SESSIONS = 4096
"""Sessions of which the order remembers when they were last served."""
_numbers = itertools.count()


class Priority(IntEnum):
    """What a computation is for; the smaller number goes first."""

    SCREEN = 0
    """What a session is looking at."""
    SWEEP = 1
    """Many explanations of one kind: every class, a photo set, a film."""
    MANY_PASSES = 2
    """Methods that run the network hundreds of times for one map."""


def always(_: object) -> bool:
    """Every item may be taken."""
    return True


def wanted() -> None:
    """What is always wanted is never cancelled."""


@dataclass(eq=False)
class Asker:
    """On whose behalf a thread computes.

    `check` raises ``Cancelled`` once nobody wants the result; `number` gives the order of asking; `waited`
    says for how many seconds it has waited so far, for its thread and for the device; `began` that it has had
    the device.
    """

    session: Hashable = None
    priority: Priority = Priority.SCREEN
    check: Callable[[], None] = wanted
    waited: float = 0.0
    began: bool = False
    number: int = field(default_factory=lambda: next(_numbers))

    def take_waited(self) -> float:
        """The seconds waited since this was called last."""
        seconds, self.waited = self.waited, 0.0
        return seconds


_asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


def current_asker() -> Asker:
    """On whose behalf this thread computes; a new one outside :func:`on_behalf_of`."""
    return _asker.get() or Asker()


@contextlib.contextmanager
def on_behalf_of(asker: Asker) -> Iterator[Asker]:
    """Inside the block this thread computes for `asker`."""
    token = _asker.set(asker)
    try:
        yield asker
    finally:
        _asker.reset(token)


class FairOrder(Generic[Item]):
    """Items that wait, and which of them is next. Not thread-safe by itself.

    The most urgent priority goes first; of one priority, the session that was served least recently; of one
    session, the item with the smallest number. An item is not put off for ever: where a less urgent priority
    was passed over `patience` times, one of its items is next.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        self._patience = patience
        self._waiting: dict[Item, tuple[Priority, Hashable, int]] = {}
        self._passed = dict.fromkeys(Priority, 0)
        self._served: OrderedDict[Hashable, int] = OrderedDict()
        self._turns = itertools.count(1)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Item]:
        return iter(tuple(self._waiting))

    def __contains__(self, item: object) -> bool:
        return item in self._waiting

    def add(self, item: Item, priority: Priority, session: Hashable, number: int | None = None) -> None:
        """Let an item wait."""
        if all(waiting != priority for waiting, _, _ in self._waiting.values()):
            self._passed[priority] = 0
        self._waiting[item] = (priority, session, next(_numbers) if number is None else number)

    def remove(self, item: Item) -> None:
        """Let an item wait no longer, if it does."""
        self._waiting.pop(item, None)

    def take(self, may: Callable[[Item], bool] = always) -> Item | None:
        """The next of the items that `may` be taken, which waits no longer; None if there is none."""
        places = {item: place for item, place in self._waiting.items() if may(item)}
        if not places:
            return None
        priorities = sorted({priority for priority, _, _ in places.values()})
        due = [priority for priority in priorities if self._passed[priority] >= self._patience]
        chosen = due[0] if due else priorities[0]
        for priority in priorities:
            self._passed[priority] = 0 if priority is chosen else self._passed[priority] + (priority > chosen)
        item = min(
            (item for item, (priority, _, _) in places.items() if priority is chosen),
            key=lambda item: (self._served.get(places[item][1], 0), places[item][2]),
        )
        self.serve(places[item][1])
        del self._waiting[item]
        return item

    def serve(self, session: Hashable) -> None:
        """Note that a session is served now."""
        self._served[session] = next(self._turns)
        self._served.move_to_end(session)
        if len(self._served) > MAX_SESSIONS:
            self._served.popitem(last=False)
