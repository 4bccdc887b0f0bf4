"""Where weights come from: a package, a file of one's own, or a checked download. No pickle is executed."""

from __future__ import annotations

import hashlib
import http.client
import os
import pickle
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from saliency_core.errors import WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes received so far, and the bytes expected if known."""

CHUNK = 1 << 18
TIMEOUT = 30.0
MOST = 1 << 30


class WeightSource(Protocol):
    """Gives the path of a checkpoint on disk, fetching it first when it has to."""

    @property
    def download_bytes(self) -> int | None:
        """Size of the download, None when nothing is fetched."""

    def is_local(self, folder: Path) -> bool:
        """Whether the file is here already."""

    def path(self, folder: Path, progress: Progress | None = None) -> Path:
        """The checkpoint; raises ``WeightsError`` with a sentence for people."""


def weights_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder for downloads: the one given, else ``SALIENCY_WEIGHTS``, else one in the user's cache."""
    chosen = folder or os.environ.get("SALIENCY_WEIGHTS") or Path.home() / ".cache" / "normgrad-studio"
    return Path(chosen)


@dataclass(frozen=True)
class Embedded:
    """A checkpoint that comes inside an installed package."""

    locate: Callable[[], str]
    download_bytes: int | None = None

    def is_local(self, folder: Path) -> bool:
        """Always: it is part of the installation."""
        return True

    def path(self, folder: Path, progress: Progress | None = None) -> Path:
        """The file in the package."""
        return Path(self.locate())


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

    def path(self, folder: Path, progress: Progress | None = None) -> Path:
        """The checked file, fetched when it is not here. Raises ``WeightsError``."""
        local = self._local(folder)
        if local is not None:
            if _digest(local).startswith(self.sha256):
                return local
            raise WeightsError(
                f"{self.file_name} in the weights folder is damaged or another file (its checksum differs); "
                "delete it and try again"
            )
        return self._fetch(folder, progress)

    def _local(self, folder: Path) -> Path | None:
        places = (folder, Path(torch.hub.get_dir()) / "checkpoints")
        return next((place / self.file_name for place in places if (place / self.file_name).is_file()), None)

    def _fetch(self, folder: Path, progress: Progress | None) -> Path:
        """Stream to a temporary file beside the goal, check, then rename: never a half-written result."""
        mirror = os.environ.get("SALIENCY_MIRROR", "").strip()
        address = f"{mirror.rstrip('/')}/{self.file_name}" if mirror else self.url
        host = urlsplit(address).netloc
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.download_bytes and shutil.disk_usage(folder).free < self.download_bytes:
                raise WeightsError(
                    f"the disk has no room for {self.file_name}; free some space and try again"
                )
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as workshop:
                part = Path(workshop) / self.file_name
                digest, received, expected = self._stream(address, part, progress)
                if expected is not None and received < expected:
                    raise WeightsError(f"the connection to {host} broke off; try again")
                if not digest.startswith(self.sha256):
                    raise WeightsError(
                        f"{self.file_name} arrived damaged (its checksum differs) and was not kept; try again"
                    )
                part.replace(folder / self.file_name)
        except WeightsError:
            raise
        except urllib.error.HTTPError as error:
            raise WeightsError(
                f"{host} answered {error.code} for {self.file_name}; try again later"
            ) from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise WeightsError(
                f"{host} cannot be reached, so {self.file_name} could not be fetched; check the connection, "
                "or put the file into the weights folder by hand"
            ) from error
        except OSError as error:
            reason = error.strerror or "unknown error"
            raise WeightsError(
                f"{self.file_name} could not be written to the weights folder: {reason}"
            ) from error
        return folder / self.file_name

    def _stream(self, address: str, part: Path, progress: Progress | None) -> tuple[str, int, int | None]:
        """Fetch into a file; its SHA-256, the bytes received and the bytes announced."""
        if urlsplit(address).scheme not in ("http", "https"):
            raise WeightsError(f"the address of {self.file_name} is not http or https; check SALIENCY_MIRROR")
        digest, received = hashlib.sha256(), 0
        most = (self.download_bytes or MOST) * 2
        with urllib.request.urlopen(address, timeout=TIMEOUT) as reply, part.open("wb") as file:
            length = reply.headers.get("Content-Length", "")
            expected = int(length) if length.isdigit() else None
            while chunk := reply.read(CHUNK):
                received += len(chunk)
                if received > most:
                    raise WeightsError(f"{self.file_name} is larger than it should be and was not kept")
                digest.update(chunk)
                file.write(chunk)
                if progress is not None:
                    progress(received, expected)
        return digest.hexdigest(), received, expected


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file or a PyTorch checkpoint, in file order, on the CPU.

    PyTorch files are read by its restricted unpickler, which builds tensors and plain containers and
    executes nothing. Raises ``WeightsError``.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise WeightsError(f"{path.name} is not a checkpoint that can be read safely") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path.name} holds no state dict (names with tensors)")
    return dict(state)


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, by_position: bool = False) -> None:
    """Put a state dict into a network built on the meta device, without initialising it first.

    ``by_position`` maps names in order, for checkpoints of the same network under other names; every
    shape is checked either way. Raises ``WeightsError`` naming the first mismatch.
    """
    wanted = network.state_dict()
    if by_position:
        if len(state) != len(wanted):
            raise WeightsError(f"the checkpoint has {len(state)} tensors; the network needs {len(wanted)}")
        state = dict(zip(wanted, state.values(), strict=True))
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or extra:
        names = ", ".join((missing or extra)[:3])
        raise WeightsError(f"the checkpoint does not fit: it {'lacks' if missing else 'also has'} {names}")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(tensor.shape)}"
            raise WeightsError(f"the checkpoint does not fit: {name} has shape {shapes}")
    network.load_state_dict(state, assign=True)
