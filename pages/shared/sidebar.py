"""The sidebar, the same on every page: photo, model, class and fit."""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import saliency_core as sc
from pages.shared import photos, theme, widgets
from pages.shared.engine import shared_engine
from pages.shared.state import STEPS, Session
from saliency_core.backprop.variants import LEARNING_RATE

QUICK_PICKS = 5
MEGABYTE = 1_000_000
_POLL_SECONDS = 0.3
_FIT_WORDS = {
    "crop": "Crop",
    "stretch": "Squeeze",
    "pad": "Pad",
}  # the registry's titles are too long for a row


@dataclass(frozen=True)
class ClassPlace:
    """Where the classes go, as a context in which they become known.

    The skeleton stands in for them until they are known for the first time, or turn out not to be.
    """

    session: Session
    container: DeltaGenerator
    skeleton: DeltaGenerator

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.skeleton.empty()
        if isinstance(error, Exception):
            with self.container:
                theme.hint("The most likely classes appear here once the photo has been explained.")

    def fill(self, explanation: sc.Explanation) -> None:
        """Show the classes of this explanation."""
        self.skeleton.empty()
        with self.container:
            _classes(self.session, explanation)


def draw(session: Session, *, steps: bool) -> ClassPlace:
    """Draw the sidebar and return the place of the classes, known later; `steps`: a meta step is possible."""
    with st.sidebar:
        _photo(session)
        _model(session)
        theme.section("Class")
        container = st.container()
        skeleton = container.empty()
        if session.scene is None:
            skeleton.html(theme.LIST_SKELETON)
        _fit(session)
        if steps:
            _meta(session)
    return ClassPlace(session, container, skeleton)


# -- photo ---------------------------------------------------------------------------------------------------


def _photo(session: Session) -> None:
    theme.section("Photo")
    strip = [
        {"key": name, "name": photos.sample_title(name), "thumb": photos.sample(name).thumb}
        for name in photos.sample_files()
    ] + [
        {"key": upload.key, "name": upload.name, "thumb": upload.thumb, "removable": True}
        for upload in session.uploads
    ]
    widgets.gallery(
        strip, session.choice.photo, on_choose=session.choose_photo, on_remove=session.remove_upload
    )
    # Files of any name: what is in them decides, and every refusal gets a sentence of its own.
    # A new key empties the uploader: the strip lists what was taken, and nothing is held twice.
    key = f"upload-{session.upload_round}"
    st.file_uploader(
        "Add photos",
        accept_multiple_files=True,
        key=key,
        label_visibility="collapsed",
        on_change=_take_uploads,
        args=(session, key),
    )
    if session.notices:
        theme.note(session.notices, error=True)


def _take_uploads(session: Session, key: str) -> None:
    files = st.session_state.get(key) or []
    session.notices.clear()
    for file in files:
        try:
            photo = photos.decode(file.name, file.getvalue())
        except sc.ImageError as error:
            session.notices.append(f"{file.name}: {error}")
        else:
            photos.photo_store().put(photo)
            session.add_upload(file.name, photo)
    session.upload_round += 1


# -- model ---------------------------------------------------------------------------------------------------


def _model_title(name: str) -> str:
    spec, engine = sc.MODELS[name], shared_engine()
    if spec.download_bytes is None or engine.is_local(name) or engine.is_loaded(name):
        return spec.title
    return f"{spec.title} · {spec.download_bytes / MEGABYTE:.0f} MB download"


def _choose_model(session: Session) -> None:
    session.choose_model(st.session_state["model"])


def _model(session: Session) -> None:
    theme.section("Model")
    if session.coming is not None and shared_engine().is_loaded(session.coming.model):
        session.arrive()
    shown = session.coming or session.choice
    st.session_state["model"] = shown.model
    st.selectbox(
        "Model",
        tuple(sc.MODELS),
        format_func=_model_title,
        key="model",
        label_visibility="collapsed",
        on_change=_choose_model,
        args=(session,),
    )
    theme.hint(sc.MODELS[shown.model].summary)
    if session.coming is not None:
        if session.asked != session.coming.model:
            # Also after an earlier failure, of which another session may have been told.
            shared_engine().start_loading(session.coming.model)
            session.asked = session.coming.model
        _arrival(session)


@st.fragment(run_every=_POLL_SECONDS)
def _arrival(session: Session) -> None:
    """Follow the loading of the model that is coming, while the page goes on showing the other one."""
    engine = shared_engine()
    if session.coming is None or engine.is_loaded(session.coming.model):
        st.rerun(scope="app")
    name = session.coming.model
    loading = engine.loading(name)
    if loading is not None and loading.error is not None:
        _failure(session, loading.error)
        return
    if loading is None or loading.done:
        loading = engine.start_loading(name)
    share = loading.received / loading.total if loading.total else 0.0
    st.progress(min(share, 1.0), text=_progress_text(sc.MODELS[name].title, loading))


def _progress_text(title: str, loading: sc.Loading) -> str:
    received = f"{loading.received / MEGABYTE:.0f}"
    if not loading.received:
        return f"Loading {title} …"
    if loading.total and loading.received >= loading.total:
        return f"Building {title} …"
    total = f" of {loading.total / MEGABYTE:.0f}" if loading.total else ""
    return f"{title}: {received}{total} MB"


def _failure(session: Session, sentence: str) -> None:
    coming, kept = session.coming, sc.MODELS[session.choice.model].title
    if coming is None:
        return
    theme.note([sentence, f"The page still shows {kept}."], error=True)
    again, stay = st.columns(2)
    if again.button("Try again", key="model-again", width="stretch"):
        shared_engine().start_loading(coming.model)
        st.rerun(scope="fragment")
    if stay.button("Dismiss", key="model-dismiss", width="stretch"):
        session.give_up()
        st.rerun(scope="app")


# -- class ---------------------------------------------------------------------------------------------------


@cache
def class_labels(model: str) -> tuple[str, ...]:
    """The model's labels, told apart by their index where two classes have the same name."""
    labels = tuple(shared_engine().classifier(model).labels)
    times = Counter(labels)
    return tuple(f"{label} ({index})" if times[label] > 1 else label for index, label in enumerate(labels))


def percent(probability: float) -> str:
    if probability < 0.001:
        return "< 0.1 %"
    return f"{100 * probability:.1f} %" if probability < 0.0995 else f"{100 * probability:.0f} %"


def _choose_class(session: Session) -> None:
    if st.session_state["class"] is not None:
        session.choose_class(st.session_state["class"])


def _classes(session: Session, explanation: sc.Explanation) -> None:
    """The most likely classes as quick picks, and all of them in a searchable list."""
    labels = class_labels(session.choice.model)
    widgets.class_list(_picks(explanation, labels), explanation.target, on_choose=session.choose_class)
    # What is chosen here appears in the list above, so the box is ready for the next search.
    st.session_state["class"] = None
    st.selectbox(
        "Any class",
        range(len(labels)),
        index=None,
        format_func=labels.__getitem__,
        key="class",
        placeholder=f"Search all {len(labels):,} classes",
        label_visibility="collapsed",
        on_change=_choose_class,
        args=(session,),
    )


def _picks(explanation: sc.Explanation, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """The most likely classes, and the explained one if it is not among them."""
    probabilities = explanation.probabilities
    likely = [int(index) for index in probabilities.argsort()[::-1][:QUICK_PICKS]]
    picks = likely if explanation.target in likely else [*likely, explanation.target]
    return [
        {
            "index": index,
            "label": labels[index],
            "probability": round(float(probabilities[index]), 4),
            "percent": percent(float(probabilities[index])),
        }
        for index in picks
    ]


# -- fit -----------------------------------------------------------------------------------------------------


def _choose_fit(session: Session) -> None:
    session.choose_fit(st.session_state["fit"])


def _fit(session: Session) -> None:
    theme.section("Fit to the network's square")
    st.session_state["fit"] = session.choice.fit
    st.segmented_control(
        "Fit",
        tuple(sc.FITS),
        format_func=_FIT_WORDS.__getitem__,
        required=True,
        key="fit",
        label_visibility="collapsed",
        on_change=_choose_fit,
        args=(session,),
        width="stretch",
    )
    theme.hint(sc.FITS[session.choice.fit].summary)


# -- meta step -----------------------------------------------------------------------------------------------


def step_title(size: float) -> str:
    """A step's size as people read it, the authors' own marked."""
    return f"{size:.2g}{' (authors)' if size == LEARNING_RATE else ''}"


def _switch_meta(session: Session) -> None:
    session.choose_meta(sc.MetaStep() if st.session_state["meta"] else None)


def _choose_meta(session: Session) -> None:
    session.choose_meta(
        sc.MetaStep(st.session_state["meta-size"], ascend=st.session_state["meta-way"] == "ascend")
    )


def _meta(session: Session) -> None:
    """One step of learning before the explanation: on or off, its size and its direction."""
    theme.section("Meta step")
    meta = session.choice.meta
    st.session_state["meta"] = meta is not None
    st.toggle("Explain after one step of learning", key="meta", on_change=_switch_meta, args=(session,))
    if meta is None:
        theme.hint(
            "The network learns this photo’s class once, then explains: maps come closer to the class."
        )
        return
    st.session_state["meta-size"] = meta.lr
    st.session_state["meta-way"] = "ascend" if meta.ascend else "descend"
    st.select_slider(
        "Size ε of the step",
        sorted({*STEPS, meta.lr}),
        format_func=step_title,
        key="meta-size",
        on_change=_choose_meta,
        args=(session,),
    )
    st.segmented_control(
        "Direction",
        ("descend", "ascend"),
        format_func={"descend": "Learn the class", "ascend": "Harm the class"}.__getitem__,
        required=True,
        key="meta-way",
        label_visibility="collapsed",
        on_change=_choose_meta,
        args=(session,),
        width="stretch",
    )
    theme.hint("The step is taken on a copy: every explanation starts from the same network.")
