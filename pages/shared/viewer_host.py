"""Streamlit as a host of the viewer: Arrow tables to the browser, the view and its triggers back.

The maps travel in one component, with what changes rarely. What changes often (methods being computed,
correlations) travels in a second, invisible one: the maps need not travel again.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, TypeGuard

import pyarrow as pa
import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

import saliency_core as sc
from pages.shared import component_state
from saliency_core.engine.cache import SharedCache
from saliency_core.viewer import payload as payloads
from saliency_core.viewer import schema
from saliency_core.viewer.bundle import bundle
from saliency_core.viewer.correlations import Correlations, written
from saliency_core.viewer.payload import ClassComparison, Content, DisplayPhoto, Network

MAX_CONTENTS = 8
"""The number of contents kept, so that a rerun builds nothing."""


@dataclass(frozen=True)
class Asked:
    """What is chosen in the mode "classes", also while its maps are being computed.

    Two classes, by their indices, and the size of the meta step (None: switched off) with its direction.
    """

    classes: tuple[int, int]
    step: float | None
    ascend: bool


@dataclass(frozen=True)
class StepRequest:
    """The meta step that was chosen; `size` is None where it was switched off."""

    size: float | None
    ascend: bool


ClassRequest = tuple[int, int] | StepRequest
"""What the mode "classes" asks of its page: two classes, or a meta step."""


@dataclass(frozen=True)
class OpenRequest:
    """A request to show a method (at a layer, if that exists) on the page Compare."""

    method: str
    layer: str | None


@dataclass(frozen=True)
class Report:
    """What the browser reported: the fields of its view, None before the first report, and a request."""

    view: Mapping[str, schema.Value] | None
    open: OpenRequest | None


def viewer(
    *,
    mode: str,
    explanation: sc.Explanation,
    photo: DisplayPhoto,
    model: Network,
    view: schema.View,
    revision: int,
    key: str,
    on_view: Callable[[Mapping[str, schema.Value]], None] | None = None,
    on_compute: Callable[[], None] | None = None,
    pending: Mapping[str, str] = MappingProxyType({}),
    unavailable: Mapping[str, str] = MappingProxyType({}),
    state: str = "",
    comparison: ClassComparison | None = None,
    asked: Asked | None = None,
    on_request: Callable[[ClassRequest], None] | None = None,
    correlations: Callable[[], Correlations] | None = None,
) -> Report:
    """Show an explanation on its photo; the browser does everything else by itself.

    Args:
        mode: one of `payload.MODES`.
        explanation: its maps are sent once; of the framework's cells only those that the mode shows.
        photo: what the maps lie on.
        model: for its title, its published layer weights and its layers, of which any can be added.
        view: what is shown at first, by the fields of `schema.VIEW`.
        revision: raise it to make the browser take over `view`; else the browser keeps its own, and a
            `view` that differs from the revision's first one is not sent.
        key: the component's identity; the same on every rerun.
        on_view: called with the fields reported, before the rerun in which they are new: a run that the next
            click cuts short must not lose them.
        on_compute: called when the maps that are missing are asked for, also before the rerun.
        pending: method -> what is happening, for methods without maps: shown instead of the map. It may
            change as often as it likes, the maps do not travel again.
        unavailable: method -> why it does not exist for this network, one sentence.
        state: a remark on the network at the end of every caption, or "".
        comparison: the second class; needed in the mode "classes".
        asked: what is chosen in that mode; like `pending`, it travels apart from the maps.
        on_request: called with what that mode asks for.
        correlations: gives the figures of the mode "classes", called when the maps are on their way; like
            `pending`, they travel apart from the maps.
    """
    layers = tuple(layer.name for layer in explanation.layers)
    sent_view = _view_of(key, revision, view)
    tables = _tables_of(
        photo, explanation, model, payloads.needed_methods(mode, explanation, view), comparison
    )
    sent = payloads.payload(
        tables.content,
        mode=mode,
        view=sent_view,
        network=model,
        revision=revision,
        unavailable=unavailable,
        state=state,
        key=key,
    )
    data = {"meta": dict(sent.meta), "maps": tables.maps, "luts": _lookup_tables(), "photo": tables.photo}

    def reported(raw: object) -> Mapping[str, schema.Value] | None:
        """The fields of a report on this revision; an older one is from before the last change made here."""
        if not isinstance(raw, Mapping) or raw.get("rev") != revision:
            return None
        return schema.from_browser(raw, layers)

    def note() -> None:
        found = reported(_state(key).get("view"))
        if found is not None and on_view is not None:
            on_view(found)

    def requested() -> None:
        found = class_request(_state(key).get("request"), len(explanation.probabilities))
        if found is not None and on_request is not None:
            on_request(found)

    result = _component()(
        key=key,
        data=data,
        on_view_change=note,
        on_open_change=_no_callback,
        on_compute_change=on_compute or _no_callback,
        on_request_change=requested,
    )
    update: dict[str, Any] = {"key": key, "pending": dict(pending), "correlations": None}
    update["asked"] = None if asked is None else asdict(asked)
    if correlations is not None:
        update["correlations"] = {"maps": sent.meta["keys"]["maps"], **written(correlations())}
    _updates()(key=f"{key}-updates", data=update)
    return Report(reported(result.get("view")), open_request(result.get("open"), layers))


def _state(key: str) -> Mapping[str, Any]:
    found = st.session_state.get(key)
    return found if isinstance(found, Mapping) else {}


def open_request(raw: object, layers: Sequence[str]) -> OpenRequest | None:
    """What the trigger asks for, read without trust; None if it asks for nothing that exists."""
    if not isinstance(raw, Mapping):
        return None
    found = schema.from_browser({"left": raw.get("method"), "layer": raw.get("layer")}, layers)
    method, layer = found.get("left"), found.get("layer")
    if not isinstance(method, str):
        return None
    return OpenRequest(method, layer if isinstance(layer, str) and layer in layers else None)


def class_request(raw: object, classes: int) -> ClassRequest | None:
    """What the mode "classes" asks for, read without trust; None if that does not exist."""
    if not isinstance(raw, Mapping):
        return None
    pair = raw.get("classes")
    if isinstance(pair, list | tuple) and len(pair) == 2:
        both = [int(index) for index in pair if _is_number(index) and 0 <= index < classes]
        return (both[0], both[1]) if len(both) == 2 else None
    size, ascend = raw.get("step"), raw.get("ascend")
    if "step" not in raw or not isinstance(ascend, bool):
        return None
    if size is None:
        return StepRequest(None, ascend)
    known = schema.from_browser({"epsilon": size}, ()).get("epsilon")
    return StepRequest(known, ascend) if isinstance(known, float) else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_callback() -> None:
    """Streamlit gives out a trigger or a state only if there is a callback for it."""


def _view_of(key: str, revision: int, view: schema.View) -> schema.View:
    """The first view given with a revision: later reports must not make the maps travel again."""
    slot = f"{key} sent"
    if st.session_state.get(slot, (None, None))[0] != revision:
        st.session_state[slot] = (revision, dict(view))
    sent: schema.View = st.session_state[slot][1]
    return sent


# -- what travels --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tables:
    """A content as Streamlit carries it, and the explanations that must live as long."""

    content: Content
    maps: pa.Table
    photo: pa.Table
    explanations: tuple[sc.Explanation, ...]


_contents: SharedCache[tuple[object, ...], _Tables] = SharedCache(MAX_CONTENTS, lambda _: 1)


def _tables_of(
    photo: DisplayPhoto,
    explanation: sc.Explanation,
    model: Network,
    methods: tuple[str, ...],
    comparison: ClassComparison | None,
) -> _Tables:
    key, explanations = payloads.identity(photo, explanation, model, methods, comparison)

    def build() -> _Tables:
        content = payloads.content(
            photo,
            explanation,
            model,
            methods,
            comparison,
            stages=model.default_layers,
            features=model.features,
        )
        return _Tables(
            content,
            pa.table({"v": content.maps}),
            pa.table({"b": pa.array([content.photo], pa.binary())}),
            explanations,
        )

    return _contents.get(key, build)


@functools.cache
def _lookup_tables() -> pa.Table:
    return pa.table({"rgb": payloads.lookup_tables()})


@functools.cache
def _component() -> ComponentRenderer:
    component_state.guard()
    parts = bundle("hosts/streamlit.js")
    return st.components.v2.component(
        "normgrad_viewer",
        html='<div class="viewer" data-testid="normgrad-viewer"></div>',
        css=parts.style,
        js=parts.script,
    )


@functools.cache
def _updates() -> ComponentRenderer:
    return st.components.v2.component(
        "normgrad_updates", html="", js=bundle("hosts/streamlit-updates.js").script
    )
