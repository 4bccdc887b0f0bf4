r"""Variants of a network, explained instead of it: here, the network after one gradient step on the image.

Meta-saliency takes one step of SGD on the cross-entropy of the class, all parameters, with fixed BatchNorm
statistics:

.. math:: \theta' = \theta - \varepsilon \, \nabla_\theta \, \mathrm{CE}(f_\theta(x), c)

Where probabilities are sigmoids of single scores, in multi-label networks and those with one output, the loss
is :math:`-\log \sigma(y_c)`; for a function of the class scores it is minus the function.

Source: Rebuffi, Fong, Ji, Vedaldi, CVPR 2020; the authors use :math:`\varepsilon = 0.0025`.

A variant has its own module tree with its own parameters and never touches those of the classifier.
(``torch.func.functional_call`` would exchange the parameters of the shared modules while it runs, which
another thread could see.)
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saliency_core.backprop.function_modes import Function, ReplacedFunctions
from saliency_core.backprop.memory import large_empty
from saliency_core.errors import NonFiniteError, UnavailableError
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.models.module_tree import copy_module_tree
from saliency_core.models.running import network_errors
from saliency_core.models.targets import Goal, goal_scores


@dataclass(frozen=True)
class ModifiedNetwork:
    """A variant of a network, and the class scores of the network itself."""

    network: nn.Module
    logits: Tensor
    """Class scores of the network that was not modified, (N, classes)."""
    targets: tuple[Goal, ...]
    """The class index or function that the variant was made for, per image."""


class Variant(Protocol):
    """How to modify a network before it is explained. Variants are values: hashable and comparable."""

    def modified(
        self, classifier: Classifier, batch: Tensor, target: Goal | None
    ) -> AbstractContextManager[ModifiedNetwork]:
        """The modified network, valid inside the ``with`` block.

        Args:
            batch: (N, C, H, W), prepared.
            target: class index, or a function of the class scores; each image's most likely class if None.
        """


@contextlib.contextmanager
def own_parameters(classifier: Classifier) -> Iterator[nn.Module]:
    """A copy of the network with its own parameters, inside the block; it has the classifier's values.

    Its parameters do not require gradients. They share the classifier's memory: assign ``parameter.data``
    instead of changing values in place. Copies are kept for the next call, since making one takes time.
    """
    copies: deque[nn.Module] = classifier.cache.setdefault("copies with own parameters", deque(maxlen=2))
    try:
        network = copies.pop()
    except IndexError:
        own = {old: nn.Parameter(old.detach(), requires_grad=False) for old in classifier.module.parameters()}
        network = copy_module_tree(classifier.module, own)
    try:
        _reset(classifier, network)
        yield network
    finally:
        _reset(classifier, network)
        copies.append(network)


@contextlib.contextmanager
def stepped(
    classifier: Classifier, batch: Tensor, target: Goal | None, rate: float
) -> Iterator[ModifiedNetwork]:
    """The network after one step along the gradient of the batch's mean loss, inside the block.

    Args:
        rate: what the gradient is multiplied by before it is added to the weights.
        batch, target: as for :meth:`Variant.modified`.
    """
    with own_parameters(classifier) as network:
        yield _step(classifier, network, batch, target, rate)


def _reset(classifier: Classifier, network: nn.Module) -> None:
    """Give the copy's parameters the classifier's values again."""
    network.requires_grad_(False)
    for old, own in zip(classifier.module.parameters(), network.parameters(), strict=True):
        own.data = old.detach()


def _step(
    classifier: Classifier, network: nn.Module, batch: Tensor, target: Goal | None, rate: float
) -> ModifiedNetwork:
    with torch.inference_mode(False), torch.enable_grad(), without_autocast(classifier.device):
        parameters = list(network.requires_grad_(True).parameters())
        products = _Products()
        with products.recording() if _has_large_products(network) else contextlib.nullcontext():
            logits = classifier.scores(classifier.to_device(batch).clone(), network)
        targets = (target,) * len(logits) if target is not None else tuple(logits.argmax(dim=1).tolist())
        loss = _loss(classifier, logits, targets) if torch.isfinite(logits).all() else None
        if loss is None or not torch.isfinite(loss):
            raise NonFiniteError(
                "the network's class scores contain NaN or infinity for this image, so no step can be taken; "
                "check its weights and the input"
            )
        if not loss.requires_grad:
            raise UnavailableError(
                "the class scores depend on no parameter of the network, so no step can be taken; leave the "
                "meta step out"
            )
        with network_errors(batch.shape, "backward"):
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        _separate_overlapping(parameters)
        tied = {id(parameter) for group in _overlapping(parameters) for parameter in group}
        kept = [*(each for each in gradients if each is not None), *products.tensors()]
        shared = {id(tensor) for group in _overlapping(kept) for tensor in group}
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                continue
            if id(parameter) in tied:
                parameter.data.add_(gradient, alpha=rate)
            elif id(gradient) not in shared and gradient.stride() == parameter.stride():
                parameter.data = gradient.mul_(rate).add_(parameter.data)  # reuses the gradient's memory
            else:
                parameter.data = torch.add(parameter.data, gradient, alpha=rate)
        products.step(rate, tied)
    network.requires_grad_(False)
    return ModifiedNetwork(network, logits.detach(), targets)


def _loss(classifier: Classifier, logits: Tensor, targets: tuple[Goal, ...]) -> Tensor:
    """Minus the logarithm of the classes' probabilities, or minus the functions' values; their mean."""
    if any(callable(target) for target in targets):
        return -goal_scores(logits, targets).mean()
    if classifier.multi_label:
        return -F.logsigmoid(goal_scores(logits, targets)).mean()
    return F.cross_entropy(logits, torch.tensor(targets, device=logits.device))


def _overlapping(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Groups of two or more tensors that share memory."""
    listed = list(tensors)
    spans = sorted((*_span(tensor), index) for index, tensor in enumerate(listed))
    groups: list[list[Tensor]] = []
    furthest = 0
    for start, end, index in spans:
        if groups and start < furthest:
            groups[-1].append(listed[index])
        else:
            groups.append([listed[index]])
        furthest = max(furthest, end)
    return [group for group in groups if len(group) > 1]


def _span(tensor: Tensor) -> tuple[int, int]:
    """The addresses of the first byte and behind the last one."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size() * bool(tensor.numel())


def _separate_overlapping(parameters: Iterable[nn.Parameter]) -> None:
    """Copy the memory that several parameters share; they share the copy, so a step of one changes all."""
    for group in _overlapping(parameters):
        start, end = min(_span(each)[0] for each in group), max(_span(each)[1] for each in group)
        first = next(each for each in group if each.data_ptr() == start)
        size = first.element_size()
        copy = first.detach().as_strided(((end - start) // size,), (1,), first.storage_offset()).clone()
        for each in group:
            offset = (each.data_ptr() - start) // size
            each.data = copy.as_strided(each.shape, each.stride(), offset)


LARGE = 1 << 23
"""The number of entries from which matrices are stepped without allocating their gradient, which would take
as long as a pass."""


def _has_large_products(network: nn.Module) -> bool:
    return any(
        isinstance(module, nn.Linear) and module.weight.numel() >= LARGE for module in network.modules()
    )


class _Products:
    """Large fully connected layers' parts of the gradient, as the factors of an outer product per image.

    Where such a matrix is used in another way too, that part comes as an ordinary gradient; the step is
    linear in both.
    """

    def __init__(self) -> None:
        self._factors: list[tuple[nn.Parameter, Tensor, Tensor]] = []

    def recording(self) -> ReplacedFunctions:
        """The context in which calls of ``linear`` record their factors during the backward pass."""

        def linear(func: Function, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            if not isinstance(weight, nn.Parameter) or weight.numel() < LARGE or inputs.ndim != 2:
                return func(inputs, weight, bias)  # type: ignore[no-any-return]
            return _Linear.apply(inputs, weight, bias, self._factors)  # type: ignore[no-any-return]

        return ReplacedFunctions({"linear": linear})

    def tensors(self) -> list[Tensor]:
        """Everything that :meth:`step` still needs."""
        return [tensor for _, signals, inputs in self._factors for tensor in (signals, inputs)]

    def step(self, rate: float, tied: Collection[int]) -> None:
        """Add ``rate`` times these parts to the matrices; in place for ``tied`` ones, named by their id."""
        for parameter, signals, inputs in self._factors:
            for signal, values in zip(signals.detach(), inputs.detach(), strict=True):
                if id(parameter) in tied:
                    parameter.data.addr_(signal, values, alpha=rate)
                    continue
                room = large_empty(parameter)
                parameter.data = torch.addr(parameter.data, signal, values, alpha=rate, out=room)


class _Linear(torch.autograd.Function):
    """``F.linear`` that records the factors of its weight's gradient instead of multiplying them."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: nn.Parameter,
        bias: Tensor | None,
        factors: list[tuple[nn.Parameter, Tensor, Tensor]],
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.parameter, ctx.factors = weight, factors
        return F.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.factors.append((ctx.parameter, signal, inputs))
        needs_input, _, needs_bias, _ = ctx.needs_input_grad
        return signal @ weight if needs_input else None, None, signal.sum(dim=0) if needs_bias else None, None
