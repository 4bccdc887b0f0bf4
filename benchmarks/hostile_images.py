"""Files that keep an image decoder busy, made from nothing; `python -m benchmarks.hostile_files` opens them.

Every file is made when it is asked for. `size` scales those that need many bytes: 1 gives the sizes of the
table, about 64 MB, and a test takes less.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from PIL import Image

MEGABYTE: Final = 1 << 20


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The bytes of an image in a format of Pillow."""
    file = io.BytesIO()
    image.copy().save(file, file_format, **options)  # a saved image keeps options of its last format
    return file.getvalue()


@cache
def _plain(file_format: str, width: int = 64, height: int = 48, **options: Any) -> bytes:
    """A grey picture."""
    return encoded(Image.new("RGB", (width, height), (90, 120, 150)), file_format, **options)


def _filled(head: bytes, part: bytes, tail: bytes, size: float) -> bytes:
    """A part repeated to fill 64 MB (times `size`), between two others."""
    return head + part * (int(63.9 * MEGABYTE * size - len(head) - len(tail)) // len(part)) + tail


# -- JPEG ----------------------------------------------------------------------------------------------------


def jpeg_segments(marker: int, body: bytes, size: float) -> bytes:
    """Segments of one kind before the picture."""
    jpeg = _plain("JPEG")
    part = bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
    return _filled(jpeg[:2], part, jpeg[2:], size)


def jpeg_junk(junk: bytes, size: float) -> bytes:
    """Bytes between two segments that belong to none."""
    jpeg = _plain("JPEG")
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    return _filled(jpeg[:end], junk, jpeg[end:], size)


def jpeg_scans(scans: int, width: int = 3264, height: int = 2448, *, noise: bool = False) -> bytes:
    """A progressive picture whose last scan is repeated: each goes over all its pixels."""
    if noise:
        values = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        image = Image.fromarray(values).resize((width, height), Image.Resampling.NEAREST)
        jpeg = encoded(image, "JPEG", progressive=True, quality=30)
    else:
        jpeg = _plain("JPEG", width, height, progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    tables = jpeg.rfind(b"\xff\xc4", 0, last)
    scan = jpeg[tables if tables > 0 else last : -2]
    return jpeg[:-2] + scan * scans + jpeg[-2:]


# -- PNG -----------------------------------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_chunks(part: bytes, size: float, *, behind: bool = False) -> bytes:
    """Chunks before the pixels, or behind them."""
    png = _plain("PNG")
    at = len(png) - 12 if behind else 33
    return _filled(png[:at], part, png[at:], size)


def png_of_zeros(width: int, height: int) -> bytes:
    """Pixels that take a thousandth of their size."""
    return encoded(Image.new("RGB", (width, height)), "PNG")


# -- GIF, BMP, WebP ------------------------------------------------------------------------------------------


def gif_blocks(part: bytes, size: float) -> bytes:
    """Extensions before the first frame."""
    gif = _plain("GIF")
    at = gif.index(b",", 13 + (3 << (gif[10] & 7) + 1 if gif[10] & 128 else 0))
    return _filled(gif[:at], part, gif[at:], size)


def gif_clear_codes(size: float) -> bytes:
    """A frame whose codes begin the table anew and stand for no pixel."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", 5000, 5000, 0, 0, 0)
    frame = b"," + struct.pack("<4HB", 0, 0, 5000, 5000, 0) + b"\x07"
    # Codes of eight bits: 128 begins the table anew.
    return _filled(screen + frame, b"\xff" + b"\x80" * 255, b"\0;", size)


def bmp_runs(run: bytes, count: int, width: int, height: int) -> bytes:
    """Run-length coded pixels."""
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 1078)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    palette = bytes(each for value in range(256) for each in (value, 255 - value, value, 0))
    return head + info + palette + run * count


def webp_chunks(part: bytes, size: float) -> bytes:
    """Chunks before the picture."""
    webp = _plain("WebP")
    head = b"VP8X" + struct.pack("<IB3x", 10, 0) + struct.pack("<I", 63)[:3] + struct.pack("<I", 47)[:3]
    body = _filled(b"WEBP" + head, part, webp[12:], size)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_frames(size: float) -> bytes:
    """An animation of small frames."""
    image = Image.new("RGB", (16, 16))
    moving = encoded(image, "WebP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")])
    at = moving.index(b"ANMF")
    body = _filled(
        moving[8:at], moving[at : at + 8 + int.from_bytes(moving[at + 4 : at + 8], "little")], b"", size
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


# -- TIFF ----------------------------------------------------------------------------------------------------

Tag = tuple[int, int, int, int]
"""Number, type, count, and the value or where it stands."""


def tiff(tags: list[Tag], data: bytes = b"", *, big: bool = False) -> bytes:
    """A directory at the start, and what its tags point to behind it (see `behind`)."""
    entry, count, pointer = ("<HHQQ", "<Q", "<Q") if big else ("<HHII", "<H", "<I")
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0" + struct.pack("<I", 8)
    body = b"".join(struct.pack(entry, *tag) for tag in sorted(tags))
    return head + struct.pack(count, len(tags)) + body + struct.pack(pointer, 0) + data


def behind(tags: int) -> int:
    """Where the data stand behind a directory of so many tags."""
    return 8 + 2 + 12 * tags + 4


def _shape(width: int, height: int, compression: int = 1, bits: int = 8) -> list[Tag]:
    return [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, compression)),
        *((262, 3, 1, 1), (277, 3, 1, 1)),
    ]


def tiff_strips(count: int, kind: int) -> bytes:
    """A list of strips, all of them at the same place."""
    width = {1: 1, 3: 2, 4: 4}[kind]
    tags = [*_shape(64, 48), (273, kind, count, behind(8)), (278, 3, 1, 1)]
    return tiff(tags, bytes(count * width))


def tiff_repeated_strips(count: int, side: int) -> bytes:
    """Strips of nearly the whole picture, all of them the same bytes."""
    tags = [*_shape(side, side, bits=1), (273, 4, count, behind(8)), (278, 4, 1, side - 1)]
    at = behind(8) + 4 * count
    return tiff(tags, struct.pack("<I", at) * count + bytes(side * (side // 8 + 1)))


def tiff_shared_strips(count: int, size: float) -> bytes:
    """Compressed strips of one line that share many bytes: blocks of zlib that unpack to nothing."""
    packed = b"\x78\x01" + b"\0\0\0\xff\xff" * int(50 * MEGABYTE * size / 5)
    tags = [
        *_shape(64, count, 8),
        *((273, 4, count, behind(9)), (278, 3, 1, 1), (279, 4, count, behind(9) + 4 * count)),
    ]
    at = behind(9) + 8 * count
    return tiff(tags, struct.pack("<I", at) * count + struct.pack("<I", len(packed)) * count + packed)


def tiff_tile(side: int) -> bytes:
    """A small picture in one huge tile, which unpacks to far more than it holds."""
    packer = zlib.compressobj(9)
    packed = (
        b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(side * side // MEGABYTE)) + packer.flush()
    )
    tags = [
        *_shape(64, 48, 8),
        *((322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, behind(10)), (325, 4, 1, len(packed))),
    ]
    return tiff(tags, packed)


def tiff_jpeg(scans: int, width: int, height: int) -> bytes:
    """A JPEG of many scans in a strip."""
    jpeg = jpeg_scans(scans, width, height)
    shape = [tag for tag in _shape(width, height, 7) if tag[0] not in (262, 277)]
    tags = [
        *shape,
        *(
            (262, 3, 1, 6),
            (277, 3, 1, 3),
            (273, 4, 1, behind(9)),
            (278, 4, 1, height),
            (279, 4, 1, len(jpeg)),
        ),
    ]
    return tiff(tags, jpeg)


def big_tiff_tags(count: int) -> bytes:
    """A directory of private tags."""
    tags = [*_shape(64, 48), (273, 4, 1, 8)]
    data = tiff(tags, big=True)[16 + 8 :][:-8] + b"".join(
        struct.pack("<HHQQ", 40_000 + n % 20_000, 4, 1, n) for n in range(count)
    )
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, len(tags) + count) + data + bytes(64 * 48)


def exif_of_shared_tags() -> bytes:
    """An EXIF block whose five thousand tags all point to the same 60 kB."""
    count = 5000
    entries = b"".join(struct.pack("<HHII", 40_000 + n, 7, 59_000, 8) for n in range(count))
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)
    jpeg = _plain("JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


# -- all of them ---------------------------------------------------------------------------------------------


def files(size: float = 1.0) -> dict[str, Callable[[], bytes]]:
    """The files by what they are; the first twelve are those of the first attack on the app."""
    many = int(63_000_000 * size)
    note = zlib.compress(bytes(100 * MEGABYTE), 9)
    return {
        "TIFF, 63 million one-byte strips": lambda: tiff_strips(many, 1),
        "TIFF, 15 million strips": lambda: tiff_strips(many // 4, 4),
        "TIFF, 4 million one-byte strips": lambda: tiff_strips(many // 16, 1),
        "JPEG, 64 MB of APP15 segments": lambda: jpeg_segments(0xEF, b"abcd", size),
        "JPEG, 64 MB of Exif segments": lambda: jpeg_segments(0xE1, b"Exif\0\0" + bytes(60_000), size),
        "BigTIFF, 3 million tags": lambda: big_tiff_tags(many // 21),
        "BMP RLE8, single-pixel runs": lambda: bmp_runs(b"\x01\x07", many // 2, 6300, 6300),
        "BMP RLE8, overlong runs": lambda: bmp_runs(b"\xff\x07", many // 2, 64, 48),
        "JPEG, 64 MB of empty comments": lambda: jpeg_segments(0xFE, b"", size),
        "PNG, 64 MB of private chunks": lambda: png_chunks(chunk(b"prVt", b""), size),
        "JPEG, 8 megapixels, 20,000 progressive scans": lambda: jpeg_scans(int(20_000 * size)),
        "BMP RLE8 of line ends": lambda: bmp_runs(b"\0\0", 13_000, 2400, 13_000),
        "GIF, 64 MB of comments": lambda: gif_blocks(b"!\xfe\xff" + b"a" * 255 + b"\0", size),
        "GIF, 64 MB of one-byte comments": lambda: gif_blocks(b"!\xfe\x01a\0", size),
        "GIF, 64 MB of codes without a pixel": lambda: gif_clear_codes(size),
        "JPEG, 64 MB of small Exif segments": lambda: jpeg_segments(0xE1, b"Exif\0\0", size),
        "JPEG, 64 MB of quantisation tables": lambda: jpeg_segments(0xDB, b"\0" + b"\1" * 64, size),
        "JPEG, 64 MB of fill bytes": lambda: jpeg_junk(b"\xff", size),
        "JPEG, 64 MB of zeros between segments": lambda: jpeg_junk(b"\0", size),
        "JPEG, EXIF tags that share their bytes": exif_of_shared_tags,
        "JPEG, 40 megapixels, 18 more scans of noise": lambda: jpeg_scans(9, 7680, 5120, noise=True),
        "PNG, 64 MB of empty pixel chunks": lambda: png_chunks(chunk(b"IDAT", b""), size),
        "PNG, 64 MB of chunks behind the pixels": lambda: png_chunks(chunk(b"prVt", b""), size, behind=True),
        "PNG, texts that unpack to 100 MB each": lambda: png_chunks(
            chunk(b"zTXt", b"Raw profile type exif\0\0" + note), size / 16
        ),
        "PNG, 40 megapixels of zeros": lambda: png_of_zeros(7680, 5120),
        "WebP, 64 MB of private chunks": lambda: webp_chunks(b"prVt\0\0\0\0", size),
        "WebP, 64 MB of frames": lambda: webp_frames(size),
        "TIFF, the same strip 25,000 times": lambda: tiff_repeated_strips(int(25_000 * size) or 3, 6000),
        "TIFF, 40,000 strips that share 50 MB": lambda: tiff_shared_strips(int(40_000 * size), size),
        "TIFF, a tile of 2,500 megapixels": lambda: tiff_tile(50_000 if size == 1 else 5000),
        "TIFF, a JPEG of 90 scans in a strip": lambda: tiff_jpeg(
            80, *(7680, 5120) if size == 1 else (640, 480)
        ),
    }
