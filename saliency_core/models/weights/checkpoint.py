"""Checkpoints: reading the tensors of untrusted files, and putting them into a network."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from saliency_core.errors import WeightsError
from saliency_core.models.weights.inspection import Inspection, RefusedError, Stored, inspect

MAX_BYTES: Final = 2 << 30
"""The largest file that is read as a checkpoint of a user."""
MAX_NAME: Final = 300
"""Characters of a tensor's name; the longest in timm has about a hundred."""

WRAPPERS: Final = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "module", "params"),
)
"""Where training scripts keep the state dict beside their other state. Averaged weights come first, as in
timm: they are the ones that are evaluated."""

Leaf = TypeVar("Leaf", Tensor, Stored)


def read_checkpoint(path: Path, *, max_bytes: int | None = MAX_BYTES) -> dict[str, Tensor]:
    """The state dict of a ``.safetensors`` file or a PyTorch checkpoint, in file order, on the CPU.

    What the file is, its content says, not its name. Nothing in it is executed: a pickle is inspected first
    (:mod:`saliency_core.models.weights.inspection`), then read by PyTorch's restricted unpickler. The state
    dict may lie inside one of :data:`WRAPPERS`, also several. Numbers of half precision, bfloat16 and double
    precision become float32.

    Args:
        path: the file.
        max_bytes: the largest file that is read; None for one whose checksum is known.

    Raises:
        WeightsError: a file that is no checkpoint, that is damaged, too large, or asks for more than tensors,
            or that holds no state dict.
    """
    with _sentences(path.name), path.open("rb") as file:
        found = _inspected(file, max_bytes)
        _state(found.content, Stored, path.name)
        mapped = found.kind == "safetensors"
        content: object
        if mapped:
            content = safetensors.torch.load_file(path)
        elif found.ignored:
            content = _load_ignoring(file, found.ignored)
        else:
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
        state = _state(content, Tensor, path.name)
        return {name: _ordinary(name, tensor, copy=mapped) for name, tensor in state.items()}


def checkpoint_shapes(path: Path, *, max_bytes: int | None = MAX_BYTES) -> dict[str, Tensor]:
    """As :func:`read_checkpoint`, with tensors on the device ``"meta"``: no numbers are read."""
    with _sentences(path.name), path.open("rb") as file:
        state = _state(_inspected(file, max_bytes).content, Stored, path.name)
        return {
            name: _ordinary(name, torch.empty(stored.shape, dtype=stored.dtype, device="meta"))
            for name, stored in state.items()
        }


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
    assign(network, state)


def assign(network: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Make the tensors of a state dict those of the network, as one that this version of it saved."""
    own: Any = network.state_dict()
    saved: Any = OrderedDict(state)
    # Without the versions of its modules, some take a state dict for one of their first version.
    saved._metadata = own._metadata
    network.load_state_dict(saved, strict=strict, assign=True)


def _load_ignoring(file: IO[bytes], names: Collection[str]) -> object:
    """The content of a PyTorch checkpoint, with empty objects for those of the types named."""
    stand_ins: list[Any] = [(_Ignored, name) for name in names]
    file.seek(0)
    # A lock because PyTorch keeps the names that are allowed in one set for all threads.
    with _LOADING, torch.serialization.safe_globals(stand_ins):
        return torch.load(file, map_location="cpu", weights_only=True)


_LOADING = threading.Lock()


class _Ignored:
    """Stands for an object whose own type is neither imported nor built."""

    def __init__(self, *_: object) -> None: ...

    def __new__(cls, *_: object) -> _Ignored:
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None: ...


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    try:
        yield
    except WeightsError:
        raise
    except RefusedError as error:
        raise WeightsError(f"{name} is not a checkpoint that can be read safely: {error}.") from error
    except OSError as error:
        raise WeightsError(f"{name} can't be read: {error.strerror or 'unknown error'}.") from error
    except Exception as error:  # a parser of foreign bytes: any error means that it cannot read them
        raise WeightsError(
            f"{name} is not a checkpoint that can be read safely: it is damaged or incomplete, or not what "
            "torch.save or safetensors wrote."
        ) from error


def _inspected(file: IO[bytes], max_bytes: int | None) -> Inspection:
    size = file.seek(0, 2)
    if max_bytes is not None and size > max_bytes:
        raise RefusedError(f"it has {size / 1e9:.1f} GB; at most {max_bytes / 1e9:.1f} GB are read")
    return inspect(file)


def _state(content: object, leaf: type[Leaf], name: str, depth: int = 3) -> dict[str, Leaf]:
    """The state dict, which may lie inside others."""
    inner = _inner(content, leaf, depth)
    if inner is None:
        raise WeightsError(f"{name} holds no state dict (names with tensors).")
    # They are shown in sentences; those of networks are words with dots.
    if not all(each.isprintable() and len(each) <= MAX_NAME for each in inner):
        raise RefusedError("it has tensors with names that are too long, or have characters without a shape")
    return inner


def _inner(content: object, leaf: type[Leaf], depth: int) -> dict[str, Leaf] | None:
    if not isinstance(content, Mapping):
        return None
    if depth:
        mappings = {key: value for key, value in content.items() if isinstance(value, Mapping) and value}
        known = [mappings[wrapper] for wrapper in WRAPPERS if wrapper in mappings]
        for inside in known or (mappings.values() if len(mappings) == 1 else ()):
            found = _inner(inside, leaf, depth - 1)
            if found is not None:
                return found
    tensors = {key: value for key, value in content.items() if isinstance(value, leaf)}
    if not tensors or not all(isinstance(key, str) for key in content):
        return None
    return tensors


def _ordinary(name: str, tensor: Tensor, *, copy: bool = False) -> Tensor:
    """A dense tensor of its own: float32, or of whole numbers.

    It is copied where it is a part of a larger storage, which would stay in memory with it, or of the file.
    """
    if tensor.is_complex() or tensor.is_quantized or tensor.layout is not torch.strided:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise RefusedError(f"{name} holds {kind} numbers; expected ordinary real ones")
    made = tensor.detach().to(torch.float32 if tensor.is_floating_point() else tensor.dtype)
    if made.is_meta or made.dtype != tensor.dtype:
        return made
    whole = made.untyped_storage().nbytes() == made.numel() * made.itemsize
    return made.contiguous() if whole and not copy else made.clone(memory_format=torch.contiguous_format)
