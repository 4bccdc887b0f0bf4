"""All methods by layer: every named method, at every layer."""

from __future__ import annotations

from saliency_core.figures import fonts
from saliency_core.figures.cells import (
    BETWEEN,
    SIDE,
    by_class,
    cell,
    column_width,
    layer_heads,
    reasons,
    remarks,
    row_label,
)
from saliency_core.figures.maps import RANDOM_WEIGHTS, Drawn, at_input, layer_map
from saliency_core.figures.panels import CAPTION, LEAST, MARGIN, SMALL, Painter, Stage, credit
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
    left, height = MARGIN + LABEL, painter.stage.height
    page = max(left + len(e.layers) * (column + BETWEEN) - BETWEEN + MARGIN, LEAST)
    if e.random_weights:
        baseline = MARGIN + SMALL
        sheet.text(MARGIN, baseline, RANDOM_WEIGHTS, SMALL, weight=fonts.STRONG, color=sheet.theme.muted)
    y = layer_heads(sheet, scene, e.layers, left, MARGIN, column) + 4
    found: list[tuple[str, str, Drawn]] = []
    family = ""
    named = [method for method in METHODS.values() if method.name in e.methods and not is_plain_cell(method)]
    for method in named:
        if method.family != family:
            family = method.family
            y += 0 if method is named[0] else 6
            sheet.text(MARGIN, y + CAPTION, family, CAPTION, color=sheet.theme.muted)
            y += FAMILY
        row_label(sheet, method.short_title, MARGIN, y, height, LABEL - 12)
        for i, layer in enumerate(e.layers[:1] if at_input(method) else e.layers):
            drawn = layer_map(e, method.name, layer.name, SIDE)
            found.append((method.title, "the input" if at_input(method) else layer.name, drawn))
            cell(sheet, painter, drawn, left + i * (column + BETWEEN), y, column)
        if at_input(method):
            baseline = y + height / 2 + CAPTION * 0.36
            sheet.text(left + column + 12, baseline, INPUT, CAPTION, color=sheet.theme.muted)
        y += height + BETWEEN
    sentences = [by_class(scene, "each map on its own scale"), *reasons(found)]
    y = remarks(sheet, sentences, y + 8, page)
    return Picture.of(sheet, page, credit(sheet, scene, y, page), f"All methods by layer: {scene.label}")
