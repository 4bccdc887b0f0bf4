"""WebP: the picture, or the first frame, without metadata."""

from __future__ import annotations

import struct
from typing import Final

from saliency_core.inputs.containers.orientation import orientation
from saliency_core.inputs.containers.parts import Bytes, DamagedError, Pixels, counted

_KEPT: Final = (b"VP8X", b"ANIM", b"ALPH", b"VP8 ", b"VP8L", b"ANMF")
_PICTURES: Final = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_FLAGS: Final = 0x02 | 0x10
"""Of what is kept: animation and transparency."""


def walk(data: bytes) -> Pixels:
    """The first chunk of every kind that the decoder needs, and the orientation."""
    view, at = memoryview(data), 12
    kept: dict[bytes, Bytes] = {}
    exif: Bytes = b""
    xmp: Bytes = b""
    end = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    for _ in counted("WebP", "chunks"):
        if at + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        chunk, at = view[at : at + 8 + length + length % 2], at + 8 + length + length % 2
        if kind in _KEPT and not (kind in _PICTURES and not _PICTURES.isdisjoint(kept)):
            kept.setdefault(kind, chunk)
        elif kind == b"EXIF":
            exif = exif or chunk[8:]
        elif kind == b"XMP ":
            xmp = xmp or chunk[8:]
        if b"VP8X" not in kept and kept:
            break  # a picture alone
    size = _size(kept)
    if b"VP8X" in kept:
        head = bytearray(kept[b"VP8X"])
        head[8] &= _FLAGS
        kept[b"VP8X"] = bytes(head)
    parts = [kept[kind] for kind in _KEPT if kind in kept]
    length = 4 + sum(map(len, parts))
    return Pixels(size, (b"RIFF" + struct.pack("<I", length) + b"WEBP", *parts), orientation(exif, xmp))


def _size(chunks: dict[bytes, Bytes]) -> tuple[int, int]:
    if b"VP8X" in chunks:
        body = chunks[b"VP8X"][8:]
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if b"VP8L" in chunks:
        bits = int.from_bytes(chunks[b"VP8L"][9:13], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if b"VP8 " in chunks:
        width, height = struct.unpack_from("<HH", chunks[b"VP8 "], 14)
        return width & 0x3FFF, height & 0x3FFF
    raise DamagedError
