"""The layers that are shown by default: the stages of a network, one per resolution, or its blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from torch import nn

from saliency_core.models.layers import Layer
from saliency_core.models.layouts import Shape

SAME_RESOLUTION = 0.05
"""Sizes that differ by less are one resolution: convolutions without padding lose a border."""


ENOUGH = 4
"""With fewer stages, the blocks inside them show the network's depth."""

MOST_BLOCKS = 12
"""Of more blocks some are left out, at regular distances."""


def default_layers(
    layers: Mapping[str, Layer],
    shapes: Mapping[str, Shape],
    unchanged: Collection[str],
    kinds: Mapping[str, type],
    *,
    tokens: Collection[str],
    unread: Collection[str],
) -> tuple[str, ...]:
    """The stages where there are at least four; else the blocks of each stage that has some.

    Blocks are modules of one kind, with modules of their own, side by side in one container and with outputs
    of one shape; the outermost of them, but not those that hold longer rows of blocks. Of the blocks of all
    stages at most twelve are taken. Where blocks hold tokens, the convolutions in front of them do not count
    as stages. Of a block whose output is not read no part is taken either.

    Args:
        layers, shapes: as for :func:`default_stages`.
        unchanged: layers that return what they are given.
        kinds: the types of the modules that have modules of their own.
        tokens: layers whose locations share one axis.
        unread: modules that would be layers if the class scores read their output.
    """
    blocks_left_out = {name for name in unread if any(_alike(name, each, kinds) for each in layers)}
    left_out = {
        name for name in layers if name in unchanged or not blocks_left_out.isdisjoint(ancestors(name))
    }
    stages = default_stages(layers, shapes, left_out)
    resolution = _resolutions(layers.values())
    rows: dict[tuple[str, type, Layer], list[str]] = {}
    for name, layer in layers.items():
        if name in kinds and name not in left_out:
            key = (name.rpartition(".")[0], kinds[name], replace(layer, name=""))
            rows.setdefault(key, []).append(name)
    longest = dict.fromkeys(shapes, 0)
    for row in rows.values():
        for name in {each for member in row for each in ancestors(member)} & longest.keys():
            longest[name] = max(longest[name], len(row))
    blocks: dict[str, list[str]] = {}
    for stage in stages:
        inside = [
            name
            for (_, kind, _), row in rows.items()
            if resolution[row[0]] == resolution[stage]
            # Sequences that hold as many blocks as they are stand for those.
            and len(row) > max(1, *(longest[name] - (not issubclass(kind, nn.Sequential)) for name in row))
            for name in row
        ]
        blocks[stage] = [name for name in inside if set(inside).isdisjoint(ancestors(name))]
    with_blocks = [stage for stage in stages if blocks[stage]]
    of_tokens = any(not set(row).isdisjoint(tokens) for row in blocks.values())
    first = stages.index(with_blocks[0]) if of_tokens else 0
    if len(stages[first:]) >= ENOUGH:
        return stages
    found = [name for stage in stages[first:] for name in blocks[stage] or [stage]]
    if len(found) <= len(stages) - first:
        return stages
    ordered = _in_order(found, layers)
    return tuple(name for index, name in enumerate(ordered) if _is_kept(index, len(ordered)))


def _alike(name: str, other: str, kinds: Mapping[str, type]) -> bool:
    """Whether two modules are of one kind and side by side."""
    return name in kinds and kinds.get(other) is kinds[name] and ancestors(name) == ancestors(other)


def _in_order(names: Collection[str], layers: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in layers if name in names)


def _is_kept(index: int, count: int) -> bool:
    """Whether one of ``count`` layers in a row is among those that are shown; the last one is."""
    return count <= MOST_BLOCKS or (index + 1) * MOST_BLOCKS // count > index * MOST_BLOCKS // count


def default_stages(
    layers: Mapping[str, Layer], shapes: Mapping[str, Shape], left_out: Collection[str]
) -> tuple[str, ...]:
    """Per resolution, of the layers with the fewest ancestors of another resolution the last.

    A layer inside a stage that changes the resolution has such an ancestor, the stage. A container of stages
    is neither a stage nor counted as an ancestor.

    Args:
        layers: by name, in the order in which they finish.
        shapes: those of the outputs of all modules that ran; empty for what is not a tensor.
        left_out: layers that are no stages: those that return what they are given, and the parts of a block
            whose own output is not read.
    """
    resolution = _resolutions(layers.values())

    def foreign(name: str) -> int:
        return sum(
            resolution.get(each) != resolution[name] and shapes[each] != shapes[name]
            for each in ancestors(name)
            if each in shapes and each not in containers
        )

    own = set(layers) - set(left_out) or set(layers)
    containers: set[str] = set()
    while True:
        last: dict[int, tuple[int, str]] = {}
        for name in layers:
            if name in own - containers:
                count, group = foreign(name), resolution[name]
                if group not in last or count <= last[group][0]:
                    last[group] = (count, name)
        stages = {name for _, name in last.values()}
        found = {each for name in stages for each in ancestors(name)}
        if found <= containers:
            return tuple(name for name in layers if name in stages)
        containers |= found


def ancestors(name: str) -> list[str]:
    """The names of the modules that a module is in, outermost first."""
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
