"""The question that every engine answers, as a value that can be compared, hashed and sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image

from saliency_core.backprop.variants import MetaStep
from saliency_core.models.layers import Layer

Options = tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
"""Options of many-pass methods, hashable: ((method, ((option, value), ...)), ...), sorted by name."""


@dataclass(frozen=True)
class ExplainRequest:
    """Which explanation is asked for. Equal requests have equal answers.

    ``photo`` identifies the image that goes with the request (see :func:`image_digest`); ``methods`` None:
    every method of the shared pass; ``layers`` None: the default layers; ``variant``: a change of the network
    before it is explained.
    """

    photo: str
    model: str
    target: int | None = None
    fit: str = "crop"
    methods: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    variant: MetaStep | None = None
    options: Options = ()


def frozen_options(options: Mapping[str, Mapping[str, float]] | None) -> Options:
    """The options of :func:`saliency_core.explain` in the form that a request holds."""
    given = options or {}
    return tuple((method, tuple(sorted(given[method].items()))) for method in sorted(given))


def image_digest(image: Image.Image) -> str:
    """SHA-256 of an image's size and RGB pixels, which are all that a network sees of it."""
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
    """``"loaded"`` (in memory), ``"local"`` (its weights are on this machine) or ``"download"``."""
    download_bytes: int | None
    """Size of the download; None where nothing has to be fetched."""


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
    """What is unusual about the network, as a sentence; None for nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unavailable", MappingProxyType(dict(self.unavailable)))
