"""What every reader of a photo set returns: photos by name, the objects on each, and what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_core.errors import ImageError
from saliency_core.inputs.images import open_image

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the photo: edges, so that (0, 0, width, height) is all of it."""

Mask = Callable[[], NDArray[np.bool_]]
"""Draws the mask of an object, (height, width) of the photo, True on the object. Can be pickled."""


@dataclass(frozen=True)
class Annotation:
    """An object on a photo."""

    class_name: str
    """As the data set calls it."""
    box: Box
    """Inside the photo, with an area."""
    mask: Mask | None = None
    """None where the data set knows only the box."""
    difficult: bool = False
    """Marked as hard to recognise by the annotators of Pascal VOC."""
    crowd: bool = False
    """A group of objects under one mask (COCO's ``iscrowd``)."""


@dataclass(frozen=True)
class PhotoRecord:
    """A photo of a set and the objects on it."""

    name: str
    """The path of its file inside the set, with ``/``."""
    annotations: tuple[Annotation, ...] = ()
    folder_class: str | None = None
    """The class of the whole photo, where folders are classes."""
    width: int | None = None
    """In pixels, as the annotations say or the file's header does; None where nothing depends on it."""
    height: int | None = None


@dataclass(frozen=True)
class Problem:
    """Something of a set that was left out or changed, in a sentence."""

    file: str
    """The file that it is about; empty for the whole set."""
    sentence: str


class PhotoFiles(Protocol):
    """The files of a set, by their paths inside it."""

    def read(self, name: str) -> bytes:
        """The bytes of a photo.

        Raises:
            ImageError: it is not there any more, or larger than a photo may be.
        """

    def checksum(self, name: str) -> int:
        """The CRC-32 of a file's bytes."""

    def close(self) -> None:
        """Give back what is held open; a later call opens it again."""


@dataclass(frozen=True)
class PhotoSet:
    """Photos with the objects on them. Photos are opened one at a time, and none is kept.

    It can be pickled for another process that sees the same files.
    """

    name: str
    """The name of its folder or file."""
    kind: str
    """The name of the reader: ``voc``, ``coco``, ``yolo``, ``csv`` or ``folders``."""
    records: tuple[PhotoRecord, ...]
    class_names: tuple[str, ...]
    """Of the data set, in its own order where it has one, also those of which there is no object."""
    files: PhotoFiles
    problems: tuple[Problem, ...] = ()
    """What was left out or changed; of very many the last one says how many more there are."""
    problem_count: int = 0
    """All of them, also those that are not listed."""

    @property
    def object_count(self) -> int:
        """The objects on all photos."""
        return sum(len(record.annotations) for record in self.records)

    def open(self, record: PhotoRecord) -> Image.Image:
        """The photo of a record as :func:`saliency_core.open_image` gives it, in the pixels of its boxes.

        The photo is upright, as annotation tools show it. Where width and height of the record are those of
        the photo before its EXIF orientation is applied, the boxes were made for the pixels as they are
        stored, and the photo is returned so.

        Raises:
            ImageError: the file is not a usable photo, is not there any more, or its size is not the one
                that its annotations were made for.
        """
        data = self.files.read(record.name)
        image = open_image(data, name=record.name)
        size = (record.width, record.height)
        if None in size or image.size == size:
            return image
        if image.size == size[::-1]:
            image = open_image(data, name=record.name, upright=False)
        if image.size != size:
            raise ImageError(
                f"The photo has {image.width} × {image.height} pixels, and its annotations are for "
                f"{size[0]} × {size[1]}; use the photo that was annotated."
            )
        return image

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the photos' bytes (by their CRC-32), names, classes and annotations, hexadecimal.

        A folder and the zip file of it have the same digest. The first time, all photos of a folder are read.
        """
        found = hashlib.sha256(repr(self.class_names).encode())
        for record in self.records:
            found.update(f"{record!r} {self.files.checksum(record.name):08x}\n".encode())
        return found.hexdigest()

    def close(self) -> None:
        """Close the files that are open; the set can still be used, and opens them again."""
        self.files.close()
