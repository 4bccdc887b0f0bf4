"""What a reader finds, checked as it is found: boxes inside their photos, nothing twice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from saliency_core.errors import ArgumentError, ImageError
from saliency_core.inputs.images import MAX_BYTES, MAX_PIXELS, image_size
from saliency_core.photo_sets.lookup import PhotoLookup
from saliency_core.photo_sets.model import Annotation, Box, PhotoRecord
from saliency_core.photo_sets.sources import Report, SetFiles

MAX_OBJECTS: Final = 1_000_000
HEADER: Final = 1 << 18
"""Bytes in which a photo's header is looked for first."""
LONG_HEADER: Final = 1 << 22
"""And then, of a JPEG: previews and colour profiles may stand before the size."""
ROUNDING: Final = 0.5
"""Pixels by which a rounded box may reach outside its photo: clipped without a word."""
SNAP: Final = 0.01
"""Pixels by which an edge from fractions of the photo may miss a whole pixel because they were rounded."""
MAX_NAME: Final = 200


@dataclass(frozen=True)
class Found:
    """What a reader finds in a set."""

    records: tuple[PhotoRecord, ...]
    class_names: tuple[str, ...]


@dataclass
class _Photo:
    size: tuple[int, int]
    annotations: dict[Annotation, None] = field(default_factory=dict)


class Draft:
    """Collects photos and the objects on them; what can't be used becomes a problem."""

    def __init__(self, files: SetFiles, report: Report) -> None:
        self.files, self.report = files, report
        self.lookup = PhotoLookup(files.sizes)
        self._photos: dict[str, _Photo] = {}
        self._objects = 0
        self._full = False

    def photo(self, name: str, size: tuple[int, int] | None = None) -> bool:
        """Add a photo; whether it can be used.

        Args:
            name: the path of its file in the set.
            size: (width, height) in pixels that the boxes are for, None to read it from the file.
        """
        if name in self._photos:
            return True
        try:
            size = self._header(name) if size is None else size
        except (ArgumentError, ImageError) as error:
            self.report.add(name, str(error))
            return False
        if size[0] * size[1] > MAX_PIXELS:
            self.report.add(name, f"The photo has {size[0]} × {size[1]} pixels, more than are read.")
            return False
        self._photos[name] = _Photo(size)
        return True

    def __contains__(self, name: str) -> bool:
        return name in self._photos

    def size(self, name: str) -> tuple[int, int]:
        """(width, height) in pixels of a photo that was added."""
        return self._photos[name].size

    def _header(self, name: str) -> tuple[int, int]:
        with self.files.open(name) as file:
            head = file.read(HEADER)
            try:
                return image_size(head)
            except ImageError:
                if len(head) < HEADER:
                    raise
                # That of a TIFF may stand at the end. A JPEG's does not, and a long one takes seconds.
                rest = LONG_HEADER if head.startswith(b"\xff\xd8") else MAX_BYTES
                return image_size(head + file.read(rest - HEADER))

    def add(self, photo: str, annotation: Annotation, source: str, place: str) -> None:
        """Add an object on a photo that was added.

        Args:
            photo: the photo's path.
            annotation: the object, its box as it was found.
            source: the file of the annotation.
            place: where in it, such as "line 3".
        """
        if self._objects >= MAX_OBJECTS:
            if not self._full:
                self.report.add(
                    source, f"The set has more than {MAX_OBJECTS:,} objects; the rest is left out."
                )
            self._full = True
            return
        what = f"{place} ({annotation.class_name})"
        box, sentence = clipped(annotation.box, self.size(photo))
        if sentence:
            self.report.add(source, f"{what}: {sentence}")
        if box is None:
            return
        known = self._photos[photo].annotations
        annotation = replace(annotation, box=box)
        if annotation in known:
            self.report.add(source, f"{what}: The same object is listed twice; it counts once.")
            return
        known[annotation] = None
        self._objects += 1

    def unnamed(self) -> None:
        """Report the photos that lie beside those added and that no annotation names, by their number."""
        folders = {name.rpartition("/")[0] for name in self._photos}
        rest = sum(
            name.rpartition("/")[0] in folders and name not in self._photos for name in self.lookup.names
        )
        if rest:
            what = "1 photo has" if rest == 1 else f"{rest:,} photos have"
            self.report.add(
                "", f"{what} no annotations that can be used, and {'is' if rest == 1 else 'are'} left out."
            )

    def found(self, class_names: Iterable[str] | None = None) -> Found:
        """What was collected, photos in the order of their names.

        Args:
            class_names: those of the data set in its order; None for those of the objects by the alphabet.
        """
        records = tuple(
            PhotoRecord(name, tuple(photo.annotations), None, *photo.size)
            for name, photo in sorted(self._photos.items())
        )
        used = {each.class_name for record in records for each in record.annotations}
        return Found(records, tuple(dict.fromkeys(sorted(used) if class_names is None else class_names)))


def clipped(box: Sequence[float], size: tuple[int, int]) -> tuple[Box | None, str]:
    """The part of a box inside a photo, None if there is none, and a sentence if something is wrong with it.

    >>> clipped((-4, 2, 30, 20), (24, 24))
    ((0.0, 2.0, 24.0, 20.0), 'The box reaches outside the photo; only the part inside counts.')
    """
    width, height = size
    left, top, right, bottom = (float(edge) for edge in box)
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return None, "The box has an edge that is no number; it is left out."
    if not (left < right and top < bottom):
        return None, "The box has no area; it is left out."
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if not (inside[0] < inside[2] and inside[1] < inside[3]):
        return None, "The box lies outside the photo; it is left out."
    found = (round(inside[0], 6), round(inside[1], 6), round(inside[2], 6), round(inside[3], 6))
    if not (found[0] < found[2] and found[1] < found[3]):
        return None, "The box has no area; it is left out."
    excess = max(-left, -top, right - width, bottom - height)
    return (
        found,
        "The box reaches outside the photo; only the part inside counts." if excess > ROUNDING else "",
    )


def snapped(value: float) -> float:
    """An edge that was given as a fraction of the photo, in pixels: on the whole pixel if it nearly is."""
    if not math.isfinite(value):
        return value
    return float(round(value)) if abs(value - round(value)) <= SNAP else value


def class_name(given: str) -> str:
    """A class's name as it can be shown; "" if there is nothing left."""
    return " ".join("".join(each if each.isprintable() else " " for each in given[:MAX_NAME]).split())


def number(text: str | None) -> float:
    """A number in a file; NaN if it is none, which the box is then refused for."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def decoded(data: bytes) -> str:
    """A text in UTF-8 or, with its mark, UTF-16; else in the encoding of western Windows."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
