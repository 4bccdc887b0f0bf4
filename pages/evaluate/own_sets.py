"""The photo sets that sessions have uploaded: zip files on the disk, each for its session alone."""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import streamlit as st

import saliency_core as sc
from pages.shared import formats, state_folder
from pages.shared.room import Room
from pages.shared.uploads import printable
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.photo_sets.reading import read_photo_set

MAX_SETS = 3
"""Sets that one session may have; the oldest one goes first."""
ROOM_BYTES = 2_000_000_000
NO_ROOM = "The server has no room for another photo set now. Try again later, or upload a smaller one."
NOT_A_ZIP = "{name} is not a zip file. Put the photos and their annotations into one zip file."
ZIP_START = b"PK"

room = Room(ROOM_BYTES, lambda: sc.ArgumentError(NO_ROOM))


@dataclass(frozen=True)
class OwnSet:
    """One uploaded zip file. Nobody can guess its `key`."""

    key: str
    name: str
    path: Path
    size: int
    digest: str

    @property
    def title(self) -> str:
        """Its name and size."""
        return f"{self.name} ({formats.size(self.size)})"

    def read(self) -> PhotoSet:
        """The photo set in it, under the name that the file had when it was uploaded."""
        return read_photo_set(self.path, name=self.name)


class OwnSets:
    """The uploaded sets of one session, oldest first."""

    def __init__(self) -> None:
        self._sets: dict[str, OwnSet] = {}
        self.round = 0
        """How many times a file was taken from the uploader; its key, so that it is empty again."""

    def __iter__(self) -> Iterator[OwnSet]:
        return iter(tuple(self._sets.values()))

    def get(self, key: str) -> OwnSet | None:
        """One of them; None for any other key."""
        return self._sets.get(key)

    def add(self, name: str, data: bytes) -> OwnSet:
        """Keep a zip file; the same file again is the one that is here.

        Raises:
            sc.ArgumentError: not a zip file, or there is no room.
        """
        name = printable(PurePath(name).name, "The file")
        if not data.startswith(ZIP_START):
            raise sc.ArgumentError(NOT_A_ZIP.format(name=name))
        digest = hashlib.sha256(data).hexdigest()
        for known in self:
            if known.digest == digest:
                return known
        while len(self._sets) >= MAX_SETS:
            self.remove(next(iter(self._sets)))
        room.take(len(data))
        key = secrets.token_hex(16)
        path: Path | None = None
        try:
            path = state_folder.own_part("photo-sets") / f"{key}.zip"
            with state_folder.create(path) as file:
                file.write(data)
        except OSError as error:
            if path is not None:
                path.unlink(missing_ok=True)
            room.give(len(data))
            raise sc.ArgumentError(NO_ROOM) from error
        found = OwnSet(key, name, path, len(data), digest)
        self._sets[key] = found
        return found

    def remove(self, key: str) -> None:
        """Remove a set, and its file from the disk."""
        found = self._sets.pop(key, None)
        if found is not None:
            found.path.unlink(missing_ok=True)
            room.give(found.size)

    def close(self) -> None:
        """The session has ended: remove everything."""
        for found in self:
            self.remove(found.key)


@st.cache_resource(scope="session", show_spinner=False, on_release=OwnSets.close)
def of_session() -> OwnSets:
    """The sets of the session of this run, removed when it ends."""
    return OwnSets()
