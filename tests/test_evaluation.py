"""Evaluation of photo sets: plans, items, rows, runs that are interrupted, results on disk."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from PIL import ImageOps
from torch import Tensor, nn

import saliency_core as sc
from saliency_core.errors import ArgumentError
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.result import EvaluationResult, open_results
from saliency_core.evaluation.rows import COLUMNS, Row, schema
from saliency_core.evaluation.run import Evaluation, EvaluationError, evaluate, evaluate_batch, here
from saliency_core.metrics.grids import cell_box, compose_grid
from saliency_core.metrics.localisation import energy_inside
from saliency_core.metrics.pointing import pointing_game
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.photo_sets.reading import read_photo_set
from saliency_core.progress import Cancelled
from tests.networks import SIDE, classifier, seeded
from tests.photo_set_files import (
    WRITERS,
    StoredFiles,
    Thing,
    WrittenPhoto,
    made_photo_set,
    png,
    small_photos,
    write_coco,
    written,
)

LABELS = ("red", "green", "blue", "coloured, blue", "grey")
FEW = ("normgrad", "grad_cam")


def network(module: nn.Module | None = None) -> sc.Classifier:
    """Five classes, of which the data sets' "blue" is two."""
    return classifier(seeded() if module is None else module, labels=LABELS)


def plan(**changes: object) -> EvaluationPlan:
    return EvaluationPlan(**{"methods": FEW, "fit": "pad", "batch": 4, **changes})


def values(result: EvaluationResult | pa.Table) -> list[dict[str, object]]:
    table = result.rows if isinstance(result, EvaluationResult) else result
    return table.to_pylist()


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    """Ten photos of 64 × 48 with one or two coloured rectangles each."""
    return made_photo_set(small_photos(10))


@pytest.fixture(scope="module")
def whole(photos: PhotoSet) -> EvaluationResult:
    """The undisturbed run that others are compared with."""
    return evaluate(network(), photos, plan())


def test_every_value_is_what_the_metric_gives_for_the_photo_alone(
    photos: PhotoSet, whole: EvaluationResult
) -> None:
    clf, work = network(), Evaluation(network(), photos, plan())
    explained: dict[int, sc.Explanation] = {}
    items = {item.number: item for batch in work.workload.batches for item in batch.items}
    checked = 0
    for row in values(whole):
        item = items[row["item"]]
        image = photos.open(item.record)
        boxes = [each.box for each in item.record.annotations if each.class_name == row["class_name"]]
        if row["item"] not in explained:
            probabilities = sc.explain(clf, image, methods=FEW[:1], fit="pad").probabilities
            target = max(item.indices, key=lambda index: probabilities[index])
            explained[row["item"]] = sc.explain(clf, image, target, methods=FEW, fit="pad")
        e = explained[row["item"]]
        assert row["class_index"] == e.target
        assert row["probability"] == pytest.approx(e.probability, rel=1e-5)
        if row["layer"] in ("uniform sum", "uniform product"):
            maps = [e.map(row["method"], layer) for layer in e.layers]
            plane = sc.combine(maps, how=row["layer"].split()[1], size=e.size)
        else:
            plane = e.map(row["method"], row["layer"])
        left, top, right, bottom = e.box
        if row["metric"] == "pointing":
            hit = pointing_game(plane, boxes, box=e.box, photo_size=image.size, size=e.size)
            assert (row["value"], row["undefined"]) == (float(bool(hit)), hit is None)
        else:
            fractions = [
                tuple((np.array(box) - (left, top, left, top)) / np.tile((right - left, bottom - top), 2))
                for box in boxes
            ]
            assert row["value"] == pytest.approx(energy_inside(plane, fractions, e.size), rel=1e-4)
        checked += 1
    layers = len(clf.default_layers) + 2
    assert len(whole.rows) == len(items) * len(FEW) * layers * 2
    assert checked > 0.9 * len(whole.rows)


def test_voc_coco_yolo_and_csv_annotations_of_the_same_boxes_give_the_same_rows(tmp_path: Path) -> None:
    found = {}
    for kind in ("voc", "coco", "yolo", "csv"):
        photo_set = read_photo_set(WRITERS[kind](tmp_path / kind, small_photos(5)))
        rows = values(evaluate(network(), photo_set, plan()))
        for row in rows:
            row["photo"] = Path(row["photo"]).name
        found[kind] = rows
    assert len(found["voc"]) > 100
    for kind in ("coco", "yolo", "csv"):
        assert found[kind] == found["voc"], kind


def test_masks_take_the_place_of_the_boxes_that_they_fill(tmp_path: Path) -> None:
    photos = small_photos(3)
    sets = [
        read_photo_set(write_coco(tmp_path / (masks or "boxes"), photos, masks=masks))
        for masks in ("", "rle")
    ]
    boxes, masks = (evaluate(network(), each, plan(metrics=("pointing",))) for each in sets)
    assert boxes.rows["value"] == masks.rows["value"]


def test_a_batch_by_itself_has_the_rows_of_the_whole_run_to_the_last_digit(
    photos: PhotoSet, whole: EvaluationResult
) -> None:
    count = len(Evaluation(network(), photos, plan()))
    assert count > 2
    tables = [evaluate_batch(network(), photos, plan(), index) for index in reversed(range(count))]
    assert values(pa.concat_tables(tables[::-1])) == values(whole)


def test_a_run_that_was_cancelled_goes_on_and_equals_an_undisturbed_one(
    photos: PhotoSet, whole: EvaluationResult, tmp_path: Path
) -> None:
    out, seen = tmp_path / "results.parquet", []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done >= 8:
            raise Cancelled

    with pytest.raises(Cancelled):
        evaluate(network(), photos, plan(), out=out, progress=stop)
    assert not out.exists()
    kept: list[pa.Table] = []
    again: list[tuple[int, int]] = []
    result = evaluate(
        network(), photos, plan(), out=out, progress=lambda *each: again.append(each), keep=kept.append
    )
    assert again[0] == seen[-1]
    assert again[0][0] == 8
    assert values(result) == values(whole) == values(pa.concat_tables(kept)) == values(open_results(out))
    assert result.complete
    assert [path.name for path in tmp_path.iterdir()] == ["results.parquet"]


def test_a_finished_run_is_read_and_not_computed_again(photos: PhotoSet, tmp_path: Path) -> None:
    def never(work: Evaluation, batches: object, lock: object) -> Iterator[tuple[int, pa.Table]]:
        raise AssertionError("a batch was computed")
        yield

    first = evaluate(network(), photos, plan(), out=tmp_path / "results.parquet")
    second = evaluate(network(), photos, plan(), out=tmp_path / "results.parquet", compute=never)
    assert values(first) == values(second)
    assert first.identity == second.identity
    assert [path.name for path in tmp_path.iterdir()] == ["results.parquet"]


def test_a_part_that_was_cut_off_while_it_was_written_is_computed_again(
    photos: PhotoSet, whole: EvaluationResult, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise Cancelled

    out = tmp_path / "results.parquet"
    with pytest.raises(Cancelled):
        evaluate(network(), photos, plan(), out=out, progress=stop)
    parts = tmp_path / "results.parquet.parts"
    (parts / "part-000001.tmp").write_bytes(b"PAR1 and no more")
    (parts / "part-000002.parquet").write_bytes(b"")
    assert values(evaluate(network(), photos, plan(), out=out)) == values(whole)


def test_results_of_another_plan_or_other_photos_or_weights_are_not_continued(
    photos: PhotoSet, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    evaluate(network(), photos, plan(), out=out)
    with pytest.raises(ArgumentError, match="of another plan: tolerance 15.0 instead of 3.0"):
        evaluate(network(), photos, plan(tolerance=3), out=out)
    with pytest.raises(ArgumentError, match="of other photos"):
        evaluate(network(), made_photo_set(small_photos(9)), plan(), out=out)
    with pytest.raises(ArgumentError, match="of a network with other weights"):
        evaluate(network(seeded(1)), photos, plan(), out=out)
    assert open_results(out).plan.tolerance == 15
    anew = evaluate(network(), photos, plan(tolerance=3), out=out, restart=True)
    assert anew.plan.tolerance == open_results(out).plan.tolerance == 3


def test_results_of_a_network_with_other_labels_or_preprocessing_are_not_continued(
    photos: PhotoSet, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    clf = network()
    evaluate(clf, photos, plan(), out=out)
    module, options = clf.parts()
    for change in (
        {"labels": clf.labels[::-1]},
        {"preprocess": dataclasses.replace(clf.preprocess, mean=(0.0, 0.0, 0.0))},
    ):
        with pytest.raises(ArgumentError, match="other weights, labels or preprocessing"):
            evaluate(sc.Classifier(module, **options | change), photos, plan(), out=out)


def test_what_is_no_photo_set_is_refused() -> None:
    with pytest.raises(sc.SaliencyError, match="expected a PhotoSet"):
        evaluate(network(), "photos", plan())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", ".", "/", "a\0b"])
def test_results_that_no_file_can_hold_are_refused(photos: PhotoSet, name: str) -> None:
    with pytest.raises(ArgumentError, match="no file can be called"):
        evaluate(network(), photos, plan(), out=name)


@pytest.mark.parametrize("restart", [True, False])
def test_a_file_that_is_not_of_an_evaluation_is_never_removed(
    photos: PhotoSet, tmp_path: Path, restart: bool
) -> None:
    out = tmp_path / "thesis.parquet"
    pa.parquet.write_table(pa.table({"a": [1]}), out)
    with pytest.raises(ArgumentError, match="is not a file of results"):
        evaluate(network(), photos, plan(), out=out, restart=restart)
    assert pa.parquet.read_table(out).to_pydict() == {"a": [1]}
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.parquet"]
    with pytest.raises(ArgumentError, match="has no results of an evaluation"):
        open_results(out)


def test_two_runs_do_not_write_to_one_file_at_the_same_time(photos: PhotoSet, tmp_path: Path) -> None:
    out = tmp_path / "results.parquet"

    def second(done: int, total: int) -> None:
        with pytest.raises(ArgumentError, match="another run is writing"):
            evaluate(network(), photos, plan(), out=out)

    evaluate(network(), photos, plan(), out=out, progress=second)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda found: [*found, found[0]], "came back a second time"),
        (lambda found: found[:-1], "did not come back"),
        (lambda found: [(0, found[1][1]), *found[1:]], "came back with the items"),
    ],
    ids=["twice", "lost", "mixed up"],
)
def test_batches_that_are_lost_or_come_twice_are_noticed(
    photos: PhotoSet, spoil: object, sentence: str
) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        evaluate(
            network(), photos, plan(), compute=lambda *given: (each for each in spoil(list(here(*given))))
        )


def test_a_damaged_photo_and_an_object_outside_the_crop_are_listed_and_the_rest_is_evaluated() -> None:
    photos = small_photos(4, size=(96, 32))
    names = list(photos)
    photos[names[1]] = dataclasses.replace(photos[names[1]], data=b"\x89PNG and nothing else")
    photos[names[2]] = dataclasses.replace(photos[names[2]], things=(Thing("red", (0, 0, 9, 9)),))
    result = evaluate(network(), made_photo_set(photos), plan(fit="crop"))
    reasons = {photo: reason for photo, _, reason in result.left_out}
    assert "damaged or incomplete" in reasons[names[1]]
    assert "no pixel of the objects is in the part of the photo that the network sees" in reasons[names[2]]
    assert {row["photo"] for row in values(result) if row["metric"]} == {names[0], names[3]}
    assert result.complete
    assert result.counts["evaluated"] + result.counts["left_out"] == result.counts["items"]


class NotFinite(nn.Module):
    """A network whose scores are NaN for bright photos."""

    def __init__(self) -> None:
        super().__init__()
        self.network = seeded()

    def forward(self, batch: Tensor) -> Tensor:
        bright = batch.mean(dim=(1, 2, 3), keepdim=True) > 1
        return self.network(torch.where(bright, torch.nan, batch))


def test_a_photo_for_which_the_network_overflows_is_listed_and_the_rest_of_its_batch_is_evaluated() -> None:
    photos = small_photos(4)
    white = written(png(np.full((48, 64, 3), 255, np.uint8)), Thing("red", (10, 10, 30, 30)))
    result = evaluate(network(NotFinite()), made_photo_set({**photos, "white.png": white}), plan(batch=16))
    ((photo, _, reason),) = result.left_out
    assert photo == "white.png"
    assert "NaN or infinity" in reason
    assert result.counts["photos"] == 4


def test_the_columns_say_how_much_of_the_photo_the_objects_cover_and_whether_it_is_difficult() -> None:
    base = small_photos(1)["photo-00.png"]

    def photo(*things: Thing) -> WrittenPhoto:
        return dataclasses.replace(base, things=things)

    quarter = (0.0, 0.0, 32.0, 24.0)  # of 64 × 48
    photos = {
        "small, with another": photo(Thing("red", (8, 8, 24, 20)), Thing("grey", (30, 30, 40, 40))),
        "small, alone": photo(Thing("red", (8, 8, 24, 20))),
        "a quarter, with another": photo(Thing("red", quarter), Thing("grey", (30, 30, 40, 40))),
        "twice the same half": photo(Thing("red", (0, 0, 64, 24)), Thing("red", (0, 0, 64, 24))),
    }
    result = evaluate(network(), made_photo_set(photos), plan(metrics=("energy",)))
    found = {row["photo"]: row for row in values(result) if row["class_name"] == "red"}
    assert {name: (row["size"], row["difficult"], row["objects"]) for name, row in found.items()} == {
        "small, with another": ("small", True, 1),
        "small, alone": ("small", False, 1),
        "a quarter, with another": ("medium", False, 1),
        "twice the same half": ("large", False, 2),
    }
    assert found["small, alone"]["area"] == pytest.approx(16 * 12 / (64 * 48))
    assert found["twice the same half"]["area"] == pytest.approx(0.5)


def test_objects_that_are_difficult_or_a_crowd_alone_and_unknown_classes_are_not_asked_for() -> None:
    base = small_photos(1)["photo-00.png"]
    box = (8.0, 8.0, 30.0, 30.0)
    things = (
        Thing("red", box, difficult=True),
        Thing("blue", box, crowd=True),
        Thing("unicorn", box),
        Thing("green", box),
        Thing("green", (40, 30, 60, 44), difficult=True),
    )
    photo_set = made_photo_set({"one.png": dataclasses.replace(base, things=things)})
    result = evaluate(network(), photo_set, plan(metrics=("energy",)))
    assert {(row["class_name"], row["objects"]) for row in values(result)} == {("green", 2)}
    remarks = " ".join(result.identity.remarks)
    assert "1 photo with the class 'unicorn' was not asked about it: No label of the network" in remarks
    assert "'red': all objects of the class there are marked as difficult" in remarks
    assert "'blue'" in remarks


def test_a_set_of_which_the_network_knows_no_class_is_refused_with_the_reason() -> None:
    base = small_photos(1)["photo-00.png"]
    things = (Thing("unicorn", (8, 8, 30, 30)),)
    photo_set = made_photo_set({"one.png": dataclasses.replace(base, things=things)})
    with pytest.raises(ArgumentError, match="needs photos with boxes or masks"):
        evaluate(network(), photo_set, plan(metrics=("pointing",)))


def test_a_constant_map_is_a_miss_and_undefined(photos: PhotoSet) -> None:
    with torch.no_grad():
        module = seeded()
        module.head.weight.zero_()  # no gradient comes back to any layer
    result = evaluate(network(module), photos, plan())
    assert len(result.rows)
    for row in values(result):
        expected = 0.0 if row["metric"] == "pointing" else None
        assert (row["value"], row["undefined"], row["u"]) == (expected, True, None)


def test_photos_are_opened_one_batch_ahead_at_most() -> None:
    opened: list[str] = []

    class Counted(StoredFiles):
        def read(self, name: str) -> bytes:
            opened.append(name)
            return super().read(name)

    written_ = {name: photo for name, photo in small_photos(24).items() if len(photo.things) == 1}
    photo_set = dataclasses.replace(made_photo_set(written_), files=Counted(written_))
    ahead = []

    def watch(done: int, total: int) -> None:
        ahead.append(len(opened) - done)

    evaluate(network(), photo_set, plan(batch=2), progress=watch)
    assert len(opened) == len(written_) == 12
    assert max(ahead) <= 4  # the batch after this one, and the one after that if it is waited for


def test_the_rows_have_the_columns_and_types_that_are_documented(whole: EvaluationResult) -> None:
    import saliency_core.evaluation.rows as module

    assert whole.rows.schema.equals(schema())
    assert list(COLUMNS) == list(Row._fields) == whole.rows.column_names
    for name in COLUMNS:
        assert f"\n{name}" in module.__doc__ or f", {name} " in module.__doc__
    assert pc.all(pc.is_null(whole.rows["left_out"])).as_py()


COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
}


def colour_network() -> sc.Classifier:
    """A network that recognises the colours above with certainty, each by a channel of its own."""
    signs = torch.tensor(
        [[1.0, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1], [0.5, 0.5, -1], [-1, 0.5, 0.5]]
    )
    module = nn.Sequential(
        nn.Conv2d(3, 5, 1), nn.ReLU(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 5)
    ).double()
    with torch.no_grad():
        module[0].weight.copy_(signs[:, :, None, None])
        module[0].bias.zero_()
        module[-1].weight.copy_(10 * torch.eye(5))
        module[-1].bias.zero_()
    preprocess = sc.Preprocess(size=SIDE, resize=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)
    return sc.Classifier(module, preprocess=preprocess, labels=list(COLOURS))


def coloured(count: int, folder_class: str | None = None) -> PhotoSet:
    """Photos of one colour each, somewhat noisy, of the colours in turn."""
    photos = {}
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 40, (30, 40, 3))
        colour = np.array(list(COLOURS.values())[number % 5])
        photos[f"{number:02}.png"] = written(png(np.abs(colour - noise).astype(np.uint8)))
    made = made_photo_set(photos)
    records = tuple(dataclasses.replace(each, folder_class=folder_class) for each in made.records)
    names = () if folder_class is None else (folder_class,)
    return dataclasses.replace(made, kind="folders", records=records, class_names=names)


def grids(photo_set: PhotoSet, **changes: object) -> EvaluationResult:
    return evaluate(colour_network(), photo_set, plan(metrics=("grid2",), **changes))


def members(result: EvaluationResult) -> dict[int, dict[int, tuple[str, str]]]:
    """Grid -> cell -> photo and class."""
    found: dict[int, dict[int, tuple[str, str]]] = {}
    for row in values(result):
        if row["grid"] is not None:
            found.setdefault(row["grid"], {})[row["cell"]] = (row["photo"], row["label"])
    return found


def test_every_photo_is_a_cell_of_one_grid_of_different_classes_or_listed() -> None:
    result = grids(coloured(22))
    found = members(result)
    assert len(found) == 5
    photos = [photo for cells in found.values() for photo, _ in cells.values()]
    listed = [photo for photo, _, reason in result.left_out if "not enough photos of other" in reason]
    assert sorted(photos + listed) == [f"{number:02}.png" for number in range(22)]
    for cells in found.values():
        assert sorted(cells) == [0, 1, 2, 3]
        assert len({label for _, label in cells.values()}) == 4
    assert members(grids(coloured(22))) == found
    assert members(grids(coloured(22), seed=1)) != found


def test_a_network_that_looks_at_one_colour_per_class_localises_in_the_right_cell() -> None:
    photo_set, clf = coloured(16), colour_network()
    result = grids(photo_set)
    records = {record.name: record for record in photo_set.records}
    for number, cells in members(result).items():
        images = [photo_set.open(records[cells[cell][0]]) for cell in range(4)]
        grid = compose_grid([ImageOps.fit(image, (SIDE, SIDE)) for image in images], 2, (SIDE, SIDE))
        for cell, (_, label) in cells.items():
            e = sc.explain(clf, grid, label, methods=FEW, fit="stretch")
            rows = [row for row in values(result) if (row["grid"], row["cell"]) == (number, cell)]
            assert len(rows) == len(FEW) * (len(e.layers) + 2)
            for row in rows:
                if row["layer"] not in ("uniform sum", "uniform product"):
                    share = energy_inside(e.map(row["method"], row["layer"]), [cell_box(cell)], e.size)
                    assert row["value"] == pytest.approx(share, abs=0.02)  # two ways to resize the photo
    cam = result.rows.filter(pc.equal(result.rows["method"].cast(pa.string()), "grad_cam"))
    assert pc.mean(cam["value"]).as_py() > 0.6


def test_photos_in_a_folder_that_is_no_class_of_the_network_become_cells_of_grids() -> None:
    assert members(grids(coloured(16, folder_class="images"))) == members(grids(coloured(16)))


def test_photos_that_the_network_does_not_recognise_are_in_no_grid() -> None:
    wrong = grids(coloured(8, folder_class="red"))
    reasons = {photo: reason for photo, _, reason in wrong.left_out}
    assert reasons["01.png"] == "The network takes it for 'green'; a cell of a grid has to be recognised."
    assert "not enough photos of other classes" in reasons["00.png"]
    unsure = grids(coloured(4), confidence=1.0)
    assert len(unsure.left_out) == 4
    assert unsure.left_out[0][2].endswith("only; a cell of a grid needs 1.")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ("normgradd",)}, "unknown method 'normgradd'; did you mean 'normgrad'"),
        ({"methods": ()}, "no method was named"),
        ({"metrics": ("pointin",)}, "unknown metric 'pointin'; did you mean 'pointing'"),
        ({"metrics": ()}, "no metric was named"),
        ({"fit": "cropp"}, "unknown fit 'cropp'"),
        ({"baseline": "white"}, "unknown baseline 'white'"),
        ({"batch": 0}, "batch is 0; expected a number from 1"),
        ({"batch": 1.5}, "batch is 1.5; expected a whole number"),
        ({"limit": 0}, "limit is 0"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"confidence": 2}, "confidence is 2"),
        ({"layers": (), "mixes": ()}, "neither a layer nor a mix was named"),
        (
            {"methods": None, "metrics": ("insertion_deletion",)},
            "insertion and deletion take about 64 passes",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_a_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(sc.SaliencyError, match=re.escape(sentence)):
        plan(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"layers": ("layer1",)}, "unknown layer 'layer1'"),
        ({"mixes": ("uniform mean",)}, "unknown mix 'uniform mean'"),
        ({"methods": ("attention_rollout",)}, "Attention rollout is not available"),
    ],
)
def test_a_plan_that_does_not_fit_the_network_is_refused_before_anything_is_computed(
    photos: PhotoSet, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(sc.SaliencyError, match=re.escape(sentence)):
        Evaluation(network(), photos, plan(**changes))


def test_plans_that_may_give_other_rows_have_other_digests_and_all_survive_json() -> None:
    changes: dict[str, object] = {
        "model": "resnet50",
        "methods": ("gradient",),
        "layers": ("conv",),
        "mixes": ("linear sum",),
        "metrics": ("energy",),
        "fit": "crop",
        "batch": 5,
        "tolerance": 3.0,
        "baseline": "black",
        "steps": 8,
        "confidence": 0.9,
        "seed": 1,
        "limit": 3,
    }
    assert changes.keys() == {field.name for field in dataclasses.fields(EvaluationPlan)}
    plans = [plan(), *(plan(**{name: value}) for name, value in changes.items())]
    assert len({each.digest for each in plans}) == len(plans)
    assert [EvaluationPlan.from_json(each.as_json()) for each in plans] == plans


def test_what_a_plan_leaves_open_is_chosen_for_the_network_and_the_photos(photos: PhotoSet) -> None:
    clf = network()
    found = Evaluation(clf, photos, EvaluationPlan()).plan
    assert found.layers == clf.default_layers
    assert set(FEW) < set(found.methods or ())
    assert found.mixes == ("uniform sum", "uniform product")
    assert found.metrics == ("pointing", "energy")
    assert Evaluation(colour_network(), coloured(3), EvaluationPlan()).plan.metrics == ("grid2",)


def test_the_limit_takes_the_first_photos(photos: PhotoSet) -> None:
    result = evaluate(network(), photos, plan(limit=3))
    assert {row["photo"] for row in values(result)} == {record.name for record in photos.records[:3]}
