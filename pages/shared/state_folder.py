"""The folder for what sessions bring: photos, checkpoints, photo sets; nobody but the app's user can read it.

Uploaded photos survive the process, so that a browser finds its own again after a restart, or at another web
process that uses the same folder. What belongs to sessions of one process lies in that process's own folder,
which is removed when it ends; those that a killed process has left are removed when the next one starts. A
process holds a lock on its folder as long as it lives, also for containers that share a volume.
"""

import contextlib
import logging
import os
import secrets
import shutil
import stat
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from saliency_core.errors import ArgumentError

SETTING = "SALIENCY_STATE"
LOCK_SECONDS = 10.0
"""A lock is held for milliseconds; after so long, something is wrong with the disk."""

log = logging.getLogger(__name__)


def configured() -> Path:
    """The folder that `SALIENCY_STATE` names, or the user's own one among the temporary files."""
    given = os.environ.get(SETTING, "").strip()
    return Path(given).expanduser().absolute() if given else _default()


def _default() -> Path:
    return Path(tempfile.gettempdir()) / f"normgrad-studio-{os.getuid()}"


def private_folder(path: Path) -> Path:
    """Make a folder for this user alone, or check the one that is there.

    Raises:
        ArgumentError: it is a link or no folder, belongs to somebody else, or others may write into it.
        OSError: it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()
    problem = ""
    if stat.S_ISLNK(found.st_mode):
        problem = "is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        problem = "is not a folder"
    elif found.st_uid != os.getuid():
        problem = "belongs to another user"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = "can be written by other users"
    if problem:
        raise ArgumentError(
            f"{path} {problem}, so what visitors upload is not kept there. Set {SETTING} to a folder that "
            "belongs to the user who runs the app and that nobody else can write to, or that does not exist."
        )
    return path


def create(path: Path) -> BinaryIO:
    """A new file that only this user can read, opened to be written."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


class StateFolder:
    """A state folder in use by this process.

    Raises:
        ArgumentError: a folder that must not be used.
        OSError: one that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = private_folder(path)
        self.uploads = private_folder(path / "uploads")
        self._processes = private_folder(path / "processes")
        self._restoring = threading.Lock()
        with self._lock():
            self._remove_leftovers()
            name = secrets.token_hex(8)
            self._mine = self._lock_of(name)
            self._mine.acquire(blocking=False)
            self.own = private_folder(self._processes / name)
            """The folder of this process, removed when it ends."""

    def lock(self) -> FileLock:
        """The lock over all processes, for what must not happen twice at once; held for a moment only.

        Raises:
            OSError: the folder is gone and cannot be made again.
        """
        self._restore()
        return self._lock()

    def _lock(self) -> FileLock:
        return FileLock(self.path / "lock", timeout=LOCK_SECONDS, mode=0o600, thread_local=False)

    def _restore(self) -> None:
        """Make the folders again that were removed, as programs do that clean up temporary files."""
        folders = (self.path, self.uploads, self._processes, self.own)
        with self._restoring:
            if all(folder.is_dir() for folder in folders) and Path(self._mine.lock_file).exists():
                return
            log.warning("%s was removed in part, and is made again", self.path)
            try:
                for folder in folders:
                    private_folder(folder)
            except ArgumentError as error:  # it is somebody else's now
                raise OSError(str(error)) from error
            self._mine.release()  # the lock of a file that nobody else finds any more
            self._mine = self._lock_of(self.own.name)
            self._mine.acquire(blocking=False)

    def _lock_of(self, name: str) -> FileLock:
        return FileLock(self._processes / f"{name}.lock", mode=0o600, thread_local=False)

    def part(self, name: str) -> Path:
        """A folder in that of this process. Raises OSError where it cannot be made."""
        self._restore()
        path = self.own / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def others(self, part: str) -> list[Path]:
        """The folders of this name in those of the other processes."""
        return [path / part for path in self._processes.iterdir() if path.is_dir() and path != self.own]

    def remove_leftovers(self) -> None:
        """Remove the folders of processes that were killed."""
        with self.lock():
            self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        for folder in [path for path in self._processes.iterdir() if path.is_dir()]:
            theirs = self._lock_of(folder.name)
            try:
                theirs.acquire(blocking=False)
            except Timeout:
                continue  # it is in use
            shutil.rmtree(folder, ignore_errors=True)
            theirs.release()
            Path(theirs.lock_file).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what belongs to this process alone."""
        shutil.rmtree(self.own, ignore_errors=True)
        self._mine.release()
        Path(self._mine.lock_file).unlink(missing_ok=True)


@cache
def shared() -> StateFolder | None:
    """The folder of this process, made on first use; None if nothing can be written there, which is logged.

    Raises:
        ArgumentError: a folder that must not be used.
    """
    path = configured()
    try:
        return StateFolder(path)
    except ArgumentError:
        raise
    except OSError as error:
        log.warning(
            "%s cannot be written (%s): photos are kept in memory only, until the server ends, and no "
            "checkpoints or photo sets can be uploaded. %s names another folder.",
            path,
            error.strerror or type(error).__name__,
            SETTING,
        )
        return None


def own_part(name: str) -> Path:
    """A folder of this process for one kind of files. Raises OSError if nothing can be written."""
    folder = shared()
    if folder is None:
        raise OSError(f"{configured()} cannot be written")
    return folder.part(name)


def close() -> None:
    """Remove what belongs to this process alone; the photos stay."""
    if shared.cache_info().currsize and (folder := shared()) is not None:
        folder.close()
    shared.cache_clear()
