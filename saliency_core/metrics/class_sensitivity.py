"""Numbers that say something about maps."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saliency_core.backprop.variants import MetaStep
from saliency_core.combine import FloatMap, is_constant, resize
from saliency_core.explain import Explanation, explain_classes
from saliency_core.inputs.images import open_image
from saliency_core.methods.registry import METHODS
from saliency_core.models.classifier import Classifier
from saliency_core.progress import NO_LOCK, Lock

CONFIDENCE = 0.95
Progress = Callable[[int, int], None]
"""Called with (photos done, photos in all)."""


def rank_correlation(first: FloatMap, second: FloatMap) -> float | None:
    r"""Spearman's rank correlation of two maps of one shape, in [-1, 1].

    The Pearson correlation of the ranks, equal values sharing their mean rank. None, for undefined, when one
    of the maps is constant.

    Raises:
        ValueError: maps of different shapes.

    >>> rank_correlation(np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 100.0, 1000.0]]))
    1.0
    """
    if first.shape != second.shape:
        raise ValueError(f"the maps have shapes {first.shape} and {second.shape}; expected the same")
    if is_constant(first) or is_constant(second):
        return None
    return _correlation(_ranks(first), _ranks(second))


@dataclass(frozen=True)
class ClassSensitivity:
    """How much a method's map at a layer depends on the class asked for."""

    method: str
    layer: str
    classes: tuple[int, int]
    correlation: float | None
    """Spearman's ρ of the two maps, resized to the input; None where it is undefined."""
    undefined: str | None
    """Why there is no correlation, as a sentence."""
    maps: tuple[FloatMap, FloatMap] = field(repr=False)
    """The raw maps at the layer's resolution."""


@dataclass(frozen=True)
class SensitivityTable:
    """Class sensitivity of every method at every layer, for one photo and two classes."""

    classes: tuple[int, int]
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
    layer: str | None = None,
    classes: Sequence[int | str] | None = None,
    *,
    meta: MetaStep | None = None,
    fit: str = "crop",
) -> ClassSensitivity:
    """Spearman's ρ between two classes' maps of one photo, method and layer, resized to the input.

    Lower is more class-sensitive; 1 means that the method says the same whatever class is asked for.

    Args:
        method: a method with a map at layers.
        layer: a layer's name; the last default stage if None.
        classes: two indices or labels; the most and the least likely class if None.
        meta: a step of learning before each explanation.

    Raises:
        ValueError: not two different classes, an unknown name, or a method that is not available.

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
    classes: Sequence[int | str] | None = None,
    *,
    methods: Iterable[str] | None = None,
    layers: Iterable[str] | None = None,
    meta: MetaStep | None = None,
    fit: str = "crop",
    lock: Lock = NO_LOCK,
) -> SensitivityTable:
    """:func:`class_sensitivity` for all methods and layers at once.

    One forward pass and one backward pass per class, whatever the number of methods.
    """
    if classes is not None and len({classifier.class_index(target) for target in classes}) != 2:
        raise ValueError(f"classes are {list(classes)}; expected two different ones")
    first, second = explain_classes(
        classifier, image, classes, layers, methods, meta=meta, fit=fit, lock=lock
    )
    return compare_classes(first, second)


def compare_classes(first: Explanation, second: Explanation) -> SensitivityTable:
    """The table for two explanations of one photo, each for its class.

    Raises ``ValueError`` when their layers or methods differ.
    """
    if (first.layers, first.methods, first.size) != (second.layers, second.methods, second.size):
        raise ValueError("the two explanations must have the same layers, methods and input size")
    layers = tuple(layer.name for layer in first.layers)
    methods = tuple(name for name in first.methods if METHODS[name].where != "input")
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
    classes: Sequence[int | str] | None = None,
    *,
    methods: Iterable[str] | None = None,
    layers: Iterable[str] | None = None,
    meta: MetaStep | None = None,
    fit: str = "crop",
    progress: Progress | None = None,
    lock: Lock = NO_LOCK,
) -> dict[tuple[str, str], MeanSensitivity | None]:
    """Mean and 95% confidence interval of the class sensitivity over several photos.

    Keys are (method, layer); None where the correlation was undefined for every photo. Photos for which it
    was undefined are left out of a mean, whose ``count`` tells how many were used.

    Args:
        images: photos, or a folder whose files are all photos.
        classes, methods, layers, meta, fit, lock: as for :func:`class_sensitivity_table`.
        progress: called with (photos done, photos in all).

    Raises:
        ValueError: no photos, a file that is none (``ImageError``), or what the table refuses.
    """
    photos = _files(images) if isinstance(images, str | os.PathLike) else images
    names = None if methods is None else tuple(methods)
    asked = None if layers is None else tuple(layers)
    tables = []
    for index, photo in enumerate(photos, 1):
        image = open_image(photo) if isinstance(photo, Path) else photo
        tables.append(
            class_sensitivity_table(
                classifier, image, classes, methods=names, layers=asked, meta=meta, fit=fit, lock=lock
            )
        )
        if progress is not None:
            progress(index, len(photos))
    return mean_sensitivity(tables)


def _files(folder: str | os.PathLike[str]) -> list[Path]:
    """The files of a folder by name, without hidden ones."""
    return sorted(path for path in Path(folder).iterdir() if path.is_file() and path.name[0] != ".")


def mean_sensitivity(
    tables: Sequence[SensitivityTable], before: Sequence[SensitivityTable] | None = None
) -> dict[tuple[str, str], MeanSensitivity | None]:
    """The mean over tables of several photos, per (method, layer).

    With ``before``, tables of the same photos in the same order, the mean of the change: of each photo's
    correlation minus the one before.

    Raises ``ValueError`` for no tables, or a different number before.
    """
    if not tables:
        raise ValueError("no photos were given; expected at least one")
    if before is not None and len(before) != len(tables):
        raise ValueError(f"there are {len(tables)} tables and {len(before)} before; expected as many")

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
        undefined = f"The map for {which} is constant. {METHODS[method].empty}"
    correlation = None if constant else _correlation(*(_ranks(resize(values, first.size)) for values in maps))
    return ClassSensitivity(method, layer, (first.target, second.target), correlation, undefined, maps)


def _ranks(values: FloatMap) -> NDArray[np.float64]:
    """Ranks from 0, equal values sharing their mean rank; several times quicker than scipy.stats.rankdata."""
    flat = values.ravel()
    order = np.argsort(flat)
    ordered = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(starts[1:], flat.size)
    ranks = np.empty(flat.size)
    ranks[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return ranks


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Pearson's correlation of two arrays that are not constant."""
    a, b = first - first.mean(), second - second.mean()
    # Not a @ b: NumPy's BLAS has threads of its own, which wait in a loop and take the cores from PyTorch's.
    products = float((a * b).sum()), float((a * a).sum()), float((b * b).sum())
    return float(np.clip(products[0] / math.sqrt(products[1] * products[2]), -1, 1))
