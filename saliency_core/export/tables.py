"""Tables of numbers: those under the charts of the app and those of an explanation, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from saliency_core.combine import FloatMap
from saliency_core.explanation import Explanation
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.class_comparison import SensitivityTable
from saliency_core.metrics.localisation import Box, energy_inside
from saliency_core.models.layers import Layer

Cell = str | int | float | None
"""None where there is no value."""

BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins so is computed by programs for spreadsheets."""


@dataclass(frozen=True)
class Table:
    """A table: its title, a name for its file, the names of its columns, its rows, and remarks on them.

    >>> Table("Energy kept", "energy", ("Layer", "Energy"), [("a, b", 0.25)]).csv().splitlines()[1]
    b'"a, b",0.25'
    """

    title: str
    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    remarks: Sequence[str] = ()

    def csv(self) -> bytes:
        """The head and the rows as CSV (RFC 4180), UTF-8 with a byte-order mark, which spreadsheets need.

        Numbers have all their digits, cells without a value are empty. A text that a spreadsheet would take
        for a formula gets an apostrophe before it.
        """
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        for row in (self.head, *self.rows):
            writer.writerow([_written(cell) for cell in row])
        return file.getvalue().encode("utf-8-sig", "replace")


def _written(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(BEGINS_A_FORMULA) else cell


def layers_table(explanation: Explanation) -> Table:
    """The layers: their stage, size, and the share of the gradient energy left after averaging."""
    stages = explanation.subject.default_layers
    rows = [
        (
            layer.name,
            stages.index(layer.name) + 1 if layer.name in stages else None,
            layer.channels,
            layer.height,
            layer.width,
            explanation.energy(layer),
        )
        for layer in explanation.layers
    ]
    head = ("Layer", "Stage", "Channels", "Height", "Width", "Energy kept")
    return Table("Layers", "layers", head, rows)


def maps_table(explanation: Explanation, boxes: Sequence[Box] = ()) -> Table:
    """Every map: its size, its smallest and largest value and, of known objects, its energy inside the boxes.

    Args:
        explanation: whose maps.
        boxes: of the class explained, as fractions of the input; see :func:`saliency_core.energy_inside`.
    """
    head = ["Method", "Name", "Layer", "Height", "Width", "Minimum", "Maximum", "Mean"]
    if boxes:
        head.append("Energy inside the boxes")
    rows: list[list[Cell]] = []
    for method, layer, values in _maps(explanation):
        row = [METHODS[method].title, method, layer.name, *values.shape]
        row += [float(values.min()), float(values.max()), float(values.mean())]
        rows.append([*row, energy_inside(values, boxes)] if boxes else row)
    return Table("Maps", "maps", head, rows)


def _maps(explanation: Explanation) -> Iterator[tuple[str, Layer, FloatMap]]:
    for method in explanation.methods:
        for layer in explanation.layers_of(method):
            yield method, layer, explanation.map(method, layer)


def classes_table(explanation: Explanation) -> Table:
    """All classes with their probabilities, the most likely one first."""
    columns = {"Probability": explanation.probabilities}
    if explanation.probabilities_after is not None:
        columns["Probability after the meta step"] = explanation.probabilities_after
    order = explanation.probabilities.argsort(kind="stable")[::-1].tolist()
    rows = [
        (index, explanation.subject.labels[index], *(float(each[index]) for each in columns.values()))
        for index in order
    ]
    return Table("Classes", "classes", ("Index", "Class", *columns), rows)


def correlations_table(compared: SensitivityTable) -> Table:
    """Spearman's ρ between two classes' maps, every method at every layer."""
    first, second = compared.labels
    return line_table(
        f"Rank correlation of the maps of “{first}” and “{second}”",
        "correlations",
        compared.layers,
        (
            (
                METHODS[method].title,
                [compared.correlation(method, layer) for layer in compared.layers],
            )
            for method in compared.methods
        ),
        [
            f"{METHODS[method].title}, {layer}: {cell.undefined}"
            for (method, layer), cell in compared.cells.items()
            if cell.undefined
        ],
    )


def line_table(
    title: str,
    name: str,
    layers: Sequence[str],
    lines: Iterable[tuple[str, Sequence[Cell]]],
    remarks: Sequence[str] = (),
) -> Table:
    """A row per method, with a value for every layer."""
    return Table(title, name, ("Method", *layers), [(method, *values) for method, values in lines], remarks)
