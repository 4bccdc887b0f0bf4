"""One forward and one backward pass give the activation and the gradient at every layer asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from saliency_core.backprop.backward_rules import check_scores, class_needed, obstacle
from saliency_core.backprop.function_modes import ConvolutionLog
from saliency_core.backprop.rules import BackwardRule
from saliency_core.backprop.signals import RuleState
from saliency_core.backprop.terms import Terms
from saliency_core.errors import LayerError, NonFiniteError, TargetError, UnavailableError
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.models.layers import INPUT, choose_layers
from saliency_core.models.running import network_errors
from saliency_core.models.targets import Goal, MostLikelyOf, Target, goal_scores

MANY_CHANNELS = 64
"""From here on a sum over channels that lie side by side in memory is no slower than one over planes."""


@dataclass(frozen=True)
class Convolution:
    """What a layer that is a convolution really convolved, after any padding it did itself.

    A linear layer applied at every location is one with a kernel of 1 × 1.
    """

    inputs: Tensor
    """(N, C_in, H_in, W_in), as they were when the layer ran."""
    kernel_size: tuple[int, int]
    stride: tuple[int, int] | int
    padding: tuple[int, int] | int | str
    dilation: tuple[int, int] | int
    groups: int


@dataclass(frozen=True)
class LayerCapture:
    """A layer's output ``x`` and ``g = dy/dx`` for the score ``y`` explained, both (N, C, H, W).

    The score is a class's logit, or the value of a function of the class scores.

    Float32, or float64 for a network in double precision; a network in half precision runs as it is.
    Under a rule of modified backpropagation the gradient is that rule's signal.
    """

    activation: Tensor
    gradient: Tensor
    convolution: Convolution | None = None

    @cached_property
    def terms(self) -> Terms:
        """The sums, norms and maxima that methods share."""
        return Terms(self.activation, self.gradient)


@dataclass(frozen=True)
class Capture:
    """What one pass gives: the logits (N, classes), what is explained per image, x and g per layer."""

    logits: Tensor
    targets: tuple[Goal, ...]
    """Class indices, or functions of the class scores, (N,)."""
    layers: Mapping[str, LayerCapture]


def capture(
    classifier: Classifier,
    batch: Tensor,
    target: Target | Sequence[Target] | None = None,
    layers: Iterable[str] | None = None,
    *,
    rule: BackwardRule | None = None,
    plain_logits: Tensor | None = None,
    convolutions: bool = False,
    network: nn.Module | None = None,
) -> Capture:
    """Activation and gradient of a class logit at several layers, from one forward and one backward pass.

    In place of a class there may be a function of the class scores.

    The tensors recorded are the layers' true outputs: the network goes on with a copy, so an in-place
    operation that follows (a ReLU after a BatchNorm, a sum) cannot change them. The network is left as
    it was: no ``.grad``, no mode, no ``requires_grad`` changes, also when the call raises. Safe to call
    from many threads with one classifier.

    Args:
        batch: (N, C, H, W), prepared inputs.
        target: a class index or label, or a function of the class scores (see :func:`saliency_core.explain`),
            for all images, one per image, or None for each one's most likely class.
        layers: names; the classifier's default stages if None; ``"input"`` is the network's input.
        rule: another backward rule, whose signal replaces the gradient.
        plain_logits: with a rule, the logits (N, classes) of the same batch without it, if known; the logits
            under the rule must equal them.
        convolutions: also note what went into the layers that are convolutions or linear.
        network: a variant of ``classifier.module`` to run instead
            (see :mod:`saliency_core.backprop.variants`).

    Raises:
        LayerError: an unknown layer, or one that the class score does not depend on.
        TargetError: a class that does not exist, a function without a value or gradient, or not one target
            per image.
        NonFiniteError: the network's scores contain NaN or infinity.
        UnavailableError: the rule is not defined for this network, or not for a function.
    """
    run = _Forward(classifier, batch, layers, rule, convolutions, network, plain_logits)
    return run.back(target, last=True)


def capture_classes(
    classifier: Classifier,
    image: Tensor,
    choose: Callable[[Tensor], Sequence[Goal]],
    layers: Iterable[str] | None = None,
) -> tuple[Capture, ...]:
    """Several classes of one image: one forward pass and one backward pass per class.

    Args:
        image: (1, C, H, W), prepared.
        choose: class indices, or functions of the class scores, from the logits (classes,).
        layers: as for :func:`capture`, which also lists the errors.
    """
    run = _Forward(classifier, image, layers)
    targets = list(choose(run.logits[0].detach()))
    return tuple(run.back(target, last=number == len(targets)) for number, target in enumerate(targets, 1))


class _Forward:
    """A forward pass that recorded its layers, and its backward passes."""

    def __init__(
        self,
        classifier: Classifier,
        batch: Tensor,
        layers: Iterable[str] | None,
        rule: BackwardRule | None = None,
        convolutions: bool = False,
        network: nn.Module | None = None,
        plain_logits: Tensor | None = None,
    ) -> None:
        self._classifier = classifier
        self._layouts = classifier.survey.layouts
        self.names = classifier.default_layers if layers is None else choose_layers(classifier.survey, layers)
        for name in self.names:
            if rule is not None and (reason := obstacle(classifier, rule, name)) is not None:
                raise UnavailableError(f"the {rule.name} rule is not defined here. {reason}")
        self._rule, self._state = rule, RuleState()
        self.recorded: dict[str, Tensor] = {}
        self.called: dict[str, Convolution] = {}
        self._wanted = frozenset(self.names)
        self._log = ConvolutionLog() if convolutions else None
        replaced: AbstractContextManager[object] = nullcontext() if rule is None else rule.active(self._state)
        with torch.inference_mode(False), torch.enable_grad(), without_autocast(classifier.device):
            inputs = classifier.to_device(batch).clone()
            self._shape = inputs.shape
            if INPUT in self._wanted:
                self.recorded[INPUT] = inputs.requires_grad_()
                inputs = inputs.clone()
            with classifier.hooks.recording(self._visit), self._log or nullcontext(), replaced:
                self.logits: Tensor = classifier.scores(inputs, network)
        if not torch.isfinite(self.logits).all():
            raise NonFiniteError(
                "the network's class scores contain NaN or infinity for this image, so nothing can be "
                "explained; check its weights and the input"
            )
        if rule is not None:
            if plain_logits is None:
                with torch.inference_mode(False), torch.no_grad(), without_autocast(classifier.device):
                    plain_logits = classifier.scores(classifier.to_device(batch).clone(), network)
            check_scores(self.logits, plain_logits, f"under the {rule.name} rule")

        if missing := self._wanted - self.recorded.keys():
            raise LayerError(
                f"no map at layer {min(missing)!r} for this input: the network did not run it; choose "
                "another layer"
            )

    def _visit(self, name: str, _inputs: tuple[object, ...], output: object) -> Tensor | None:
        if name not in self._wanted:
            return None
        if (
            name in self.recorded
            or not isinstance(output, Tensor)
            or output.ndim != len(self._layouts[name].axes)
        ):
            raise LayerError(
                f"no map at layer {name!r} for this input: it ran more than once, or returned something else "
                "than for the noise with which the network was examined; choose another layer"
            )
        if self._log is not None and output is self._log.result:
            self.called[name] = self._convolution(name, self._log.arguments)
        # Where no gradient is tracked yet the graph starts here: nothing before it is stored.
        kept = output if output.requires_grad else output.detach().requires_grad_()
        self.recorded[name] = kept
        return kept.clone()

    def back(self, target: Target | Sequence[Target] | None, *, last: bool) -> Capture:
        """The backward pass for a target; ``last`` frees what a further one would need."""
        with torch.inference_mode(False), torch.enable_grad(), without_autocast(self.logits.device):
            goals = _goals(self._classifier, self.logits, target)
            if self._rule is not None and (reason := class_needed(self._rule, goals)) is not None:
                raise UnavailableError(f"the {self._rule.name} rule is not defined here. {reason}")
            score = goal_scores(self.logits, goals).sum()
            if not score.requires_grad:
                raise LayerError(
                    f"the class score does not depend on {', '.join(self.names)}; choose other layers"
                )
            outputs = [self.recorded[name] for name in self.names]
            gradients: tuple[Tensor | None, ...]
            contrastive = self._rule is not None and self._rule.contrastive
            with network_errors(self._shape, "backward"):
                if contrastive:
                    gradients = _contrast(score, outputs, self._state)
                else:
                    gradients = torch.autograd.grad(score, outputs, allow_unused=True, retain_graph=not last)
        captured: dict[str, LayerCapture] = {}
        for name, x, gradient in zip(self.names, outputs, gradients, strict=True):
            if gradient is None:
                behind = "it is not in front of the last linear layer, where the classes are contrasted"
                reason = behind if contrastive else "the class score does not depend on it"
                raise LayerError(f"nothing comes back to layer {name!r}: {reason}; choose another one")
            x, gradient = self._maps(name, x.detach()), self._maps(name, gradient)
            memory_format = _memory_format(x)
            x, gradient = (each.contiguous(memory_format=memory_format) for each in (x, gradient))
            captured[name] = LayerCapture(x, gradient, self.called.get(name))
        return Capture(_single_precision(self.logits.detach()), goals, captured)

    def _maps(self, name: str, values: Tensor) -> Tensor:
        """A layer's output, or a gradient of its shape, as (N, C, H, W), at least in single precision."""
        maps = values if name == INPUT else self._layouts[name].to_maps(values, tuple(self._shape))
        return _single_precision(maps)

    def _convolution(self, name: str, call: Mapping[str, Any]) -> Convolution:
        """What a layer computed: a convolution, or a linear function at every location."""
        values, weight = call["input"].detach(), call["weight"]
        linear = weight.ndim == 2
        return Convolution(
            # A copy, as the network may change it in place later.
            inputs=self._maps(name, values.clone()) if linear else _single_precision(values.clone()),
            kernel_size=(1, 1) if linear else tuple(weight.shape[2:]),
            stride=call.get("stride", 1),
            padding=call.get("padding", 0),
            dilation=call.get("dilation", 1),
            groups=call.get("groups", 1),
        )


def _contrast(score: Tensor, outputs: list[Tensor], state: RuleState) -> tuple[Tensor | None, ...]:
    """The signal of the class minus that of all others, from the input of the last linear layer on.

    The rule is linear in the signal, so any layer in front of the last linear one would give the same.
    """
    edge = state.contrast
    if edge is None:
        return (None,) * len(outputs)
    (signal,) = torch.autograd.grad(score, edge, retain_graph=True)
    state.negated = True
    (others,) = torch.autograd.grad(score, edge, retain_graph=True)
    state.negated = False
    return torch.autograd.grad(edge, outputs, signal - others, allow_unused=True)


def _single_precision(values: Tensor) -> Tensor:
    """Half precision as float32: the methods square and sum, which overflows and rounds in 16 bits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _memory_format(x: Tensor) -> torch.memory_format:
    """The memory format in which sums over the channels are fast on the CPU."""
    beside = x.shape[1] >= MANY_CHANNELS and x.stride(1) == 1
    return torch.channels_last if beside else torch.contiguous_format


def _goals(
    classifier: Classifier, logits: Tensor, target: Target | Sequence[Target] | None
) -> tuple[Goal, ...]:
    """A class index or a function per image."""
    if target is None:
        return tuple(logits.argmax(dim=1).tolist())
    if isinstance(target, Tensor):
        target = target.tolist()
    if isinstance(target, Sequence) and not isinstance(target, str):
        if len(target) != len(logits):
            raise TargetError(f"{len(target)} targets were given for {len(logits)} images; expected one each")
        goals = [classifier.goal(one) for one in target]
    else:
        goals = [classifier.goal(target)] * len(logits)
    return tuple(
        goal.chosen(scores) if isinstance(goal, MostLikelyOf) else goal
        for goal, scores in zip(goals, logits.detach(), strict=True)
    )
