"""The page on class sensitivity: two classes, their maps, how alike they are, what a step changes."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import streamlit as st

import saliency_core as sc
from pages.classes import charts, photo_set, sweep, texts
from pages.classes.pair import Explanations, Line, Pair
from pages.classes.sweep import Sweep
from pages.shared import charts as shared_charts
from pages.shared import method_lists, page, sidebar, theme, viewer_panel
from pages.shared.address import UNLEARN
from pages.shared.chosen import chosen as chosen_in
from pages.shared.engine import class_labels
from pages.shared.figure import Figure
from pages.shared.formats import epsilon, percent, rho
from pages.shared.method_lists import CELLS, MODIFIED, NAMED
from pages.shared.session import Scene, Session
from pages.shared.viewer_host import Correlations
from saliency_core.viewer.payload import ClassComparison


def body(current: Session, scene: Scene) -> None:
    """Draw the page."""
    reasons = _unavailable(scene)
    viewer_panel.replace_unavailable(current, reasons)
    pair = _pair(current, scene)
    _pickers(current, pair)
    both = _explanations(current, pair)
    if both is None:
        st.container(key="class-waiting").html(theme.MAPS_SKELETON)
        return
    pair, explanations = both
    found = sweep.asked(current, pair, current.methods[0])
    _maps(current, pair, explanations, found, reasons)
    _grids(current, pair)
    _meta(current, pair, found)
    photo_set.draw(current, pair)


def _unavailable(scene: Scene) -> dict[str, str]:
    """Method -> why there is no such map of layers."""
    return {
        **viewer_panel.unavailable_at(scene),
        **dict.fromkeys(method_lists.AT_THE_INPUT, texts.AT_THE_INPUT),
    }


def _explanations(current: Session, pair: Pair) -> tuple[Pair, Explanations] | None:
    """The pair with its explanations or, until they are there, the previous pair with its own."""
    found = pair.ask(current)
    if found is not None:
        current.last_drawn["classes"] = (pair, found)
    drawn: tuple[Pair, Explanations] | None = current.last_drawn.get("classes")
    return drawn


# -- the two classes -----------------------------------------------------------------------------------------


def _pair(current: Session, scene: Scene) -> Pair:
    """The classes chosen: by default the one explained and the least likely one."""
    order = scene.explanation.probabilities.argsort()
    first, second = scene.explanation.target, current.choice.other
    if second is None or second == first:
        second = int(order[0]) if int(order[0]) != first else int(order[-1])
    return Pair(scene, first, second)


def _preset_pairs(scene: Scene, labels: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Title -> classes."""
    order = [int(index) for index in scene.explanation.probabilities.argsort()[::-1]]
    pairs = {"Most and least likely": (order[0], order[-1]), "First and second": (order[0], order[1])}
    objects = [each.index for each in scene.photo.objects if each.index < len(labels)]
    return pairs | {f"{labels[a]} and {labels[b]}": (a, b) for a, b in combinations(objects, 2)}


def _pickers(current: Session, pair: Pair) -> None:
    labels = class_labels(pair.scene.model.name)
    presets = _preset_pairs(pair.scene, labels)
    chosen = (pair.first, pair.second)

    def choose_preset() -> None:
        title = st.session_state.get("class-pairs")
        if title in presets:
            current.choose_classes(*presets[title])

    def choose(position: int) -> None:
        index = chosen_in(f"class-{'ab'[position]}", range(len(labels)))
        if index is None:
            return
        if index == chosen[1 - position]:
            current.choose_classes(chosen[1], chosen[0])
        else:
            current.choose_classes(*((index, chosen[1]) if position == 0 else (chosen[0], index)))

    probabilities = pair.scene.explanation.probabilities

    def titled(index: int) -> str:
        return f"{labels[index]} · {percent(float(probabilities[index]))}"

    with st.container(key="class-pickers"):
        st.session_state["class-pairs"] = next(
            (name for name, both in presets.items() if both == chosen), None
        )
        st.pills(
            "Pairs", tuple(presets), key="class-pairs", on_change=choose_preset, label_visibility="collapsed"
        )
        for position, column in enumerate(st.columns(2, gap="small")):
            key = f"class-{'ab'[position]}"
            st.session_state[key] = chosen[position]
            column.selectbox(
                f"Class {'AB'[position]}",
                range(len(labels)),
                format_func=titled,
                key=key,
                on_change=choose,
                args=(position,),
            )


# -- the maps ------------------------------------------------------------------------------------------------


def _maps(current: Session, pair: Pair, both: Explanations, found: Sweep, reasons: Mapping[str, str]) -> None:
    method, choice = current.methods[0], current.choice
    first, second = both
    pending: dict[str, str] = {}
    if method not in first.methods:
        extra = pair.ask(current, method)
        if extra is None:
            pending[method] = f"Computing: {sc.METHODS[method].cost_text}"
        else:
            first, second = first.joined(extra[0]), second.joined(extra[1])
    pair.lines(current, None, (method,))

    def correlations() -> Correlations:
        lines = {name: pair.known_line(None, name) for name in (method, *NAMED)}
        return Correlations({name: line for name, line in lines.items() if line is not None}, found.lines)

    def choose_size(size: float) -> None:
        if current.choice.step is not None:
            current.choose_step(size, current.choice.direction, from_browser=True)

    viewer_panel.draw(
        current,
        pair.scene,
        "classes",
        first,
        pending=pending,
        unavailable=reasons,
        epsilon=choice.step or 0.0,
        on_epsilon=choose_size,
        comparison=ClassComparison(second, method, found.points, choice.direction == UNLEARN, found.complete),
        correlations=correlations,
    )


# -- every method at every layer -----------------------------------------------------------------------------


def _heading(text: str) -> None:
    st.header(text, anchor=False)


def _view_switch(current: Session, field: str, title: str, reason: str | None = None) -> bool:
    """A switch whose state is a field of the view; with a reason it cannot be used."""
    key = f"class-{field}"

    def switched() -> None:
        current.see_view({field: st.session_state[key]})

    st.session_state[key] = bool(current.view[field])
    return st.toggle(title, key=key, on_change=switched, disabled=reason is not None, help=reason)


def _grids(current: Session, pair: Pair) -> None:
    variant, layers, method = current.choice.variant, pair.scene.layers, current.methods[0]
    missing = pair.scene.model.unavailable
    modified = [name for name in MODIFIED if name not in missing]
    _heading("Every method at every layer")
    st.markdown(texts.GRID)
    with st.container(key="class-more", horizontal=True):
        cells = _view_switch(current, "cells", texts.CELLS_SWITCH)
        reason = None if modified else missing[MODIFIED[0]]
        rules = _view_switch(current, "modified", texts.MODIFIED_SWITCH, reason)
    methods = (*NAMED, *(modified if rules else ()), *(CELLS if cells else ()))
    if method not in methods:
        methods = (method, *methods)
    before = _full(pair.lines(current, None, methods), layers)
    here = (method, viewer_panel.layer_shown(current, layers))
    remarks, change_remarks = photo_set.remarks(current, pair)
    if variant is None:
        _grid(current, "class-grid", before, layers, here, remarks)
        _table(before, layers, texts.MAP_TABLE)
    else:
        after = _full(pair.lines(current, variant, methods), layers)
        changes = {name: tuple(map(_change, before[name], after[name])) for name in methods}
        left, right = st.columns(2, gap="medium")
        with left:
            st.markdown(f"**ρ after the step, ε = {epsilon(variant.lr)}**")
            _grid(current, "class-grid", after, layers, here, remarks)
            _table(after, layers, texts.MAP_TABLE)
        with right:
            st.markdown("**Change: after − before**")
            _grid(current, "class-change", changes, layers, here, change_remarks, change=True)
            _table(before, layers, texts.BEFORE_TABLE)
    st.markdown(texts.WITHOUT_STEP)


def _full(lines: Mapping[str, Line | None], layers: Sequence[str]) -> dict[str, Line]:
    """The lines, with gaps where they are still being computed."""
    return {name: line or (charts.PENDING,) * len(layers) for name, line in lines.items()}


def _change(before: Figure, after: Figure) -> Figure:
    if charts.PENDING in (before, after):
        return charts.PENDING
    if before.value is None or after.value is None:
        when = "before" if before.value is None else "after"
        return Figure(None, f"Undefined {when} the step. {before.reason or after.reason}")
    return Figure(after.value - before.value)


def _grid(
    current: Session,
    key: str,
    rows: Mapping[str, Line],
    layers: Sequence[str],
    here: tuple[str, str],
    remarks: photo_set.Remarks,
    *,
    change: bool = False,
) -> None:
    def picked() -> None:
        points = st.session_state[key].selection.points
        if points:
            method, layer = points[0]["customdata"]
            if method in rows and layer in layers:
                current.show_methods(method, current.methods[1], layer)

    figure = charts.grid(rows, layers, here, remarks, change=change)
    st.plotly_chart(figure, key=key, config=shared_charts.CONFIG, on_select=picked, selection_mode="points")


def _table(rows: Mapping[str, Line], layers: Sequence[str], title: str) -> None:
    lines = [[sc.METHODS[method].title, *(_cell(each) for each in line)] for method, line in rows.items()]
    reasons = [
        f"{sc.METHODS[method].title}, {layer}: {each.reason}"
        for method, line in rows.items()
        for layer, each in zip(layers, line, strict=True)
        if each.value is None and each is not charts.PENDING
    ]
    theme.table(title, ["Method", *layers], lines, reasons)


def _cell(figure: Figure) -> str:
    if figure is charts.PENDING:
        return charts.PENDING_TEXT
    return texts.UNDEFINED if figure.value is None else rho(figure.value)


# -- meta-saliency -------------------------------------------------------------------------------------------


def _meta(current: Session, pair: Pair, found: Sweep) -> None:
    _heading("Meta-saliency")
    words, chart = st.columns([1, 1.45], gap="medium")
    with words:
        st.markdown(texts.META)
        sidebar.step_switch(current, "class-meta")
    step = current.choice.step
    if step is None:
        return
    layers, method = pair.scene.layers, current.methods[0]
    layer = viewer_panel.layer_shown(current, layers)
    values = [line[layers.index(layer)] for line in found.lines]
    with chart:
        st.markdown(f"**ρ against ε: {sc.METHODS[method].title} at {layer}**")
        figure = charts.curve(found.sizes, values, step)
        st.plotly_chart(figure, key="class-curve", config=shared_charts.CONFIG)
        rows = [[epsilon(size), _cell(each)] for size, each in zip(found.sizes, values, strict=True)]
        theme.table(texts.CURVE_TABLE, ["ε", "ρ"], rows)
        if not found.complete and sweep.was_declined(current, pair, method):
            theme.note([texts.DECLINED])
            st.button(texts.COMPUTE, key="class-sweep", on_click=sweep.ask_again)


page.show(body)
