"""Randomise the network from the top: does the map notice that the network is broken?"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import streamlit as st

import saliency_core as sc
from pages.evaluate import browser, charts, computing, controls
from pages.shared import charts as shared_charts
from pages.shared import theme, viewer_panel
from pages.shared.formats import rho
from pages.shared.method_lists import MODIFIED, NAMED
from pages.shared.session import Scene, Session
from saliency_core import render
from saliency_core.engine.photo_evaluations import RandomisationRequest
from saliency_core.export.tables import Table
from saliency_core.metrics.randomisation_result import RandomisationResult
from saliency_core.viewer.payload import box_on, lookup_tables

TITLE = "Randomise the network"
LEAD = (
    "The weights are drawn anew stage by stage, from the output down, always from the same seed. A map that "
    "explains the network must change with it."
)
POLL_SECONDS = 0.5
ALIKE = 0.5
"""From this correlation on, a map counts as still like that of the trained network."""
CUTTING = ("guided_backprop", "deconvnet")
"""The methods known to change little, whose backward rule cuts negative values off."""
LIKENESS = ("Spearman’s ρ with the trained network’s map", "SSIM with the trained network’s map")
UNDEFINED = "undefined"

Lines = Mapping[str, Sequence[float | None]]
"""Method's name -> its figure after each stage, from the output down."""


def draw(current: Session, scene: Scene) -> None:
    """Draw the part of the page."""
    theme.hint(LEAD if scene.request.variant is None else f"{LEAD} {controls.STEP}")
    first, second, third = st.columns(3, gap="small")
    reasons = viewer_panel.unavailable(scene)
    names = tuple(name for name in (*NAMED, *MODIFIED) if name not in reasons)
    controls.choose_methods(current, scene, (first, second), names)
    layer = controls.choose_layer(current, scene, third) or scene.layers[-1]
    # One layer alone: at all of them, comparing the maps takes longer than the network does.
    request = RandomisationRequest(replace(controls.plain_request(scene), methods=names, layers=(layer,)))
    found = computing.answer(current, request, scene.image, title=f"{TITLE} · {scene.photo.name}")
    if found is None and not computing.running(current, request):
        return
    shown = tuple(name if name in names else names[0] for name in current.methods)
    # The same place in the page, whether it is followed or not, so that the component stays mounted.
    st.fragment(_follow, run_every=None if found else POLL_SECONDS)(
        current, scene, request, found, shown, layer
    )
    if found is not None:
        _figures(found, names, shown, layer)


# -- the maps ------------------------------------------------------------------------------------------------


def _follow(
    current: Session,
    scene: Scene,
    request: RandomisationRequest,
    found: RandomisationResult | None,
    methods: Sequence[str],
    layer: str,
) -> None:
    """The maps after all stages, or after those that are known so far."""
    known = found or computing.partial_answer(request)
    if known is None:
        st.html(theme.MAPS_SKELETON)
    else:
        _maps(current, scene, known, methods, layer, complete=found is not None)


def _maps(
    current: Session,
    scene: Scene,
    found: RandomisationResult,
    methods: Sequence[str],
    layer: str,
    *,
    complete: bool,
) -> None:
    """The maps of both methods, trained and randomised, with the slider down the stages."""
    explanations = (found.trained, *found.explanations)
    planes: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    offset = 0
    described = []
    for name in methods:
        places: list[dict[str, int] | None] = []
        for each in explanations:
            if not each.has(name, layer):
                places.append(None)
                continue
            values = each.map(name, layer)
            height, width = values.shape
            places.append({"offset": offset, "height": height, "width": width})
            planes.append(values.ravel())
            offset += values.size
        method = sc.METHODS[name]
        described.append(
            {
                "title": method.title,
                "caption": layer,
                "signed": method.signed,
                "bright": method.bright,
                "dark": method.dark,
                "maps": places,
                "correlations": list(found.correlations.get((name, layer), ())),
                "similarities": list(found.similarities.get((name, layer), ())),
            }
        )
    view, photo = current.view, scene.photo
    looks = {name: view[name] for name in ("colormap", "fade", "opacity")}
    maps = np.concatenate(planes)
    digest = hashlib.sha256(maps.tobytes())
    digest.update(repr((photo.digest, layer, tuple(methods), looks, complete)).encode())
    browser.component("randomise")(
        key="randomise",
        data={
            "meta": {
                "signature": digest.hexdigest(),
                "photo": {"name": photo.name, "width": photo.width, "height": photo.height},
                "box": box_on(photo, found.trained.box),
                "stages": [stage.name for stage in found.stages],
                "complete": complete,
                "methods": described,
                "colormaps": [{"name": each.name, "kind": each.kind} for each in render.COLORMAPS.values()],
                **looks,
            },
            "maps": pa.table({"v": maps}),
            "luts": pa.table({"rgb": lookup_tables()}),
            "photo": pa.table({"b": pa.array([photo.jpeg], pa.binary())}),
        },
    )


# -- the figures ---------------------------------------------------------------------------------------------


def _figures(found: RandomisationResult, names: Sequence[str], shown: Sequence[str], layer: str) -> None:
    """Rank correlation and SSIM of every method, what they mean, and all of them as a file."""
    stages = [stage.name for stage in found.stages]
    every = (found.correlations, found.similarities)
    correlations, similarities = (
        {name: each[name, layer] for name in names if (name, layer) in each} for each in every
    )
    marked = [sc.METHODS[name].title for name in dict.fromkeys((*shown, *CUTTING)) if name in correlations][
        :4
    ]
    st.html(charts.key_to_lines(marked))
    for column, title, lines in zip(
        st.columns(2, gap="medium"), LIKENESS, (correlations, similarities), strict=True
    ):
        titled = {sc.METHODS[name].title: line for name, line in lines.items()}
        figure = charts.fall(stages, titled, marked)
        column.markdown(f"**{title}**")
        column.plotly_chart(figure, key=f"fall-{title.split()[0]}", config=shared_charts.CONFIG)
    st.markdown("\n".join(f"- {each}" for each in remarks(correlations, layer, stages)))
    table = Table(
        f"Spearman’s ρ at {layer}, after each stage",
        "randomised",
        ("Method", *stages),
        [(sc.METHODS[name].title, *line) for name, line in correlations.items()],
    )
    rows = [
        (sc.METHODS[name].title, place, stage, correlation, alike)
        for (name, place), line in found.correlations.items()
        for stage, correlation, alike in zip(stages, line, found.similarities[name, place], strict=True)
    ]
    head = ("Method", "Layer", "Drawn anew down to", "Spearman's rho", "SSIM")
    theme.table(table, rho, missing=UNDEFINED, download=Table("Every layer", "randomised", head, rows))


def remarks(correlations: Lines, layer: str, stages: Sequence[str]) -> list[str]:
    """What the correlations say, one sentence for each fact, all taken from the numbers."""
    last = {sc.METHODS[name].title: line[-1] for name, line in correlations.items()}
    known = {title: value for title, value in last.items() if value is not None}
    kept = sorted((title for title, value in known.items() if value >= ALIKE), key=lambda each: -known[each])
    found = []
    if kept:
        listed = ", ".join(f"{title} ({rho(known[title])})" for title in kept)
        some = f"{len(kept)} of {len(known)} methods still give a map like the trained network’s, ρ ≥ {ALIKE}"
        found.append(
            f"**With all weights drawn anew, {some}**: {listed}. What stays the same whatever the weights "
            "are cannot come from what the network has learnt: it comes from the photo and the method."
        )
    elif known:
        closest = max(known, key=lambda each: known[each])
        found.append(
            f"**With all weights drawn anew, no map at {layer} is like the trained network’s**: the largest "
            f"ρ is that of {closest}, {rho(known[closest])}."
        )
    found += _modified(correlations, known)
    if layer in stages:
        found.append(
            f"The activation at {layer} is the trained network’s until the weights of {layer} itself are "
            "drawn anew: above it, only the gradient changes."
        )
    found.append(
        "A map that changes has passed this test and no other: it may still point at the wrong place."
    )
    return found


def _modified(correlations: Lines, last: Mapping[str, float]) -> list[str]:
    """How Guided backprop and Deconvnet compare with the others."""
    titles = [sc.METHODS[name].title for name in CUTTING if name in correlations]
    ours = {title: last[title] for title in titles if title in last}
    others = [value for title, value in last.items() if title not in ours]
    if not ours or not others:
        return []
    middle = float(np.median(others))
    listed = ", ".join(f"{title} {rho(value)}" for title, value in ours.items())
    text = (
        f"**ρ of {listed}**, with all weights drawn anew; the median of the other methods is {rho(middle)}."
    )
    if all(value >= ALIKE for value in ours.values()) and middle < ALIKE:
        text += (
            " They cut negative values off on the way back, whatever the weights are: what they draw is the "
            "photo rather than what the network has learnt."
        )
    return [text]
