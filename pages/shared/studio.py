"""One run of the app behind its frame: state, sidebar, explanation, page, address."""

import logging
from collections.abc import Callable

from streamlit.delta_generator import DeltaGenerator

import saliency_core as sc
from pages.shared import sidebar, theme
from pages.shared.engine import shared_engine
from pages.shared.photos import Photo
from pages.shared.registry import entry_of
from pages.shared.state import Choice, Scene, follow_history, session, write_address
from saliency_core.viewer.payload import DisplayPhoto

log = logging.getLogger(__name__)

_TELLING = (sc.NonFiniteError, sc.TargetError, sc.WeightsError)  # their messages are sentences for people


def run(path: str, draw_page: Callable[[], None], place: DeltaGenerator) -> None:
    """Everything below the heading. `place` holds the skeleton until the page is drawn."""
    current = session()
    try:
        follow_history(current)
        current.enter(path)
        name, photo = current.photo()
        steps = entry_of(path).steps
        with sidebar.draw(current, steps=steps) as classes:
            write_address(current)
            current.scene = _explain(current.choice, name, photo, current.choice.meta if steps else None)
            classes.fill(current.scene.explanation)
        draw_page()
    except _TELLING as error:
        current.leave()
        theme.failure(str(error))
    except Exception:
        # Whatever it was: the visitor gets a sentence and the frame, the server's log the traceback.
        log.exception("A run of the page %r failed.", path)
        current.leave()
        theme.failure()
    place.empty()


def _explain(choice: Choice, name: str, photo: Photo, meta: sc.MetaStep | None) -> Scene:
    explanation = shared_engine().explain(
        choice.model, photo.image, target=choice.target, fit=choice.fit, digest=photo.digest, meta=meta
    )
    shown = DisplayPhoto(
        digest=photo.digest,
        jpeg=photo.display,
        width=photo.display_size[0],
        height=photo.display_size[1],
        original_size=photo.image.size,
        name=name,
    )
    return Scene(sc.MODELS[choice.model], shown, photo.image, choice.fit, explanation, meta)
