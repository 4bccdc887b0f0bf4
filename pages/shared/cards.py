"""The cards above the viewer: a long computation under way, or one that failed."""

import math

import streamlit as st

from pages.shared import theme
from pages.shared.jobs import Errand
from pages.shared.state import Session

POLL_SECONDS = 0.5
MINUTE = 60


def draw(session: Session) -> None:
    """Show what is under way and what has failed, and bring home what ends."""
    for errand in session.errands:
        if errand.failed:
            _failure(session, errand)
    running = tuple(errand for errand in session.errands if errand.running)
    if running:
        _follow(session, running)


@st.fragment(run_every=POLL_SECONDS)
def _follow(session: Session, running: tuple[Errand, ...]) -> None:
    """Redraw the cards and nothing else, until one of the errands has ended; then the page is drawn anew."""
    if any(errand not in session.errands or not errand.running for errand in running):
        st.rerun(scope="app")
    for errand in running:
        if errand.slow:
            with st.container(key=f"job-{errand.number}", horizontal=True, vertical_alignment="center"):
                theme.progress(_title(errand), errand.work.fraction, _left(errand))
                st.button("Cancel", key=f"cancel-{errand.number}", on_click=_cancel, args=(session, errand))


def _title(errand: Errand) -> str:
    return f"{errand.method.title} · {errand.about}"


def _cancel(session: Session, errand: Errand) -> None:
    session.errands.drop(errand)
    if session.scene is not None and session.scene.subject == errand.subject:
        session.replace_method(errand.method.name)


def _failure(session: Session, errand: Errand) -> None:
    with st.container(key=f"failed-{errand.number}", horizontal=True, vertical_alignment="center"):
        theme.note([f"{_title(errand)}: {errand.work.error}"], error=True)
        st.button("Try again", key=f"again-{errand.number}", on_click=errand.again)
        st.button("Dismiss", key=f"dismiss-{errand.number}", on_click=_cancel, args=(session, errand))


def _left(errand: Errand) -> str:
    return "waiting for its turn" if errand.work.waiting else time_left(errand.work.seconds_left)


def time_left(seconds: float | None) -> str:
    """How long a computation will still take, in words; steps that grow with the time keep it quiet."""
    if seconds is None or not math.isfinite(seconds):
        return "estimating the time left"
    if seconds < 1:
        return "nearly done"
    if seconds < 10:
        return f"{math.ceil(seconds)} s left"
    if seconds < 2 * MINUTE:
        return f"about {5 * math.ceil(seconds / 5)} s left"
    return f"about {math.ceil(seconds / MINUTE)} min left"
