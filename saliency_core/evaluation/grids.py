"""The grid pointing game: grids of photos that the network recognises, explained for the class of each cell.

Böhle et al. 2021 compose their grids at several times the size of the network's input. Here the whole grid
has the input's size, which every network takes, so each photo is seen at a half or a third of its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.reading import Subject
from saliency_core.evaluation.rows import Row
from saliency_core.evaluation.scoring import explained, of_class
from saliency_core.metrics.grids import cell_box, compose_grid
from saliency_core.metrics.scores import score_explanation
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.progress import Lock


@dataclass(frozen=True)
class _Recognised:
    """A photo that the network recognises, with the class that it gives."""

    subject: Subject
    index: int


@dataclass
class _Grid:
    number: int
    photos: list[_Recognised] = field(default_factory=list)

    def takes(self, photo: _Recognised) -> bool:
        """Whether no photo of the same class is in it yet, in the network's classes and in the set's.

        Of the set's classes those count that the network knows: ``images`` may be the folder of all photos.
        """
        name = photo.subject.item.class_name if photo.subject.item.indices else ""
        return all(
            each.index != photo.index and (not name or each.subject.item.class_name != name)
            for each in self.photos
        )


def grid_rows(
    classifier: Classifier,
    plan: EvaluationPlan,
    subjects: Sequence[Subject],
    cells: int,
    lock: Lock,
) -> Iterator[Row]:
    """The rows of a batch of photos, each of which becomes the cell of one grid at most.

    A photo goes into the first grid with a free cell that has no photo of its class; the order is that of the
    batch, which is seeded. Grids that are not full in the end are not evaluated.
    """
    grids: list[_Grid] = []
    open_grids: list[_Grid] = []
    for subject, index, probability in _classified(classifier, plan, subjects, lock):
        if reason := _not_recognised(classifier, plan, subject, index, probability):
            yield subject.left_out(reason)
            continue
        photo = _Recognised(subject, index)
        grid = next((each for each in open_grids if each.takes(photo)), None)
        if grid is None:
            grid = _Grid(subject.item.number)
            grids.append(grid)
            open_grids.append(grid)
        grid.photos.append(photo)
        if len(grid.photos) == cells**2:
            open_grids.remove(grid)
    for grid in open_grids:
        for photo in grid.photos:
            yield photo.subject.left_out(
                f"There were not enough photos of other classes to fill a grid of {cells} × {cells} with it."
            )
    asked = [
        (grid, cell) for grid in grids if len(grid.photos) == cells**2 for cell in range(len(grid.photos))
    ]
    for at in range(0, len(asked), plan.batch):
        yield from _scored(classifier, plan, asked[at : at + plan.batch], cells, lock)


def _classified(
    classifier: Classifier, plan: EvaluationPlan, subjects: Sequence[Subject], lock: Lock
) -> Iterator[tuple[Subject, int, float]]:
    """Each photo with the index of its most likely class and the probability of it."""
    for at in range(0, len(subjects), plan.batch):
        some = subjects[at : at + plan.batch]
        batch = classifier.to_device(torch.cat([subject.photo.x for subject in some]))
        with lock, torch.inference_mode(), without_autocast(classifier.device):
            probabilities = classifier.probabilities(classifier.scores(batch)).cpu()
        for subject, row in zip(some, probabilities, strict=True):
            index = int(row.argmax())
            yield subject, index, float(row[index])


def _not_recognised(
    classifier: Classifier, plan: EvaluationPlan, subject: Subject, index: int, probability: float
) -> str | None:
    """Why a photo cannot be a cell of a grid; None if it can."""
    label, own = classifier.labels[index], subject.item.indices
    if own and index not in own:
        return f"The network takes it for {label!r}; a cell of a grid has to be recognised."
    if not probability >= plan.confidence:  # NaN is left out, too
        return (
            f"It is {label!r} with a probability of {probability:.2f} only; a cell of a grid needs "
            f"{plan.confidence:g}."
        )
    return None


def _scored(
    classifier: Classifier,
    plan: EvaluationPlan,
    asked: Sequence[tuple[_Grid, int]],
    cells: int,
    lock: Lock,
) -> Iterator[Row]:
    inputs = {grid.number: _input(classifier, grid, cells) for grid, _ in asked}
    goals = [grid.photos[cell].index for grid, cell in asked]
    each = explained(classifier, plan, [inputs[grid.number] for grid, _ in asked], goals, lock)
    for (grid, cell), found in zip(asked, each, strict=True):
        subject = grid.photos[cell].subject
        if isinstance(found, str):
            yield subject.left_out(found)
            continue
        height, width = found.size
        row = of_class(subject.row, found)._replace(
            metric=f"grid{cells}", area=1 / cells**2, objects=1, grid=grid.number, cell=cell
        )
        left, top, right, bottom = cell_box(cell, cells)
        region = (left * width, top * height, right * width, bottom * height)
        scores = score_explanation(found, [region], mixes=plan.mixes or (), photo_size=(width, height))
        for score in scores:
            yield row._replace(
                method=score.method,
                layer=score.layer,
                value=score.energy,
                undefined=score.energy is None,
            )


def _input(classifier: Classifier, grid: _Grid, cells: int) -> Tensor:
    """The grid's picture as the network takes it, (1, C, H, W)."""
    photos = [photo.subject.photo for photo in grid.photos]
    height, width = photos[0].x.shape[2:]
    picture = compose_grid([photo.small for photo in photos if photo.small], cells, (height, width))
    x, _ = classifier.prepare(picture, "stretch")
    return x
