"""The photos that one session has uploaded, and what a browser tab remembers of them over a reload.

Sessions hold names, digests and thumbnails; the bytes are in the store of `photos.upload_files`, which all
sessions share and which is bounded.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from weakref import WeakSet

from pages.shared import photos
from pages.shared.photos import PhotoFile

MAX_UPLOADS = 12
MAX_UPLOAD_BYTES = 160 << 20
MAX_NAME = 200  # characters: more than any file system allows for a photo that somebody has named

_everyone: "WeakSet[Uploads]" = WeakSet()
_lock = threading.Lock()  # of _everyone: sessions begin in several threads


class Uploads:
    """The uploaded files of a session, oldest first.

    At most `MAX_UPLOADS` of them with at most `MAX_UPLOAD_BYTES` together (the newest one always stays), and
    none twice.
    """

    def __init__(self) -> None:
        self._files: list[PhotoFile] = []
        self.round = 0
        """How many times files were taken from the uploader; its key, so that it is empty again."""
        with _lock:
            _everyone.add(self)

    def __iter__(self) -> Iterator[PhotoFile]:
        return iter(tuple(self._files))

    def __len__(self) -> int:
        return len(self._files)

    @property
    def size(self) -> int:
        """The sum of the files' sizes, in bytes."""
        return sum(file.size for file in self._files)

    def find(self, key: str) -> PhotoFile | None:
        """The file that an address calls `key`."""
        return next((file for file in self._files if file.key == key), None)

    def add(self, *files: PhotoFile) -> list[PhotoFile]:
        """Add files as the newest; returns those that had to be removed."""
        digests = {file.digest for file in files}
        self._files = [each for each in self._files if each.digest not in digests] + list(files)
        gone: list[PhotoFile] = []
        while len(self._files) > 1 and (len(self._files) > MAX_UPLOADS or self.size > MAX_UPLOAD_BYTES):
            gone.append(self._files.pop(0))
        self.forget(gone)
        note_held()
        return gone

    def put_first(self, files: Iterable[PhotoFile]) -> None:
        """Put files that were uploaded earlier before the others."""
        first = list(files)
        digests = {file.digest for file in first}
        others = [each for each in self._files if each.digest not in digests]
        self._files = []
        self.add(*first, *others)

    def remove(self, key: str) -> tuple[PhotoFile, PhotoFile | None] | None:
        """Remove a file; returns it with its neighbour, or None if there is no such file."""
        index = next((index for index, each in enumerate(self._files) if each.key == key), None)
        if index is None:
            return None
        removed = self._files.pop(index)
        self.forget([removed])
        note_held()
        return removed, self._files[min(index, len(self._files) - 1)] if self._files else None

    def drop_missing(self) -> list[PhotoFile]:
        """Remove the files whose bytes have left the server, and return them."""
        missing = [file for file in self._files if not photos.on_server(file)]
        self._files = [file for file in self._files if file not in missing]
        return missing

    def forget(self, files: Iterable[PhotoFile]) -> None:
        """Remove files from the server, unless this or another session has uploaded the same."""
        held = _held(_sessions())
        for file in files:
            if file.digest not in held:
                photos.forget(file)


def _sessions() -> "list[Uploads]":
    with _lock:
        return list(_everyone)


def _held(sessions: "Iterable[Uploads]") -> set[str]:
    return {file.digest for each in sessions for file in each}


def note_held() -> None:
    """Tell the other web processes which files the sessions of this one have."""
    photos.upload_files().hold(_held(_sessions()))


def remembered(sent: object) -> dict[str, str]:
    """Key -> name of the uploads that a browser tab says it had, oldest first.

    The message comes from outside: what is not an upload's key with a name is ignored, and so is what is
    beyond the limit.
    """
    entries = sent[:MAX_UPLOADS] if isinstance(sent, list) else []
    pairs = [(entry.get("key"), entry.get("name")) for entry in entries if isinstance(entry, Mapping)]
    return {
        key: printable(name)
        for key, name in pairs
        if isinstance(key, str) and isinstance(name, str) and photos.UPLOAD_KEY.fullmatch(key)
    }


def printable(name: str, nameless: str = "Photo") -> str:
    """A file's name without characters that cannot be shown, and not longer than `MAX_NAME`."""
    return "".join(letter for letter in name[:MAX_NAME] if letter.isprintable()).strip() or nameless


def listed(names: Sequence[str]) -> str:
    """Names in quotation marks: “a”; “a” and “b”; “a”, “b” and “c”. At most `MAX_UPLOADS` are spelt out."""
    quoted = [f"“{name}”" for name in names]
    if len(quoted) > MAX_UPLOADS + 1:
        quoted[MAX_UPLOADS:] = [f"{len(quoted) - MAX_UPLOADS} more"]
    *others, last = quoted
    return f"{', '.join(others)} and {last}" if others else last


def in_memory_only(names: Sequence[str]) -> str:
    """That the disk did not take the photos with these names, and what follows from that."""
    it, verb = ("It", "stays") if len(names) == 1 else ("They", "stay")
    return (
        f"The server could not save {listed(names)} on its disk. {it} {verb} here until the server restarts."
    )


def made_room(names: Sequence[str]) -> str:
    """That the photos with these names were removed, and why."""
    room = f"{MAX_UPLOADS} photos, or {MAX_UPLOAD_BYTES >> 20} MB"
    verb = "was" if len(names) == 1 else "were"
    return f"There is room for {room}. To make room, {listed(names)} {verb} removed."
