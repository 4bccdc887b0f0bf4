"""What is explained and how it is shown, as one value, and the address that reopens it.

The part about the view is the viewer's own table (`saliency_core.viewer.schema`); the part about what is
explained is the table `FRAME` here. Reading and writing are generic over both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import saliency_core as sc
from pages.shared import models, photos
from saliency_core.viewer import schema

DEFAULT_FIT = next(iter(sc.FITS))
LEARN, UNLEARN = "learn", "unlearn"

_INDEX = re.compile("[0-9]{1,9}")
_UPLOAD = re.compile(f"{photos.UPLOAD_PREFIX}[0-9a-f]{{{photos.DIGEST_IN_ADDRESS}}}")


@dataclass(frozen=True)
class Choice:
    """What is explained, and how it is shown.

    `target` is the class (None: the most likely one), `other` the one to compare it with (None: the least
    likely one). `step` is the size of the meta step before every explanation (None:
    switched off; 0: switched on, but no change), `direction` whether it learns or unlearns the class. `view`
    has all fields of the viewer's table.
    """

    model: str = sc.DEFAULT_MODEL
    photo: str = field(default_factory=photos.default_sample)
    target: int | None = None
    fit: str = DEFAULT_FIT
    other: int | None = None
    step: float | None = None
    direction: str = LEARN
    view: schema.View = field(default_factory=lambda: dict(schema.DEFAULTS))

    @property
    def extra_layers(self) -> tuple[str, ...]:
        """The layers that are explained beside the default ones."""
        found = self.view["layers"]
        return tuple(map(str, found)) if isinstance(found, tuple) else ()

    @property
    def variant(self) -> sc.MetaStep | None:
        """The change of the network before it is explained; a step of size 0 is none."""
        return self.variant_of(self.step)

    def variant_of(self, size: float | None) -> sc.MetaStep | None:
        """The change of the network by a step of another size in the chosen direction."""
        return sc.MetaStep(size, ascend=self.direction == UNLEARN) if size else None

    def within(self, classes: int) -> Self:
        """The same choice without the classes that a model with this number of classes does not have."""
        target, other = (
            index if index is None or index < classes else None for index in (self.target, self.other)
        )
        return replace(self, target=target, other=other)


class Text(Protocol):
    """How the values of a field are written in an address."""

    def parse(self, text: str) -> Any:
        """The value of a text; None if it cannot be used."""

    def format(self, value: Any) -> str:
        """The text of a valid value."""


class ModelName:
    """A model's name; whether a network of one's own is this session's, the session knows."""

    def parse(self, text: str) -> str | None:
        return text if models.exists(text) else None

    def format(self, value: str) -> str:
        return value


class PhotoKey:
    """A sample's name, or the key of an upload."""

    def parse(self, text: str) -> str | None:
        return text if text in photos.sample_files() or _UPLOAD.fullmatch(text) else None

    def format(self, value: str) -> str:
        return value


class ClassIndex:
    """The index of a class; whether the model has so many classes is known only once it is loaded."""

    def parse(self, text: str) -> int | None:
        return int(text) if _INDEX.fullmatch(text) else None

    def format(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True)
class FrameField:
    """One row of the table: a name in the address, the `Choice`'s attribute, and how values are written.

    `always`: also the default is written. `alias` is another name under which it is read.
    """

    name: str
    attribute: str
    text: Text
    always: bool = False
    alias: str = ""


# With the photo always there, an empty query can only be an address that has not been written yet.
FRAME = (
    FrameField("photo", "photo", PhotoKey(), always=True),
    FrameField("model", "model", ModelName()),
    FrameField("class", "target", ClassIndex(), alias="a"),
    FrameField("b", "other", ClassIndex()),
    FrameField("fit", "fit", schema.Choice(tuple(sc.FITS))),
    FrameField("meta", "step", schema.Number(0, schema.MAX_EPSILON)),
    FrameField("direction", "direction", schema.Choice((LEARN, UNLEARN))),
)


def read(query: Mapping[str, str]) -> Choice:
    """The choice that an address describes. A missing or unusable value counts as its default."""
    found = {
        row.attribute: value
        for row in FRAME
        for name in (row.alias, row.name)
        if name in query and (value := row.text.parse(query[name])) is not None
    }
    if found.get("step") is None:
        found.pop("direction", None)  # of no step
    return Choice(**found, view=schema.read(query))


def unusable(query: Mapping[str, str]) -> tuple[str, ...]:
    """The fields that an address has with a text that is no value of theirs, by their names in an address."""
    frame = (
        row.name
        for row in FRAME
        if any(
            name and name in query and row.text.parse(query[name]) is None for name in (row.name, row.alias)
        )
    )
    return (*frame, *schema.unusable(query))


def write(choice: Choice) -> dict[str, str]:
    """The query that reopens `choice`, without what has its default, or is not shown."""
    default = Choice()
    if choice.other == choice.target:
        choice = replace(choice, other=None)  # a class is never compared with itself
    query = {
        row.name: row.text.format(value)
        for row in FRAME
        if (value := getattr(choice, row.attribute)) is not None
        and (row.always or value != getattr(default, row.attribute))
    }
    return query | schema.write(choice.view)
