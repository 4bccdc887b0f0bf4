"""At which place of the image a location of an output is: decided by what a layer returns, not by its shape.

Of two images that differ in a few parts, the locations at these parts must differ most. This tests the order
of tokens, where those without a place are, and how an image was divided into windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_core.models.layouts import Grid, Layout

CELLS = 14
"""The image is divided into so many parts along each side."""
CHANGED = ((4, 8), (8, 0), (12, 12))
"""(row, column) of the parts that are changed: multiples of four, which layers with strides do not skip."""
SHARP = 8.0
"""From here on, in multiples of the mean, a difference is local."""
BETTER = 1.02
"""The factor by which the best arrangement must be better than the next."""
LARGE, SHARE = 2.0, 0.15
"""The differences at the parts must be so many times the mean, and so much of all differences."""
CLEARLY = 2.0
"""The factor by which it must be better than the arrangement of the last layer with as many locations."""
FINE = 7
"""In a grid with fewer rows a location next to a changed part does not count as at that part."""

Differences = Mapping[int, Tensor]
"""Squared differences of two images' outputs, summed over one axis, which stays with length one; by the
number of that axis."""


def changed_in_parts(image: Tensor, noise: Tensor) -> Tensor:
    """The image (1, C, H, W) and a copy of it with other noise in the changed parts, (2, C, H, W)."""
    pair = image.repeat(2, 1, 1, 1)
    for cell in CHANGED:
        rows, columns = (
            slice(round(side * each / CELLS), max(round(side * (each + 1) / CELLS), 1))
            for side, each in zip(image.shape[2:], cell, strict=True)
        )
        pair[1, :, rows, columns] = 2 * noise[0, :, rows, columns]
    return pair


def differences(output: Tensor) -> Differences:
    """Those of an output for two images, over every axis that may be that of the channels."""
    first, second = output.float().chunk(2)
    squares = (first - second).square()
    return {axis: squares.sum(dim=axis, keepdim=True) for axis in {1, output.ndim - 1}}


def find_places(
    candidates: Mapping[str, Sequence[Layout]], seen: Mapping[str, Differences], size: Grid
) -> dict[str, Layout]:
    """The layout of each layer for which it is certain.

    Let ``D(u)`` be the squared difference of a layer's outputs for the two images at location ``u``. A layout
    is certain if, of the locations that are nearest to a changed part, the one with the largest ``D`` is at
    that part, for all parts, and a good share of ``D`` is at the parts; of several layouts the one whose
    ``D`` at the parts is the largest, if it is clearly so.

    Behind many attention blocks a change is everywhere. A layer that shows nothing has the layout of the last
    layer before it with as many locations, as long as none in between contradicts it: one whose differences
    are local, and elsewhere.

    Args:
        candidates: by layer, in their order, the layouts that its shapes allow.
        seen: by layer, what :func:`differences` gives.
        size: height and width of the images.
    """
    found: dict[str, Layout] = {}
    latest: dict[object, Layout | None] = {}
    for name, layouts in candidates.items():
        if name not in seen:
            continue
        judged = [_Evidence.of(layout, seen[name], size) for layout in layouts]
        before = [each for each in judged if latest.get(_alike(each.layout, seen[name])) == each.layout]
        # What the last such layer has is given up for something clearly better alone.
        least = CLEARLY * before[0].score if before else 0.0
        fitting = sorted(
            (each for each in judged if each.at_parts and each.score > least), key=lambda each: -each.score
        )
        others = [each for each in fitting if not torch.equal(each.change, fitting[0].change)]
        if fitting and (not others or fitting[0].score > BETTER * others[0].score):
            found[name] = latest[_alike(fitting[0].layout, seen[name])] = fitting[0].layout
        elif before and before[0].elsewhere:
            latest[_alike(before[0].layout, seen[name])] = None
        elif before:
            found[name] = before[0].layout
    return found


def _alike(layout: Layout, seen: Differences) -> object:
    """What outputs have in common whose locations are taken to be in the same order."""
    return layout.axes, tuple(seen[layout.axes.index("C")].shape)


@dataclass(frozen=True)
class _Evidence:
    """What the differences say about one layout of a layer."""

    layout: Layout
    change: Tensor
    """The differences, (H, W), divided by their mean."""
    score: float
    """Their mean at the changed parts."""
    at_parts: bool
    """Whether the largest one near each changed part is at it."""
    elsewhere: bool
    """Whether they are local, and at the changed parts smaller than on average."""

    @staticmethod
    def of(layout: Layout, seen: Differences, size: Grid) -> _Evidence:
        change = layout.to_maps(seen[layout.axes.index("C")], (1, 0, *size))[0, 0]
        change = change / change.mean().clamp(min=torch.finfo(change.dtype).tiny)
        parts = [
            [_span(each, count) for each, count in zip(cell, layout.grid, strict=True)] for cell in CHANGED
        ]
        means = [float(change[slice(*rows), slice(*columns)].mean()) for rows, columns in parts]
        nearest = _nearest(layout.grid, change.device)
        hits = 0
        for number, spans in enumerate(parts):
            peak = int(change.where(nearest == number, -1.0).argmax())
            hits += all(
                start - (count >= FINE) <= at < end + (count >= FINE)
                for at, (start, end), count in zip(
                    divmod(peak, layout.grid[1]), spans, layout.grid, strict=True
                )
            )
        local = bool(change.max() > min(SHARP, change.numel() / 2))
        score = sum(means) / len(means)
        cells = sum(math.prod(end - start for start, end in spans) for spans in parts)
        at_parts = (
            hits == len(parts)
            and min(means) > 1  # not one part alone, at which some other order may put a change by chance
            and score > LARGE
            and score * cells > SHARE * change.numel()
        )
        return _Evidence(layout, change, score, at_parts, local and max(means) < 1)


def _span(cell: int, count: int) -> Grid:
    """First and behind the last of ``count`` locations along a side that overlap a part of the image."""
    return math.floor(cell * count / CELLS + 1e-6), math.ceil((cell + 1) * count / CELLS - 1e-6)


def _nearest(grid: Grid, device: torch.device) -> Tensor:
    """The number of the changed part that is nearest to each location, (H, W)."""
    rows, columns = ((torch.arange(count, device=device) + 0.5) * CELLS / count for count in grid)
    distances = [
        (rows[:, None] - row - 0.5).square() + (columns[None] - column - 0.5).square()
        for row, column in CHANGED
    ]
    return torch.stack(distances).argmin(dim=0)
