"""What a figure is drawn on: texts, pictures and lines at points of a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from saliency_core.figures import fonts
from saliency_core.figures.compose import Color, Pixels

POINTS_PER_INCH = 72

Align = Literal["left", "center", "right"]
Paint = Callable[[int, int], Pixels]
"""A picture of (height, width) pixels, RGB."""


@dataclass(frozen=True)
class Theme:
    """The colours of a page."""

    paper: Color
    quiet: Color
    ink: Color
    muted: Color
    line: Color
    accent: Color
    same: Color
    unrelated: Color
    opposite: Color


LIGHT = Theme(
    paper=(255, 255, 255),
    quiet=(246, 247, 249),
    ink=(27, 31, 39),
    muted=(91, 94, 99),
    line=(227, 230, 235),
    accent=(59, 91, 219),
    same=(47, 75, 192),
    unrelated=(255, 255, 255),
    opposite=(168, 60, 18),
)
DARK = Theme(
    paper=(17, 19, 24),
    quiet=(25, 28, 35),
    ink=(231, 233, 238),
    muted=(171, 173, 178),
    line=(42, 47, 58),
    accent=(141, 162, 251),
    same=(63, 92, 214),
    unrelated=(38, 42, 51),
    opposite=(173, 74, 31),
)


@dataclass(frozen=True)
class Text:
    """A line of text; `y` is that of its baseline."""

    x: float
    y: float
    text: str
    size: float
    weight: int
    color: Color
    align: Align


@dataclass(frozen=True)
class Raster:
    """A picture of pixels."""

    x: int
    y: int
    width: int
    height: int
    paint: Paint


@dataclass(frozen=True)
class Box:
    """A rectangle: filled, outlined, or both."""

    x: float
    y: float
    width: float
    height: float
    fill: Color | None = None
    alpha: float = 1.0
    edge: Color | None = None
    line: float = 0.0
    dashed: bool = False
    radius: float = 0.0


Item = Text | Raster | Box


@dataclass
class Sheet:
    """A page that is being filled; all lengths in points, from its upper left corner."""

    theme: Theme = LIGHT
    items: list[Item] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        weight: int = fonts.REGULAR,
        color: Color | None = None,
        align: Align = "left",
        room: float | None = None,
    ) -> None:
        """A line of text with its baseline at `y`, cut if it is wider than `room`."""
        words = fonts.clean(text) if room is None else fonts.cut(text, room, size, weight)
        if words:
            self.items.append(
                Text(x, y, words, size, weight, self.theme.ink if color is None else color, align)
            )

    def raster(self, x: int, y: int, width: int, height: int, paint: Paint) -> None:
        """A picture, painted at the resolution of the file that it goes into."""
        self.items.append(Raster(x, y, width, height, paint))

    def box(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        """A rectangle; `style` as :class:`Box` has it."""
        self.items.append(Box(x, y, width, height, **style))


def rgb(color: Color) -> tuple[float, float, float]:
    """A colour as Matplotlib takes it."""
    red, green, blue = (part / 255 for part in color)
    return red, green, blue
