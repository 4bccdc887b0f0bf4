"""The framework's table: extracts down, aggregates across, one map in each cell."""

from __future__ import annotations

from saliency_core.figures import fonts
from saliency_core.figures.cells import SIDE, by_class, cell, reasons, remarks
from saliency_core.figures.maps import RANDOM_WEIGHTS, Drawn, Scene, View, map_of
from saliency_core.figures.panels import (
    CAPTION,
    LINE,
    MARGIN,
    SMALL,
    Painter,
    Stage,
    bar,
    credit,
)
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Request
from saliency_core.figures.sheet import Sheet
from saliency_core.methods.cells import AGGREGATES, EXTRACTS
from saliency_core.methods.registry import cell_method
from saliency_core.viewer.methods import is_plain_cell

COLUMN = 128
LABEL = 150
ACROSS, DOWN = 18, 22
NAME = 16
KEY = 96
"""Width of the colour bars that explain the cells."""
KEYS = (
    (False, "Norm, filter norm: each cell from its own minimum to its maximum."),
    (True, "Sum, max: each cell around 0, up to its own 99th percentile."),
)
MIXED_KEY = "Each cell from its own minimum to its maximum."
NOT_COMPUTED = "Not computed."


def draw(request: Request) -> Picture:
    """Every cell at the view's layer, or mixed over the layers."""
    scene, view, sheet = request.scene, request.view, request.sheet
    painter = Painter(scene, view, sheet, Stage.of_region(scene, COLUMN))
    left = MARGIN + LABEL
    page = left + len(AGGREGATES) * (COLUMN + ACROSS) - ACROSS + MARGIN
    _corner(sheet, scene, MARGIN)
    for column, aggregate in enumerate(AGGREGATES.values()):
        x = left + column * (COLUMN + ACROSS)
        title = aggregate.title[:1].upper() + aggregate.title[1:]
        sheet.text(x, MARGIN + CAPTION, title, CAPTION, weight=fonts.STRONG, room=COLUMN)
        baseline = MARGIN + CAPTION * (1 + LINE)
        sheet.text(x, baseline, aggregate.summary, SMALL, color=sheet.theme.muted, room=COLUMN + ACROSS - 2)
    y = MARGIN + round(2 * CAPTION * LINE) + 6
    found: list[tuple[str, str, Drawn]] = []
    for extract_name, extract in EXTRACTS.items():
        _row_head(sheet, extract.title, extract.summary, y, painter.stage.height)
        for column, aggregate_name in enumerate(AGGREGATES):
            method = cell_method(extract_name, aggregate_name)
            x = left + column * (COLUMN + ACROSS)
            drawn = _map(scene, method.name, view)
            cell(sheet, painter, drawn, x, y, COLUMN)
            where = "mixed" if view.mixed else view.layer
            found.append((method.title, where, drawn))
            if not is_plain_cell(method):
                _named(sheet, painter.stage, method.short_title, x, y)
        y += painter.stage.height + DOWN
    y = _keys(sheet, painter, view, y - DOWN + NAME + 12)
    place = f"mixed, {_count(view)}" if view.mixed else _layer(scene, view)
    y = remarks(sheet, [by_class(scene, place), *reasons(found)], y, page)
    height = credit(sheet, scene, y, page)
    return Picture.of(sheet, page, height, f"Framework, {place}: {scene.label}")


def _map(scene: Scene, name: str, view: View) -> Drawn:
    if name not in scene.explanation.methods:
        return Drawn.empty(NOT_COMPUTED, False, missing=True)
    return map_of(scene.explanation, name, view, SIDE)


def _count(view: View) -> str:
    count = sum(weight > 0 for weight in view.weights)
    return f"{view.how} of {count} {'layer' if count == 1 else 'layers'}"


def _layer(scene: Scene, view: View) -> str:
    layer = next(each for each in scene.explanation.layers if each.name == view.layer)
    return f"{layer.name} · {layer.channels} channels"


def _corner(sheet: Sheet, scene: Scene, y: float) -> None:
    mark = RANDOM_WEIGHTS if scene.explanation.random_weights else ""
    sheet.text(MARGIN, y + CAPTION, mark, SMALL, weight=fonts.STRONG, color=sheet.theme.muted)
    baseline = y + CAPTION * (1 + LINE)
    sheet.text(MARGIN, baseline, "Extract ↓   Aggregate →", SMALL, color=sheet.theme.muted)


def _row_head(sheet: Sheet, title: str, summary: str, y: float, height: int) -> None:
    words = fonts.lines(summary, LABEL - 16, SMALL, most=4)
    first = y + height / 2 - len(words) * SMALL * LINE / 2
    sheet.text(MARGIN, first + 2, title, CAPTION, weight=fonts.STRONG, room=LABEL - 12)
    for i, line in enumerate(words, 1):
        sheet.text(MARGIN, first + 2 + i * SMALL * LINE, line, SMALL, color=sheet.theme.muted)


def _named(sheet: Sheet, stage: Stage, title: str, x: int, y: int) -> None:
    """The frame and the name of a published method."""
    left = x + (COLUMN - stage.width) // 2
    sheet.box(left, y, stage.width, stage.height, edge=sheet.theme.ink, line=1.6)
    baseline = y + stage.height + 4 + SMALL
    sheet.text(left, baseline, title, SMALL, weight=fonts.STRONG, room=COLUMN + ACROSS - 2)


def _keys(sheet: Sheet, painter: Painter, view: View, y: float) -> int:
    """What the colours mean; returns the y below."""
    for diverging, text in ((False, MIXED_KEY),) if view.mixed else KEYS:
        sheet.raster(MARGIN, round(y) + 2, KEY, 8, bar(painter.table(diverging)))
        sheet.text(MARGIN + KEY + 10, round(y) + CAPTION - 1, text, CAPTION, color=sheet.theme.muted)
        y += CAPTION * LINE + 2
    return round(y) + 2
