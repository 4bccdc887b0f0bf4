"""The files of a photo set: those of a folder, or of a zip file that is read in place and never unpacked.

Both are untrusted. What is not read is a problem in a sentence, and the rest is used.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import unicodedata
import weakref
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Final

from saliency_core.errors import ArgumentError, ImageError
from saliency_core.inputs.images import MAX_BYTES
from saliency_core.photo_sets.model import Problem

MAX_FILES: Final = 200_000
MAX_DEPTH: Final = 12
"""Folders inside each other."""
MAX_DIRECTORY: Final = 24 << 20
"""Bytes of a zip file's list of its files: what Python makes of it takes thirty times as much memory."""
MAX_RATIO: Final = 200
"""Photos and annotations are rarely packed to a twentieth; what gets far smaller was made to fill a disk."""
PACKED_FREELY: Final = 1 << 20
"""Up to this size, in bytes, a file may have any ratio."""
MAX_PROBLEMS: Final = 1000
CHUNK: Final = 1 << 20

PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
ARCHIVE_SUFFIXES: Final = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"})


def suffix(name: str) -> str:
    """The ending of a file's name in small letters, with its dot; "" if it has none.

    >>> suffix("VOC2007/JPEGImages/000012.JPG"), suffix("labels/.hidden")
    ('.jpg', '')
    """
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return dot + ending.lower() if stem else ""


def is_photo(name: str) -> bool:
    """Whether a file's name is that of a photo of a kind that can be read."""
    return suffix(name) in PHOTO_SUFFIXES


class Report:
    """The problems of a set, the first :data:`MAX_PROBLEMS` of them word by word."""

    def __init__(self) -> None:
        self.count = 0
        self._problems: list[Problem] = []

    def add(self, file: str, sentence: str) -> None:
        """Add one."""
        self.count += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(file, sentence))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Those that are listed; of more a last one says how many."""
        if self.count <= MAX_PROBLEMS:
            return tuple(self._problems)
        rest = Problem("", f"{self.count - MAX_PROBLEMS:,} more problems are not listed.")
        return (*self._problems, rest)


class SetFiles(ABC):
    """The files of a set by their paths inside it, with ``/`` and in Unicode's composed form (NFC)."""

    title: str
    sizes: Mapping[str, int]
    """File -> bytes, unpacked, in the order of the names."""

    @abstractmethod
    def checksum(self, name: str) -> int:
        """The CRC-32 of a file's bytes. Raises ImageError if it can't be read."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held open; a later call opens it again."""

    @abstractmethod
    def _open(self, name: str) -> BinaryIO: ...

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file's bytes as a stream.

        Raises:
            ArgumentError: it is not there any more, or damaged; also while it is read.
        """
        if name not in self.sizes:
            raise ArgumentError("The file is not in the set.")
        try:
            with self._open(name) as file:
                yield file
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ArgumentError(
                "The file is damaged inside the zip file; make the zip file again."
            ) from error
        except OSError as error:
            raise ArgumentError(f"The file can't be read: {error.strerror or 'unknown error'}.") from error

    def content(self, name: str, most: int) -> bytes:
        """A file's bytes.

        Raises:
            ArgumentError: it is larger than ``most``, not there any more, or damaged.
        """
        with self.open(name) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise ArgumentError(
                f"The file is larger than {_amount(most)}, the most that is read of its kind."
            )
        return data

    def read(self, name: str) -> bytes:
        """The bytes of a photo.

        Raises:
            ImageError: it is larger than a photo may be, not there any more, or damaged.
        """
        try:
            return self.content(name, MAX_BYTES)
        except ArgumentError as error:
            raise ImageError(str(error)) from error


def _amount(size: int) -> str:
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} kB"


def _unusable(name: str) -> str | None:
    """Why a path can't be that of a file in a set; None if it can."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
        return "The path leads out of the set, so the file is not read."
    if len(parts) > MAX_DEPTH + 1:
        return f"The file lies more than {MAX_DEPTH} folders deep and is not read."
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return "The name has characters that can't be written, so the file is not read; rename it."
    return None


def _shown(name: str) -> str:
    """A path that may hold anything, for a sentence."""
    return "".join("?" if unicodedata.category(each) in ("Cc", "Cs") else each for each in name)[:300]


def _unwanted(name: str) -> bool:
    """Whether a file is one that systems leave behind, which nobody asks for."""
    parts = name.split("/")
    return any(part.startswith(".") and part not in (".", "..") for part in parts) or "__MACOSX" in parts


def _ignored(name: str, report: Report) -> bool:
    """Whether a file is not looked at; an archive inside the set is a problem."""
    if _unwanted(name):
        return True
    if suffix(name) in ARCHIVE_SUFFIXES:
        report.add(_shown(name), "An archive inside the set is not opened; unpack it before.")
        return True
    if (reason := _unusable(name)) is not None:
        report.add(_shown(name), reason)
        return True
    return False


class FolderFiles(SetFiles):
    """The files of a folder. Links are not followed, and nothing but ordinary files is read.

    Raises:
        ArgumentError: the folder can't be read, or holds more than :data:`MAX_FILES` files.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self.title = folder.name
        try:
            self._root = folder.resolve(strict=True)
            if self.title in ("", ".."):
                self.title = self._root.name
            found = sorted(self._listed(report), key=lambda each: each[0])
        except (OSError, RuntimeError) as error:  # the second: links in a circle
            reason = getattr(error, "strerror", None) or "it leads nowhere"
            raise ArgumentError(f"The folder {_shown(folder.name)} can't be read: {reason}.") from error
        self.sizes = {name: size for name, _, size in found}
        self._paths = {name: path for name, path, _ in found if path != name}

    def _listed(self, report: Report) -> Iterator[tuple[str, str, int]]:
        """(name, the path as the disk has it, bytes) of every file."""
        waiting, seen = [""], 0
        while waiting:
            folder = waiting.pop()
            with os.scandir(self._root / folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MAX_FILES:
                        raise ArgumentError(_too_many(f"The folder {_shown(self.title)}"))
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    name = unicodedata.normalize("NFC", path)
                    if _ignored(name, report):
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(path)
                    elif stat.S_ISREG(status.st_mode):
                        yield name, path, status.st_size
                    elif stat.S_ISLNK(status.st_mode):
                        report.add(name, "A link is not followed; put the file itself there.")
                    else:
                        report.add(name, "This is no ordinary file and is not read.")

    def _open(self, name: str) -> BinaryIO:
        path = self._root / self._paths.get(name, name)
        # A link or a pipe may have taken the file's place since the folder was listed.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise ArgumentError("This is no ordinary file and is not read.")
        return file

    def checksum(self, name: str) -> int:
        """The CRC-32 of a file's bytes. Raises ImageError if it can't be read."""
        found = 0
        try:
            with self.open(name) as file:
                while chunk := file.read(CHUNK):
                    found = zlib.crc32(chunk, found)
        except ArgumentError as error:
            raise ImageError(f"{name}: {error}") from error
        return found

    def close(self) -> None:
        """Nothing is held open."""


class _DirectoryBound(io.BufferedReader):
    """A zip file that refuses to be read in large pieces, which only the list of its files is."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(MAX_DIRECTORY + 1 if size is None or size < 0 else min(size, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise ArgumentError(_too_many("The zip file"))
        return data


class ZipFiles(SetFiles):
    """The files of a zip file, by path or as its bytes.

    Raises:
        ArgumentError: it is not a zip file, is damaged, or holds more than :data:`MAX_FILES` files.
    """

    def __init__(self, source: Path | bytes, report: Report, title: str) -> None:
        self.title = title
        self._source = source
        self._start()
        try:
            found = dict(self._listed(report))
        except BaseException:
            self.close()
            raise
        self._entries = dict(sorted(found.items()))
        self.sizes = {name: entry.file_size for name, entry in self._entries.items()}

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._archive: zipfile.ZipFile | None = None
        self._closing: Any = None

    def __getstate__(self) -> dict[str, Any]:
        own = ("_lock", "_archive", "_closing")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _opened(self) -> zipfile.ZipFile:
        with self._lock:
            if self._archive is None:
                try:
                    raw = io.BytesIO(self._source) if isinstance(self._source, bytes) else None
                    file = _DirectoryBound(raw or io.FileIO(self._source))
                except OSError as error:
                    reason = error.strerror or "unknown error"
                    raise ArgumentError(f"The zip file can't be read: {reason}.") from error
                try:
                    self._archive = zipfile.ZipFile(file)
                except ArgumentError:
                    file.close()
                    raise
                except Exception as error:  # struct.error, ValueError, OverflowError … of a damaged list
                    file.close()
                    raise ArgumentError(
                        f"{_shown(self.title)} is not a zip file, or is damaged; make it again."
                    ) from error
                self._closing = weakref.finalize(self, _close, self._archive, file)
            return self._archive

    def close(self) -> None:
        """Close the zip file; a later call opens it again."""
        with self._lock:
            if self._closing is not None:
                self._closing()
            self._archive = self._closing = None

    def _listed(self, report: Report) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        entries = self._opened().infolist()
        if len(entries) > MAX_FILES:
            raise ArgumentError(_too_many("The zip file"))
        placed = sorted(entries, key=lambda each: each.header_offset)
        for entry, following in pairwise(placed):
            if entry.header_offset + entry.compress_size > following.header_offset:
                raise ArgumentError(
                    "Files in the zip file share their bytes, as in one made to fill a disk; it is not read."
                )
        names: set[str] = set()
        for entry in entries:
            name = unicodedata.normalize("NFC", _name(entry))
            if entry.is_dir() or name.endswith("/") or _ignored(name, report):
                continue
            if (reason := _unreadable(entry)) is not None:
                report.add(name, reason)
                continue
            if name in names:
                report.add(name, "The zip file has several files of this name; the last one is used.")
            names.add(name)
            yield name, entry

    def _open(self, name: str) -> BinaryIO:
        try:
            return self._opened().open(self._entries[name])  # type: ignore[return-value]
        except (ValueError, struct.error) as error:  # of a damaged list: a place before the file's beginning
            raise zipfile.BadZipFile from error

    def checksum(self, name: str) -> int:
        """The CRC-32 of a file's bytes as the zip file states it; it is checked when the file is read."""
        return self._entries[name].CRC


def _close(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    archive.close()
    file.close()


def _too_many(what: str) -> str:
    return f"{what} holds more than {MAX_FILES:,} files, the most that are read; divide it."


def _name(entry: zipfile.ZipInfo) -> str:
    """The path of a file in a zip file: macOS writes UTF-8 and does not say so, some write backslashes."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        with suppress(UnicodeError):  # where it is none, it was meant as it stands
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/").removeprefix("./")


def _unreadable(entry: zipfile.ZipInfo) -> str | None:
    """Why a file in a zip file is not read; None if it is."""
    if entry.flag_bits & 1:
        return "The file is encrypted; make the zip file without a password."
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "A link is not followed; put the file itself there."
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "The file is packed in a way that is not read here; make the zip file with the usual method."
    if entry.file_size > PACKED_FREELY and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        ratio = entry.file_size // max(entry.compress_size, 1)
        return f"The file unpacks to {ratio:,} times its size; at most {MAX_RATIO} times is read."
    return None
