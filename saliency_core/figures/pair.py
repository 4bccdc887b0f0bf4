"""Figures of one map, and of two methods side by side."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_core.figures.maps import caption, map_of, meanings, scales
from saliency_core.figures.panels import GAP, MARGIN, Painter, Panel, Stage, credit, row
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Request
from saliency_core.methods.registry import METHODS

PANEL_WIDTH = 448
PAIR_WIDTH = 352


def panel(request: Request) -> Picture:
    """The method on the left."""
    return _side_by_side(request, (request.view.left,), PANEL_WIDTH)


def pair(request: Request) -> Picture:
    """Both methods."""
    return _side_by_side(request, (request.view.left, request.view.right), PAIR_WIDTH)


def _side_by_side(request: Request, names: Sequence[str], width: int) -> Picture:
    scene, view, sheet = request.scene, request.view, request.sheet
    # A panel alone shares its scale with the one that is not shown, as in the viewer.
    both = (view.left, view.right)
    drawn = [map_of(scene.explanation, name, view) for name in both]
    boxes = () if view.mixed else scene.boxes
    found = []
    for name, each, scale in list(zip(both, drawn, scales(both, drawn, view), strict=True))[: len(names)]:
        title, *words = caption(scene, name, view)
        found.append(Panel(title, words, each, scale, meanings(name, each.diverging), boxes))
    painter = Painter(scene, view, sheet, Stage.around(scene, width))
    bottom = row(sheet, painter, found, MARGIN, width)
    page = 2 * MARGIN + len(names) * width + (len(names) - 1) * GAP
    height = credit(sheet, scene, bottom, page)
    titles = " and ".join(dict.fromkeys(METHODS[name].title for name in names))
    where = f"{view.how} of the layers" if view.mixed else view.layer
    return Picture.of(sheet, page, height, f"{titles}, {where}: {scene.label}")
