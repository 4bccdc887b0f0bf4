"""Bootstrap intervals against a slow definition, and the cases without a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

import saliency_core as sc
from saliency_core.metrics.bootstrap import mean_intervals


def slow(
    values: list[float], clusters: list[str], classes: list[str], draws: int, seed: int
) -> tuple[float, float, float]:
    """Draw after draw, item after item."""
    names = list(dict.fromkeys(clusters))

    def mean(drawn: list[str]) -> float:
        by_class: dict[str, list[float]] = {}
        for name in drawn:
            for value, cluster, kind in zip(values, clusters, classes, strict=True):
                if cluster == name and not math.isnan(value):
                    by_class.setdefault(kind, []).append(value)
        return float(np.mean([np.mean(each) for each in by_class.values()])) if by_class else math.nan

    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(names), size=(draws, len(names)))
    means = [mean([names[index] for index in row]) for row in chosen]
    low, high = np.nanquantile(means, [0.025, 0.975])
    return mean(names), float(low), float(high)


@pytest.mark.parametrize("with_classes", [False, True])
def test_an_interval_is_that_of_a_loop_over_draws_and_items(with_classes: bool) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=30)
    values[[3, 4, 11]] = np.nan
    clusters = [f"photo {index}" for index in generator.integers(9, size=30)]
    classes = [f"class {index}" for index in generator.integers(4, size=30)] if with_classes else ["a"] * 30
    found = sc.mean_interval(values, clusters=clusters, classes=classes if with_classes else None, draws=200)
    expected = slow(values.tolist(), clusters, classes, 200, 0)
    assert (found.mean, found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert found.count == 27


def test_columns_together_have_the_intervals_that_each_has_alone_and_the_seed_decides() -> None:
    table = np.random.default_rng(1).random((40, 3))
    together = mean_intervals(table, draws=300, seed=5)
    for found, column in zip(together, table.T, strict=True):
        alone = sc.mean_interval(column, draws=300, seed=5)
        assert (found.low, found.mean, found.high) == pytest.approx((alone.low, alone.mean, alone.high))
    assert together == mean_intervals(table, draws=300, seed=5)
    assert together != mean_intervals(table, draws=300, seed=6)


def test_a_paired_difference_is_over_the_items_that_have_both() -> None:
    first, second = [1.0, 0.0, None, 1.0, 1.0], [0.0, 0.0, 1.0, None, 0.0]
    found = sc.difference_interval(first, second, draws=500)
    assert (found.mean, found.count) == (pytest.approx(2 / 3), 3)
    assert not found.excludes_zero
    assert sc.difference_interval([3.0, 4.0], [1.0, 1.5]).excludes_zero


def test_photos_with_many_objects_make_the_interval_wider_than_as_many_photos() -> None:
    hits = np.repeat(np.random.default_rng(2).integers(0, 2, 20), 10).astype(float)
    alone = sc.mean_interval(hits)
    clustered = sc.mean_interval(hits, clusters=np.repeat(np.arange(20), 10))
    assert clustered.mean == alone.mean
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_without_values_there_is_no_mean_and_equal_values_have_no_width() -> None:
    assert sc.mean_interval([None, math.nan]) is None
    assert sc.mean_interval([]) is None
    same = sc.mean_interval([1.0, 1.0, 1.0])
    assert (same.mean, same.low, same.high) == (1, 1, 1)
    for seed in range(9):  # draws without the only value
        rare = sc.mean_interval([2.0, *[None] * 30], draws=1, seed=seed)
        assert (rare.mean, rare.low, rare.high, rare.count) == (2, 2, 2, 1)


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    found = mean_intervals(generator.normal(2, 1, (60, 400)), draws=400)
    share = np.mean([each.low <= 2 <= each.high for each in found])
    assert 0.9 < share < 0.98


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": ["a"]}, "values are"),
        ({"values": [math.inf]}, "expected finite numbers"),
        ({"values": [[1.0, 2.0]]}, "expected one row"),
        ({"values": [1.0], "clusters": []}, "0 clusters for 1 values"),
        ({"values": [1.0], "classes": ["a", "b"]}, "2 classes for 1 values"),
        ({"values": [1.0], "level": 95}, "level is 95"),
        ({"values": [1.0], "draws": 0}, "draws 0"),
    ],
)
def test_what_has_no_interval_is_refused_in_a_sentence(arguments: dict, message: str) -> None:
    with pytest.raises(sc.SaliencyError, match=message):
        sc.mean_interval(**arguments)
    with pytest.raises(sc.ArgumentError, match="1 and 2 values to pair"):
        sc.difference_interval([1.0], [1.0, 2.0])
