"""Checked downloads from a web server."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urlsplit

import torch

from saliency_core.errors import WeightsError
from saliency_core.models.weights.sources import DownloadProgress

SCHEMES = ("http", "https")
CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
"""How long a server may stay silent."""
MAX_DOWNLOAD_BYTES = 2 << 30
"""Bound of a download whose size is not known; others may be twice as large as stated."""


@dataclass(frozen=True)
class Download:
    """A checkpoint behind an address, kept when its SHA-256 begins with ``sha256``.

    The folder for weights and torch hub's own cache are looked at first, so a file put there by hand,
    or fetched by torchvision earlier, is used as it is (after the same check).
    """

    url: str
    sha256: str
    download_bytes: int | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]

    def is_local(self, folder: Path) -> bool:
        """Whether a file of that name lies in one of the folders; it is checked when it is read."""
        return self._local(folder) is not None

    def path(self, folder: Path, progress: DownloadProgress | None = None) -> Path:
        """The checked file, fetched when it is not here. Raises ``WeightsError``."""
        local = self._local(folder)
        if local is not None:
            try:
                digest = _digest(local)
            except OSError as error:
                reason = error.strerror or "unknown error"
                raise WeightsError(f"{local} can't be read: {reason}. Check its permissions.") from error
            if digest.startswith(self.sha256):
                return local
            raise WeightsError(
                f"{local} is damaged or another file (its checksum differs). Delete it and try again."
            )
        return self._fetch(folder, progress)

    def _local(self, folder: Path) -> Path | None:
        folders = (folder, Path(torch.hub.get_dir()) / "checkpoints")
        # os.path: Path.is_file raises for a folder that cannot be read or a name that is too long.
        files = (each / self.file_name for each in folders)
        return next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113

    def _fetch(self, folder: Path, progress: DownloadProgress | None) -> Path:
        """Stream to a temporary file in the same folder, check it, then rename it: never half a file."""
        address = self._address()
        host = _host(address)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.download_bytes and shutil.disk_usage(folder).free < self.download_bytes:
                raise WeightsError(
                    f"{self.file_name} needs more space than is free in {folder}. Free some and try again."
                )
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
                part = Path(temporary) / self.file_name
                digest = self._stream(address, part, progress)
                if not digest.startswith(self.sha256):
                    raise WeightsError(
                        f"{self.file_name} arrived damaged (its checksum differs) and was not kept. "
                        "Try again."
                    )
                part.replace(folder / self.file_name)
        except WeightsError:
            raise
        except urllib.error.HTTPError as error:
            with error:
                raise WeightsError(
                    f"{host} answered {error.code} for {self.file_name}. Try again later. "
                    f"{self._offline(folder)}"
                ) from error
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            TimeoutError,
            ConnectionError,
            UnicodeError,  # not a valid host name
        ) as error:
            raise WeightsError(f"{host} is unreachable. {self._offline(folder)}") from error
        except OSError as error:
            reason = error.strerror or "unknown error"
            raise WeightsError(
                f"{self.file_name} couldn't be written to {folder}: {reason}. Choose another folder with "
                "SALIENCY_WEIGHTS."
            ) from error
        return folder / self.file_name

    def _offline(self, folder: Path) -> str:
        return f"Offline: save {self.file_name} in {folder}."

    def _address(self) -> SplitResult:
        """Where to fetch it from: the mirror named by ``SALIENCY_MIRROR``, else the address."""
        mirror = os.environ.get("SALIENCY_MIRROR", "").strip()
        address = f"{mirror.rstrip('/')}/{self.file_name}" if mirror else self.url
        try:
            parts = urlsplit(address)
        except ValueError:
            parts = SplitResult("", "", "", "", "")
        if parts.scheme not in SCHEMES or not parts.netloc:
            raise WeightsError(
                f"{self.file_name} has an address that is not http or https. Check SALIENCY_MIRROR."
            )
        return parts

    def _stream(self, address: SplitResult, part: Path, progress: DownloadProgress | None) -> str:
        """Fetch into a file; its SHA-256."""
        digest, received = hashlib.sha256(), 0
        most = 2 * self.download_bytes if self.download_bytes else MAX_DOWNLOAD_BYTES
        opener = urllib.request.build_opener(_WebRedirects)
        with opener.open(address.geturl(), timeout=TIMEOUT_SECONDS) as reply, part.open("wb") as file:
            length = reply.headers.get("Content-Length", "")
            expected = int(length) if length.isdecimal() else None
            while chunk := _received(reply, _host(address)):
                received += len(chunk)
                if received > most:
                    raise WeightsError(
                        f"{self.file_name} is larger than it should be and was not kept. "
                        "Check SALIENCY_MIRROR."
                    )
                digest.update(chunk)
                file.write(chunk)
                if progress is not None:
                    progress(received, expected)
        if expected is not None and received < expected:
            raise WeightsError(_broke_off(_host(address)))
        return digest.hexdigest()


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same scheme or to https, and no others."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request that follows. Raises ``WeightsError`` where that may not be."""
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if after.scheme not in (before.scheme, "https"):
            raise WeightsError(
                f"{_host(before)} redirects from {before.scheme} to {after.scheme}, which is not followed. "
                "Check SALIENCY_MIRROR."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _received(reply: http.client.HTTPResponse, host: str) -> bytes:
    """What has arrived, not a full chunk, so that a slow download shows progress and can be cancelled."""
    try:
        return reply.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(_broke_off(host)) from error


def _host(address: SplitResult) -> str:
    """Host and port, without a user's name and password."""
    return address.netloc.rpartition("@")[2]


def _broke_off(host: str) -> str:
    return f"{host} stopped answering before the download was complete. Try again."


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
