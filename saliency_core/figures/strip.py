"""The strip: methods at every layer, and what Grad-CAM's averaging leaves of the gradient there."""

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
from saliency_core.figures.sheet import Sheet
from saliency_core.methods.registry import METHODS
from saliency_core.models.layers import Layer
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
    bands = -(-len(e.layers) // MOST)
    most = -(-len(e.layers) // bands)
    column = column_width(most, WIDTH - LABEL, NARROWEST, WIDEST)
    painter = Painter(scene, view, sheet, Stage.of_region(scene, column))
    page = max(2 * MARGIN + LABEL + most * (column + BETWEEN) - BETWEEN, LEAST)
    found: list[tuple[str, str, Drawn]] = []
    y = MARGIN
    for start in range(0, len(e.layers), most):
        here = e.layers[start : start + most]
        y = _band(request, painter, here, names, y, column, found) + (16 if bands > 1 else 10)
    specific = any(METHODS[name].class_specific for name in names)
    sentences = [by_class(scene, "each map on its own scale", specific=specific), ENERGY, *reasons(found)]
    y = remarks(sheet, sentences, y, page)
    *others, last = (METHODS[name].title for name in names)
    titles = f"{', '.join(others)} and {last}" if others else last
    height = credit(sheet, scene, y, page)
    return Picture.of(sheet, page, height, f"{titles}, every layer: {scene.label}")


def _band(
    request: Request,
    painter: Painter,
    layers: tuple[Layer, ...],
    names: tuple[str, ...],
    top: int,
    column: int,
    found: list[tuple[str, str, Drawn]],
) -> int:
    """Some of the layers; appends their maps to `found`, and returns the y below them."""
    scene, sheet = request.scene, request.sheet
    left, height = MARGIN + LABEL, painter.stage.height
    if scene.explanation.random_weights:
        baseline = top + SMALL
        sheet.text(MARGIN, baseline, RANDOM_WEIGHTS, SMALL, weight=fonts.STRONG, color=sheet.theme.muted)
    y = layer_heads(sheet, scene, layers, left, top, column)
    for name in names:
        method = METHODS[name]
        row_label(sheet, method.title, MARGIN, y, height, LABEL - 12)
        for i, layer in enumerate(layers[:1] if at_input(method) else layers):
            drawn = layer_map(scene.explanation, name, layer.name, SIDE)
            found.append((method.title, "the input" if at_input(method) else layer.name, drawn))
            cell(sheet, painter, drawn, left + i * (column + BETWEEN), y, column)
        if at_input(method):
            baseline = y + height / 2 + CAPTION * 0.36
            sheet.text(left + column + 12, baseline, WHOLE, CAPTION, color=sheet.theme.muted)
        y += height + BETWEEN
    return _energy(request, sheet, layers, left, y, column)


def _energy(request: Request, sheet: Sheet, layers: tuple[Layer, ...], left: int, y: int, column: int) -> int:
    """The share of the gradient's energy that is left after averaging, below each layer."""
    baseline = y + 6 + SMALL
    width = min(column, METER)
    sheet.text(MARGIN, baseline, "Energy kept", SMALL, room=LABEL - 12)
    for i, layer in enumerate(layers):
        share = request.scene.explanation.energy(layer.name)
        x = left + i * (column + BETWEEN)
        text = "no gradient" if share is None else formats.percent(share)
        sheet.text(x + column / 2, baseline, text, SMALL, align="center", room=column + BETWEEN)
        start = x + (column - width) / 2
        sheet.box(start, baseline + 5, width, 3, fill=sheet.theme.line)
        if share:
            sheet.box(start, baseline + 5, width * share, 3, fill=sheet.theme.accent)
    return round(baseline + 8)
