r"""BatchNorm folded into the convolution before it: the same function in fewer passes over memory.

.. math:: \mathrm{BN}(w * x + b) = (s\, w) * x + s\,(b - \mu) + \beta,
    \quad s = \gamma / \sqrt{\sigma^2 + \epsilon}

for the fixed statistics of evaluation mode; gradients at all other places are the same, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from saliency_core.functions import NormLog

CLOSE = 1e-2
"""Rounding, and units it puts on the other side of a kink, change far less than a wrong fold does."""


class Folded:
    """A folded tree, as long as the weights it was made of stay as they are.

    Args:
        network: the network as it is, in evaluation mode.
        tree: a copy of its module tree that shares all tensors; it becomes the folded one.
        kept: modules whose outputs must stay.
        example: an input, (1, 3, H, W), on the network's device.
    """

    def __init__(self, network: nn.Module, tree: nn.Module, kept: Iterable[str], example: Tensor) -> None:
        self._tensors = tuple(chain(network.parameters(), network.buffers()))
        self._versions = list(self._now())
        self.norms = _fold(network, tree, set(kept), example)
        self._tree = tree if self.norms and _agree(network, tree, example) else None

    @property
    def tree(self) -> nn.Module | None:
        """The folded tree; None where nothing was folded or weights have been changed since."""
        if self._tree is not None and list(self._now()) != self._versions:
            self._tree = None
        return self._tree

    def _now(self) -> Iterator[tuple[int, int]]:
        return ((tensor._version, tensor.data_ptr()) for tensor in self._tensors)


def _fold(network: nn.Module, tree: nn.Module, kept: set[str], example: Tensor) -> tuple[str, ...]:
    """Fold what can be folded, in place; the names of the norms that are gone."""
    log = NormLog()
    with torch.no_grad(), log:
        network(example)
    modules = list(tree.named_modules())
    convs = {
        id(each.weight): each for name, each in modules if isinstance(each, nn.Conv2d) and name not in kept
    }
    norms = {
        id(each.running_mean): (name, each) for name, each in modules if isinstance(each, nn.BatchNorm2d)
    }
    pairs = [(id(kernel), id(mean)) for kernel, mean in log.pairs]
    uses = Counter(chain.from_iterable(pairs))
    folded = []
    for kernel, mean in pairs:
        if kernel not in convs or mean not in norms or max(uses[kernel], uses[mean]) > 1:
            continue
        conv, (name, norm) = convs[kernel], norms[mean]
        rest = _rest(norm)
        if rest is None or norm.running_mean is None or norm.running_var is None:
            continue
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        layout = torch.contiguous_format if conv.weight.is_contiguous() else torch.channels_last
        conv.weight = nn.Parameter(weight.detach().contiguous(memory_format=layout), requires_grad=False)
        conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
        tree.set_submodule(name, rest)
        folded.append(name)
    return tuple(folded)


def _rest(norm: nn.BatchNorm2d) -> nn.Module | None:
    """What a norm does beside normalising: nothing, or timm's dropout and activation; None where unknown."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    parts = [part for name in ("drop", "act") if isinstance(part := getattr(norm, name, None), nn.Module)]
    return nn.Sequential(*parts) if len(parts) == 2 else None


def _agree(network: nn.Module, tree: nn.Module, example: Tensor) -> bool:
    """Whether both give the same scores, and the same gradient of their sum, for noise."""
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    with torch.enable_grad():
        pairs = []
        for each in (network, tree):
            inputs = noise.clone().requires_grad_()
            scores = each(inputs)
            (gradient,) = torch.autograd.grad(scores.square().sum(), inputs)
            pairs.append((scores.detach(), gradient))
    return all(
        bool(torch.linalg.vector_norm(new - old) <= CLOSE * torch.linalg.vector_norm(old))
        for old, new in zip(*pairs, strict=True)
    )
