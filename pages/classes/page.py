"""The page on class sensitivity: two classes, their maps, how alike they are, what a step changes.

The viewer has everything that follows a choice at once: the pickers, the maps, the table of all methods. What
is here answers its requests and stands below it.
"""

from collections.abc import Mapping
from itertools import combinations

import streamlit as st

import saliency_core as sc
from pages.classes import charts, photo_set, sweep, texts
from pages.classes.pair import Explanations, Pair
from pages.classes.sweep import Sweep
from pages.shared import charts as shared_charts
from pages.shared import method_lists, page, pairs, theme, viewer_panel
from pages.shared.address import LEARN, UNLEARN
from pages.shared.embedding import embedded
from pages.shared.engine import distinct_labels
from pages.shared.formats import epsilon, rho
from pages.shared.method_lists import CELLS, MODIFIED, NAMED
from pages.shared.session import Scene, Session
from pages.shared.viewer_host import Asked, ClassRequest, StepRequest
from saliency_core.export.tables import Table, line_table
from saliency_core.viewer import schema
from saliency_core.viewer.correlations import Correlations
from saliency_core.viewer.payload import ClassComparison, ClassPair

FIRST_METHOD = "grad_cam"
"""The method that a photo of several objects starts with: at the last layer it finds each class's object."""


def body(current: Session, scene: Scene) -> None:
    """Draw the page."""
    if len(scene.model.labels) == 1:
        theme.hint(texts.SINGLE_CLASS)
        return
    reasons = _unavailable(scene)
    viewer_panel.replace_unavailable(current, reasons)
    _start(current, scene)
    chosen = Pair(scene, *pairs.compared(current.choice, scene))
    drawn = _explanations(current, chosen)
    if drawn is None:
        with st.container(key="class-waiting"):
            theme.hint(texts.COMPUTING)
            st.html(theme.MAPS_SKELETON)
        return
    pair, explanations = drawn
    found = sweep.asked(current, pair, current.methods[0])
    _viewer(current, chosen, pair, explanations, found, reasons)
    if embedded():
        return
    _save(current, pair)
    _remarks(pair)
    _meta(current, pair, found)
    photo_set.draw(current, pair)


def _unavailable(scene: Scene) -> dict[str, str]:
    """Method -> why there is no such map of layers."""
    return {
        **viewer_panel.unavailable_at(scene),
        **dict.fromkeys(method_lists.AT_THE_INPUT, texts.AT_THE_INPUT),
    }


def _start(current: Session, scene: Scene) -> None:
    """Begin a photo of several objects with Grad-CAM at the last layer, unless something is chosen."""
    subject, choice = (scene.key, scene.model.name), current.choice
    if current.viewer.started == subject:
        return
    left, layer = choice.view["left"], choice.view["layer"]
    untouched = not current.viewer.given and left == schema.DEFAULT_METHODS[0] and layer is None
    if untouched and choice.target is choice.other is None and len(pairs.objects(scene)) > 1:
        current.start_with(subject, FIRST_METHOD, scene.layers[-1])
    else:
        current.end_start(subject)


def _explanations(current: Session, pair: Pair) -> tuple[Pair, Explanations] | None:
    """The pair with its explanations or, until they are there, the previous pair with its own."""
    found = pair.ask(current)
    if found is not None:
        current.last_drawn["classes"] = (pair, found)
    drawn: tuple[Pair, Explanations] | None = current.last_drawn.get("classes")
    return drawn


# -- the viewer ----------------------------------------------------------------------------------------------


def _presets(scene: Scene) -> tuple[ClassPair, ...]:
    """Pairs to choose from: by likelihood, and every two objects of the photo."""
    labels = distinct_labels(scene.model.labels)
    order = [int(index) for index in scene.explanation.probabilities.argsort()[::-1]]
    return (
        *(ClassPair(f"{labels[a]} and {labels[b]}", a, b) for a, b in combinations(pairs.objects(scene), 2)),
        ClassPair(
            texts.HIGHEST_AND_LOWEST if scene.model.features else texts.MOST_AND_LEAST, order[0], order[-1]
        ),
        *([ClassPair(texts.FIRST_AND_SECOND, order[0], order[1])] if len(order) > 2 else []),
    )


def _viewer(
    current: Session,
    chosen: Pair,
    pair: Pair,
    both: Explanations,
    found: Sweep,
    reasons: Mapping[str, str],
) -> None:
    method, choice = current.methods[0], current.choice
    first, second = both
    pending: dict[str, str] = {}
    if method not in first.methods:
        extra = pair.ask(current, method)
        if extra is None:
            pending[method] = f"Computing: {sc.METHODS[method].cost_text}"
        else:
            first, second = first.joined(extra[0]), second.joined(extra[1])

    def correlations() -> Correlations:
        pair.lines(current, None, (method,))
        rows = _rows(current, pair)
        return Correlations(
            before=pair.lines(current, None, rows),
            after=pair.lines(current, choice.variant, rows) if choice.variant is not None else None,
            sweep=found.lines,
            remark=pair.scene.model.unavailable.get(MODIFIED[0], ""),
        )

    def choose_size(size: float) -> None:
        if current.choice.step is not None:
            current.choose_step(size, current.choice.direction, from_browser=True)

    def answer(wanted: ClassRequest) -> None:
        if isinstance(wanted, StepRequest):
            current.choose_step(wanted.size, UNLEARN if wanted.ascend else LEARN)
        else:
            current.choose_classes(*wanted)

    ascend = choice.direction == UNLEARN
    viewer_panel.draw(
        current,
        pair.scene,
        "classes",
        first,
        pending=pending,
        unavailable=reasons,
        epsilon=choice.step or 0.0,
        on_epsilon=choose_size,
        comparison=ClassComparison(
            second,
            method,
            distinct_labels(pair.scene.model.labels),
            _presets(pair.scene),
            found.points,
            ascend,
            found.complete,
        ),
        asked=Asked((chosen.first, chosen.second), choice.step, ascend),
        on_request=answer,
        correlations=correlations,
    )


def _rows(current: Session, pair: Pair) -> tuple[str, ...]:
    """The methods that the table lists: the named ones, those that were switched on, and the one shown."""
    missing = pair.scene.model.unavailable
    modified = [name for name in MODIFIED if name not in missing] if current.view["modified"] else []
    rows = (*NAMED, *modified, *(CELLS if current.view["cells"] else ()))
    method = current.methods[0]
    return rows if method in rows else (method, *rows)


def _save(current: Session, pair: Pair) -> None:
    """A button that saves the table of the viewer, once its figures are there."""
    variant, rows = current.choice.variant, _rows(current, pair)
    lines = {name: pair.known_line(variant, name) for name in rows}
    known = {name: line for name, line in lines.items() if line is not None}
    if len(known) < len(lines):
        return
    title = texts.CORRELATIONS.format(pair.title(pair.first), pair.title(pair.second))
    values = ((sc.METHODS[name].title, [each.value for each in line]) for name, line in known.items())
    with st.container(key="class-save"):
        theme.csv_button(line_table(title, "correlations", pair.scene.layers, values), texts.SAVE)


# -- below the viewer ----------------------------------------------------------------------------------------


def _remarks(pair: Pair) -> None:
    """What the table's figures before a step mean, as far as they are computed."""
    lines = {name: pair.known_line(None, name) for name in NAMED}
    known = {name: line for name, line in lines.items() if line is not None}
    last = pair.scene.explanation.energy(pair.scene.layers[-1])
    st.markdown("\n".join(f"- {each}" for each in texts.remarks(known, pair.scene.layers, last)))


def _meta(current: Session, pair: Pair, found: Sweep) -> None:
    st.header("Meta-saliency", anchor=False)
    words, chart = st.columns([1, 1.45], gap="medium")
    words.markdown(texts.META)
    step = current.choice.step
    if step is None:
        chart.markdown(texts.STEP_OFF)
        return
    layers, method = pair.scene.layers, current.methods[0]
    layer = viewer_panel.layer_shown(current, layers)
    values = [line[layers.index(layer)] for line in found.lines]
    with chart:
        st.markdown(f"**ρ against ε: {sc.METHODS[method].title} at {layer}**")
        figure = charts.curve(found.sizes, values, step)
        st.plotly_chart(figure, key="class-curve", config=shared_charts.CONFIG)
        rows = [(epsilon(size), each.value) for size, each in zip(found.sizes, values, strict=True)]
        curve = Table(texts.CURVE_TABLE, "curve", ("ε", "ρ"), rows)
        theme.table(curve, rho, missing=texts.UNDEFINED)
        if not found.complete and sweep.was_declined(current, pair, method):
            theme.note([texts.DECLINED])
            st.button(texts.COMPUTE, key="class-sweep", on_click=sweep.ask_again)


page.show(body)
