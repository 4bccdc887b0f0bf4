"""The strip: methods at every layer, and what Grad-CAM's averaging leaves of the gradient there."""

from __future__ import annotations

from saliency_core.figures.cells import BETWEEN, LayerTable, by_class, column_width, reasons, remarks, signs
from saliency_core.figures.maps import Drawn, titles
from saliency_core.figures.panels import LEAST, MARGIN, SMALL, Painter, Stage, credit
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Request
from saliency_core.methods.registry import METHODS
from saliency_core.viewer import formats

WIDTH = 760
LABEL = 104
NARROWEST, WIDEST = 64, 112
MOST = 12
"""Columns beside each other; more layers go on below."""
METER = 64
ENERGY = "Energy kept: the share of the gradient’s energy that survives Grad-CAM’s averaging over locations."
WHOLE = "Explains the input: the same at every depth."


def draw(request: Request) -> Picture:
    """Every layer, from input to output, for both methods of the view or for those asked for."""
    scene, view, sheet = request.scene, request.view, request.sheet
    e = scene.explanation
    names = request.methods or tuple(dict.fromkeys((view.left, view.right)))
    methods = [METHODS[name] for name in names]
    bands = -(-len(e.layers) // MOST)
    most = -(-len(e.layers) // bands)
    column = column_width(most, WIDTH - LABEL, NARROWEST, WIDEST)
    painter = Painter(scene, view, sheet, Stage.of_region(scene, column))
    page = max(2 * MARGIN + LABEL + most * (column + BETWEEN) - BETWEEN, LEAST)
    found: list[tuple[str, str, Drawn]] = []
    y = MARGIN
    for start in range(0, len(e.layers), most):
        here = e.layers[start : start + most]
        table = LayerTable(scene, sheet, painter, here, column, LABEL, WHOLE)
        y = table.head(y)
        for method in methods:
            found += table.row(method, method.title, y)
            y += table.height
        y = _energy(table, y) + (16 if bands > 1 else 10)
    specific = any(method.class_specific for method in methods)
    about = by_class(scene, "each map on its own scale", specific=specific)
    y = remarks(sheet, [about, *signs(methods), ENERGY, *reasons(found)], y, page)
    height = credit(sheet, scene, y, page)
    return Picture.of(sheet, page, height, f"{titles(names)}, every layer: {scene.label}")


def _energy(table: LayerTable, y: int) -> int:
    """The share of the gradient's energy that is left after averaging, below each layer."""
    sheet, column = table.sheet, table.column
    baseline = y + 6 + SMALL
    width = min(column, METER)
    sheet.text(MARGIN, baseline, "Energy kept", SMALL, room=LABEL - 12)
    for i, layer in enumerate(table.layers):
        share = table.scene.explanation.energy(layer.name)
        x = table.x(i)
        text = "no gradient" if share is None else formats.percent(share)
        sheet.text(x + column / 2, baseline, text, SMALL, align="center", room=column + BETWEEN)
        start = x + (column - width) / 2
        sheet.box(start, baseline + 5, width, 3, fill=sheet.theme.line)
        if share:
            sheet.box(start, baseline + 5, width * share, 3, fill=sheet.theme.accent)
    return round(baseline + 8)
