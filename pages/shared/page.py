"""What every page does with its body: draw it for the session's scene, in a fragment, with the tray below."""

from collections.abc import Callable

import streamlit as st

from pages.shared import theme
from pages.shared.embedding import embedded
from pages.shared.session import Scene, Session, session, write_address
from pages.shared.tasks import tray
from saliency_core.engine.failures import user_message

Body = Callable[[Session, Scene], None]


@st.fragment
def show(body: Body) -> None:
    """Draw the part of a page that depends on the scene. Its widgets rerun this part alone.

    While there is no scene, the skeleton stays; if it failed, a sentence says why.
    """
    current = session()
    if current.full_run:
        current.tasks.enter_page()
    elif current.frame_outdated:
        st.rerun(scope="app")
    else:
        current.tasks.begin(page=True)
    # Always there, so that a sentence that appears or disappears does not shift what is below it.
    above = st.container()
    if current.failure is not None:
        with above:
            theme.failure(current.failure, lambda: current.tasks.retry(current.failed_task))
    elif current.scene is not None:
        try:
            body(current, current.scene)
        except Exception as error:
            current.viewer.leave()
            theme.failure(user_message(error, f"The page {current.viewer.page!r}"))
        # An embedded page has no sidebar, where else it is said what happened to the photos.
        remarks = [*current.remarks, *(current.notices if embedded() else ())]
        if remarks:
            with above:
                theme.note(remarks)
        write_address(current)
    current.tasks.end()
    tray(current.tasks, lambda: current.frame_outdated)
