r"""Meta-saliency: explain the network as it would be after one step of learning this image.

One step of SGD on the cross-entropy of the class asked, all parameters, BatchNorm statistics fixed:

.. math:: \theta' = \theta - \varepsilon \, \nabla_\theta \, \mathrm{CE}(f_\theta(x), c)

Source: Rebuffi, Fong, Ji, Vedaldi, CVPR 2020; the authors use :math:`\varepsilon = 0.0025`.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saliency_core.backprop.function_modes import Function, Replacing
from saliency_core.backprop.memory import large_empty
from saliency_core.errors import NonFiniteError
from saliency_core.models.classifier import Classifier
from saliency_core.models.module_tree import copy_module_tree

LEARNING_RATE = 2.5e-3
"""The authors' step."""


@dataclass(frozen=True)
class MetaStep:
    """One step of SGD before explaining.

    Args:
        lr: the step's size ε ≥ 0; the authors' 0.0025 by default.
        ascend: step the other way, towards what would harm the class.

    Raises:
        ValueError: a step that is negative or not finite.
    """

    lr: float = LEARNING_RATE
    ascend: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.lr) or self.lr < 0:
            raise ValueError(f"lr is {self.lr}; expected a finite number >= 0")


@dataclass(frozen=True)
class Stepped:
    """The network after a step, and what the network before it said."""

    network: nn.Module
    logits: Tensor
    """Class scores before the step, (N, classes)."""
    targets: Tensor
    """The class stepped for, per image."""


@contextlib.contextmanager
def stepped(classifier: Classifier, batch: Tensor, target: int | None, meta: MetaStep) -> Iterator[Stepped]:
    """As :func:`step`, on a tree that is lent for the block and used again later: copying one takes time."""
    try:
        tree = classifier.reusable_copies.pop()
    except IndexError:
        tree = _tree(classifier)
    try:
        yield step(classifier, batch, target, meta, tree)
    finally:
        _share(classifier, tree)
        classifier.reusable_copies.append(tree)


def step(
    classifier: Classifier, batch: Tensor, target: int | None, meta: MetaStep, tree: nn.Module | None = None
) -> Stepped:
    """The network after the step, as a module tree of its own; the classifier's is not touched.

    The tree has its own parameters and shares everything else. (``torch.func.functional_call`` would swap
    the parameters of the shared modules while it runs, which another thread could see.)

    Args:
        batch: (N, 3, H, W), prepared; the loss is their mean.
        target: class index; each image's most likely class if None.
        tree: a tree of an earlier step to use again.

    Raises:
        NonFiniteError: the class scores contain NaN or infinity.
    """
    with torch.inference_mode(False), torch.enable_grad():
        network = tree or _tree(classifier)
        _share(classifier, network)
        parameters = list(network.requires_grad_(True).parameters())
        products = _Products()
        with products.noting() if _has_large_products(network) else contextlib.nullcontext():
            logits = network(classifier.to_device(batch).clone())
        targets = logits.argmax(dim=1) if target is None else torch.full_like(logits[:, 0], target).long()
        loss = F.cross_entropy(logits, targets)
        if not torch.isfinite(loss):
            raise NonFiniteError(
                "the network's class scores contain NaN or infinity for this image, so no step can be taken; "
                "check its weights and the input"
            )
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        rate = meta.lr if meta.ascend else -meta.lr
        owned = Counter(gradient.data_ptr() for gradient in gradients if gradient is not None)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                continue
            if owned[gradient.data_ptr()] == 1 and gradient.stride() == parameter.stride():
                parameter.data = gradient.mul_(rate).add_(parameter.data)  # in the gradient's own memory
            else:
                parameter.data = torch.add(parameter.data, gradient, alpha=rate)
        products.step(rate)
    return Stepped(network.requires_grad_(False), logits.detach(), targets)


LARGE = 1 << 23
"""Matrices with as many entries are stepped without their gradient: allocating it takes as long as a pass."""


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

    def noting(self) -> Replacing:
        """A block in which calls of ``linear`` leave their factors here when the gradient comes back."""

        def linear(func: Function, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            if not isinstance(weight, nn.Parameter) or weight.numel() < LARGE or inputs.ndim != 2:
                return func(inputs, weight, bias)  # type: ignore[no-any-return]
            return _Linear.apply(inputs, weight, bias, self._factors)  # type: ignore[no-any-return]

        return Replacing({"linear": linear})

    def step(self, rate: float) -> None:
        """Add ``rate`` times these parts to the matrices."""
        for parameter, signals, inputs in self._factors:
            for signal, values in zip(signals.detach(), inputs.detach(), strict=True):
                room = large_empty(parameter)
                parameter.data = torch.addr(parameter.data, signal, values, alpha=rate, out=room)


class _Linear(torch.autograd.Function):
    """``F.linear`` that notes the factors of its weight's gradient instead of multiplying them."""

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
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, Tensor, None]:
        inputs, weight = ctx.saved_tensors
        ctx.factors.append((ctx.parameter, signal, inputs))
        return signal @ weight, None, signal.sum(dim=0), None


def _tree(classifier: Classifier) -> nn.Module:
    """A tree whose parameters are its own objects, for now with the classifier's values."""
    own = {old: nn.Parameter(old.detach()) for old in classifier.module.parameters()}
    return copy_module_tree(classifier.module, own)


def _share(classifier: Classifier, tree: nn.Module) -> None:
    """Let the tree's parameters see the classifier's values again."""
    for old, own in zip(classifier.module.parameters(), tree.parameters(), strict=True):
        own.data = old.detach()
