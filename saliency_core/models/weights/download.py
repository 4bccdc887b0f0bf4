"""Checked downloads from a web server, each file once, however many ask for it at the same time."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from filelock import FileLock, Timeout

from saliency_core.errors import WeightsError
from saliency_core.models.weights import web
from saliency_core.models.weights.sources import DownloadProgress

MAX_DOWNLOAD_BYTES = 8 << 30
"""Bound of a download whose size is not known; others may be twice as large as stated."""
MORE_SPACE = "Free some space, or choose another folder with SALIENCY_WEIGHTS."


@dataclass(frozen=True)
class Stated:
    """What a file must be: how its SHA-256 begins ("" if unknown) and its size in bytes."""

    sha256: str = ""
    size: int | None = None


@dataclass(frozen=True)
class WebFile:
    """A file behind an address, and the name under which it is kept.

    torch.hub.load_state_dict_from_url and huggingface_hub.hf_hub_download would fetch it too, but neither can
    be cancelled while a server is silent or sends slowly, bounds what it writes, or reports the bytes as they
    arrive, and the second checks the size alone. Files that they have fetched are used, see the sources.
    """

    file_name: str
    address: str
    download_bytes: int | None
    stated: Callable[[web.Reply], Stated]
    """What the file must be, once the server has answered."""
    advice: str
    """The sentence that says how to get the file in another way."""
    headers: Callable[[], web.Headers] = dict

    def fetch(
        self, folder: Path, progress: DownloadProgress | None, local: Callable[[], Path | None]
    ) -> Path:
        """Fetch into a temporary file, check it and rename it: the folder never has half a file of that name.

        Args:
            folder: where it is kept; made if it is not there.
            progress: called with bytes received and expected, also while nothing arrives; may raise.
            local: looks for the file, which another thread or process may have fetched meanwhile.

        Raises:
            Refused: the server answered with an error's status.
            WeightsError: every other failure.
        """
        report = progress or (lambda received, expected: None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._alone(folder, report):
                found = local()
                return found if found is not None else self._fetch(folder, report)
        except (WeightsError, web.Refused):
            raise
        except web.TransferError as error:
            raise WeightsError(f"{error}. {self.advice}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise WeightsError(
                    f"The disk with {folder} is full; {self.file_name} was not kept. {MORE_SPACE}"
                ) from error
            # mkdir says of a file in the folder's place that it exists, which is no reason.
            reason = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
            raise WeightsError(
                f"{self.file_name} couldn't be written to {folder}: {reason or 'unknown error'}. "
                "Choose another folder with SALIENCY_WEIGHTS."
            ) from error

    @contextmanager
    def _alone(self, folder: Path, report: DownloadProgress) -> Iterator[None]:
        """Wait until no other thread or process fetches the file, reporting the other's progress.

        Where a file system has no locks, nobody waits: the file is then fetched twice, and still whole.
        """
        lock = FileLock(folder / f".{self.file_name}.lock")
        while True:
            try:
                lock.acquire(timeout=web.POLL_SECONDS)
            except Timeout:
                report(sum(_size(part) for part in self._parts(folder)), self.download_bytes)
            except (OSError, NotImplementedError):
                yield
                return
            else:
                break
        try:
            for part in self._parts(folder):  # of a process that was killed
                part.unlink(missing_ok=True)
            yield
        finally:
            # While it is held: who waits for it sees then that the file is gone, and begins anew.
            with suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()

    def _parts(self, folder: Path) -> list[Path]:
        return list(folder.glob(f".{glob.escape(self.file_name)}.*.part"))

    def _fetch(self, folder: Path, report: DownloadProgress) -> Path:
        # Not tempfile's functions: their files are for one user alone.
        part, target = folder / f".{self.file_name}.{uuid.uuid4().hex}.part", folder / self.file_name
        try:
            with part.open("xb") as file:
                self._stream(file.write, folder, report)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _stream(self, write: Callable[[bytes], int], folder: Path, report: DownloadProgress) -> None:
        """Read the file from the server, checking its size on the way and its SHA-256 at the end."""
        received, expected, digest, start = 0, self.download_bytes, hashlib.sha256(), b""

        def waiting() -> None:
            report(received, expected)

        with web.Transfer(self.address, self.headers) as transfer:
            reply = transfer.reply(waiting)
            stated = self.stated(reply)
            size = reply.length if stated.size is None else stated.size
            most = 2 * self.download_bytes if self.download_bytes else MAX_DOWNLOAD_BYTES
            free = shutil.disk_usage(folder).free
            if max(size or 0, reply.length or 0) > most:
                raise self._too_large(transfer.host, most)
            if (needed := size or self.download_bytes or 0) > free:
                raise WeightsError(
                    f"{self.file_name} needs {_megabytes(needed)}, and {folder} has {_megabytes(free)} free. "
                    f"{MORE_SPACE}"
                )
            expected = size
            for chunk in transfer.chunks(waiting):
                received += len(chunk)
                if received > (most if size is None else size):
                    raise self._too_large(transfer.host, most if size is None else size)
                digest.update(chunk)
                start = (start + chunk[:16])[:16]
                write(chunk)
                report(received, expected)
            if size is not None and received < size:
                arrived = f"{_megabytes(received)} of {_megabytes(size)}"
                raise web.TransferError(f"{transfer.host} broke off the connection after {arrived}")
            if not digest.hexdigest().startswith(stated.sha256):
                raise WeightsError(
                    f"{self.file_name} arrived damaged from {transfer.host} (its checksum differs) and was "
                    f"not kept. {self.advice}"
                )
            if not stated.sha256 and not _begins_a_checkpoint(start):
                raise WeightsError(
                    f"{transfer.host} sent something else than a checkpoint for {self.file_name}; it was not "
                    f"kept. {self.advice}"
                )

    def _too_large(self, host: str, most: int) -> WeightsError:
        return WeightsError(
            f"{host} sends more than the {_megabytes(most)} that {self.file_name} may have; it was not kept. "
            f"{self.advice}"
        )


@dataclass(frozen=True)
class Download:
    """A checkpoint behind an address, kept when its SHA-256 begins with ``sha256`` ("": not checked).

    The folder for weights and torch hub's own cache are looked at first, so a file put there by hand,
    or fetched by torchvision earlier, is used as it is (after the same check).
    """

    url: str
    sha256: str
    download_bytes: int | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return urlsplit(self.url).path.rsplit("/", 1)[-1]

    def is_local(self, folder: Path) -> bool:
        """Whether a file of that name lies in one of the folders; it is checked when it is read."""
        return self._local(folder) is not None

    def path(self, folder: Path, progress: DownloadProgress | None = None) -> Path:
        """The checked file, fetched when it is not here. Raises ``WeightsError``."""
        return self._checked(folder) or self._fetch(folder, progress)

    def _local(self, folder: Path) -> Path | None:
        return first_file(
            each / self.file_name for each in (folder, Path(torch.hub.get_dir()) / "checkpoints")
        )

    def _checked(self, folder: Path) -> Path | None:
        local = self._local(folder)
        if local is not None:
            check_digest(local, self.sha256)
        return local

    def _fetch(self, folder: Path, progress: DownloadProgress | None) -> Path:
        address = self._address()
        advice = f"Try again, or save {self.file_name} in {folder}."
        file = WebFile(
            self.file_name, address, self.download_bytes, lambda reply: Stated(self.sha256), advice
        )
        try:
            return file.fetch(folder, progress, lambda: self._checked(folder))
        except web.Refused as error:
            raise WeightsError(f"{error} for {self.file_name}. {advice}") from error

    def _address(self) -> str:
        """Where to fetch it from: the mirror named by ``SALIENCY_MIRROR``, else the address."""
        mirror = os.environ.get("SALIENCY_MIRROR", "").strip()
        address = f"{mirror.rstrip('/')}/{self.file_name}" if mirror else self.url
        if not web.is_web_address(address):
            raise WeightsError(
                f"{self.file_name} has an address that is not http or https. Check SALIENCY_MIRROR."
            )
        return address


def first_file(paths: Iterator[Path]) -> Path | None:
    """The first of the paths at which there is a file."""
    # os.path: Path.is_file raises for a folder that cannot be read or a name that is too long.
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113


def check_digest(path: Path, sha256: str) -> None:
    """Raise ``WeightsError`` if the SHA-256 of the file does not begin with ``sha256``."""
    if not sha256:
        return
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or "unknown error"
        raise WeightsError(f"{path} can't be read: {reason}. Check its permissions.") from error
    if not digest.startswith(sha256):
        raise WeightsError(
            f"{path} is damaged or another file (its checksum differs). Delete it and try again."
        )


def _begins_a_checkpoint(start: bytes) -> bool:
    """Whether a file begins as safetensors does (a length, then JSON), or as a zip archive or a pickle.

    For files without a checksum: the page that a hotel's network sends instead must not be kept.
    """
    return start[8:9] == b"{" or start.startswith((b"PK\x03\x04", b"\x80"))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
