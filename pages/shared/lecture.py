"""Lecture mode: the same pages for a projector, with large type and without the sidebar.

An embedded page has one line below the viewer instead: its keys, and a link to the whole page. The browser
switches at once by itself (components_web/lecture.js); the session follows for the address and the charts.
"""

import streamlit as st

from pages.shared import components
from pages.shared.embedding import embedded
from pages.shared.session import Session


def draw(session: Session) -> None:
    """Draw its buttons and Share's, in the header and in the menu of a narrow window; or that line."""
    present = bool(session.view["present"])

    def switch(on: bool) -> None:
        session.see_view({"present": on})

    with st.container(key="lecture", horizontal=True):
        if not embedded():
            components.share(session.token, dialog=True, key="share-header")
        components.lecture(present, keys=True, on_present=switch, key="lecture-header")
    if embedded():
        return
    with st.sidebar, st.container(key="lecture-menu", horizontal=True):
        components.share(session.token, dialog=False, key="share-menu")
        components.lecture(present, keys=False, on_present=switch, key="lecture-switch")
