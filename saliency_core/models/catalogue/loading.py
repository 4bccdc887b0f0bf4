"""From a model's name to a classifier with its weights."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue.catalogue import MODELS
from saliency_core.models.catalogue.checkpoint_model import Labels, architecture_spec, own_model
from saliency_core.models.catalogue.default import DEFAULT_MODEL
from saliency_core.models.catalogue.names import seeded_name
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import choose_device
from saliency_core.models.initialisation import Unfilled, seeded_network
from saliency_core.models.weights.checkpoint import load_state, read_checkpoint
from saliency_core.models.weights.sources import DownloadProgress, weights_folder


def load_classifier(
    name: str = DEFAULT_MODEL,
    device: str | torch.device = "auto",
    *,
    weights_dir: str | os.PathLike[str] | None = None,
    progress: DownloadProgress | None = None,
    random: int | None = None,
) -> Classifier:
    """A registered model, ready to be explained.

    Args:
        name: one of :data:`MODELS`.
        device: ``"auto"`` (CUDA, MPS, CPU; ``SALIENCY_DEVICE`` overrides) or a device's name.
        weights_dir: folder for downloads; ``SALIENCY_WEIGHTS`` or the user's cache if None.
        progress: called with (bytes received, bytes expected or None) while weights are fetched.
        random: a seed for random weights instead of the trained ones, as in the name ``"resnet50.random-7"``.

    Raises:
        UnknownNameError: an unknown model.
        ArgumentError: a device that cannot be used here, or a seed that is no whole number from 0 on.
        WeightsError: weights that cannot be fetched or do not fit, in a sentence.
    """
    if random is not None:
        name = seeded_name(name, random)
    return build_classifier(MODELS[name], device, weights_dir=weights_dir, progress=progress)


def load_checkpoint(
    file: str | os.PathLike[str],
    architecture: str,
    labels: Labels | None = None,
    *,
    preprocess: Preprocess | None = None,
    device: str | torch.device = "auto",
) -> Classifier:
    """A classifier from a checkpoint on disk, for any architecture of the catalogue.

    The number of classes is that of the file; names of tensors may have prefixes such as ``module.`` or
    ``model.``. Nothing in the file is executed.

    Args:
        file: a ``.safetensors`` file, or one of ``torch.save`` with a state dict.
        architecture: a model's name, of which the network alone counts: ``"resnet50"``,
            ``"timm:vit_small_patch16_224"``.
        labels: the names of the classes, or a file with them: one per line, JSON, or a ``config.json`` of the
            Hugging Face hub. If None, the architecture's if it has as many, else ``"class 0"``, …
        preprocess: how photos become inputs; the architecture's default if None.
        device: as for :func:`load_classifier`.

    Raises:
        UnknownNameError: no such architecture.
        WeightsError: a file that cannot be read safely, or does not fit: what is missing, misshapen or too
            much.
        ArgumentError: a wrong number of labels, or a device that cannot be used here.
    """
    own = own_model(Path(file), architecture_spec(architecture), labels, preprocess)
    return build_classifier(own.spec(str(file), own.file.name, ""), device)


def build_classifier(
    spec: ModelSpec,
    device: str | torch.device = "auto",
    *,
    weights_dir: str | os.PathLike[str] | None = None,
    progress: DownloadProgress | None = None,
) -> Classifier:
    """As :func:`load_classifier`, for a spec that need not be registered."""
    chosen = choose_device(device)
    with torch.inference_mode(False):  # whose tensors could not take part in gradients
        network = _network(spec, weights_dir, progress).requires_grad_(False).to(chosen)
        if chosen.type in ("cpu", "cuda"):
            # The same weights, laid out as convolutions take them: up to a fifth faster on the CPU, and what
            # tensor cores work on.
            for parameter in network.parameters():
                if parameter.ndim == 4:  # Module.to would also take those with five, and fail
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return Classifier(
        network,
        preprocess=spec.preprocess,
        labels=spec.labels(),
        default_layers=spec.default_layers,
        random_weights=spec.random,
        name=spec.name,
        title=spec.title,
        presets=spec.presets,
    )


def _network(
    spec: ModelSpec,
    weights_dir: str | os.PathLike[str] | None,
    progress: DownloadProgress | None,
) -> nn.Module:
    """The network with its weights, on the CPU whatever the caller's default device."""
    if spec.seed is not None:
        return seeded_network(spec.build, spec.seed, (spec.preprocess.channels, *spec.preprocess.input_size))
    path = spec.source.path(weights_folder(weights_dir), progress)
    with torch.device("cpu"):
        with Unfilled():
            network = spec.build()
        if spec.load is None:
            load_state(network, read_checkpoint(path, max_bytes=None), by_position=spec.by_position)
        else:
            spec.load(network, path)
    return network
