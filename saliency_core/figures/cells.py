"""Tables of small maps: their rows' and columns' names, their cells, and the words below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from saliency_core.figures import fonts
from saliency_core.figures.maps import RANDOM_WEIGHTS, Drawn, Scene, at_input, layer_map
from saliency_core.figures.panels import CAPTION, LINE, MARGIN, SMALL, Painter, tag
from saliency_core.figures.sheet import Sheet
from saliency_core.methods.method import Method
from saliency_core.models.layers import Layer
from saliency_core.viewer import formats

SIDE = 160
"""Side at which the maps of small pictures are measured, in pixels."""
BETWEEN = 6


def column_width(count: int, room: int, narrowest: int, widest: int) -> int:
    """The width of `count` columns in a room, within limits."""
    return min(max((room + BETWEEN) // count - BETWEEN, narrowest), widest)


def layer_heads(sheet: Sheet, scene: Scene, layers: Sequence[Layer], left: int, top: int, column: int) -> int:
    """The names and sizes of layers above their columns; returns the y below them."""
    stages = scene.explanation.subject.default_layers or tuple(layer.name for layer in layers)
    step, room = SMALL * LINE, column + BETWEEN - 3
    for i, layer in enumerate(layers):
        own = layer.name if layer.name in stages else ""
        lines = (
            (formats.layer_title(layer.name, stages), fonts.STRONG, sheet.theme.ink),
            (own, fonts.REGULAR, sheet.theme.ink),
            (formats.layer_size(layer), fonts.REGULAR, sheet.theme.muted),
        )
        middle = left + i * (column + BETWEEN) + column / 2
        shown = [each for each in lines if each[0]]
        for line, (text, weight, color) in enumerate(shown, 3 - len(shown)):
            words = fonts.cut_start(text, room, SMALL, weight)
            y = top + SMALL + line * step
            sheet.text(middle, y, words, SMALL, weight=weight, color=color, align="center")
    return top + round(3 * step) + 4


def row_label(sheet: Sheet, text: str, x: float, y: float, height: int, room: float) -> None:
    """A row's name in the middle of its height."""
    lines = fonts.lines(text, room, CAPTION, fonts.STRONG)
    first = y + height / 2 - (len(lines) - 1) * CAPTION * LINE / 2 + CAPTION * 0.36
    for i, line in enumerate(lines):
        sheet.text(x, first + i * CAPTION * LINE, line, CAPTION, weight=fonts.STRONG)


def cell(sheet: Sheet, painter: Painter, drawn: Drawn, x: int, y: int, column: int) -> None:
    """A small map on its own scale; a word where there is nothing to see."""
    stage = painter.stage
    left = x + (column - stage.width) // 2
    sheet.raster(left, y, stage.width, stage.height, painter.paint(drawn, drawn.own))
    if drawn.note:
        word = "no map" if drawn.missing else "constant"
        width = fonts.width(word, SMALL) + 10
        top = y + stage.height - SMALL * LINE - 6
        tag(sheet, left + (stage.width - width) / 2, top, word, SMALL)


@dataclass(frozen=True)
class LayerTable:
    """Maps with a row for each method and a column for each layer.

    Args:
        layers: from left to right.
        column: the width of a column.
        label: the room on the left for the names of the rows.
        whole: what is said beside the only map of a method that explains the input.
    """

    scene: Scene
    sheet: Sheet
    painter: Painter
    layers: Sequence[Layer]
    column: int
    label: int
    whole: str

    @property
    def left(self) -> int:
        """The x of the first column."""
        return MARGIN + self.label

    @property
    def height(self) -> int:
        """The height of a row with the space below it."""
        return self.painter.stage.height + BETWEEN

    def x(self, index: int) -> int:
        """The x of a column."""
        return self.left + index * (self.column + BETWEEN)

    def head(self, top: int) -> int:
        """The names of the layers, and whether the weights are random; returns the y below them."""
        if self.scene.explanation.random_weights:
            muted = self.sheet.theme.muted
            self.sheet.text(MARGIN, top + SMALL, RANDOM_WEIGHTS, SMALL, weight=fonts.STRONG, color=muted)
        return layer_heads(self.sheet, self.scene, self.layers, self.left, top, self.column)

    def row(self, method: Method, title: str, y: int) -> list[tuple[str, str, Drawn]]:
        """The maps of a method, beside its title; returns each as (method, place, map)."""
        height = self.painter.stage.height
        row_label(self.sheet, title, MARGIN, y, height, self.label - 12)
        found = []
        for i, layer in enumerate(self.layers[:1] if at_input(method) else self.layers):
            drawn = layer_map(self.scene.explanation, method.name, layer.name, SIDE)
            found.append((method.title, "the input" if at_input(method) else layer.name, drawn))
            cell(self.sheet, self.painter, drawn, self.x(i), y, self.column)
        if at_input(method):
            baseline = y + height / 2 + CAPTION * 0.36
            x = self.left + self.column + 12
            self.sheet.text(x, baseline, self.whole, CAPTION, color=self.sheet.theme.muted)
        return found


def signs(methods: Iterable[Method]) -> list[str]:
    """What the colours of maps with a sign mean, if there are any: small maps have no colour bar."""
    signed = any(method.signed for method in methods)
    return ["Maps with a sign: red above zero, blue below."] if signed else []


def remarks(sheet: Sheet, sentences: Sequence[str], y: float, page: int) -> int:
    """Sentences below a table; returns the y of their lower edge."""
    for sentence in sentences:
        for line in fonts.lines(sentence, page - 2 * MARGIN, CAPTION):
            sheet.text(MARGIN, y + CAPTION, line, CAPTION, color=sheet.theme.muted)
            y += CAPTION * LINE
    return round(y)


def reasons(found: Sequence[tuple[str, str, Drawn]], most: int = 4) -> list[str]:
    """Why maps show nothing, each reason once, from (method, place, map)."""
    places: dict[str, dict[str, list[str]]] = {}
    for title, place, drawn in found:
        if drawn.note and not drawn.missing:
            places.setdefault(drawn.note, {}).setdefault(title, []).append(place)
    sentences = []
    for reason, methods in places.items():
        where = "; ".join(f"{title} at {', '.join(names)}" for title, names in methods.items())
        sentences.append(f"{where}: {reason}")
    return sentences[:most]


def by_class(scene: Scene, *more: str, specific: bool = True) -> str:
    """The words on the class and the network, and what else is to be said of all maps."""
    explained = scene.label if specific or scene.state else "the same for every class"
    return " · ".join(filter(None, (explained, scene.state, *more)))
