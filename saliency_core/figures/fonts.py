"""Text in figures: the fonts, how wide a text is, and texts cut or broken to a width.

The fonts are Inter, and DejaVu Sans, which Matplotlib brings, for letters that Inter does not have. Only this
module and :mod:`saliency_core.figures.sheet` use Matplotlib, which is imported when the first figure is made.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saliency_core.texts import one_line

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

FOLDER = Path(__file__).with_name("fonts")
FAMILIES = ("Inter", "DejaVu Sans")
REGULAR, STRONG = 400, 600
MISSING = "□"
"""Stands for a letter that no font has."""
ELLIPSIS = "…"
WORTH = 0.6
"""The share of the letters that fit which a whole part of a name must have to stand for them."""

LOCK = threading.RLock()
"""Matplotlib's fonts and settings belong to the whole process: one figure is drawn at a time."""


@functools.cache
def properties(size: float, weight: int) -> FontProperties:
    """The font of this size in points and weight, as Matplotlib takes it."""
    from matplotlib.font_manager import FontProperties

    _registered()
    return FontProperties(family=list(FAMILIES), size=size, weight=weight)


@functools.cache
def _registered() -> frozenset[int]:
    """Make Inter known to Matplotlib; returns the code points that the fonts have."""
    from matplotlib.font_manager import FontEntry, FontProperties, fontManager, get_font

    for file in sorted(FOLDER.glob("*.ttf")):
        fontManager.addfont(file)
    bold = fontManager.findfont(FontProperties(family=FAMILIES[1], weight=700))
    # Else Matplotlib warns whenever it takes the bold one for it.
    fontManager.ttflist.append(FontEntry(fname=bold, name=FAMILIES[1], weight=STRONG, size="scalable"))
    known: set[int] = set()
    for family in FAMILIES:
        known.update(get_font(fontManager.findfont(FontProperties(family=family))).get_charmap())
    return frozenset(known)


@functools.lru_cache(4096)
def clean(text: str) -> str:
    """A text on one line, in letters that the fonts have and XML allows; others are replaced."""
    with LOCK:
        known = _registered()
    return "".join(letter if ord(letter) in known else MISSING for letter in one_line(text))


@functools.lru_cache(16384)
def width(text: str, size: float, weight: int = REGULAR) -> float:
    """How wide a text is, in points."""
    from matplotlib.textpath import text_to_path

    if not text:
        return 0.0
    with LOCK:
        found = text_to_path.get_text_width_height_descent(text, properties(size, weight), False)
    return float(found[0])


def cut(text: str, room: float, size: float, weight: int = REGULAR) -> str:
    """The text if it fits into so many points, else its beginning with an ellipsis."""
    text = clean(text)
    if width(text, size, weight) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        fits = width(text[:middle].rstrip() + ELLIPSIS, size, weight) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip(" ·,.") + ELLIPSIS


def cut_start(text: str, room: float, size: float, weight: int = REGULAR) -> str:
    """The same from its end, where the names of layers differ."""
    text = clean(text)
    if width(text, size, weight) <= room:
        return text
    start = next(
        (i for i in range(1, len(text)) if width(ELLIPSIS + text[i:], size, weight) <= room), len(text)
    )
    # A whole part of a name reads better, if it says nearly as much.
    whole = next((i for i in range(start, len(text)) if text[i - 1] in " ._"), start)
    return ELLIPSIS + text[whole if len(text) - whole >= WORTH * (len(text) - start) else start :]


def lines(text: str, room: float, size: float, weight: int = REGULAR, *, most: int = 3) -> list[str]:
    """The text in lines of at most so many points; the last of at most `most` is cut if there is more."""
    return joined(clean(text).split(" "), " ", room, size, weight, most=most)


def joined(
    parts: Sequence[str],
    separator: str,
    room: float,
    size: float,
    weight: int = REGULAR,
    *,
    most: int = 2,
) -> list[str]:
    """Parts with a separator between them, as many on a line as fit, and broken between parts only."""
    found: list[str] = []
    for part in map(clean, parts):
        longer = f"{found[-1]}{separator}{part}" if found else part
        if found and (len(found) == most or width(longer, size, weight) <= room):
            found[-1] = longer
        else:
            found.append(part)
    return [cut(line, room, size, weight) for line in found]
