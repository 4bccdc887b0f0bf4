"""What is evaluated on a photo set: metrics, methods, mixes and how many photos."""

from dataclasses import dataclass, replace

import streamlit as st

import saliency_core as sc
from pages.evaluate.sets import OpenSet
from pages.shared import method_lists, theme
from pages.shared.session import Scene
from saliency_core.evaluation.measures import MEASURES
from saliency_core.evaluation.plan import EvaluationPlan, mixes_of
from saliency_core.evaluation.workload import has_objects
from saliency_core.models.layers import INPUT

FEW = (20, 100, 500, 2000)
DEFAULT_PHOTOS = 100
DEAR = 4
"""Methods for which insertion and deletion are measured at most: every map takes a pass for each step."""
_OPTIONS = "photo set options"


@dataclass(frozen=True)
class Options:
    """What was chosen; None: not touched yet."""

    metrics: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    mixed: bool = True
    photos: int | None = None
    baseline: str = "blur"


def _saved() -> Options:
    found = st.session_state.get(_OPTIONS)
    return found if isinstance(found, Options) else Options()


def _save(**changes: object) -> None:
    st.session_state[_OPTIONS] = replace(_saved(), **changes)  # type: ignore[arg-type]


def choose(scene: Scene, opened: OpenSet) -> EvaluationPlan | None:
    """The controls, and the plan that they make; None where nothing can be measured as chosen."""
    model, photo_set = scene.model, opened.photo_set
    boxes = has_objects(photo_set, model.labels)
    offered = tuple(name for name, each in MEASURES.items() if boxes or not each.needs_boxes)
    available = _available(scene)
    saved = _saved()
    default = ("pointing", "energy") if boxes else ("grid2",)
    named = tuple(name for name in method_lists.NAMED if name in available)
    metrics = _metrics(offered, _still(saved.metrics, offered, default))
    methods = _methods(available, _still(saved.methods, available, named))
    limit, mixed = _extent(len(photo_set.records), saved, mixes=len(scene.layers) > 1)
    if not metrics or not methods:
        theme.hint("Choose at least one metric and one method.")
        return None
    perturbs = any(MEASURES[name].perturbs for name in metrics)
    if perturbs and len(methods) > DEAR:
        theme.note(
            [
                "Insertion and deletion run the network on many changed copies of every photo for every map. "
                f"Choose at most {DEAR} methods to measure them."
            ]
        )
        return None
    layers = tuple(name for name in scene.layers if name != INPUT)
    return EvaluationPlan(
        model=model.name,
        methods=methods,
        layers=layers,
        mixes=tuple(mixes_of(model.presets, layers)) if mixed else (),
        metrics=metrics,
        fit=scene.request.fit,
        baseline=saved.baseline,
        limit=limit,
    )


def _still(
    saved: tuple[str, ...] | None, offered: tuple[str, ...], default: tuple[str, ...]
) -> tuple[str, ...]:
    """What of the choice is offered here, else the default; an empty choice stays empty."""
    if saved == ():
        return ()
    return tuple(name for name in saved or () if name in offered) or default


def _available(scene: Scene) -> tuple[str, ...]:
    """The methods that can be measured here: many passes for each of many photos would take hours."""
    names = (*method_lists.NAMED, *method_lists.MODIFIED, *method_lists.CELLS)
    return tuple(name for name in names if name not in scene.model.unavailable)


def _metrics(offered: tuple[str, ...], chosen: tuple[str, ...]) -> tuple[str, ...]:
    def take() -> None:
        found = st.session_state.get("set-metrics") or ()
        _save(metrics=tuple(name for name in offered if name in found))

    st.session_state["set-metrics"] = list(chosen)
    st.pills(
        "Metrics",
        offered,
        selection_mode="multi",
        format_func=lambda name: MEASURES[name].title,
        key="set-metrics",
        on_change=take,
    )
    return chosen


def _methods(available: tuple[str, ...], chosen: tuple[str, ...]) -> tuple[str, ...]:
    def take() -> None:
        found = st.session_state.get("set-methods") or ()
        _save(methods=tuple(name for name in available if name in found))

    st.session_state["set-methods"] = list(chosen)
    st.multiselect(
        "Methods",
        available,
        format_func=lambda name: sc.METHODS[name].title,
        key="set-methods",
        on_change=take,
        placeholder="Choose methods",
    )
    return chosen


def _extent(count: int, saved: Options, *, mixes: bool) -> tuple[int | None, bool]:
    """How many photos (None: all), and whether the layers are also mixed."""
    sizes = tuple(size for size in FEW if size < count)
    choices = (*sizes, count)
    photos = (
        saved.photos if saved.photos in choices else min(choices, key=lambda each: abs(each - DEFAULT_PHOTOS))
    )

    def take_photos() -> None:
        found = st.session_state.get("set-photos")
        if found in choices:
            _save(photos=found)

    def take_mixed() -> None:
        _save(mixed=bool(st.session_state.get("set-mixed")))

    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if sizes:
            st.session_state["set-photos"] = photos
            st.segmented_control(
                "Photos",
                choices,
                format_func=lambda each: f"All {each:,}" if each == count else f"First {each:,}",
                required=True,
                key="set-photos",
                on_change=take_photos,
            )
        if mixes:
            st.session_state["set-mixed"] = saved.mixed
            st.toggle("Also mix the layers", key="set-mixed", on_change=take_mixed)
    return (photos if photos < count else None), mixes and saved.mixed
