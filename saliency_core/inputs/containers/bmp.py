"""BMP: run-length coded pixels are unpacked here, all others are left as they are."""

from __future__ import annotations

import struct
from typing import Final

from saliency_core.inputs.containers.parts import DamagedError, Pixels, unusual

MAX_RUNS: Final = 1_500_000
"""Of a run-length coded picture; a screenshot has some ten thousand."""
MAX_CODED_PIXELS: Final = 40_000_000

_RLE8, _RLE4 = 1, 2
_OLD_HEADER = 12


def walk(data: bytes) -> Pixels:
    """The file, with its pixels unpacked."""
    (header,) = struct.unpack_from("<I", data, 14)
    if header == _OLD_HEADER:
        return Pixels(struct.unpack_from("<HH", data, 18), (data,))
    width, height, _, bits, coding = struct.unpack_from("<IIHHI", data, 18)
    size = width, 2**32 - height if data[25] == 0xFF else height
    if coding not in (_RLE8, _RLE4) or size[0] * size[1] > MAX_CODED_PIXELS:
        return Pixels(size, (data,))
    if bits != (8 if coding == _RLE8 else 4):
        raise DamagedError
    (offset,) = struct.unpack_from("<I", data, 10)
    (colours,) = struct.unpack_from("<I", data, 46)
    colours = min(colours or 1 << bits, 256)
    palette = data[14 + header : 14 + header + 4 * colours]
    if not palette or len(palette) % 4 or offset < 14 + header:
        raise DamagedError
    # Four bits become eight: the header says so, and names the number of colours.
    head = bytearray(data[: 14 + header])
    struct.pack_into("<I", head, 10, len(head) + len(palette))
    struct.pack_into("<HI", head, 28, 8, 0)
    struct.pack_into("<I", head, 46, len(palette) // 4)
    return Pixels(size, (bytes(head), palette, _unpacked(data, offset, size, nibbles=coding == _RLE4)))


def _unpacked(data: bytes, at: int, size: tuple[int, int], *, nibbles: bool) -> bytes:
    """One byte per pixel, rows padded to four bytes; pixels that no run reaches are 0."""
    width, height = size
    stride = width + -width % 4
    rows = bytearray(stride * height)
    x = y = 0
    for _ in range(MAX_RUNS):
        if y >= height:
            return bytes(rows)
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            run = _nibbles(bytes((value,))) * (count + 1 >> 1) if nibbles else bytes((value,)) * count
        elif value == 0:
            x, y = 0, y + 1
            continue
        elif value == 1:
            return bytes(rows)
        elif value == 2:
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        else:
            count = value
            length = value + 1 >> 1 if nibbles else value
            run = data[at : at + length]
            if len(run) < length:
                raise DamagedError
            run = _nibbles(run) if nibbles else run
            at += length + length % 2
        count = min(count, width - x)
        if count > 0:
            rows[y * stride + x : y * stride + x + count] = run[:count]
            x += count
    raise unusual("BMP", f"more than {MAX_RUNS:,} runs of pixels, far more than are read")


def _nibbles(packed: bytes) -> bytes:
    return bytes(half for byte in packed for half in (byte >> 4, byte & 15))
