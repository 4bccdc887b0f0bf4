"""What a figure is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saliency_core.figures.maps import Other, Scene, View
from saliency_core.figures.picture import Picture
from saliency_core.figures.sheet import Sheet


@dataclass(frozen=True)
class Request:
    """A scene, what is shown of it, and an empty page."""

    scene: Scene
    view: View
    sheet: Sheet
    other: Other
    methods: tuple[str, ...] = ()
    """Those that were asked for by name; none where those of the view are shown."""


@dataclass(frozen=True)
class Kind:
    """A kind of figure."""

    name: str
    title: str
    summary: str
    """What it shows, in one sentence."""
    draw: Callable[[Request], Picture]
    needs_other: bool = False
    """Whether it is of two classes."""
    any_methods: bool = False
    """Whether it can show any number of methods, instead of those of the view."""
