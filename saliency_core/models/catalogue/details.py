"""What is published about a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelDetails:
    """What is published about a model; None where the library says nothing."""

    parameters: int | None
    top1: float | None
    """Published accuracy on ImageNet-1k in percent: the share of photos whose most likely class is right."""
    licence: str | None
    """The licence of the weights."""
    classes: int
    dataset: str | None
    """What its classes are from: ``"ImageNet-1k"``, ``"ImageNet-21k"``, …"""
    input_size: tuple[int, int, int]
    """Channels, height, width."""
    download_bytes: int | None
    """Size of the download, for timm's about (four bytes for each parameter); None if nothing is fetched."""
    tags: tuple[str, ...]
    """All published weights of the architecture."""
    url: str | None
    """A page about the weights."""
    features: bool = False
    """Whether it has no classes, so that its output features take their place."""
