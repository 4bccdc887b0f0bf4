"""A copy of a network's modules that shares the network's tensors."""

from __future__ import annotations

import contextlib
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
    types.BuiltinFunctionType,
)


def copy_module_tree(
    module: nn.Module, parameters: Mapping[nn.Parameter, nn.Parameter] | None = None
) -> nn.Module:
    """A copy of the module tree whose parameters and buffers are the very tensors of ``module``.

    Modules and the containers they keep are copied, so modes and hooks of the copy are its own; tensors that
    a module stores (an output, a weight computed by ``weight_norm`` or pruning) are shared until it
    stores others. Functions that a module keeps, such as a ``forward`` put around its own, are copied where
    their closure holds modules. An attribute that cannot be copied, such as a lock, is shared. A module that
    ``torch.compile`` wrapped is replaced by the original, since compiled code does not call hooks.

    Args:
        module: any module; it is not changed.
        parameters: replacements for some parameters: old -> new.
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
                self._known[id(each)] = self._created(each)
            for each in created:
                if not _is_foreign(each):
                    self._fill(each)
        copied: nn.Module = self._known[id(module)]
        return copied

    def _created(self, module: nn.Module) -> nn.Module:
        """The copy before it has attributes; of a compiled program, all of it."""
        if not isinstance(module, torch.jit.ScriptModule):
            created: nn.Module = object.__new__(type(module))
            return created
        with torch.no_grad():  # its copy's tensors would belong to a graph
            program = copy.deepcopy(module)
        for own, shared in zip(program.modules(), module.modules(), strict=True):
            for name, tensor in (
                *shared.named_parameters(recurse=False),
                *shared.named_buffers(recurse=False),
            ):
                setattr(own, name, self._known.get(id(tensor), tensor))
        return program

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
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if type(value) is functools.partial:
            named = {name: self._copied(each) for name, each in value.keywords.items()}
            return functools.partial(self._copied(value.func), *map(self._copied, value.args), **named)
        return self._deep_copied(value)

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        """The function; a copy of it where its closure or its defaults hold modules of the tree.

        A layer whose ``forward`` was replaced by a function around the original would otherwise run the
        original's modules, in their mode and without hooks.
        """
        if id(function) in self._known:
            known: types.FunctionType = self._known[id(function)]
            return known
        cells = function.__closure__ or ()
        if not _holds_module(function, set()):
            return function
        copied = types.FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            tuple(types.CellType() for _ in cells),
        )
        copied.__qualname__, copied.__doc__ = function.__qualname__, function.__doc__
        self._known[id(function)] = copied
        for cell, own in zip(cells, copied.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell: its variable has no value yet
                own.cell_contents = self._copied(cell.cell_contents)
        copied.__dict__.update(self._copied(function.__dict__))
        copied.__defaults__ = self._copied(function.__defaults__)
        copied.__kwdefaults__ = self._copied(function.__kwdefaults__)
        return copied

    def _deep_copied(self, value: Any) -> Any:
        known = dict(self._known)  # an attempt that fails leaves half of its objects behind
        try:
            result = copy.deepcopy(value, known)
        except Exception:  # an object that cannot be copied may raise anything
            result = value
        else:
            self._known = known
        self._known[id(value)] = result
        return result


def _holds_module(value: Any, seen: set[int]) -> bool:
    """Whether a function reaches a module through its closure or its defaults."""
    if isinstance(value, nn.Module):
        return True
    if id(value) in seen:
        return False
    seen.add(id(value))
    inner: list[Any] = []
    if isinstance(value, types.FunctionType):
        inner = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        for cell in value.__closure__ or ():
            with contextlib.suppress(ValueError):
                inner.append(cell.cell_contents)
    elif isinstance(value, types.MethodType):
        inner = [value.__self__]
    elif type(value) is functools.partial:
        inner = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, list | tuple):
        inner = list(value)
    elif isinstance(value, dict):
        inner = list(value.values())
    return any(_holds_module(each, seen) for each in inner)


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
