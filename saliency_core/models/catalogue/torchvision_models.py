"""torchvision's classification networks, described by the metadata of their weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saliency_core.errors import UnknownNameError
from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue.labels import class_labels
from saliency_core.models.catalogue.names import ModelName
from saliency_core.models.catalogue.spec import ModelDetails, ModelSpec
from saliency_core.models.weights.checkpoint import load_state, read_checkpoint
from saliency_core.models.weights.download import Download
from saliency_core.registry import unknown

LIBRARY = "torchvision"
_DENSE = re.compile(
    r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))"
)


@cache
def architectures() -> tuple[str, ...]:
    """Every classification network of torchvision."""
    import torchvision.models

    return tuple(torchvision.models.list_models(module=torchvision.models))


@cache
def weights(architecture: str) -> dict[str, Any]:
    """The published weights of a network that classify, the default one first: tag -> metadata."""
    import torchvision.models

    found = torchvision.models.get_model_weights(architecture)
    ordered = sorted(found, key=lambda each: each is not found.DEFAULT)
    return {each.name: each for each in ordered if each.meta["categories"]}


def pairs() -> Iterator[tuple[str, str]]:
    """Every (architecture, tag)."""
    for architecture in architectures():
        for tag in weights(architecture):
            yield architecture, tag


def network(architecture: str, classes: int | None = None) -> nn.Module:
    """The network with fresh weights, as it is when it classifies (without heads for training alone)."""
    import torchvision.models

    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if architecture in ("googlenet", "inception_v3"):
        # torchvision builds them so for its weights, which expect this normalisation inside the network.
        options |= {"transform_input": True, "aux_logits": False, "init_weights": True}
    built: nn.Module = torchvision.models.get_model(architecture, weights=None, **options)
    return built


def model_spec(name: ModelName) -> ModelSpec:
    """The entry of any architecture and weights.

    Raises:
        UnknownNameError: torchvision has none of that name.
    """
    if name.architecture not in architectures():
        raise UnknownNameError(unknown("model", str(name), architectures(), most=8))
    tag = default_tag(name.architecture) if name.tag is None else name.tag
    if tag not in weights(name.architecture):
        choices = tuple(f"{name.architecture}.{each}" for each in weights(name.architecture))
        raise UnknownNameError(unknown("model", name.trained, choices))
    entry = weights(name.architecture)[tag]
    return ModelSpec(
        name=str(name),
        title=name.architecture if name.tag is None else f"{name.architecture} ({tag})",
        summary=f"From torchvision, weights {tag}.",
        build=partial(network, name.architecture),
        source=source(entry),
        labels=partial(class_labels, len(entry.meta["categories"])),
        preprocess=preprocess(entry),
        reference="",
        library=LIBRARY,
        load=loader(name.architecture),
        published=partial(details, name.architecture, tag),
    )


def default_tag(architecture: str) -> str:
    """The weights that torchvision takes when none are named."""
    return next(iter(weights(architecture)))


def source(entry: Any) -> Download:
    """Where torchvision has the file; its name ends with the start of its SHA-256."""
    url: str = entry.url
    size = entry.meta.get("_file_size")  # in MiB
    return Download(url, url.removesuffix(".pth").rpartition("-")[2], size and round(size * 2**20))


def preprocess(entry: Any) -> Preprocess:
    """Torchvision's own evaluation transform as a :class:`Preprocess`."""
    preset = entry.transforms()
    (size,), (resize,) = preset.crop_size, preset.resize_size
    return Preprocess(
        size, resize, tuple(preset.mean), tuple(preset.std), interpolation=preset.interpolation.value
    )


@cache
def details(architecture: str, tag: str) -> ModelDetails:
    """What the metadata says."""
    entry = weights(architecture)[tag]
    fitted = preprocess(entry)
    return ModelDetails(
        parameters=entry.meta["num_params"],
        top1=entry.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        licence=entry.meta.get("license"),
        classes=len(entry.meta["categories"]),
        dataset="ImageNet-1k",
        input_size=(fitted.channels, *fitted.input_size),
        download_bytes=source(entry).download_bytes,
        tags=tuple(weights(architecture)),
        url=entry.meta["recipe"],
    )


def loader(architecture: str) -> Callable[[nn.Module, Path], None]:
    """How a file of torchvision is put into the network; see :func:`load`."""
    return partial(load, architecture)


def load(architecture: str, network: nn.Module, path: Path) -> None:
    """As torchvision loads its files: old names of DenseNet's layers, no heads for training alone.

    Raises:
        WeightsError: the file is not what it should be.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in read_checkpoint(path).items():
        if architecture == "googlenet" and name.startswith("aux"):
            continue
        if architecture == "inception_v3" and name.startswith("AuxLogits"):
            continue
        old = _DENSE.fullmatch(name)
        state[old[1] + old[2] if old else name] = tensor
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):  # not in the files of old releases
            state.setdefault(name, torch.zeros((), dtype=torch.long))
    load_state(network, state)
