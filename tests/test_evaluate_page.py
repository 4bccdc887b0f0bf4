"""What the page Evaluate says of its figures: true for any numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pages.evaluate import insertion_deletion, parts, randomise
from saliency_core.metrics.perturbation_curve import BASELINES, PerturbationCurve
from saliency_core.viewer import schema

TITLES = ("NormGrad", "Grad-CAM", "Random order")
STAGES = ("head", "late", "early")


def curve(deletion: float, insertion: float) -> PerturbationCurve:
    """A curve with these areas."""
    return PerturbationCurve(np.array([0.0, 1.0]), np.full(2, deletion), np.full(2, insertion))


def test_the_parts_and_the_baselines_of_the_page_are_those_that_an_address_knows() -> None:
    assert list(parts.PARTS) == list(schema.VIEW["part"].kind.choices)
    assert list(insertion_deletion.TITLES) == list(BASELINES) == list(schema.VIEW["baseline"].kind.choices)
    assert set(insertion_deletion.REPLACED) == set(BASELINES)


def test_the_better_order_has_the_smaller_area_in_deletion_and_the_larger_in_insertion() -> None:
    text = insertion_deletion.verdict(TITLES, [curve(0.1, 0.4), curve(0.2, 0.6), curve(0.5, 0.3)])
    assert text == (
        "**Deletion** favours NormGrad: 0.100 against 0.200. "
        "**Insertion** favours Grad-CAM: 0.600 against 0.400."
    )


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ((0.5, 0.4), "NormGrad is no better than a random order in deletion."),
        ((0.1, 0.3), "NormGrad is no better than a random order in insertion."),
        ((0.6, 0.2), "NormGrad is no better than a random order in deletion and insertion."),
    ],
)
def test_an_order_no_better_than_a_random_one_is_named(areas: tuple[float, float], expected: str) -> None:
    text = insertion_deletion.verdict(TITLES, [curve(*areas), curve(0.0, 1.0), curve(0.5, 0.3)])
    assert text.endswith(expected)
    assert "Grad-CAM is no better" not in text


def test_two_maps_that_fail_alike_against_a_random_order_share_a_sentence() -> None:
    text = insertion_deletion.verdict(TITLES, [curve(0.6, 0.4), curve(0.7, 0.5), curve(0.5, 0.3)])
    assert text.endswith(" Neither map is better than a random order in deletion.")
    assert "no better" not in text


def test_equal_areas_favour_nobody() -> None:
    text = insertion_deletion.verdict(TITLES, [curve(0.1, 0.4), curve(0.1, 0.4), curve(0.5, 0.3)])
    same = "the same area for both maps"
    assert text == f"**Deletion**: {same}, 0.100. **Insertion**: {same}, 0.400."


def test_methods_whose_maps_survive_all_new_weights_are_named_with_their_correlations() -> None:
    lines = {"normgrad": (0.9, 0.4, 0.1), "guided_backprop": (0.99, 0.9, 0.8), "deconvnet": (1.0, 1.0, 0.7)}
    found = randomise.remarks(lines, "late", STAGES)
    assert "2 of 3 methods still give a map like the trained network’s, ρ ≥ 0.5" in found[0]
    assert "Guided backprop (0.80), Deconvnet (0.70)" in found[0]
    assert "the median of the other methods is 0.10" in found[1]
    assert "They cut negative values off" in found[1]
    assert "until the weights of late itself" in found[2]


def test_methods_that_do_change_are_not_said_to_stay() -> None:
    lines = {"normgrad": (0.9, None, None), "grad_cam": (0.1, 0.2, -0.3), "guided_backprop": (0.9, 0.5, 0.2)}
    found = randomise.remarks(lines, "other", STAGES)
    assert found[0].endswith("the largest ρ is that of Guided backprop, 0.20.")
    assert "the median of the other methods is −0.30" in found[1]
    assert "They cut" not in " ".join(found)
    assert "until the weights" not in " ".join(found)
    assert randomise.remarks({"grad_cam": (None, None, None)}, "other", STAGES) == found[-1:]
