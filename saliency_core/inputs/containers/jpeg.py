"""JPEG: segments up to the picture's end, without those that hold no pixels."""

from __future__ import annotations

import re
from typing import Final

from saliency_core.inputs.containers.orientation import orientation
from saliency_core.inputs.containers.parts import Bytes, DamagedError, Pixels, counted, unusual

MAX_SCANS: Final = 1000
MAX_SCANNED_PIXELS: Final = 800_000_000
"""Scans x pixels: every scan goes over all of them. A progressive photo has 10 to 20 scans."""
MAX_TABLE_BYTES: Final = 1 << 16
"""Tables before the first scan; a photo has 1 to 3 kB of them."""

_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_IN_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_END, _SCAN = 0xD9, 0xDA
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"


def walk(data: bytes) -> Pixels:
    """The segments that the decoder needs, and the orientation."""
    view, at = memoryview(data), 2
    kept: list[Bytes] = [view[:2]]
    once = {_JFIF, _ADOBE}  # they tell how colours are stored
    size: tuple[int, int] | None = None
    exif: Bytes = b""
    xmp: Bytes = b""
    tables = 0
    for _ in counted("JPEG", "segments"):
        found = _MARKER.search(data, at)
        if found is None:
            raise DamagedError
        kind, start, at = data[found.start() + 1], found.start(), found.end()
        if kind in _ALONE:
            continue
        if kind == _END:
            raise DamagedError
        at += int.from_bytes(data[at : at + 2], "big")
        body = view[start + 4 : at]
        if kind in _FRAMES:
            if size is not None:
                raise DamagedError
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
        elif kind in _TABLES:
            tables += len(body)
            if tables > MAX_TABLE_BYTES:
                raise unusual("JPEG", "far more tables than a photo")
        elif kind == _EXIF:
            if not exif and data.startswith(b"Exif\0\0", start + 4):
                exif = body
            elif data.startswith(_XMP, start + 4):
                xmp = body
        if kind in _FRAMES or kind in _TABLES or kind in once or kind == _SCAN:
            once.discard(kind)
            kept.append(view[start:at])
        if kind == _SCAN:
            break
    if size is None:
        raise DamagedError
    kept += _scans(data, at, size)
    return Pixels(size, tuple(kept), orientation(exif, xmp))


def _scans(data: bytes, at: int, size: tuple[int, int]) -> list[Bytes]:
    """From behind the first scan's header to the picture's end; what follows are previews and gain maps."""
    view, begin, scans = memoryview(data), at, 1
    kept: list[Bytes] = []
    most = min(MAX_SCANS, max(1, MAX_SCANNED_PIXELS // max(1, size[0] * size[1])))
    for _ in counted("JPEG", "segments"):
        found = _IN_SCAN.search(data, at)
        if found is None:
            break
        kind, start, at = data[found.start() + 1], found.start(), found.end()
        if kind == _END:
            return [*kept, view[begin:at]]
        if kind in _ALONE or kind in _FRAMES:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
        if kind == _SCAN:
            scans += 1
            if scans > most:
                raise unusual("JPEG", f"more than {most} scans, far more than a photo of its size")
        elif kind not in _TABLES:
            kept.append(view[begin:start])
            begin = at
    return [*kept, view[begin:]]
