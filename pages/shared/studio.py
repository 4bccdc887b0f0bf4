"""One run of the app behind its frame: state, sidebar, explanation, page, address."""

from collections.abc import Callable

from streamlit.delta_generator import DeltaGenerator

from pages.shared import lecture, scene, sidebar, theme
from pages.shared.registry import entry_of
from pages.shared.session import follow_history, session, write_address
from saliency_core.engine.failures import user_message


def run(path: str, draw_page: Callable[[], None], skeleton: DeltaGenerator) -> None:
    """Everything below the heading; `skeleton` stays until the page is drawn."""
    entry = entry_of(path)
    current = session()
    current.full_run = True
    steps = not entry.own_steps
    try:
        follow_history(current)
        current.enter(entry)
        current.tasks.begin()
        current.check_uploads()
        scene.take_uploads(current)
        current.photo_file()  # one that has come back, or is gone, is in the sidebar of this run already
        lecture.draw(current)
        classes = sidebar.draw(current, steps=steps)
        scene.update(current, steps=steps)
        classes.fill(two=entry.two_classes)
        write_address(current)
        draw_page()
    except Exception as error:
        # For any error: the visitor gets a sentence and the frame, the server's log the traceback.
        current.viewer.leave()
        skeleton.empty()
        theme.failure(user_message(error, f"A run of the page {path!r}"))
    finally:
        current.full_run = False
    if current.scene is not None or current.failure is not None:
        skeleton.empty()
        theme.note_drawn(path)
