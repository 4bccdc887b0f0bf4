"""Fresh weights: drawn from a seed of their own, or left out where a file replaces them at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from saliency_core.models.running import network_errors


class Seeded(TorchDispatchMode):
    """Inside, everything this thread draws on the CPU comes from one seed.

    PyTorch's global generator is neither read nor changed, so that other threads and the caller's own draws
    are not affected; the numbers are those that ``torch.manual_seed(seed)`` would give.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generator = torch.Generator("cpu").manual_seed(seed)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Hand the generator to operators that draw."""
        given = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags:
            func = _with_generator(func)
            given["generator"] = self.generator
        return func(*args, **given)


class Unfilled(TorchDispatchMode):
    """Inside, tensors that this thread would fill with random numbers are left as they are, which is fast."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Skip operators that fill a tensor with random numbers."""
        if torch.Tag.nondeterministic_seeded in func.tags and func._schema.name.endswith("_"):
            return args[0]
        return func(*args, **(kwargs or {}))


def skeleton(build: Callable[[], nn.Module]) -> nn.Module:
    """The network without its numbers, on the device ``"meta"`` where it can be built there."""
    try:
        with torch.device("meta"):
            return build()
    except Exception:  # such as reading a number of a tensor in the constructor, which has none there
        with torch.device("cpu"), Unfilled():
            return build()


def _with_generator(func: Any) -> Any:
    """The overload of a drawing operator that takes a generator."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    packet, overload = func.overloadpacket, func._overloadname
    return getattr(packet, "generator" if overload == "default" else f"{overload}_generator")


def seeded_network(build: Callable[[], nn.Module], seed: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A network with the random weights that its library starts training from, drawn from ``seed``.

    Two things are done to them, without which many networks would have scores that do not depend on the
    photo, or that are too large or too small for 32-bit numbers:

    - Some libraries start the classifier at zero, so that all scores are equal and no gradient reaches any
      layer. Such a classifier is drawn too: normal, with the standard deviation 0.02.
    - Batch normalisation takes its means and variances from two inputs of seeded noise of ``input_shape``
      (channels, height, width), as it would in the first step of training; the libraries start it with
      means of 0 and variances of 1, with which it normalises nothing.
    """
    with torch.device("cpu"), torch.inference_mode(False):
        with Seeded(seed):
            network = build()
            head = _head(network)
            if head is not None and not head.any():
                nn.init.normal_(head, std=0.02)
            noise = torch.randn(2, *input_shape)
        normalise_statistics(network, noise)
    return network


def _head(network: nn.Module) -> Tensor | None:
    """The weights of the last module that has a matrix or kernels: the classifier."""
    kernels = [parameter for parameter in network.parameters() if parameter.ndim >= 2]
    return kernels[-1] if kernels else None


def normalise_statistics(
    network: nn.Module, inputs: Tensor, among: Collection[nn.Module] | None = None
) -> None:
    """Let batch normalisation take its statistics from these inputs.

    Args:
        network: changed in place, and in training mode afterwards.
        inputs: (N, C, H, W).
        among: the modules whose statistics are taken; all if None.
    """
    norms = [
        module
        for module in (network.modules() if among is None else among)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.train().momentum = 1.0  # these statistics alone
    try:
        with torch.no_grad(), network_errors(inputs.shape):
            network(inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.train()
