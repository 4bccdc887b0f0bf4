"""Rank correlation and class sensitivity of saliency maps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from saliency_core.backprop.meta_step import MetaStep
from saliency_core.errors import ArgumentError, TargetError, UnavailableError
from saliency_core.explain import explain_classes
from saliency_core.explain.arguments import chosen_goals
from saliency_core.inputs.images import open_image
from saliency_core.methods.method import Domain
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.class_comparison import (
    ClassSensitivity,
    MeanSensitivity,
    SensitivityTable,
    compare_classes,
    mean_sensitivity,
)
from saliency_core.models.classifier import Classifier
from saliency_core.models.layers import Layer
from saliency_core.models.targets import Target
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import chosen_names, listed


def class_sensitivity(
    classifier: Classifier,
    image: Image.Image | Tensor,
    method: str = "normgrad",
    layer: str | Layer | None = None,
    classes: Sequence[Target] | None = None,
    *,
    meta: MetaStep | None = None,
    fit: str = "crop",
) -> ClassSensitivity:
    """Spearman's ρ between two classes' maps of one photo, method and layer, resized to the input.

    Lower is more class-sensitive; 1 means that the map is the same whatever class is asked for.

    Args:
        method: a method with a map at layers.
        layer: a layer or its name; the last default stage if None.
        classes: two indices, labels or functions of the class scores; the most and the least likely class if
            None.
        meta: a gradient step before each explanation.
        image, fit: as for :func:`saliency_core.explain`, which also lists the errors.

    Raises:
        TargetError: not two different classes, a network with a single one, or no most and least likely one
            where none are given.
        UnavailableError: a method that is not defined here, or whose map is at the input alone.

    Source: Rebuffi et al. 2020, with the maps of Simonyan et al. 2014 and others.
    """
    layers = None if layer is None else [layer]
    table = class_sensitivity_table(
        classifier, image, classes, methods=[method], layers=layers, meta=meta, fit=fit
    )
    return list(table.cells.values())[-1]


def class_sensitivity_table(
    classifier: Classifier,
    image: Image.Image | Tensor,
    classes: Sequence[Target] | None = None,
    *,
    methods: Iterable[str] | None = None,
    layers: Iterable[str | Layer] | None = None,
    meta: MetaStep | None = None,
    fit: str = "crop",
    lock: Lock = NO_LOCK,
) -> SensitivityTable:
    """:func:`class_sensitivity` for all methods and layers at once.

    One forward pass and one backward pass per class, whatever the number of methods. Arguments and errors
    as there; ``lock`` is entered for every pass.
    """
    names = _at_layers(methods)
    goals = None if classes is None else chosen_goals(classifier, classes)
    if goals is not None and (len(goals) != 2 or goals[0] == goals[1]):
        raise TargetError(f"classes are {list(classes or ())}; expected two different ones")
    first, second = explain_classes(classifier, image, goals, layers, names, meta=meta, fit=fit, lock=lock)
    return compare_classes(first, second)


def _at_layers(methods: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """The methods, checked to have maps at layers."""
    if methods is None:
        return None
    names = chosen_names(methods, "method")
    for name in names:
        if METHODS[name].domain is Domain.INPUT:
            raise UnavailableError(
                f"{METHODS[name].title} has its map at the input only, and class sensitivity compares maps "
                "at layers; choose another method"
            )
    return names


def class_sensitivity_over(
    classifier: Classifier,
    images: Sequence[Image.Image | Tensor] | str | os.PathLike[str],
    classes: Sequence[Target] | None = None,
    *,
    methods: Iterable[str] | None = None,
    layers: Iterable[str | Layer] | None = None,
    meta: MetaStep | None = None,
    fit: str = "crop",
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
) -> dict[tuple[str, str], MeanSensitivity | None]:
    """Mean and 95% confidence interval of the class sensitivity over several photos.

    Keys are (method, layer); None where the correlation was undefined for every photo. Photos for which it
    was undefined are left out of a mean, whose ``count`` is the number of those used.

    Args:
        images: photos, or a folder whose files are all photos.
        classes, methods, layers, meta, fit, lock: as for :func:`class_sensitivity_table`.
        progress: called with (photos done, photos in all).

    Raises:
        ArgumentError: no photos, or a folder that cannot be read.
        ImageError: a file that is not a photo.
    """
    given = _files(images) if isinstance(images, str | os.PathLike) else images
    photos = listed(given, "images", "photos or the path of a folder")
    names = _at_layers(methods)
    if layers is not None and not isinstance(layers, str | Layer):
        layers = listed(layers, "layers", "layers or their names, or None")  # may be an iterator
    tables = []
    for index, photo in enumerate(photos, 1):
        image = open_image(photo) if isinstance(photo, Path) else photo
        tables.append(
            class_sensitivity_table(
                classifier, image, classes, methods=names, layers=layers, meta=meta, fit=fit, lock=lock
            )
        )
        progress(index, len(photos))
    return mean_sensitivity(tables)


def _files(folder: str | os.PathLike[str]) -> list[Path]:
    """The files of a folder by name, without hidden ones."""
    try:
        return sorted(path for path in Path(folder).iterdir() if path.is_file() and path.name[0] != ".")
    except OSError as error:
        raise ArgumentError(f"images is {str(folder)!r}, which is not a folder that can be read") from error
