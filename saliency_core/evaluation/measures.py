"""What is measured of a map: one entry for each number that a row can hold."""

from __future__ import annotations

from dataclasses import dataclass

from saliency_core.registry import Registry


@dataclass(frozen=True)
class Measure:
    """A number that is computed for one map, with what a reader needs to judge it."""

    name: str
    title: str
    summary: str
    """One sentence: what a value is."""
    reference: str
    higher_is_better: bool = True
    needs_boxes: bool = False
    """Whether it compares the map with the boxes or masks of objects."""
    cells: int | None = None
    """Of a grid of ``cells`` × ``cells`` photos; None for one photo by itself."""
    perturbs: bool = False
    """Whether the network runs on many changed copies of the photo for every single map."""
    binary: bool = False
    """Whether every value is 0 or 1."""


MEASURES: Registry[Measure] = Registry("metric")
GROUPS = {"insertion_deletion": ("insertion", "deletion")}
"""Names that stand for several metrics, which one computation gives."""

PETSIUK = "Petsiuk, Das, Saenko: RISE, BMVC 2018"
BOEHLE = "Böhle, Fritz, Schiele: Convolutional Dynamic Alignment Networks, CVPR 2021"

for _measure in (
    Measure(
        "pointing",
        "Pointing game",
        "A hit is a map whose maximum lies on the object, or nearer to it than the tolerance. A map that is "
        "the same everywhere has no maximum and counts as a miss.",
        "Zhang et al.: Top-down Neural Attention by Excitation Backprop, IJCV 2018",
        needs_boxes=True,
        binary=True,
    ),
    Measure(
        "energy",
        "Energy inside",
        "The share of the positive part of the map that lies on the object.",
        "Wang et al.: Score-CAM, CVPR workshops 2020",
        needs_boxes=True,
    ),
    Measure(
        "insertion",
        "Insertion",
        "The area under the probability of the class while the brightest pixels of the map are inserted "
        "first.",
        PETSIUK,
        perturbs=True,
    ),
    Measure(
        "deletion",
        "Deletion",
        "The area under the probability of the class while the brightest pixels of the map are deleted "
        "first.",
        PETSIUK,
        higher_is_better=False,
        perturbs=True,
    ),
    Measure(
        "grid2",
        "Grid pointing game, 2 × 2",
        "The share of the positive part of the map that lies in the cell of the class, in a grid of four "
        "photos of different classes.",
        BOEHLE,
        cells=2,
    ),
    Measure(
        "grid3",
        "Grid pointing game, 3 × 3",
        "The share of the positive part of the map that lies in the cell of the class, in a grid of nine "
        "photos of different classes.",
        BOEHLE,
        cells=3,
    ),
):
    MEASURES.add(_measure.name, _measure)
