"""How numbers are written in the app: one rule for each kind of number."""

import math

from saliency_core.backprop.meta_step import LEARNING_RATE
from saliency_core.viewer.formats import after_step, epsilon, percent, rho, signed

__all__ = [
    "after_step",
    "count",
    "epsilon",
    "epsilon_title",
    "exact_percent",
    "input_size",
    "percent",
    "rank",
    "rho",
    "signed",
    "size",
    "time_left",
]

MINUTE = 60
MEGABYTE = 1_000_000
NO_VALUE = "no value"
WITHOUT_STEP = "without a step"


def rank(place: int) -> str:
    """A place in an order: 1st, 2nd, 3rd, 4th."""
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place:,}{ending}"


def exact_percent(share: float) -> str:
    """A share with two decimals, for tables."""
    return f"{100 * share:.2f}%"


def count(number: int) -> str:
    """A number of parameters, in three significant digits."""
    for unit, symbol in ((1_000_000_000, "B"), (1_000_000, "M"), (1000, "k")):
        if number >= unit:
            value = number / unit
            return f"{value:.0f} {symbol}" if value >= 100 else f"{value:.3g} {symbol}"
    return str(number)


def size(number: int) -> str:
    """The size of a file."""
    if number >= 1000 * MEGABYTE:
        return f"{number / (1000 * MEGABYTE):.1f} GB"
    if number >= MEGABYTE:
        return f"{number / MEGABYTE:.0f} MB"
    return f"{math.ceil(number / 1000)} kB"


def input_size(shape: tuple[int, int, int]) -> str:
    """The size of a network's input, (channels, height, width), in pixels."""
    channels, height, width = shape
    pixels = f"{height} px" if height == width else f"{height} × {width} px"
    return pixels if channels == 3 else f"{pixels}, {channels} channel{'s' if channels > 1 else ''}"


def epsilon_title(size: float) -> str:
    """The size of a meta step on a slider, with the paper's own size marked."""
    if size == 0:
        return WITHOUT_STEP
    return f"{epsilon(size)} (paper)" if size == LEARNING_RATE else epsilon(size)


def time_left(seconds: float | None) -> str:
    """How long a computation will still take, rounded more the longer it is."""
    if seconds is None or not math.isfinite(seconds):
        return "estimating the time left"
    if seconds < 1:
        return "nearly done"
    if seconds < 10:
        return f"{math.ceil(seconds)} s left"
    if seconds < 2 * MINUTE:
        return f"about {5 * math.ceil(seconds / 5)} s left"
    return f"about {math.ceil(seconds / MINUTE)} min left"
