"""At which place of the image a location of an output is: decided by what a layer returns, not by its shape.

A part of the image is changed, and the location that changes most must be the one at that part. It is the
first test of the order of tokens, of where the class token is, and of how an image was divided into windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_core.models.hooks import Visit
from saliency_core.models.layouts import Grid, Layout

CELLS = 14
"""The image is divided into so many parts along each side."""
CHANGED = ((2, 9), (9, 4), (12, 11))
"""(row, column) of the part that is changed, of one copy of the image each."""
SHARP = 8.0
"""From here on, in multiples of the mean change, a change is local."""
BETTER = 1.02
"""The factor by which the best arrangement must be better than the next."""
FINE = 7
"""In a grid with fewer rows a location next to the changed part does not count as at that part."""


def find_places(
    run: Callable[[Tensor, Visit], object], image: Tensor, candidates: Mapping[str, Sequence[Layout]]
) -> dict[str, Layout]:
    """The layout of each layer for which it is certain.

    One pass over copies of the image that are changed in one part each. Let ``D_k(u)`` be the smallest
    squared distance between a layer's output at location ``u`` in copy ``k`` and in another copy, divided by
    the mean over ``u``. A layout is certain if ``D_k`` is largest at the part that was changed, for each
    ``k``; of several the one whose ``D_k`` are the largest there, if they are clearly so.

    Behind many attention blocks a change is everywhere. A layer that shows nothing has the layout of the last
    layer before it with as many tokens, as long as none in between contradicts it: one whose change is local,
    and elsewhere.

    Args:
        run: the network on given inputs, its layers reported to the visitor.
        image: noise (1, C, H, W).
        candidates: by layer, the layouts that its shapes allow.
    """
    inputs = _copies(image)
    found: dict[str, Layout] = {}
    latest: dict[object, Layout | None] = {}

    def visit(name: str, _inputs: tuple[object, ...], output: object) -> None:
        layouts = candidates.get(name, ())
        if not layouts or not isinstance(output, Tensor):
            return
        changes = {axis: _changes(output, axis) for axis in {layout.axes.index("C") for layout in layouts}}
        seen = [_Evidence.of(layout, changes[layout.axes.index("C")], inputs) for layout in layouts]
        fitting = sorted((each for each in seen if each.at_parts), key=lambda each: -each.score)
        inherited = [each for each in seen if latest.get(_alike(each.layout, output)) == each.layout]
        others = [each for each in fitting if not torch.equal(each.change, fitting[0].change)]
        if fitting and (not others or fitting[0].score > BETTER * others[0].score):
            found[name] = latest[_alike(fitting[0].layout, output)] = fitting[0].layout
        elif inherited and inherited[0].elsewhere:
            latest[_alike(inherited[0].layout, output)] = None
        elif inherited:
            found[name] = inherited[0].layout

    with torch.no_grad():
        run(inputs, visit)
    return found


def _alike(layout: Layout, output: Tensor) -> object:
    """What outputs have in common whose locations are taken to be in the same order."""
    sizes = zip(layout.axes, output.shape, strict=True)
    return layout.axes, tuple(size for axis, size in sizes if axis in ("H", "W", "T", "N·M"))


def _copies(image: Tensor) -> Tensor:
    """One copy of the image per changed part."""
    generator = torch.Generator("cpu").manual_seed(1)
    noise = torch.randn(image.shape, generator=generator, device="cpu").to(image)
    copies = image.repeat(len(CHANGED), 1, 1, 1)
    size = image.shape[2], image.shape[3]
    for copy, cell in zip(copies, CHANGED, strict=True):
        rows, columns = (
            slice(round(side * each / CELLS), max(round(side * (each + 1) / CELLS), 1))
            for side, each in zip(size, cell, strict=True)
        )
        copy[:, rows, columns] = 2 * noise[0, :, rows, columns]
    return copies.contiguous(
        memory_format=torch.contiguous_format if image.is_contiguous() else torch.channels_last
    )


def _changes(output: Tensor, channels: int) -> Tensor:
    """Per location, for each copy, the smaller of its squared distances to the others, over one axis."""
    copies = output.float().reshape(len(CHANGED), -1, *output.shape[1:])
    distances = [
        (copies - copies.roll(each, 0)).square().sum(dim=channels + 1, keepdim=True)
        for each in range(1, len(CHANGED))
    ]
    return torch.stack(distances).amin(dim=0).flatten(0, 1)


@dataclass(frozen=True)
class _Evidence:
    """What the changes say about one layout of a layer."""

    layout: Layout
    change: Tensor
    """By location, (copies, H, W), divided by the mean."""
    score: float
    """Mean change at the changed parts."""
    at_parts: bool
    """Whether the largest change is at the changed part, in all copies."""
    elsewhere: bool
    """Whether the changes are local, and at the changed parts smaller than on average."""

    @staticmethod
    def of(layout: Layout, changes: Tensor, inputs: Tensor) -> _Evidence:
        change = layout.to_maps(changes, tuple(inputs.shape))[:, 0]
        change = change / change.mean(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(change.dtype).tiny)
        parts, hits, sharp = [], 0, True
        for changed, cell in zip(change, CHANGED, strict=True):
            rows, columns = (_span(each, count) for each, count in zip(cell, layout.grid, strict=True))
            parts.append(float(changed[slice(*rows), slice(*columns)].mean()))
            peak = divmod(int(changed.argmax()), layout.grid[1])
            hits += all(
                start - (count >= FINE) <= at < end + (count >= FINE)
                for at, (start, end), count in zip(peak, (rows, columns), layout.grid, strict=True)
            )
            sharp &= bool(changed.max() > min(SHARP, changed.numel() / 2))
        return _Evidence(layout, change, sum(parts), hits == len(CHANGED), sharp and max(parts) < 1)


def _span(cell: int, count: int) -> Grid:
    """First and behind the last of ``count`` locations along a side that overlap a part of the image."""
    return math.floor(cell * count / CELLS + 1e-6), math.ceil((cell + 1) * count / CELLS - 1e-6)
