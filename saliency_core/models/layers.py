"""The layers of a network that have maps, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saliency_core.errors import LayerError
from saliency_core.registry import name_tuple, unknown

if TYPE_CHECKING:
    from torch import nn

    from saliency_core.models.layouts import Layout

INPUT = "input"
"""The name of the network's input where a layer is asked for. A module of that name is ``"self.input"``."""


@dataclass(frozen=True)
class Layer:
    """A module whose output is a stack of maps, ``channels`` × ``height`` × ``width``."""

    name: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Survey:
    """What dry passes show of a network."""

    layers: tuple[Layer, ...]
    """Layers with maps on which the class scores depend, input to output."""
    stages: tuple[str, ...]
    """The layers that show the network's depth, one per resolution."""
    layouts: Mapping[str, Layout]
    """How the outputs of the layers are arranged."""
    refused: Mapping[str, str]
    """The other modules, with the reason why they have no maps."""
    classes: int
    notice: str | None
    """A sentence for the user when little of the network can be shown."""


def layer_modules(network: nn.Module) -> dict[str, nn.Module]:
    """All submodules by the name of their layer: their path in the network.

    ``"input"`` always means the network's input, so a module of that name becomes ``"self.input"``.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    return {f"self.{name}" if name == INPUT else name: module for name, module in modules.items()}


def choose_layers(found: Survey, names: Iterable[str] | str) -> tuple[str, ...]:
    """The names, checked and in the order given.

    Raises:
        ArgumentTypeError: not names.
        LayerError: a name that does not exist or has no map, with the reason or the choices; no name.
    """
    wanted = name_tuple(names, "layer")
    known = (INPUT, *(layer.name for layer in found.layers))
    for name in wanted:
        if name in found.refused:
            raise LayerError(f"no map at layer {name!r}: {found.refused[name]}")
        if name not in known:
            raise LayerError(unknown("layer", name, known))
    if not wanted:
        raise LayerError("no layer was asked for; name at least one, or pass None for the default stages")
    return wanted


def layer_name(layer: str | Layer) -> str:
    """The name of a layer given by itself or by its name."""
    return layer.name if isinstance(layer, Layer) else layer
