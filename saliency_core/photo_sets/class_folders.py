"""Photos in folders that are called as their classes, without boxes."""

from __future__ import annotations

from typing import Final

from saliency_core.photo_sets.draft import Found, class_name
from saliency_core.photo_sets.model import PhotoRecord
from saliency_core.photo_sets.reader import Reader
from saliency_core.photo_sets.sources import Report, SetFiles, is_photo


def recognises(files: SetFiles) -> bool:
    """Whether there is a photo."""
    return any(is_photo(name) for name in files.sizes)


def read(files: SetFiles, report: Report) -> Found:
    """Read all photos; the class of each is the folder that it lies in, ``train/dog/1.jpg`` is a dog.

    A photo that lies in no folder has no class. There are no boxes.
    """
    records = []
    for name in files.sizes:
        if is_photo(name):
            folder = name.rpartition("/")[0].rpartition("/")[2]
            records.append(PhotoRecord(name, folder_class=class_name(folder) or None))
    names = sorted({record.folder_class for record in records if record.folder_class})
    return Found(tuple(records), tuple(names))


FOLDERS: Final = Reader(
    "folders by class", "photos in folders that are called as their classes", recognises, read
)
