"""The backward passes of the backward rules, and the functions that they replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from saliency_core.backprop.function_modes import Function

EPSILON = 1e-20


@dataclass
class RuleState:
    """What one forward pass under a rule records for its backward pass."""

    linear_calls: int = 0
    """Convolutions and fully connected layers so far."""
    last_linear: Node | None = None
    """The autograd node of the last one; None if no gradient flows back from it."""
    negated: bool = False
    """Whether the last one passes the signal back as if its weights were negated."""

    @property
    def contrast(self) -> GradientEdge | None:
        """Where the classes are contrasted: the input of the last linear layer."""
        node, number = (None, 0) if self.last_linear is None else self.last_linear.next_functions[0]
        return None if node is None else GradientEdge(node, number)


Replacement = Callable[..., Any]
"""``replacement(state, func, *args, **kwargs)``: computes ``func`` with another backward pass."""


# --- Backward passes ----------------------------------------------------------------------------------------


class _ReluSignal(torch.autograd.Function):
    """A (clipped) ReLU whose backward pass is ``backward(signal, where the input was not clipped)``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        func: Callable[[Tensor], Tensor],
        high: float | None,
        backward: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        inside = x > 0
        if high is not None:
            inside &= x < high
        ctx.save_for_backward(inside)
        ctx.rule = backward
        return _computed(ctx, func, x)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.rule(signals[0], *ctx.saved_tensors), None, None, None


class _LinearSignal(torch.autograd.Function):
    r"""A linear function with the backward pass of excitation backprop.

    .. math:: p'_j = a_j \sum_i w^+_{ij} p_i / (\sum_k w^+_{ik} a_k + 10^{-20})

    ``positive`` is the function with the weights :math:`w^+` and without bias.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        func: Callable[[Tensor], Tensor],
        positive: Callable[[Tensor], Tensor],
        clip: bool,
    ) -> Tensor:
        # A copy, so that the network may change x in place afterwards.
        ctx.save_for_backward(x.relu() if clip else x.clone())
        ctx.positive = positive
        return _computed(ctx, func, x)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None, None, None]:
        (signal,) = signals
        with torch.enable_grad():
            a = _wide(ctx.saved_tensors[0]).detach().requires_grad_()
            z = ctx.positive(a)
            (shares,) = torch.autograd.grad(z, a, _wide(signal) / (z.detach() + EPSILON))
        return (a.detach() * shares).to(signal.dtype), None, None, None


class _SumSignal(torch.autograd.Function):
    """A sum of two tensors that divides the signal in proportion to the positive parts of its summands."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, func: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(a.relu(), b.relu())
        return _computed(ctx, lambda first: func(first, b), a)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b, signal = (_wide(each) for each in (*ctx.saved_tensors, *signals))
        unit = signal / (a + b + EPSILON)
        return (unit * a).to(signals[0].dtype), (unit * b).to(signals[0].dtype), None


class _UnchangedSignal(torch.autograd.Function):
    """Any function of one tensor, with a backward pass that leaves the signal as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, func: Callable[[Tensor], Tensor]) -> Tensor:
        return _computed(ctx, func, x)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None]:
        return signals[0], None


def _wide(x: Tensor) -> Tensor:
    """At least float32: half precision has no number as small as ``EPSILON``."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _apply(
    function: type[torch.autograd.Function], x: Tensor, func: Callable[[Tensor], Tensor], *rest: Any
) -> Any:
    """``func(x)``, with the other backward pass where there is one at all."""
    return function.apply(x, func, *rest) if x.requires_grad else func(x)


def _computed(ctx: Any, func: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``func(x)``; autograd is informed if that changed ``x`` in place."""
    result = func(x)
    if result is x:
        ctx.mark_dirty(x)
    return result


# --- Replacements -------------------------------------------------------------------------------------------


def _relus(backward: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Replacement]:
    """Replacements for every function that is a ReLU, with this backward pass."""

    def relu(_state: RuleState, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return _apply(_ReluSignal, x, lambda a: func(a, *args, **kwargs), None, backward)

    def relu6(_state: RuleState, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return _apply(_ReluSignal, x, lambda a: func(a, *args, **kwargs), 6.0, backward)

    def hardtanh(_state: RuleState, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        low, high = (*args[:2], -1.0, 1.0)[:2] if len(args) != 1 else (args[0], 1.0)
        if kwargs.get("min_val", low) != 0:
            return func(x, *args, **kwargs)  # no ReLU: its autograd node is not accepted
        high = kwargs.get("max_val", high)
        return _apply(_ReluSignal, x, lambda a: func(a, *args, **kwargs), high, backward)

    return {"relu": relu, "relu_": relu, "relu6": relu6, "hardtanh": hardtanh, "hardtanh_": hardtanh}


def _weighted(state: RuleState, func: Function, x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Excitation through a convolution or a fully connected layer."""
    weight = weight.detach()
    bias = args[0] if args else kwargs.pop("bias", None)
    rest = args[1:]
    state.linear_calls += 1
    index = state.linear_calls

    def plain(a: Tensor) -> Tensor:
        result: Tensor = func(a, weight, bias, *rest, **kwargs)
        return result

    def positive(a: Tensor) -> Tensor:
        negated = state.negated and index == state.linear_calls
        result: Tensor = func(a, (-weight if negated else weight).relu().to(a.dtype), None, *rest, **kwargs)
        return result

    # The rule assumes inputs >= 0. Negative hidden ones do not excite; the image itself is not clipped.
    result: Tensor = _apply(_LinearSignal, x, plain, positive, index > 1)
    state.last_linear = result.grad_fn
    return result


def _average(state: RuleState, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Excitation through a mean, a sum over dimensions or an average pooling: all weights are equal."""

    def average(a: Tensor) -> Tensor:
        result: Tensor = func(a, *args, **kwargs)
        return result

    return _apply(_LinearSignal, x, average, average, state.linear_calls > 0)


def _scaling(_state: RuleState, func: Function, x: Any, factor: Any, *args: Any, **kwargs: Any) -> Any:
    """Excitation through a multiplication or division by a positive number: the only input gets all."""
    if isinstance(x, Tensor) and isinstance(factor, int | float) and factor > 0:
        return _apply(_UnchangedSignal, x, lambda a: func(a, factor, *args, **kwargs))
    return func(x, factor, *args, **kwargs)


def _sum(_state: RuleState, func: Function, a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
    """Excitation through a sum of two feature maps."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and not (args or kwargs):
        return _SumSignal.apply(a, b, func)
    return func(a, b, *args, **kwargs)


TRAINING = 5
"""The position of ``training`` among the arguments of ``batch_norm``."""


def _batch_norm(_state: RuleState, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Excitation through a BatchNorm with fixed statistics."""
    if kwargs.get("training", args[TRAINING - 1] if len(args) >= TRAINING else False):
        return func(x, *args, **kwargs)
    return _apply(_UnchangedSignal, x, lambda a: func(a, *args, **kwargs))


_EXCITATION: Mapping[str, Replacement] = {
    **_relus(lambda p, inside: p * inside),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear"), _weighted),
    **dict.fromkeys((f"avg_pool{d}d" for d in (1, 2, 3)), _average),
    **dict.fromkeys((f"adaptive_avg_pool{d}d" for d in (1, 2, 3)), _average),
    **dict.fromkeys(("mean", "sum"), _average),
    **dict.fromkeys(("mul", "mul_", "multiply", "multiply_"), _scaling),
    **dict.fromkeys(("div", "div_", "divide", "divide_", "true_divide", "true_divide_"), _scaling),
    **dict.fromkeys(("add", "add_", "__add__", "__iadd__", "__radd__"), _sum),
    "batch_norm": _batch_norm,
}


# --- What each rule replaces --------------------------------------------------------------------------------


@cache
def deconvnet() -> Mapping[str, Replacement]:
    """ReLUs that pass on the positive part of the signal."""
    return _relus(lambda p, _: p.relu())


@cache
def guided() -> Mapping[str, Replacement]:
    """ReLUs that pass on the positive part of the signal where their input was positive."""
    return _relus(lambda p, inside: p.relu() * inside)


def excitation() -> Mapping[str, Replacement]:
    """Everything through which probabilities of winning are shared out."""
    return _EXCITATION
