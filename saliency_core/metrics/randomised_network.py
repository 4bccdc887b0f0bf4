"""A network whose weights are drawn anew from the scores down; the network itself is not touched."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from numbers import Integral

import torch
from torch import Tensor, nn

from saliency_core.errors import ArgumentTypeError, NetworkError, UnknownNameError
from saliency_core.metrics.randomisation_result import HEAD, Stage
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.models.hooks import can_be_recorded
from saliency_core.models.initialisation import Seeded, normalise_statistics
from saliency_core.models.layers import layer_modules
from saliency_core.models.module_tree import copy_module_tree
from saliency_core.models.running import network_errors
from saliency_core.registry import unknown


def randomisation_stages(classifier: Classifier) -> tuple[Stage, ...]:
    """The modules with weights of their own, grouped by the default layers, from the scores to the input.

    A module belongs to the first default layer that ends after the module has begun, and to the head if none
    does. One that is not called by itself, such as a list of weights, begins with the module that it is in.
    Layers behind the one before without any weights are left out.

    Raises:
        NetworkError: a network without weights, or one that fails.

    >>> import torchvision
    >>> [stage.name for stage in randomisation_stages(Classifier(torchvision.models.resnet18()))]
    ['head', 'layer4', 'layer3', 'layer2', 'layer1', 'relu']
    """
    key = "stages of randomisation"
    if key not in classifier.cache:
        classifier.cache[key] = _stages(classifier)
    found: tuple[Stage, ...] = classifier.cache[key]
    return found


def randomised(classifier: Classifier, down_to: str, seed: int = 0) -> Classifier:
    """A classifier whose weights are drawn anew from the scores down to a stage, and kept below it.

    Weights are drawn as PyTorch's own initialisation does it, ``reset_parameters``; those of modules without
    one keep their values in another order. Every module has its own generator, from the seed and the
    module's path: its new weights do not depend on how far down others are drawn. Batch normalisation among
    them takes its statistics from seeded noise, as in a first step of training. Only what is drawn anew is
    copied; the given classifier's tensors are shared, and none of them changes.

    Args:
        down_to: the name of one of :func:`randomisation_stages`.
        seed: of the new weights.

    Raises:
        UnknownNameError: another name, with the choices.
        ArgumentTypeError: a seed that is not a whole number.
        NetworkError: the network fails with the new weights.

    Source: Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018, *cascading randomisation*.
    """
    stages = randomisation_stages(classifier)
    names = [stage.name for stage in stages]
    if down_to not in names:
        raise UnknownNameError(unknown("stage", down_to, tuple(names)))
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise ArgumentTypeError(f"seed is {seed!r}; expected a whole number")
    paths = [path for stage in stages[: names.index(down_to) + 1] for path in stage.modules]
    with torch.inference_mode(False), torch.no_grad(), without_autocast(classifier.device):
        return classifier.with_network(_redrawn(classifier, paths, int(seed)))


def _redrawn(classifier: Classifier, paths: Collection[str], seed: int) -> nn.Module:
    """A copy of the network in which these modules have new weights."""
    old = dict(classifier.module.named_modules())
    # Drawn on the CPU, where all devices get the same numbers.
    new = {
        parameter: nn.Parameter(parameter.detach().to("cpu", copy=True), parameter.requires_grad)
        for path in paths
        for parameter in old[path].parameters(recurse=False)
    }
    tree = copy_module_tree(classifier.module, new)
    copies = dict(tree.named_modules())
    for path in paths:
        module = copies[path]
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.clone())
        with torch.device("cpu"), Seeded(zlib.crc32(f"{seed} {path}".encode())):
            _draw(module)
    for parameter, own in new.items():
        own.data = own.data.to(parameter.device, parameter.dtype)
    with torch.device("cpu"), Seeded(seed):
        noise = torch.randn(2, *classifier.example.shape[1:])
    inputs = noise.to(classifier.device, classifier.dtype, memory_format=classifier.memory_format)
    normalise_statistics(tree, inputs, [copies[path] for path in paths])
    return tree.eval()


def _draw(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    # That of a module with others inside would draw theirs, which may be shared with the network.
    if callable(reset) and not any(module.children()):
        reset()
        return
    for parameter in module.parameters(recurse=False):
        parameter.data = parameter.flatten()[torch.randperm(parameter.numel())].view(parameter.shape)


def _stages(classifier: Classifier) -> tuple[Stage, ...]:
    layers = classifier.default_layers
    begun, last = _order(classifier)
    order: dict[str, list[str]] = {name: [] for name in (*layers, HEAD)}
    modules = dict(classifier.module.named_modules())
    weighted = [
        path for path, module in modules.items() if any(True for _ in module.parameters(recurse=False))
    ]
    position = {path: place for place, path in enumerate(begun)}

    def begins(path: str) -> str:
        while path not in position:
            path = path.rpartition(".")[0]
        return path

    for path in sorted(weighted, key=lambda each: position[begins(each)]):
        order[last[begins(path)]].append(path)
    found = tuple(
        Stage(
            name,
            tuple(order[name]),
            sum(each.numel() for path in order[name] for each in modules[path].parameters(recurse=False)),
        )
        for name in reversed(order)
        if order[name]
    )
    if not found:
        raise NetworkError("the network has no weights that could be drawn anew; choose another one")
    return found


def _order(classifier: Classifier) -> tuple[list[str], dict[str, str]]:
    """The paths of all modules in the order in which they begin, and the layer that ends next."""
    tree = copy_module_tree(classifier.module)
    next_layer: dict[str, str] = {}
    waiting: list[str] = [""]

    def beginning(path: str) -> Callable[[nn.Module, object], None]:
        def hook(_module: nn.Module, _inputs: object) -> None:
            if path not in next_layer and path not in waiting:
                waiting.append(path)

        return hook

    def ending(layer: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, _output: object) -> None:
            next_layer.update(dict.fromkeys(waiting, layer))
            waiting.clear()

        return hook

    for path, module in tree.named_modules():
        if path and can_be_recorded(module):
            module.register_forward_pre_hook(beginning(path))
    by_layer = layer_modules(tree)
    for layer in classifier.default_layers:
        if layer in by_layer:
            by_layer[layer].register_forward_hook(ending(layer))
    example: Tensor = classifier.example.clone()
    with torch.no_grad(), without_autocast(classifier.device), network_errors(example.shape):
        tree(example)
    next_layer.update(dict.fromkeys(waiting, HEAD))
    return list(next_layer), next_layer
