"""torchvision's classification networks, described by the metadata of their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue.details import ModelDetails
from saliency_core.models.catalogue.labels import imagenet_labels
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.weights.checkpoint import load_state, read_checkpoint
from saliency_core.models.weights.download import Download

LIBRARY = "torchvision"
PREFIX = ""
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


@cache
def tags() -> Mapping[str, tuple[str, ...]]:
    """Architecture -> the tags of its published weights, the default one first."""
    return {architecture: tuple(weights(architecture)) for architecture in architectures()}


def network(architecture: str, classes: int | None = None) -> nn.Module:
    """The network with fresh weights, as it is when it classifies (without heads for training alone)."""
    import torchvision.models

    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if architecture in ("googlenet", "inception_v3"):
        # torchvision builds them so for its weights, which expect this normalisation inside the network.
        options |= {"transform_input": True, "aux_logits": False, "init_weights": True}
    built: nn.Module = torchvision.models.get_model(architecture, weights=None, **options)
    return built


def model_spec(architecture: str, tag: str | None) -> ModelSpec:
    """The entry of an architecture and its weights; the default ones if None."""
    chosen = tag or tags()[architecture][0]
    entry = weights(architecture)[chosen]
    return ModelSpec(
        name=architecture,
        title=architecture if tag is None else f"{architecture} ({tag})",
        summary=f"From torchvision, weights {chosen}.",
        build=partial(network, architecture),
        source=source(entry),
        labels=imagenet_labels,
        preprocess=preprocess_of(entry.transforms()),
        reference="",
        library=LIBRARY,
        tag=chosen,
        load=partial(load, architecture),
        published=partial(details, architecture, chosen),
    )


def source(entry: Any) -> Download:
    """Where torchvision has the file of some weights."""
    return download(entry.url, entry.meta["_file_size"])


def download(url: str, mebibytes: float) -> Download:
    """A file of torchvision, whose name ends with the start of its SHA-256."""
    return Download(url, url.removesuffix(".pth").rpartition("-")[2], round(mebibytes * 2**20))


def preprocess_of(preset: Any) -> Preprocess:
    """One of torchvision's evaluation presets (``weights.transforms()``) as a :class:`Preprocess`."""
    (size,), (resize,) = preset.crop_size, preset.resize_size
    return Preprocess(
        size, resize, tuple(preset.mean), tuple(preset.std), interpolation=preset.interpolation.value
    )


@cache
def details(architecture: str, tag: str) -> ModelDetails:
    """What the metadata says."""
    entry = weights(architecture)[tag]
    fitted = preprocess_of(entry.transforms())
    return ModelDetails(
        parameters=entry.meta["num_params"],
        top1=entry.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        licence=entry.meta.get("license"),
        classes=len(entry.meta["categories"]),
        dataset="ImageNet-1k",
        input_size=(fitted.channels, *fitted.input_size),
        download_bytes=source(entry).download_bytes,
        tags=tags()[architecture],
        url=entry.meta["recipe"],
    )


def load(architecture: str, network: nn.Module, path: Path) -> None:
    """As torchvision loads its files: old names of DenseNet's layers, no heads for training alone.

    Raises:
        WeightsError: the file is not what it should be.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in read_checkpoint(path, max_bytes=None).items():
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
