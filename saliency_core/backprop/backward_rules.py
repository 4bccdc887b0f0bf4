"""Modified backpropagation: other backward rules for the functions of a network.

A rule replaces functions while one forward pass runs (see :mod:`saliency_core.backprop.function_modes`),
each by an autograd function with the same result and another backward pass. The "gradient" that capture then
takes at a layer is the rule's signal. Parameters, modules and other threads are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from saliency_core.backprop.function_modes import CONV2D, Function, Replacing

EPSILON = 1e-20

ACTIVATIONS: Mapping[str, str] = {
    "celu": "CELU",
    "clamp": "clamping",
    "clamp_": "clamping",
    "elu": "ELU",
    "gelu": "GELU",
    "glu": "GLU",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "leaky_relu": "LeakyReLU",
    "mish": "Mish",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "scaled_dot_product_attention": "attention",
    "selu": "SELU",
    "sigmoid": "sigmoid",
    "silu": "SiLU",
    "softmax": "softmax",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "tanh",
}
"""Non-linearities for which no rule is defined, by the name of their function."""

NO_SHARE: Mapping[str, str] = {
    "einsum": "a product of tensors",
    "group_norm": "GroupNorm",
    "instance_norm": "InstanceNorm",
    "layer_norm": "LayerNorm",
    "matmul": "a product of tensors",
    "mul": "a product of tensors",
    "__mul__": "a product of tensors",
}
"""Operations through which excitation has no defined share."""


@dataclass
class Pass:
    """What one forward pass under a rule remembers for its way back."""

    linear_calls: int = 0
    negated: bool = False
    """Whether the last linear layer passes back as if its weights were negated."""


@dataclass(frozen=True, eq=False)
class BackwardRule:
    """A backward rule: what it replaces, and what it is not defined for."""

    name: str
    replacements: Mapping[str, Callable[..., Tensor]] = field(repr=False)
    """Function name -> ``replacement(state, func, *args, **kwargs)``."""
    refused: Mapping[str, str] = field(repr=False)
    contrastive: bool = False

    def begin(self) -> tuple[Pass, Replacing]:
        """The state of a new pass, and the context in which its forward pass must run."""
        state = Pass()
        return state, Replacing({name: partial(rule, state) for name, rule in self.replacements.items()})

    def obstacle(self, functions: frozenset[str]) -> str | None:
        """What in a network that calls these functions the rule is not defined for, or None."""
        found = [self.refused[name] for name in sorted(functions) if name in self.refused]
        found += [name for name in sorted(functions) if name.startswith("Hardtanh(")]
        return found[0] if found else None


class _ReluBack(torch.autograd.Function):
    """A (clipped) ReLU whose way back is ``back(signal, where the input was inside)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, high: float | None, back: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        inside = x > 0
        if high is not None:
            inside &= x < high
        ctx.save_for_backward(inside)
        ctx.back = back
        return x.clamp(0, high)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(signals[0], *ctx.saved_tensors), None, None


class _ShareBack(torch.autograd.Function):
    r"""A linear function with the way back of excitation backprop.

    .. math:: p'_j = a_j \sum_i w^+_{ij} p_i / (\sum_k w^+_{ik} a_k + 10^{-20})
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, plain: Callable[[Tensor], Tensor], excite: Callable[[Tensor], Tensor], clip: bool
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.excite, ctx.clip = excite, clip
        return plain(x)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            a = (x.detach().relu() if ctx.clip else x.detach()).requires_grad_()
            z = ctx.excite(a)
            (back,) = torch.autograd.grad(z, a, signals[0] / (z.detach() + EPSILON))
        return a.detach() * back, None, None, None


class _SumBack(torch.autograd.Function):
    """A sum of two tensors that passes the signal back in proportion to its (positive) summands."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a + b

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, Tensor]:
        a, b = (summand.relu() for summand in ctx.saved_tensors)
        unit = signals[0] / (a + b + EPSILON)
        return unit * a, unit * b


class _Unchanged(torch.autograd.Function):
    """Any function, with a way back that leaves the signal as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, plain: Callable[[Tensor], Tensor]) -> Tensor:
        return plain(x)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None]:
        return signals[0], None


def _relu(back: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Callable[..., Tensor]]:
    """Replacements for every name under which networks call a ReLU."""

    def plain(_state: Pass, _func: Function, x: Tensor, *_: object, **__: object) -> Tensor:
        return _back(x, None)

    def six(_state: Pass, _func: Function, x: Tensor, *_: object, **__: object) -> Tensor:
        return _back(x, 6.0)

    def clipped(
        _state: Pass,
        _func: Function,
        x: Tensor,
        min_val: float = 0,
        max_val: float = 6,
        *_: object,
        **__: object,
    ) -> Tensor:
        return _back(x, max_val)

    def _back(x: Tensor, high: float | None) -> Tensor:
        result: Tensor = _ReluBack.apply(x, high, back)
        return result

    return {"relu": plain, "relu_": plain, "relu6": six, "hardtanh": clipped, "hardtanh_": clipped}


def _convolution(state: Pass, func: Function, *args: Any, **kwargs: Any) -> Tensor:
    return _linear_share(state, func, dict(zip(CONV2D, args, strict=False)) | kwargs)


def _linear(state: Pass, func: Function, *args: Any, **kwargs: Any) -> Tensor:
    return _linear_share(state, func, dict(zip(CONV2D[:3], args, strict=False)) | kwargs)


def _linear_share(state: Pass, func: Function, call: dict[str, Any]) -> Tensor:
    x, weight, bias = call.pop("input"), call.pop("weight").detach(), call.pop("bias", None)
    index, state.linear_calls = state.linear_calls, state.linear_calls + 1

    def plain(a: Tensor) -> Tensor:
        result: Tensor = func(a, weight, None if bias is None else bias.detach(), **call)
        return result

    def excite(a: Tensor) -> Tensor:
        last = index == state.linear_calls - 1
        result: Tensor = func(a, (-weight if state.negated and last else weight).relu(), None, **call)
        return result

    # The rule supposes inputs >= 0. Hidden ones that are negative do not excite; the image is taken as it is.
    share: Tensor = _ShareBack.apply(x, plain, excite, index > 0)
    return share


def _pooling(_state: Pass, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    def pool(a: Tensor) -> Tensor:
        result: Tensor = func(a, *args, **kwargs)
        return result

    share: Tensor = _ShareBack.apply(x, pool, pool, True)
    return share


def _mean(state: Pass, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A mean over both spatial dimensions is a global average pooling; another mean is left as it is."""
    dims = kwargs.get("dim", args[0] if args else None)
    if x.ndim == 4 and isinstance(dims, tuple | list) and {d % 4 for d in dims} == {2, 3}:
        return _pooling(state, func, x, *args, **kwargs)
    result: Tensor = func(x, *args, **kwargs)
    return result


def _sum(_state: Pass, func: Function, a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
    """A sum of two feature maps; anything else that is added is left as it is."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and not (args or kwargs):
        return _SumBack.apply(a, b)
    return func(a, b, *args, **kwargs)


def _normalisation(_state: Pass, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    unchanged: Tensor = _Unchanged.apply(x, lambda a: func(a, *args, **kwargs))
    return unchanged


_SUMS = dict.fromkeys(("add", "add_", "__add__", "__iadd__", "__radd__"), _sum)
_EXCITATION: Mapping[str, Callable[..., Tensor]] = {
    **_relu(lambda p, inside: p * inside),
    **_SUMS,
    "conv2d": _convolution,
    "linear": _linear,
    "avg_pool2d": _pooling,
    "adaptive_avg_pool2d": _pooling,
    "mean": _mean,
    "batch_norm": _normalisation,
}

DECONVNET = BackwardRule("deconvnet", _relu(lambda p, _: p.relu()), ACTIVATIONS)
GUIDED = BackwardRule("guided", _relu(lambda p, inside: p.relu() * inside), ACTIVATIONS)
EXCITATION = BackwardRule("excitation", _EXCITATION, {**ACTIVATIONS, **NO_SHARE})
CONTRASTIVE = BackwardRule("contrastive", _EXCITATION, {**ACTIVATIONS, **NO_SHARE}, contrastive=True)
