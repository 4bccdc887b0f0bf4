"""The networks that sessions have uploaded: checkpoints on the disk, each for its session alone.

The engine knows them by names that cannot be guessed. A session's are removed when it ends; all sessions
together have a bounded room on the disk.
"""

import contextlib
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from weakref import WeakValueDictionary

import streamlit as st

import saliency_core as sc
from pages.shared import formats, state_folder
from pages.shared.engine import shared_engine
from pages.shared.models import OWN_PREFIX
from pages.shared.room import Room
from pages.shared.uploads import printable
from saliency_core.engine.checkpoints import CheckpointModel

MAX_FILE_BYTES = 500_000_000
MAX_LABEL_BYTES = 4 << 20
MAX_MODELS = 4
"""Networks that one session may have."""
MAX_ALL = 60
"""Networks of all sessions together: fewer than the engine keeps in mind."""
ROOM_BYTES = 4_000_000_000
"""What the checkpoints of all sessions may take on the disk."""
SUFFIXES = (".safetensors", ".pth", ".pt")
MAX_ARRIVING = 2
"""Checkpoints of one session that arrive at once: one that was given up, and the one chosen instead."""
ARRIVING = (
    "Other checkpoints of yours are on their way. Wait until they have arrived, and choose the file again."
)
FULL = f"You have {MAX_MODELS} networks of your own here. Remove one to add another."
NO_ROOM = (
    "The server has no room for another checkpoint now. Remove a network that you no longer need, or try "
    "again later."
)
NO_DISK = "The server cannot save the checkpoint: its disk is full or cannot be written."
NOT_HERE = "The checkpoint is no longer on the server. Choose the file again."
EMPTY = "{name} is empty. Choose a checkpoint that torch.save or safetensors wrote."
WRONG_SUFFIX = "{name} is no checkpoint: expected a file that ends in .safetensors, .pth or .pt."
TOO_LARGE = f"{{name}} is too large: checkpoints may have up to {formats.size(MAX_FILE_BYTES)}."

MAX_PATH = 100
_UNUSUAL = re.compile(r"[^\w.() -]", re.ASCII)
"""Characters that not every file system takes."""

_sessions: "WeakValueDictionary[str, OwnModels]" = WeakValueDictionary()
_lock = threading.Lock()  # of _sessions and of the room that is taken: requests come in several threads


room = Room(ROOM_BYTES, lambda: sc.WeightsError(NO_ROOM))


def _file_name(name: str) -> str:
    """A name that every file system takes, like the one that the file had."""
    return _UNUSUAL.sub("_", printable(PurePath(name).name))[-MAX_PATH:].lstrip(".") or "file"


class Upload:
    """A checkpoint's file, while it arrives and as long as it is kept."""

    def __init__(self, name: str) -> None:
        self.name = printable(PurePath(name).name, "The file")
        suffix = PurePath(self.name).suffix.lower()
        if suffix not in SUFFIXES:
            raise sc.WeightsError(WRONG_SUFFIX.format(name=self.name))
        self.id = secrets.token_hex(16)
        # A folder for each: what reads the file names it as its owner does.
        self.size = 0
        self.arriving = True
        """Whether more of it is expected."""
        try:
            self.folder = state_folder.own_part("checkpoints") / self.id
            self.folder.mkdir(mode=0o700)
            self.path = self.folder / _file_name(self.name)
            self._file = state_folder.create(self.path)
        except OSError as error:
            raise sc.WeightsError(NO_DISK) from error

    def write(self, chunk: bytes) -> None:
        """Add bytes. Raises sc.WeightsError where they are too many."""
        if self.size + len(chunk) > MAX_FILE_BYTES:
            raise sc.WeightsError(TOO_LARGE.format(name=self.name))
        room.take(len(chunk))
        self.size += len(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise sc.WeightsError(NO_DISK) from error

    def end(self) -> None:
        """The last byte has come. Raises sc.WeightsError if there was none."""
        self.arriving = False
        try:
            self._file.close()
        except OSError as error:
            raise sc.WeightsError(NO_DISK) from error
        if not self.size:
            raise sc.WeightsError(EMPTY.format(name=self.name))

    def put(self, name: str, data: bytes) -> Path:
        """Put a small file beside the checkpoint, in place of the one before."""
        folder = self.folder / "labels"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        file = folder / _file_name(name)
        file.write_bytes(data)
        return file

    def discard(self) -> None:
        """Remove the file."""
        self.arriving = False
        with contextlib.suppress(OSError):  # a full disk did not take its end
            self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        room.give(self.size)
        self.size = 0


@dataclass(frozen=True)
class OwnModel:
    """One uploaded network: its name in requests and addresses, and the title that the session sees.

    The title is the name of its file; `architecture` is the network that it was put into, `labels` the name
    of the file with its classes, if there was one.
    """

    name: str
    title: str
    upload: Upload
    architecture: str
    labels: str


class OwnModels:
    """The networks of one session, oldest first, and the checkpoint that waits for its architecture.

    `token` tells the server's other routes which session asks; only the session's own tab knows it.
    """

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self._models: dict[str, OwnModel] = {}
        self._waiting: Upload | None = None
        self._arriving: list[Upload] = []
        self._closed = False
        self._adding = threading.Lock()
        with _lock:
            _sessions[self.token] = self

    def __iter__(self) -> Iterator[OwnModel]:
        return iter(tuple(self._models.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def get(self, name: str) -> OwnModel | None:
        """One of them; None for any other name."""
        return self._models.get(name)

    def title(self, name: str) -> str:
        """The title of one of them; empty for any other name."""
        found = self._models.get(name)
        return "" if found is None else found.title

    @property
    def full(self) -> bool:
        """Whether there are as many as a session may have."""
        return len(self._models) >= MAX_MODELS

    def receive(self, name: str) -> Upload:
        """A file to write a checkpoint into. Raises sc.WeightsError where none is expected."""
        if self.full:
            raise sc.WeightsError(FULL)
        with _lock:
            everyone = list(_sessions.values())
        if sum(len(own._models) for own in everyone) >= MAX_ALL:
            raise sc.WeightsError(NO_ROOM)
        self._arriving = [each for each in self._arriving if each.arriving]
        if len(self._arriving) >= MAX_ARRIVING:
            raise sc.WeightsError(ARRIVING)
        upload = Upload(name)
        self._arriving.append(upload)
        return upload

    def keep(self, upload: Upload) -> None:
        """Let a complete checkpoint wait for its architecture, in place of the one before."""
        before, self._waiting = self._waiting, upload
        if before is not None:
            before.discard()
        if self._closed:
            self.close()

    def add(self, upload: str, architecture: str, labels: tuple[str, bytes] | None) -> str:
        """Make a model of the checkpoint that waits; returns its name.

        `labels` are the name of a file and its bytes. Raises sc.SaliencyError where the checkpoint does not
        fit, or the labels do not: it waits on.
        """
        # One at a time: a second request for the same checkpoint finds that it waits no longer.
        with self._adding:
            return self._add(upload, architecture, labels)

    def _add(self, upload: str, architecture: str, labels: tuple[str, bytes] | None) -> str:
        waiting = self._waiting
        if waiting is None or waiting.id != upload:
            raise sc.WeightsError(NOT_HERE)
        if self.full:
            raise sc.WeightsError(FULL)
        names = None if labels is None else waiting.put(*labels)
        name = f"{OWN_PREFIX}{secrets.token_hex(16)}"
        shared_engine().add_model(CheckpointModel(name, waiting.name, waiting.path, architecture, names))
        if self._waiting is not waiting:  # another file has come meanwhile, which removed this one
            shared_engine().remove_model(name)
            raise sc.WeightsError(NOT_HERE)
        self._models[name] = OwnModel(
            name, waiting.name, waiting, architecture, "" if labels is None else labels[0]
        )
        self._waiting = None
        if self._closed:
            self.close()
        return name

    def remove(self, name: str) -> bool:
        """Remove a network from the engine and its file from the disk; whether there was one."""
        found = self._models.pop(name, None)
        if found is None:
            return False
        shared_engine().remove_model(name)
        found.upload.discard()
        return True

    def close(self) -> None:
        """The session has ended: remove everything."""
        self._closed = True
        for name in tuple(self._models):
            self.remove(name)
        if self._waiting is not None:
            self._waiting.discard()
            self._waiting = None


def of_token(token: str) -> OwnModels | None:
    """The networks of the session whose tab has this token."""
    with _lock:
        return _sessions.get(token)


@st.cache_resource(scope="session", show_spinner=False, on_release=OwnModels.close)
def of_session() -> OwnModels:
    """The networks of the session of this run, removed when it ends."""
    return OwnModels()
