"""Insertion and deletion: does the network need the pixels that a map marks?"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import streamlit as st
from numpy.typing import NDArray

import saliency_core as sc
from pages.evaluate import browser, computing, controls
from pages.shared import theme, viewer_panel
from pages.shared.chosen import chosen
from pages.shared.method_lists import NAMED
from pages.shared.session import Scene, Session
from saliency_core.engine.perturbation import Perturbation
from saliency_core.engine.photo_evaluations import MapChoice, PerturbationRequest
from saliency_core.export.tables import Table
from saliency_core.metrics.perturbation_curve import BASELINES, PerturbationCurve

KEY = "perturbation"
POLL_SECONDS = 0.5
TITLE = "Insertion and deletion"
RANDOM = "Random order"
TITLES = {"blur": "Blur", "mean": "Mean colour", "black": "Black"}
"""Of the baselines, short enough for a row of buttons."""
REPLACED = {"blur": "a blur", "mean": "the mean colour", "black": "black"}
LEAD = (
    "Take the pixels away in the order of a map, the strongest first. If the network needs them, the "
    "probability of the class falls at once (deletion), and returns at once when they come back (insertion)."
)
BASELINE = (
    "The result depends on it: what takes the place of a pixel may leave something to see, or add edges that "
    "the network does not know and that change the probability by themselves."
)
NO_CLASSES = "This network has no classes, so there is no probability to follow while pixels go."
CONSTANT = (
    "The map of {title} has the same value everywhere: its pixels have no order, and the one used is random."
)
AREAS = "Area under each curve"
HEAD = ("Order of the pixels", "Deletion (lower is better)", "Insertion (higher is better)")
CURVES_HEAD = ("Order of the pixels", "Share of the pixels", "Deletion", "Insertion")


def draw(current: Session, scene: Scene) -> None:
    """Draw the part of the page."""
    if scene.model.features:
        theme.hint(NO_CLASSES)
        return
    theme.hint(LEAD)
    request = _request(current, scene)
    found = computing.answer(current, request, scene.image, title=f"{TITLE} · {scene.photo.name}")
    if found is None and not computing.running(current, request):
        return
    # The same place in the page, whether it is followed or not, so that the component stays mounted.
    st.fragment(_curves, run_every=None if found else POLL_SECONDS)(scene, request, found)
    if found is not None:
        _areas(scene, request, found)


# -- what is asked -------------------------------------------------------------------------------------------


def _request(current: Session, scene: Scene) -> PerturbationRequest:
    with st.container(key="evaluate-controls"):
        first, second, third, fourth = st.columns([1, 1, 1, 1.15], gap="small")
    names = tuple(name for name in NAMED if name not in viewer_panel.unavailable(scene))
    controls.choose_methods(current, scene, (first, second), names)
    layer = controls.choose_layer(current, scene, third, mixed=True)
    baseline = _baseline(current, fourth)
    weights = current.view["weights"]
    given = weights if isinstance(weights, tuple) and weights else (1.0,) * len(scene.layers)
    pairs = tuple(zip(scene.layers, map(float, given), strict=True)) if layer is None else ()
    maps = tuple(MapChoice(name, layer, pairs, str(current.view["how"])) for name in current.methods)
    remarks = [f"{BASELINES[baseline].title}: {BASELINES[baseline].summary} {BASELINE}"]
    if scene.request.variant is not None:
        remarks.append(controls.STEP)
    remarks += [CONSTANT.format(title=sc.METHODS[name].title) for name in _constant(current, scene, layer)]
    theme.hint(" ".join(remarks))
    return PerturbationRequest(controls.plain_request(scene), maps, baseline)


def _baseline(current: Session, column: st.delta_generator.DeltaGenerator) -> str:
    def choose() -> None:
        found = chosen("baseline", TITLES)
        if found is not None:
            current.see_view({"baseline": found})

    baseline = str(current.view["baseline"])
    st.session_state["baseline"] = baseline
    column.segmented_control(
        "Replace removed pixels by",
        tuple(TITLES),
        format_func=TITLES.__getitem__,
        required=True,
        key="baseline",
        on_change=choose,
        width="stretch",
    )
    return baseline


def _constant(current: Session, scene: Scene, layer: str | None) -> list[str]:
    """Those of the two methods whose map has no order."""
    found = scene.explanation
    return [
        name
        for name in dict.fromkeys(current.methods)
        if layer is not None and found.has(name, layer) and found.constant(name, layer)
    ]


# -- what is shown -------------------------------------------------------------------------------------------


def _titles(request: PerturbationRequest) -> tuple[str, ...]:
    return (*(sc.METHODS[each.method].title for each in request.maps), RANDOM)


def _captions(request: PerturbationRequest) -> tuple[str, ...]:
    def caption(choice: MapChoice) -> str:
        return choice.layer or f"{choice.how} of all layers"

    return (*(caption(each) for each in request.maps), "of all pixels, from a seed")


def _curves(scene: Scene, request: PerturbationRequest, found: Perturbation | None) -> None:
    """The pictures and the curves, as far as they are computed."""
    known = found or computing.partial_answer(request)
    if known is None:
        st.html(theme.MAPS_SKELETON)
        return
    height, width, _ = known.photo.shape
    signature = hashlib.sha256(repr(request).encode()).hexdigest()
    browser.component("perturbation")(
        key=KEY,
        data={
            "meta": {
                "key": KEY,
                "signature": signature,
                "orders": [
                    {"title": title, "caption": caption}
                    for title, caption in zip(_titles(request), _captions(request), strict=True)
                ],
                "label": scene.explanation.label,
                "replaced": REPLACED[request.baseline],
                "steps": request.steps,
                "height": height,
                "width": width,
            },
            "levels": pa.table({"v": known.levels.ravel()}),
            "photo": pa.table({"v": known.photo.ravel()}),
            "baseline": pa.table({"v": known.baseline.ravel()}),
        },
    )
    curves = [
        {"deletion": _numbers(each.deletion), "insertion": _numbers(each.insertion)} for each in known.curves
    ]
    browser.updates("curves")(key=f"{KEY}-curves", data={"key": KEY, "curves": curves})


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """The probabilities as JSON has them, None where they are not computed yet."""
    return [None if math.isnan(value) else round(float(value), 5) for value in values]


def _areas(scene: Scene, request: PerturbationRequest, found: Perturbation) -> None:
    """The area under each curve, which of the two maps has the better one, and all numbers as a file."""
    titles, curves = _titles(request), found.curves
    st.markdown(verdict(titles, curves))
    rows = [
        (title, each.deletion_area, each.insertion_area) for title, each in zip(titles, curves, strict=True)
    ]
    every = [
        (title, float(share), float(deleted), float(inserted))
        for title, each in zip(titles, curves, strict=True)
        for share, deleted, inserted in zip(each.fractions, each.deletion, each.insertion, strict=True)
    ]
    name = f"{TITLE}: {scene.photo.name}, {scene.explanation.label}"
    theme.table(
        Table(AREAS, "insertion-deletion", HEAD, rows),
        "{:.3f}".format,
        unfolded=True,
        download=Table(name, "insertion-deletion", CURVES_HEAD, every),
    )


def verdict(titles: Sequence[str], curves: Sequence[PerturbationCurve]) -> str:
    """Which of the first two orders is better, and whether each is better than the last, a random one."""
    deletion, insertion = (
        [getattr(each, f"{mode}_area") for each in curves] for mode in ("deletion", "insertion")
    )
    sentences = [
        _better(titles, [-area for area in deletion], "Deletion", deletion),
        _better(titles, insertion, "Insertion", insertion),
    ]
    failing: dict[str, list[str]] = {}
    for title, area_out, area_in in zip(titles[:-1], deletion, insertion, strict=False):
        failed = {"deletion": area_out >= deletion[-1], "insertion": area_in <= insertion[-1]}
        failing[title] = [name for name, fails in failed.items() if fails]
    subjects = {f"{title} is no better": found for title, found in failing.items()}
    if len(failing) > 1 and len({tuple(found) for found in failing.values()}) == 1:
        subjects = {"Neither map is better": failing[titles[0]]}
    sentences += [
        f"{subject} than a random order in {' and '.join(found)}."
        for subject, found in subjects.items()
        if found
    ]
    return " ".join(sentences)


def _better(titles: Sequence[str], scores: Sequence[float], what: str, areas: Sequence[float]) -> str:
    """Which of the first two has the higher score."""
    texts = [f"{area:.3f}" for area in areas[:2]]
    if titles[0] == titles[1] or texts[0] == texts[1]:
        return f"**{what}**: the same area for both maps, {texts[0]}."
    better = 0 if scores[0] > scores[1] else 1
    return f"**{what}** favours {titles[better]}: {texts[better]} against {texts[1 - better]}."
