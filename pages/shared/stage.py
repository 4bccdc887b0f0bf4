"""The viewer on a page: what it shows comes from the session, what a person does with it goes back there."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import streamlit as st

import saliency_core as sc
from pages.shared import cards, theme
from pages.shared.engine import shared_engine
from pages.shared.jobs import Errand, ExtraPass, Work
from pages.shared.registry import HOME
from pages.shared.state import Scene, Session, seen, session, write_address
from pages.shared.viewer_host import OpenRequest, viewer
from saliency_core.viewer.schema import DEFAULT_METHODS, Value

AFTER_STEP = "It takes many passes, which are not made after a meta step: switch the step off to see it."


@st.fragment
def show(
    mode: str, *, pair: tuple[str, str] | None = None, below: Callable[[Session, Scene], None] | None = None
) -> None:
    """Draw the viewer in the given mode. What it reports reruns this alone: nothing else depends on it.

    With `pair` the page begins with two methods of its own, and those of the other pages stay as they are.
    `below` draws what goes with the layer in the viewer.
    """
    current = session()
    scene = current.scene
    if scene is None:
        return
    current.use_pair(pair)
    unavailable = unavailable_methods(scene.model.name, scene.meta is not None)
    avoid(current, unavailable)
    # Always there, so that cards which come and go leave the viewer where it is.
    above = st.container()
    explanation, pending = _explanation(current, scene, mode)
    with above:
        if current.remarks:
            theme.note(current.remarks)
        cards.draw(current)
    report = viewer(
        mode=mode,
        explanation=explanation,
        photo=scene.photo,
        model=scene.model,
        view=vars(current.view),
        revision=current.revision,
        on_view=partial(note, current, current.revision),
        key=f"viewer-{current.page}",
        pending=pending,
        unavailable=unavailable,
        state=step_words(scene.meta),
    )
    note(current, current.revision, report.view)
    write_address(current)
    if report.open is not None:
        _open(current, report.open)
    if below is not None:
        below(current, scene)


def note(current: Session, revision: int, reported: Mapping[str, Value] | None) -> None:
    """Take over what the browser shows, unless it reports from before the last change made here."""
    if reported is not None and revision == current.revision:
        current.see_view(seen(current.view, reported))


def _open(current: Session, request: OpenRequest) -> None:
    """Go to the first page with the method that was asked for in the viewer, beside Grad-CAM."""
    current.show_methods(request.method, DEFAULT_METHODS[1], request.layer)
    st.switch_page(st.Page(HOME.path, title=HOME.title, icon=HOME.icon, url_path=HOME.slug))


# -- methods that the shared pass does not give --------------------------------------------------------------


@cache
def unavailable_methods(model: str, stepped: bool = False) -> Mapping[str, str]:
    """Why the model has no such map (`stepped`: after a meta step), for every method of which that is so."""
    classifier = shared_engine().classifier(model)
    reasons = {name: sc.unavailable(classifier, name) for name in sc.METHODS}
    if stepped:
        reasons |= {name: AFTER_STEP for name, method in sc.METHODS.items() if method.passes}
    return MappingProxyType({name: reason for name, reason in reasons.items() if reason is not None})


def step_words(meta: sc.MetaStep | None) -> str:
    """What a caption says of the meta step."""
    if meta is None:
        return ""
    return f"after a meta step{' that ascends,' if meta.ascend else ''} ε = {meta.lr:.2g}"


def avoid(current: Session, unavailable: Mapping[str, str]) -> None:
    """Put other methods in the place of those that this model does not have, with a word."""
    while unfit := next((name for name in current.methods if name in unavailable), None):
        current.replace_method(unfit, f"{sc.METHODS[unfit].title} is not shown. {unavailable[unfit]}")


def _explanation(current: Session, scene: Scene, mode: str) -> tuple[sc.Explanation, dict[str, str]]:
    """The explanation with all that has been added to it, and what is happening to methods without maps."""
    base, errands = scene.explanation, current.errands
    shown = () if mode == "framework" else current.methods
    wanted = [name for name in dict.fromkeys(shown) if name not in base.methods]
    asked = [
        errands.ask(
            scene.subject, sc.METHODS[name], f"{scene.photo.name}, {base.label}", _starter(scene, name)
        )
        for name in wanted
    ]
    errands.tidy(scene.subject, wanted)
    errands.wait()
    explanation = errands.join(base, scene.subject)
    current.settle(explanation.methods)
    return explanation, {errand.method.name: _news(errand) for errand in asked if errand.result is None}


def _news(errand: Errand) -> str:
    if errand.failed:
        return "This map could not be computed. The reason is above."
    return f"Computing: {errand.method.cost_text}"


def _starter(scene: Scene, method: str) -> Callable[[], Work]:
    """How to begin the computation of a method for a scene."""
    engine, base = shared_engine(), scene.explanation
    how: dict[str, Any] = {"target": base.target, "fit": scene.fit, "digest": scene.photo.digest}
    if sc.METHODS[method].passes:
        return partial(engine.start_job, scene.model.name, scene.image, method, **how)
    compute = partial(
        engine.explain, scene.model.name, scene.image, methods=(method,), meta=scene.meta, **how
    )
    return partial(ExtraPass, compute)
