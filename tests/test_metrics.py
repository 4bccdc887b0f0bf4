"""Class sensitivity on cases worked out by hand, on the stored numbers, and on a photo with known parts."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.combine import resize
from tests.networks import batch, classifier, seeded

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "assets" / "samples"
STORED = np.load(Path(__file__).parent / "reference" / "efficientnet_lite0.npz")
OUR_NAME = {"norm_grad": "normgrad", "norm_grad_selective": "normgrad_selective"}


def plane(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(2, -1)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (plane(1, 2, 3, 4), plane(1, 2, 3, 4), 1),
        (plane(1, 2, 3, 4), plane(10, 200, 3000, 40000), 1),
        (plane(1, 2, 3, 4), plane(4, 3, 2, 1), -1),
        (plane(1, 2, 3, 4), plane(2, 1, 4, 3), 0.6),
        (plane(1, 1, 2, 2), plane(1, 1, 2, 2), 1),
        (plane(1, 1, 2, 2), plane(1, 2, 1, 2), 0),
        (plane(0, 0, 0, 1), plane(0, 0, 1, 2), 2 / 6**0.5),
    ],
)
def test_the_rank_correlation_of_cases_worked_out_by_hand(
    first: np.ndarray, second: np.ndarray, expected: float
) -> None:
    assert sc.rank_correlation(first, second) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sc.rank_correlation([["a"]], [[1]]), r"the first map is .*; expected numbers"),
        (lambda: sc.rank_correlation([[1, 2]], [1, 2]), r"the second map has shape \(2,\)"),
        (lambda: sc.mean_sensitivity(3), "tables is 3; expected a list of tables"),
        (lambda: sc.mean_sensitivity([1]), "tables contain 1; expected a SensitivityTable"),
    ],
)
def test_metrics_say_what_is_wrong_with_what_they_are_given(call, message: str) -> None:
    with pytest.raises(sc.SaliencyError, match=message):
        call()


def test_the_rank_correlation_of_lists_is_that_of_arrays() -> None:
    assert sc.rank_correlation([[1, 2], [3, 4]], np.array([[1, 2], [4, 3]])) == pytest.approx(0.8)


def test_the_rank_correlation_of_a_constant_map_is_undefined() -> None:
    assert sc.rank_correlation(plane(1, 1, 1, 1), plane(1, 2, 3, 4)) is None
    assert sc.rank_correlation(plane(1, 2, 3, 4), plane(0, 0, 0, 0)) is None
    with pytest.raises(ValueError, match=r"shapes \(2, 2\) and \(2, 1\); expected the same"):
        sc.rank_correlation(plane(1, 2, 3, 4), plane(1, 2))


def test_the_rank_correlation_equals_scipys_with_many_ties() -> None:
    from scipy import stats  # a second, in every process that collects the tests

    random = np.random.default_rng(0)
    first, second = random.integers(0, 9, (2, 40, 50)).astype(np.float32)
    second = np.maximum(second + first - 8, 0)
    expected = stats.spearmanr(first.ravel(), second.ravel()).statistic
    assert sc.rank_correlation(first, second) == pytest.approx(expected, abs=1e-12)


def test_class_sensitivity_is_the_rank_correlation_of_the_resized_maps() -> None:
    from scipy import stats  # a second, in every process that collects the tests

    clf, x = classifier(), batch()
    found = sc.class_sensitivity(clf, x, "normgrad", "branch", [1, 3])
    one, other = (sc.explain(clf, x, target).map("normgrad", "branch") for target in (1, 3))
    expected = stats.spearmanr(resize(one, (24, 24)).ravel(), resize(other, (24, 24)).ravel()).statistic
    assert found.correlation == pytest.approx(expected, abs=1e-9)
    assert found.classes == (1, 3)
    np.testing.assert_allclose(found.maps[0], one, rtol=1e-5)
    np.testing.assert_allclose(found.maps[1], other, rtol=1e-5)


def test_by_default_the_extremes_are_compared_at_the_last_stage() -> None:
    clf, x = classifier(), batch()
    found = sc.class_sensitivity(clf, x)
    probabilities = sc.explain(clf, x).probabilities
    assert found.classes == (probabilities.argmax(), probabilities.argmin())
    assert found.layer == "act"


def test_a_table_takes_one_forward_pass_and_one_backward_pass_per_class() -> None:
    clf, x = classifier(), batch()
    forward: list[str] = []
    backward: list[str] = []

    def watch(_module: object, _inputs: object, output: torch.Tensor) -> None:
        forward.append("pass")
        if output.requires_grad:
            output.register_hook(lambda _: backward.append("pass"))

    handle = clf.module.down.register_forward_hook(watch)
    table = sc.class_sensitivity_table(clf, x, [0, 4])
    handle.remove()
    assert (len(forward), len(backward)) == (1, 2)
    assert set(table.cells) == {(m, layer) for m in table.methods for layer in ("branch", "act")}
    alone = sc.class_sensitivity(clf, x, "layer_cam", "act", [0, 4]).correlation
    assert table.correlation("layer_cam", "act") == alone


def test_a_constant_map_leaves_the_correlation_undefined_with_the_reason() -> None:
    network = seeded()
    with torch.no_grad():
        network.head.weight[4] = 0
    clf = classifier(network, labels=["ant", "bee", "cat", "dog", "eel"])
    found = sc.class_sensitivity(clf, batch(), "normgrad", "act", ["ant", "eel"])
    assert found.correlation is None
    assert found.undefined.startswith("The map for “eel” is constant.")
    with torch.no_grad():
        network.head.weight[0] = 0
    both = sc.class_sensitivity(clf, batch(), "normgrad", "act", ["ant", "eel"])
    assert both.undefined.startswith("The maps for “ant” and “eel” are constant.")


def test_the_same_method_for_a_class_that_it_ignores_correlates_perfectly() -> None:
    assert sc.class_sensitivity(classifier(), batch(), "eigen_cam", "act", [0, 1]).correlation == 1


@pytest.mark.parametrize("classes", [[1], [1, 1], [1, 2, 3], [1, 1, 2]])
def test_not_two_different_classes_are_refused(classes: list[int]) -> None:
    with pytest.raises(sc.TargetError, match="expected two different ones"):
        sc.class_sensitivity(classifier(), batch(), classes=classes)


def test_no_classes_and_a_single_one_are_refused() -> None:
    with pytest.raises(sc.TargetError, match="no class was asked for"):
        sc.class_sensitivity(classifier(), batch(), classes=[])
    with pytest.raises(sc.ArgumentTypeError, match="classes is 'class 1'; expected a sequence"):
        sc.class_sensitivity(classifier(), batch(), classes="class 1")


@pytest.mark.parametrize("meta", [None, sc.MetaStep()])
def test_without_a_most_and_a_least_likely_class_the_classes_must_be_named(meta: sc.MetaStep | None) -> None:
    with pytest.raises(sc.TargetError, match="the network has a single class"):
        sc.class_sensitivity(classifier(seeded(classes=1)), batch(), meta=meta)
    equal = seeded()
    with torch.no_grad():
        equal.head.weight[:] = equal.head.weight[:1].clone()
        equal.head.bias[:] = 0
    with pytest.raises(sc.TargetError, match="all classes are equally likely.*name the classes"):
        sc.class_sensitivity(classifier(equal), batch(), meta=meta)


def test_a_method_with_its_map_at_the_input_is_refused_before_its_passes() -> None:
    clf, passes = classifier(), []
    clf.module.head.register_forward_hook(lambda *_: passes.append(1))
    for ask in (sc.class_sensitivity, partial(sc.class_sensitivity_table, classes=[0, 1])):
        options = {"method": "rise"} if ask is sc.class_sensitivity else {"methods": ["normgrad", "rise"]}
        with pytest.raises(sc.UnavailableError, match="RISE has its map at the input only"):
            ask(clf, batch(), **options)
    assert not passes


def test_a_single_name_of_a_method_or_layer_stands_for_itself() -> None:
    table = sc.class_sensitivity_table(classifier(), batch(), [0, 1], methods="normgrad", layers="act")
    assert list(table.cells) == [("normgrad", "act")]
    over = sc.class_sensitivity_over(classifier(), [batch()], [0, 1], methods="normgrad", layers="act")
    assert list(over) == [("normgrad", "act")]


def test_explanations_before_and_after_a_step_are_not_compared() -> None:
    before, after = (sc.explain(classifier(), batch(), 0, meta=meta) for meta in (None, sc.MetaStep()))
    with pytest.raises(sc.ArgumentError, match="meta step"):
        sc.compare_classes(before, after)


def test_the_mean_over_photos_has_students_interval() -> None:
    from scipy import stats  # a second, in every process that collects the tests

    clf, method = classifier(), "normgrad_selective"
    photos = [batch(seed=seed) for seed in range(4)]
    steps: list[tuple[int, int]] = []
    over = sc.class_sensitivity_over(
        clf, photos, [0, 1], methods=[method], layers=["act"], progress=lambda *s: steps.append(s)
    )
    values = [sc.class_sensitivity(clf, photo, method, "act", [0, 1]).correlation for photo in photos]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = over[method, "act"]
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.count == 4
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_folder_of_photos_counts_as_its_photos(tmp_path: Path) -> None:
    clf = classifier(seeded(dtype=torch.float32))
    random = np.random.default_rng(0)
    photos = [Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8)) for _ in range(3)]
    for index, photo in enumerate(photos):
        photo.save(tmp_path / f"{index}.png")
    (tmp_path / ".hidden").write_text("no photo")
    key = ("normgrad", "branch")
    options = {"classes": [0, 1], "methods": ["normgrad"], "layers": ["branch"]}
    found = sc.class_sensitivity_over(clf, tmp_path, **options)[key]
    assert found == sc.class_sensitivity_over(clf, photos, **options)[key]
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(sc.ImageError):
        sc.class_sensitivity_over(clf, tmp_path, **options)


def test_the_mean_change_is_that_of_each_photos_own_change() -> None:
    from scipy import stats  # a second, in every process that collects the tests

    clf, key = classifier(), ("normgrad", "branch")
    ask = partial(sc.class_sensitivity_table, clf, classes=[0, 1], methods=["normgrad"], layers=["branch"])
    photos = [batch(seed=seed) for seed in range(3)]
    before = [ask(photo) for photo in photos]
    after = [ask(photo, meta=sc.MetaStep(0.05)) for photo in photos]
    changes = [new.correlation(*key) - old.correlation(*key) for new, old in zip(after, before, strict=True)]
    found = sc.mean_sensitivity(after, before=before)[key]
    low, high = stats.t.interval(0.95, 2, np.mean(changes), stats.sem(changes))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(changes), low, high))
    with pytest.raises(ValueError, match="3 tables and 2 before"):
        sc.mean_sensitivity(after, before=before[:2])


def test_a_method_that_some_layers_lack_is_compared_at_the_others() -> None:
    clf = classifier(default_layers=["conv", "bn", "down", "act"])
    table = sc.class_sensitivity_table(clf, batch(), [0, 1], methods=["normgrad_proper", "normgrad"])
    assert [layer for method, layer in table.cells if method == "normgrad_proper"] == ["conv", "down"]
    assert table.correlation("normgrad_proper", "act") is None
    assert sc.class_sensitivity(clf, batch(), "normgrad_proper", classes=[0, 1]).layer == "down"


def test_undefined_photos_are_left_out_of_the_mean_and_counted_out() -> None:
    clf = classifier()
    tables = [sc.class_sensitivity_table(clf, batch(seed=seed), [0, 1], layers=["act"]) for seed in (0, 1)]
    key = ("normgrad", "act")
    value = tables[0].correlation(*key)
    tables[1].cells[key] = sc.class_sensitivity(clf, torch.zeros_like(batch()), "normgrad", "act", [0, 1])
    dead = type(tables[1].cells[key])(
        "normgrad", "act", (0, 1), None, "It is constant.", tables[1].cells[key].maps
    )
    tables[1].cells[key] = dead
    found = sc.mean_sensitivity(tables)[key]
    assert (found.mean, found.low, found.high, found.count) == (value, value, value, 1)
    tables[0].cells[key] = dead
    assert sc.mean_sensitivity(tables)[key] is None
    with pytest.raises(ValueError, match="no photos were given"):
        sc.mean_sensitivity([])


@pytest.fixture(scope="module")
def embedded() -> sc.Classifier:
    return sc.load_classifier("tf_efficientnet_lite0", device="cpu")


def test_every_stored_correlation_agrees(embedded: sc.Classifier) -> None:
    pixels = torch.from_numpy(STORED["image"]).permute(2, 0, 1)[None].float()
    table = sc.class_sensitivity_table(embedded, (pixels / 255 - 0.5) / 0.5)
    assert table.classes == (int(STORED["most_likely"]), int(STORED["least_likely"]))
    keys = [name.split("/")[1:] for name in STORED if name.startswith("spearman/")]
    assert len(keys) == 8 * 5
    for layer, name in keys:
        stored = float(STORED[f"spearman/{layer}/{name}"])
        ours = table.correlation(OUR_NAME.get(name, name), layer)
        assert (ours is None) == np.isnan(stored), (layer, name)
        if ours is not None:
            assert ours == pytest.approx(stored, abs=2e-3), (layer, name)


def test_each_classs_grad_cam_lies_mostly_in_its_own_half_of_a_composed_photo(
    embedded: sc.Classifier,
) -> None:
    """At least three quarters of the mass at the last layer, for the cat above and the coffee below."""
    name = "cat-above-coffee.jpg"
    image = sc.open_image(SAMPLES / name)
    for part in json.loads((SAMPLES / "objects.json").read_text())[name]:
        explanation = sc.explain(embedded, image, part["index"], methods=["grad_cam"], fit="stretch")
        mass = resize(explanation.map("grad_cam", "bn2"), (image.height, image.width))
        left, top, right, bottom = (round(edge) for edge in part["box"])
        share = mass[top:bottom, left:right].sum() / mass.sum()
        assert share > 0.75, (part["label"], share)


def test_normgrad_at_the_last_layer_is_the_same_for_every_class_until_the_meta_step(
    embedded: sc.Classifier,
) -> None:
    image = sc.open_image(SAMPLES / "chelsea.png")
    plain = sc.class_sensitivity(embedded, image, "normgrad", "bn2")
    after = sc.class_sensitivity(embedded, image, "normgrad", "bn2", meta=sc.MetaStep())
    assert plain.correlation == pytest.approx(1, abs=1e-6)
    assert after.correlation < 0.9
