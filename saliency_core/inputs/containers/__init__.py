"""What a decoder needs of a photo's file, found in bounded time, before a decoder sees it.

Decoders take a file as it is: they keep every comment, and go over the picture once more for every scan, so
that a small file can keep them busy for minutes. Each module here knows one container. It goes over the
parts of the file once, refuses what is out of proportion, and leaves out the metadata; what is left takes
time and memory in proportion to the picture's pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from saliency_core.inputs.containers import bmp, gif, jpeg, png, tiff, webp
from saliency_core.inputs.containers.parts import DamagedError, Pixels

__all__ = ["SIGNATURES", "Pixels", "file_format", "pixels"]

SIGNATURES: Final = (
    ("JPEG", b"\xff\xd8\xff"),
    ("PNG", b"\x89PNG"),
    ("WebP", b"RIFF"),
    ("GIF", b"GIF8"),
    ("BMP", b"BM"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("TIFF", b"II+\0"),
    ("TIFF", b"MM\0+"),
)
"""The first bytes of the accepted formats: they distinguish a damaged photo from a file of another kind."""

_WALKS: Final[dict[str, Callable[[bytes], Pixels]]] = {
    "JPEG": jpeg.walk,
    "PNG": png.walk,
    "WebP": webp.walk,
    "GIF": gif.walk,
    "BMP": bmp.walk,
    "TIFF": tiff.walk,
}


def file_format(data: bytes) -> str | None:
    """The format whose signature a file begins with; None if it is none of them."""
    return next((name for name, signature in SIGNATURES if data.startswith(signature)), None)


def pixels(data: bytes) -> Pixels:
    """What a decoder needs of a photo's file. The bytes may end behind the header, which then has the size.

    Raises:
        ImageError: a file that would take longer to decode than a photo of its size, in a sentence.
        DamagedError: no photo.
        Exception: what reading damaged bytes runs into.
    """
    name = file_format(data)
    if name is None:
        raise DamagedError
    return _WALKS[name](data)
