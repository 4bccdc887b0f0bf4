"""The view: everything a user can choose about how explanations are shown, as one table of fields.

Address, browser and defaults are generic over :data:`VIEW`: a new control whose state belongs in the address
needs one more row here, and the control. A view is a mapping from a field's name to its value; None
leaves the value to the browser, which takes the explanation's default.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from saliency_core.combine import MAX_SIDE
from saliency_core.methods.registry import METHODS
from saliency_core.registry import Registry
from saliency_core.render import DEFAULT_COLORMAP, SEQUENTIAL_COLORMAPS

Value = str | float | bool | tuple[float, ...] | tuple[str, ...] | None
View = Mapping[str, Value]

DEFAULT_METHODS = ("normgrad", "grad_cam")
DEFAULT_OPACITY = 0.9
MAX_EPSILON = 0.1
"""The largest meta step that can be shown: forty times the authors'."""
MAX_WEIGHT = 1000.0
MAX_WEIGHTS = 64
MAX_EXTRA_LAYERS = 8
MAX_BOXES = 20
OBJECTS = "objects"
"""The value of the view's boxes that stands for those known of the objects of the explained class."""

_LAYER = re.compile(r"[A-Za-z0-9_.\-]{1,80}")
_log = logging.getLogger(__name__)


class Kind(Protocol):
    """A type of values: how they are written in an address, and what the browser gets and reports.

    No method raises on values from outside: what cannot be used becomes None.
    """

    def parse(self, text: str) -> Value:
        """The value that a text of the address means."""

    def format(self, value: Any) -> str:
        """The text of a valid value in the address."""

    def from_browser(self, reported: object, layers: Sequence[str]) -> Value:
        """The value that the browser reports, for an explanation of these layers."""

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """What the browser gets for a valid value; None where it does not fit these layers."""

    def describe(self) -> dict[str, object]:
        """What the browser must know to check a value by itself; ``kind`` names the checker."""


class _Text(ABC):
    """What the kinds with text values have in common: one text everywhere."""

    @abstractmethod
    def parse(self, text: str) -> Value:
        """The value that a text of the address means."""

    def format(self, value: Any) -> str:
        return str(value)

    def from_browser(self, reported: object, layers: Sequence[str]) -> Value:
        return self.parse(reported) if isinstance(reported, str) else None

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        return value


@dataclass(frozen=True)
class Choice(_Text):
    """One of a few names."""

    choices: tuple[str, ...]

    def parse(self, text: str) -> Value:
        """The name if it is a choice."""
        return text if text in self.choices else None

    def describe(self) -> dict[str, object]:
        """The choices."""
        return {"kind": "choice", "choices": list(self.choices)}


@dataclass(frozen=True)
class MethodName(_Text):
    """The name of a registered method."""

    def parse(self, text: str) -> Value:
        """The name if it is registered."""
        return text if text in METHODS else None

    def describe(self) -> dict[str, object]:
        """The browser knows the methods from the payload."""
        return {"kind": "method"}


@dataclass(frozen=True)
class LayerName(_Text):
    """The name of a layer; which layers exist is known with the model only."""

    def parse(self, text: str) -> Value:
        """The name if it could be a layer's."""
        return text if _LAYER.fullmatch(text) else None

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """The name if the explanation has such a layer."""
        return value if value in layers else None

    def describe(self) -> dict[str, object]:
        """The browser knows the layers from the payload."""
        return {"kind": "layer"}


@dataclass(frozen=True)
class Column(LayerName):
    """What a table of layers is sorted by: a layer, or one of its `others`."""

    others: tuple[str, ...]

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """The name if the table has such a column."""
        return value if value in self.others else super().for_browser(value, layers)

    def describe(self) -> dict[str, object]:
        """The columns beside the layers."""
        return {"kind": "column", "others": list(self.others)}


@dataclass(frozen=True)
class LayerNames:
    """The names of at most `most` layers; which layers exist is known with the model only."""

    most: int

    def parse(self, text: str) -> Value:
        """The names, separated by "~"; the first ones if there are too many."""
        names = self._names(text.split("~"))
        return None if names is None else names[: self.most]

    def surplus(self, text: str) -> int:
        """How many names of a text are left out because there are too many."""
        return max(len(self._names(text.split("~")) or ()) - self.most, 0)

    def format(self, value: Any) -> str:
        """Separated by "~", which is in no layer's name and needs no percent-encoding."""
        return "~".join(value)

    def from_browser(self, reported: object, layers: Sequence[str]) -> Value:
        """The names, none too."""
        names = self._names(reported) if isinstance(reported, list | tuple) else None
        return None if names is None or len(names) > self.most else names

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """All names: the explanation may not have them yet."""
        return list(value)

    def describe(self) -> dict[str, object]:
        """How many there may be; the browser knows the network's layers from the payload."""
        return {"kind": "layers", "most": self.most}

    @staticmethod
    def _names(names: Sequence[object]) -> tuple[str, ...] | None:
        found = dict.fromkeys(name for name in names if isinstance(name, str) and _LAYER.fullmatch(name))
        return tuple(found) if len(found) == len(names) else None


@dataclass(frozen=True)
class Flag:
    """On or off; 1 or 0 in the address."""

    def parse(self, text: str) -> Value:
        """True for "1" or "true", False for "0" or "false"."""
        return {"1": True, "true": True, "0": False, "false": False}.get(text)

    def format(self, value: Any) -> str:
        """One digit."""
        return str(int(value))

    def from_browser(self, reported: object, layers: Sequence[str]) -> Value:
        """A boolean as it is."""
        return reported if isinstance(reported, bool) else None

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """A boolean as it is."""
        return value

    def describe(self) -> dict[str, object]:
        """Nothing but the kind."""
        return {"kind": "flag"}


@dataclass(frozen=True)
class Number:
    """A number in [low, high]."""

    low: float
    high: float

    def parse(self, text: str) -> Value:
        """The number if it lies within the limits."""
        try:
            return self._checked(float(text))
        except ValueError:
            return None

    def format(self, value: Any) -> str:
        """At most six significant digits."""
        return f"{value:g}"

    def from_browser(self, reported: object, layers: Sequence[str]) -> Value:
        """The number if it lies within the limits."""
        return self._checked(_finite(reported))

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """The number as it is."""
        return value

    def describe(self) -> dict[str, object]:
        """The limits."""
        return {"kind": "number", "low": self.low, "high": self.high}

    def _checked(self, value: float | None) -> float | None:
        # Adding 0 makes a negative zero, which would be written with its sign, the usual one.
        return value + 0.0 if value is not None and self.low <= value <= self.high else None


@dataclass(frozen=True)
class Weights:
    """A weight >= 0 for every layer, input to output; ``()``, the default, stands for equal weights.

    The address has them in the order of the layers, the browser by the layers' names.
    """

    def parse(self, text: str) -> Value:
        """The weights, separated by "_" or ","."""
        values = [_number(part) for part in re.split("[_,]", text)[: MAX_WEIGHTS + 1]]
        return self._checked(values)

    def format(self, value: Any) -> str:
        """Separated by "_": a comma would be written as %2C."""
        return "_".join(f"{weight:g}" for weight in value)

    def from_browser(self, reported: object, layers: Sequence[str]) -> Value:
        """The weights of all layers; ``()`` if they are all the same and not zero."""
        if not isinstance(reported, Mapping):
            return None
        values = self._checked([_finite(reported.get(layer)) for layer in layers])
        return () if values and values[0] > 0 and len(set(values)) == 1 else values

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """Layer -> weight, if there is one for every layer."""
        return dict(zip(layers, value, strict=True)) if len(value) == len(layers) else None

    def describe(self) -> dict[str, object]:
        """The browser knows the layers from the payload."""
        return {"kind": "weights"}

    @staticmethod
    def _checked(values: Sequence[float | None]) -> tuple[float, ...] | None:
        found = tuple(value + 0.0 for value in values if value is not None and 0 <= value <= MAX_WEIGHT)
        return found if len(found) == len(values) and 0 < len(found) <= MAX_WEIGHTS else None


@dataclass(frozen=True)
class Boxes:
    """At most `most` boxes on the photo, or "objects" for those known of the objects of the explained class.

    A value has the numbers of all boxes one after another, (left, top, right, bottom) each, in the photo's
    own pixels; :func:`boxes_of` gives the boxes. ``()`` stands for none.
    """

    most: int

    def parse(self, text: str) -> Value:
        """The boxes, separated by "~", their numbers by "_" or ","; "none" for none."""
        if text == OBJECTS:
            return text
        boxes = [] if text == "none" else text.split("~")
        return self._checked([[_number(part) for part in re.split("[_,]", box)] for box in boxes])

    def format(self, value: Any) -> str:
        """As :meth:`parse` reads them."""
        if value == OBJECTS:
            return OBJECTS
        return "~".join("_".join(f"{number:g}" for number in box) for box in boxes_of(value)) or "none"

    def from_browser(self, reported: object, layers: Sequence[str]) -> Value:
        """The boxes, a list of four numbers each."""
        if reported == OBJECTS:
            return OBJECTS
        if not isinstance(reported, list | tuple) or not all(
            isinstance(box, list | tuple) for box in reported
        ):
            return None
        return self._checked([[_finite(number) for number in box] for box in reported])

    def for_browser(self, value: Any, layers: Sequence[str]) -> object:
        """A list of four numbers each; the browser clips them to the photo."""
        return value if value == OBJECTS else [list(box) for box in boxes_of(value)]

    def describe(self) -> dict[str, object]:
        """How many there may be; the browser knows the photo from the payload."""
        return {"kind": "boxes", "most": self.most}

    def _checked(self, boxes: Sequence[Sequence[float | None]]) -> tuple[float, ...] | None:
        found: list[float] = []
        for box in boxes:
            known = [value + 0.0 for value in box if value is not None and 0 <= value <= MAX_SIDE]
            if len(box) != 4 or len(known) != 4 or not (known[0] < known[2] and known[1] < known[3]):
                return None
            found += known
        return tuple(found) if len(boxes) <= self.most else None


def boxes_of(value: Value) -> tuple[tuple[float, float, float, float], ...]:
    """The boxes of a view, in the photo's pixels; none where those of its objects are meant."""
    numbers = [float(each) for each in value] if isinstance(value, tuple) else []
    return tuple(
        (left, top, right, bottom)
        for left, top, right, bottom in zip(
            numbers[::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True
        )
    )


@dataclass(frozen=True)
class Field:
    """One row of the view's table.

    Args:
        name: in Python, in the browser and in the address alike.
        kind: what values it takes.
        default: None where it depends on the explanation.
        address: whether the address has it under its name.
        browser: whether the viewer in the browser knows it; the other fields belong to the page around it.
    """

    name: str
    kind: Kind
    default: Value = None
    address: bool = True
    browser: bool = True


def _fields(*fields: Field) -> Registry[Field]:
    registry: Registry[Field] = Registry("field of the view")
    for each in fields:
        registry.add(each.name, each)
    return registry


EXTRA_LAYERS = LayerNames(MAX_EXTRA_LAYERS)

VIEW = _fields(
    Field("left", MethodName(), DEFAULT_METHODS[0]),
    Field("right", MethodName(), DEFAULT_METHODS[1]),
    Field("layer", LayerName()),
    # Layers that are explained beside the default ones, input to output.
    Field("layers", EXTRA_LAYERS, ()),
    Field("weights", Weights(), ()),
    Field("how", Choice(("product", "sum")), "product"),
    Field("opacity", Number(0, 1), DEFAULT_OPACITY),
    # Whether a map's opacity follows its values, and the colours of maps without a sign.
    Field("fade", Flag(), True),
    Field("colormap", Choice(SEQUENTIAL_COLORMAPS), DEFAULT_COLORMAP),
    Field("scale", Choice(("panel", "shared")), "panel"),
    # Framework: which tab, and whether the cells show the layers mixed instead of one of them.
    Field("tab", Choice(("table", "layers")), "table"),
    Field("mixed", Flag(), False),
    # Class sensitivity: what the third panel subtracts (the two classes, or one of them after and before the
    # meta step), what its table shows when there is a step, and which methods beside the named ones it lists.
    Field("difference", Choice(("classes", "first", "second")), "classes"),
    Field("figures", Choice(("after", "before", "change")), "after"),
    Field("cells", Flag(), False),
    Field("modified", Flag(), False),
    # Evaluate: which part of the page is on the screen, and what replaces the pixels that are removed.
    Field("part", Choice(("point", "insertion-deletion", "randomise", "photo-set")), "point", browser=False),
    Field("baseline", Choice(("blur", "mean", "black")), "blur", browser=False),
    # Point: the boxes on the photo, and what its table is sorted by.
    Field("boxes", Boxes(MAX_BOXES), OBJECTS),
    Field("sort", Column(("method", "hits", "mix")), "method"),
    # Lecture mode: large type, no sidebar.
    Field("present", Flag(), False, browser=False),
    # The size of the meta step. What is explained decides it: the address has it there, with its direction.
    Field("epsilon", Number(0, MAX_EPSILON), 0.0, address=False),
)
"""All fields of the view."""

DEFAULTS: View = {name: each.default for name, each in VIEW.items()}
"""The view of an empty address."""


def read(query: Mapping[str, str]) -> dict[str, Value]:
    """The view that an address describes. A missing or unusable value counts as its default."""
    found = dict(DEFAULTS)
    for name, each in VIEW.items():
        if each.address and name in query and (value := each.kind.parse(query[name])) is not None:
            found[name] = value
    return found


def unusable(query: Mapping[str, str]) -> tuple[str, ...]:
    """The fields of the view that an address has with a text that is no value of theirs."""
    return tuple(
        name
        for name, each in VIEW.items()
        if each.address and name in query and each.kind.parse(query[name]) is None
    )


def write(view: View) -> dict[str, str]:
    """The part of the address that reopens `view`; what has its default is left out."""
    return {
        name: each.kind.format(value)
        for name, each in VIEW.items()
        if each.address and (value := view.get(name)) is not None and value != each.default
    }


def for_browser(view: View, layers: Sequence[str]) -> dict[str, object]:
    """`view` as the viewer takes it, for an explanation of `layers`; what does not fit them is left out."""
    sent = {
        name: each.kind.for_browser(value, layers)
        for name, each in VIEW.items()
        if each.browser and (value := view.get(name)) is not None
    }
    return {name: value for name, value in sent.items() if value is not None}


def from_browser(reported: object, layers: Sequence[str]) -> dict[str, Value]:
    """The fields that the viewer reports, for an explanation of `layers`.

    The report is not trusted: a field that is missing, or whose value cannot be used, is left out, the latter
    with a line in the log.
    """
    if not isinstance(reported, Mapping):
        _log.warning("ignored a view that is a %s", type(reported).__name__)
        return {}
    found: dict[str, Value] = {}
    for name, each in VIEW.items():
        given = reported.get(name)
        if not each.browser or given is None:
            continue
        value = each.kind.from_browser(given, layers)
        if value is not None:
            found[name] = value
        else:
            _log.warning("ignored a value of type %s for %s in a reported view", type(given).__name__, name)
    return found


def describe() -> list[dict[str, object]]:
    """The table as the browser gets it, to complete a view by itself (web/core/view.js)."""
    return [
        {"name": name, "default": each.default, **each.kind.describe()}
        for name, each in VIEW.items()
        if each.browser
    ]


def carried_weights(weights: Value, before: Sequence[str], after: Sequence[str]) -> tuple[float, ...]:
    """The weights of the layers `before` for the layers `after`, as the browser carries them over.

    A layer that is new gets the weight of the others where they all have the same, else 0. Weights that do
    not fit the layers count as equal.
    """
    if not isinstance(weights, tuple) or len(weights) != len(before):
        return ()
    every = dict(zip(before, map(float, weights), strict=True))
    kept = [every[name] for name in after if name in every]
    if len(set(kept)) == 1 and kept[0] > 0:
        return ()
    return tuple(every.get(name, 0.0) for name in after)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _finite(value: object) -> float | None:
    """A number that came as JSON; a boolean is none, and an integer may be larger than any float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e300 < value < 1e300 else None
