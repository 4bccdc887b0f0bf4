"""How a photo must be turned, read from its metadata without reading the rest of them."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

from saliency_core.inputs.containers.parts import Bytes

TAG: Final = 0x0112
_XMP: Final = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_PROFILE_BYTES: Final = 1 << 20


def orientation(exif: Bytes, xmp: Bytes = b"") -> int:
    """The orientation of EXIF 2.32, 1 to 8, else that of XMP; 1 where both are missing or damaged."""
    try:
        found = _of_exif(bytes(exif[: 1 << 20]))
    except struct.error:
        found = 1  # a damaged block, whatever XMP says
    if found is None:
        match = _XMP.search(xmp[: 1 << 20])
        found = int(match[1]) if match else 1
    return found if 1 <= found <= 8 else 1


def of_text(profile: Bytes, *, packed: bool) -> bytes:
    """The EXIF block that ImageMagick writes into a PNG as text: three lines, then hexadecimal digits."""
    raw = bytes(profile)
    try:
        if packed:
            raw = zlib.decompressobj().decompress(raw, _PROFILE_BYTES)
        return bytes.fromhex(b"".join(raw[:_PROFILE_BYTES].split(b"\n", 4)[3:]).decode("ascii"))
    except (ValueError, zlib.error):
        return b""


def _of_exif(exif: bytes) -> int | None:
    """The value in the first directory; None if it has none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    (at,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == TAG:
            layout = {1: "B", 3: "H", 4: "I"}.get(kind)
            return None if layout is None else int(struct.unpack_from(order + layout, exif, entry + 8)[0])
    return None
