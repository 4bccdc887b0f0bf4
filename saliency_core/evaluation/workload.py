"""What there is to do for a photo set: its items, in fixed batches.

A batch is computed as a whole wherever it is computed, so that the rows of a run that was interrupted, and of
one on many machines, are those of an undisturbed one to the last digit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.photo_sets.class_names import match_classes
from saliency_core.photo_sets.model import PhotoRecord, PhotoSet


@dataclass(frozen=True)
class Item:
    """One class of one photo, or one photo as a candidate for a cell of a grid."""

    number: int
    record: PhotoRecord
    class_name: str
    """In the set's own words; empty where the set says none."""
    indices: tuple[int, ...]
    """The network's classes that it stands for, of which the most likely one is explained; any if empty."""


@dataclass(frozen=True)
class Batch:
    """Items that are computed together."""

    items: tuple[Item, ...]
    cells: int | None = None
    """Of the grids of ``cells`` × ``cells`` photos that are made from the items; None for none."""


@dataclass(frozen=True)
class Workload:
    """All items of a photo set, in the order of their numbers, and what of the set is not among them."""

    batches: tuple[Batch, ...]
    remarks: tuple[str, ...]
    """Sentences on classes that the network does not have, and on objects that are not asked for."""

    @property
    def count(self) -> int:
        """The number of items."""
        return sum(len(batch.items) for batch in self.batches)


def has_objects(photo_set: PhotoSet, labels: Sequence[str]) -> bool:
    """Whether there are objects of classes that a network with these labels knows."""
    known = match_classes(photo_set.class_names, labels).indices
    return any(each.class_name in known for record in photo_set.records for each in record.annotations)


def workload(photo_set: PhotoSet, labels: Sequence[str], plan: EvaluationPlan) -> Workload:
    """The batches of a plan that leaves nothing open (see :meth:`EvaluationPlan.resolved`).

    First the pairs of a photo and a class that it shows, in the set's order; then, for each size of grid that
    is asked for, every photo once in a seeded order.
    """
    records = photo_set.records[: plan.limit]
    match = match_classes(photo_set.class_names, labels)
    remarks: list[str] = []
    batches: list[Batch] = []
    number = 0

    def add(pairs: Iterator[_Pair], size: int, cells: int | None = None) -> None:
        nonlocal number
        items = [Item(number + offset, *pair) for offset, pair in enumerate(pairs)]
        number += len(items)
        batches.extend(Batch(tuple(items[at : at + size]), cells) for at in range(0, len(items), size))

    single = [measure for measure in plan.measures if measure.cells is None]
    if single:
        unknown: Counter[str] = Counter()
        hard: Counter[str] = Counter()
        with_boxes = any(measure.needs_boxes for measure in single)
        add(_pairs(records, match.indices, unknown, hard, with_boxes=with_boxes), plan.batch)
        remarks += [
            f"{_photos(count)} with the class {name!r} {'was' if count == 1 else 'were'} not asked about it: "
            f"{match.unmatched[name]}"
            for name, count in unknown.items()
        ]
        remarks += [
            f"{_photos(count)} {'was' if count == 1 else 'were'} not asked about {name!r}: all objects of "
            "the class there are marked as difficult, or as a crowd."
            for name, count in hard.items()
        ]
    for measure in plan.measures:
        if measure.cells is not None:
            order = sorted(records, key=partial(_place, plan.seed, measure.cells))
            pairs = ((record, *_classes_of(record, match.indices)) for record in order)
            add(pairs, plan.batch * measure.cells**2, measure.cells)
    return Workload(tuple(batches), tuple(remarks))


_Pair = tuple[PhotoRecord, str, tuple[int, ...]]


def _pairs(
    records: Sequence[PhotoRecord],
    known: Mapping[str, tuple[int, ...]],
    unknown: Counter[str],
    hard: Counter[str],
    *,
    with_boxes: bool,
) -> Iterator[_Pair]:
    """Photo by photo, every class of its objects; or of its folder, where no metric needs boxes."""
    for record in records:
        names = dict.fromkeys(each.class_name for each in record.annotations)
        if not names and not with_boxes:
            if record.folder_class is None:
                yield record, "", ()
                continue
            names = {record.folder_class: None}
        for name in names:
            asked = [each for each in record.annotations if each.class_name == name]
            if name not in known:
                unknown[name] += 1
            elif asked and all(each.difficult or each.crowd for each in asked):
                hard[name] += 1
            else:
                yield record, name, known[name]


def _classes_of(record: PhotoRecord, known: Mapping[str, tuple[int, ...]]) -> tuple[str, tuple[int, ...]]:
    """The classes that a photo may be recognised as in a grid: all that it shows, any where none is known."""
    names = dict.fromkeys(each.class_name for each in record.annotations)
    if not names and record.folder_class is not None:
        names = {record.folder_class: None}
    indices = dict.fromkeys(index for name in names for index in known.get(name, ()))
    return " + ".join(names), tuple(indices)


def _place(seed: int, cells: int, record: PhotoRecord) -> bytes:
    """A photo's place in a seeded order, which is the same with every version of every library."""
    return hashlib.blake2b(f"{seed} {cells} {record.name}".encode("utf-8", "replace")).digest()


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count:,} photos"
