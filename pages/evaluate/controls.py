"""What two parts of the page choose: the two methods and the layer that the viewer shows too."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import saliency_core as sc
from pages.shared import viewer_panel
from pages.shared.chosen import chosen
from pages.shared.session import METHOD_FIELDS, Scene, Session
from saliency_core.engine.request import ExplainRequest
from saliency_core.viewer.formats import percent

MIXED = ""
"""In place of a layer's name."""
MIXED_TITLE = "All layers, mixed"
SIDE_TITLES = ("First map", "Second map")
STEP = "The meta step is left out here: this part asks the network as it is."


def plain_request(scene: Scene) -> ExplainRequest:
    """The scene's request for the network as it is, without a meta step."""
    return replace(scene.request, variant=None)


def choose_methods(
    current: Session, scene: Scene, columns: Sequence[DeltaGenerator], names: Sequence[str]
) -> None:
    """A list of `names` for each of the two methods compared."""
    viewer_panel.replace_unavailable(current, viewer_panel.unavailable(scene))
    for side, title, method, column in zip(METHOD_FIELDS, SIDE_TITLES, current.methods, columns, strict=True):
        key = f"evaluate-{side}"

        def choose(side: str = side, key: str = key) -> None:
            found = chosen(key, names)
            if found is not None:
                current.see_view({side: found})

        options = names if method in names else (method, *names)
        st.session_state[key] = method
        column.selectbox(
            title, options, format_func=lambda name: sc.METHODS[name].title, key=key, on_change=choose
        )


def choose_layer(
    current: Session, scene: Scene, column: DeltaGenerator, *, mixed: bool = False
) -> str | None:
    """A list of the scene's layers, with `mixed` all of them first; the one shown, or None for all."""
    layers = scene.explanation.layers
    sizes = {layer.name: f"{layer.name} · {layer.height} × {layer.width}" for layer in layers}
    titles = {MIXED: MIXED_TITLE, **sizes} if mixed else sizes

    def choose() -> None:
        found = chosen("evaluate-layer", titles)
        if found == MIXED:
            current.see_view({"mixed": True})
        elif found is not None:
            current.see_view({"mixed": False, "layer": found} if mixed else {"layer": found})

    layer = viewer_panel.layer_shown(current, tuple(sizes))
    shown = MIXED if mixed and current.view["mixed"] else layer
    st.session_state["evaluate-layer"] = shown
    column.selectbox(
        "Layer", tuple(titles), format_func=titles.__getitem__, key="evaluate-layer", on_change=choose
    )
    return None if shown == MIXED else layer


def class_text(scene: Scene) -> str:
    """The class explained, with its probability."""
    explanation = scene.explanation
    return f"{explanation.label} {percent(explanation.probability or 0.0)}"
