"""Observe and replace the functions that a network calls, without patching anything.

Modules and plain lines of ``forward`` alike compute through functions such as ``torch.conv2d``, ``relu`` and
``add``. A :class:`torch.overrides.TorchFunctionMode` intercepts these calls inside a ``with`` block and only
on the thread that entered it, so other threads may use the same network at the same time.

A mode sees the outermost call only: what ``F.local_response_norm`` calls in turn is not intercepted. The same
holds for compiled code and for :class:`torch.autograd.Function`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]


class _FunctionMode(TorchFunctionMode, ABC):
    """Passes every function called inside the block to :meth:`_call`, with its name."""

    def __torch_function__(
        self,
        func: Function,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self._call(str(getattr(func, "__name__", func)), func, args, kwargs or {})

    @abstractmethod
    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the function, or something else, and return its result."""


class ConvolutionLog(_FunctionMode):
    """Holds the latest 2-D convolution or linear function: result, and arguments as the layer padded them."""

    def __init__(self) -> None:
        super().__init__()
        self.result: Tensor | None = None
        self.arguments: dict[str, Any] = {}

    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if name in ("conv2d", "linear"):
            # The parameters of a linear function are the first ones of a convolution.
            self.result, self.arguments = result, dict(zip(CONV2D, args, strict=False)) | dict(kwargs)
        return result


class ReplacedFunctions(_FunctionMode):
    """Calls ``replacements[name](func, *args, **kwargs)`` instead of the functions named there."""

    def __init__(self, replacements: Mapping[str, Function]) -> None:
        super().__init__()
        self.replacements = replacements

    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        replacement = self.replacements.get(name)
        if replacement is None:
            return func(*args, **kwargs)
        if not args and "input" in kwargs:
            kwargs = dict(kwargs)
            args = (kwargs.pop("input"),)
        return replacement(func, *args, **kwargs)


FORM_OF_ANOTHER = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as"})
"""Functions that take the dtype or the shape of their second argument, but not its values."""


class NodeNames(ReplacedFunctions):
    """Replaces functions, and records which function created each node of the autograd graph.

    Nodes that no intercepted function created (custom autograd functions, compiled code) stay unnamed.

    Also recorded are the nodes of functions with an argument that depends on the input in a way that autograd
    does not see: a mask ``x > 0``, a detached value. ``x * (x > 0)`` looks linear and is not.
    """

    def __init__(self, replacements: Mapping[str, Function]) -> None:
        super().__init__(replacements)
        self.names: dict[Node, str] = {}
        self.hidden: set[Node] = set()
        """The nodes of functions with such an argument."""
        # By id; the tensors are kept so that no other one takes their id.
        self._unseen: dict[int, Tensor] = {}

    def _call(self, name: str, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        earlier = {node for tensor in tensors_in((args, kwargs)) for node in _nodes(tensor)}
        given = list(tensors_in(() if name.startswith("new_") or name.endswith("_like") else (args, kwargs)))
        if name in FORM_OF_ANOTHER:
            given = given[:1]
        unseen = any(id(tensor) in self._unseen for tensor in given)
        depends = unseen or any(tensor.requires_grad for tensor in given)
        result = super()._call(name, func, args, kwargs)
        if depends:
            self._unseen.update((id(each), each) for each in tensors_in(result) if not each.requires_grad)
        # An in-place function creates nodes for its arguments, and for the tensors that these are views of.
        created = [node for tensor in tensors_in((args, kwargs, result)) for node in _nodes(tensor)]
        while created:
            node = created.pop()
            if node not in earlier and node not in self.names:
                self.names[node] = name
                if unseen:
                    self.hidden.add(node)
                created += [parent for parent, _ in node.next_functions if parent is not None]
        return result


CONV2D = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
"""The parameters of ``torch.conv2d``, in order."""


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors_in(each)


def _nodes(tensor: Tensor) -> list[Node]:
    """The autograd nodes that a tensor, and the tensor it is a view of, come from."""
    related = (tensor, tensor._base)
    return [each.grad_fn for each in related if each is not None and each.grad_fn is not None]
