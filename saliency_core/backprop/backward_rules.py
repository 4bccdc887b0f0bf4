r"""Modified backpropagation: deconvnet, guided backpropagation and excitation backpropagation.

A rule replaces some functions of the network during one forward pass (see
:mod:`saliency_core.backprop.function_modes`). Each replacement computes the same result, in place where the
original does, and differs in its backward pass only. The "gradient" that a capture then takes at a layer is
the rule's signal :math:`p`. Parameters, modules and other threads are not affected.

=====================  ====================================================================================
deconvnet              ReLU: :math:`p \mapsto p^+`
guided                 ReLU: :math:`p \mapsto p^+ \, [x > 0]`
excitation             ReLU: :math:`p \mapsto p \, [x > 0]`; linear functions with weights :math:`w` and input
                       :math:`a`: :math:`p'_j = a_j \sum_i w^+_{ij} p_i / (\sum_k w^+_{ik} a_k + 10^{-20})`,
                       biases ignored; BatchNorm: :math:`p \mapsto p`; a sum shares :math:`p` in proportion to
                       its positive summands
contrastive            excitation of the class minus excitation with the last linear layer's weights negated
=====================  ====================================================================================

A clipped ReLU (ReLU6, ``Hardtanh(0, b)``) also stops the signal where it is clipped, except in deconvnet.

Everything else that the signal passes through must be on the rule's allow-list: functions whose ordinary
backward pass agrees with the rule. For deconvnet and guided backpropagation that is every linear function
of the feature maps (convolutions, pooling, BatchNorm with fixed statistics, sums, differences, scaling by a
constant, interpolation) and the maximum over locations. For excitation it is whatever only moves, copies or
selects values. :func:`obstacle` runs the network once and names the first function that is neither.

Sources: Zeiler, Fergus, ECCV 2014 (deconvnet); Springenberg et al., ICLR workshop 2015 (guided); Zhang et
al., ECCV 2016 (excitation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, disable_saved_tensors_hooks

from saliency_core.backprop.function_modes import Function, NodeNames, ReplacedFunctions
from saliency_core.backprop.variants import own_parameters
from saliency_core.errors import UnavailableError
from saliency_core.models.classifier import Classifier
from saliency_core.models.running import logits_of
from saliency_core.models.targets import Goal, MostLikelyOf

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


@dataclass(frozen=True, eq=False)
class BackwardRule:
    """A backward rule: the functions it replaces, and those whose ordinary backward pass it accepts."""

    name: str
    replacements: Mapping[str, Replacement] = field(repr=False)
    """By name of the function."""
    accepted: Mapping[str, int] = field(repr=False)
    """Autograd node -> the largest number of its arguments that may depend on the image."""
    contrastive: bool = False
    """Whether the class is contrasted with the others at the input of the last linear layer."""
    needs_class: bool = False
    """Whether the signal starts as the probability 1 of a class, and so not from a function of the scores."""

    def active(self, state: RuleState) -> ReplacedFunctions:
        """The context in which a forward pass follows the rule."""
        return ReplacedFunctions(self.bound(state))

    def bound(self, state: RuleState) -> dict[str, Function]:
        """The replacements, for one forward pass."""
        return {name: partial(replacement, state) for name, replacement in self.replacements.items()}


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

# --- Allow-lists --------------------------------------------------------------------------------------------

ANY = 1_000_000


def _nodes(names: str, arguments: int) -> dict[str, int]:
    return {f"{name}Backward": arguments for name in names.split()}


_REPLACED = _nodes("_ReluSignal _LinearSignal _UnchangedSignal", 1)
_MOVES = _nodes(
    "Alias AsStrided Cat ChannelShuffle Clone ConstantPadNd Diagonal Expand Flip Gather "
    "Im2Col Index IndexSelect Permute PixelShuffle PixelUnshuffle ReflectionPad1D ReflectionPad2D Repeat "
    "ReplicationPad1D ReplicationPad2D ReshapeAlias Roll Select Slice Split SplitWithSizes Squeeze Stack T "
    "ToCopy Transpose Unbind Unfold UnsafeSplit UnsafeView Unsqueeze View",
    ANY,
) | dict.fromkeys(("CopyBackwards", "CopySlices"), ANY)
"""Values are moved, copied or selected."""
_MAXIMA = _nodes("AdaptiveMaxPool2D AdaptiveMaxPool3D Amax Max MaxPool2DWithIndices MaxPool3DWithIndices", 1)
_LINEAR = _nodes("Add Sub Rsub Neg", ANY) | _nodes(
    "AdaptiveAvgPool2D AdaptiveAvgPool3D Addmm AvgPool2D AvgPool3D Baddbmm Bmm Convolution CudnnBatchNorm "
    "Div Mean MiopenBatchNorm Mm Mul Mv NativeBatchNorm Sum UpsampleBicubic2D UpsampleBilinear2D "
    "UpsampleNearest1D UpsampleNearest2D",
    1,
)
_RELU_RULE = _REPLACED | _MOVES | _MAXIMA | _LINEAR
_EXCITATION_RULE = (
    _REPLACED
    | _MOVES
    | _MAXIMA
    | _nodes("_SumSignal", 2)
    # A constant that is added or subtracted is a bias: ignored.
    | _nodes("Add Sub", 1)
)

DECONVNET = BackwardRule("deconvnet", _relus(lambda p, _: p.relu()), _RELU_RULE)
GUIDED = BackwardRule("guided", _relus(lambda p, inside: p.relu() * inside), _RELU_RULE)
EXCITATION = BackwardRule("excitation", _EXCITATION, _EXCITATION_RULE, needs_class=True)
CONTRASTIVE = BackwardRule("contrastive", _EXCITATION, _EXCITATION_RULE, contrastive=True, needs_class=True)

WRITES = frozenset({"__setitem__", "copy_", "fill_", "pad", "zero_"})
"""Functions that may change a part of a tensor in place."""

# --- Is a rule defined for a network? -----------------------------------------------------------------------

WORDS: Mapping[str, str] = {
    "add": "a sum that is not of two feature maps of the same shape",
    "addcmul": "a product of tensors",
    "batch_norm": "BatchNorm with the statistics of the batch",
    "celu": "CELU",
    "clamp": "clamp",
    "conv_transpose1d": "a transposed convolution",
    "conv_transpose2d": "a transposed convolution",
    "conv_transpose3d": "a transposed convolution",
    "div": "a quotient of tensors",
    "einsum": "a product of tensors",
    "elu": "ELU",
    "gelu": "GELU",
    "glu": "GLU",
    "group_norm": "GroupNorm",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "hardtanh": "Hardtanh with a lower bound other than 0",
    "instance_norm": "InstanceNorm",
    "layer_norm": "LayerNorm",
    "leaky_relu": "LeakyReLU",
    "local_response_norm": "local response normalisation (LRN)",
    "log_sigmoid": "LogSigmoid",
    "matmul": "a product of tensors",
    "mish": "Mish",
    "mul": "a product of tensors",
    "multi_head_attention_forward": "MultiheadAttention",
    "normalize": "L2 normalisation",
    "prelu": "PReLU",
    "relu": "a ReLU of an unusual form",
    "rms_norm": "RMSNorm",
    "rrelu": "RReLU",
    "rsub": "a difference of tensors",
    "scaled_dot_product_attention": "attention",
    "selu": "SELU",
    "silu": "SiLU",
    "softmax": "softmax",
    "softplus": "Softplus",
    "softshrink": "Softshrink",
    "softsign": "Softsign",
    "sub": "a difference of tensors",
    "threshold": "Threshold",
}
"""The usual name of a function, by its name without underscores; others keep their name."""

OUT_OF_REACH = frozenset({"Relu", "Hardtanh"})
RECOMPUTED = "activation checkpointing, which runs layers again without the rule; switch it off"


@dataclass(frozen=True)
class _DryPass:
    """What one pass on noise under a rule shows about a network."""

    obstacle: str | None
    contrast_obstacle: str | None
    after_contrast: frozenset[str]
    """Layers that the last linear layer, or one behind it, computes."""


def obstacle(classifier: Classifier, rule: BackwardRule, layer: str | None = None) -> str | None:
    """Why a rule is not defined for a network (at one of its layers, if named): a sentence, or None.

    Found in one forward pass of ``classifier.example``, and kept in ``classifier.cache``. It is not defined
    where the signal would pass through a function that is neither replaced nor on the rule's allow-list.
    """
    key = f"backward rule: {' '.join(sorted(rule.replacements))}"
    found: _DryPass | None = classifier.cache.get(key)
    if found is None:
        found = classifier.cache[key] = _dry_pass(classifier, rule)
    if found.obstacle is not None or not rule.contrastive:
        return found.obstacle
    names = classifier.default_layers if layer is None else (layer,)
    if found.contrast_obstacle is None and found.after_contrast.issuperset(names):
        which = "None of the default layers is" if layer is None else f"Layer {layer!r} is not"
        return f"{which} in front of the last linear layer, where the classes are contrasted."
    return found.contrast_obstacle


def class_needed(rule: BackwardRule | None, goals: Iterable[Goal]) -> str | None:
    """Why a rule cannot explain these, as a sentence; None where it can."""
    functions = [goal for goal in goals if callable(goal) and not isinstance(goal, MostLikelyOf)]
    if rule is None or not rule.needs_class or not functions:
        return None
    return "Its signal starts as the probability of one class; pass a class instead of a function as target."


def check_scores(scores: Tensor, plain: Tensor, when: str) -> None:
    """Compare the class scores under a rule, or another change, with the network's own, up to rounding.

    Args:
        scores: (N, classes).
        plain: those of the network itself, of the same shape.
        when: the circumstance in which the others were found, for the message.

    Raises:
        UnavailableError: they differ, so the maps would be those of another network.
    """
    largest = plain.abs().max()
    difference = (scores.detach() - plain).abs().max()
    if not difference <= torch.finfo(scores.dtype).eps ** 0.5 * largest:
        raise UnavailableError(
            f"the class scores change by {float(difference / largest):.1g} of the largest one {when}, so the "
            "maps would be of another network; choose another method"
        )


def _dry_pass(classifier: Classifier, rule: BackwardRule) -> _DryPass:
    state = RuleState()
    calls: dict[str, int] = {}
    spatial = {layer.name for layer in classifier.layers}

    def visit(name: str, _inputs: tuple[object, ...], output: object) -> Tensor | None:
        calls[name] = state.linear_calls
        if name not in spatial or not isinstance(output, Tensor) or output.requires_grad:
            return None
        return output.detach().requires_grad_().clone()  # as a capture does behind frozen layers

    # Parameters without gradients: what requires one depends on the image.
    with own_parameters(classifier) as network, torch.inference_mode(False), torch.enable_grad():
        image = classifier.example.detach().clone().requires_grad_()
        mode = NodeNames(rule.bound(state))
        try:
            with disable_saved_tensors_hooks(RECOMPUTED), classifier.hooks.recording(visit), mode:
                scores = cast(Tensor, logits_of(network(image.clone())))
        except RuntimeError as error:
            reason = RECOMPUTED if RECOMPUTED in str(error) else f"code that fails under the rule ({error})"
            return _DryPass(f"This network uses {reason}.", None, frozenset())
    unknown = [node for node in _graph(scores) if not _accepts(rule, node, mode)]
    contrast = None
    if state.last_linear is None:
        contrast = "This network has no linear layer at which the classes could be contrasted."
    elif any(type(node).__name__ == "AccumulateGrad" for node in _graph(scores, state.last_linear)):
        contrast = "The class scores of this network do not all come from its last linear layer."
    return _DryPass(
        # The one nearest to the image, which comes first in the network.
        f"This network uses {_words(unknown[-1], mode.names)}." if unknown else None,
        contrast,
        frozenset(name for name, count in calls.items() if count == state.linear_calls),
    )


def _graph(scores: Tensor, end: Node | None = None) -> Iterator[Node]:
    """The nodes of the autograd graph, from the scores backwards, nearest first; none beyond ``end``."""
    found = dict.fromkeys([] if scores.grad_fn is None else [scores.grad_fn])
    queue = list(found)
    for node in queue:
        yield node
        if node is not end:
            new = [parent for parent, _ in node.next_functions if parent is not None and parent not in found]
            found |= dict.fromkeys(new)
            queue += dict.fromkeys(new)


def _accepts(rule: BackwardRule, node: Node, mode: NodeNames) -> bool:
    """Whether the rule covers this node, and autograd everything that it depends on."""
    kind, function = type(node).__name__, mode.names.get(node)
    if kind == "AccumulateGrad":
        return True
    if node in mode.hidden and _kind(node) not in _MOVES:  # a selection is a maximum, for example
        return False
    if kind == "CopySlices" and function not in WRITES and function not in rule.replacements:
        return False
    if getattr(node, "_saved_training", False):  # BatchNorm that computes statistics is not linear
        return False
    arguments = sum(parent is not None for parent, _ in node.next_functions)
    fewest = 2 if kind == "_SumSignalBackward" else 1  # one of them constant: a bias, not a share
    return fewest <= arguments <= rule.accepted.get(_kind(node), 0)


def _kind(node: Node) -> str:
    """The node's type without the number of the overload: ``MeanBackward1`` -> ``MeanBackward``."""
    return re.sub(r"\d+$", "", type(node).__name__)


def _words(node: Node, functions: Mapping[Node, str]) -> str:
    """What created the node, by its usual name."""
    if node in functions:
        name = functions[node].strip("_")
        return WORDS.get(name, WORDS.get(name.removeprefix("i"), f"{name}()"))
    name = _kind(node).removesuffix("Backward")
    if name in OUT_OF_REACH:
        return "a ReLU in compiled code, where no other backward rule can take effect"
    return f"{name}, a custom autograd function or compiled code"
