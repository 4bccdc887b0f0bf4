"""What the browser gets to show an explanation: JSON, numbers and the photo, without any host's wrapping."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from saliency_core import render
from saliency_core.backprop.meta_step import LEARNING_RATE
from saliency_core.combine import layer_weights
from saliency_core.errors import ArgumentError
from saliency_core.explanation import Explanation
from saliency_core.inputs.preprocess import InputRegion
from saliency_core.methods.registry import METHODS, Domain, Method
from saliency_core.models.layers import INPUT, Layer
from saliency_core.registry import unknown
from saliency_core.viewer import methods as method_facts
from saliency_core.viewer import schema

MODES = ("compare", "mix", "framework", "classes", "why", "point")
AVERAGING_METHODS = ("grad_cam", "linear_approx", "normgrad")
"""What the mode "why" shows: Grad-CAM, the same without averaging, and NormGrad."""
DEFAULT_DEPTH = 0.6
"""The layer shown first, as a share of the depth: late enough to mean objects, too early for Grad-CAM.

Measured in docs/first-view.md.
"""

NO_REASONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class PhotoObject:
    """An object on a photo: its class and the box around it.

    `index` is the ImageNet class, `box` is (left, top, right, bottom): of a photo's objects in the pixels of
    the photo itself, of those that :func:`objects_inside` gives in fractions of the input region.
    """

    index: int
    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class DisplayPhoto:
    """The photo as the browser shows it.

    `digest` identifies the photo's content, `width` and `height` are the JPEG's, `original_size` is the
    (width, height) of the photo itself, in whose pixels input region and cursor are given. `objects` are the
    objects whose location is known.
    """

    digest: str
    jpeg: bytes
    width: int
    height: int
    original_size: tuple[int, int]
    name: str
    objects: tuple[PhotoObject, ...] = ()


class Model(Protocol):
    """What the viewer says of a model."""

    @property
    def name(self) -> str:
        """Its identifier."""

    @property
    def title(self) -> str:
        """Its user-facing name."""

    @property
    def presets(self) -> Mapping[str, Mapping[str, float]]:
        """Title -> layer -> published weight."""


class Network(Model, Protocol):
    """A model whose layers can be chosen in the viewer."""

    @property
    def layers(self) -> Sequence[Layer]:
        """Every layer that can be explained, input to output."""

    @property
    def default_layers(self) -> Sequence[str]:
        """The names of the layers shown always: the stages of the network."""

    @property
    def convolutions(self) -> Collection[str]:
        """The names of the layers that are convolutions, or linear at every location."""

    @property
    def linear(self) -> Collection[str]:
        """The names of those that are linear."""

    @property
    def left_out(self) -> Mapping[str, str]:
        """Block -> why it is none of the default layers, though the blocks beside it are, as a clause."""

    @property
    def features(self) -> bool:
        """Whether it has no classes, so that its output features take their place."""


@dataclass(frozen=True)
class SweepPoint:
    """Both classes' explanations after a meta step of one size, each after the step for its own class."""

    epsilon: float
    first: Explanation
    second: Explanation


@dataclass(frozen=True)
class ClassPair:
    """Two classes, by their indices, with a title."""

    title: str
    first: int
    second: int


@dataclass(frozen=True)
class ClassComparison:
    """What the mode "classes" shows beside the explanation of the first class.

    Args:
        other: the explanation of the second class.
        method: the method whose maps the sweep has.
        labels: the names of all classes, by their index; none if no other class can be chosen.
        presets: pairs of classes to choose from, each with its title.
        sweep: meta steps in order of size; none for the unmodified network.
        ascend: whether the steps lower the class score.
        complete: whether all sizes are computed.
    """

    other: Explanation
    method: str
    labels: tuple[str, ...]
    presets: tuple[ClassPair, ...] = ()
    sweep: tuple[SweepPoint, ...] = ()
    ascend: bool = False
    complete: bool = True


@dataclass(frozen=True)
class Content:
    """The part of a payload that depends on photo and explanation alone."""

    meta: Mapping[str, Any]
    maps: NDArray[np.float32]
    """All maps in one array, (values,); `meta` says where each begins."""
    sizes: tuple[int, ...]
    """The number of values of each map, in their order."""
    photo: bytes
    """A JPEG."""


@dataclass(frozen=True)
class Payload:
    """All that the browser gets."""

    meta: Mapping[str, Any]
    """JSON."""
    maps: NDArray[np.float32]
    luts: NDArray[np.uint8]
    """The colour tables one after another, 256 × RGB each."""
    photo: bytes


def payload(
    content: Content,
    *,
    mode: str,
    view: schema.View,
    network: Network | None = None,
    revision: int = 0,
    unavailable: Mapping[str, str] = NO_REASONS,
    state: str = "",
    key: str = "",
) -> Payload:
    """What the browser gets.

    Args:
        content: photo and maps, of :func:`content`.
        mode: "compare" (two methods at one layer), "mix" (two methods, their layers mixed), "framework"
            (every cell of the table, and every named method at every layer), "classes" (one method for two
            classes, and the difference), "why" (three methods at every layer, and what averaging keeps) or
            "point" (whether each map points at the boxes on the photo).
        view: what is shown at first; what does not exist is replaced by a default.
        network: whose layers can be added; None: the view shows the layers that it has.
        revision: raised whenever the browser must take over `view`; else it keeps its own.
        unavailable: method -> why it does not exist for this network, one sentence.
        state: a remark on the network at the end of every caption, or "".
        key: the host's name for this viewer.

    Raises:
        ArgumentError: an unknown mode.
    """
    if mode not in MODES:
        raise ArgumentError(unknown("mode", mode, MODES))
    layers = [str(layer["name"]) for layer in content.meta["layers"]]
    meta = {
        **content.meta,
        "allLayers": None if network is None else _all_layers(network, content.meta["inputSize"]),
        "leftOut": [] if network is None else [list(each) for each in network.left_out.items()],
        "key": key,
        "mode": mode,
        "schema": schema.describe(),
        "view": schema.for_browser(view, layers),
        "revision": revision,
        "methods": method_facts.methods(network is not None and len(network.convolutions) > 0),
        "unavailable": dict(unavailable),
        "state": state,
        "table": method_facts.table() if mode == "framework" else None,
    }
    return Payload(MappingProxyType(meta), content.maps, lookup_tables(), content.photo)


def needed_methods(mode: str, explanation: Explanation, view: schema.View) -> tuple[str, ...]:
    """The methods whose maps a mode needs: two panels can do without cells that neither of them shows."""
    if mode in ("framework", "point"):
        return explanation.methods
    if mode == "why":
        return tuple(name for name in AVERAGING_METHODS if name in explanation.methods)
    chosen = (view.get("left"), view.get("right"))
    return tuple(
        name
        for name in explanation.methods
        if name in chosen or not method_facts.is_plain_cell(METHODS[name])
    )


def content(
    photo: DisplayPhoto,
    explanation: Explanation,
    model: Model,
    methods: Sequence[str],
    comparison: ClassComparison | None = None,
    *,
    stages: Sequence[str] | None = None,
    features: bool = False,
) -> Content:
    """Photo and maps of these methods, with what the browser must know of them.

    `stages` names the layers that stand for the depth of the network, input to output; None: all layers do.
    `features`: the network has no classes, and what is explained has no probability.

    Raises:
        ArgumentError: a second class that was explained at other layers or on another photo; an explanation
            of a function of the class scores, or one whose part of the photo is unknown.
    """
    if explanation.target is None:
        raise ArgumentError(
            f"the viewer shows classes with their probabilities, and {explanation.label!r} is a function of "
            "the class scores; explain a class"
        )
    layers = explanation.layers
    depth = [layer.name for layer in layers] if stages is None else list(stages)
    store = _Store()
    maps = {name: _method_maps(explanation, METHODS[name], store) for name in methods}
    compared = None if comparison is None else _comparison(explanation, comparison, methods, store, features)
    values = np.concatenate(store.planes)
    meta: dict[str, object] = {
        "photo": {
            "name": photo.name,
            "width": photo.width,
            "height": photo.height,
            "original": list(photo.original_size),
        },
        "box": box_on(photo, explanation.box),
        "region": None if explanation.box is None else list(map(float, explanation.box)),
        "objects": [
            {"index": each.index, "label": each.label, "box": list(seen.box), "pixels": list(each.box)}
            for each in photo.objects
            for seen in objects_inside(replace(photo, objects=(each,)), explanation.box)
        ],
        "model": model.title,
        "random": explanation.random_weights,
        "target": explanation.target,
        "label": explanation.label,
        "probability": None if features else explanation.probability,
        "probability_after": None if features else explanation.probability_after,
        "layers": [
            {
                "name": layer.name,
                "channels": layer.channels,
                "height": layer.height,
                "width": layer.width,
                "stage": depth.index(layer.name) + 1 if layer.name in depth else None,
            }
            for layer in layers
        ],
        "inputSize": [explanation.channels, *explanation.size],
        "energy": [explanation.energy(layer.name) for layer in layers],
        "maps": maps,
        "comparison": compared,
        "presets": _presets(model, [layer.name for layer in layers]),
        "colormaps": [
            {"name": entry.name, "title": entry.title, "kind": entry.kind}
            for entry in render.COLORMAPS.values()
        ],
        "defaults": _defaults(explanation, depth),
    }
    meta["keys"] = {"photo": photo.digest, "maps": _digest(values, meta)}
    return Content(MappingProxyType(meta), values, tuple(plane.size for plane in store.planes), photo.jpeg)


def identity(
    photo: DisplayPhoto,
    explanation: Explanation,
    model: Model,
    methods: Sequence[str],
    comparison: ClassComparison | None = None,
) -> tuple[tuple[object, ...], tuple[Explanation, ...]]:
    """What :func:`content` depends on, cheap and hashable, and the explanations that must outlive it.

    Maps are named by their `id`: explanations joined of the same ones have the same identity. A cache
    must keep the explanations with it, so that such an `id` cannot come to belong to another map.
    """
    shown = [(explanation, tuple(methods))]
    steps: tuple[object, ...] = ()
    if comparison is not None:
        shown.append((comparison.other, tuple(methods)))
        for point in comparison.sweep:
            shown += [(point.first, (comparison.method,)), (point.second, (comparison.method,))]
        sizes = tuple(point.epsilon for point in comparison.sweep)
        steps = (comparison.method, sizes, comparison.ascend, comparison.complete, comparison.presets)
    maps = tuple(
        id(values) for each, names in shown for name in names for values in _maps_of(each, name).values()
    )
    classes = tuple((each.target, each.label) for each, _ in shown)
    key = (photo.digest, photo.name, photo.objects, model.name, classes, tuple(methods), steps, maps)
    return key, tuple(each for each, _ in shown)


@functools.cache
def lookup_tables() -> NDArray[np.uint8]:
    """The colour tables one after another, (maps · 256 · 3,)."""
    return np.concatenate([np.asarray(entry.table, np.uint8).ravel() for entry in render.COLORMAPS.values()])


def _maps_of(explanation: Explanation, method: str) -> dict[str, NDArray[np.float32]]:
    """Layer -> raw map, at the explanation's layers or at the input alone."""
    return {layer.name: explanation.map(method, layer.name) for layer in explanation.layers_of(method)}


def _comparison(
    explanation: Explanation,
    comparison: ClassComparison,
    methods: Sequence[str],
    store: _Store,
    features: bool,
) -> dict[str, object]:
    """The second class in the terms of the first, and the meta steps of both."""
    other, method = comparison.other, METHODS[comparison.method]
    if (other.layers, other.box) != (explanation.layers, explanation.box):
        raise ArgumentError("the two classes were explained at different layers or on different photos")
    steps = [
        {
            "epsilon": point.epsilon,
            "maps": [_method_maps(each, method, store) for each in (point.first, point.second)],
            "probabilities": [
                each.probability if each.meta is None else each.probability_after
                for each in (point.first, point.second)
            ],
        }
        for point in comparison.sweep
    ]
    sweep = {
        "method": comparison.method,
        "ascend": comparison.ascend,
        "complete": comparison.complete,
        "steps": steps,
    }
    return {
        "target": other.target,
        "label": other.label,
        "probability": None if features else other.probability,
        "probability_after": None if features else other.probability_after,
        "classes": [
            [label, None if features else round(float(probability), 6)]
            for label, probability in zip(comparison.labels, explanation.probabilities, strict=True)
        ]
        if comparison.labels
        else None,
        "presets": [[each.title, each.first, each.second] for each in comparison.presets],
        "maps": {name: _method_maps(other, METHODS[name], store) for name in methods},
        "authors": LEARNING_RATE,
        "sweep": sweep if steps else None,
    }


class _Store:
    """The maps in the order in which they travel."""

    def __init__(self) -> None:
        self.planes: list[NDArray[np.float32]] = []
        self._end = 0

    def put(self, values: NDArray[np.float32]) -> int:
        """Append a map; returns where it starts."""
        plane = np.ascontiguousarray(values, np.float32).ravel()
        self.planes.append(plane)
        self._end += plane.size
        return self._end - plane.size


def _method_maps(explanation: Explanation, method: Method, store: _Store) -> dict[str, object]:
    """Where a method's maps are: per layer an offset, or None for all layers but one map of the input.

    `reasons` says for each layer why there is nothing to see, or None where there is something.
    """
    maps = _maps_of(explanation, method.name)
    if method.domain is Domain.INPUT:
        height, width = maps[INPUT].shape
        reason = method.empty if explanation.constant(method.name, INPUT) else None
        offset = store.put(maps[INPUT])
        return {"input": {"offset": offset, "height": height, "width": width, "reason": reason}}
    offsets: list[int | None] = []
    reasons: list[str | None] = []
    for layer in (layer.name for layer in explanation.layers):
        if layer in maps:
            offsets.append(store.put(maps[layer]))
            reasons.append(method.empty if explanation.constant(method.name, layer) else None)
        else:
            offsets.append(None)
            reasons.append(f"{method.title} has no map at {layer}. {method.needs}".strip())
    return {"input": None, "offsets": offsets, "reasons": reasons}


def box_on(photo: DisplayPhoto, box: InputRegion | None) -> list[float]:
    """The input region in the pixels of the JPEG instead of the photo's own."""
    if box is None:
        raise ArgumentError(
            "it is not known what part of this photo the network saw, so no map can be laid over it; explain "
            "the network's input, a prepared tensor, and show that as the photo"
        )
    across, down = photo.width / photo.original_size[0], photo.height / photo.original_size[1]
    left, top, right, bottom = box
    return [float(left * across), float(top * down), float(right * across), float(bottom * down)]


def objects_inside(photo: DisplayPhoto, region: InputRegion | None) -> tuple[PhotoObject, ...]:
    """The objects with their boxes as fractions of the input region, clipped to it; none that lie outside.

    Args:
        photo: the photo with its objects.
        region: (left, top, right, bottom) of what the network sees, in the photo's pixels; None, if that is
            unknown: no object is inside then.
    """
    if region is None:
        return ()
    left, top, right, bottom = region
    found = []
    for each in photo.objects:
        across = [min(max((x - left) / (right - left), 0.0), 1.0) for x in each.box[::2]]
        down = [min(max((y - top) / (bottom - top), 0.0), 1.0) for y in each.box[1::2]]
        if across[0] < across[1] and down[0] < down[1]:
            found.append(replace(each, box=(across[0], down[0], across[1], down[1])))
    return tuple(found)


def _presets(model: Model, layers: list[str]) -> dict[str, dict[str, float]]:
    """Title -> layer -> weight, at most 1: equal weights, weights rising with depth, the published ones."""
    linear = layer_weights(layers, "linear")
    return {
        "Uniform": dict.fromkeys(layers, 1.0),
        "Linear": {layer: weight / max(linear) for layer, weight in zip(layers, linear, strict=True)},
    } | {
        title: {layer: float(weight) for layer, weight in weights.items()}
        for title, weights in model.presets.items()
        if set(weights) <= set(layers)
    }


def default_layer(stages: Sequence[str]) -> str:
    """The layer shown first."""
    return stages[round(DEFAULT_DEPTH * (len(stages) - 1))]


def _all_layers(network: Network, size: Sequence[int]) -> list[dict[str, object]]:
    """The input and all layers of a network, each with the number of its stage and its kind."""
    stages = list(network.default_layers)
    return [
        {
            "name": layer.name,
            "channels": layer.channels,
            "height": layer.height,
            "width": layer.width,
            "stage": stages.index(layer.name) + 1 if layer.name in stages else None,
            "kind": (
                "linear layer"
                if layer.name in network.linear
                else "convolution"
                if layer.name in network.convolutions
                else ""
            ),
        }
        for layer in (Layer(INPUT, *size), *network.layers)
    ]


def _defaults(explanation: Explanation, stages: Sequence[str]) -> dict[str, object]:
    """The defaults that depend on the explanation, by the names of the view's fields."""
    names = explanation.methods
    left, right = (name if name in names else names[0] for name in schema.DEFAULT_METHODS)
    here = [layer.name for layer in explanation.layers]
    layer = default_layer([name for name in here if name in stages] or here)
    return {"left": left, "right": right, "layer": layer}


def _digest(values: NDArray[np.float32], meta: Mapping[str, object]) -> str:
    """Keys that the browser compares before it decodes maps again."""
    digest = hashlib.sha256(values.tobytes())
    digest.update(repr(sorted(meta.items())).encode())
    return digest.hexdigest()[:32]
