"""Evaluate: on this photo and on a photo set. Only the part of the page that is on the screen computes."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.evaluate import insertion_deletion, photo_set, point, randomise
from pages.shared import page
from pages.shared.chosen import chosen
from pages.shared.embedding import embedded
from pages.shared.session import Scene, Session


@dataclass(frozen=True)
class Part:
    """A part of the page: its name on the tab, and what draws it."""

    title: str
    draw: Callable[[Session, Scene], None]


PARTS = {
    "point": Part("Point", point.draw),
    "insertion-deletion": Part("Insertion and deletion", insertion_deletion.draw),
    "randomise": Part("Randomise", randomise.draw),
    "photo-set": Part("Photo set", photo_set.draw),
}
"""The values of the view's field `part`."""


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
