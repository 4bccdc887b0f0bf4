"""Photo sets on the server: the sub-folders and zip files of the folder ``SALIENCY_DATA``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from saliency_core.errors import ArgumentError, UnknownNameError
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.photo_sets.reading import open_files, read_photo_set, recognised
from saliency_core.photo_sets.sources import Report, is_photo, suffix
from saliency_core.registry import unknown

MAX_SETS: Final = 100


@dataclass(frozen=True)
class ServerPhotoSet:
    """A photo set on the server, as a look at the names of its files shows it."""

    name: str
    """The name of the sub-folder or zip file."""
    kind: str = ""
    """The reader that recognises it; empty if there is none."""
    photos: int = 0
    """Files of photos in it."""
    problem: str = ""
    """Why it can't be used, in a sentence; empty if it can."""


def data_folder() -> Path | None:
    """The folder ``SALIENCY_DATA``, None if it is not set."""
    chosen = os.environ.get("SALIENCY_DATA", "").strip()
    return Path(chosen) if chosen else None


def server_photo_sets(folder: Path | None = None) -> tuple[ServerPhotoSet, ...]:
    """The photo sets of a folder by name, ``SALIENCY_DATA`` if None; those that can't be used say why.

    Every sub-folder and every zip file is one. They are looked at, not read: their files are listed again at
    every call, annotations only as far as the kind needs. Nothing outside the folder is read, also not
    through links; at most :data:`MAX_SETS` are listed.
    """
    folder = data_folder() if folder is None else folder
    if folder is None:
        return ()
    try:
        names = _names(folder)
    except ArgumentError as error:
        return (ServerPhotoSet(folder.name, problem=str(error)),)
    found = [_looked_at(folder, name) for name in names[:MAX_SETS]]
    if len(names) > MAX_SETS:
        sentence = f"The folder holds {len(names)} photo sets; the first {MAX_SETS} are listed."
        found.append(ServerPhotoSet(folder.name, problem=sentence))
    return tuple(found)


def server_photo_set(name: str, folder: Path | None = None) -> PhotoSet:
    """Read a photo set of a folder, ``SALIENCY_DATA`` if None.

    Raises:
        UnknownNameError: there is none of this name.
        ArgumentError: the folder is not set, or the set can't be used.
    """
    folder = data_folder() if folder is None else folder
    if folder is None:
        raise ArgumentError("SALIENCY_DATA, the folder of photo sets, is not set.")
    names = _names(folder)
    if name not in names:
        raise UnknownNameError(unknown("photo set", name, tuple(names)))
    return read_photo_set(_inside(folder, name))


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                each.name
                for each in entries
                if not each.name.startswith(".")
                and each.name.isprintable()
                and (each.is_dir() or (each.is_file() and suffix(each.name) == ".zip"))
            )
    except OSError as error:
        reason = error.strerror or "unknown error"
        raise ArgumentError(
            f"The folder of photo sets, {folder}, can't be read: {reason}. Check SALIENCY_DATA."
        ) from error


def _inside(folder: Path, name: str) -> Path:
    """The path of a set without links."""
    try:
        path, root = (folder / name).resolve(strict=True), folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # links in a circle
        raise ArgumentError(f"{name} can't be read: it leads nowhere.") from error
    if not path.is_relative_to(root):
        raise ArgumentError(f"{name} is a link out of the folder of photo sets, which is not followed.")
    return path


def _looked_at(folder: Path, name: str) -> ServerPhotoSet:
    report = Report()
    try:
        files = open_files(_inside(folder, name), report)
        try:
            kind, _ = recognised(files, report)
            return ServerPhotoSet(name, kind, sum(map(is_photo, files.sizes)))
        finally:
            files.close()
    except ArgumentError as error:
        return ServerPhotoSet(name, problem=str(error))
