"""How numbers are written in the app: one rule for each kind of number."""

import math

import saliency_core as sc
from saliency_core.backprop.variants import LEARNING_RATE
from saliency_core.viewer import payload

MINUTE = 60
MEGABYTE = 1_000_000
NO_VALUE = "no value"
WITHOUT_STEP = "without a step"


def percent(share: float) -> str:
    """A share or a probability: two significant digits below 10%, whole percents above.

    The browser has the same rule: `percent` in `saliency_core/viewer/web/core/format.js`.
    """
    number = 100 * share
    if number == 0:
        return "0%"
    if number >= 99.95:
        return "100%"
    if number < 0.01:
        return "<0.01%"
    return f"{number:.2g}%" if number < 9.95 else f"{number:.0f}%"


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


def rho(value: float) -> str:
    """A correlation with two decimals and a true minus."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def signed(value: float) -> str:
    """A change with two decimals and its sign."""
    text = rho(value)
    return text if text.startswith("−") or text == "0.00" else f"+{text}"


def epsilon(size: float) -> str:
    """The size of a meta step."""
    return f"{size:.2g}"


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


def after_step(variant: sc.MetaStep | None) -> str:
    """The caption's words on the meta step; empty if there is none."""
    return payload.after_step(variant)
