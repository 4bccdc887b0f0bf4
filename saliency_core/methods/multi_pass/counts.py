"""How many images go through the network, from a method's options and the input's (height, width)."""

from __future__ import annotations

import math
from collections.abc import Mapping

OptionValues = Mapping[str, float]
"""A value for every option of a method."""


def integrated_gradients(options: OptionValues, size: tuple[int, int]) -> int:
    """One forward and backward pass per step."""
    return int(options["steps"])


def smoothgrad(options: OptionValues, size: tuple[int, int]) -> int:
    """One forward and backward pass per sample."""
    return int(options["samples"])


def occlusion(options: OptionValues, size: tuple[int, int]) -> int:
    """One pass for the photo, and one per position of the window."""
    steps = (
        math.ceil((length - side) / stride) + 1
        for length, (side, stride) in zip(size, windows(options, size), strict=True)
    )
    return 1 + math.prod(steps)


def windows(options: OptionValues, size: tuple[int, int]) -> list[tuple[int, int]]:
    """The side and the stride of occlusion's window in pixels, along each axis."""
    sides = [max(1, round(length * options["window"])) for length in size]
    return [(side, max(1, side // 2)) for side in sides]


def rise(options: OptionValues, size: tuple[int, int]) -> int:
    """One forward pass per mask."""
    return int(options["masks"])
