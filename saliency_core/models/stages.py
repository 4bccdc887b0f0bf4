"""The layers that are shown by default: the stages of a network, one per resolution."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from saliency_core.models.layers import Layer
from saliency_core.models.layouts import Shape

SAME_RESOLUTION = 0.05
"""Sizes that differ by less are one resolution: convolutions without padding lose a border."""


def default_stages(
    layers: Mapping[str, Layer], shapes: Mapping[str, Shape], unchanged: Collection[str]
) -> tuple[str, ...]:
    """Per resolution, of the layers with the fewest ancestors of another resolution the last.

    A layer inside a stage that changes the resolution has such an ancestor, the stage. A container of stages
    is neither a stage nor counted as an ancestor. Layers that return what they are given are no stages.

    Args:
        layers: by name, in the order in which they finish.
        shapes: those of the outputs of all modules that ran; empty for what is not a tensor.
        unchanged: layers that return what they are given.
    """
    resolution = _resolutions(layers.values())

    def foreign(name: str) -> int:
        return sum(
            resolution.get(each) != resolution[name] and shapes[each] != shapes[name]
            for each in _ancestors(name)
            if each in shapes and each not in containers
        )

    own = set(layers) - set(unchanged) or set(layers)
    containers: set[str] = set()
    while True:
        last: dict[int, tuple[int, str]] = {}
        for name in layers:
            if name in own - containers:
                count, group = foreign(name), resolution[name]
                if group not in last or count <= last[group][0]:
                    last[group] = (count, name)
        stages = {name for _, name in last.values()}
        found = {each for name in stages for each in _ancestors(name)}
        if found <= containers:
            return tuple(name for name in layers if name in stages)
        containers |= found


def _ancestors(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _resolutions(layers: Iterable[Layer]) -> dict[str, int]:
    """The number of each layer's resolution, from the finest; nearly equal ones are one."""
    by_size = sorted(layers, key=lambda layer: (-layer.height, -layer.width))
    numbers: dict[str, int] = {}
    first: Layer | None = None
    for layer in by_size:
        if first is None or not _near(first.height, layer.height) or not _near(first.width, layer.width):
            first = layer
            number = len(set(numbers.values()))
        numbers[layer.name] = number
    return numbers


def _near(one: int, other: int) -> bool:
    return abs(one - other) < SAME_RESOLUTION * max(one, other)
