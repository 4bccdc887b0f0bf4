"""An image classifier ready to be explained: network, preprocessing, labels, layers."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from saliency_core.errors import ArgumentError, ArgumentTypeError, NetworkError, TargetError
from saliency_core.inputs.preprocess import InputRegion, Preprocess
from saliency_core.inputs.transforms import OwnTransform, Transform, as_preprocess
from saliency_core.models.devices import without_autocast
from saliency_core.models.hooks import LayerHooks
from saliency_core.models.layers import Layer, choose_layers, layer_modules
from saliency_core.models.module_tree import copy_module_tree
from saliency_core.models.running import logits_of, network_errors
from saliency_core.models.survey import survey
from saliency_core.models.targets import Goal, Target, function_name
from saliency_core.registry import listed, unknown


class Classifier:
    """A network in evaluation mode, with its own module tree that shares the parameters of ``module``.

    ``module`` itself is never touched: it keeps its mode, its hooks and its gradients. Weights that
    are changed in place later (``load_state_dict``, an optimiser) are seen here too, as the tensors
    are the same; modules that are replaced later are not. A module that ``torch.compile`` returned is
    explained as the module that was compiled. The network runs in its own dtype, also under autocast.

    The name ``"input"`` stands for the network's input where a layer is asked for; a submodule called
    ``input`` is the layer ``"self.input"``.

    Args:
        module: maps (N, C, H, W) to class scores, the logits: (N, classes), or (N,) of a network with one
            output. They may also be the ``logits`` of an object or mapping that it returns, as of Hugging
            Face's networks, or the first entry of a tuple.
        preprocess: how photos become inputs: a ``Preprocess``, a torchvision transform
            (``weights.transforms()``, ``transforms.Compose``), a data config of timm's
            (``timm.data.resolve_data_config``), or any function from an RGB image to a tensor (C, H, W). If
            None, what a timm network's own configuration says, else the ImageNet default. What a
            ``Preprocess`` can express becomes one. Another transform takes photos with ``fit="crop"`` alone,
            and where it is unclear what part of a photo it shows, an explanation's box is None. For a Hugging
            Face processor: ``lambda photo: processor(photo, return_tensors="pt")["pixel_values"]``.
        labels: one name per class; ``"class 0"``, … if None.
        default_layers: the layers explained when none is named; one stage per resolution if None.
        random_weights: whether the weights are random, which explanations then say.
        multi_label: whether several classes can be right at once. Probabilities are then the sigmoid of each
            score by itself, instead of the softmax over all; always so for a network with one output.
        name: the name in the catalogue of models, empty for a module of one's own.
        title: what to call the network beside its maps; the module's class name if None.
        presets: published layer weights, title -> layer -> weight.

    Attributes:
        notice: None, or a sentence for the user when fewer than two layers have maps; also issued as a
            ``UserWarning``.
        example: seeded noise of shape (1, C, height, width), an input for dry passes.
        multi_label: whether probabilities are sigmoids of single scores, which do not add up to one.
        cache: facts about the network that other modules derive and store with it, by key.

    Raises:
        ArgumentTypeError: ``module`` is not a module, or a label not a string.
        ArgumentError: the labels do not fit.
        NetworkError: the network does not map such an input to class scores, or has no layer with maps.
        LayerError: a default layer that does not exist or has no map.

    >>> import torchvision
    >>> clf = Classifier(torchvision.models.resnet18())
    >>> clf.default_layers
    ('relu', 'layer1', 'layer2', 'layer3', 'layer4')
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        preprocess: Preprocess | Transform | Mapping[str, Any] | OwnTransform | None = None,
        labels: Sequence[str] | None = None,
        default_layers: Iterable[str] | None = None,
        random_weights: bool = False,
        multi_label: bool = False,
        name: str = "",
        title: str | None = None,
        presets: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.module = _in_evaluation_mode(module)
        self.modules = layer_modules(self.module)
        self.preprocess = as_preprocess(_own_config(self.module) if preprocess is None else preprocess)
        first = next(filter(torch.is_floating_point, _tensors(self.module)), torch.empty(0, device="cpu"))
        self.device, self.dtype = first.device, first.dtype
        self.memory_format = _memory_format(self.module)
        shape = (1, self.preprocess.channels, *self.preprocess.input_size)
        noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
        self.example = noise.to(self.device, self.dtype, memory_format=self.memory_format)
        self.random_weights = random_weights
        self.name, self.title = name, title or type(module).__name__
        self.presets = {} if presets is None else presets
        self.cache: dict[str, Any] = {}
        self.hooks = LayerHooks(self.modules)
        with torch.inference_mode(False), without_autocast(self.device):
            self.survey = survey(self.module, self.modules, self.hooks, self.example)
        self.hooks.keep(self.survey.layouts)
        self.labels = _labels(labels, self.survey.classes)
        self.multi_label = bool(multi_label) or self.survey.classes == 1
        named = self.survey.stages if default_layers is None else default_layers
        self.default_layers = choose_layers(self.survey, named)
        self.notice = self.survey.notice
        if self.notice is not None:
            warnings.warn(self.notice, UserWarning, stacklevel=2)

    def __deepcopy__(self, memo: dict[int, Any]) -> Classifier:
        """A classifier of its own, whose network shares nothing with this one's."""
        module, options = self.parts(memo)
        return Classifier(module, **options)

    def parts(self, memo: dict[int, Any] | None = None) -> tuple[nn.Module, dict[str, Any]]:
        """What an equal classifier is made of, also in another process: ``Classifier(module, **options)``.

        The network is a copy that shares nothing with this one's and has none of its hooks.
        """
        module = copy.deepcopy(self.module, memo)
        self.hooks.remove_from(layer_modules(module))
        return module, {
            "preprocess": self.preprocess,
            "labels": self.labels,
            "default_layers": self.default_layers,
            "random_weights": self.random_weights,
            "multi_label": self.multi_label,
            "name": self.name,
            "title": self.title,
            "presets": self.presets,
        }

    def with_network(self, module: nn.Module) -> Classifier:
        """This classifier with a copy of its network that has other, random weights.

        Nothing is found out anew: layers and shapes do not depend on weights.

        Args:
            module: made by :func:`saliency_core.models.module_tree.copy_module_tree`, so that it keeps the
                hooks on the layers.
        """
        other = copy.copy(self)
        other.module, other.modules = module, layer_modules(module)
        other.random_weights, other.cache = True, {}
        return other

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer with maps on which the class scores depend, input to output."""
        return self.survey.layers

    def prepare(self, image: Image.Image, fit: str = "crop") -> tuple[Tensor, InputRegion | None]:
        """The input tensor (1, C, H, W) on the CPU, and the box (left, top, right, bottom) it shows.

        The box is in the photo's pixels, and None where a transform of one's own does not tell.
        """
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
            last = len(self.labels) - 1
            choices = f"an index from 0 to {last}" if last else "0, the only class"
            raise TargetError(f"target is {target!r}; expected {choices}")
        return index

    def goal(self, target: Target) -> Goal:
        """What a target stands for: a class by its index, or the function itself.

        Raises:
            TargetError: a class that does not exist.
        """
        return target if callable(target) else self.class_index(target)

    def goal_label(self, goal: Goal) -> str:
        """The label of a class, or the name of a function."""
        return function_name(goal) if callable(goal) else self.labels[goal]

    def probabilities(self, scores: Tensor) -> Tensor:
        """Probabilities (N, classes) of class scores (N, classes), in float32 or better.

        The softmax over the classes; the sigmoid of each score where :attr:`multi_label` is set or there is
        one output only.
        """
        wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return wide.sigmoid() if self.multi_label else wide.softmax(dim=1)

    def scores(self, inputs: Tensor, network: nn.Module | None = None) -> Tensor:
        """The class scores (N, classes) of prepared inputs on the network's device, differentiable.

        Args:
            inputs: (N, C, H, W); a network may change them in place.
            network: a variant of ``module`` that takes its place.

        Raises:
            NetworkError: the network raises an exception for these inputs, or returns something else.
        """
        with network_errors(inputs.shape):
            scores = logits_of((network or self.module)(inputs))
        expected = (len(inputs), self.survey.classes)
        if isinstance(scores, Tensor) and scores.shape == expected[:1] and expected[1] == 1:
            return scores[:, None]
        if not isinstance(scores, Tensor) or scores.shape != expected:
            given = (
                f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
            )
            raise NetworkError(
                f"the network returned {given} for inputs of shape {tuple(inputs.shape)}; expected class "
                f"scores of shape {expected}"
            )
        return scores

    def to_device(self, batch: Tensor) -> Tensor:
        """The batch on the network's device, in its dtype and layout, detached from any graph."""
        channels = self.preprocess.channels
        if not isinstance(batch, Tensor):
            raise ArgumentTypeError(
                f"batch is a {type(batch).__name__}; expected a tensor of shape (N, {channels}, H, W)"
            )
        if batch.ndim != 4 or batch.shape[1] != channels or 0 in batch.shape:
            raise ArgumentError(f"batch has shape {tuple(batch.shape)}; expected (N, {channels}, H, W)")
        if not batch.is_floating_point() or batch.layout is not torch.strided or batch.is_meta:
            kind = f"{batch.dtype} in the layout {batch.layout} on {batch.device}".replace("torch.", "")
            raise ArgumentTypeError(
                f"batch holds {kind}; expected floating-point numbers as Classifier.prepare gives them"
            )
        return batch.detach().to(self.device, self.dtype, memory_format=self.memory_format)


def _own_config(network: nn.Module) -> Mapping[str, Any] | None:
    """The data config that timm keeps with its networks, of which another size may have been built."""
    config = getattr(network, "pretrained_cfg", None)
    needed = ("input_size", "mean", "std")
    return config if isinstance(config, Mapping) and all(config.get(each) for each in needed) else None


def _in_evaluation_mode(module: nn.Module) -> nn.Module:
    """A copy of the module tree in evaluation mode; refuses what cannot be recorded."""
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"module is a {type(module).__name__}; expected a torch.nn.Module")
    program = "no layer inside it can be recorded; pass the nn.Module that it was made from"
    if isinstance(module, torch.jit.ScriptModule):
        raise NetworkError(f"the network is a traced or scripted program, and {program}")
    if any(tensor.is_meta for tensor in _tensors(module)):
        raise NetworkError(
            "the network's weights are on the device 'meta', where they have no values; load them first"
        )
    if any(is_lazy(tensor) for tensor in _tensors(module)):
        raise NetworkError(
            "the network has lazy modules without weights; run it on an input once, then pass it"
        )
    if any(tensor.is_inference() for tensor in _tensors(module)):
        raise NetworkError(
            "the network's weights were made inside torch.inference_mode(), which forbids gradients; build "
            "or load it outside"
        )
    try:
        return copy_module_tree(module).eval()
    except NotImplementedError as error:
        raise NetworkError(f"the network is an exported program, and {program}") from error


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    return chain(module.parameters(), module.buffers())


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
    given = (
        () if isinstance(labels, str) else listed(labels, "labels", "a sequence of strings, one per class")
    )
    if isinstance(labels, str) or not all(isinstance(label, str) for label in given):
        raise ArgumentTypeError("labels must be a sequence of strings, one per class")
    if len(given) != outputs:
        if outputs == 1:
            raise ArgumentError(
                f"{len(given)} labels were given for a network with one output; expected one, the name of "
                "the class whose score it is"
            )
        raise ArgumentError(f"{len(given)} labels were given for a network with {outputs} classes")
    return given
