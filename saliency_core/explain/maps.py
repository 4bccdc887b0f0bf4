"""The maps of several methods at the layers of a pass, and their transfer from the device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saliency_core.backprop.capture import Capture
from saliency_core.errors import NonFiniteError
from saliency_core.explanation import read_only
from saliency_core.methods.gradient import surviving_energy
from saliency_core.methods.method import Domain
from saliency_core.methods.registry import METHODS
from saliency_core.models.devices import without_autocast


@dataclass(frozen=True)
class MapStack:
    """Several methods' maps at one layer."""

    layer: str
    names: list[str]
    maps: Tensor
    """(N, methods, H, W)."""
    energy: Tensor | None = None
    """Share of the gradient energy left after averaging, (N,); for the shared pass alone."""


def map_stacks(captured: Capture, names: list[str], *, with_energy: bool = False) -> list[MapStack]:
    """The maps of these methods at every layer of a pass, where they are defined."""
    stacks: list[MapStack] = []
    methods = [METHODS[name] for name in names]
    device = next(iter(captured.layers.values())).activation.device
    # Autocast is switched off once here instead of in every method: there are hundreds of small maps.
    with torch.inference_mode(), without_autocast(device):
        for layer, pair in captured.layers.items():
            # A copy: the terms that its methods share go with it, and the next layer's take their memory.
            own = replace(pair)
            defined = [
                method
                for method in methods
                if own.convolution is not None or method.domain is not Domain.CONVOLUTIONS
            ]
            maps = [method.compute(own) for method in defined]
            stacks.append(
                MapStack(
                    layer,
                    [method.name for method in defined],
                    torch.stack(maps, dim=1) if maps else own.gradient[:, :0],
                    surviving_energy(own) if with_energy else None,
                )
            )
    return stacks


def to_host(tensors: list[Tensor]) -> list[list[NDArray[np.float32]]]:
    """Everything in one copy from the device: per image of the batch, read-only float32 arrays.

    Tensors (N, …) -> N lists of arrays (…).
    """
    flat = torch.cat([tensor.float().flatten(1) for tensor in tensors], dim=1).cpu().numpy()
    sizes = [tensor[0].numel() for tensor in tensors]
    ends = np.cumsum(sizes)
    # In a batch each image gets its own memory, which is freed with its explanation.
    rows = [read_only(row if len(flat) == 1 else row.copy()) for row in flat]
    return [
        [
            row[end - size : end].reshape(tuple(tensor.shape[1:]))
            for tensor, size, end in zip(tensors, sizes, ends, strict=True)
        ]
        for row in rows
    ]


def check_finite(stack: MapStack, maps: NDArray[np.float32]) -> None:
    """Refuse maps, (methods, H, W), that contain NaN or infinity, with the method's and the layer's name.

    Raises:
        NonFiniteError: there is one.
    """
    if np.isfinite(maps).all():
        return
    bad = next(name for name, values in zip(stack.names, maps, strict=True) if not np.isfinite(values).all())
    raise NonFiniteError(
        f"{METHODS[bad].title} at layer {stack.layer!r} contains NaN or infinity: the network's "
        "activations or gradients overflow there; check its weights and the input"
    )
