"""Class sensitivity: rank correlation of two classes' maps, for every method and layer."""

from __future__ import annotations

from saliency_core.explanation import Explanation
from saliency_core.figures import fonts
from saliency_core.figures.cells import remarks
from saliency_core.figures.compose import Color
from saliency_core.figures.maps import RANDOM_WEIGHTS, View
from saliency_core.figures.panels import CAPTION, LEAST, LINE, MARGIN, SMALL, credit
from saliency_core.figures.picture import Picture
from saliency_core.figures.request import Request
from saliency_core.figures.sheet import Theme
from saliency_core.figures.steps import Classes
from saliency_core.methods.method import Domain, ExtraBackward, SharedPass
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.class_comparison import compare_classes
from saliency_core.viewer import formats
from saliency_core.viewer.methods import is_plain_cell

WIDTH = 720
LABEL = 132
NARROWEST, WIDEST = 46, 84
HEIGHT, SPACE = 24, 2
COLOURS = (
    "ρ of both classes’ maps. Blue: same map for both classes. No colour: unrelated. Orange: opposite "
    "locations. No colour and orange both depend on the class."
)
STRONG_FROM = 0.7
STRENGTH_FOR_WHITE = 0.82
"""From this size on numbers are written in white, and colours are as strong as that needs."""
WHITE = (255, 255, 255)


def draw(request: Request) -> Picture:
    """The numbers of the viewer's table, for the methods that it lists."""
    scene, view, sheet = request.scene, request.view, request.sheet
    theme = sheet.theme
    classes = Classes.of(scene.explanation, request.other)
    names = rows(scene.explanation, view)
    table = compare_classes(*(each.only(names) for each in classes.both()))
    count = len(table.layers)
    column = min(max((WIDTH - LABEL + SPACE) // count - SPACE, NARROWEST), WIDEST)
    left = MARGIN + LABEL
    page = max(left + count * (column + SPACE) - SPACE + MARGIN, LEAST)
    one, two = table.labels
    y = MARGIN + CAPTION
    both = [
        formats.class_text(each.label, *classes.probabilities(i, 0.0))
        for i, each in enumerate(classes.both())
    ]
    title = (f"A  {both[0]}", f"B  {both[1]}", scene.state)
    for line in fonts.joined([*filter(None, title)], "   ", page - 2 * MARGIN, CAPTION, fonts.STRONG):
        sheet.text(MARGIN, y, line, CAPTION, weight=fonts.STRONG)
        y += CAPTION * LINE
    y += 6
    if scene.explanation.random_weights:
        sheet.text(MARGIN, y, RANDOM_WEIGHTS, SMALL, weight=fonts.STRONG, color=theme.muted)
    for i, layer in enumerate(table.layers):
        words = fonts.cut_start(layer, column, SMALL, fonts.STRONG)
        middle = left + i * (column + SPACE) + column / 2
        sheet.text(middle, y, words, SMALL, weight=fonts.STRONG, align="center")
    y += 7
    for name in table.methods:
        method = METHODS[name]
        sheet.text(MARGIN, y + HEIGHT / 2 + CAPTION * 0.36, method.short_title, CAPTION, room=LABEL - 10)
        for i, layer in enumerate(table.layers):
            value = table.correlation(name, layer)
            color, strong = tint(value, theme)
            x = left + i * (column + SPACE)
            sheet.box(x, y, column, HEIGHT, fill=color)
            text = "–" if value is None else formats.rho(value)
            ink = WHITE if strong else theme.ink
            sheet.text(x + column / 2, y + HEIGHT / 2 + SMALL * 0.36, text, SMALL, color=ink, align="center")
        y += HEIGHT + SPACE
    sentences = [COLOURS]
    if any(table.correlation(name, layer) is None for name in table.methods for layer in table.layers):
        sentences.append("–: undefined, or no map.")
    y = remarks(sheet, sentences, y + 8, page)
    height = credit(sheet, scene, y, page)
    return Picture.of(sheet, page, height, f"Class sensitivity: {one} and {two}")


def rows(explanation: Explanation, view: View) -> tuple[str, ...]:
    """The methods that the table lists: the named ones, those switched on in the view, and the one shown."""
    named, modified, cells = [], [], []
    for name, method in METHODS.items():
        if name not in explanation.methods or method.domain is Domain.INPUT:
            continue
        if is_plain_cell(method):
            cells.append(name)
        elif isinstance(method.kind, ExtraBackward):
            modified.append(name)
        elif isinstance(method.kind, SharedPass) and method.domain is Domain.LAYERS:
            named.append(name)
    found = (*named, *(modified if view.modified else ()), *(cells if view.cells else ()))
    shown = METHODS[view.left].domain is not Domain.INPUT and view.left not in found
    return (view.left, *found) if shown else found


def tint(value: float | None, theme: Theme) -> tuple[Color, bool]:
    """The colour of a correlation, and whether its number is written in white."""
    size = 0.0 if value is None else min(abs(value), 1.0)
    strong = size >= STRONG_FROM
    share = size
    if strong:
        share = STRENGTH_FOR_WHITE + (1 - STRENGTH_FOR_WHITE) * (size - STRONG_FROM) / (1 - STRONG_FROM)
    share = round(100 * share) / 100
    end = theme.opposite if value is not None and value < 0 else theme.same
    red, green, blue = (
        round(part * share + under * (1 - share)) for part, under in zip(end, theme.unrelated, strict=True)
    )
    return (red, green, blue), strong
