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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.autograd.graph import Node, disable_saved_tensors_hooks

from saliency_core.backprop.function_modes import NodeNames
from saliency_core.backprop.rules import MOVES, BackwardRule
from saliency_core.backprop.signals import RuleState
from saliency_core.backprop.variants import own_parameters
from saliency_core.errors import UnavailableError
from saliency_core.models.classifier import Classifier
from saliency_core.models.running import logits_of
from saliency_core.models.targets import Goal, MostLikelyOf

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
    if node in mode.hidden and _kind(node) not in MOVES:  # a selection is a maximum, for example
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
