"""A table of boxes in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from saliency_core.errors import ArgumentError
from saliency_core.photo_sets.draft import Draft, Found, class_name, decoded, number, snapped
from saliency_core.photo_sets.model import Annotation
from saliency_core.photo_sets.reader import Reader
from saliency_core.photo_sets.sources import Report, SetFiles, suffix

MAX_TABLE: Final = 64 << 20
START: Final = 1 << 14
LOOKED_AT: Final = 20
SEPARATORS: Final = (",", ";", "\t", "|")
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "file": (
        "file",
        "filename",
        "image",
        "imagename",
        "imagepath",
        "imageid",
        "path",
        "photo",
        "img",
        "filepath",
    ),
    "class": ("class", "label", "classname", "labelname", "category", "categoryname", "name", "object"),
    "left": ("left", "xmin", "x1", "x0", "x", "bboxleft", "bboxx"),
    "top": ("top", "ymin", "y1", "y0", "y", "bboxtop", "bboxy"),
    "right": ("right", "xmax", "x2", "bboxright"),
    "bottom": ("bottom", "ymax", "y2", "bboxbottom"),
    "width": ("boxwidth", "bboxwidth", "bboxw", "w", "width"),
    "height": ("boxheight", "bboxheight", "bboxh", "h", "height"),
    "difficult": ("difficult", "isdifficult"),
    "crowd": ("crowd", "iscrowd", "isgroupof"),
}
"""What a column may be called, without capitals, spaces, dots, dashes and underscores."""
YES: Final = frozenset({"1", "1.0", "true", "yes", "t", "y"})


@dataclass(frozen=True)
class _Table:
    separator: str
    columns: Mapping[str, int]
    """Name in :data:`COLUMNS` -> number of the column."""
    corners: bool
    """Whether right and bottom are given, not width and height."""


def recognises(files: SetFiles) -> bool:
    """Whether a table has the columns in its first line."""
    return bool(_tables(files))


def _tables(files: SetFiles) -> dict[str, _Table]:
    names = [name for name in files.sizes if suffix(name) in (".csv", ".tsv")][:LOOKED_AT]
    found = {}
    for name in names:
        try:
            with files.open(name) as file:
                table = _described(file.read(START))
        except ArgumentError:
            continue
        if table is not None:
            found[name] = table
    return found


def _described(start: bytes) -> _Table | None:
    """What the first line says; None if it is no table of boxes."""
    odd = len(start) % 2 and start[:2] in (b"\xff\xfe", b"\xfe\xff")
    lines = decoded(start[: len(start) - odd]).splitlines()
    for separator in SEPARATORS if lines else ():
        titles = ["".join(filter(str.isalnum, word.casefold())) for word in lines[0].split(separator)]
        columns = {
            column: min(titles.index(each) for each in known if each in titles)
            for column, known in COLUMNS.items()
            if any(each in titles for each in known)
        }
        if {"file", "class", "left", "top"} <= columns.keys():
            if {"right", "bottom"} <= columns.keys():
                return _Table(separator, columns, corners=True)
            if {"width", "height"} <= columns.keys():
                return _Table(separator, columns, corners=False)
    return None


def read(files: SetFiles, report: Report) -> Found:
    """Read every CSV file whose first line names the columns; a row is an object.

    ``file, class, left, top, right, bottom`` under these or other usual names (``filename``, ``label``,
    ``xmin``, ``x1``, …), or ``width`` and ``height`` in the place of ``right`` and ``bottom``; if wanted
    ``difficult`` and ``crowd``. Separated by comma, semicolon, tab or ``|``, in UTF-8, UTF-16 or
    Windows-1252; with semicolons a number may have a decimal comma. The numbers are edges in pixels of the
    upright photo, so that right - left is the width; if none in a file is above 1 they are fractions of the
    photo. A row without class and box stands for a photo without objects. The classes are those of the
    objects.
    """
    draft = Draft(files, report)
    for name, table in _tables(files).items():
        try:
            rows = list(_rows(decoded(files.content(name, MAX_TABLE)), table))
        except (ArgumentError, csv.Error) as error:
            sentence = (
                str(error) if isinstance(error, ArgumentError) else f"The table can't be read: {error}."
            )
            report.add(name, sentence)
            continue
        values = [value for row in rows for value in row.edges if value == value]  # without NaN
        fractions = bool(values) and max(map(abs, values)) <= 1
        for row in rows:
            try:
                _add(draft, name, row, fractions)
            except ArgumentError as error:
                report.add(name, f"line {row.line}: {error}")
    draft.unnamed()
    return draft.found()


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    called: str
    edges: tuple[float, float, float, float]
    difficult: bool
    crowd: bool
    empty: bool


def _rows(text: str, table: _Table) -> Iterator[_Row]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=table.separator)
    next(lines, None)
    last = ("right", "bottom") if table.corners else ("width", "height")
    for words in lines:
        if not any(word.strip() for word in words):
            continue
        given = {
            column: words[place].strip() if place < len(words) else ""
            for column, place in table.columns.items()
        }
        numbers = [given[column] for column in ("left", "top", *last)]
        if table.separator == ";":
            numbers = [word.replace(",", ".") for word in numbers]
        left, top, right, bottom = (number(word) for word in numbers)
        if not table.corners:
            right, bottom = left + right, top + bottom
        called = class_name(given["class"])
        yield _Row(
            lines.line_num,
            given["file"],
            called,
            (left, top, right, bottom),
            given.get("difficult", "").casefold() in YES,
            given.get("crowd", "").casefold() in YES,
            empty=not called and not any(numbers),
        )


def _add(draft: Draft, name: str, row: _Row, fractions: bool) -> None:
    if not row.file:
        raise ArgumentError("It names no photo and is left out.")
    photo = draft.lookup.find(row.file, name.rpartition("/")[0])
    if not draft.photo(photo) or row.empty:
        return
    if not row.called:
        raise ArgumentError("It names no class and is left out.")
    width, height = draft.size(photo) if fractions else (1, 1)
    edges: Sequence[float] = row.edges
    if fractions:
        edges = [
            snapped(edge * side) for edge, side in zip(edges, (width, height, width, height), strict=True)
        ]
    box = (edges[0], edges[1], edges[2], edges[3])
    draft.add(
        photo, Annotation(row.called, box, difficult=row.difficult, crowd=row.crowd), name, f"line {row.line}"
    )


CSV: Final = Reader(
    "a CSV file of boxes", "a CSV file whose first line is file,class,left,top,right,bottom", recognises, read
)
