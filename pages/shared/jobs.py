"""Methods that the one shared pass does not give: computed beside the page, which stays usable meanwhile.

An errand belongs to the session until it has ended: no other control, page or photo loses it. Results stay
with the engine, which finds them again for everybody.
"""

import itertools
import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import reduce
from typing import Protocol

import streamlit as st

import saliency_core as sc

MOST_SLOW = 3
"""Errands of many passes that one session runs at once; one more ends the oldest that nobody looks at."""
PATIENCE = 0.35
"""Seconds that a page waits for an extra pass before it is drawn without it."""
THREADS = 4
TROUBLE = "Something went wrong here, and nothing was lost."

log = logging.getLogger(__name__)
_numbers = itertools.count(1)


class Work(Protocol):
    """A computation under way: what the engine's jobs and an extra pass have in common."""

    @property
    def done(self) -> bool: ...
    @property
    def error(self) -> str | None: ...
    @property
    def result(self) -> sc.Explanation | None: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def fraction(self) -> float: ...
    @property
    def seconds_left(self) -> float | None: ...
    def cancel(self) -> None: ...


@st.cache_resource(show_spinner=False)
def _threads() -> ThreadPoolExecutor:
    """The threads in which the extra passes of all sessions wait for their turn at the engine."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="extra-pass")


class ExtraPass:
    """One extra backward pass: too short for a progress bar, too long to hold up a page."""

    waiting = False
    fraction = 0.0
    seconds_left: float | None = None

    def __init__(self, compute: Callable[[], sc.Explanation]) -> None:
        self.error: str | None = None
        self.result: sc.Explanation | None = None
        self.future: Future[None] = _threads().submit(self._run, compute)

    def _run(self, compute: Callable[[], sc.Explanation]) -> None:
        try:
            self.result = compute()
        except ValueError as error:  # the core's own errors are sentences for people
            self.error = str(error)
        except Exception:
            log.exception("An extra pass failed.")
            self.error = TROUBLE

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.future.done()

    def cancel(self) -> None:
        """End it if it has not begun."""
        self.future.cancel()


@dataclass(frozen=True)
class Subject:
    """What is explained: a photo as a model sees it, the class, and the meta step before it."""

    model: str
    photo: str
    fit: str
    target: int
    meta: sc.MetaStep | None = None


@dataclass
class Errand:
    """One method computed for one subject; `about` names photo and class for people."""

    subject: Subject
    method: sc.Method
    about: str
    start: Callable[[], Work]
    number: int = field(default_factory=lambda: next(_numbers))
    work: Work = field(init=False)

    def __post_init__(self) -> None:
        self.again()

    def again(self) -> None:
        """Begin, or begin anew."""
        self.work = self.start()

    @property
    def slow(self) -> bool:
        """Whether it takes long enough for a card of its own."""
        return self.method.passes > 0

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self.work.done

    @property
    def failed(self) -> bool:
        """Whether it has ended in an error."""
        return self.work.done and self.work.error is not None

    @property
    def result(self) -> sc.Explanation | None:
        """The explanation, once it is there."""
        return self.work.result if self.work.done and not self.failed else None


class Errands:
    """What one session has under way or has brought home, in the order in which it was asked for."""

    def __init__(self) -> None:
        self._all: dict[tuple[Subject, str], Errand] = {}
        self._joined: tuple[tuple[sc.Explanation, ...], sc.Explanation] | None = None

    def __iter__(self) -> Iterator[Errand]:
        return iter(tuple(self._all.values()))

    def __contains__(self, errand: Errand) -> bool:
        return self._all.get((errand.subject, errand.method.name)) is errand

    def ask(self, subject: Subject, method: sc.Method, about: str, start: Callable[[], Work]) -> Errand:
        """The errand of this method and subject, begun unless it is under way, done or has failed."""
        errand = self._all.get((subject, method.name))
        if errand is None:
            errand = self._all[subject, method.name] = Errand(subject, method, about, start)
        elif not (errand.running or errand.failed) and errand.result is None:
            errand.again()  # ended by another session that had asked for the same
        return errand

    def drop(self, errand: Errand) -> None:
        """End an errand and forget it."""
        errand.work.cancel()
        self._all.pop((errand.subject, errand.method.name), None)

    def tidy(self, subject: Subject, wanted: Collection[str]) -> None:
        """Forget what has ended and is not for this subject or not wanted any more; see `MOST_SLOW`."""
        for errand in self:
            here = errand.subject == subject
            if not errand.running and not (here and (errand.method.name in wanted or not errand.failed)):
                del self._all[errand.subject, errand.method.name]
        slow = [errand for errand in self if errand.slow and errand.running]
        idle = [errand for errand in slow if errand.subject != subject or errand.method.name not in wanted]
        for errand in idle[: max(len(slow) - MOST_SLOW, 0)]:
            self.drop(errand)

    def wait(self) -> None:
        """Give the extra passes under way a moment to come home."""
        passes = [errand.work.future for errand in self if isinstance(errand.work, ExtraPass)]
        wait(passes, timeout=PATIENCE)

    def join(self, base: sc.Explanation, subject: Subject) -> sc.Explanation:
        """`base` with every method brought home for its subject: the same object while nothing is added."""
        found = (errand.result for errand in self if errand.subject == subject)
        parts = (base, *(result for result in found if result is not None))
        if self._joined is None or list(map(id, self._joined[0])) != list(map(id, parts)):
            self._joined = (parts, reduce(sc.Explanation.joined, parts))
        return self._joined[1]
