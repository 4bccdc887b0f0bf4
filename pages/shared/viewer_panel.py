"""The viewer on a page: its input comes from the session, and what the user changes goes back there."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial, reduce

import streamlit as st

import saliency_core as sc
from pages.shared import formats, method_lists
from pages.shared.engine import shared_engine
from pages.shared.registry import HOME
from pages.shared.session import Scene, Session, Shown
from pages.shared.viewer_host import Asked, ClassRequest, Report, viewer
from saliency_core.engine.request import ExplainRequest
from saliency_core.viewer import schema
from saliency_core.viewer.correlations import Correlations
from saliency_core.viewer.payload import ClassComparison, default_layer

AFTER_STEP = "This method isn’t available after a meta step. Turn the step off to see it."
NOT_COMPUTED = "This map could not be computed. The list of tasks shows why."
ADD_CONVOLUTION = (
    "It is defined at convolutions and linear layers, and none of the layers shown is one. "
    "Add one with Layers, above the maps of all layers."
)
NO_CONVOLUTION = (
    "It is defined at convolutions and linear layers, and no layer of this network that has maps is one."
)
NO_REASONS: Mapping[str, str] = {}


def draw(
    current: Session,
    scene: Scene,
    mode: str,
    explanation: sc.Explanation,
    *,
    pending: Mapping[str, str] = NO_REASONS,
    unavailable: Mapping[str, str] = NO_REASONS,
    epsilon: float = 0.0,
    on_epsilon: Callable[[float], None] | None = None,
    on_compute: Callable[[], None] | None = None,
    comparison: ClassComparison | None = None,
    asked: Asked | None = None,
    on_request: Callable[[ClassRequest], None] | None = None,
    correlations: Callable[[], Correlations] | None = None,
) -> None:
    """Draw the viewer with these maps, and take over what the browser reports; see `viewer_host.viewer`.

    `epsilon` is the size of the meta step on the viewer's own slider; `on_epsilon` gets the one chosen there.
    `on_compute` is called when the missing maps are asked for.
    """
    revision = current.viewer.revision
    view = {**current.view, "epsilon": epsilon}
    figures: Correlations | None = None

    def noted(ask: Callable[[], Correlations]) -> Correlations:
        nonlocal figures
        figures = ask()
        return figures

    report = viewer(
        mode=mode,
        explanation=explanation,
        photo=scene.photo,
        model=scene.model,
        view=view,
        revision=revision,
        on_view=partial(_note, current, scene, revision, on_epsilon),
        on_compute=on_compute,
        key=f"viewer-{current.viewer.page}",
        pending=pending,
        unavailable=unavailable,
        state=formats.after_step(scene.request.variant) if comparison is None else "",
        comparison=comparison,
        asked=asked,
        on_request=on_request,
        correlations=None if correlations is None else partial(noted, correlations),
    )
    page = current.viewer.page or HOME.slug
    current.viewer.shown = Shown(page, mode, scene, explanation, view, dict(unavailable), comparison, figures)
    if report.view is not None:
        _note(current, scene, revision, on_epsilon, report.view)
    _open(current, report)


def _note(
    current: Session,
    scene: Scene,
    revision: int,
    on_epsilon: Callable[[float], None] | None,
    reported: Mapping[str, schema.Value],
) -> None:
    """Take over what the browser shows, unless it reports from before the last change made here."""
    if revision != current.viewer.revision or scene.model.name != current.choice.model:
        return
    size = reported.get("epsilon")
    if isinstance(size, float) and on_epsilon is not None:
        on_epsilon(size)
    # The boxes are those of the photo that the viewer shows, and another one may have been chosen since.
    passing = {"epsilon"} if scene.key == current.choice.photo else {"epsilon", "boxes"}
    changes = {name: value for name, value in reported.items() if name not in passing}
    current.see_view(changes | _weights_after(current, scene, changes))


def _weights_after(
    current: Session, scene: Scene, changes: Mapping[str, schema.Value]
) -> dict[str, schema.Value]:
    """The weights for the layers that the session will show: those reported are for the scene's."""
    choice = current.choice
    now = scene.model.chosen(choice.extra_layers)
    after = scene.model.chosen(replace(choice, view={**choice.view, **changes}).extra_layers)
    if "weights" in changes:
        weights, before = changes["weights"], scene.layers
    else:
        weights, before = choice.view["weights"], now
    return {} if before == after else {"weights": schema.carried_weights(weights, before, after)}


def _open(current: Session, report: Report) -> None:
    """Open the first page with the method picked in the viewer, beside Grad-CAM."""
    if report.open is None:
        return
    current.show_methods(report.open.method, schema.DEFAULT_METHODS[1], report.open.layer)
    st.switch_page(st.Page(HOME.path, title=HOME.title, icon=HOME.icon, url_path=HOME.slug))


def layer_shown(current: Session, layers: Collection[str]) -> str:
    """The layer in the viewer."""
    chosen, extra = current.view["layer"], current.choice.extra_layers
    if isinstance(chosen, str) and chosen in layers:
        return chosen
    return default_layer([name for name in layers if name not in extra])


# -- methods that the shared pass does not give --------------------------------------------------------------


def unavailable(scene: Scene) -> dict[str, str]:
    """Method -> why there is no such map for this model, at this scene's layers, or after its meta step."""
    after_step = method_lists.MANY_PASSES if scene.request.variant is not None else ()
    return {**dict.fromkeys(after_step, AFTER_STEP), **unavailable_at(scene)}


def unavailable_at(scene: Scene) -> dict[str, str]:
    """Method -> why there is no such map for this model at any of the scene's layers."""
    reasons = dict(scene.model.unavailable)
    for name in method_lists.AT_CONVOLUTIONS:
        reasons.pop(name, None)
        if scene.model.convolutions.isdisjoint(scene.layers):
            reasons[name] = ADD_CONVOLUTION if scene.model.convolutions else NO_CONVOLUTION
    return reasons


def replace_unavailable(current: Session, reasons: Mapping[str, str]) -> None:
    """Replace methods that are not available with others, and say why.

    While another model is being explained they stay, and while other layers are, those that depend on these.
    """
    scene = current.scene
    if scene is not None and scene.model.name != current.choice.model:
        return
    if scene is not None and scene.layers != scene.model.chosen(current.choice.extra_layers):
        reasons = {name: why for name, why in reasons.items() if name not in method_lists.AT_CONVOLUTIONS}
    while name := next((name for name in current.methods if name in reasons), None):
        current.replace_method(name, f"{sc.METHODS[name].title} is not shown. {reasons[name]}", of_model=True)


def two_methods(current: Session, scene: Scene, mode: str) -> None:
    """Draw the viewer for the two methods that the session compares, computing what is missing of them."""
    _draw_with(current, scene, mode, current.methods)


def one_method(current: Session, scene: Scene, mode: str) -> None:
    """The same for the method on the left alone."""
    _draw_with(current, scene, mode, current.methods[:1])


def _draw_with(current: Session, scene: Scene, mode: str, shown: Iterable[str]) -> None:
    reasons = unavailable(scene)
    replace_unavailable(current, reasons)
    explanation, pending = with_methods(current, scene, [name for name in shown if name not in reasons])
    current.settle(explanation.methods)
    draw(current, scene, mode, explanation, pending=pending, unavailable=reasons)


def with_methods(
    current: Session,
    scene: Scene,
    names: Iterable[str],
    *,
    on_drop: Callable[[str], None] | None = None,
) -> tuple[sc.Explanation, dict[str, str]]:
    """The scene's explanation with these methods, as far as they are there, and what happens to the others.

    Methods that were added before stay: going back to one shows it at once. `on_drop` gets the name of one
    whose task is cancelled, or whose failure is dismissed.
    """
    added: dict[str, sc.Explanation] = current.remember("added methods", scene.explanation, dict)
    pending: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name in scene.explanation.methods or name in added:
            continue
        found = _ask(current, scene, name, on_drop)
        if found is not None:
            added[name] = found
        elif current.tasks.error(_request(scene, name)) is None:
            pending[name] = f"Computing: {sc.METHODS[name].cost_text}"
        else:
            pending[name] = NOT_COMPUTED
    return reduce(sc.Explanation.joined, added.values(), scene.explanation), pending


def _request(scene: Scene, method: str) -> ExplainRequest:
    return replace(scene.request, methods=(method,))


def _ask(
    current: Session, scene: Scene, name: str, on_drop: Callable[[str], None] | None
) -> sc.Explanation | None:
    request = _request(scene, name)
    title = f"{sc.METHODS[name].title} · {scene.photo.name}, {scene.explanation.label}"

    def dropped() -> None:
        if on_drop is not None:
            on_drop(name)
        if current.scene is not None and current.scene.request == scene.request:
            current.replace_method(name, f"{sc.METHODS[name].title} was not computed.")

    return current.tasks.result(
        request,
        partial(shared_engine().submit, request, scene.image, title=title, session=current.tasks.session),
        title=title,
        long=name in method_lists.MANY_PASSES,
        on_drop=dropped,
    )
