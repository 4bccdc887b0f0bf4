"""The parts of figures: a photo with a map, the words around it, and the colour bar."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_core.combine import resize
from saliency_core.figures import fonts
from saliency_core.figures.compose import LEVELS, Backdrop, Pixels, Region, Scale, color_table
from saliency_core.figures.maps import RANDOM_WEIGHTS, Drawn, Scene, View
from saliency_core.figures.sheet import Paint, Sheet
from saliency_core.version import SOFTWARE
from saliency_core.viewer import formats

MARGIN = 24
LEAST = 440
"""Least width of a page, so that the words below a small table have room."""
GAP = 24
TITLE, CAPTION, SMALL, CREDIT = 15.0, 11.5, 10.5, 9.0
LINE = 1.4
"""Height of a line as a multiple of its type's size."""
BAR = 8
FLATTEST, STEEPEST = 1.35, 0.8
"""The limits of a panel's width / height; what surrounds the input region is cut to them."""
TALLEST = 1.25
"""Greatest height of a panel as a multiple of its width."""
CHECKS = np.array([(143, 147, 155), (185, 188, 194)], np.float32)
"""The squares behind transparent colours, as the viewer has them."""


@dataclass(frozen=True)
class Stage:
    """The part of a photo that a panel shows, and the panel's (height, width) in points."""

    shown: Region
    height: int
    width: int

    @classmethod
    def around(cls, scene: Scene, width: int) -> Stage:
        """The region with as much of the photo around it as fits the limits of a panel."""
        left, top, right, bottom = scene.region
        across = min(0.0, left), max(float(scene.photo.width), right)
        down = min(0.0, top), max(float(scene.photo.height), bottom)
        ratio = (across[1] - across[0]) / (down[1] - down[0])
        if ratio > FLATTEST:
            across = _shortened(across, left, right, (down[1] - down[0]) * FLATTEST)
        if ratio < STEEPEST:
            down = _shortened(down, top, bottom, (across[1] - across[0]) / STEEPEST)
        return cls.fitted((across[0], down[0], across[1], down[1]), width, TALLEST)

    @classmethod
    def of_region(cls, scene: Scene, width: int) -> Stage:
        """The region alone."""
        return cls.fitted(scene.region, width, TALLEST)

    @classmethod
    def fitted(cls, shown: Region, width: int, tallest: float) -> Stage:
        """A part of the photo in its own proportions, inside of a width and a greatest height."""
        ratio = (shown[2] - shown[0]) / (shown[3] - shown[1])
        height = min(width / ratio, tallest * width)
        return cls(shown, max(round(height), 1), max(round(min(width, height * ratio)), 1))


def _shortened(all_: tuple[float, float], start: float, end: float, length: float) -> tuple[float, float]:
    """One axis at most so long, around the middle of [start, end], which is never cut."""
    size = max(length, end - start)
    begin = min(max((start + end - size) / 2, all_[0]), all_[1] - size)
    return begin, begin + size


class Painter:
    """Paints the maps of a scene; the photo is prepared once for every size."""

    def __init__(self, scene: Scene, view: View, sheet: Sheet, stage: Stage) -> None:
        self.scene = scene
        self.view = view
        self.theme = sheet.theme
        self.stage = stage
        self._backdrop = functools.lru_cache(2)(self._prepared)

    def paint(self, drawn: Drawn, scale: Scale | None) -> Paint:
        """What paints a map on its photo, or the photo alone."""

        def picture(height: int, width: int) -> Pixels:
            backdrop = self._backdrop(height, width)
            if drawn.values is None or scale is None:
                return backdrop.pixels
            plane = resize(drawn.values, backdrop.map_size)
            return backdrop.under(plane, scale, self.table(drawn.diverging), self.view.opacity)

        return picture

    def table(self, diverging: bool) -> NDArray[np.uint8]:
        """The colours of maps with or without a sign."""
        return color_table(self.view.colormap, diverging=diverging, fade=self.view.fade)

    def _prepared(self, height: int, width: int) -> Backdrop:
        return Backdrop.of(
            self.scene.photo,
            self.scene.region,
            size=(height, width),
            shown=self.stage.shown,
            fade=self.view.fade,
            paper=self.theme.paper,
            ground=self.theme.quiet,
        )


@dataclass(frozen=True, eq=False)
class Panel:
    """One map with its words and its scale."""

    title: str
    words: Sequence[str]
    """The caption's parts."""
    drawn: Drawn
    scale: Scale | None
    meanings: tuple[str, str]
    boxes: Sequence[Region] = ()


def row(sheet: Sheet, painter: Painter, panels: Sequence[Panel], top: int, width: int) -> int:
    """Draw panels side by side, each so wide; returns the y of their lower edge."""
    captions = [fonts.joined(panel.words, " · ", width, CAPTION, most=3) for panel in panels]
    most = max(map(len, captions))
    stage = painter.stage
    below = 0
    for i, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        x, y = MARGIN + i * (width + GAP), top
        if panel.title:
            sheet.text(x, y + TITLE, panel.title, TITLE, weight=fonts.STRONG, room=width)
            y += round(TITLE * LINE) + 5
        left = x + (width - stage.width) // 2
        sheet.raster(left, y, stage.width, stage.height, painter.paint(panel.drawn, panel.scale))
        _over(sheet, painter, panel, left, y)
        y += stage.height + 6
        for line, text in enumerate(caption):
            baseline = y + CAPTION + line * CAPTION * LINE
            sheet.text(x, baseline, text, CAPTION, color=sheet.theme.muted, room=width)
        y += round(most * CAPTION * LINE) + 8
        below = legend(sheet, painter, panel, x, y, width)
    return below


def _over(sheet: Sheet, painter: Painter, panel: Panel, x: int, y: int) -> None:
    """What lies over a map: the boxes of the objects, the mark of random weights, why there is no map."""
    stage = painter.stage
    if stage.shown != painter.scene.region:
        x0, y0, wide, tall = _inside(painter, (0, 0, 1, 1), x, y)
        sheet.box(x0, y0, wide, tall, edge=sheet.theme.ink, alpha=0.55, line=0.7)
    for box in panel.boxes:
        _outline(sheet, painter, box, x, y)
    if painter.scene.explanation.random_weights:
        tag(sheet, x + 6, y + 6, RANDOM_WEIGHTS, SMALL, weight=fonts.STRONG)
    if panel.drawn.note:
        note(sheet, panel.drawn.note, x, y, stage.width, stage.height)


def _outline(sheet: Sheet, painter: Painter, box: Region, x: int, y: int) -> None:
    place = _inside(painter, box, x, y)
    sheet.box(*place, edge=(0, 0, 0), alpha=0.4, line=1.6)
    sheet.box(*place, edge=(255, 255, 255), alpha=0.95, line=1.0, dashed=True)


def _inside(painter: Painter, box: Region, x: int, y: int) -> tuple[float, float, float, float]:
    """The (x, y, width, height) on the page of a part of the region, given in fractions of it."""
    stage, (left, top, right, bottom) = painter.stage, painter.scene.region
    across, down = (
        stage.width / (stage.shown[2] - stage.shown[0]),
        stage.height / (stage.shown[3] - stage.shown[1]),
    )
    x0 = x + (left + box[0] * (right - left) - stage.shown[0]) * across
    y0 = y + (top + box[1] * (bottom - top) - stage.shown[1]) * down
    width, height = (box[2] - box[0]) * (right - left) * across, (box[3] - box[1]) * (bottom - top) * down
    return x0, y0, width, height


def tag(sheet: Sheet, x: float, y: float, text: str, size: float, *, weight: int = fonts.REGULAR) -> None:
    """A few words on a picture, their upper left corner at (x, y)."""
    words = fonts.clean(text)
    width = fonts.width(words, size, weight) + 10
    sheet.box(x, y, width, size * LINE + 2, fill=sheet.theme.paper, radius=3.5)
    sheet.text(x + 5, y + 1 + size * 1.08, words, size, weight=weight)


def note(sheet: Sheet, text: str, x: int, y: int, width: int, height: int) -> None:
    """A sentence at the foot of a picture."""
    found = fonts.lines(text, width - 40, CAPTION, most=max(1, int((height - 36) / (CAPTION * LINE))))
    wide = max(fonts.width(line, CAPTION) for line in found) + 16
    tall = len(found) * CAPTION * LINE + 10
    top = y + height - tall - 10
    middle = x + width / 2
    sheet.box(middle - wide / 2, top, wide, tall, fill=sheet.theme.paper, alpha=0.92, radius=5)
    for i, line in enumerate(found):
        sheet.text(middle, top + 5 + CAPTION * (1.08 + i * LINE), line, CAPTION, align="center")


def legend(sheet: Sheet, painter: Painter, panel: Panel, x: int, y: int, width: int) -> int:
    """A colour bar, its numbers and their meanings; returns the y of its lower edge, also without a map."""
    theme, scale = sheet.theme, panel.scale
    numbers = y + BAR + 4 + SMALL
    words = numbers + SMALL * LINE
    end = round(words + 5)
    if scale is None or panel.drawn.values is None:
        return end
    sheet.raster(x, y, width, BAR, bar(painter.table(panel.drawn.diverging)))
    low, high = formats.number(scale.low), formats.number(scale.high)
    sheet.text(x, numbers, low, SMALL, weight=fonts.STRONG)
    sheet.text(x + width, numbers, high, SMALL, weight=fonts.STRONG, align="right")
    room = width - 2 * max(fonts.width(each, SMALL, fonts.STRONG) for each in (low, high)) - 16
    middle = panel.drawn.remark(scale)
    if scale.low < 0 < scale.high:
        zero = x + width * -scale.low / (scale.high - scale.low)
        sheet.box(zero - 0.5, y - 2, 1, BAR + 4, fill=theme.ink)
        if not middle:
            sheet.text(zero, numbers, "0", SMALL, weight=fonts.STRONG, align="center")
    sheet.text(x + width / 2, numbers, middle, SMALL, color=theme.muted, align="center", room=room)
    dark, bright = panel.meanings
    half = (width - 12) / 2 if dark else width
    sheet.text(x, words, dark, SMALL, color=theme.muted, room=half)
    sheet.text(x + width, words, bright, SMALL, color=theme.muted, align="right", room=half)
    return end


def bar(table: NDArray[np.uint8]) -> Paint:
    """What paints a colour table from left to right, over squares where it is transparent."""

    def picture(height: int, width: int) -> Pixels:
        colors = table[np.arange(width) * LEVELS // width].astype(np.float32)
        side = max(height // 2, 1)
        squares = (np.arange(height)[:, None] // side + np.arange(width)[None, :] // side) % 2
        under = CHECKS[squares]
        mixed = under + colors[None, :, 3:] / 255 * (colors[None, :, :3] - under)
        pixels: Pixels = (mixed + 0.5).astype(np.uint8)
        return pixels

    return picture


def credit(sheet: Sheet, scene: Scene, y: int, width: int) -> int:
    """The small line at the foot; returns the height of the finished page."""
    name = fonts.cut(scene.photo_name, width / 3, CREDIT)
    model = fonts.cut(scene.model, width / 3, CREDIT)
    text = " · ".join(filter(None, (name, model, scene.state, SOFTWARE)))
    baseline = y + 12 + CREDIT
    sheet.text(MARGIN, baseline, text, CREDIT, color=sheet.theme.muted, room=width - 2 * MARGIN)
    return round(baseline + MARGIN - 6)
