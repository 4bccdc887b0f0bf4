"""The viewer on a page: what it shows comes from the session, what a person does with it goes back there."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.frame.state import Session, session, view_for_browser, view_from_browser, write_address
from pages.frame.viewer import viewer


@st.fragment
def show(mode: str) -> None:
    """Draw the viewer in the given mode. What it reports reruns this alone: nothing else depends on it."""
    current = session()
    scene = current.scene
    if scene is None:
        return
    key = f"viewer-{mode}"
    layers = tuple(layer.name for layer in scene.explanation.layers)

    def noted() -> None:
        # Before the script runs: a run that the next click cuts short must not lose what was reported.
        _note(current, st.session_state[key].get("view"), layers)

    reported = viewer(
        mode=mode,
        explanation=scene.explanation,
        photo=scene.photo,
        model=scene.model,
        view=view_for_browser(current.choice.view, layers),
        revision=current.revision,
        on_change=noted,
        key=key,
    )
    _note(current, reported, layers)
    write_address(current)


def _note(current: Session, reported: Any, layers: tuple[str, ...]) -> None:
    """Take over what the browser shows, unless it reports from before the last change made here."""
    if isinstance(reported, Mapping) and reported.get("rev") == current.revision:
        current.see_view(view_from_browser(reported, layers))
