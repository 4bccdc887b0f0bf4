"""Maps as whole numbers of 16 or 8 bits, for files: half or a quarter of the size of float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Bits = Literal[8, 16]


@dataclass(frozen=True)
class Plane:
    """How the numbers of one map become values again: ``low + step * number``."""

    size: int
    """The number of values."""
    low: float
    step: float
    """0 for a constant map."""


@dataclass(frozen=True)
class Quantised:
    """Maps as whole numbers."""

    bits: Bits
    data: bytes
    """The numbers of all maps one after another, little-endian."""
    planes: tuple[Plane, ...]
    error: float
    """The largest difference to a map's true value, as a share of the range of that map's values."""


def quantise(maps: Sequence[NDArray[np.float32]], bits: Bits) -> Quantised:
    """Round every map to 2^bits equal steps from its minimum to its maximum.

    A value v becomes ``round((v - low) / step)`` with ``step = (high - low) / (2^bits - 1)``, computed in
    float64, so that minimum and maximum are kept and no value changes by more than half a step.

    Args:
        maps: of any shape and finite.
        bits: 8 or 16.
    """
    parts, planes, error = [], [], 0.0
    for each in maps:
        values = each.ravel().astype(np.float64)
        low, high = float(values.min()), float(values.max())
        step = (high - low) / (2**bits - 1)
        plane = Plane(values.size, low, step)
        numbers = np.rint((values - low) / step) if step > 0 else np.zeros_like(values)
        parts.append(numbers.astype(f"<u{bits // 8}").tobytes())
        planes.append(plane)
        if step > 0:
            error = max(error, float(np.abs(_values(numbers, plane) - values).max()) / (high - low))
    return Quantised(bits, b"".join(parts), tuple(planes), error)


def restored(quantised: Quantised) -> list[NDArray[np.float32]]:
    """The maps as the browser reads them, flat: the same arithmetic as in web/core/quantised.js."""
    numbers = np.frombuffer(quantised.data, f"<u{quantised.bits // 8}")
    ends = np.cumsum([plane.size for plane in quantised.planes])
    return [
        _values(part, plane)
        for part, plane in zip(np.split(numbers, ends[:-1]), quantised.planes, strict=True)
    ]


def _values(numbers: NDArray[np.generic], plane: Plane) -> NDArray[np.float32]:
    return (plane.low + plane.step * numbers.astype(np.float64)).astype(np.float32)
