"""PNG: header, palette, transparency and pixels, without all other chunks."""

from __future__ import annotations

import struct

from saliency_core.inputs.containers.orientation import of_text, orientation
from saliency_core.inputs.containers.parts import Bytes, DamagedError, Pixels, counted

_EXIF_TEXT = b"Raw profile type exif\0"
_XMP = b"XML:com.adobe.xmp\0"


def walk(data: bytes) -> Pixels:
    """The chunks that the decoder needs, and the orientation wherever it stands."""
    view, at = memoryview(data), 8
    kept: dict[bytes, Bytes] = {}
    pixels: list[Bytes] = []
    exif: Bytes = b""
    xmp: Bytes = b""
    for _ in counted("PNG", "chunks"):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk, at = view[at : at + 12 + length], at + 12 + length
        body = chunk[8 : 8 + length]
        match kind:
            case b"IDAT":
                pixels.append(chunk)
            case b"IHDR" | b"PLTE" | b"tRNS":
                kept.setdefault(kind, chunk)
            case b"IEND":
                pixels.append(chunk)
                break
            case b"eXIf":
                exif = body
            case b"tEXt" | b"zTXt" if not exif and body[: len(_EXIF_TEXT)] == _EXIF_TEXT:
                packed = kind == b"zTXt"
                exif = of_text(body[len(_EXIF_TEXT) + packed :], packed=packed)
            case b"iTXt" if body[: len(_XMP)] == _XMP:
                xmp = body
    if b"IHDR" not in kept:
        raise DamagedError
    width, height = struct.unpack_from(">II", kept[b"IHDR"], 8)
    head = [kept[kind] for kind in (b"IHDR", b"PLTE", b"tRNS") if kind in kept]
    return Pixels((width, height), (view[:8], *head, *pixels), orientation(exif, xmp))
