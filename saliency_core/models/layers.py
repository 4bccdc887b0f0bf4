"""The spatial layers of a network: names, shapes and the stages shown by default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saliency_core.backprop.function_modes import FunctionLog
from saliency_core.errors import LayerError
from saliency_core.models.hooks import Taps
from saliency_core.registry import unknown

INPUT = "input"
"""The name of the network's input where a layer is asked for."""


@dataclass(frozen=True)
class Layer:
    """A module whose output is a stack of maps, ``channels`` × ``height`` × ``width``."""

    name: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Survey:
    """What one dry pass tells of a network."""

    layers: tuple[Layer, ...]
    outputs: int
    refused: dict[str, str]
    """Modules at which no map exists, with the reason."""
    functions: frozenset[str]
    """Names of the functions the network calls."""


def survey(network: nn.Module, taps: Taps, example: Tensor) -> Survey:
    """Run the network once without gradients and note every spatial layer, input to output.

    The example is square, so outputs that are not are no maps; those with the channels last are such.

    Raises ``ValueError`` when the network cannot process the example or does not return (1, classes).
    """
    shapes: dict[str, tuple[int, ...]] = {}
    calls: Counter[str] = Counter()

    def visit(name: str, output: object) -> None:
        calls[name] += 1
        shapes[name] = tuple(output.shape) if isinstance(output, Tensor) else ()

    log = FunctionLog()
    with torch.no_grad(), taps.recording(visit), log:
        logits = network(example)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the network returned {given}; expected class scores of shape (1, classes)")
    layers, refused = [], {}
    for name, shape in shapes.items():
        if calls[name] > 1:
            refused[name] = f"it runs {calls[name]} times in one pass, so its map is not defined"
        elif len(shape) != 4:
            refused[name] = f"its output has shape {shape}; a map needs (N, C, H, W)"
        elif shape[2] * shape[3] == 1:
            refused[name] = "its output has a single location (1 × 1), so there is no map to see"
        elif shape[2] != shape[3]:
            refused[name] = f"its output has shape {shape}, which is not square as the input: no (N, C, H, W)"
        else:
            layers.append(Layer(name, *shape[1:]))
    for name, _ in network.named_modules():
        if name and name not in shapes:
            refused[name] = "it does not run in a forward pass"
    return Survey(tuple(layers), logits.shape[1], refused, frozenset(log.names))


def default_stages(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The last layer at each resolution, input to output: the stages of most networks."""
    last: dict[tuple[int, int], str] = {}
    for layer in layers:
        resolution = (layer.height, layer.width)
        last.pop(resolution, None)
        last[resolution] = layer.name
    return tuple(last.values())


def choose_layers(found: Survey, names: Iterable[str] | str) -> tuple[str, ...]:
    """The names, checked and in the order given; raises ``LayerError`` with the reason or the choices."""
    wanted = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    known = (INPUT, *(layer.name for layer in found.layers))
    for name in wanted:
        if name in found.refused:
            raise LayerError(f"no map at layer {name!r}: {found.refused[name]}")
        if name not in known:
            raise LayerError(unknown("layer", name, known))
    if not wanted:
        raise LayerError("no layer was asked for; name at least one, or pass None for the default stages")
    return wanted
