"""All methods by layer: every named method, at every layer."""

from __future__ import annotations

from saliency_core.figures.cells import BETWEEN, LayerTable, by_class, column_width, reasons, remarks, signs
from saliency_core.figures.maps import Drawn
from saliency_core.figures.panels import CAPTION, LEAST, MARGIN, Painter, Stage, credit
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Request
from saliency_core.methods.registry import METHODS
from saliency_core.viewer.methods import is_plain_cell

WIDTH = 760
LABEL = 132
NARROWEST, WIDEST = 48, 84
FAMILY = 24
INPUT = "one map, of the input itself"


def draw(request: Request) -> Picture:
    """Every method of the explanation that has its own name, in families."""
    scene, view, sheet = request.scene, request.view, request.sheet
    e = scene.explanation
    column = column_width(len(e.layers), WIDTH - LABEL, NARROWEST, WIDEST)
    painter = Painter(scene, view, sheet, Stage.of_region(scene, column))
    page = max(MARGIN + LABEL + len(e.layers) * (column + BETWEEN) - BETWEEN + MARGIN, LEAST)
    table = LayerTable(scene, sheet, painter, e.layers, column, LABEL, INPUT)
    y = table.head(MARGIN) + 4
    found: list[tuple[str, str, Drawn]] = []
    family = ""
    named = [method for method in METHODS.values() if method.name in e.methods and not is_plain_cell(method)]
    for method in named:
        if method.family != family:
            family = method.family
            y += 0 if method is named[0] else 6
            sheet.text(MARGIN, y + CAPTION, family, CAPTION, color=sheet.theme.muted)
            y += FAMILY
        found += table.row(method, method.short_title, y)
        y += table.height
    sentences = [by_class(scene, "each map on its own scale"), *signs(named), *reasons(found)]
    y = remarks(sheet, sentences, y + 8, page)
    return Picture.of(sheet, page, credit(sheet, scene, y, page), f"All methods by layer: {scene.label}")
