"""Pascal VOC: an XML file for every photo."""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element

from saliency_core.errors import ArgumentError
from saliency_core.photo_sets.draft import Draft, Found, class_name, number
from saliency_core.photo_sets.model import Annotation
from saliency_core.photo_sets.reader import Reader
from saliency_core.photo_sets.sources import Report, SetFiles, suffix

MAX_XML: Final = 1 << 20
LOOKED_AT: Final = 20
START: Final = 4096


def recognises(files: SetFiles) -> bool:
    """Whether one of the first XML files is an annotation."""
    names = [name for name in files.sizes if suffix(name) == ".xml"]
    return any(_is_annotation(files, name) for name in names[:LOOKED_AT])


def _is_annotation(files: SetFiles, name: str) -> bool:
    try:
        with files.open(name) as file:
            return b"<annotation" in file.read(START)
    except ArgumentError:
        return False


def read(files: SetFiles, report: Report) -> Found:
    """Read ``Annotations/*.xml`` and the photos in ``JPEGImages``, or XML files beside their photos.

    Corners count from 1 and belong to the box, so that its edges are (xmin - 1, ymin - 1, xmax, ymax). The
    size is that in ``size``, or the photo's own where it is missing. All photos with an XML file are read,
    whatever ``ImageSets`` lists; segmentation masks and the parts of objects are not. The classes are those
    of the objects.
    """
    draft = Draft(files, report)
    for name in files.sizes:
        if suffix(name) != ".xml":
            continue
        try:
            root = _parsed(files.content(name, MAX_XML))
            if root.tag == "annotation":
                _read_photo(draft, name, root)
        except ArgumentError as error:
            report.add(name, str(error))
    draft.unnamed()
    return draft.found()


def _parsed(data: bytes) -> Element:
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ArgumentError(
            "The file has a document type or entities, which annotations do not need."
        ) from error
    except (ParseError, ValueError, LookupError) as error:  # the last: an encoding that does not exist
        raise ArgumentError("The file is not XML that can be read; make it again.") from error
    return root


def _read_photo(draft: Draft, name: str, root: Element) -> None:
    folder, _, file = name.rpartition("/")
    stem = file.rpartition(".")[0]
    near = (
        f"{folder.rpartition('/')[0]}/JPEGImages".removeprefix("/")
        if folder.endswith("Annotations")
        else folder
    )
    try:
        photo = draft.lookup.find(root.findtext("filename") or stem, near)
    except ArgumentError as error:
        try:
            photo = draft.lookup.find(stem, near)  # the photo was renamed together with its annotation
        except ArgumentError:
            raise error from None
    if photo in draft:
        raise ArgumentError(
            f"The photo {photo} has annotations in another file too, which are the ones used."
        )
    size = tuple(number(root.findtext(f"size/{side}")) for side in ("width", "height"))
    stated = (int(size[0]), int(size[1])) if all(1 <= side < 1e6 for side in size) else None
    if not draft.photo(photo, stated):
        return
    for index, each in enumerate(root.findall("object"), 1):
        place = f"object {index}"
        called = class_name(each.findtext("name") or "")
        if not called:
            draft.report.add(name, f"{place}: It has no name and is left out.")
            continue
        corners = [number(each.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        box = (corners[0] - 1, corners[1] - 1, corners[2], corners[3])
        difficult = (each.findtext("difficult") or "").strip() == "1"
        draft.add(photo, Annotation(called, box, difficult=difficult), name, place)


VOC: Final = Reader("Pascal VOC", "XML files that begin with <annotation>", recognises, read)
