"""The only module with hooks: one forward hook per layer, silent unless a recording is active.

Hooks are attached once. They report to the recording that is active in the current context
(:mod:`contextvars`), so threads that share one network never see each other's tensors, and nothing
has to be removed afterwards, also when a call raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Visit = Callable[[str, tuple[object, ...], object], Tensor | None]
"""Called with a layer's name, its positional inputs and its output; a tensor that it returns replaces
the output. Of a tuple that starts with a tensor, such as an output with its attention matrix, that tensor
counts as the output."""

_ACTIVE: ContextVar[tuple[LayerHooks, Visit] | None] = ContextVar("active recording", default=None)


def can_be_recorded(module: nn.Module) -> bool:
    """Whether the module takes hooks; traced and scripted programs do not."""
    return not isinstance(module, torch.jit.ScriptModule)


class LayerHooks:
    """The hooks on the layers of a network. A copy of the network that keeps its hooks is recorded alike.

    ``visit`` is called in the order in which the layers finish, within the ``with`` block and the
    context that opened it only.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._handles: dict[str, RemovableHandle] = {
            name: module.register_forward_hook(self._hook(name))
            for name, module in modules.items()
            if can_be_recorded(module)
        }

    def keep(self, names: Iterable[str]) -> None:
        """Remove the hooks of all other layers: each costs a call of its module a little."""
        for name in self._handles.keys() - set(names):
            self._handles.pop(name).remove()

    def remove_from(self, modules: Mapping[str, nn.Module]) -> None:
        """Remove what a deep copy of the network kept of these hooks; ``modules`` are the copy's layers."""
        for name, handle in self._handles.items():
            modules[name]._forward_hooks.pop(handle.id, None)

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[object, ...], object], object]:
        def hook(_module: nn.Module, inputs: tuple[object, ...], output: object) -> object:
            active = _ACTIVE.get()
            if not active or active[0] is not self:
                return None
            if type(output) is not tuple or not output or not isinstance(output[0], Tensor):
                return active[1](name, inputs, output)
            replaced = active[1](name, inputs, output[0])
            return None if replaced is None else (replaced, *output[1:])

        return hook

    @contextlib.contextmanager
    def recording(self, visit: Visit) -> Iterator[None]:
        """Call ``visit`` for every layer that runs inside the block."""
        token = _ACTIVE.set((self, visit))
        try:
            yield
        finally:
            _ACTIVE.reset(token)
