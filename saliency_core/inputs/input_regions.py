"""Where the input that a transform makes lies in the photo, found by passing it photos whose pixels tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saliency_core.inputs.preprocess import InputRegion

LEVEL = 1 / 255
"""The step of a gradient's values, as a share of the side that it runs along."""


@dataclass(frozen=True)
class Place:
    """Where the input of photos of one size lies, and what the transform makes of black and white."""

    box: InputRegion
    inside: tuple[slice, slice]
    """Rows and columns of the input that show the photo; the others are padding."""
    black: Tensor
    white: Tensor

    def shows(self, photo: Image.Image, found: Tensor) -> bool:
        """Whether the input shows this part of this photo, so far as its pixels tell."""
        if found.shape != self.black.shape:
            return False
        rows, columns = self.inside
        actual = _shares(found, self.black, self.white)[self.inside]
        (left, top, right, bottom), (height, width) = self.box, found.shape[1:]
        across, down = (right - left) / width, (bottom - top) / height
        region = (
            max(left + across * columns.start, 0.0),
            max(top + down * rows.start, 0.0),
            min(left + across * columns.stop, float(photo.width)),
            min(top + down * rows.stop, float(photo.height)),
        )
        size = (actual.shape[1], actual.shape[0])
        cut = photo.resize(size, Image.Resampling.BILINEAR, box=region).convert("L")
        expected = np.asarray(cut, np.float64) / 255
        deviations = expected.std(), actual.std()
        if deviations[0] < 2 * LEVEL:  # one colour everywhere
            return bool(deviations[1] < 4 * LEVEL)
        if not deviations[1] > 0:
            return False
        return bool(np.corrcoef(expected.ravel(), actual.ravel())[0, 1] > 0.9)


def find_place(transform: Callable[[Image.Image], Tensor], size: tuple[int, int]) -> Place | None:
    """Where the input of photos of this (width, height) comes from; None if it is no rectangle of them."""
    width, height = size
    black, white = (transform(Image.new("RGB", size, color)) for color in ("black", "white"))
    if black.shape != white.shape:
        return None
    gain = (white - black).abs()
    largest = gain.amax(dim=(1, 2))
    changing = largest > 1e-3 * largest.max()
    if not bool(changing.any()):
        return None
    covered = (gain[changing] > 0.9 * largest[changing, None, None]).all(dim=0).numpy()
    rows, columns = (_span(np.asarray(covered.any(axis=axis))) for axis in (1, 0))
    if not covered[rows, columns].all():
        return None
    inside = (rows, columns)
    edges = []
    for axis, side in ((1, width), (0, height)):
        ramp = np.round(np.linspace(0, 255, side)).astype(np.uint8)
        grid = np.broadcast_to(ramp[None, :] if axis == 1 else ramp[:, None], (height, width))
        found = transform(Image.fromarray(np.ascontiguousarray(grid)).convert("RGB"))
        if found.shape != black.shape:
            return None
        shares = _shares(found, black, white)[inside]
        across = _edges(shares if axis == 1 else shares.T, inside[axis].start, found.shape[axis + 1], side)
        if across is None:
            return None
        edges.append(across)
    (left, right), (top, bottom) = edges
    return Place((left, top, right, bottom), inside, black, white)


def _span(covered: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(covered)
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)


def _shares(found: Tensor, black: Tensor, white: Tensor) -> NDArray[np.float64]:
    """An input as the way from black (0) to white (1), the mean over the channels that differ, (H, W)."""
    gain = (white - black).double()
    present = gain.abs() > 0
    ways = torch.where(present, (found - black).double() / torch.where(present, gain, 1.0), 0.0)
    return np.asarray(ways.sum(dim=0) / present.sum(dim=0).clamp(min=1), np.float64)


def _edges(shares: NDArray[np.float64], first: int, length: int, side: int) -> tuple[float, float] | None:
    """Where the input begins and ends along an axis of the photo, from what it shows of a gradient.

    Args:
        shares: (positions across, positions along), from 0 to 1, of the part that shows the photo.
        first: the index of its first position in the input.
        length: of the input.
        side: of the photo.
    """
    count = shares.shape[1]
    tolerance = (1.5 * LEVEL) * side + 0.5
    # A few at each end are left out: what is resampled there lacks its neighbours.
    kept = slice(count // 10, count - count // 10)
    seen = shares[:, kept] * (side - 1) + 0.5
    if seen.shape[1] < 2 or not np.isfinite(seen).all():
        return None
    at = np.arange(count)[kept] + first + 0.5
    profile = seen.mean(axis=0)
    slope, start = np.polyfit(at, profile, 1)
    if slope <= 0 or np.abs(seen - (slope * at + start)).max() > tolerance:
        return None
    begin, end = float(start), float(start + slope * length)
    # The photo's own borders, to which it is never nearer than a gradient can show.
    begin = 0.0 if abs(begin) < LEVEL * side else begin
    end = float(side) if abs(end - side) < LEVEL * side else end
    return begin, end
