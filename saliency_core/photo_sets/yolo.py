"""YOLO: a text file of boxes for every photo, in fractions of the photo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from saliency_core.errors import ArgumentError
from saliency_core.photo_sets.draft import Draft, Found, class_name, decoded, number, snapped
from saliency_core.photo_sets.masks import PolygonMask
from saliency_core.photo_sets.model import Annotation
from saliency_core.photo_sets.reader import Reader
from saliency_core.photo_sets.sources import PHOTO_SUFFIXES, Report, SetFiles, suffix

MAX_TEXT: Final = 1 << 20
MAX_YAML: Final = 1 << 17
MAX_DESCRIPTIONS: Final = 20
LOOKED_AT: Final = 20
NAMES: Final = ("classes.txt", "obj.names", "classes.names")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\']|\'\')*)\'')
_NUMBERED: Final = re.compile(r"(\d{1,8})\s*:\s+(.*)")
_NAMES_ENTRY: Final = re.compile(r"^names\s*:((?:.*)(?:\n(?:[ \t\]}#-].*)?)*)", re.MULTILINE)
"""With the lines below that are indented, empty, comments, or the items of a list."""
_LINE: Final = re.compile(r"\s*\d+(\.0*)?(\s+[-+]?[\d.]\S*){4,}\s*")


def recognises(files: SetFiles) -> bool:
    """Whether one of the first text files that may be labels has a line of a class and four numbers."""
    return any(_has_boxes(files, name) for name, _ in zip(_labels(files), range(LOOKED_AT), strict=False))


def _has_boxes(files: SetFiles, name: str) -> bool:
    try:
        lines = decoded(files.content(name, MAX_TEXT)).splitlines()
    except ArgumentError:
        return False
    return any(map(_LINE.fullmatch, lines[:LOOKED_AT]))


def _labels(files: SetFiles) -> Iterable[str]:
    """The text files in a folder ``labels``, and those beside a photo of the same name."""
    for name in files.sizes:
        folder, _, last = name.rpartition("/")
        if suffix(name) != ".txt" or last in NAMES:
            continue
        stem = name.removesuffix(name[-4:])
        if "labels" in folder.split("/") or any(stem + each in files.sizes for each in PHOTO_SUFFIXES):
            yield name


def read(files: SetFiles, report: Report) -> Found:
    """Read ``labels/**/*.txt`` with the photos of the same names in ``images/**``, or text files beside them.

    A line is the number of a class, from 0, and the box's centre and size ``x y width height``, or a polygon
    ``x1 y1 x2 y2 x3 y3 …``, all of them fractions of the upright photo. With ``kpt_shape`` in the YAML file
    the numbers after the box are points, which are not read. The classes are ``names`` of the YAML file, or
    the lines of ``classes.txt``; without either they are called by their number. An edge within 1/100 of a
    whole pixel is put there, because the fractions were rounded. A photo whose text file is empty stays.
    """
    draft = Draft(files, report)
    names, points = _described(files, report)
    if not names:
        report.add(
            "", "No data.yaml or classes.txt says what the classes are called; they are called by number."
        )
    for label in _labels(files):
        folder = label.rpartition("/")[0]
        parts = folder.split("/")
        if "labels" in parts:
            parts[len(parts) - 1 - parts[::-1].index("labels")] = "images"
        try:
            photo = draft.lookup.find("/".join([*parts, label.rpartition("/")[2][:-4]]), "/".join(parts))
            if photo in draft:
                raise ArgumentError(
                    f"The photo {photo} has labels in another file too, which are the ones used."
                )
            text = decoded(files.content(label, MAX_TEXT))
        except ArgumentError as error:
            report.add(label, str(error))
            continue
        if not draft.photo(photo):
            continue
        for index, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                annotation = _annotation(line.split(), draft.size(photo), names, points)
            except ArgumentError as error:
                report.add(label, f"line {index}: {error}")
            else:
                draft.add(photo, annotation, label, f"line {index}")
    draft.unnamed()
    return draft.found([names[index] for index in sorted(names)] if names else None)


def _annotation(
    words: Sequence[str], size: tuple[int, int], names: Mapping[int, str], points: bool
) -> Annotation:
    width, height = size
    index, values = number(words[0]), [number(word) for word in words[1:]]
    if not (index >= 0 and index.is_integer()):
        raise ArgumentError("It does not begin with the number of a class; it is left out.")
    called = names.get(int(index)) if names else str(int(index))
    if called is None:
        raise ArgumentError(f"The class {int(index)} has no name; it is left out.")
    if not all(abs(value) < 100 for value in values):  # NaN too
        raise ArgumentError("It has something that is no fraction of the photo; it is left out.")
    if len(values) == 4 or (points and len(values) > 4):
        x, y, across, down = values[:4]
        edges = (
            (x - across / 2) * width,
            (y - down / 2) * height,
            (x + across / 2) * width,
            (y + down / 2) * height,
        )
        return Annotation(
            called, (snapped(edges[0]), snapped(edges[1]), snapped(edges[2]), snapped(edges[3]))
        )
    if len(values) < 6 or len(values) % 2:
        raise ArgumentError(
            f"It has {len(values)} numbers after the class and is left out; expected 4, or a polygon."
        )
    corners = [snapped(value * size[at % 2]) for at, value in enumerate(values)]
    mask = PolygonMask((np.array(corners, np.float64).tobytes(),), width, height)
    return Annotation(called, mask.box, mask)


def _described(files: SetFiles, report: Report) -> tuple[dict[int, str], bool]:
    """The classes by their number, and whether labels have points after the box."""
    shallow = sorted(files.sizes, key=lambda name: (name.count("/"), name))
    for name in [name for name in shallow if suffix(name) in (".yaml", ".yml")][:MAX_DESCRIPTIONS]:
        try:
            text = decoded(files.content(name, MAX_YAML))
        except ArgumentError as error:
            report.add(name, str(error))
            continue
        found = yaml_names(text)
        if found:
            return found, re.search(r"^kpt_shape\s*:", text, re.MULTILINE) is not None
    for name in [name for name in shallow if name.rpartition("/")[2] in NAMES][:MAX_DESCRIPTIONS]:
        try:
            lines = decoded(files.content(name, MAX_TEXT)).splitlines()
        except ArgumentError as error:
            report.add(name, str(error))
            continue
        found = _named(enumerate(line for line in lines if line.strip()))
        if found:
            return found, False
    return {}, False


def yaml_names(text: str) -> dict[int, str]:
    r"""The entry ``names`` of a YAML file: a list or numbered names, in brackets or line by line.

    YAML itself is not parsed: it needs minutes for some files of 100 kB, and nothing else in it is read.

    >>> yaml_names("nc: 2\nnames:\n  0: cat  # the first\n  1: 'hot dog'\ntrain: images")
    {0: 'cat', 1: 'hot dog'}
    >>> yaml_names("names: [cat, hot dog]") == yaml_names("names:\n- cat\n- hot dog")
    True
    """
    start = _NAMES_ENTRY.search(text)
    if start is None:
        return {}
    inside = start[1].strip()
    if inside[:1] in ("[", "{"):
        items = _bracketed(re.sub(r"(?m)(^|\s)#.*$", "", inside[1:]))
    else:
        items = [line.strip().removeprefix("- ").strip() for line in inside.splitlines()]
    words = [item for item in items if item and not item.startswith("#")]
    numbered = [_NUMBERED.fullmatch(word) for word in words]
    if words and all(numbered):
        return _named((int(each[1]), _unquoted(each[2])) for each in numbered if each)
    return _named(enumerate(map(_unquoted, words)))


def _bracketed(text: str) -> list[str]:
    """The parts of a list behind its opening bracket, divided by commas outside quotes."""
    items, item, quote = [], "", ""
    for letter in text:
        if quote:
            quote = "" if letter == quote and not item.endswith("\\") else quote
        elif letter in ",]}":
            items.append(item.strip())
            item = ""
            if letter != ",":
                break
            continue
        elif letter in "\"'" and item.rstrip()[-1:] in ("", ":", letter):
            quote = letter
        item += letter
    return items


def _unquoted(text: str) -> str:
    """A text as YAML means it, without its quotes or the comment behind it."""
    text = text.strip()
    quoted = _QUOTED.match(text)
    if quoted is None:
        return re.split(r"\s#", text, maxsplit=1)[0].strip()
    return quoted[1].replace('\\"', '"') if quoted[1] is not None else quoted[2].replace("''", "'")


def _named(pairs: Iterable[tuple[int, str]]) -> dict[int, str]:
    return {index: class_name(called) for index, called in pairs if class_name(called)}


YOLO: Final = Reader(
    "YOLO",
    "text files with lines “class x y width height”, in labels/ or beside the photos",
    recognises,
    read,
)
