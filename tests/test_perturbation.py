"""Insertion and deletion against a loop that sets one pixel after another."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.combine import resize
from saliency_core.metrics.perturbation import baseline_input, perturbation_curves, perturbed
from saliency_core.metrics.perturbation_curve import BASELINES, PerturbationCurve, pixel_ranks
from tests.networks import SIDE, batch, classifier

TARGET, STEPS = 2, 6


def slow(
    clf: sc.Classifier, x: torch.Tensor, empty: torch.Tensor, order: list[int], mode: str
) -> list[float]:
    """The probability after every share of the pixels, which change one by one."""
    picture, other = (x.clone(), empty) if mode == "deletion" else (empty.clone(), x)
    wanted = [int(SIDE * SIDE * k / STEPS + 0.5) for k in range(STEPS + 1)]
    found = []
    for count in range(SIDE * SIDE + 1):
        if count in wanted:
            with torch.no_grad():
                found.append(float(clf.module(picture.clone()).softmax(dim=1)[0, TARGET]))
        if count < len(order):
            row, column = divmod(order[count], SIDE)
            picture[0, :, row, column] = other[0, :, row, column]
    return found


@pytest.mark.parametrize("baseline", list(BASELINES))
def test_the_curves_are_those_of_a_loop_that_sets_one_pixel_after_another(baseline: str) -> None:
    clf, x = classifier(), batch()
    values = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    curves = perturbation_curves(clf, x, {"map": values}, TARGET, baseline=baseline, steps=STEPS, batch=5)
    order = sorted(range(values.size), key=lambda pixel: -values.flat[pixel])
    empty = baseline_input(clf, x, baseline)
    for mode in ("deletion", "insertion"):
        expected = slow(clf, x, empty, order, mode)
        found = getattr(curves["map"], mode)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        pieces = [(one + other) / 2 / STEPS for one, other in itertools.pairwise(expected)]
        assert getattr(curves["map"], f"{mode}_area") == pytest.approx(sum(pieces), abs=1e-12)


def test_all_curves_begin_and_end_with_the_photo_and_the_baseline() -> None:
    clf, x = classifier(), batch()
    maps = {"one": np.eye(3), "other": np.random.default_rng(0).random((4, 4))}
    curves = perturbation_curves(clf, x, maps, TARGET, steps=3)
    assert list(curves) == ["one", "other", "random"]
    with torch.no_grad():
        photo, empty = clf.module(torch.cat([x, baseline_input(clf, x)])).softmax(dim=1)[:, TARGET].tolist()
    for curve in curves.values():
        assert (curve.fractions == np.arange(4) / 3).all()
        ends = [curve.deletion[0], curve.insertion[-1], curve.insertion[0], curve.deletion[-1]]
        assert ends == pytest.approx([photo, photo, empty, empty], abs=1e-12)


def test_a_batch_of_any_size_gives_the_same_curves_and_a_seed_decides_the_random_order() -> None:
    clf, x = classifier(), batch()
    maps = {"map": np.eye(5)}

    def curves(**options: int) -> np.ndarray:
        found = perturbation_curves(clf, x, maps, TARGET, steps=5, **options)
        return np.stack([np.concatenate([each.deletion, each.insertion]) for each in found.values()])

    np.testing.assert_allclose(curves(batch=1), curves(batch=50), atol=1e-12)
    assert (curves(seed=1) == curves(seed=1)).all()
    assert (curves(seed=1)[1] != curves(seed=2)[1]).any()


def test_equal_values_are_ordered_by_the_seed_and_larger_ones_come_first() -> None:
    values = np.zeros((8, 8), np.float32)
    values[2:4] = 1
    first, second = (pixel_ranks(values, (8, 8), seed) for seed in (0, 1))
    assert sorted(first.ravel()) == list(range(64))
    for ranks in (first, second):
        assert set(ranks[2:4].ravel()) == set(range(16))
    assert (first != second).any()
    assert (pixel_ranks(np.ones((2, 2), np.float32), (8, 8), 3) == pixel_ranks(None, (8, 8), 3)).all()


def test_a_smaller_map_orders_the_pixels_as_its_resize_to_the_input_does() -> None:
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    large, ranks = resize(values, (SIDE, SIDE)), pixel_ranks(values, (SIDE, SIDE))
    ordered = large.ravel()[np.argsort(ranks.ravel())]
    assert (np.diff(ordered) <= 0).all()


def test_a_place_of_the_curve_can_be_seen() -> None:
    clf, x = classifier(), batch()
    values = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)
    empty = baseline_input(clf, x, "mean")
    curve = perturbation_curves(clf, x, {"map": values}, TARGET, baseline="mean", steps=4)["map"]
    for mode in ("deletion", "insertion"):
        pictures = torch.cat([perturbed(x, empty, values, share, mode) for share in curve.fractions.tolist()])
        with torch.no_grad():
            expected = clf.module(pictures).softmax(dim=1)[:, TARGET].numpy()
        np.testing.assert_allclose(getattr(curve, mode), expected, atol=1e-12)
    removed = (perturbed(x, empty, values, 0.25) == 0).all(dim=1)[0].numpy()
    assert removed.sum() == SIDE * SIDE / 4
    assert values[removed].min() > values[~removed].max()


def test_the_baselines_are_what_they_say() -> None:
    clf = classifier()
    x, _ = clf.prepare(Image.new("RGB", (SIDE, SIDE), (200, 90, 10)))
    x = clf.to_device(x)
    black = clf.to_device(clf.prepare(Image.new("RGB", (SIDE, SIDE)))[0])
    assert torch.equal(baseline_input(clf, x, "black"), black)
    assert not baseline_input(clf, x, "mean").any()
    torch.testing.assert_close(baseline_input(clf, x, "blur"), x)  # one colour stays what it is
    dot = torch.zeros_like(x)
    dot[:, :, 12, 12] = 1
    blurred = baseline_input(clf, dot, "blur")[0, 0]
    at = np.exp(-(np.arange(-5, 6) ** 2) / 50)
    expected = np.outer(at, at) / at.sum() ** 2
    np.testing.assert_allclose(blurred[7:18, 7:18].numpy(), expected, atol=1e-9)
    assert blurred.sum() == pytest.approx(1)


def test_curves_fill_while_they_are_computed_and_the_network_is_shared_between_batches() -> None:
    lock, seen, done = threading.Lock(), [], []

    def partial(curves: Mapping[str, PerturbationCurve]) -> None:
        assert not lock.locked()
        seen.append(int(sum(np.isfinite(curve.deletion).sum() for curve in curves.values())))
        assert (curves["random"].insertion_area is None) == (len(seen) < 8)

    perturbation_curves(
        classifier(),
        batch(),
        {"map": np.eye(3)},
        steps=8,
        batch=4,
        lock=lock,
        partial=partial,
        progress=lambda *each: done.append(each),
    )
    assert seen == sorted(seen)
    assert seen[-1] == 18
    assert len(seen) == len(done) == 8
    assert done[-1] == (30, 30)


def test_the_computation_stops_when_it_is_cancelled() -> None:
    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        perturbation_curves(classifier(), batch(), {"map": np.eye(3)}, progress=stop)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maps": [np.eye(3)]}, "expected a mapping"),
        ({"maps": {}, "random_order": False}, "no maps were given"),
        ({"maps": {"random": np.eye(3)}}, "rename it"),
        ({"maps": {"map": np.full((2, 2), np.nan)}}, "the map 'map' contains NaN"),
        ({"baseline": "white"}, "unknown baseline 'white'.*blur, mean, black"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"batch": 0}, "batch is 0"),
        ({"target": 99}, "target is 99"),
        ({"target": lambda logits: logits[:, 0]}, "target is a function"),
        ({"image": batch(2)}, "expected one prepared image"),
    ],
)
def test_what_has_no_curve_is_refused_in_a_sentence(arguments: dict, message: str) -> None:
    given = {"image": batch(), "maps": {"map": np.eye(3)}, "target": TARGET} | arguments
    with pytest.raises(sc.SaliencyError, match=message):
        perturbation_curves(classifier(), **given)


def test_a_network_without_classes_is_refused_in_a_sentence() -> None:
    features = classifier(labels=[f"feature {index}" for index in range(5)])
    with pytest.raises(sc.UnavailableError, match="features instead of classes"):
        perturbation_curves(features, batch(), {"map": np.eye(3)})


def test_a_place_that_is_not_on_a_curve_is_refused_in_a_sentence() -> None:
    x = batch()
    for arguments, message in (
        ((x, x, np.eye(3), 1.5), "fraction is 1.5"),
        ((x, x[:, :2], np.eye(3), 0.5), "expected"),
        ((x, x, np.eye(3), 0.5, "removal"), "unknown mode"),
    ):
        with pytest.raises(sc.SaliencyError, match=message):
            perturbed(*arguments)
