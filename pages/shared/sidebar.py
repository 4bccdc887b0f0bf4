"""The sidebar, the same on every page: photo, model, class, fit and meta step."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

import saliency_core as sc
from pages.shared import components, formats, model_section, pairs, photos, theme
from pages.shared.address import LEARN, UNLEARN
from pages.shared.chosen import chosen
from pages.shared.engine import distinct_labels
from pages.shared.session import STEPS, Scene, Session
from pages.shared.uploads import in_memory_only, printable
from saliency_core.backprop.meta_step import LEARNING_RATE

QUICK_PICKS = 5
STEP_SWITCH = "Explain after one gradient step"
STEP_HINT = (
    "Take one training step towards this class, then explain. Maps that hardly depended on the class often "
    "begin to."
)
NO_CLASSES = "This network has no classes: what is explained is one of its output features."
CLASSES_LATER = "The most likely classes appear here once the photo has been explained."
DIRECTIONS = {LEARN: "Learn the class", UNLEARN: "Unlearn the class"}
_FIT_TITLES = {
    "crop": "Standard",
    "stretch": "Squeeze",
    "pad": "Pad",
}  # the registry's titles are too long for a row


@dataclass(frozen=True)
class ClassSlot:
    """A container for the classes, which are known only once the photo has been explained.

    The skeleton stands in for them until they are known for the first time, or turn out not to be.
    """

    session: Session
    container: DeltaGenerator
    skeleton: DeltaGenerator

    def fill(self, *, two: bool) -> None:
        """Show the classes of the session's scene, or say when they will appear; `two`: mark two of them."""
        failed = self.session.failure is not None
        scene = self.session.explained if failed else self.session.scene
        if scene is None and not failed:
            return
        self.skeleton.empty()
        with self.container:
            if scene is None:
                theme.hint(CLASSES_LATER)
            else:
                _classes(self.session, scene, two=two)


def draw(session: Session, *, steps: bool) -> ClassSlot:
    """Draw the sidebar and return the room for the classes; `steps`: with the control of the meta step."""
    with st.sidebar:
        _photo(session)
        model_section.draw(session)
        theme.section("Class")
        container = st.container(key="class-slot")
        skeleton = container.empty()
        if session.scene is None:
            skeleton.html(theme.LIST_SKELETON)
        _fit(session)
        if steps:
            _meta(session)
    session.note_frame()
    return ClassSlot(session, container, skeleton)


# -- photo ---------------------------------------------------------------------------------------------------


def _photo(session: Session) -> None:
    components.gallery(
        samples=[
            {"key": name, "name": photos.sample_title(name), "thumb": photos.sample(name).file.thumb}
            for name in photos.sample_files()
        ],
        uploads=[{"key": file.key, "name": file.name, "thumb": file.thumb} for file in session.uploads],
        selected=session.choice.photo,
        session=components.TabSession(session.token, session.restored),
        on_choose=session.choose_photo,
        on_remove=session.remove_upload,
        on_restore=session.restore_uploads,
    )
    # Files of any name: what is in them decides, and every refusal gets its own sentence.
    # A new key empties the uploader: the strip lists the uploads, and nothing is held twice.
    key = f"upload-{session.uploads.round}"
    st.file_uploader(
        "Add photos",
        accept_multiple_files=True,
        key=key,
        label_visibility="collapsed",
        on_change=_take_files,
        args=(session, key),
    )
    if session.refusals:
        theme.note(session.refusals, error=True)
    if session.notices:
        theme.note(session.notices)


def _take_files(session: Session, key: str) -> None:
    """Note the files of the uploader; they appear in the strip once they are decoded."""
    sent = [file for file in st.session_state.get(key) or [] if isinstance(file, UploadedFile)]
    if not sent:  # an uploader that has been replaced names once more the files taken from it, or none
        return
    session.clear_notices()
    received = [photos.receive(printable(file.name), file.getvalue()) for file in sent]
    session.arriving += [file for file, _ in received]
    if unsaved := [file.name for file, saved in received if not saved]:
        session.notices.append(in_memory_only(unsaved))
    session.uploads.round += 1
    # The store has the bytes now: without this, Streamlit would hold them until the session ends.
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for file in sent:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


# -- class ---------------------------------------------------------------------------------------------------


def _classes(session: Session, scene: Scene, *, two: bool) -> None:
    """The most likely classes as buttons, and all of them in a searchable list.

    Where `two` are compared, both are marked, and a choice is that of the first.
    """
    labels = distinct_labels(scene.model.labels)
    two = two and len(labels) > 1
    if two:
        both = pairs.compared(session.choice, scene)
        marked = dict(zip(both, "AB", strict=True))
    else:
        target = scene.explanation.target if session.choice.target is None else session.choice.target
        marked = {} if target is None else {target: ""}

    def choose(index: int) -> None:
        if two:
            session.choose_classes(*pairs.replaced(both, 0, index))
        else:
            session.choose_class(index)

    model = scene.model
    components.class_list(
        _picks(scene.explanation, labels, marked, features=model.features),
        model=model.name,
        labels=labels,
        kind="features" if model.features else "classes",
        session=session.own,
        on_choose=choose,
    )
    if model.features:
        theme.hint(NO_CLASSES)


def _picks(
    explanation: sc.Explanation, labels: tuple[str, ...], marked: Mapping[int, str], *, features: bool
) -> list[dict[str, Any]]:
    """The most likely classes, and those that are marked (with a letter, or "") if not among them.

    `features` have no probabilities: they are given with the rank of their values.
    """
    probabilities = explanation.probabilities
    order = [int(index) for index in probabilities.argsort()[::-1]]
    likely = order[:QUICK_PICKS]
    picks = [*likely, *(index for index in marked if index not in likely)]
    return [
        {
            "index": index,
            "label": labels[index],
            "probability": 0.0 if features else round(float(probabilities[index]), 4),
            "share": formats.rank(order.index(index) + 1)
            if features
            else formats.percent(float(probabilities[index])),
            "letter": marked.get(index, ""),
            "selected": marked.get(index) in ("", "A"),
        }
        for index in picks
    ]


def _segments(
    label: str, titles: Mapping[str, str], key: str, on_change: Callable[[Session], None], session: Session
) -> None:
    """A choice between a few names as buttons in one row; one of them is always chosen."""
    st.segmented_control(
        label,
        tuple(titles),
        format_func=titles.__getitem__,
        required=True,
        key=key,
        label_visibility="collapsed",
        on_change=on_change,
        args=(session,),
        width="stretch",
    )


# -- fit -----------------------------------------------------------------------------------------------------


def _choose_fit(session: Session) -> None:
    fit = chosen("fit", _FIT_TITLES)
    if fit is not None:
        session.choose_fit(fit)


def _fit(session: Session) -> None:
    theme.section("Fit to the network’s input")
    st.session_state["fit"] = session.choice.fit
    _segments("Fit", _FIT_TITLES, "fit", _choose_fit, session)
    theme.hint(sc.FITS[session.choice.fit].summary)


# -- meta step -----------------------------------------------------------------------------------------------


def _switch_step(session: Session) -> None:
    on = st.session_state.get("meta")
    if on is not None:
        session.choose_step(LEARNING_RATE if on else None)


def _choose_step(session: Session, sizes: Collection[float]) -> None:
    # The switch may have taken both widgets away before a late click on one of them arrives.
    size, direction = chosen("meta-size", sizes), chosen("meta-direction", DIRECTIONS)
    if session.choice.step is not None and size is not None and direction is not None:
        session.choose_step(size, direction)


def _meta(session: Session) -> None:
    """The gradient step before the explanation: on or off, its size and its direction."""
    theme.section("Meta step")
    choice = session.choice
    st.session_state["meta"] = choice.step is not None
    st.toggle(STEP_SWITCH, key="meta", on_change=_switch_step, args=(session,))
    if choice.step is None:
        theme.hint(STEP_HINT)
        return
    sizes = sorted({*STEPS, choice.step})
    st.session_state["meta-size"] = choice.step
    st.session_state["meta-direction"] = choice.direction
    st.select_slider(
        "Size ε of the step",
        sizes,
        format_func=formats.epsilon_title,
        key="meta-size",
        on_change=_choose_step,
        args=(session, sizes),
    )
    _segments("Direction", DIRECTIONS, "meta-direction", partial(_choose_step, sizes=sizes), session)
    theme.hint("The step is taken on a copy: every explanation starts from the same network.")
