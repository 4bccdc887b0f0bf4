"""Rank correlation and class sensitivity of saliency maps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from saliency_core.backprop.variants import MetaStep
from saliency_core.combine import FloatMap, resize
from saliency_core.errors import ArgumentError, ArgumentTypeError, TargetError, UnavailableError
from saliency_core.explain import Explanation, explain_classes
from saliency_core.explain.arguments import chosen_goals, chosen_names
from saliency_core.inputs.images import open_image
from saliency_core.methods.method import Domain
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.ranks import pearson, ranks
from saliency_core.models.classifier import Classifier
from saliency_core.models.layers import Layer
from saliency_core.models.targets import Target
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import listed

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ClassSensitivity:
    """How much a method's map at a layer depends on the class asked for."""

    method: str
    layer: str
    classes: tuple[int | None, int | None]
    """Their indices; None for a function of the class scores."""
    correlation: float | None
    """Spearman's ρ of the two maps, resized to the input; None where it is undefined."""
    undefined: str | None
    """Why there is no correlation, as a sentence."""
    maps: tuple[FloatMap, FloatMap] = field(repr=False)
    """The raw maps at the layer's resolution."""


@dataclass(frozen=True)
class SensitivityTable:
    """Class sensitivity of every method at every layer, for one photo and two classes."""

    classes: tuple[int | None, int | None]
    """Their indices; None for a function of the class scores."""
    labels: tuple[str, str]
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    cells: Mapping[tuple[str, str], ClassSensitivity] = field(repr=False)
    explanations: tuple[Explanation, Explanation] = field(repr=False)
    """What the table was made of, one per class."""

    def correlation(self, method: str, layer: str) -> float | None:
        """The entry of a method and layer; None where it is undefined, or where the method has no map."""
        cell = self.cells.get((method, layer))
        return None if cell is None else cell.correlation


@dataclass(frozen=True)
class MeanSensitivity:
    """A mean over photos with its interval."""

    mean: float
    low: float
    high: float
    """Ends of the 95% confidence interval of the mean (Student's t); equal to it for a single photo."""
    count: int
    """Photos for which the correlation was defined."""


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


def compare_classes(first: Explanation, second: Explanation) -> SensitivityTable:
    """The table for two explanations of one photo, each for its class; maps at the input are left out.

    Raises:
        ArgumentTypeError: not explanations.
        ArgumentError: their layers, methods, input sizes or meta steps differ.
    """
    for each in (first, second):
        if not isinstance(each, Explanation):
            raise ArgumentTypeError(f"{each!r} was to be compared; expected an Explanation")
    one, other = ((each.layers, each.methods, each.size, each.meta) for each in (first, second))
    if one != other:
        raise ArgumentError(
            "the two explanations must have the same layers, methods, input size and meta step; explain both "
            "with the same arguments"
        )
    layers = tuple(layer.name for layer in first.layers)
    methods = tuple(name for name in first.methods if METHODS[name].domain is not Domain.INPUT)
    cells = {
        (method, layer): _compare(first, second, method, layer)
        for method in methods
        for layer in layers
        if first.has(method, layer)
    }
    return SensitivityTable(
        (first.target, second.target), (first.label, second.label), methods, layers, cells, (first, second)
    )


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


def mean_sensitivity(
    tables: Sequence[SensitivityTable], before: Sequence[SensitivityTable] | None = None
) -> dict[tuple[str, str], MeanSensitivity | None]:
    """The mean over tables of several photos, per (method, layer).

    With ``before``, tables of the same photos in the same order, the mean of the change: of each photo's
    correlation minus the one before.

    Raises:
        ArgumentTypeError: not tables.
        ArgumentError: no tables, or a different number before.
    """
    for given in (tables, before):
        for each in () if given is None else listed(given, "tables", "a list of tables"):
            if not isinstance(each, SensitivityTable):
                raise ArgumentTypeError(f"tables contain {each!r}; expected a SensitivityTable")
    if not tables:
        raise ArgumentError("no photos were given; expected at least one")
    if before is not None and len(before) != len(tables):
        raise ArgumentError(f"there are {len(tables)} tables and {len(before)} before; expected as many")

    def found(key: tuple[str, str]) -> list[float]:
        after = [table.correlation(*key) for table in tables]
        first = [0.0] * len(tables) if before is None else [table.correlation(*key) for table in before]
        pairs = zip(after, first, strict=True)
        return [new - old for new, old in pairs if new is not None and old is not None]

    return {key: _mean(found(key)) for key in tables[0].cells}


def _mean(values: list[float]) -> MeanSensitivity | None:
    if not values:
        return None
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return MeanSensitivity(mean, mean, mean, 1)
    from scipy import stats  # not at the top: it doubles the time of importing this package

    error = float(np.std(values, ddof=1)) / count**0.5
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return MeanSensitivity(mean, mean - half, mean + half, count)


def _compare(first: Explanation, second: Explanation, method: str, layer: str) -> ClassSensitivity:
    maps = first.map(method, layer), second.map(method, layer)
    constant = [e.label for e in (first, second) if e.constant(method, layer)]
    undefined = None
    if constant:
        which = " and ".join(f"“{label}”" for label in constant)
        are = "map for {} is" if len(constant) == 1 else "maps for {} are"
        undefined = f"The {are.format(which)} constant. {METHODS[method].empty}"
    correlation = None if constant else pearson(*(ranks(resize(values, first.size)) for values in maps))
    return ClassSensitivity(method, layer, (first.target, second.target), correlation, undefined, maps)
