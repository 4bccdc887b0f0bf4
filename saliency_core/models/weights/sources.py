"""Where weights come from: what every source of a checkpoint can tell and do."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DownloadProgress = Callable[[int, int | None], None]
"""Called with the bytes received so far, and the bytes expected if known; at least once a second, also while
nothing arrives, and may raise :class:`saliency_core.progress.Cancelled`."""


class WeightSource(Protocol):
    """Gives the path of a checkpoint on disk, fetching it first when it has to."""

    @property
    def download_bytes(self) -> int | None:
        """Size of the download, None when nothing is fetched or the size is not known."""

    @property
    def file_name(self) -> str | None:
        """The name under which the file may be put into the weights folder by hand; None if nothing may."""

    def is_local(self, folder: Path) -> bool:
        """Whether the file is here already."""

    def path(self, folder: Path, progress: DownloadProgress | None = None) -> Path:
        """The checkpoint; raises ``WeightsError``."""


def weights_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder for downloads: the one given, else ``SALIENCY_WEIGHTS``, else one in the user's cache."""
    chosen = folder or os.environ.get("SALIENCY_WEIGHTS") or Path.home() / ".cache" / "normgrad-studio"
    return Path(chosen)


@dataclass(frozen=True)
class Embedded:
    """A checkpoint that comes inside an installed package."""

    locate: Callable[[], str]
    download_bytes: int | None = None
    file_name: str | None = None

    def is_local(self, folder: Path) -> bool:
        """Always: it is part of the installation."""
        return True

    def path(self, folder: Path, progress: DownloadProgress | None = None) -> Path:
        """The file in the package."""
        return Path(self.locate())
