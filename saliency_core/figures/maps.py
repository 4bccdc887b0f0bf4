"""What the viewer's panels show for a view: the values, the scale and the words, without any drawing."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image

from saliency_core.combine import FloatMap, combine, resize
from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.explanation import Explanation
from saliency_core.figures.compose import SIDE, Region, Scale, scale_of, shared_scale
from saliency_core.inputs.images import file_name
from saliency_core.methods.method import Method
from saliency_core.methods.registry import METHODS, Domain
from saliency_core.viewer import formats
from saliency_core.viewer.complete import complete
from saliency_core.viewer.payload import ClassComparison, DisplayPhoto, objects_inside

SAME = "The map has the same value everywhere, so there is nothing to colour."
Other = Explanation | ClassComparison | None
"""The second class of a figure, with meta steps of several sizes or without."""

NO_WEIGHTS = "All weights are zero. Raise at least one layer’s weight to see a map."
NOTHING_TO_MIX = (
    "This method has nothing to mix at the layers that have a weight. "
    "Raise another layer’s weight to see a map."
)
LITTLE = 0.25
"""A map that takes up less of a shared scale than this is nearly of one colour: the colour bar says why."""
ALIKE = 0.2
"""Values that differ by less than this share of the largest still get all colours: the colour bar says so."""
RANDOM_WEIGHTS = "random weights"
WHOLE = 0.9
"""A box that covers more of the input than this leaves hardly any place that is not the object."""


@dataclass(frozen=True)
class View:
    """The view's fields that figures read, complete; see ``saliency_core.viewer.schema``."""

    left: str
    right: str
    layer: str
    weights: tuple[float, ...]
    how: str
    opacity: float
    fade: bool
    colormap: str
    scale: str
    mixed: bool
    difference: str
    figures: str
    cells: bool
    modified: bool
    epsilon: float

    @classmethod
    def of(cls, given: Mapping[str, Any], explanation: Explanation) -> View:
        """The view that is meant, checked; see :func:`saliency_core.viewer.complete.complete`."""
        found = cast(dict[str, Any], complete(given, explanation))
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo and its explanation."""

    explanation: Explanation
    photo: Image.Image
    photo_name: str
    region: Region
    """What the network saw, in this photo's pixels."""
    boxes: tuple[Region, ...]
    """Those of the objects of the explained class, as fractions of the region."""

    @classmethod
    def of(cls, explanation: Explanation, photo: Image.Image | DisplayPhoto | None) -> Scene:
        """The explanation with its own photo, or the one given.

        Raises:
            ArgumentTypeError: not a photo, or not an explanation.
            ArgumentError: no photo, one of another size, or an unknown part of one.
        """
        if not isinstance(explanation, Explanation):
            raise ArgumentTypeError(f"a figure was asked for of {explanation!r}; expected an Explanation")
        region = explanation.box
        if region is None:
            raise ArgumentError(
                "it is not known what part of this photo the network saw, so no map can be laid over it; "
                "explain the network's input, a prepared tensor, and pass it as the photo"
            )
        given = explanation.subject.image if photo is None else photo
        if given is None:
            raise ArgumentError(
                "this explanation has no photo, as those of a prepared tensor and an engine's; pass photo=..."
            )
        if isinstance(given, DisplayPhoto):
            return cls._displayed(explanation, given, region)
        if not isinstance(given, Image.Image):
            raise ArgumentTypeError(f"photo is {given!r}; expected a PIL image")
        own = explanation.subject.image
        if own is not None and given.size != own.size:
            raise ArgumentError(
                f"the photo has {given.width} × {given.height} pixels and the one explained "
                f"{own.width} × {own.height}; pass the same photo"
            )
        return cls(explanation, given, file_name(given), region, ())

    @classmethod
    def _displayed(cls, explanation: Explanation, photo: DisplayPhoto, region: Region) -> Scene:
        image = Image.open(io.BytesIO(photo.jpeg))
        across, down = photo.width / photo.original_size[0], photo.height / photo.original_size[1]
        left, top, right, bottom = region
        objects = objects_inside(photo, region)
        boxes = tuple(each.box for each in objects if each.index == explanation.target)
        area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in boxes)
        return cls(
            explanation,
            image,
            photo.name,
            (left * across, top * down, right * across, bottom * down),
            boxes if area <= WHOLE else (),
        )

    @property
    def label(self) -> str:
        """The explained class with its probability, before and after a meta step if there was one."""
        e = self.explanation
        if e.subject.features:
            return e.label
        return formats.class_text(e.label, e.probability, e.probability_after)

    @property
    def state(self) -> str:
        """A remark on the network at the end of every caption, or ""."""
        return formats.after_step(self.explanation.meta)

    @property
    def model(self) -> str:
        """The network's title, and whether its weights are random."""
        title = self.explanation.subject.title
        said = RANDOM_WEIGHTS in title or not self.explanation.random_weights
        return title if said else f"{title}, {RANDOM_WEIGHTS}"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A map as it is coloured, or why there is none."""

    values: FloatMap | None
    """(h, w), at the viewer's resolution; None where there is nothing to see."""
    note: str
    """Why there is nothing to see; empty where there is a map."""
    diverging: bool
    own: Scale | None
    """The scale that the map has by itself."""
    low: float = 0.0
    high: float = 0.0
    missing: bool = False
    """Whether there is no map at all, as opposed to one with nothing to see."""

    @classmethod
    def measured(cls, values: FloatMap, diverging: bool) -> Drawn:
        """A map (h, w) with its own scale; the same note as in a panel where all values are equal."""
        low, high = float(values.min()), float(values.max())
        if low == high:
            return cls(None, SAME, diverging, None)
        return cls(values, "", diverging, scale_of(values, diverging), low, high)

    @classmethod
    def empty(cls, note: str, diverging: bool, *, missing: bool = False) -> Drawn:
        """Nothing to see, and why."""
        return cls(None, note, diverging, None, missing=missing)

    def remark(self, scale: Scale) -> str:
        """What is to be known about the scale beside its ends."""
        if self.own is None:
            return ""
        share = (self.own.high - self.own.low) / (scale.high - scale.low)
        if share < LITTLE:
            return f"this map takes up {formats.percent(share)} of the shared scale"
        spread = (self.high - self.low) / max(self.high, -self.low)
        if not self.diverging and spread < ALIKE:
            return f"values differ by {formats.percent(spread)}"
        return "ends at the 99th percentile" if self.low < self.own.low or self.high > self.own.high else ""


def at_input(method: Method) -> bool:
    """Whether a method explains the input alone, so that its map is the same at every depth."""
    return method.domain is Domain.INPUT


def raw_map(explanation: Explanation, method: Method, layer: str) -> tuple[FloatMap | None, str]:
    """The map that a method has for a layer, and why there is nothing to see, or "".

    Raises:
        UnknownNameError: a method that was not computed.
    """
    here = explanation.layers_of(method.name)
    if at_input(method):
        layer = here[0].name
    elif not explanation.has(method.name, layer):
        return None, f"{method.title} has no map at {layer}. {method.needs}".strip()
    values = explanation.map(method.name, layer)
    return values, method.empty if explanation.constant(method.name, layer) else ""


def layer_map(explanation: Explanation, name: str, layer: str, side: int = SIDE) -> Drawn:
    """A method's map at a layer, resized to side × side."""
    method = METHODS[name]
    values, reason = raw_map(explanation, method, layer)
    if values is None or reason:
        return Drawn.empty(reason, method.signed, missing=values is None)
    return Drawn.measured(resize(values, (side, side)), method.signed)


def mixed_map(explanation: Explanation, name: str, view: View, side: int = SIDE) -> Drawn:
    """A method's maps of all layers, mixed with the view's weights; its map at the input where it has one."""
    method = METHODS[name]
    if at_input(method):
        return layer_map(explanation, name, view.layer, side)
    if not any(view.weights):
        return Drawn.empty(NO_WEIGHTS, False)
    layers = mixed_layers(explanation, name, view)
    if not layers:
        return Drawn.empty(NOTHING_TO_MIX, False)
    maps = [explanation.map(name, layer) for layer in layers]
    return Drawn.measured(combine(maps, list(layers.values()), view.how, (side, side)), False)


def mixed_layers(explanation: Explanation, name: str, view: View) -> dict[str, float]:
    """The layers that a mix of a method's maps is of, each with its weight."""
    weights = zip((layer.name for layer in explanation.layers), view.weights, strict=True)
    return {
        layer: weight
        for layer, weight in weights
        if weight > 0 and not raw_map(explanation, METHODS[name], layer)[1]
    }


def map_of(explanation: Explanation, name: str, view: View, side: int = SIDE) -> Drawn:
    """The map of a panel: at the view's layer, or mixed."""
    if view.mixed:
        return mixed_map(explanation, name, view, side)
    return layer_map(explanation, name, view.layer, side)


def caption(scene: Scene, name: str, view: View) -> tuple[str, ...]:
    """The words of a panel's caption, as the viewer has them: method, place, class, remark on the network."""
    method = METHODS[name]
    # After a step for a class, the network itself depends on that class.
    explained = scene.label if method.class_specific or scene.state else "the same for every class"
    place = _mixed_place(scene, name, view) if view.mixed else _place(scene, name, view)
    return tuple(filter(None, (method.title, place, explained, scene.state)))


def _place(scene: Scene, name: str, view: View) -> str:
    e = scene.explanation
    if at_input(METHODS[name]):
        return f"input · {formats.layer_size(e.map(name).shape)}"
    layer = next(each for each in e.layers if each.name == view.layer)
    return f"{layer.name} · {formats.layer_size(layer)} × {layer.channels} channels"


def _mixed_place(scene: Scene, name: str, view: View) -> str:
    if at_input(METHODS[name]):
        return "input, nothing to mix"
    count = len(mixed_layers(scene.explanation, name, view))
    return f"{view.how} of {count} {'layer' if count == 1 else 'layers'}" if count else "no layers"


def scales(names: Sequence[str], maps: Sequence[Drawn], view: View) -> list[Scale | None]:
    """The scale of each map: its own, or one for all where the view asks for it and units allow it."""
    own = [each.own for each in maps]
    present = [scale for scale in own if scale is not None]
    if view.scale != "shared" or not present or not can_share(names, view):
        return own
    together = shared_scale(present)
    return [None if scale is None else together for scale in own]


def titles(names: Iterable[str]) -> str:
    """The titles of methods, each once, as a list in a sentence."""
    *others, last = dict.fromkeys(METHODS[name].title for name in names)
    return f"{', '.join(others)} and {last}" if others else last


def can_share(names: Sequence[str], view: View) -> bool:
    """Whether equal colours can mean equal values in all of these methods' panels."""

    def measured(method: Method) -> tuple[str, bool]:
        normalised = view.mixed and not at_input(method)
        return ("a share of 1", False) if normalised else (method.unit, method.signed)

    return len({measured(METHODS[name]) for name in names}) == 1


def meanings(name: str, diverging: bool) -> tuple[str, str]:
    """What the two ends of a colour bar mean; nothing for the low end of a map without a sign."""
    method = METHODS[name]
    return (method.dark if diverging else ""), method.bright
