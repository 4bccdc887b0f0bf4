"""TIFF and BigTIFF: the first page, with the tags that say how its pixels are stored and no others."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from saliency_core.errors import ImageError
from saliency_core.inputs.containers.orientation import TAG as ORIENTATION
from saliency_core.inputs.containers.parts import MAX_PARTS, DamagedError, Pixels, too_many, unusual

MAX_TAGS: Final = 4096
"""Of the first page; files of cameras and scanners have 15 to 60."""
MAX_TAG_BYTES: Final = 1 << 16
"""Of a tag other than the lists of strips; the decoding tables of JPEG and 8-bit palettes have a few kB."""
MAX_PADDING: Final = 4
"""How many times the picture its tiles may be, beyond 16 megapixels."""

MAX_SHARED: Final = 4
"""How many times the bytes of the file its compressed strips may be together."""
MAX_SAMPLES: Final = 6
MAX_SCANS: Final = 20
"""Of a strip that is a JPEG; nearly all have one."""

WIDTH, HEIGHT, COMPRESSION, SAMPLES, ROWS = 256, 257, 259, 277, 278
STRIPS, STRIP_BYTES, TILES, TILE_BYTES = 273, 279, 324, 325
TILE_WIDTH, TILE_HEIGHT, PALETTE = 322, 323, 320
_LISTS: Final = frozenset({STRIPS, STRIP_BYTES, TILES, TILE_BYTES, PALETTE})
_KEPT: Final = frozenset(
    {
        *(
            WIDTH,
            HEIGHT,
            258,
            COMPRESSION,
            262,
            266,
            ORIENTATION,
            SAMPLES,
            ROWS,
            284,
            292,
            293,
            317,
            338,
            339,
        ),
        *(TILE_WIDTH, TILE_HEIGHT, 326, 327, 328, 332, 340, 341, 347, 529, 530, 531, 532, 0xBC01),
        *range(512, 522),  # of the JPEG of TIFF 6.0
        *_LISTS,
    }
)
_UNCOMPRESSED: Final = 1
_JPEG: Final = 7
_SCAN: Final = b"\xff\xda"
_LZMA: Final = 34925  # its header says how much memory it takes
_WIDTHS: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    18: 8,
}
_NUMBERS: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class _Entry:
    raw: bytes
    kind: int
    count: int
    at: int

    @property
    def length(self) -> int:
        return self.count * _WIDTHS.get(self.kind, 1)


@dataclass(frozen=True)
class _Page:
    """The first page's tags that are kept."""

    data: bytes
    order: str
    entries: dict[int, _Entry]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The values of a tag; () if it is missing or no list of whole numbers."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _NUMBERS:
            return ()
        return struct.unpack_from(f"{self.order}{entry.count}{_NUMBERS[entry.kind]}", self.data, entry.at)

    def holds(self, entry: _Entry) -> bool:
        """Whether the value of a tag lies within the bytes."""
        return entry.at + entry.length <= len(self.data)

    def number(self, tag: int, default: int) -> int:
        """The only value of a tag."""
        return next(iter(self.numbers(tag)), default)


def walk(data: bytes) -> Pixels:
    """The file with a new directory at its end, of the tags that the decoder needs."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    # Of a directory: its own position, the count of entries, and an entry's count and value.
    where, pointer, count_of, entry_of = (8, "Q", "Q", "HHQQ") if big else (4, "I", "H", "HHII")
    (at,) = struct.unpack_from(order + pointer, data, where)
    (tags,) = struct.unpack_from(order + count_of, data, at)
    if tags > MAX_TAGS:
        raise unusual("TIFF", f"more than {MAX_TAGS:,} tags, far more than a photo")
    width, first = struct.calcsize(order + entry_of), at + struct.calcsize(order + count_of)
    entries: dict[int, _Entry] = {}
    for start in range(first, min(first + tags * width, len(data) - width + 1), width):
        tag, kind, count, value = struct.unpack_from(order + entry_of, data, start)
        if tag in _KEPT:
            inline = count * _WIDTHS.get(kind, 1) <= struct.calcsize(pointer)
            position = start + width - struct.calcsize(pointer) if inline else value
            entries[tag] = _Entry(data[start : start + width], kind, count, position)
    page = _Page(data, order, entries)
    size = _checked(page)
    directory = struct.pack(order + count_of, len(entries))
    directory += b"".join(entries[tag].raw for tag in sorted(entries)) + bytes(struct.calcsize(pointer))
    gap = bytes(-len(data) % 8)
    place = struct.pack(order + pointer, len(data) + len(gap))
    body = memoryview(data)
    return Pixels(size, (body[:where], place, body[where + len(place) :], gap, directory))


def _checked(page: _Page) -> tuple[int, int]:
    """The picture's size, after a look at everything that could make decoding it take longer than it should.

    Raises:
        ImageError: there are too many strips, or they are out of proportion.
    """
    for tag, entry in page.entries.items():
        if entry.length > (MAX_PARTS * 8 if tag in _LISTS else MAX_TAG_BYTES):
            if tag in _LISTS - {PALETTE}:
                raise too_many("TIFF", "strips or tiles")
            raise DamagedError
    for tag in (STRIPS, TILES):
        if tag in page.entries and page.entries[tag].count > MAX_PARTS:
            raise too_many("TIFF", "strips or tiles")
    width, height = page.number(WIDTH, 0), page.number(HEIGHT, 0)
    turned = page.number(ORIENTATION, 1) in (5, 6, 7, 8)
    size = (height, width) if turned else (width, height)
    if page.number(COMPRESSION, _UNCOMPRESSED) == _LZMA:
        raise unusual("TIFF", "a rare compression that is not read here")
    _check_tiles(page, width, height)
    return size


def _check_tiles(page: _Page, width: int, height: int) -> None:
    wide, high = page.number(TILE_WIDTH, 0) or width, page.number(TILE_HEIGHT, 0) or height
    if _padded(width, wide) * _padded(height, high) > MAX_PADDING * width * height + 16_000_000:
        raise _out_of_proportion()
    planes = min(page.number(SAMPLES, 1), MAX_SAMPLES)
    rows = page.number(ROWS, 0) or height
    _check_list(page, STRIPS, STRIP_BYTES, planes * _pieces(height, rows))
    _check_list(page, TILES, TILE_BYTES, planes * _pieces(width, wide) * _pieces(height, high))


def _check_list(page: _Page, places: int, lengths: int, most: int) -> None:
    """Strips or tiles may repeat, and share their bytes; every one is decoded."""
    entry = page.entries.get(places)
    if entry is None:
        return
    if entry.count > most:
        raise _out_of_proportion()
    compression, listed = page.number(COMPRESSION, _UNCOMPRESSED), page.entries.get(lengths)
    if compression == _UNCOMPRESSED or not (page.holds(entry) and (listed is None or page.holds(listed))):
        return  # its pixels take no more than they say, or these bytes are a header alone
    starts = page.numbers(places)
    counts = page.numbers(lengths) or (len(page.data),) * len(starts)
    if sum(counts) > MAX_SHARED * len(page.data):
        raise _out_of_proportion()
    if compression == _JPEG:
        ends = (start + count for start, count in zip(starts, counts, strict=False))
        scans = sum(page.data.count(_SCAN, start, end) for start, end in zip(starts, ends, strict=False))
        if scans > MAX_SCANS * entry.count:
            raise unusual("TIFF", "more scans in its strips than a photo of its size")


def _pieces(side: int, piece: int) -> int:
    return -(-side // max(1, piece))


def _padded(side: int, piece: int) -> int:
    return _pieces(side, piece) * piece


def _out_of_proportion() -> ImageError:
    return unusual("TIFF", "strips or tiles that are out of proportion to its pixels")
