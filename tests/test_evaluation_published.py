"""The authors' published accuracies beside one's own."""

from __future__ import annotations

import pytest

from saliency_core.errors import ArgumentError
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.published import compare_with_published, pointing_games, published_for
from saliency_core.evaluation.rows import table
from saliency_core.evaluation.summary import summarise
from saliency_core.methods.registry import METHODS
from saliency_core.models.catalogue.catalogue import MODELS
from tests.test_evaluation_summary import row

GIVEN = table(
    [
        row(item, value, class_name=name, method=method, layer=layer)
        for method in ("grad_cam", "deconvnet")
        for layer in ("layer4", "bn1")
        for item, (value, name) in enumerate([(1.0, "cat"), (1.0, "cat"), (0.0, "dog")])
    ]
)


def test_every_published_method_is_one_of_the_registry_or_only_published() -> None:
    for game in pointing_games()[0]:
        for name in game.accuracy:
            assert name in METHODS or name.endswith("_meta") or name == "guided_backprop_sum"


def test_the_published_networks_are_in_the_catalogue_and_have_the_published_layers() -> None:
    for game in pointing_games()[0]:
        assert game.network in MODELS
        assert set(MODELS[game.network].presets["By feature spread"]) == set(game.layers)


def test_ones_own_accuracy_stands_beside_the_published_one_where_both_are_known() -> None:
    summary = summarise(GIVEN, "pointing", average="classes", draws=20)
    found = compare_with_published(summary, EvaluationPlan(model="resnet50"), "my cats")
    assert found is not None
    (cell,) = found.cells
    assert (cell.method, cell.layer, cell.published) == ("grad_cam", "layer4", 0.90372)
    assert cell.here.mean == 0.5  # of the classes' means, 1 and 0
    assert found.table().rows[0][:5] == ("Grad-CAM", "grad_cam", "layer4", 0.90372, 0.5)
    assert "networks fine-tuned on VOC" in found.source


def test_what_differs_from_the_authors_evaluation_is_said_of_this_plan() -> None:
    summary = summarise(GIVEN, "pointing", average="classes", draws=20)

    def said(plan: EvaluationPlan) -> str:
        found = compare_with_published(summary, plan, "my cats")
        assert found is not None
        return " ".join(found.differences)

    usual = said(EvaluationPlan(model="resnet50"))
    assert "3 pairs of a photo and a class, on 3 photos with 2 classes of “my cats”" in usual
    assert "the network sees only the part cut out of its middle" in usual
    assert "Tolerance" not in usual
    other = said(EvaluationPlan(model="resnet50", fit="pad", tolerance=5))
    assert "padded to the size of its input" in other
    assert "Tolerance: 15 pixels; here 5." in other


@pytest.mark.parametrize("model", ["resnet18", "resnet50.random-7", "my own", ""])
def test_a_network_without_published_figures_is_not_compared(model: str) -> None:
    assert published_for(model) is None
    summary = summarise(GIVEN, "pointing", average="classes", draws=20)
    assert compare_with_published(summary, EvaluationPlan(model=model)) is None


def test_layers_that_were_not_published_are_not_compared() -> None:
    summary = summarise(GIVEN, "pointing", average="classes", draws=20)
    assert compare_with_published(summary, EvaluationPlan(model="vgg16")) is None


def test_a_summary_of_another_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match="averaged over items; the published figures are of the pointing"):
        compare_with_published(summarise(GIVEN, "pointing"), EvaluationPlan(model="resnet50"))
