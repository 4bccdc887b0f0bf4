"""The kinds of figures, by name. A new kind is one more function and one more entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from saliency_core.errors import ArgumentTypeError
from saliency_core.explain import Explanation
from saliency_core.figures import fonts
from saliency_core.figures.maps import (
    Drawn,
    Scene,
    View,
    at_input,
    caption,
    layer_map,
    map_of,
    meanings,
    scales,
)
from saliency_core.figures.panels import (
    CAPTION,
    GAP,
    LINE,
    MARGIN,
    RANDOM_WEIGHTS,
    SMALL,
    Painter,
    Panel,
    Stage,
    credit,
    row,
)
from saliency_core.figures.picture import Picture
from saliency_core.figures.sheet import DARK, LIGHT, Sheet
from saliency_core.methods.registry import METHODS
from saliency_core.registry import Registry
from saliency_core.viewer import formats
from saliency_core.viewer.payload import ClassComparison, DisplayPhoto

PANEL_WIDTH = 448
PAIR_WIDTH = 352
CELL_SIDE = 160
"""Side at which the viewer measures the maps of small pictures."""

Other = Explanation | ClassComparison | None


@dataclass(frozen=True)
class Request:
    """What a figure is made of."""

    scene: Scene
    view: View
    sheet: Sheet
    other: Other


@dataclass(frozen=True)
class Kind:
    """A kind of figure."""

    name: str
    title: str
    summary: str
    """What it shows, one sentence."""
    draw: Callable[[Request], Picture]


KINDS: Registry[Kind] = Registry("kind of figure")


def _kind(name: str, title: str, summary: str) -> Callable[[Callable[[Request], Picture]], None]:
    def register(draw: Callable[[Request], Picture]) -> None:
        KINDS.add(name, Kind(name, title, summary, draw))

    return register


def figure(
    explanation: Explanation,
    kind: str = "pair",
    *,
    other: Other = None,
    photo: Image.Image | DisplayPhoto | None = None,
    dark: bool = False,
    **view: Any,
) -> Picture:
    """A figure for a paper or a slide: what the viewer shows for a view, with captions and colour bars.

    Args:
        explanation: of a photo.
        kind: one of ``sc.FIGURES``: "panel" (the method on the left), "pair" (both methods), "strip" (both at
            every layer), "framework" (extract × aggregate), "layers" (every named method at every layer),
            "classes" (one method for two classes, and the difference), "heat_map" (rank correlation of two
            classes' maps).
        other: the explanation of the second class; needed for "classes" and "heat_map".
        photo: the photo, where the explanation does not hold it.
        dark: on dark paper.
        view: fields of the view, by their names in ``saliency_core.viewer.schema``: ``left``, ``right``,
            ``layer``, ``mixed``, ``weights``, ``how``, ``opacity``, ``fade``, ``colormap``, ``scale``, …;
            those not given have the viewer's defaults.

    Returns:
        A :class:`Picture` with ``save(path)``, ``to_bytes(format, scale)`` and ``image(scale)``.

    Raises:
        UnknownNameError: an unknown kind, method, layer, colour map or field, with the choices.
        ArgumentError, ArgumentTypeError: a value that cannot be used, no photo, or no second explanation.

    >>> import saliency_core as sc
    >>> clf = sc.load_classifier()  # doctest: +SKIP
    >>> e = sc.explain(clf, sc.open_image("cat.jpg"))  # doctest: +SKIP
    >>> sc.figure(e, "strip", right="grad_cam").save("strip.pdf")  # doctest: +SKIP
    """
    entry = KINDS[kind]
    scene = Scene.of(explanation, photo)
    if other is not None and not isinstance(other, Explanation | ClassComparison):
        raise ArgumentTypeError(f"other is {other!r}; expected the Explanation of a second class")
    request = Request(scene, View.of(view, explanation), Sheet(DARK if dark else LIGHT), other)
    return entry.draw(request)


@_kind("panel", "One map", "The method on the left, at the layer or mixed.")
def _panel(request: Request) -> Picture:
    return _side_by_side(request, (request.view.left,), PANEL_WIDTH)


@_kind("pair", "Two methods", "Both methods side by side, at the layer or mixed.")
def _pair(request: Request) -> Picture:
    return _side_by_side(request, (request.view.left, request.view.right), PAIR_WIDTH)


def _side_by_side(request: Request, names: Sequence[str], width: int) -> Picture:
    scene, view, sheet = request.scene, request.view, request.sheet
    maps = [map_of(scene.explanation, name, view) for name in names]
    found = []
    # A panel alone shares its scale with the one that is not shown, as in the viewer.
    both = (view.left, view.right)
    measured = maps if len(names) == 2 else [*maps, map_of(scene.explanation, view.right, view)]
    for name, drawn, scale in zip(names, maps, scales(both, measured, view), strict=False):
        title, *words = caption(scene, name, view)
        boxes = () if view.mixed else scene.boxes
        found.append(Panel(title, words, drawn, scale, meanings(name, drawn.diverging), boxes))
    painter = Painter(scene, view, sheet, Stage.around(scene, width))
    bottom = row(sheet, painter, found, MARGIN, width)
    page = 2 * MARGIN + len(names) * width + (len(names) - 1) * GAP
    height = credit(sheet, scene, bottom, page)
    titles = " and ".join(METHODS[name].title for name in names)
    where = f"{view.how} of layers" if view.mixed else view.layer
    return Picture.of(sheet, page, height, f"{titles}, {where}: {scene.label}")


STRIP_WIDTH = 760
STRIP_LABEL = 104
WIDEST, NARROWEST = 112, 64
BETWEEN = 6


@_kind("strip", "Both methods at every layer", "Every layer, from input to output, for both methods.")
def _strip(request: Request) -> Picture:
    scene, view, sheet = request.scene, request.view, request.sheet
    e, theme = scene.explanation, sheet.theme
    names = tuple(dict.fromkeys((view.left, view.right)))
    stages = e.subject.default_layers or tuple(layer.name for layer in e.layers)
    count = len(e.layers)
    room = STRIP_WIDTH - STRIP_LABEL
    column = min(max((room + BETWEEN) // count - BETWEEN, NARROWEST), WIDEST)
    stage = Stage.of_region(scene, column)
    painter = Painter(scene, view, sheet, stage)
    page = 2 * MARGIN + STRIP_LABEL + count * (column + BETWEEN) - BETWEEN
    left = MARGIN + STRIP_LABEL
    y = MARGIN
    if e.random_weights:
        sheet.text(MARGIN, y + SMALL, RANDOM_WEIGHTS, SMALL, weight=fonts.STRONG, color=theme.muted)
    step = SMALL * LINE
    for i, layer in enumerate(e.layers):
        middle = left + i * (column + BETWEEN) + column / 2
        title = formats.layer_title(layer.name, stages)
        own = layer.name if layer.name in stages else ""
        lines = [(title, fonts.STRONG, theme.ink), (own, fonts.REGULAR, theme.ink)]
        lines.append((formats.layer_size(layer), fonts.REGULAR, theme.muted))
        for line, (text, weight, color) in enumerate(lines):
            sheet.text(
                middle,
                y + SMALL + line * step,
                text,
                SMALL,
                weight=weight,
                color=color,
                align="center",
                room=column,
            )
    y += round(3 * step) + 4
    for name in names:
        method = METHODS[name]
        _row_label(sheet, method.title, MARGIN, y, stage.height, STRIP_LABEL - 12)
        if at_input(method):
            drawn = layer_map(e, name, view.layer, CELL_SIDE)
            _cell(sheet, painter, drawn, left, y, column)
            words = fonts.lines(
                "Explains the input: the same at every depth.", page - left - column - 36, CAPTION
            )
            baseline = y + stage.height / 2 + CAPTION * 0.36
            sheet.text(left + column + 12, baseline, words[0], CAPTION, color=theme.muted)
        else:
            for i, layer in enumerate(e.layers):
                drawn = layer_map(e, name, layer.name, CELL_SIDE)
                _cell(sheet, painter, drawn, left + i * (column + BETWEEN), y, column)
        y += stage.height + BETWEEN
    baseline = y + 6 + SMALL
    sheet.text(MARGIN, baseline, "Energy kept", SMALL, color=theme.ink, room=STRIP_LABEL - 12)
    for i, layer in enumerate(e.layers):
        share = e.energy(layer.name)
        x = left + i * (column + BETWEEN)
        text = "no gradient" if share is None else formats.percent(share)
        sheet.text(x + column / 2, baseline, text, SMALL, align="center", room=column)
        width = min(column, 64)
        sheet.box(x + (column - width) / 2, baseline + 5, width, 4, fill=theme.line, radius=2)
        if share:
            sheet.box(x + (column - width) / 2, baseline + 5, max(width * share, 1), 4, fill=theme.accent)
    y = round(baseline + 5 + 4)
    y = _remarks(sheet, _strip_words(scene, names), y + 10, page)
    height = credit(sheet, scene, y, page)
    return Picture.of(
        sheet, page, height, f"{' and '.join(METHODS[n].title for n in names)}, every layer: {scene.label}"
    )


def _strip_words(scene: Scene, names: Sequence[str]) -> list[str]:
    specific = any(METHODS[name].class_specific for name in names) or bool(scene.state)
    explained = [scene.label] if specific else ["the same for every class"]
    return [
        " · ".join(filter(None, [*explained, scene.state, "each map on its own scale"])),
        "Energy kept: the share of the gradient’s energy that survives Grad-CAM’s averaging over locations.",
    ]


def _remarks(sheet: Sheet, sentences: Sequence[str], y: float, page: int) -> int:
    """Sentences below a figure; returns the y of their lower edge."""
    room = page - 2 * MARGIN
    for sentence in sentences:
        for line in fonts.lines(sentence, room, CAPTION):
            sheet.text(MARGIN, y + CAPTION, line, CAPTION, color=sheet.theme.muted)
            y += CAPTION * LINE
    return round(y)


def _row_label(sheet: Sheet, text: str, x: float, y: float, height: int, room: float) -> None:
    """A row's name in the middle of its height."""
    lines = fonts.lines(text, room, CAPTION, fonts.STRONG)
    first = y + height / 2 - (len(lines) - 1) * CAPTION * LINE / 2 + CAPTION * 0.36
    for i, line in enumerate(lines):
        sheet.text(x, first + i * CAPTION * LINE, line, CAPTION, weight=fonts.STRONG)


def _cell(sheet: Sheet, painter: Painter, drawn: Drawn, x: int, y: int, column: int) -> None:
    """A small map on its own scale; a word where there is none."""
    stage = painter.stage
    left = x + (column - stage.width) // 2
    sheet.raster(left, y, stage.width, stage.height, painter.paint(drawn, drawn.own))
    if drawn.note:
        word = "no map" if " has no map at " in drawn.note else "constant"
        width = fonts.width(word, SMALL) + 10
        top = y + stage.height - SMALL * LINE - 7
        middle = left + stage.width / 2
        sheet.box(
            middle - width / 2, top, width, SMALL * LINE + 2, fill=sheet.theme.paper, alpha=0.92, radius=3.5
        )
        sheet.text(middle, top + 1 + SMALL * 1.08, word, SMALL, color=sheet.theme.muted, align="center")


__all__ = ["KINDS", "Kind", "Request", "figure"]
