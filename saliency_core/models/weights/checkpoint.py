"""Checkpoints: reading them without executing anything, and putting them into a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from saliency_core.errors import WeightsError


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file or a PyTorch checkpoint, in file order, on the CPU.

    PyTorch files are read by its restricted unpickler, which builds tensors and plain containers and
    executes nothing.

    Raises:
        WeightsError: a file that is not a checkpoint, or that holds no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser of foreign bytes: any error means that it cannot read them
        raise WeightsError(
            f"{path.name} is not a checkpoint that can be read safely; expected a state dict that torch.save "
            "or safetensors wrote"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise WeightsError(f"{path.name} holds no state dict (names with tensors)")
    return dict(state)


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, by_position: bool = False) -> None:
    """Put a state dict into a network built on the meta device, without initialising it first.

    ``by_position`` maps names in order, for checkpoints of the same network under other names; every
    shape is checked either way. Raises ``WeightsError`` naming the first mismatch.
    """
    wanted = network.state_dict()
    if by_position:
        if len(state) != len(wanted):
            raise WeightsError(f"the checkpoint has {len(state)} tensors; the network needs {len(wanted)}")
        state = dict(zip(wanted, state.values(), strict=True))
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or extra:
        names = ", ".join((missing or extra)[:3])
        raise WeightsError(f"the checkpoint does not fit: it {'lacks' if missing else 'also has'} {names}")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(tensor.shape)}"
            raise WeightsError(f"the checkpoint does not fit: {name} has shape {shapes}")
        if state[name].is_floating_point() != tensor.is_floating_point():
            dtypes = f"{state[name].dtype}, not {tensor.dtype}"
            raise WeightsError(f"the checkpoint does not fit: {name} has dtype {dtypes}")
    network.load_state_dict(state, assign=True)
