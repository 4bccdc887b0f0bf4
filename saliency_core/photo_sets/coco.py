"""COCO: one JSON file of images, annotations and categories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from saliency_core.errors import ArgumentError
from saliency_core.photo_sets.draft import Draft, Found, class_name
from saliency_core.photo_sets.json_stream import JsonStream
from saliency_core.photo_sets.masks import PolygonMask, RunLengthMask, polygon_mask, run_length_mask
from saliency_core.photo_sets.model import Annotation
from saliency_core.photo_sets.reader import Reader
from saliency_core.photo_sets.sources import Report, SetFiles, suffix

START: Final = 1 << 16
LOOKED_AT: Final = 20
MAX_JSON: Final = 1 << 30
MAX_CATEGORIES: Final = 20_000
MAX_IMAGES: Final = 200_000
MAX_ELEMENTS: Final = 3_000_000
"""Of all lists of a file together; the larger one of COCO 2017 has a million."""
_KEYS: Final = re.compile(rb'"(images|annotations|categories|file_name|bbox)"\s*:')


def recognises(files: SetFiles) -> bool:
    """Whether a JSON file has the keys of COCO."""
    return bool(_files(files))


def _files(files: SetFiles) -> list[str]:
    """The JSON files that hold boxes: those called instances… if there are any."""
    names = [name for name in files.sizes if suffix(name) == ".json"][:LOOKED_AT]
    found = [name for name in names if _is_coco(files, name)]
    return [name for name in found if name.rpartition("/")[2].startswith("instances")] or found


def _is_coco(files: SetFiles, name: str) -> bool:
    try:
        with files.open(name) as file:
            start = file.read(START)
    except ArgumentError:
        return False
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and _KEYS.search(start) is not None


def read(files: SetFiles, report: Report) -> Found:
    """Read every JSON file ``{"images": [...], "annotations": [...], "categories": [...]}`` of the set.

    A box is ``[left, top, width, height]`` in pixels; where it is missing it is that around the mask. Masks
    are polygons or run lengths, packed or not; of an object whose mask can't be used the box is. Of several
    files, those called ``instances…`` are read. Crowds (``iscrowd``) are kept and marked. Photos without an
    object stay in the set. The classes are those of ``categories`` by their ``id``.
    """
    draft = Draft(files, report)
    categories: dict[int, str] = {}
    for name in _files(files):
        try:
            _File(draft, name, categories).read()
        except ArgumentError as error:  # what was read before it stays
            report.add(name, str(error))
    draft.unnamed()
    return draft.found(called for _, called in sorted(categories.items()))


@dataclass
class _File:
    """One JSON file, whose lists may stand in any order."""

    draft: Draft
    name: str
    categories: dict[int, str]

    def read(self) -> None:
        """Read images and categories, and then, with those, the annotations."""
        self.photos: dict[int, str] = {}
        self.lost: set[int] = set()
        self._pass({"images": self._image, "categories": self._category})
        self._pass({"annotations": self._annotation})

    def _pass(self, keys: dict[str, Any]) -> None:
        counts = dict.fromkeys(keys, 0)
        with self.draft.files.open(self.name) as file:
            for count, (key, element) in enumerate(JsonStream(file, MAX_JSON)):
                if count >= MAX_ELEMENTS:
                    raise ArgumentError(
                        f"The file lists more than {MAX_ELEMENTS:,} things; the rest is left out."
                    )
                if key not in keys:
                    continue
                counts[key] += 1
                try:
                    if not isinstance(element, dict):
                        raise ArgumentError("It is no object {…} and is left out.")
                    keys[key](element, counts[key])
                except ArgumentError as error:
                    self._problem(f"entry {counts[key]} of {key}", str(error))

    def _problem(self, place: str, sentence: str) -> None:
        self.draft.report.add(self.name, f"{place}: {sentence}")

    def _category(self, element: dict[str, Any], _index: int) -> None:
        number, called = element.get("id"), element.get("name")
        if type(number) is not int or not isinstance(called, str) or not class_name(called):
            raise ArgumentError("It has no id or no name and is left out.")
        if self.categories.setdefault(number, class_name(called)) != class_name(called):
            raise ArgumentError(f"The id {number} is taken by {self.categories[number]}.")
        if len(self.categories) > MAX_CATEGORIES:
            del self.categories[number]
            raise ArgumentError(f"There are more than {MAX_CATEGORIES:,} categories; it is left out.")

    def _image(self, element: dict[str, Any], _index: int) -> None:
        number, file = element.get("id"), element.get("file_name")
        if type(number) is not int or not isinstance(file, str) or not file:
            raise ArgumentError("It has no id or no file_name and is left out.")
        if number in self.photos or number in self.lost:
            raise ArgumentError(f"The id {number} is taken by another photo; it is left out.")
        if len(self.photos) + len(self.lost) >= MAX_IMAGES:
            raise ArgumentError(f"There are more than {MAX_IMAGES:,} photos; it is left out.")
        self.lost.add(number)  # until it is found
        photo = self.draft.lookup.find(file[:4096], self.name.rpartition("/")[0].rpartition("/")[0])
        if photo in self.draft:
            raise ArgumentError(f"The photo {photo} is listed already; it is left out.")
        sides = [element.get(side) for side in ("width", "height")]
        stated = all(type(side) is int and 0 < side < 1e6 for side in sides)
        if self.draft.photo(photo, (sides[0], sides[1]) if stated else None):  # type: ignore[arg-type]
            self.lost.discard(number)
            self.photos[number] = photo

    def _annotation(self, element: dict[str, Any], index: int) -> None:
        image, category = element.get("image_id"), element.get("category_id")
        if type(image) is int and image in self.lost:
            return  # its photo is a problem already
        photo = self.photos.get(image) if type(image) is int else None
        if photo is None:
            raise ArgumentError("It names a photo that images does not list; it is left out.")
        called = self.categories.get(category) if type(category) is int else None
        if called is None:
            raise ArgumentError("It names a category that categories does not list; it is left out.")
        mask = self._mask(element.get("segmentation"), photo, f"entry {index} of annotations ({called})")
        box = element.get("bbox")
        if isinstance(box, list) and len(box) == 4 and all(_is_number(each) for each in box):
            left, top, width, height = (float(each) for each in box)
            edges = (left, top, left + width, top + height)
        elif mask is not None:
            edges = mask.box
        else:
            raise ArgumentError("It has no box [left, top, width, height] and no mask, and is left out.")
        crowd = element.get("iscrowd") in (1, True)
        annotation = Annotation(called, edges, mask, crowd=crowd)
        self.draft.add(photo, annotation, self.name, f"entry {index} of annotations")

    def _mask(self, given: object, photo: str, place: str) -> PolygonMask | RunLengthMask | None:
        if given is None or given == []:
            return None
        size = self.draft.size(photo)
        try:
            return run_length_mask(given, *size) if isinstance(given, dict) else polygon_mask(given, *size)
        except ArgumentError as error:
            self._problem(place, f"{error} Its box is used.")
            return None


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and abs(given) < 1e9


COCO: Final = Reader("COCO", 'a JSON file with "images", "annotations" and "categories"', recognises, read)
