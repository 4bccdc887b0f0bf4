"""The pointing game: its maximum against the whole resized map, its disc and its corner cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.combine import resize
from saliency_core.metrics.mixes import Mix, mix_named
from saliency_core.metrics.pointing import ObjectPixels, hits, maxima, maximum, point_in_photo
from saliency_core.metrics.scores import MapScorer, score_explanation
from tests.networks import classifier

SHAPES = [
    ((7, 7), (56, 56)),
    ((5, 3), (20, 12)),
    ((7, 9), (50, 31)),
    ((1, 1), (4, 4)),
    ((1, 6), (8, 24)),
    ((12, 12), (12, 12)),
    ((16, 16), (8, 8)),
    ((9, 4), (4, 9)),
]


def large(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The whole bilinear resize in float64, pixel after pixel."""
    h, w = values.shape
    found = np.empty(size)
    for y in range(size[0]):
        for x in range(size[1]):
            down = max((y + 0.5) * h / size[0] - 0.5, 0)
            across = max((x + 0.5) * w / size[1] - 0.5, 0)
            r, c = min(int(down), h - 1), min(int(across), w - 1)
            below, right = min(r + 1, h - 1), min(c + 1, w - 1)
            above = values[r, c] + (across - c) * (values[r, right] - values[r, c])
            under = values[below, c] + (across - c) * (values[below, right] - values[below, c])
            found[y, x] = above + (down - r) * (under - above)
    return found


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_the_maximum_is_that_of_the_whole_resized_map_the_first_one_of_equal_ones(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    generator = np.random.default_rng(0)
    drawn = [generator.normal(size=shape) for _ in range(3)]
    # Few whole numbers: rows, columns and areas of equal largest cells, far apart and side by side.
    drawn += [generator.integers(0, most, shape).astype(float) for most in (2, 2, 2, 3, 3) for _ in range(3)]
    for values in drawn:
        plane = large(values, size)
        first = divmod(int(plane.argmax()), size[1])
        assert maxima(values[None], size) == [first]
        assert maximum(values, size) == (None if np.ptp(values) == 0 else first)
        np.testing.assert_allclose(resize(values, size), plane, atol=1e-5)


def test_maps_together_have_the_maxima_that_each_has_alone() -> None:
    stack = np.random.default_rng(1).integers(-3, 4, (9, 6, 5)).astype(np.float32)
    assert maxima(stack, (48, 40)) == [maximum(values, (48, 40)) for values in stack]


@pytest.mark.parametrize(
    ("distance", "hit"), [((15, 0), False), ((14, 0), True), ((9, 12), False), ((8, 12), True)]
)
def test_the_tolerance_is_a_disc_without_its_border(distance: tuple[int, int], hit: bool) -> None:
    across, down = distance
    box = (40.0, 40.0, 60.0, 60.0)
    mask = np.zeros((100, 120), bool)
    mask[40:60, 40:60] = True
    for point in ((40 - across, 40 - down), (59 + across, 59 + down)):
        assert hits(point, [box], (120, 100)) is hit
        assert hits(point, mask, (120, 100)) is hit


def test_a_hit_is_a_pixel_of_the_objects_in_the_disc_as_a_loop_over_all_pixels_finds_it() -> None:
    generator = np.random.default_rng(2)
    for _ in range(40):
        left, top = generator.uniform(-5, 40, 2)
        right, bottom = left + generator.uniform(0.2, 20), top + generator.uniform(0.2, 20)
        mask = generator.random((40, 50)) < 0.002
        point, tolerance = tuple(generator.integers(-4, 54, 2).tolist()), float(generator.uniform(0.5, 9))
        pixels = ObjectPixels.of([(left, top, right, bottom), mask], (50, 40))
        near = False
        for v in range(40):
            for u in range(50):
                inside = math.floor(left) <= u < math.ceil(right) and math.floor(top) <= v < math.ceil(bottom)
                distance = (u - point[0]) ** 2 + (v - point[1]) ** 2
                near |= bool(inside or mask[v, u]) and distance < tolerance**2
        assert pixels.near(point, tolerance) is near


@pytest.mark.parametrize(
    ("point", "photo_size", "message"),
    [
        ((1,), (10, 10), "expected a pixel"),
        ((math.nan, 2), (10, 10), "expected a pixel"),
        (("a", 2), (10, 10), "expected numbers"),
        ((1, 2), (10,), "photo_size is"),
        ((1, 2), (10, -5), "photo_size is"),
        ((1, 2), (10.5, 10), "photo_size is"),
        ((1, 2), None, "photo_size is"),
    ],
)
def test_a_point_or_a_size_that_is_none_is_refused(point: object, photo_size: object, message: str) -> None:
    with pytest.raises(sc.SaliencyError, match=message):
        hits(point, [(0, 0, 5, 5)], photo_size)  # type: ignore[arg-type]


def test_objects_count_so_far_as_the_network_sees_them() -> None:
    pixels = ObjectPixels.of([(0, 0, 30.5, 10), (90, 0, 100, 10)], (100, 50))
    seen = pixels.within((25.0, 0.0, 75.0, 50.0))
    assert (pixels.boxes, seen.boxes) == (((0, 0, 31, 10), (90, 0, 100, 10)), ((25, 0, 31, 10),))
    mask = np.zeros((50, 100), bool)
    mask[:10, :31] = mask[:10, 90:] = True
    assert np.array_equal(ObjectPixels.of([mask], (100, 50)).within((25, 0, 75, 50)).mask(), seen.mask())
    assert seen.share == 60 / 5000
    assert pixels.within((40, 0, 80, 50)).empty


def test_a_point_is_carried_through_the_region_that_the_network_sees_and_lies_in_a_pixel() -> None:
    image = Image.new("RGB", (300, 200))
    for fit in sc.FITS:
        box = classifier().prepare(image, fit)[1]
        u, v = point_in_photo((23, 0), (24, 24), box)
        across, down = (box[2] - box[0]) / 24, (box[3] - box[1]) / 24
        assert 0 <= box[0] + across / 2 - u < 1
        assert 0 <= box[3] - down / 2 - v < 1


def test_the_game_on_a_map_whose_maximum_is_known() -> None:
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = 1  # the photo's square from 100 to 150 across and 50 to 100 down; its first largest pixel
    game = {"box": (0.0, 0.0, 200.0, 200.0), "photo_size": (200, 200), "size": (4, 4)}
    assert point_in_photo((1, 2), (4, 4), game["box"]) == (125, 75)
    assert sc.pointing_game(values, [(125, 75, 126, 76)], **game, tolerance=0.5) is True
    assert sc.pointing_game(values, [(126, 75, 130, 76)], **game, tolerance=0.5) is False
    assert sc.pointing_game(values, [(0, 0, 5, 5), (139, 75, 200, 76)], **game) is True
    assert sc.pointing_game(values, [(140, 75, 200, 76)], **game) is False
    assert sc.pointing_game(np.ones((4, 4)), [(0, 0, 200, 200)], **game) is None


@pytest.mark.parametrize(
    ("objects", "options", "message"),
    [
        ([], {}, "no object was given"),
        ([(0, 0, 5)], {}, r"shape \(3,\)"),
        ([(5, 0, 5, 9)], {}, "has no area"),
        ([(0, 0, math.nan, 9)], {}, "has no area"),
        (np.zeros((3, 3), bool), {}, r"that of the photo, \(50, 100\)"),
        (np.zeros((50, 100), bool), {}, "no pixel of the objects"),
        ([(200, 0, 210, 10)], {}, "no pixel of the objects"),
        ([(0, 0, 20, 20)], {}, "no pixel of the objects"),
        ([(30, 0, 60, 50)], {"tolerance": 0}, "tolerance is 0"),
        ([(30, 0, 60, 50)], {"box": None}, "unknown what part"),
        (["a"], {}, "expected numbers"),
        (3, {}, "objects is 3"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_sentence(objects: object, options: dict, message: str) -> None:
    given = {"box": (25.0, 0.0, 75.0, 50.0), "photo_size": (100, 50)} | options
    with pytest.raises(sc.SaliencyError, match=message):
        sc.pointing_game(np.eye(3), objects, **given)


@pytest.fixture(scope="module")
def explanation() -> sc.Explanation:
    photo = Image.effect_noise((60, 40), 90).convert("RGB")
    methods = ["normgrad", "linear_approx", "grad_cam", "gradient", "smoothgrad"]
    layers = ["input", "relu", "act"]
    return sc.explain(
        classifier(), photo, 2, layers, methods, options={"smoothgrad": {"samples": 2}}, fit="pad"
    )


def test_the_scores_of_an_explanation_are_those_of_each_map_by_itself(explanation: sc.Explanation) -> None:
    objects = [(3.0, 2.0, 30.0, 22.5), (20.0, 10.0, 50.0, 39.0)]
    left, top, right, bottom = explanation.box
    width, height = right - left, bottom - top
    fractions = [
        ((a - left) / width, (b - top) / height, (c - left) / width, (d - top) / height)
        for a, b, c, d in objects
    ]
    game = {"box": explanation.box, "photo_size": (60, 40), "size": explanation.size, "tolerance": 3.0}
    mixes = ["uniform product", "linear sum", Mix("two", "product", {"relu": 2.0, "act": 1.0})]
    scores = score_explanation(explanation, objects, mixes=mixes, tolerance=3.0)
    places = {(score.method, score.layer) for score in scores}
    assert len(places) == len(scores) == 4 * 6 + 1
    for score in scores:
        names = [layer.name for layer in explanation.layers]
        if score.layer in ("input", *names):
            values = explanation.map(score.method, score.layer)
        else:
            mix = mix_named(score.layer) if score.layer != "two" else mixes[2]
            weights = sc.layer_weights(names, mix.preset)
            maps = [explanation.map(score.method, name) for name in names]
            values = sc.combine(maps, weights, mix.how, explanation.size)
        at = maximum(values, explanation.size)
        assert score.point == (None if at is None else point_in_photo(at, explanation.size, explanation.box))
        assert score.hit is sc.pointing_game(values, objects, **game)
        expected = sc.energy_inside(values, fractions, explanation.size)
        assert score.energy == (None if expected is None else pytest.approx(expected, abs=1e-5))
        if score.layer in names and expected is not None:
            assert score.energy == pytest.approx(expected, abs=1e-6)


def test_a_mask_of_a_boxs_pixels_gives_the_boxs_scores(explanation: sc.Explanation) -> None:
    mask = np.zeros((40, 60), bool)
    mask[2:22, 3:30] = True
    box = [(3.0, 2.0, 30.0, 22.0)]
    assert score_explanation(explanation, mask) == score_explanation(explanation, box)


def test_layers_methods_and_mixes_are_chosen_by_name(explanation: sc.Explanation) -> None:
    box = [(3.0, 2.0, 30.0, 22.0)]
    some = score_explanation(explanation, box, methods=["grad_cam", "normgrad"], layers=["act"])
    assert [(score.method, score.layer) for score in some] == [("grad_cam", "act"), ("normgrad", "act")]
    with pytest.raises(sc.UnknownNameError, match="unknown mix 'mean'; .*uniform product"):
        score_explanation(explanation, box, mixes=["mean"])
    with pytest.raises(sc.LayerError, match="unknown layer 'bn'"):
        score_explanation(explanation, box, layers=["bn"])
    with pytest.raises(sc.UnknownNameError, match="was not computed"):
        score_explanation(explanation, box, methods=["layer_cam"])
    with pytest.raises(sc.ArgumentError, match="pass photo_size"):
        score_explanation(explanation.without_image(), box)


@pytest.mark.parametrize("size", [(56, 56), (60, 48)])
@pytest.mark.parametrize("how", ["sum", "product"])
def test_the_point_of_a_mix_is_the_first_largest_pixel_of_the_combined_map(
    how: str, size: tuple[int, int]
) -> None:
    generator = np.random.default_rng(0)
    scorer = MapScorer([(0, 0, *size[::-1])], box=(0, 0, *size[::-1]), photo_size=size[::-1], size=size)
    for _ in range(40):
        maps = [generator.random((n, n)).astype(np.float32) for n in (14, 7)]
        symmetric = [values + values[:, ::-1] for values in maps]
        levels = [np.round(2 * values) for values in maps]
        offset = [values - 3000 for values in maps]
        for mixed in (symmetric, levels, offset):
            (score,) = scorer.mixed(mixed, [(how, (1, 2))])
            row, column = divmod(int(sc.combine(mixed, [1, 2], how, size).argmax()), size[1])
            assert score.point == (column, row)


def test_maps_without_values_or_without_a_maximum_have_no_score() -> None:
    scorer = MapScorer([(0, 0, 50, 100)], box=(0, 0, 100, 100), photo_size=(100, 100), size=(20, 20))
    ones, negative = np.ones((4, 4), np.float32), -np.eye(4, dtype=np.float32)
    same, none = scorer.scores([ones, negative])
    assert (same.point, same.hit, same.energy) == (None, None, pytest.approx(scorer.area))
    assert (none.hit, none.energy) == (True, None)
    (mixed,) = scorer.mixed([ones, 2 * ones], [("product", (1, 1))])
    assert (mixed.point, mixed.hit, mixed.energy) == (None, None, None)
    with pytest.raises(sc.ArgumentError, match="different sizes"):
        scorer.scores([ones, np.ones((3, 3))])
