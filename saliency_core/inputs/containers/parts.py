"""What the readers of all containers share: the result, the bounds and the refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from saliency_core.errors import ImageError

MAX_PARTS: Final = 50_000
"""Segments, chunks, blocks or strips of a file; the largest ordinary photos have about ten thousand."""

Bytes = bytes | memoryview


@dataclass(frozen=True)
class Pixels:
    """What a decoder needs of a photo's file.

    Args:
        size: (width, height) in pixels that decoding gives.
        parts: the file without its metadata, in pieces.
        orientation: that of EXIF or XMP, 1 to 8; 1 where decoding turns the picture itself.
    """

    size: tuple[int, int]
    parts: tuple[Bytes, ...]
    orientation: int = 1

    def file(self) -> bytes:
        """The file without its metadata."""
        return b"".join(self.parts)


class DamagedError(Exception):
    """Bytes that this kind of file cannot have."""


def counted(file_format: str, what: str) -> Iterator[int]:
    """0, 1, 2 and so on, for one part of a file after the other.

    Raises:
        ImageError: there are more than `MAX_PARTS`.
    """
    yield from range(MAX_PARTS)
    raise too_many(file_format, what)


def too_many(file_format: str, what: str) -> ImageError:
    """The refusal of a file with too many parts."""
    return ImageError(
        f"The {file_format} file has more than {MAX_PARTS:,} {what}, far more than a photo; save it again as "
        "JPEG or PNG."
    )


def unusual(file_format: str, what: str) -> ImageError:
    """The refusal of a file that would take much longer to decode than a photo of its size."""
    return ImageError(f"The {file_format} file has {what}; save it again as JPEG or PNG.")
