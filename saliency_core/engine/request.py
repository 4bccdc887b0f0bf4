"""The request that every engine answers, as a value that can be compared, hashed and sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeGuard

from PIL import Image

from saliency_core.backprop.meta_step import MetaStep
from saliency_core.errors import ArgumentTypeError
from saliency_core.models.catalogue.details import ModelDetails
from saliency_core.models.layers import INPUT, Layer

Options = tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
"""Options of many-pass methods, hashable: ((method, ((option, value), ...)), ...), sorted by name."""


@dataclass(frozen=True)
class ExplainRequest:
    """Which explanation is asked for. Equal requests have equal answers.

    ``photo`` identifies the image that goes with the request (see :func:`image_digest`); ``methods`` None:
    every method of the shared pass; ``layers`` None: the default layers; ``variant``: a change of the network
    before it is explained; ``options`` as :func:`frozen_options` gives them.

    Only the types are checked here. Which models, classes, layers, methods, fits and options there are is
    known to the engine that answers, which raises a ``SaliencyError`` with the choices.

    Raises:
        ArgumentTypeError: a field of another type; sequences must be tuples, so that a request can be hashed.
    """

    photo: str
    model: str
    target: int | None = None
    fit: str = "crop"
    methods: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    variant: MetaStep | None = None
    options: Options = ()

    def __post_init__(self) -> None:
        expected = {
            "photo": (isinstance(self.photo, str), "a digest (see image_digest)"),
            "model": (isinstance(self.model, str), "a model's name"),
            "target": (self.target is None or _is_integer(self.target), "a class index or None"),
            "fit": (isinstance(self.fit, str), "the name of a fit"),
            "methods": (self.methods is None or _is_names(self.methods), "a tuple of names or None"),
            "layers": (self.layers is None or _is_names(self.layers), "a tuple of names or None"),
            "variant": (self.variant is None or isinstance(self.variant, MetaStep), "a MetaStep or None"),
            "options": (_is_options(self.options), "((method, ((option, number), ...)), ...)"),
        }
        for name, (right, wanted) in expected.items():
            if not right:
                raise ArgumentTypeError(f"{name} is {getattr(self, name)!r}; expected {wanted}")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_names(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)


def _is_pairs(value: object) -> TypeGuard[tuple[tuple[str, object], ...]]:
    return isinstance(value, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


def _is_options(value: object) -> bool:
    return _is_pairs(value) and all(
        _is_pairs(options) and all(isinstance(number, (int, float)) for _, number in options)
        for _, options in value
    )


def frozen_options(options: Mapping[str, Mapping[str, float]] | None) -> Options:
    """The options of :func:`saliency_core.explain` in the form that a request holds.

    Raises:
        ArgumentTypeError: not a mapping of mappings.
    """
    given = {} if options is None else options
    if not isinstance(given, Mapping) or not all(isinstance(values, Mapping) for values in given.values()):
        raise ArgumentTypeError(f"options is {options!r}; expected {{method: {{option: number}}}}")
    return tuple((method, tuple(sorted(given[method].items(), key=str))) for method in sorted(given, key=str))


def image_digest(image: Image.Image) -> str:
    """SHA-256 of an image's size and RGB pixels, which are all that a network sees of it.

    Raises:
        ArgumentTypeError: not a PIL image.
    """
    if not isinstance(image, Image.Image):
        raise ArgumentTypeError(f"image is a {type(image).__name__}; expected a PIL image (see open_image)")
    rgb = image.convert("RGB")
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height}".encode())
    digest.update(rgb.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class ModelListing:
    """A model as a list of models shows it, known without loading it."""

    name: str
    title: str
    summary: str
    state: str
    """``"loaded"`` (in memory), ``"local"`` (its weights are on this machine), ``"download"`` or
    ``"random"``."""
    download_bytes: int | None
    """Size of the download; None where nothing has to be fetched, or where it is not known."""
    library: str = ""
    """``"torchvision"``, ``"timm"``, or empty: a model of one's own or of a folder."""
    details: ModelDetails | None = None
    """What the library publishes; None in lists, which do not ask for it."""
    tag: str | None = None
    """Which of the library's published weights; None where there is no choice."""
    default_tag: str | None = None
    """Which weights the architecture's name alone stands for; None in lists, and where there is no choice."""


@dataclass(frozen=True)
class FolderEntry:
    """A sub-folder of the folder of models."""

    name: str
    """The model's name, ``folder:SUBFOLDER``."""
    title: str
    problem: str = ""
    """Why it gives no model, as a sentence; empty if it gives one."""


@dataclass(frozen=True)
class ModelInfo:
    """What a user interface needs to know of a loaded model."""

    name: str
    title: str
    labels: tuple[str, ...]
    layers: tuple[Layer, ...]
    """Every layer that can be explained, input to output."""
    default_layers: tuple[str, ...]
    presets: Mapping[str, Mapping[str, float]]
    """Published layer weights: title -> layer -> weight."""
    unavailable: Mapping[str, str]
    """Method -> why it is not defined for this network, as a sentence."""
    notice: str | None = None
    """What is unusual about the network, as a sentence, or None."""
    convolutions: frozenset[str] = frozenset()
    """The layers that are convolutions, or linear at every location."""
    linear: frozenset[str] = frozenset()
    """Those of ``convolutions`` that are linear layers."""
    random: bool = False
    """Whether its weights are random."""
    library: str = ""
    """As in :class:`ModelListing`."""
    features: bool = False
    """Whether it has no classes, so that its output features take their place: softmax means nothing then."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Block -> why it is none of the default layers, though the blocks beside it are, as a clause."""

    def chosen(self, extra: Iterable[str]) -> tuple[str, ...]:
        """The default layers and those of `extra` that the network has, input to output."""
        wanted = {*self.default_layers, *extra}
        names = (INPUT, *(layer.name for layer in self.layers))
        return tuple(name for name in names if name in wanted)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unavailable", MappingProxyType(dict(self.unavailable)))
        object.__setattr__(self, "left_out", MappingProxyType(dict(self.left_out)))
        presets = {title: MappingProxyType(dict(weights)) for title, weights in self.presets.items()}
        object.__setattr__(self, "presets", MappingProxyType(presets))
