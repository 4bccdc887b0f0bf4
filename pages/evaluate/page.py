"""Evaluate: on this photo and on a photo set. Only the part of the page that is on the screen computes."""

import streamlit as st

from pages.evaluate.parts import PARTS
from pages.shared import page
from pages.shared.chosen import chosen
from pages.shared.embedding import embedded
from pages.shared.session import Scene, Session


def body(current: Session, scene: Scene) -> None:
    """The tabs and the part that is chosen; embedded, the part alone."""
    name = str(current.view["part"])
    if not embedded():
        _tabs(current, name)
    with st.container(key=f"part-{name}"):
        PARTS[name].draw(current, scene)


def _tabs(current: Session, name: str) -> None:
    def choose() -> None:
        found = chosen("part", PARTS)
        if found is not None and found != current.view["part"]:
            current.see_view({"part": found})
            current.viewer.change_part()

    st.session_state["part"] = name
    st.segmented_control(
        "What is evaluated",
        tuple(PARTS),
        format_func=lambda each: PARTS[each].title,
        required=True,
        key="part",
        label_visibility="collapsed",
        on_change=choose,
    )


page.show(body)
