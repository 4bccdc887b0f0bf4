"""The uploaded photos of all sessions as files, which all web processes that share the state folder find.

A photo is two files, named by the first half of its digest: its bytes as they were sent, and what is known of
it. The time at which the first was changed is that of the last use. What the disk does not take is kept in
memory.
"""

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pages.shared.state_folder import StateFolder, create
from saliency_core.engine.cache import SharedCache

STEM = 32
"""Hexadecimal digits of a digest in a file's name, 128 bits."""
SHARE_OF_DISK = 0.25
DATA = ".photo"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadFacts:
    """What is known of an uploaded file: `thumb` is a data URI, empty until the photo has been decoded."""

    name: str
    digest: str
    size: int
    thumb: str = ""


@dataclass(frozen=True)
class _InMemory:
    facts: UploadFacts
    data: bytes

    @property
    def cost(self) -> int:
        return len(self.data) + len(self.facts.thumb)


class _Disk:
    """The files in a state folder. What cannot be read or written raises OSError."""

    def __init__(self, state: StateFolder, max_bytes: int, max_age: float) -> None:
        self.max_bytes = min(max_bytes, int(SHARE_OF_DISK * shutil.disk_usage(state.path).total))
        self._max_age = max_age
        self._state = state
        self._held: set[str] = set()
        self._lock = threading.Lock()  # of _held: sessions run in several threads

    def put(self, facts: UploadFacts, data: bytes) -> None:
        if len(data) > self.max_bytes:
            raise OSError(f"{len(data)} bytes are more than all photos may take")
        self.make_room(len(data))
        self._write(self._data(facts.digest), data)
        self.write_facts(facts)

    def write_facts(self, facts: UploadFacts) -> None:
        self._write(self._facts(facts.digest), json.dumps(asdict(facts)).encode())

    def find(self, digest: str) -> UploadFacts | None:
        try:
            found = UploadFacts(**json.loads(self._facts(digest).read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError):
            return None
        return found if found.digest.startswith(digest) and self.has(found.digest) else None

    def has(self, digest: str) -> bool:
        return self._data(digest).is_file()

    def read(self, digest: str) -> bytes | None:
        data = self._data(digest).read_bytes()
        return data if hashlib.sha256(data).hexdigest() == digest else None

    def use(self, digest: str) -> None:
        os.utime(self._data(digest))

    def hold(self, digests: set[str]) -> None:
        with self._lock:
            folder = self._state.part("held")
            if not any(folder.iterdir()):
                self._held = set()  # it was removed, and made again
            for digest in digests - self._held:
                (folder / digest[:STEM]).touch(mode=0o600)
            for digest in self._held - digests:
                (folder / digest[:STEM]).unlink(missing_ok=True)
            self._held = set(digests)

    def held_elsewhere(self, digest: str) -> bool:
        """Whether a session of another process has a file."""
        return any((folder / digest[:STEM]).exists() for folder in self._state.others("held"))

    def remove(self, digest: str) -> None:
        self._facts(digest).unlink(missing_ok=True)
        self._data(digest).unlink(missing_ok=True)

    def make_room(self, size: int) -> None:
        """Remove what is too old, and what must go for so many bytes."""
        with self._state.lock():
            entries, oldest = self.entries(), time.time() - self._max_age
            total = size + sum(each for _, each, _ in entries)
            for used, freed, stem in entries:
                if used >= oldest and total <= self.max_bytes:
                    break
                self.remove(stem)
                total -= freed

    def sweep(self) -> None:
        self.make_room(0)
        self._state.remove_leftovers()

    def entries(self) -> list[tuple[float, int, str]]:
        """Last use (Unix seconds), bytes and name of each file, the oldest use first."""
        found = []
        with os.scandir(self._state.uploads) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process has removed it
                    if entry.name.endswith(DATA):
                        facts = entry.stat(follow_symlinks=False)
                        found.append((facts.st_mtime, facts.st_size, entry.name.removesuffix(DATA)))
        return sorted(found)

    def _data(self, digest: str) -> Path:
        return self._state.uploads / f"{digest[:STEM]}{DATA}"

    def _facts(self, digest: str) -> Path:
        return self._state.uploads / f"{digest[:STEM]}.json"

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file that is either complete or not there."""
        draft = self._state.part("drafts") / secrets.token_hex(8)
        try:
            with create(draft) as file:
                file.write(data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


class UploadFiles:
    """A bounded store of uploaded files by digest; those whose last use is longest ago are removed first.

    Args:
        state: the folder; None if nothing can be written.
        max_bytes: of all files on the disk, of all processes, at most a quarter of the volume.
        max_age: seconds since the last use.
        memory_bytes: of what the disk did not take.
    """

    def __init__(self, state: StateFolder | None, max_bytes: int, max_age: float, memory_bytes: int) -> None:
        self._disk = None if state is None else _Disk(state, max_bytes, max_age)
        self._memory: SharedCache[str, _InMemory] = SharedCache(memory_bytes, lambda kept: kept.cost)

    @property
    def max_bytes(self) -> int:
        """The bound of the files on the disk, or of those in memory if nothing can be written."""
        return self._memory.max_size if self._disk is None else self._disk.max_bytes

    def put(self, facts: UploadFacts, data: bytes) -> bool:
        """Keep a file; whether on the disk."""
        if self._disk is not None:
            try:
                self._disk.put(facts, data)
                return True
            except OSError as error:
                log.warning("an uploaded photo is kept in memory only: %s", error.strerror or error)
                with contextlib.suppress(OSError):
                    self._disk.remove(facts.digest)
        self._memory.put(facts.digest, _InMemory(facts, data))
        return False

    def note_thumb(self, facts: UploadFacts) -> None:
        """Keep what became known of a file that is here."""
        kept = self._memory.peek(facts.digest)
        if kept is not None:
            self._memory.put(facts.digest, _InMemory(facts, kept.data))
        elif self._disk is not None:
            with contextlib.suppress(OSError):  # without a thumbnail it is decoded again after a restart
                if self._disk.has(facts.digest):
                    self._disk.write_facts(facts)

    def find(self, digest: str) -> UploadFacts | None:
        """What is known of a file that is here, by its digest or the first half of it."""
        if self._disk is not None:
            with contextlib.suppress(OSError):
                if (found := self._disk.find(digest)) is not None:
                    return found
        kept = self._memory.find(lambda each: each.startswith(digest))
        return None if kept is None else kept.facts

    def read(self, digest: str) -> bytes | None:
        """The bytes of a file; None if it is not here."""
        if self._disk is not None:
            with contextlib.suppress(OSError):
                if (data := self._disk.read(digest)) is not None:
                    return data
        kept = self._memory.peek(digest)
        return None if kept is None else kept.data

    def use(self, digest: str) -> bool:
        """Note that a file is used; whether it is here."""
        if self._disk is not None:
            with contextlib.suppress(OSError):
                self._disk.use(digest)
                return True
        return self._memory.peek(digest) is not None

    def hold(self, digests: Iterable[str]) -> None:
        """Note which files the sessions of this process have, for the other processes to see."""
        if self._disk is not None:
            with contextlib.suppress(OSError):
                self._disk.hold(set(digests))

    def drop(self, digest: str) -> None:
        """Remove a file that no session of this process has, unless one of another process has it."""
        self._memory.drop(digest)
        if self._disk is not None:
            with contextlib.suppress(OSError):
                if not self._disk.held_elsewhere(digest):
                    self._disk.remove(digest)

    def sweep(self) -> None:
        """Remove what has not been used for too long, and what killed processes have left."""
        if self._disk is not None:
            try:
                self._disk.sweep()
            except OSError as error:
                log.warning("the folder of uploads was not swept: %s", error.strerror or error)

    def usage(self) -> tuple[int, int]:
        """How many files there are, and their bytes, of all processes that share the folder."""
        sizes: list[int] = []
        if self._disk is not None:
            with contextlib.suppress(OSError):
                sizes = [size for _, size, _ in self._disk.entries()]
        return len(sizes) + len(self._memory), sum(sizes) + self._memory.size
