"""The same questions over a set of photos."""

import tempfile
from functools import cache
from pathlib import Path

import streamlit as st

from pages.evaluate import set_options, set_results, sets
from pages.evaluate.sets import OpenSet
from pages.shared import theme
from pages.shared.engine import shared_engine
from pages.shared.session import Scene, Session
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.request import PhotoSetRequest
from saliency_core.evaluation.result import EvaluationResult

POLL_SECONDS = 2.0
LEAD = (
    "One photo proves little. Evaluate every method at every layer over a set of photos, and see which "
    "differences remain."
)
_ASKED = "photo set evaluations asked"
MAX_ASKED = 16
NO_STEP = "The photo set is evaluated without the meta step."


def draw(current: Session, scene: Scene) -> None:
    """Draw the part of the page."""
    theme.hint(LEAD)
    with st.container(border=True, key="set-card"):
        opened = sets.choose(current)
        if opened is None:
            return
        sets.facts(opened, scene.model.labels)
        if scene.request.variant is not None:
            theme.hint(NO_STEP)
        plan = set_options.choose(scene, opened)
        if plan is None:
            return
        request = PhotoSetRequest(plan, opened.key, opened.photo_set, Path(_kept().name))
        result = _result(current, request, opened)
    if result is not None:
        set_results.draw(current, opened, result, done=True)
    elif current.tasks.running(request):
        _follow(current, request, opened)


@cache
def _kept() -> "tempfile.TemporaryDirectory[str]":
    """Where results are kept, also those of runs that were cancelled; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="normgrad-evaluations-")


def _result(current: Session, request: PhotoSetRequest, opened: OpenSet) -> EvaluationResult | None:
    """The result, if it is known or was asked for; and the button that asks for it."""

    def withdraw() -> None:
        st.session_state[_ASKED] = [each for each in _asked() if each != request]

    if request in _asked():
        found = current.tasks.result(
            request,
            lambda: shared_engine().submit_evaluation(
                request, title=_title(request.plan, opened), session=current.tasks.session
            ),
            title=_title(request.plan, opened),
            long=True,
            on_drop=withdraw,
        )
        if found is not None:
            return found

    def ask() -> None:
        _asked().append(request)
        del _asked()[:-MAX_ASKED]

    count = _photos(request.plan, opened)
    st.button(
        f"Evaluate {count:,} photo{'' if count == 1 else 's'}",
        key="set-evaluate",
        type="primary",
        on_click=ask,
        disabled=current.tasks.running(request),
    )
    return None


def _asked() -> list[PhotoSetRequest]:
    """What this session has asked for, whose results it sees whenever the same is chosen again."""
    found: list[PhotoSetRequest] = st.session_state.setdefault(_ASKED, [])
    return found


def _photos(plan: EvaluationPlan, opened: OpenSet) -> int:
    count = len(opened.photo_set.records)
    return count if plan.limit is None else min(plan.limit, count)


def _title(plan: EvaluationPlan, opened: OpenSet) -> str:
    return f"Evaluating {opened.title}"


@st.fragment(run_every=POLL_SECONDS)
def _follow(current: Session, request: PhotoSetRequest, opened: OpenSet) -> None:
    """The table as far as it is known."""
    found = shared_engine().partial_evaluation(request)
    if found is not None:
        set_results.draw(current, opened, found, done=False)
