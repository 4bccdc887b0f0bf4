"""From a folder or a zip file to a photo set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.photo_sets.class_folders import FOLDERS
from saliency_core.photo_sets.coco import COCO
from saliency_core.photo_sets.csv_boxes import CSV
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.photo_sets.reader import Reader
from saliency_core.photo_sets.sources import FolderFiles, Report, SetFiles, ZipFiles, is_photo
from saliency_core.photo_sets.voc import VOC
from saliency_core.photo_sets.yolo import YOLO
from saliency_core.registry import Registry

READERS: Final[Registry[Reader]] = Registry("kind of photo set")
"""Name -> reader, in the order in which a set is offered to them."""
for _name, _reader in (("voc", VOC), ("coco", COCO), ("yolo", YOLO), ("csv", CSV), ("folders", FOLDERS)):
    READERS.add(_name, _reader)


def read_photo_set(
    source: str | os.PathLike[str] | bytes, kind: str | None = None, *, name: str = ""
) -> PhotoSet:
    """Read a photo set: which photos there are, and which objects are on them. No photo is decoded.

    A zip file is read in place, nothing is unpacked to the disk. The kind is the first of :data:`READERS`
    that recognises the set; where others do too, a problem says so. What can't be used is left out, listed in
    ``problems``, and the rest is used: files that lead out of the set, links, archives inside it, encrypted
    or absurdly packed files, annotations that can't be read, name no photo of the set, or lie outside it.
    Boxes that reach outside their photo are cut off.

    Boxes are for the upright photo, unless the annotations state its size and that is the one before the
    EXIF orientation is applied (see :meth:`PhotoSet.open`).

    Args:
        source: a folder, a zip file, or the bytes of a zip file.
        kind: a name in :data:`READERS`; None to recognise it.
        name: what the set is called; "" for the name of its folder or file.

    Raises:
        ArgumentError: there is no such folder or file, it is not a zip file, holds more than 200,000 files,
            or nothing in it is a photo set.
        UnknownNameError: no such kind.

    Example:
        >>> found = read_photo_set("assets/samples")
        >>> found.kind, len(found.records), found.object_count
        ('csv', 8, 12)
    """
    chosen = None if kind is None else READERS[kind]
    report = Report()
    files = open_files(source, report, name)
    try:
        if chosen is None:
            kind, chosen = recognised(files, report)
        found = chosen.read(files, report)
        if not found.records:
            raise ArgumentError(
                f"No photo of {files.title} can be used. It was searched for {chosen.sought}."
                + _first_problems(report)
            )
    except BaseException:
        files.close()
        raise
    return PhotoSet(
        files.title, str(kind), found.records, found.class_names, files, report.problems, report.count
    )


def open_files(source: object, report: Report, name: str = "") -> SetFiles:
    """The files of a folder, a zip file, or the bytes of one. Raises ArgumentError as `read_photo_set`."""
    if isinstance(source, bytes):
        return ZipFiles(source, report, name or "The file")
    if not isinstance(source, str | os.PathLike):
        raise ArgumentTypeError(
            f"expected the path of a folder or a zip file, or a zip file's bytes, got {type(source).__name__}"
        )
    path = Path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # a zero byte in the name
        is_folder = is_file = False
    if is_folder:
        files: SetFiles = FolderFiles(path, report)
    elif is_file:
        files = ZipFiles(path.resolve(), report, path.name)
    else:
        raise ArgumentError(f"There is no folder or zip file {str(path)!r}; check its name.")
    files.title = name or files.title
    return files


def recognised(files: SetFiles, report: Report) -> tuple[str, Reader]:
    """The kind of a set. Raises ArgumentError if it is none."""
    if not any(is_photo(name) for name in files.sizes):
        raise ArgumentError(f"There is no photo in {files.title}." + _first_problems(report))
    found = [name for name, reader in READERS.items() if reader.recognises(files)]
    others = [READERS[name].title for name in found[1:] if name != "folders"]
    if others:
        report.add(
            "",
            f"The set was read as {READERS[found[0]].title}; it could also be read as {' or '.join(others)}.",
        )
    return found[0], READERS[found[0]]


def _first_problems(report: Report) -> str:
    return "".join(f" {each.file}: {each.sentence}" for each in report.problems[:3])
