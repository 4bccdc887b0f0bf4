"""A copy of a network's modules that shares the network's tensors."""

from __future__ import annotations

import copy
import functools
import types
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_ATOMS = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
)


def copy_module_tree(
    module: nn.Module, parameters: Mapping[nn.Parameter, nn.Parameter] | None = None
) -> nn.Module:
    """A copy of the module tree whose parameters and buffers are the very tensors of ``module``.

    Modules and the containers they keep are copied, so modes and hooks of the copy are its own; tensors that
    a module stores (an output, a weight computed by ``weight_norm`` or pruning) are shared until it
    stores others. An attribute that cannot be copied, such as a lock, is shared. A module that
    ``torch.compile`` wrapped is replaced by the original, since compiled code does not call hooks.

    Args:
        module: any module; it is not changed.
        parameters: takes the place of some parameters: old -> new.
    """
    return _Copier(parameters or {}).module(module)


class _Copier:
    def __init__(self, parameters: Mapping[nn.Parameter, nn.Parameter]) -> None:
        self._known: dict[int, Any] = {id(old): new for old, new in parameters.items()}

    def module(self, module: nn.Module) -> nn.Module:
        module = _uncompiled(module)
        if id(module) not in self._known:
            # All are created before any attribute is copied, which may refer to any of them.
            created = [each for each in module.modules() if id(each) not in self._known]
            for each in created:
                self._known[id(each)] = _create(each)
            for each in created:
                if not _is_foreign(each):
                    self._fill(each)
        copied: nn.Module = self._known[id(module)]
        return copied

    def _fill(self, module: nn.Module) -> None:
        attributes = {name: self._copied(value) for name, value in module.__dict__.items()}
        if "_compiled_call_impl" in attributes:
            attributes["_compiled_call_impl"] = None
        self._known[id(module)].__dict__.update(attributes)

    def _copied(self, value: Any) -> Any:
        if isinstance(value, _ATOMS):
            return value
        if isinstance(value, nn.Module):
            return self.module(value)
        if id(value) in self._known or isinstance(value, Tensor):
            return self._known.get(id(value), value)
        if type(value) in (dict, OrderedDict):
            mapping = self._known[id(value)] = type(value)()
            mapping.update((key, self._copied(each)) for key, each in value.items())
            return mapping
        if type(value) in (list, deque):
            series = self._known[id(value)] = type(value)()
            series.extend(self._copied(each) for each in value)
            return series
        if type(value) in (tuple, set, frozenset):
            return type(value)(self._copied(each) for each in value)
        if isinstance(value, types.MethodType):
            return types.MethodType(value.__func__, self._copied(value.__self__))
        if type(value) is functools.partial:
            named = {name: self._copied(each) for name, each in value.keywords.items()}
            return functools.partial(self._copied(value.func), *map(self._copied, value.args), **named)
        return self._deep_copied(value)

    def _deep_copied(self, value: Any) -> Any:
        known = dict(self._known)  # an attempt that fails leaves half of its objects behind
        try:
            result = copy.deepcopy(value, known)
        except Exception:  # what an object raises when it cannot be copied is its own choice
            result = value
        else:
            self._known = known
        self._known[id(value)] = result
        return result


def _create(module: nn.Module) -> nn.Module:
    """The copy before it has attributes."""
    if isinstance(module, torch.jit.ScriptModule):
        return copy.deepcopy(module)
    created: nn.Module = object.__new__(type(module))
    return created


def _is_foreign(module: nn.Module) -> bool:
    """Whether the copy needs no attributes: its state is not in Python, or it is not used."""
    return isinstance(module, torch.jit.ScriptModule) or _uncompiled(module) is not module


def _uncompiled(module: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` wrapped; known by name, as importing its class takes seconds."""
    while type(module).__name__ == "OptimizedModule" and isinstance(
        inner := module._modules.get("_orig_mod"), nn.Module
    ):
        module = inner
    return module
