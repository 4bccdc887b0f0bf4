"""The first step of a batch: its photos are opened and fitted to the input, and their objects are found."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageOps
from torch import Tensor

from saliency_core.errors import ArgumentError, SaliencyError
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.rows import SMALL, Row, size_class
from saliency_core.evaluation.workload import Batch, Item
from saliency_core.inputs.preprocess import InputRegion
from saliency_core.metrics.pointing import ObjectPixels, seen_objects
from saliency_core.models.classifier import Classifier
from saliency_core.photo_sets.model import PhotoRecord, PhotoSet


@dataclass(frozen=True)
class Photo:
    """A photo as the network takes it."""

    x: Tensor
    """(1, C, H, W)."""
    region: InputRegion | None
    """What part of the photo this is."""
    size: tuple[int, int]
    """(width, height) of the photo."""
    small: Image.Image | None = None
    """The middle of the photo, as large as the input: what a cell of a grid is made from."""


@dataclass(frozen=True)
class Subject:
    """An item that can be explained."""

    item: Item
    photo: Photo
    row: Row
    """What all of its rows say of the photo and the objects."""
    objects: ObjectPixels | None = None
    """Those of its class that the network sees; None where no metric needs them."""

    def left_out(self, reason: str) -> Row:
        """The one row of an item that is not evaluated."""
        return left_out(self.item, reason)


@dataclass(frozen=True)
class Prepared:
    """What of a batch can be explained, and the rows of what was left out."""

    subjects: tuple[Subject, ...]
    left_out: tuple[Row, ...]


def left_out(item: Item, reason: str) -> Row:
    """The one row of an item that is not evaluated."""
    return Row(item.number, item.record.name, item.class_name, left_out=reason)


def read_batch(classifier: Classifier, photo_set: PhotoSet, plan: EvaluationPlan, batch: Batch) -> Prepared:
    """Every photo of a batch, opened once for all of its classes; the network does not run."""
    subjects: list[Subject] = []
    missing: list[Row] = []
    opened: tuple[PhotoRecord, Photo | str] | None = None
    for item in batch.items:
        if opened is None or opened[0] is not item.record:
            opened = item.record, _opened(classifier, photo_set, plan, item.record, batch)
        photo = opened[1]
        if isinstance(photo, str):
            missing.append(left_out(item, photo))
            continue
        try:
            subjects.append(_subject(item, photo, plan, batch))
        except ArgumentError as error:
            missing.append(left_out(item, str(error)))
    return Prepared(tuple(subjects), tuple(missing))


def _opened(
    classifier: Classifier, photo_set: PhotoSet, plan: EvaluationPlan, record: PhotoRecord, batch: Batch
) -> Photo | str:
    """A photo, fitted to the input; or why it cannot be used."""
    try:
        image = photo_set.open(record)
    except SaliencyError as error:
        return str(error)
    x, region = classifier.prepare(image, plan.fit)
    small = None
    if batch.cells is not None:
        small = ImageOps.fit(image, (x.shape[3], x.shape[2]), Image.Resampling.BILINEAR)
    return Photo(x, region, image.size, small)


def _subject(item: Item, photo: Photo, plan: EvaluationPlan, batch: Batch) -> Subject:
    """An item with the objects of its class.

    Raises:
        ArgumentError: the network sees none of them.
    """
    every = item.record.annotations
    asked = [each for each in every if each.class_name == item.class_name and not each.crowd]
    row = Row(item.number, item.record.name, item.class_name, objects=len(asked))
    if batch.cells is not None or not asked:
        return Subject(item, photo, row)
    boxes = ObjectPixels.of([each.box for each in asked], photo.size)
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes.regions)
    row = row._replace(
        area=boxes.share,
        size=size_class(boxes.share),
        difficult=area < SMALL * photo.size[0] * photo.size[1]
        and any(each.class_name != item.class_name for each in every),
    )
    if not any(measure.needs_boxes for measure in plan.measures):
        return Subject(item, photo, row)
    pixels = [each.box if each.mask is None else each.mask() for each in asked]
    return Subject(item, photo, row, seen_objects(pixels, photo.size, photo.region))
