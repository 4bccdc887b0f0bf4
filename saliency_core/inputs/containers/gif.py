"""GIF: the first frame without comments and other extensions before it."""

from __future__ import annotations

import re
import struct
from typing import Final

from saliency_core.inputs.containers.parts import DamagedError, Pixels, counted

_START: Final = re.compile(rb"[!,;]")
_CONTROL: Final = 0xF9
"""The extension that says which colour is transparent."""


def walk(data: bytes) -> Pixels:
    """The screen, its palette, and what follows from the first frame on."""
    view = memoryview(data)
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    head, control = view[:at], view[:0]
    parts = counted("GIF", "blocks")
    for _ in parts:
        found = _START.search(data, at)
        if found is None or found[0] == b";":
            raise DamagedError
        start, at = found.start(), found.end()
        if found[0] == b",":
            left, top, wide, high = struct.unpack_from("<4H", data, at)
            size = max(width, left + wide), max(height, top + high)
            return Pixels(size, (head, control, view[start:]))
        is_control = data[at] == _CONTROL
        at += 1
        while length := data[at]:
            next(parts)
            at += 1 + length
        at += 1
        if is_control:
            control = view[start:at]
    raise DamagedError
