"""What is said about the rows of an evaluation: means, intervals, differences, the items behind them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest

from saliency_core.errors import ArgumentError, UnknownNameError
from saliency_core.evaluation.rows import COLUMNS, table
from saliency_core.evaluation.summary import DIFFICULT, OTHERS, summarise

CAM, NORM = ("grad_cam", "layer4"), ("normgrad", "layer4")


def row(item: int, value: float | None, **known: object) -> tuple[object, ...]:
    """A row of the pointing game for Grad-CAM at layer4, unless said otherwise."""
    usual: dict[str, object] = {
        "item": item,
        "photo": f"{item}.jpg",
        "class_name": "cat",
        "class_index": 281,
        "label": "tabby",
        "probability": 0.5,
        "method": "grad_cam",
        "layer": "layer4",
        "metric": "pointing",
        "value": value,
        "undefined": value is None,
        "area": 0.1,
        "size": "small",
        "difficult": False,
        "objects": 1,
        "u": 3,
        "v": 4,
    }
    return tuple((usual | known).get(name) for name in COLUMNS)


def rows(values: Iterable[float | None], **known: object) -> list[tuple[object, ...]]:
    return [row(item, value, **known) for item, value in enumerate(values)]


def test_the_mean_is_that_of_the_items_with_a_value_and_the_others_are_counted() -> None:
    found = summarise(table(rows([0.25, None, 0.75], metric="energy")), "energy").cell(*CAM)
    assert found is not None
    assert (found.mean, found.count, found.undefined) == (0.5, 2, 1)


def test_a_map_without_a_maximum_is_a_miss_of_the_pointing_game_and_counted_as_undefined() -> None:
    found = summarise(table([row(0, 1.0), row(1, 0.0, undefined=True)]), "pointing").cell(*CAM)
    assert found is not None
    assert (found.mean, found.count, found.undefined) == (0.5, 2, 1)


def test_the_average_over_classes_gives_every_class_the_same_weight() -> None:
    given = table([row(0, 1.0), row(1, 1.0), row(2, 1.0), row(3, 0.0, class_name="dog")])
    assert summarise(given, "pointing").cells()[0].mean == 0.75
    assert summarise(given, "pointing", average="classes").cells()[0].mean == 0.5


def test_a_cell_that_no_item_has_a_value_of_has_no_mean_and_a_single_photo_no_interval() -> None:
    found = summarise(table(rows([None, None], metric="energy")), "energy").cells()[0]
    assert (found.mean, found.low, found.high, found.count, found.undefined) == (None, None, None, 0, 2)
    same = [row(0, 0.25, photo="a"), row(1, 0.75, photo="a", class_name="dog")]
    found = summarise(table(same), "pointing").cells()[0]
    assert (found.mean, found.low, found.high) == (0.5, None, None)


def test_classes_of_one_photo_are_drawn_together_so_that_copies_do_not_narrow_the_interval() -> None:
    once = [row(photo, float(photo % 2), photo=str(photo)) for photo in range(20)]
    fivefold = [
        row(5 * photo + copy, float(photo % 2), photo=str(photo), class_name=str(copy))
        for photo in range(20)
        for copy in range(5)
    ]
    first, second = (summarise(table(each), "pointing").cells()[0] for each in (once, fivefold))
    assert (first.low, first.high) == (second.low, second.high)
    assert second.count == 100


def test_cells_of_one_grid_are_drawn_together() -> None:
    cells = [
        row(4 * grid + cell, grid / 9, photo=f"{grid} {cell}", metric="grid2", grid=grid, cell=cell)
        for grid in range(10)
        for cell in range(4)
    ]
    found = summarise(table(cells), "grid2")
    alone = summarise(table([each for each in cells if each[-2] == 0]), "grid2")
    assert (found.photos(), found.items(), alone.photos()) == (10, 40, 10)
    assert found.cells()[0].low == pytest.approx(alone.cells()[0].low, abs=1e-12)


def test_a_difference_is_taken_item_by_item() -> None:
    generator = np.random.default_rng(3)
    hard = generator.random(60)
    given = rows((0.8 * hard).tolist(), metric="energy")
    given += rows((0.8 * hard + 0.05).tolist(), metric="energy", method="normgrad")
    given.append(row(60, 0.9, metric="energy"))  # the other has no value there
    found = summarise(table(given), "energy")
    difference = found.difference(NORM, CAM)
    assert difference.mean == pytest.approx(0.05)
    assert (difference.low, difference.high) == pytest.approx((0.05, 0.05))
    assert (difference.count, difference.photos, difference.differing) == (60, 60, 60)
    assert difference.better == NORM
    assert difference.sentence == (
        "Energy inside, NormGrad at layer4 minus Grad-CAM at layer4: +5.0 percentage points (95 % interval "
        "+5.0 to +5.0, 60 photos): NormGrad at layer4 scores better."
    )
    reverse = found.difference(CAM, NORM)
    assert reverse.mean == -difference.mean
    assert reverse.better == NORM
    # Their own intervals overlap by far: pairing is what tells.
    first, second = found.cell(*CAM), found.cell(*NORM)
    assert first is not None
    assert second is not None
    assert first.high > second.low


def test_of_deletion_the_smaller_area_is_the_better_one() -> None:
    given = rows([0.5] * 8, metric="deletion") + rows([0.1] * 8, metric="deletion", method="normgrad")
    assert summarise(table(given), "deletion").difference(CAM, NORM).better == NORM


def test_few_photos_that_differ_do_not_tell_which_is_better() -> None:
    given = rows([1.0] * 5) + rows([0.0] * 5, method="normgrad")
    difference = summarise(table(given), "pointing").difference(CAM, NORM)
    assert difference.excludes_zero
    assert difference.better is None
    assert difference.sentence.endswith("They differ on 5 photos only: too few to tell which is better.")
    given = rows([1.0] * 6) + rows([0.0] * 6, method="normgrad")
    assert summarise(table(given), "pointing").difference(CAM, NORM).better == CAM


def test_an_interval_that_contains_zero_does_not_tell_which_is_better() -> None:
    values = [float(item % 2) for item in range(40)]
    given = rows(values) + rows([1 - value for value in values], method="normgrad")
    difference = summarise(table(given), "pointing").difference(CAM, NORM)
    assert difference.mean == 0
    assert not difference.excludes_zero
    assert difference.sentence.endswith(
        "The interval contains zero: these photos do not tell which is better."
    )
    one = rows([1.0]) + rows([0.0], method="normgrad")
    assert "on a single photo" in summarise(table(one), "pointing").difference(CAM, NORM).sentence
    none = rows([1.0], metric="energy") + rows([None], metric="energy", method="normgrad")
    assert summarise(table(none), "energy").difference(CAM, NORM).sentence == (
        "No photo has a value of both Grad-CAM at layer4 and NormGrad at layer4."
    )


def test_items_are_grouped_by_class_by_size_and_by_the_difficult_subset() -> None:
    given = table(
        [
            row(0, 1.0, class_name="dog", size="large"),
            row(1, 0.0, difficult=True),
            row(2, 1.0, difficult=None, size=None),
        ]
    )
    by_class = summarise(given, "pointing", by="class")
    assert by_class.groups == ("cat", "dog")
    assert [by_class.cells(group)[0].mean for group in by_class.groups] == [0.5, 1.0]
    assert [by_class.items(group) for group in (*by_class.groups, "")] == [2, 1, 3]
    by_size = summarise(given, "pointing", by="size")
    assert {group: by_size.cells(group)[0].mean for group in by_size.groups} == {"small": 0.0, "large": 1.0}
    split = summarise(given, "pointing", by="difficult")
    assert {group: split.cells(group)[0].mean for group in split.groups} == {DIFFICULT: 0.0, OTHERS: 1.0}


def test_methods_and_layers_keep_the_order_of_the_evaluation_and_may_have_gaps() -> None:
    given = rows([1.0, 1.0], method="xgrad_cam", layer="z") + rows([0.0, 1.0], method="grad_cam", layer="a")
    given.append(row(1, 0.0, method="grad_cam", layer="z"))
    found = summarise(table(given), "pointing")
    assert (found.methods, found.layers) == (("xgrad_cam", "grad_cam"), ("z", "a"))
    assert found.cell("xgrad_cam", "a") is None
    cell = found.cell("grad_cam", "z")
    assert cell is not None
    assert cell.count == 1


def test_the_best_and_worst_items_come_with_all_that_is_known_of_them() -> None:
    given = table(
        [
            row(0, 1.0, probability=0.2, photo="a.jpg", u=7, v=9),
            row(1, 0.0, probability=0.9, photo="b.jpg"),
            row(2, 1.0, probability=0.8, photo="c.jpg"),
            row(3, 0.0, probability=0.1, photo="d.jpg", undefined=True, u=None, v=None),
        ]
    )
    found = summarise(given, "pointing")
    assert [each.photo for each in found.best(*CAM)] == ["c.jpg", "a.jpg", "b.jpg", "d.jpg"]
    assert [each.photo for each in found.worst(*CAM, 2)] == ["b.jpg", "d.jpg"]
    best, worst = found.best(*CAM)[1], found.worst(*CAM)[1]
    assert (best.item, best.class_name, best.label, best.point, best.value) == (
        0,
        "cat",
        "tabby",
        (7, 9),
        1.0,
    )
    assert (worst.point, worst.undefined) == (None, True)
    lower = summarise(table(rows([0.5, 0.1], metric="deletion")), "deletion")
    assert [each.value for each in lower.best(*CAM)] == [0.1, 0.5]
    energy = summarise(table(rows([0.5, None], metric="energy")), "energy")
    assert [each.value for each in energy.worst(*CAM)] == [0.5]


def test_the_table_has_a_row_for_every_group_method_and_layer() -> None:
    given = rows([1.0, 0.0]) + rows([1.0, 1.0], method="normgrad")
    given.append(row(2, None, metric=None, method=None, layer=None, left_out="The photo is damaged."))
    found = summarise(table(given), "pointing", by="class", draws=50).table()
    assert found.head == [
        "Class",
        "Method",
        "Name",
        "Layer",
        "Pointing game",
        "Low",
        "High",
        "Items",
        "Undefined",
    ]
    assert [row[:5] for row in found.rows] == [
        ["cat", "Grad-CAM", "grad_cam", "layer4", 0.5],
        ["cat", "NormGrad", "normgrad", "layer4", 1.0],
    ]
    assert list(found.remarks) == [
        "Mean over all items; 95 % bootstrap intervals over photos, 50 draws, seed 0.",
        "Items left out of the evaluation, of all metrics together: 1.",
    ]
    assert len(found.csv().splitlines()) == 3


def test_an_item_that_was_counted_twice_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match="item 1 was counted twice: two rows have the metric 'pointing' of"
    ):
        summarise(table([*rows([1.0, 0.0]), row(1, 0.0)]), "pointing")


def test_a_metric_that_was_not_measured_is_refused_with_those_that_were() -> None:
    with pytest.raises(
        ArgumentError, match="nothing was measured with the metric 'energy'; the rows have poin"
    ):
        summarise(table(rows([1.0])), "energy")
    with pytest.raises(ArgumentError, match="there is no row with a value"):
        summarise(table([]), "energy")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": "colour"}, "unknown grouping 'colour'"),
        ({"average": "photos"}, "unknown average 'photos'"),
        ({"level": 95}, "level is 95; expected a number between 0 and 1"),
        ({"draws": 0}, "draws is 0; expected a positive number"),
    ],
)
def test_what_cannot_be_summarised_is_refused_with_the_choices(
    wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ArgumentError if "expected" in message else UnknownNameError, match=message):
        summarise(table(rows([1.0])), "pointing", **wrong)


def test_a_cell_or_group_that_does_not_exist_is_refused_with_the_choices() -> None:
    found = summarise(table(rows([1.0, 0.0])), "pointing")
    with pytest.raises(UnknownNameError, match="choices: grad_cam at layer4"):
        found.best("normgrad", "layer4")
    with pytest.raises(UnknownNameError, match="unknown group 'dog'"):
        found.cells("dog")


def test_rows_whose_texts_have_no_dictionary_give_the_same() -> None:
    given = table(rows([1.0, 0.0, 1.0]))
    plain = given.cast(
        pa.schema(
            [
                (field.name, pa.string() if name == "text" else field.type)
                for field, name in zip(given.schema, COLUMNS.values(), strict=True)
            ]
        )
    )
    parts = pa.concat_tables([plain.slice(0, 1), plain.slice(1)])
    assert summarise(parts, "pointing").cells() == summarise(given, "pointing").cells()
