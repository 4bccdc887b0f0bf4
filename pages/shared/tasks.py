"""The background tasks of a session, and the tray that lists them.

Nothing that takes long runs in the script's own thread: a page asks for a result, waits a moment, and is
drawn without it if it is not there. The tray follows what is under way, and has the page drawn once more when
a task has ended.
"""

import itertools
import secrets
import time
import weakref
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

from pages.shared import formats, reruns, theme
from pages.shared.engine import shared_engine
from saliency_core.engine.cache import SharedCache
from saliency_core.engine.tasks import Task, TaskState
from saliency_core.progress import ProgressCallback

PATIENCE = 0.25
"""Seconds that one run of a script waits for tasks, all together, before it draws without their results."""
POLL_SECONDS = 1.0
"""Seconds between two looks at the progress of what is under way; its end is told without looking."""
MAX_LOOKS = 20
"""Looks per second of all sessions together."""
SHOW_AFTER = 0.8
"""Seconds after which the tray lists a task that is expected to be short."""
MAX_LONG = 3
"""Long tasks that one session runs at once; one more cancels the oldest whose result is not on the page."""
MAX_RESULT_BYTES = 96 << 20
SMALL = 4096

Result = TypeVar("Result")
_numbers = itertools.count(1)


@dataclass(eq=False)
class Entry:
    """One task as a session sees it; it holds the task as long as it lives itself.

    `long`: the tray lists it at once, and goes on when another photo or page is looked at.
    `inline`: the page itself shows why it failed, so the tray does not; `remark` is what the tray adds to the
    reason. `on_drop` is called when it is cancelled or its failure dismissed. `wanted`: the last run asked
    for it, in the part that a run of the page alone repeats (`page`) or outside. `seen`: a run has asked why
    it failed. `slot`: see `Tasks.result`.
    """

    key: Hashable
    title: str
    start: Callable[[], Task[Any]]
    long: bool
    on_drop: Callable[[], None] | None
    task: Task[Any]
    page: bool
    inline: bool = False
    remark: str = ""
    slot: str = ""
    wanted: bool = True
    seen: bool = False
    began: float = field(default_factory=time.monotonic)
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def running(self) -> bool:
        """Whether its task has not ended."""
        return not self.task.ended

    @property
    def failed(self) -> bool:
        """Whether its task ended in an error."""
        return self.task.state is TaskState.FAILED

    @property
    def ended(self) -> bool:
        """Whether there is something to collect: a result, an error that the page shows itself, or that
        another session has cancelled it.
        """
        return self.task.ended and (not self.failed or (self.inline and not self.seen))

    @property
    def listed(self) -> bool:
        """Whether the tray has a card for it now."""
        if self.failed:
            return not self.inline
        return self.running and (self.long or time.monotonic() - self.began >= SHOW_AFTER)

    def __post_init__(self) -> None:
        self.task.hold(self)

    def give_up(self) -> None:
        """Hold its task no longer; one that no session holds is cancelled."""
        self.task.release(self)

    def again(self) -> None:
        """Start it again."""
        self.task, self.began, self.seen = self.start(), time.monotonic(), False
        self.task.hold(self)


class Tasks:
    """The tasks that a session waits for, or whose end it has not seen yet, in the order of asking.

    A task whose result was handed out is forgotten: results stay with the engine, or in the store of results
    that all sessions share. A task that failed stays until it is tried again, dismissed, or no longer asked
    for.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self.session = secrets.token_hex(8)
        """For whom the engine computes these tasks: it serves one session after the other."""
        self._entries: dict[Hashable, Entry] = {}
        self._patience = patience
        self._deadline = 0.0
        self._page = False

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry: Entry) -> bool:
        return self._entries.get(entry.key) is entry

    def begin(self, *, page: bool = False) -> None:
        """A run of the whole script begins, or only of its page (`page`)."""
        self._page = page
        self._deadline = time.monotonic() + self._patience
        for entry in self:
            if entry.page or not page:
                entry.wanted = False

    def enter_page(self) -> None:
        """The page's part of a run begins: the part that a run of the page alone repeats."""
        self._page = True

    def result(
        self,
        key: Hashable,
        start: Callable[[], Task[Result]],
        *,
        title: str,
        long: bool = False,
        inline: bool = False,
        remark: str = "",
        slot: str = "",
        on_drop: Callable[[], None] | None = None,
    ) -> Result | None:
        """The result of a task, started unless it is under way or has failed; None while there is none.

        Args:
            key: which task.
            start: gives the task; one that is done already is never listed.
            title: the task in words.
            slot: what the result is for, where only the newest one is of use: the others of this slot are
                given up at once, since a run that is interrupted by the next never comes to its end.
            long, inline, remark, on_drop: see `Entry`.
        """
        for other in self:
            if slot and other.slot == slot and other.key != key:
                del self._entries[other.key]
                other.give_up()
        entry = self._entries.get(key)
        if entry is None:
            entry = Entry(key, title, start, long, on_drop, start(), self._page, inline, remark, slot)
        elif entry.task.state is TaskState.CANCELLED:
            entry.again()  # by another session, which had asked for the same
        entry.title, entry.on_drop, entry.wanted, entry.page = title, on_drop, True, self._page
        if entry.running:
            entry.task.wait(max(self._deadline - time.monotonic(), 0))
        if entry.task.state is TaskState.DONE:
            self._entries.pop(key, None)
            return entry.task.result
        self._entries[key] = entry
        return None

    def computed(
        self,
        key: Hashable,
        compute: Callable[[ProgressCallback], Result],
        *,
        title: str,
        total: int,
        unit: str = "passes",
        long: bool = False,
        inline: bool = False,
        on_drop: Callable[[], None] | None = None,
    ) -> Result | None:
        """What `compute` gives, from the store of results or from a task; None while it is not there.

        The key must say everything that the result depends on: all sessions share the store.
        """
        known = results().peek(key)
        if known is not None:
            return known  # type: ignore[no-any-return]

        def run(progress: ProgressCallback) -> Result:
            found = compute(progress)
            results().put(key, found)
            return found

        def start() -> Task[Result]:
            return shared_engine().run(
                key, run, title=title, total=total, unit=unit, short=not long, session=self.session
            )

        return self.result(key, start, title=title, long=long, inline=inline, on_drop=on_drop)

    def error(self, key: Hashable) -> str | None:
        """Why the task of this key failed."""
        entry = self._entries.get(key)
        if entry is None or not entry.failed:
            return None
        entry.seen = True
        return entry.task.error

    def running(self, key: Hashable) -> bool:
        """Whether the task of this key is under way."""
        entry = self._entries.get(key)
        return entry is not None and entry.running

    def retry(self, key: Hashable) -> None:
        """Start a failed task again."""
        entry = self._entries.get(key)
        if entry is not None and entry.failed:
            entry.again()

    def drop(self, entry: Entry) -> None:
        """Cancel a task, or dismiss its failure."""
        if entry not in self:
            return
        del self._entries[entry.key]
        entry.task.cancel()
        if entry.on_drop is not None:
            entry.on_drop()

    def end(self) -> None:
        """A run has asked for all its results: give up the other tasks, except long ones under way.

        A task that no session asks for any more is cancelled.
        """
        for entry in self:
            if not entry.wanted and not (entry.long and entry.running):
                del self._entries[entry.key]
                entry.give_up()
        long = [entry for entry in self if entry.long and entry.running]
        idle = [entry for entry in long if not entry.wanted]
        for entry in idle[: max(len(long) - MAX_LONG, 0)]:
            del self._entries[entry.key]
            entry.give_up()


@st.cache_resource(show_spinner=False)
def results() -> SharedCache[Hashable, Any]:
    """What the pages have computed in the background, for all sessions."""
    return SharedCache(MAX_RESULT_BYTES, lambda value: int(getattr(value, "nbytes", SMALL)))


# -- the tray ------------------------------------------------------------------------------------------------


def tray(tasks: Tasks, outdated: Callable[[], bool]) -> None:
    """List what is under way and what has failed, and follow it.

    When something is `outdated` by what was chosen since, the whole page is drawn once more.
    """
    with st.container(key="tray"):
        for entry in tasks:
            if entry.failed and entry.listed:
                _failure(tasks, entry)
        # Looked at once: one that ends between two looks would be neither followed nor collected.
        running = tuple(entry for entry in tasks if entry.running)
        ended = [entry for entry in tasks if entry not in running and entry.ended]
        if ended or outdated():
            for entry in ended:
                entry.seen = True  # the next run asks for it, or nobody does
            st.rerun(scope="app")  # by what happened while the page was being drawn
        if running:
            # The engine holds what is called at a task's end; it must not hold a session that has gone.
            asking = weakref.ref(tasks)
            wake = reruns.waker(lambda: any(entry.ended for entry in asking() or ()))
            for entry in running:
                entry.task.when_ended(wake)
            seconds = max(POLL_SECONDS, reruns.waiting() / MAX_LOOKS)
            st.fragment(_follow, run_every=seconds)(tasks, running, outdated)


def _follow(tasks: Tasks, running: tuple[Entry, ...], outdated: Callable[[], bool]) -> None:
    """Draw the cards again and nothing else until one of the tasks has ended; then the whole page once."""
    if outdated() or any(entry not in tasks or not entry.running for entry in running):
        st.rerun(scope="app")
    for entry in running:
        if entry.listed:
            with st.container(key=f"task-{entry.number}", horizontal=True, vertical_alignment="center"):
                theme.progress(entry.title, entry.task.fraction, progress_text(entry.task))
                if entry.long:
                    st.button("Cancel", key=f"cancel-{entry.number}", on_click=tasks.drop, args=(entry,))


def _failure(tasks: Tasks, entry: Entry) -> None:
    with st.container(key=f"failed-{entry.number}"):
        theme.note([_reason(entry), *filter(None, [entry.remark])], error=True)
        with st.container(horizontal=True):
            st.button("Try again", key=f"retry-{entry.number}", on_click=entry.again)
            st.button("Dismiss", key=f"dismiss-{entry.number}", on_click=tasks.drop, args=(entry,))


def _reason(entry: Entry) -> str:
    """Why a task failed, with its title unless the sentence begins with it."""
    error = entry.task.error or ""
    return error if error.startswith(entry.title) else f"{entry.title}: {error}"


def progress_text(task: Task[Any]) -> str:
    """The progress of a task, in words."""
    if task.state is TaskState.QUEUED:
        return "waiting for its turn"
    if task.unit == "bytes":
        return _bytes_text(task)
    if not task.total:
        return ""
    return f"{100 * task.fraction:.0f}% · {formats.time_left(task.seconds_left)}"


def _bytes_text(task: Task[Any]) -> str:
    done, total = (f"{number / formats.MEGABYTE:.0f}" for number in (task.done, task.total))
    if not task.done:
        return "loading"
    if task.total and task.done >= task.total:
        return "building the network"
    return f"{done} of {total} MB" if task.total else f"{done} MB"
