"""Functions of the class scores as targets, wherever a class can be asked for."""

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

import saliency_core as sc
from saliency_core.models.targets import MostLikelyOf
from tests.networks import batch, classifier, seeded

FEW = {"smoothgrad": {"samples": 3}, "integrated_gradients": {"steps": 3}, "rise": {"masks": 12}}


def third(logits: Tensor) -> Tensor:
    return logits[:, 3]


def third_minus_fifth(logits: Tensor) -> Tensor:
    return logits[:, 3] - logits[:, 4]


def maps_of(found: sc.Explanation) -> dict[tuple[str, str], np.ndarray]:
    return {
        (name, layer.name): found.map(name, layer)
        for name in found.methods
        for layer in found.layers_of(name)
    }


def assert_same_maps(first: sc.Explanation, second: sc.Explanation) -> None:
    ours, theirs = maps_of(first), maps_of(second)
    assert ours.keys() == theirs.keys()
    for key, values in ours.items():
        np.testing.assert_allclose(values, theirs[key], rtol=1e-5, atol=1e-9, err_msg=str(key))


@pytest.mark.parametrize(
    "methods", [None, ["guided_backprop", "smoothgrad", "integrated_gradients", "occlusion"]]
)
def test_a_function_that_picks_a_class_gives_the_maps_of_that_class(methods: list[str] | None) -> None:
    clf, x = classifier(), batch()
    options = {name: FEW[name] for name in methods or () if name in FEW}
    ask = partial(sc.explain, clf, x, methods=methods, options=options)
    by_function, by_class = ask(third), ask(3)
    assert_same_maps(by_function, by_class)
    assert (by_class.target, by_class.function, by_class.label) == (3, None, "class 3")
    assert (by_function.target, by_function.function, by_function.label) == (None, third, "third")
    assert by_function.probability is by_function.probability_after is None
    assert by_class.probability == by_class.probabilities[3]
    np.testing.assert_array_equal(by_function.probabilities, by_class.probabilities)


def test_the_gradient_of_a_difference_is_the_difference_of_the_gradients() -> None:
    clf, x = classifier(), batch()
    both = sc.capture(clf, x, third_minus_fifth)
    one, other = sc.capture(clf, x, 3), sc.capture(clf, x, 4)
    assert both.targets == (third_minus_fifth,)
    for name, pair in both.layers.items():
        expected = one.layers[name].gradient - other.layers[name].gradient
        torch.testing.assert_close(pair.gradient, expected)


def test_rise_takes_the_value_of_a_function_in_place_of_the_probability() -> None:
    clf, x = classifier(), batch()
    ask = partial(sc.explain, clf, x, methods=["rise"], options={"rise": {"masks": 12}})
    assert_same_maps(ask(lambda logits: logits.softmax(dim=1)[:, 3]), ask(3))
    assert ask(lambda logits: -logits.softmax(dim=1)[:, 3]).map("rise", "input").max() < 0


def test_a_meta_step_for_a_function_raises_its_value_and_one_against_it_lowers_it() -> None:
    clf, x = classifier(), batch()
    before = third_minus_fifth(clf.module(x)).item()
    values = []
    for ascend in (False, True):
        meta = sc.MetaStep(0.01, ascend=ascend)
        with meta.modified(clf, x, third_minus_fifth) as modified:
            values.append(third_minus_fifth(modified.network(x)).item())
        found = sc.explain(clf, x, third_minus_fifth, methods=["normgrad"], meta=meta)
        assert found.probabilities_after is not None
        assert found.label == "third minus fifth"
    assert values[1] < before < values[0]


def test_the_step_for_a_function_is_one_of_sgd_on_minus_its_value() -> None:
    network, x = seeded().eval(), batch()
    with sc.MetaStep(0.1).modified(classifier(seeded()), x, third_minus_fifth) as modified:
        stepped = {name: value.clone() for name, value in modified.network.named_parameters()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    (-third_minus_fifth(network(x))).sum().backward()
    optimiser.step()
    for name, value in network.named_parameters():
        torch.testing.assert_close(stepped[name], value.detach(), msg=name)


def test_several_images_take_classes_and_functions_each_its_own() -> None:
    clf, x = classifier(), batch(3)
    targets: list[sc.Target] = [third_minus_fifth, 1, "class 2"]
    together = sc.explain_many(clf, x, targets)
    assert [each.label for each in together] == ["third minus fifth", "class 1", "class 2"]
    for index, (found, target) in enumerate(zip(together, targets, strict=True)):
        alone = sc.explain(clf, x[index : index + 1], target)
        for key, values in maps_of(found).items():
            np.testing.assert_allclose(values, maps_of(alone)[key], atol=1e-6 * np.abs(values).max())


def test_a_function_sees_one_image_at_a_time_so_that_no_image_changes_the_map_of_another() -> None:
    clf, x = classifier(), batch(2)
    together = sc.explain_many(
        clf, x, lambda logits: logits.max() - logits.mean()
    )  # over all that it is given
    for index, found in enumerate(together):
        alone = sc.explain(clf, x[index : index + 1], lambda logits: logits.max() - logits.mean())
        for key, values in maps_of(found).items():
            np.testing.assert_allclose(values, maps_of(alone)[key], atol=1e-6 * np.abs(values).max())


def test_classes_and_functions_of_a_photo_are_compared() -> None:
    clf, x = classifier(), batch()
    table = sc.class_sensitivity_table(clf, x, [third_minus_fifth, 4], methods=["normgrad", "grad_cam"])
    assert (table.classes, table.labels) == ((None, 4), ("third minus fifth", "class 4"))
    assert table.correlation("normgrad", "act") is not None
    for meta in (None, sc.MetaStep(0.01)):
        found = sc.explain_classes(
            clf, x, [third, 1], methods=["normgrad_proper"], layers=["conv"], meta=meta
        )
        assert [each.label for each in found] == ["third", "class 1"]
    with pytest.raises(sc.TargetError, match="expected two different ones"):
        sc.class_sensitivity(clf, x, classes=[third, third])


def test_explanations_of_different_functions_are_not_joined() -> None:
    clf, x = classifier(), batch()
    first, second = (
        sc.explain(clf, x, lambda logits, i=i: logits[:, i], methods=["normgrad"]) for i in (0, 1)
    )
    with pytest.raises(sc.ArgumentError, match="cannot be joined"):
        first.joined(second)
    assert first.label == second.label == "custom target"


def test_excitation_backprop_needs_a_class() -> None:
    clf, x = classifier(), batch()
    for method in ("excitation_backprop", "contrastive_excitation_backprop"):
        title = sc.METHODS[method].title
        with pytest.raises(sc.UnavailableError, match=f"{title} is not available: .*pass a class instead"):
            sc.explain(clf, x, third, methods=[method])
        with pytest.raises(sc.UnavailableError, match="pass a class instead of a function"):
            sc.capture(clf, x, third, rule=sc.METHODS[method].rule)


@pytest.mark.parametrize(
    ("function", "error", "reason"),
    [
        (lambda logits: logits, sc.TargetError, r"returned shape (1, 5) for class scores of shape (1, 5)"),
        (lambda logits: logits[:, 3].item(), sc.TargetError, "returned a float; expected one number"),
        (lambda logits: logits.argmax(dim=1), sc.TargetError, "has no gradient"),
        (lambda logits: logits[:, 3].detach(), sc.TargetError, "has no gradient"),
        (lambda logits: logits[:, 7], sc.TargetError, "failed for class scores of shape (1, 5): index 7"),
        (lambda logits: logits[:, 3] / 0, sc.NonFiniteError, "inf for this image"),
    ],
)
def test_a_function_that_cannot_be_explained_is_refused_with_the_reason(
    function: Callable[[Tensor], Tensor], error: type[Exception], reason: str
) -> None:
    clf, x = classifier(), batch()
    for asked in ({}, {"meta": sc.MetaStep()}):
        with pytest.raises(error, match=re.escape(reason)):
            sc.explain(clf, x, function, **asked)


def test_a_function_may_change_the_scores_that_it_is_given() -> None:
    def halved(logits: Tensor) -> Tensor:
        logits /= 2
        return logits[:, 3] * 2

    clf, x = classifier(), batch()
    found, expected = sc.explain(clf, x, halved), sc.explain(clf, x, 3)
    assert_same_maps(found, expected)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_the_most_likely_of_several_classes_is_explained_as_that_class_also_by_excitation_backprop() -> None:
    clf, inputs = classifier(seeded()), batch(3)
    methods = ("normgrad", "excitation_backprop")
    most = sc.explain_many(clf, inputs, methods=methods[:1])
    others = [tuple({0, 1, 2, 3, 4} - {each.target}) for each in most]
    found = sc.explain_many(clf, inputs, [MostLikelyOf(each) for each in others], methods=methods)
    for each, among, x in zip(found, others, inputs, strict=True):
        assert each.target == max(among, key=lambda index, e=each: e.probabilities[index])
        assert_same_maps(each, sc.explain(clf, x[None], each.target, methods=methods))
