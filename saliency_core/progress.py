"""How a long computation reports its progress, is cancelled, and takes turns with others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

ProgressCallback = Callable[[int, int], None]
"""Called with (units done, units in all) after every unit of work; may raise :class:`Cancelled`."""

Lock = AbstractContextManager[object]
"""Entered again for every batch of passes: a lock shared with other computations, which take turns."""

NO_LOCK: Lock = nullcontext()
"""For a computation that shares the network with no other."""


class Cancelled(Exception):  # noqa: N818 - not an error: it was asked for
    """The computation was cancelled."""


def no_progress(done: int, total: int) -> None:
    """A :data:`ProgressCallback` that does nothing."""
