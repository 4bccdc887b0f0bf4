"""Watching and replacing the functions a network calls, for one context only: nothing is patched.

A network's arithmetic goes through functions (``torch.conv2d``, ``relu``, ``add``) whether a module or a
line of ``forward`` calls them. :class:`torch.overrides.TorchFunctionMode` sees each call inside a ``with``
block and on this thread alone, so another session that uses the same network at the same time is not
concerned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]


class _Mode(TorchFunctionMode, ABC):
    """Sees every function called inside the block, under its name."""

    def __torch_function__(
        self,
        func: Function,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        return self._call(_name(func, args, named), func, args, named)

    @abstractmethod
    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the function, or something else, and return its result."""


class FunctionLog(_Mode):
    """Notes the name of every function called inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self.names.add(name)
        return func(*args, **kwargs)


class ConvolutionLog(_Mode):
    """Keeps the newest 2-D convolution: what really went in, after any padding a layer did itself."""

    def __init__(self) -> None:
        super().__init__()
        self.result: Tensor | None = None
        self.arguments: dict[str, Any] = {}

    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if name == "conv2d":
            self.result, self.arguments = result, _conv2d(args, kwargs)
        return result


class Replacing(_Mode):
    """Calls ``replacements[name](func, *args, **kwargs)`` in the place of the functions it names."""

    def __init__(self, replacements: Mapping[str, Function]) -> None:
        super().__init__()
        self.replacements = replacements

    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        replacement = self.replacements.get(name)
        return func(*args, **kwargs) if replacement is None else replacement(func, *args, **kwargs)


CONV2D = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def _conv2d(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name."""
    return dict(zip(CONV2D, args, strict=False)) | dict(kwargs)


def _name(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The function's own name; a ``hardtanh`` that is no clipped ReLU is called after its bounds."""
    name = str(getattr(func, "__name__", func))
    if name in ("hardtanh", "hardtanh_"):
        low = kwargs.get("min_val", args[1] if len(args) > 1 else -1.0)
        high = kwargs.get("max_val", args[2] if len(args) > 2 else 1.0)
        return "hardtanh" if low == 0 else f"Hardtanh({low:g}, {high:g})"
    return name
