"""Models from a checkpoint of one's own: any architecture of the catalogue, any number of classes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean

from torch import nn

from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError, WeightsError
from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue import libraries
from saliency_core.models.catalogue.curated import CURATED
from saliency_core.models.catalogue.details import ModelDetails
from saliency_core.models.catalogue.label_files import read_labels
from saliency_core.models.catalogue.names import parse_name
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.initialisation import skeleton
from saliency_core.models.weights.checkpoint import checkpoint_shapes, read_checkpoint
from saliency_core.models.weights.fitting import FitReport, fit, put
from saliency_core.models.weights.misfit import MisfitError
from saliency_core.models.weights.sources import DownloadProgress

Labels = Sequence[str] | str | os.PathLike[str]
"""The names of the classes, or a file with them."""


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint on disk, used where it lies."""

    file: Path
    download_bytes: int | None = None
    file_name: str | None = None

    def is_local(self, folder: Path) -> bool:
        """Always: if the file is gone, :meth:`path` says so."""
        return True

    def path(self, folder: Path, progress: DownloadProgress | None = None) -> Path:
        """The file; raises ``WeightsError`` if it is gone."""
        if not self.file.is_file():
            raise WeightsError(f"{self.file.name} is no longer there: it was removed or renamed.")
        return self.file


@dataclass(frozen=True)
class OwnModel:
    """A checkpoint with the architecture it belongs to.

    Attributes:
        file: the checkpoint.
        architecture: the entry of the catalogue that builds the network.
        labels: the names of the classes, None for those of the architecture if there are as many.
        labels_file: what the labels came from, for errors.
        preprocess: how photos become inputs; None for the architecture's.
        licence: of the weights, if known.
    """

    file: Path
    architecture: ModelSpec
    labels: tuple[str, ...] | None
    labels_file: str
    preprocess: Preprocess | None
    licence: str | None = None

    @cached_property
    def report(self) -> FitReport:
        """How the file fits, by names and shapes alone.

        Raises:
            WeightsError: it does not, with the curated architectures that it fits.
        """
        shapes = checkpoint_shapes(self.file)
        try:
            return fit(
                skeleton(self.architecture.build), shapes, what=self.file.name, title=self.architecture.title
            )
        except MisfitError as error:
            fitting = fitting_architectures(self.file)
            if not fitting and not error.few:
                raise
            advice = f"It fits {' and '.join(fitting)}." if fitting else "Is it of another architecture?"
            raise MisfitError(
                f"{error} {advice}", few=error.few, reason=str(error), fitting=fitting
            ) from error

    def build(self) -> nn.Module:
        """The network with as many classes as the file has, its weights fresh."""
        network = self.architecture.build()
        fit(network, checkpoint_shapes(self.file), what=self.file.name, title=self.architecture.title)
        return network

    def load(self, network: nn.Module, path: Path) -> None:
        """Put the file's weights into what :meth:`build` made."""
        state = read_checkpoint(path)
        put(
            network,
            state,
            fit(network, state, what=path.name, title=self.architecture.title),
            self.build,
        )

    def class_labels(self) -> list[str]:
        """The names given; else the architecture's if there are as many, else numbers.

        Raises:
            ArgumentError: more or fewer names than classes.
        """
        classes = self.report.classes
        if self.labels is None:
            own = self.architecture.labels()
            return own if len(own) == classes else [f"class {index}" for index in range(classes)]
        if len(self.labels) != classes:
            raise ArgumentError(
                f"{self.labels_file} has {_counted(len(self.labels), 'name')}, and the network in "
                f"{self.file.name} {_counted(classes)}; expected one name per class."
            )
        return list(self.labels)

    def fitted_preprocess(self) -> Preprocess:
        """How photos become inputs: as given, else as for the architecture.

        Where the network reads another number of channels, each gets the average of the colours' values.
        """
        if self.preprocess is not None:
            return self.preprocess
        usual, channels = self.architecture.preprocess, self.report.channels
        if channels is None:
            return usual
        mean, std = fmean(usual.mean), fmean(usual.std)
        return replace(usual, mean=(mean,) * channels, std=(std,) * channels)

    def details(self) -> ModelDetails:
        """What is known of it."""
        fitted = self.fitted_preprocess()
        network = skeleton(self.build)
        return ModelDetails(
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            top1=None,
            licence=self.licence,
            classes=self.report.classes,
            dataset=None,
            input_size=(fitted.channels, *fitted.input_size),
            download_bytes=None,
            tags=(),
            url=None,
        )

    def spec(self, name: str, title: str, summary: str) -> ModelSpec:
        """The entry under which an engine or a catalogue offers it."""
        return ModelSpec(
            name=name,
            title=title,
            summary=summary,
            build=self.build,
            source=WeightsFile(self.file),
            labels=self.class_labels,
            preprocess=self.fitted_preprocess(),
            reference=self.architecture.reference,
            default_layers=self.architecture.default_layers,
            load=self.load,
            published=self.details,
        )


def checkpoint_spec(
    file: str | os.PathLike[str],
    architecture: str,
    labels: Labels | None = None,
    preprocess: Preprocess | None = None,
    *,
    name: str | None = None,
    title: str | None = None,
) -> ModelSpec:
    """The entry of a model from a checkpoint, which has been read and fits.

    The file is used where it lies, and may be deleted once the model is not to be loaded again. The tensors
    are not kept: they are read a second time when the model is loaded.

    Args:
        file: a ``.safetensors`` file or a PyTorch checkpoint; see :func:`read_checkpoint`.
        architecture: a model's name, of which the network alone counts: ``"resnet50"``,
            ``"timm:vit_small_patch16_224"``.
        labels: the names of the classes, or a file with them (:func:`read_labels`). If None, those of the
            architecture if it has as many, else ``"class 0"``, …
        preprocess: how photos become inputs; the architecture's default if None.
        name: the model's name; a new ``own:KEY`` if None.
        title: for lists; the file's name if None.

    Raises:
        UnknownNameError: no such architecture.
        WeightsError: a file that cannot be read safely or does not fit.
        ArgumentError: a wrong number of labels.
    """
    own = own_model(Path(file), architecture_spec(architecture), labels, preprocess)
    own.class_labels()
    chosen, name_of_file = own.architecture, own.file.name
    report = fit(skeleton(chosen.build), read_checkpoint(own.file), what=name_of_file, title=chosen.title)
    summary = f"{chosen.title} with {_counted(report.classes)}, from {name_of_file}."
    return own.spec(
        name or f"own:{secrets.token_hex(16)}", title or name_of_file, " ".join((summary, *report.notes))
    )


def architecture_spec(name: str) -> ModelSpec:
    """The entry of the catalogue for an architecture, whether or not it has published weights.

    Raises:
        UnknownNameError: no such architecture.
    """
    parsed = parse_name(name)
    if parsed.prefix not in libraries.LIBRARIES:
        raise UnknownNameError(
            f"{name!r} is no architecture; expected one such as 'resnet50' or 'timm:vit_small_patch16_224'"
        )
    return libraries.architecture_spec(parsed)


def fitting_architectures(file: Path) -> tuple[str, ...]:
    """The curated models that a checkpoint fits, by names and shapes."""
    shapes = checkpoint_shapes(file)
    sides = {tuple(tensor.shape) for tensor in shapes.values()}
    found = []
    for spec in CURATED:
        outline = _outline(spec.name)
        if len(outline & sides) < len(outline) - 4:  # a head has two
            continue
        try:
            fit(skeleton(spec.build), shapes)
        except MisfitError:
            continue
        found.append(spec.name)
    return tuple(found)


@cache
def _outline(name: str) -> frozenset[tuple[int, ...]]:
    """The shapes of a curated network's tensors."""
    spec = next(spec for spec in CURATED if spec.name == name)
    return frozenset(tuple(tensor.shape) for tensor in skeleton(spec.build).state_dict().values())


def own_model(
    file: Path,
    architecture: ModelSpec,
    labels: Labels | None = None,
    preprocess: Preprocess | None = None,
    licence: str | None = None,
) -> OwnModel:
    """A checkpoint with its architecture; the file is not looked at yet.

    Raises:
        ArgumentError: labels that cannot be read.
        ArgumentTypeError: labels that are no names.
    """
    labels_file = "The list of labels"
    if isinstance(labels, str | os.PathLike):
        labels_file = Path(labels).name
        labels = read_labels(labels)
    elif labels is not None and not (
        isinstance(labels, Sequence) and all(isinstance(label, str) for label in labels)
    ):
        raise ArgumentTypeError("labels must be a sequence of strings, one per class, or a file with them")
    return OwnModel(
        file=file,
        architecture=architecture,
        labels=None if labels is None else tuple(labels),
        labels_file=labels_file,
        preprocess=preprocess,
        licence=licence,
    )


def _counted(count: int, what: str = "class") -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}{'es' if what.endswith('s') else 's'}"
