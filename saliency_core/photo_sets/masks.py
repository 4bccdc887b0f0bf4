"""Masks of objects, kept as small as the data set has them and drawn when they are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_core.errors import ArgumentError
from saliency_core.photo_sets.model import Box


@dataclass(frozen=True)
class PolygonMask:
    """Polygons as a mask: a pixel is inside if its centre is inside at least one of them (even-odd rule).

    COCO's own program draws them on a grid five times as fine; the two differ only along the outline.
    Polygons so thin that no centre is inside are drawn as the box around them.
    """

    polygons: tuple[bytes, ...]
    """Each x, y, x, y, … in pixels as 64-bit floats."""
    width: int
    height: int

    def __call__(self) -> NDArray[np.bool_]:
        """The mask, (height, width)."""
        mask = np.zeros((self.height, self.width), bool)
        for polygon in self.polygons:
            self._draw(mask, np.frombuffer(polygon).reshape(-1, 2))
        if not mask.any():
            left, top, right, bottom = self.box
            mask[
                _floor(top, self.height) : _ceil(bottom, self.height),
                _floor(left, self.width) : _ceil(right, self.width),
            ] = True
        return mask

    @property
    def box(self) -> Box:
        """The box around the polygons."""
        corners = np.concatenate([np.frombuffer(each).reshape(-1, 2) for each in self.polygons])
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return left, top, right, bottom

    def _draw(self, mask: NDArray[np.bool_], corners: NDArray[np.float64]) -> None:
        """Add one polygon, (corners, 2)."""
        first = max(math.floor(corners[:, 1].min()), 0)
        last = min(math.ceil(corners[:, 1].max()), self.height)
        if first >= last:
            return
        # Every edge that a row of centres crosses flips the pixels whose centre is right of the crossing.
        flips = np.zeros((last - first, self.width + 1), np.int32)
        for (x, y), (next_x, next_y) in zip(
            corners.tolist(), np.roll(corners, -1, axis=0).tolist(), strict=True
        ):
            low, high = min(y, next_y), max(y, next_y)
            start, stop = max(math.ceil(low - 0.5), first), min(math.ceil(high - 0.5), last)
            if start >= stop:
                continue
            rows = np.arange(start, stop)
            crossings = x + (rows + 0.5 - y) * ((next_x - x) / (next_y - y))
            columns = np.clip(np.ceil(crossings - 0.5), 0, self.width).astype(np.intp)
            flips[rows - first, columns] += 1
        mask[first:last] |= (np.cumsum(flips, axis=1)[:, :-1] & 1).astype(bool)


@dataclass(frozen=True)
class RunLengthMask:
    """COCO's run lengths as a mask: down the columns, numbers of pixels by turns outside and inside."""

    counts: bytes
    """32-bit numbers whose sum is width × height."""
    width: int
    height: int

    def __call__(self) -> NDArray[np.bool_]:
        """The mask, (height, width)."""
        counts = np.frombuffer(self.counts, np.uint32)
        values = np.arange(len(counts)) % 2 == 1
        return np.repeat(values, counts).reshape(self.width, self.height).T

    @property
    def box(self) -> Box:
        """The box around the mask."""
        mask = self()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def polygon_mask(given: object, width: int, height: int) -> PolygonMask:
    """COCO's list of polygons, ``[[x, y, x, y, …], …]``.

    Raises:
        ArgumentError: it is none, in a sentence.
    """
    wrong = "Its outline is not a list of polygons [x, y, x, y, …] with at least three corners"
    if not isinstance(given, list) or not given:
        raise ArgumentError(f"{wrong}.")
    polygons = []
    for polygon in given:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ArgumentError(f"{wrong}.")
        if not all(isinstance(each, int | float) and abs(each) < 1e7 for each in polygon):
            raise ArgumentError(f"{wrong}: it holds something that is no number of pixels.")
        polygons.append(np.array(polygon, np.float64).tobytes())
    return PolygonMask(tuple(polygons), width, height)


def run_length_mask(given: object, width: int, height: int) -> RunLengthMask:
    """COCO's run lengths, ``{"size": [height, width], "counts": [...] or "..."}``.

    Raises:
        ArgumentError: they are none, or for a photo of another size, in a sentence.
    """
    if not isinstance(given, dict) or "counts" not in given:
        raise ArgumentError("Its mask has no run lengths.")
    if given.get("size") != [height, width]:
        raise ArgumentError(f"Its mask is not for a photo of {width} × {height} pixels.")
    counts = given["counts"]
    if isinstance(counts, str):
        counts = unpacked(counts)
    whole = isinstance(counts, list) and all(type(each) is int and each >= 0 for each in counts)
    if not whole or sum(counts) != width * height:
        raise ArgumentError(f"The run lengths of its mask are not {width} × {height} pixels together.")
    if sum(counts[1::2]) == 0:
        raise ArgumentError("Its mask is empty.")
    return RunLengthMask(np.array(counts, np.uint32).tobytes(), width, height)


def unpacked(text: str) -> Sequence[int]:
    """The numbers in COCO's text for run lengths.

    Each letter, less 48, holds five bits of a number, least significant first, and in the sixth whether it
    goes on; the last letter's fifth bit is the sign. From the fourth number on they are differences to the
    number two places before.

    >>> unpacked("52203")
    [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ArgumentError("The run lengths of its mask can't be read.")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    return counts


def _floor(value: float, most: int) -> int:
    return min(max(math.floor(value), 0), most)


def _ceil(value: float, most: int) -> int:
    return min(max(math.ceil(value), 0), most)
