"""Figures of one map, and of two methods side by side."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_core.figures.maps import caption, map_of, meanings, scales, titles
from saliency_core.figures.panels import GAP, MARGIN, Painter, Panel, Stage, credit, row
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Request

PANEL_WIDTH = 448
PAIR_WIDTH = 352
ROW_WIDTH = 272
"""In rows of three."""
MOST = 3
"""Panels beside each other; more go on below."""
BETWEEN = 16


def panel(request: Request) -> Picture:
    """The method on the left."""
    view = request.view
    # A panel alone shares its scale with the one that is not shown, as in the viewer.
    return _side_by_side(request, (view.left, view.right), PANEL_WIDTH, alone=True)


def pair(request: Request) -> Picture:
    """Both methods of the view, or those asked for."""
    names = request.methods or (request.view.left, request.view.right)
    return _side_by_side(request, names, PAIR_WIDTH if len(names) < MOST else ROW_WIDTH)


def _side_by_side(request: Request, names: Sequence[str], width: int, *, alone: bool = False) -> Picture:
    scene, view, sheet = request.scene, request.view, request.sheet
    drawn = [map_of(scene.explanation, name, view) for name in names]
    boxes = () if view.mixed else scene.boxes
    found = []
    for name, each, scale in zip(names, drawn, scales(names, drawn, view), strict=True):
        title, *words = caption(scene, name, view)
        found.append(Panel(title, words, each, scale, meanings(name, each.diverging), boxes))
    if alone:
        names, found = names[:1], found[:1]
    painter = Painter(scene, view, sheet, Stage.around(scene, width))
    y = MARGIN
    for start in range(0, len(found), MOST):
        y = row(sheet, painter, found[start : start + MOST], y + BETWEEN * (start > 0), width)
    across = min(len(found), MOST)
    page = 2 * MARGIN + across * width + (across - 1) * GAP
    height = credit(sheet, scene, y, page)
    where = f"{view.how} of the layers" if view.mixed else view.layer
    return Picture.of(sheet, page, height, f"{titles(names)}, {where}: {scene.label}")
