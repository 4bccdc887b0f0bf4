"""An image classifier ready to be explained: network, preprocessing, labels, layers."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from saliency_core.errors import TargetError
from saliency_core.inputs.preprocess import Box, Preprocess
from saliency_core.models.hooks import Taps
from saliency_core.models.layers import INPUT, Layer, choose_layers, default_stages, survey
from saliency_core.registry import unknown


class Classifier:
    """A network in evaluation mode, with its own module tree that shares the parameters of ``module``.

    ``module`` itself is never touched: it keeps its mode, its hooks and its gradients. Weights that
    are changed in place later (``load_state_dict``, an optimiser) are seen here too, as the tensors
    are the same; modules that are replaced later are not.

    Args:
        module: maps (N, 3, H, W) to class scores (N, classes), the logits.
        preprocess: how photos become inputs; the ImageNet default if None.
        labels: one name per class; ``"class 0"``, … if None.
        default_layers: the layers explained when none is named; the last layer at each resolution if None.

    Raises:
        TypeError: ``module`` is not a module.
        ValueError: the network does not map such an input to class scores, or the labels do not fit.

    >>> import torchvision
    >>> clf = Classifier(torchvision.models.resnet18())
    >>> clf.default_layers
    ('relu', 'layer1', 'layer2', 'layer3', 'layer4')
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        preprocess: Preprocess | None = None,
        labels: Sequence[str] | None = None,
        default_layers: Iterable[str] | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"module is a {type(module).__name__}; expected a torch.nn.Module")
        self.module = shared_tree(module).eval()
        self.modules = dict(self.module.named_modules())
        self.preprocess = preprocess or Preprocess()
        parameter = next(chain(self.module.parameters(), self.module.buffers()), torch.empty(0))
        self.device, self.dtype = parameter.device, parameter.dtype
        self.memory_format = _memory_format(self.module)
        side = self.preprocess.size
        noise = torch.randn(1, 3, side, side, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
        # A seeded noise input, (1, 3, size, size), for dry passes.
        self.example = noise.to(self.device, self.dtype, memory_format=self.memory_format)
        # Facts about the network that others derive and keep with it, by a name of theirs.
        self.cache: dict[str, Any] = {}
        # A tap costs each call a little: every module is tapped on a second tree only.
        self.taps, self._tapped = Taps(), shared_tree(self.module)
        self.taps.attach(self._tapped, filter(None, self.modules))
        self.survey = survey(self._tapped, self.taps, self.example)
        self.labels = _labels(labels, self.survey.outputs)
        named = default_stages(self.survey.layers) if default_layers is None else default_layers
        self.default_layers = choose_layers(self.survey, named)
        shown = set(self.default_layers) - {INPUT}
        self.taps.attach(self.module, shown)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every spatial layer, input to output."""
        return self.survey.layers

    def tapped(self, names: Iterable[str] | None = None) -> nn.Module:
        """The network with hooks on these layers, or on all modules."""
        if names is None or not {INPUT, *self.default_layers}.issuperset(names):
            return self._tapped
        return self.module

    def prepare(self, image: Image.Image, fit: str = "crop") -> tuple[Tensor, Box]:
        """The input tensor (1, 3, H, W) on the CPU, and the box (left, top, right, bottom) it shows."""
        return self.preprocess(image, fit)

    def class_index(self, target: int | str) -> int:
        """The index of a class given by index or label; raises ``TargetError`` with the choices."""
        if isinstance(target, str):
            found = [index for index, label in enumerate(self.labels) if label == target]
            if len(found) == 1:
                return found[0]
            if found:
                raise TargetError(f"label {target!r} names classes {found}; pass one of these indices")
            raise TargetError(unknown("label", target, self.labels, most=8))
        try:
            index = operator.index(target)
        except TypeError:
            raise TargetError(f"target is {target!r}; expected a class index, a label or None") from None
        if isinstance(target, bool) or not 0 <= index < len(self.labels):
            raise TargetError(f"target is {target!r}; expected an index from 0 to {len(self.labels) - 1}")
        return index

    def to_device(self, batch: Tensor) -> Tensor:
        """The batch on the network's device, in its dtype and layout, detached from any graph."""
        if not isinstance(batch, Tensor):
            raise TypeError(f"batch is a {type(batch).__name__}; expected a tensor of shape (N, 3, H, W)")
        if batch.ndim != 4 or batch.shape[1] != 3 or 0 in batch.shape:
            raise ValueError(f"batch has shape {tuple(batch.shape)}; expected (N, 3, H, W)")
        return batch.detach().to(self.device, self.dtype, memory_format=self.memory_format)


def shared_tree(module: nn.Module, instead: Mapping[nn.Parameter, nn.Parameter] | None = None) -> nn.Module:
    """A copy of the module tree whose parameters and buffers are the very tensors of ``module``.

    ``instead`` gives other parameters for some of them. Hooks are carried over, so taps work on the copy.
    """
    known: dict[int, Tensor] = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    known |= {id(old): new for old, new in (instead or {}).items()}
    return copy.deepcopy(module, known)


def _memory_format(module: nn.Module) -> torch.memory_format:
    """The layout that the network's kernels have; ambiguous ones (1 × 1) count as the ordinary one."""
    kernels = [parameter for parameter in module.parameters() if parameter.ndim == 4]
    laid = [kernel for kernel in kernels if not kernel.is_contiguous()]
    if laid and all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in laid):
        return torch.channels_last
    return torch.contiguous_format


def _labels(labels: Sequence[str] | None, outputs: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"class {index}" for index in range(outputs))
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise TypeError("labels must be a sequence of strings, one per class")
    if len(labels) != outputs:
        raise ValueError(f"{len(labels)} labels were given for a network with {outputs} classes")
    return tuple(labels)
