"""Where an output keeps its maps: one ``LayoutKind`` entry per arrangement of the axes.

A kind proposes layouts from the shapes that a layer returned for inputs of different sizes: the axes of a map
grow with the image, those of an attention matrix or of a window do not, or not in that way. Where the shapes
alone leave a doubt, as those of tokens do, :mod:`saliency_core.models.places` decides by the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from saliency_core.errors import LayerError
from saliency_core.registry import Registry

Shape = tuple[int, ...]
Grid = tuple[int, int]
"""A number of rows and one of columns."""

MAX_LEVELS = 4
"""Of tokens that are sorted for pooling of 2 × 2."""

MIN_SIDE = 4
"""Of a square of tokens that no other layer shows: fewer have too few orders to test."""

MAX_EXTRA_TOKENS = 16
"""Of class, distillation and register tokens together."""


@dataclass(frozen=True)
class Observation:
    """The shape of a layer's output in one pass, and the input of that pass."""

    shape: Shape
    batch: int
    height: int
    width: int
    rows_sum_to_one: bool = False
    """Whether the last axis holds probabilities, as in an attention matrix."""

    @property
    def size(self) -> Grid:
        """Height and width of the input."""
        return self.height, self.width


@dataclass(frozen=True)
class Layout:
    """How the outputs of a layer hold its maps."""

    name: str
    """That of its kind."""
    axes: tuple[str, ...]
    """N images, C channels, H rows, W columns, T tokens, M windows of each image, ``"N·M"`` those of
    all images."""
    grid: Grid
    """Rows and columns of the maps for an input of ``size``."""
    size: Grid
    """(height, width) of the input with which the network was examined."""
    certain: bool = True
    """Whether shapes alone tell this layout from all others."""
    extra: int = 0
    """Tokens that have no place in the image: class, distillation and register tokens."""
    at_end: bool = False
    """Whether those are behind the tokens of the image instead of in front of them."""
    window: Grid | None = None
    """Rows and columns of a window."""
    dilated: bool = False
    """Whether a window holds locations at regular distances from the whole image, not neighbours."""
    shift: Grid = (0, 0)
    """How far the image was moved up and left, around the border, before it was divided into windows."""
    levels: int = 0
    """How many times the locations were sorted by whether row and column are odd, each time inside the four
    parts that the sorting before gave."""

    def to_maps(self, output: Tensor, inputs: Shape) -> Tensor:
        """An output, or a gradient of its shape, as (N, C, H, W); a view where that is possible.

        Args:
            inputs: the shape of the network's inputs in that pass, of any size.

        Raises:
            LayerError: the output has not as many locations as an input of that size must have.
        """
        return LAYOUTS[self.name].to_maps(self, output, inputs)

    def extra_tokens(self, output: Tensor) -> Tensor:
        """The tokens without a place, of an output (N, T, C) or (N, C, T)."""
        start = output.shape[self.axes.index("T")] - self.extra if self.at_end else 0
        return output.narrow(self.axes.index("T"), start, self.extra)

    def __str__(self) -> str:
        return f"({', '.join(self.axes)})"


@dataclass(frozen=True)
class LayoutKind:
    """An arrangement of the axes of an output that consists of maps."""

    name: str
    axes: tuple[str, ...]
    """As those of a :class:`Layout`."""
    candidates: Callable[[Sequence[Observation], Collection[Grid]], Iterator[Layout]]
    """The layouts that the shapes of one layer in several passes allow. The first pass has a square input;
    the grids are those of other layers in it."""
    to_maps: Callable[[Layout, Tensor, Shape], Tensor]
    """See :meth:`Layout.to_maps`."""

    def __str__(self) -> str:
        return f"({', '.join(self.axes)})"


LAYOUTS: Registry[LayoutKind] = Registry("layout")


def find_layouts(observations: Sequence[Observation], grids: Collection[Grid] = ()) -> tuple[Layout, ...]:
    """The layouts that fit all observations of a layer: a certain one alone, or else all possible ones."""
    found = tuple(layout for kind in LAYOUTS.values() for layout in kind.candidates(observations, grids))
    return next(((layout,) for layout in found if layout.certain), found)


def describe(observation: Observation) -> str:
    """A shape for messages, with N in place of the number of images: ``(N, 96, 56, 56)``."""
    first, *rest = observation.shape or (0,)
    start = "N" if first == observation.batch else str(first)
    return f"({', '.join([start, *map(str, rest)])})" if observation.shape else "()"


def no_layout(observations: Sequence[Observation]) -> str:
    """Why no layout fits, naming the shape."""
    shape = describe(observations[0])
    first, second, third, *_ = map(str, LAYOUTS.values())
    if len(observations) > 1 and len(observations[0].shape) in (3, 4):
        one, other = observations[0], observations[1]
        return (
            f"its output has shape {shape} for an input of {one.height} × {one.width} and "
            f"{describe(other)} for {other.height} × {other.width}, so it does not hold maps that "
            "follow the size of the image"
        )
    if observations[0].rows_sum_to_one:
        return f"its output of shape {shape} is an attention matrix (its rows sum to one), not maps"
    return f"its output has shape {shape}; a map needs {first}, {second} or {third}"


def no_certain_layout(observation: Observation, layout: Layout) -> str:
    """Why none of the layouts that the shape allows is taken, this one among them."""
    rows, columns = layout.grid
    kind = "windows" if layout.window else "tokens" if "T" in layout.axes else "maps"
    return (
        f"its output of shape {describe(observation)} could be {kind} of {rows} × {columns} locations, but "
        "changing a part of the image does not change it most at that part, so its locations are not known"
    )


# --- Maps ---------------------------------------------------------------------------------------------------


def follows_image(observations: Sequence[Observation], height: int, width: int) -> bool:
    """Whether these two axes may hold the locations of an image, and no other axis but the first changes.

    Between a square input and one that is larger by different factors, the axes of a map grow by about these
    factors; the two axes of an attention matrix grow by the same, larger factor, and those of windows
    not at all. With the square input alone they must be equal, its side divided by a whole stride.
    """
    first, *others = observations
    if any(seen.shape[0] != seen.batch or 0 in seen.shape for seen in observations):
        return False
    if first.rows_sum_to_one:
        return False
    rest = [axis for axis in range(1, len(first.shape)) if axis not in (height, width)]
    rows, columns = first.shape[height], first.shape[width]
    if not others:
        return rows == columns <= first.height and _has_whole_stride(rows, first.height)
    return all(
        all(seen.shape[axis] == first.shape[axis] for axis in rest)
        and _grows((rows, columns), (seen.shape[height], seen.shape[width]), first, seen)
        for seen in others
    )


def _has_whole_stride(rows: int, height: int) -> bool:
    return abs(height / round(height / rows) - rows) < 1


def _grows(old: Grid, new: Grid, first: Observation, seen: Observation) -> bool:
    """Whether both axes grow, the width at least by the factor of the height, and the area as the input's."""
    area = seen.height * seen.width / (first.height * first.width)
    return (
        new[0] > old[0]
        and new[1] > old[1]
        and new[1] * old[0] >= new[0] * old[1]
        and new[0] * new[1] < old[0] * old[1] * area**1.5  # between the maps' area and its square
    )


def _maps(
    name: str, axes: tuple[str, ...]
) -> Callable[[Sequence[Observation], Collection[Grid]], Iterator[Layout]]:
    """Candidates of a layout whose rows and columns are axes of their own."""
    height, width, channels = (axes.index(axis) for axis in "HWC")

    def candidates(observations: Sequence[Observation], _grids: Collection[Grid]) -> Iterator[Layout]:
        if any(len(seen.shape) != len(axes) for seen in observations):
            return
        if follows_image(observations, height, width):
            first = observations[0]
            grid = first.shape[height], first.shape[width]
            # From one size alone rows, columns and channels are told apart by their number, and the
            # arrangement with the channels last, which windows and heads of attention have too, not at all.
            certain = len(observations) > 1 or (channels == 1 and first.shape[channels] != grid[0])
            yield Layout(name, axes, grid, first.size, certain)

    return candidates


# --- Tokens -------------------------------------------------------------------------------------------------


def grid_of(count: int, grid: Grid, size: Grid, actual: Grid) -> Grid | None:
    """The rows and columns of ``count`` locations for an input of size ``actual``, or None.

    Args:
        count: of locations.
        grid: rows and columns for an input of ``size``; they grow with the input, up to rounding.

    >>> grid_of(18 * 22, (14, 14), (224, 224), (288, 352))
    (18, 22)
    """
    if actual == size:
        return grid if grid[0] * grid[1] == count else None
    expected = [cells * new / old for cells, new, old in zip(grid, actual, size, strict=True)]
    near = [range(max(1, math.ceil(cells - 1)), math.floor(cells + 1) + 1) for cells in expected]
    fitting = [(rows, columns) for rows, columns in product(*near) if rows * columns == count]
    return min(
        fitting,
        key=lambda found: abs(found[0] - expected[0]) + abs(found[1] - expected[1]),
        default=None,
    )


def _grids(count: int, known: Collection[Grid], height: int) -> list[Grid]:
    """What ``count`` locations of a square image may be: a square, or a grid that another layer has."""
    side = math.isqrt(count)
    fits = MIN_SIDE <= side <= height and side * side == count and _has_whole_stride(side, height)
    square = [(side, side)] if fits else []
    return square + [grid for grid in known if grid[0] * grid[1] == count and grid not in square]


def _tokens(
    name: str, axes: tuple[str, ...]
) -> Callable[[Sequence[Observation], Collection[Grid]], Iterator[Layout]]:
    """Candidates of a layout with one axis for all locations, and for tokens that have none."""
    tokens, channels = axes.index("T"), axes.index("C")

    def candidates(observations: Sequence[Observation], known: Collection[Grid]) -> Iterator[Layout]:
        first, *others = observations
        if any(len(seen.shape) != 3 or seen.shape[0] != seen.batch for seen in observations):
            return
        if any(seen.shape[channels] != first.shape[channels] for seen in others):
            return
        # Channels come first in layers that mix tokens, which networks with class tokens have not.
        most = MAX_EXTRA_TOKENS if tokens < channels else 0
        for extra in range(min(most, first.shape[tokens] - 1) + 1):
            for grid in _grids(first.shape[tokens] - extra, known, first.height):
                if all(grid_of(seen.shape[tokens] - extra, grid, first.size, seen.size) for seen in others):
                    for at_end in (False, True)[: 1 + bool(extra)]:
                        yield Layout(name, axes, grid, first.size, False, extra, at_end)

    return candidates


def _from_tokens(layout: Layout, output: Tensor, inputs: Shape) -> Tensor:
    axis = layout.axes.index("T")
    count = output.shape[axis] - layout.extra
    grid = grid_of(count, layout.grid, layout.size, (inputs[2], inputs[3]))
    if grid is None:
        raise LayerError(
            f"the layer returned {output.shape[axis]} tokens for an input of {inputs[2]} × {inputs[3]}, "
            f"which are no grid of that shape with {layout.extra} more; choose another layer or input size"
        )
    spatial = output.narrow(axis, 0 if layout.at_end else layout.extra, count)
    maps: Tensor = spatial.movedim(layout.axes.index("C"), 1)
    return maps.reshape(*maps.shape[:2], *grid)


def _sorted_tokens(
    name: str, axes: tuple[str, ...]
) -> Callable[[Sequence[Observation], Collection[Grid]], Iterator[Layout]]:
    """Candidates of a layout whose tokens lie so that pooling of 2 × 2 is one over an axis, as in Hiera."""

    def candidates(observations: Sequence[Observation], known: Collection[Grid]) -> Iterator[Layout]:
        for layout in LAYOUTS["tokens"].candidates(observations, known):
            for levels in range(1, MAX_LEVELS + 1) if layout.extra == 0 else ():
                if all(cells % 2**levels == 0 for cells in layout.grid):
                    yield Layout(name, axes, layout.grid, layout.size, False, levels=levels)

    return candidates


def _from_sorted_tokens(layout: Layout, output: Tensor, inputs: Shape) -> Tensor:
    count, levels = output.shape[1], layout.levels
    grid = grid_of(count, layout.grid, layout.size, (inputs[2], inputs[3]))
    if grid is None or any(cells % 2**levels for cells in grid):
        raise LayerError(
            f"the layer returned {count} tokens for an input of {inputs[2]} × {inputs[3]}, whose order "
            "is not known; choose another layer or input size"
        )
    coarse = [cells // 2**levels for cells in grid]
    parts = output.reshape(len(output), *(2, 2) * levels, *coarse, output.shape[2])
    rows, columns = (range(start, 0, -2) for start in (2 * levels + 1, 2 * levels + 2))
    return parts.permute(0, -1, *rows, *columns).reshape(len(output), -1, *grid)


# --- Windows ------------------------------------------------------------------------------------------------


def _windows(
    name: str, axes: tuple[str, ...]
) -> Callable[[Sequence[Observation], Collection[Grid]], Iterator[Layout]]:
    """Candidates of a layout with an axis that counts windows, those of one image or of all."""
    start = axes.index("C") - axes.count("T") - 2 * axes.count("H")

    def candidates(observations: Sequence[Observation], known: Collection[Grid]) -> Iterator[Layout]:
        first = observations[0]
        if len(first.shape) != len(axes) or first.shape[0] % first.batch or 0 in first.shape:
            return
        if first.rows_sum_to_one:
            return
        count, inside = math.prod(first.shape[:start]) // first.batch, first.shape[start:-1]
        if axes[0] == "N" and (first.shape[0] != first.batch or count == math.prod(inside)):
            return  # with as many windows as locations it may be attention between all
        if axes[0] != "N" and count == 1:
            return
        # Heads of attention look like windows of a grid that no other layer has, or like dilated ones.
        heads = axes[0] == "N" and any(math.prod(each) == math.prod(inside) for each in known)
        for grid in (each for each in known if math.prod(each) == count * math.prod(inside)):
            for window in _window_sizes(inside, grid):
                for dilated, shift in (
                    (False, (0, 0)),
                    *([] if heads else [(True, (0, 0))]),
                    (False, (window[0] // 2, window[1] // 2)),
                ):
                    yield Layout(name, axes, grid, first.size, False, 0, False, window, dilated, shift)

    return candidates


def _window_sizes(inside: Sequence[int], grid: Grid) -> Iterator[Grid]:
    """Rows and columns of windows that divide the grid; ``inside`` are the axes of a window."""
    if len(inside) == 2:
        sizes = [(inside[0], inside[1])]
    else:
        sizes = [(rows, inside[0] // rows) for rows in range(1, inside[0] + 1) if inside[0] % rows == 0]
    for rows, columns in sizes:
        if grid[0] % rows == 0 and grid[1] % columns == 0:
            yield rows, columns


def _from_windows(layout: Layout, output: Tensor, inputs: Shape) -> Tensor:
    images, channels = inputs[0], output.shape[-1]
    count = output.numel() // (images * channels)
    grid = grid_of(count, layout.grid, layout.size, (inputs[2], inputs[3]))
    window = layout.window or (1, 1)
    inside = math.prod(size for axis, size in zip(layout.axes, output.shape, strict=True) if axis in "HWT")
    if grid is None or math.prod(window) != inside or grid[0] % window[0] or grid[1] % window[1]:
        raise LayerError(
            f"the layer returned {count // inside} windows of {inside} locations per image for an input of "
            f"{inputs[2]} × {inputs[3]}, which do not cover it; choose another layer or input size"
        )
    down, across = grid[0] // window[0], grid[1] // window[1]
    parts = output.reshape(images, down, across, *window, channels)
    order = (0, 5, 3, 1, 4, 2) if layout.dilated else (0, 5, 1, 3, 2, 4)
    maps = parts.permute(order).reshape(images, channels, *grid)
    return maps.roll(layout.shift, dims=(2, 3)) if any(layout.shift) else maps


def _add(
    name: str,
    axes: str,
    candidates: Callable[
        [str, tuple[str, ...]], Callable[[Sequence[Observation], Collection[Grid]], Iterator[Layout]]
    ],
    to_maps: Callable[[Layout, Tensor, Shape], Tensor],
) -> None:
    split = tuple(axes.split())
    LAYOUTS.add(name, LayoutKind(name, split, candidates(name, split), to_maps))


_add("channels_first", "N C H W", _maps, lambda _layout, output, _inputs: output)
_add("channels_last", "N H W C", _maps, lambda _layout, output, _inputs: output.permute(0, 3, 1, 2))
_add("tokens", "N T C", _tokens, _from_tokens)
_add("tokens_last", "N C T", _tokens, _from_tokens)
_add("tokens_sorted", "N T C", _sorted_tokens, _from_sorted_tokens)
_add("windows", "N·M H W C", _windows, _from_windows)
_add("windows_of_tokens", "N·M T C", _windows, _from_windows)
_add("windows_apart", "N M T C", _windows, _from_windows)
