"""Python's side of the viewer: what is sent to the browser, and the component that shows it."""

import functools
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

import saliency_core as sc
from pages.shared import catalogue
from pages.shared.figures import Figure
from saliency_core.backprop.variants import LEARNING_RATE
from saliency_core.models.layers import INPUT

SOURCES = Path(__file__).resolve().parents[2] / "assets" / "viewer"
ENTRY = "main.js"
STATUS_ENTRY = "status.js"
MODES = ("compare", "mix", "framework", "classes")
DEFAULT_METHODS = ("normgrad", "grad_cam")
DEFAULT_OPACITY = 0.6
DEFAULT_DEPTH = 0.6
"""First layer shown, as a share of the depth: late enough to mean objects, too early for Grad-CAM."""
KEPT_CONTENTS = 8

_IMPORT = re.compile(r'^import\s+\{(?P<names>[^}]*)\}\s+from\s+"\./(?P<module>[\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default\b)", re.MULTILINE)
_DECLARATION = re.compile(
    r"^(?:export )?(?:default )?(?:async )?(?:function\*?|class|const|let|var) +(\w+)", re.MULTILINE
)


@dataclass(frozen=True)
class DisplayPhoto:
    """The photo as the browser shows it.

    `digest` identifies the photo's content, `width` and `height` are the JPEG's, `original_size` is the
    (width, height) of the photo itself, in whose pixels box and cursor are given.
    """

    digest: str
    jpeg: bytes
    width: int
    height: int
    original_size: tuple[int, int]
    name: str


@dataclass(frozen=True)
class Rung:
    """Both classes' explanations after a meta step of one size, each after the step for its own class."""

    size: float
    first: sc.Explanation
    second: sc.Explanation


@dataclass(frozen=True)
class Contrast:
    """What the mode "classes" shows beside the explanation of the first class.

    `rungs` are the meta steps to slide over, in rising size, none for the network as it is; of them only the
    maps of `method` travel. `complete`: no more are coming.
    """

    other: sc.Explanation
    method: str
    rungs: tuple[Rung, ...] = ()
    ascend: bool = False
    complete: bool = True


@dataclass(frozen=True)
class Figures:
    """Rank correlations layer by layer: of methods without a step, and after each rung of the ladder."""

    plain: Mapping[str, Sequence[Figure]]
    ladder: Sequence[Sequence[Figure]] = ()


def viewer(
    *,
    mode: str,
    explanation: sc.Explanation,
    photo: DisplayPhoto,
    model: sc.ModelSpec,
    view: Mapping[str, object],
    revision: int,
    on_change: Callable[[], None] | None,
    key: str,
    pending: Mapping[str, str] = MappingProxyType({}),
    unavailable: Mapping[str, str] = MappingProxyType({}),
    state: str = "",
    contrast: Contrast | None = None,
    figures: Callable[[], Figures] | None = None,
) -> dict[str, Any] | None:
    """Show an explanation on its photo and let the browser do the rest.

    Args:
        mode: "compare" (two methods at one layer), "mix" (two methods, their layers mixed), "framework"
            (every cell of the table, and every named method at every layer) or "classes" (one method for
            two classes, and the difference).
        explanation: its maps are sent once; of the framework's cells only those that the mode shows.
        photo: what the maps lie on.
        model: for its title and its published layer weights.
        view: what is shown at first, all entries optional: `left` and `right` (methods), `layer`,
            `weights` (layer -> number >= 0), `how` ("product" or "sum"), `opacity` (0 to 1), `colormap`,
            `scale` ("panel" or "shared"), `mixed` (whether the table mixes the layers). What does not
            exist is replaced by a default.
        revision: raise it to make the browser take over `view`; else the browser keeps its own, and a
            `view` that differs from the revision's first one is not sent.
        on_change: called before the rerun in which the browser's view is new; the view is then in
            `st.session_state[key]["view"]`.
        key: the component's identity; the same on every rerun.
        pending: method -> what is happening, for methods without maps: shown in the map's place. It may
            change as often as it likes, the maps do not travel again.
        unavailable: method -> why it does not exist for this network, one sentence.
        state: what every caption says of the network at its end, "" for nothing.
        contrast: the second class; needed in the mode "classes".
        figures: gives the correlations of the mode "classes", called when the maps are on their way; like
            `pending`, they travel apart from the maps.

    Returns:
        The newest view that the browser reported, complete, with the revision it belongs to as `rev`, and as
        `open` what a person wants to see on the page Compare ({"left": method, "layer": name, "n": number, of
        which a later wish has a higher one}); None before the first report.
    """
    data = payload(
        mode=mode,
        explanation=explanation,
        photo=photo,
        model=model,
        view=_view_of(key, revision, view),
        revision=revision,
        methods=_sent_methods(mode, explanation, view),
        unavailable=unavailable,
        state=state,
        contrast=contrast,
        key=key,
    )
    result = _component()(key=key, data=data, on_view_change=on_change or _ignore)
    news: dict[str, Any] = {"key": key, "pending": dict(pending)}
    if figures is not None:
        news["figures"] = {"maps": data["meta"]["keys"]["maps"], **_written(figures())}
    _status()(key=f"{key}-status", data=news)
    reported = result.get("view")
    return dict(reported) if reported else None


def _written(figures: Figures) -> dict[str, Any]:
    def line(found: Sequence[Figure]) -> list[dict[str, Any]]:
        return [{"value": each.value, "reason": each.reason} for each in found]

    return {
        "plain": {method: line(found) for method, found in figures.plain.items()},
        "ladder": [line(found) for found in figures.ladder] or None,
    }


def _view_of(key: str, revision: int, view: Mapping[str, object]) -> dict[str, object]:
    """The first view given with a revision: later reports must not make the maps travel again."""
    slot = f"{key} sent"
    if st.session_state.get(slot, (None, None))[0] != revision:
        st.session_state[slot] = (revision, dict(view))
    sent: dict[str, object] = st.session_state[slot][1]
    return sent


def _sent_methods(mode: str, explanation: sc.Explanation, view: Mapping[str, object]) -> tuple[str, ...]:
    """The methods whose maps a mode needs: two panels can do without cells that neither of them shows."""
    if mode == "framework":
        return explanation.methods
    chosen = (view.get("left"), view.get("right"))
    return tuple(
        name
        for name in explanation.methods
        if name in chosen or not catalogue.is_plain_cell(sc.METHODS[name])
    )


def payload(
    *,
    mode: str,
    explanation: sc.Explanation,
    photo: DisplayPhoto,
    model: sc.ModelSpec,
    view: Mapping[str, object],
    revision: int,
    methods: Sequence[str] | None = None,
    unavailable: Mapping[str, str] = MappingProxyType({}),
    state: str = "",
    contrast: Contrast | None = None,
    key: str = "",
) -> dict[str, Any]:
    """What the browser gets: one JSON `meta`, and Arrow tables `maps`, `luts` and `photo`.

    `maps` is one float32 column with the raw maps of the explanation's `methods` (None: all it has) at
    every layer, row by row, at the offsets in `meta["maps"]`; `luts` one uint8 column with the colour maps'
    tables (256 x RGB each); `photo` one binary value, the JPEG. `meta["methods"]` tells of every method that
    exists, `meta["unavailable"]` why some do not for this network; `meta["contrast"]` has the offsets of the
    second class and of the meta steps. Equal arguments give equal bytes, and the
    tables are built once per photo, explanation and methods.

    Raises:
        ValueError: a mode that does not exist, or two classes with different layers or photos.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(map(repr, MODES))}")
    content = _contents.get(photo, explanation, model, tuple(methods or explanation.methods), contrast)
    meta = {
        **content.meta,
        "key": key,
        "mode": mode,
        "view": dict(view),
        "revision": revision,
        "methods": catalogue.methods(),
        "unavailable": dict(unavailable),
        "state": state,
        "table": catalogue.table() if mode == "framework" else None,
    }
    return {"meta": meta, "maps": content.maps, "luts": _lookup_tables(), "photo": content.photo}


@dataclass(frozen=True)
class _Content:
    """The part of a payload that depends on photo and explanation alone."""

    meta: Mapping[str, object]
    maps: pa.Table
    photo: pa.Table


class _Contents:
    """The newest contents, so that a rerun builds nothing.

    A key names maps by their `id`: explanations that were joined of the same ones are then the same. Each
    entry holds its explanations, hence their maps, so that such an `id` cannot come to belong to another map.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[tuple[object, ...], tuple[list[sc.Explanation], _Content]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self,
        photo: DisplayPhoto,
        explanation: sc.Explanation,
        model: sc.ModelSpec,
        methods: tuple[str, ...],
        contrast: Contrast | None,
    ) -> _Content:
        shown = [(explanation, methods)]
        steps: tuple[object, ...] = ()
        if contrast is not None:
            shown.append((contrast.other, methods))
            for rung in contrast.rungs:
                shown += [(rung.first, (contrast.method,)), (rung.second, (contrast.method,))]
            sizes = tuple(rung.size for rung in contrast.rungs)
            steps = (contrast.method, sizes, contrast.ascend, contrast.complete)
        maps = tuple(
            id(values) for each, names in shown for name in names for values in _maps_of(each, name).values()
        )
        classes = tuple((each.target, each.label) for each, _ in shown)
        key = (photo.digest, model.name, classes, methods, steps, maps)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][1]
        content = _content(photo, explanation, model, methods, contrast)
        with self._lock:
            self._entries[key] = ([each for each, _ in shown], content)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
        return content


_contents = _Contents(KEPT_CONTENTS)


def _maps_of(explanation: sc.Explanation, method: str) -> dict[str, np.ndarray]:
    """Layer -> raw map, at the explanation's layers or at the input alone."""
    return {layer.name: explanation.map(method, layer.name) for layer in explanation.layers_of(method)}


def _content(
    photo: DisplayPhoto,
    explanation: sc.Explanation,
    model: sc.ModelSpec,
    methods: tuple[str, ...],
    contrast: Contrast | None,
) -> _Content:
    layers = explanation.layers
    shelf = _Shelf()
    maps = {name: _method_maps(explanation, sc.METHODS[name], shelf) for name in methods}
    against = None if contrast is None else _contrast(explanation, contrast, methods, shelf)
    values = np.concatenate(shelf.planes)
    meta: dict[str, object] = {
        "photo": {
            "name": photo.name,
            "width": photo.width,
            "height": photo.height,
            "original": list(photo.original_size),
        },
        "box": _box_on(photo, explanation.box),
        "model": model.title,
        "label": explanation.label,
        "probability": float(explanation.probabilities[explanation.target]),
        "layers": [
            {
                "name": layer.name,
                "channels": layer.channels,
                "height": layer.height,
                "width": layer.width,
                "energy": explanation.energy(layer.name),
            }
            for layer in layers
        ],
        "maps": maps,
        "contrast": against,
        "presets": _presets(model, [layer.name for layer in layers]),
        "colormaps": [
            {"name": entry.name, "title": entry.title, "kind": entry.kind}
            for entry in sc.render.COLORMAPS.values()
        ],
        "defaults": _defaults(explanation),
    }
    meta["keys"] = {"photo": photo.digest, "maps": _digest(values, meta)}
    return _Content(
        meta=MappingProxyType(meta),
        maps=pa.table({"v": values}),
        photo=pa.table({"b": pa.array([photo.jpeg], pa.binary())}),
    )


def _contrast(
    explanation: sc.Explanation, contrast: Contrast, methods: tuple[str, ...], shelf: "_Shelf"
) -> dict[str, object]:
    """The second class in the terms of the first, and the meta steps of both."""
    other, method = contrast.other, sc.METHODS[contrast.method]
    if (other.layers, other.box) != (explanation.layers, explanation.box):
        raise ValueError("the two classes were explained at different layers or on different photos")
    steps = [
        {"lr": rung.size, "maps": [_method_maps(each, method, shelf) for each in (rung.first, rung.second)]}
        for rung in contrast.rungs
    ]
    return {
        "label": other.label,
        "probability": float(other.probabilities[other.target]),
        "maps": {name: _method_maps(other, sc.METHODS[name], shelf) for name in methods},
        "ladder": {
            "method": contrast.method,
            "ascend": contrast.ascend,
            "complete": contrast.complete,
            "authors": LEARNING_RATE,
            "steps": steps,
        }
        if steps
        else None,
    }


class _Shelf:
    """The maps in the order in which they travel."""

    def __init__(self) -> None:
        self.planes: list[np.ndarray] = []
        self._end = 0

    def put(self, values: np.ndarray) -> int:
        """Append a map; returns where it starts."""
        plane = np.ascontiguousarray(values, np.float32).ravel()
        self.planes.append(plane)
        self._end += plane.size
        return self._end - plane.size


def _method_maps(explanation: sc.Explanation, method: sc.Method, shelf: _Shelf) -> dict[str, object]:
    """Where a method's maps are: per layer an offset, or None for all layers but one map of the input.

    `reasons` tells for each layer why there is nothing to see, or None where there is something.
    """
    maps = _maps_of(explanation, method.name)
    if list(maps) == [INPUT] and INPUT not in [layer.name for layer in explanation.layers]:
        height, width = maps[INPUT].shape
        reason = method.empty if explanation.constant(method.name, INPUT) else None
        offset = shelf.put(maps[INPUT])
        return {"input": {"offset": offset, "height": height, "width": width, "reason": reason}}
    offsets: list[int | None] = []
    reasons: list[str | None] = []
    for layer in (layer.name for layer in explanation.layers):
        if layer in maps:
            offsets.append(shelf.put(maps[layer]))
            reasons.append(method.empty if explanation.constant(method.name, layer) else None)
        else:
            offsets.append(None)
            reasons.append(f"{method.title} has no map at {layer}. {method.needs}".strip())
    return {"input": None, "offsets": offsets, "reasons": reasons}


def _box_on(photo: DisplayPhoto, box: tuple[float, float, float, float]) -> list[float]:
    """The box in the pixels of the JPEG instead of the photo's own."""
    across, down = photo.width / photo.original_size[0], photo.height / photo.original_size[1]
    left, top, right, bottom = box
    return [float(left * across), float(top * down), float(right * across), float(bottom * down)]


def _presets(model: sc.ModelSpec, layers: list[str]) -> dict[str, dict[str, float]]:
    """Title -> layer -> weight, at most 1: equal weights, weights rising with depth, the published ones."""
    linear = sc.layer_weights(layers, "linear")
    return {
        "Uniform": dict.fromkeys(layers, 1.0),
        "Linear": {layer: weight / max(linear) for layer, weight in zip(layers, linear, strict=True)},
    } | {
        title: {layer: float(weight) for layer, weight in weights.items()}
        for title, weights in model.presets.items()
        if set(weights) <= set(layers)
    }


def _defaults(explanation: sc.Explanation) -> dict[str, object]:
    names = explanation.methods
    left, right = (name if name in names else names[0] for name in DEFAULT_METHODS)
    layer = explanation.layers[round(DEFAULT_DEPTH * (len(explanation.layers) - 1))]
    return {
        "left": left,
        "right": right,
        "layer": layer.name,
        "opacity": DEFAULT_OPACITY,
        "colormap": sc.render.DEFAULT_COLORMAP,
    }


def _digest(values: np.ndarray, meta: Mapping[str, object]) -> str:
    """What the browser compares before it decodes maps again."""
    digest = hashlib.sha256(values.tobytes())
    digest.update(repr(sorted(meta.items())).encode())
    return digest.hexdigest()[:32]


@functools.cache
def _lookup_tables() -> pa.Table:
    tables = [np.asarray(entry.table, np.uint8).ravel() for entry in sc.render.COLORMAPS.values()]
    return pa.table({"rgb": np.concatenate(tables)})


@functools.cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "normgrad_viewer",
        html='<div class="viewer" data-testid="normgrad-viewer"></div>',
        css=(SOURCES / "viewer.css").read_text(encoding="utf-8"),
        js=join_modules(SOURCES, ENTRY),
    )


@functools.cache
def _status() -> ComponentRenderer:
    return st.components.v2.component("normgrad_status", html="", js=join_modules(SOURCES, STATUS_ENTRY))


def _ignore() -> None:
    """A callback for those who need none: the component reports its view only if there is one."""


def join_modules(folder: Path, entry: str) -> str:
    """The ES modules that `entry` imports, and it, as the one script that Streamlit takes.

    Modules come in the order of their dependencies, without their import lines and `export` keywords (the
    entry keeps its `export default`). They import names as they are, from each other only:
    `import { a, b } from "./x.js";`.

    Raises:
        FileNotFoundError: a module that does not exist.
        ValueError: a circular import, an import that is written otherwise or asks for a name its module
            does not declare, or a name that two modules declare.
    """
    parts: dict[str, str] = {}
    owners: dict[str, str] = {}
    _join(folder, entry, (), parts, owners)
    return "\n".join(parts.values())


def _join(
    folder: Path, module: str, path: tuple[str, ...], parts: dict[str, str], owners: dict[str, str]
) -> None:
    if module in path:
        raise ValueError(f"viewer modules import each other in a circle: {' -> '.join([*path, module])}")
    if module in parts:
        return
    text = (folder / module).read_text(encoding="utf-8")
    for match in _IMPORT.finditer(text):
        _join(folder, match["module"], (*path, module), parts, owners)
        for name in filter(None, (name.strip() for name in match["names"].split(","))):
            if owners.get(name) != match["module"]:
                raise ValueError(f"{module} imports {name!r}, which {match['module']} does not declare")
    body = _IMPORT.sub("", text)
    if re.search(r"^import\b", body, re.MULTILINE):
        raise ValueError(f'{module} has an import that is not of the form `import {{ a }} from "./x.js";`')
    for name in _DECLARATION.findall(body):
        if name in owners:
            raise ValueError(
                f"{name!r} is declared in {owners[name]} and again in {module}; joined, they would clash"
            )
        owners[name] = module
    parts[module] = _EXPORT.sub("", body)
