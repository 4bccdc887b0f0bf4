"""The evaluations of this page that take many passes: begun at once, unless they were cancelled."""

from functools import partial
from typing import TypeVar

import streamlit as st
from PIL import Image

from pages.shared import theme
from pages.shared.engine import shared_engine
from pages.shared.session import Session
from saliency_core.engine.photo_evaluations import PhotoEvaluation

Answer = TypeVar("Answer")

_DECLINED = "declined evaluation"
CANCELLED = "This was not computed."
COMPUTE = "Compute it"


def answer(
    current: Session, request: PhotoEvaluation[Answer], image: Image.Image, *, title: str
) -> Answer | None:
    """The answer as soon as it is there; after it was cancelled, a button that begins once more."""
    if st.session_state.get(_DECLINED) == request:
        theme.note([CANCELLED])
        st.button(COMPUTE, key="evaluate-again", on_click=_ask_again)
        return None

    def declined() -> None:
        st.session_state[_DECLINED] = request

    start = partial(
        shared_engine().submit_evaluation, request, image, title=title, session=current.tasks.session
    )
    return current.tasks.result(request, start, title=title, long=True, on_drop=declined)


def running(current: Session, request: PhotoEvaluation[Answer]) -> bool:
    """Whether the answer is being computed."""
    return current.tasks.running(request)


def partial_answer(request: PhotoEvaluation[Answer]) -> Answer | None:
    """The answer as far as it is known."""
    return shared_engine().partial_evaluation(request)


def _ask_again() -> None:
    st.session_state.pop(_DECLINED, None)
