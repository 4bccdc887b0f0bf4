"""Where an output keeps its maps: one ``Layout`` entry per arrangement of the axes.

A layout is recognised by the shapes that a layer returned for inputs of different sizes: the axes of a map
grow with the image, those of an attention matrix or of a window do not, or not in that way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from saliency_core.registry import Registry

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Observation:
    """The shape of a layer's output in one pass, and the input of that pass."""

    shape: Shape
    batch: int
    height: int
    width: int
    rows_sum_to_one: bool = False
    """Whether the last axis holds probabilities, as in an attention matrix."""


@dataclass(frozen=True)
class Layout:
    """An arrangement of the axes of an output that consists of maps."""

    name: str
    axes: str
    """One letter per axis: N images, C channels, H rows, W columns."""
    matches: Callable[[Sequence[Observation]], bool]
    """Whether the shapes of one layer in several passes are those of this layout; the first pass has a
    square input."""
    to_maps: Callable[[Tensor], Tensor]
    """An output, or a gradient of its shape, as (N, C, H, W)."""

    def __str__(self) -> str:
        return f"({', '.join(self.axes)})"


LAYOUTS: Registry[Layout] = Registry("layout")


def find_layout(observations: Sequence[Observation]) -> Layout | None:
    """The registered layout that fits all observations of a layer, or None."""
    return next((layout for layout in LAYOUTS.values() if layout.matches(observations)), None)


def describe(observation: Observation) -> str:
    """A shape for messages, with N in place of the number of images: ``(N, 96, 56, 56)``."""
    first, *rest = observation.shape or (0,)
    start = "N" if first == observation.batch else str(first)
    return f"({', '.join([start, *map(str, rest)])})" if observation.shape else "()"


def no_layout(observations: Sequence[Observation]) -> str:
    """Why no layout fits, naming the shape."""
    shape = describe(observations[0])
    known = " or ".join(map(str, LAYOUTS.values()))
    if len(observations) > 1 and len(observations[0].shape) == 4:
        one, other = observations[0], observations[1]
        return (
            f"its output has shape {shape} for an input of {one.height} × {one.width} and "
            f"{describe(other)} for {other.height} × {other.width}, so it does not hold maps {known} that "
            "follow the size of the image"
        )
    if observations[0].rows_sum_to_one:
        return f"its output of shape {shape} is an attention matrix (its rows sum to one), not maps {known}"
    if len(observations[0].shape) == 4 and "N" in shape:
        side = observations[0].height
        return (
            f"its output has shape {shape}, which need not be maps {known}: the network takes no inputs but "
            f"{side} × {side}, so that they cannot be distinguished from other tensors"
        )
    return f"its output has shape {shape}; a map needs {known}"


def follows_image(observations: Sequence[Observation], height: int, width: int) -> bool:
    """Whether these two axes hold the locations of an image, and no other axis but the first changes.

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
        # Where the channels have the same number too, the axes cannot be distinguished.
        return (
            rows == columns <= first.height
            and abs(first.height / round(first.height / rows) - rows) < 1
            and all(first.shape[axis] != rows for axis in rest)
        )
    return all(
        all(seen.shape[axis] == first.shape[axis] for axis in rest)
        and _grows((rows, columns), (seen.shape[height], seen.shape[width]), first, seen)
        for seen in others
    )


def _grows(old: tuple[int, int], new: tuple[int, int], first: Observation, seen: Observation) -> bool:
    """Whether both axes grow, the width at least by the factor of the height, and the area as the input's."""
    area = seen.height * seen.width / (first.height * first.width)
    return (
        new[0] > old[0]
        and new[1] > old[1]
        and new[1] * old[0] >= new[0] * old[1]
        and new[0] * new[1] < old[0] * old[1] * area**1.5  # between the maps' area and its square
    )


def _channels_first(observations: Sequence[Observation]) -> bool:
    return all(len(seen.shape) == 4 for seen in observations) and follows_image(observations, 2, 3)


LAYOUTS.add(
    "channels_first", Layout("channels_first", "NCHW", _channels_first, to_maps=lambda output: output)
)
