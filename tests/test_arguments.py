"""Arguments that make no sense: always an error whose text says what was given and what was expected."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.metrics.class_comparison import compare_classes
from saliency_core.metrics.class_sensitivity import class_sensitivity_over, class_sensitivity_table
from tests.networks import batch, classifier, seeded

Call = Callable[[object], object]


@cache
def network() -> sc.Classifier:
    return classifier(seeded())


@cache
def explained() -> sc.Explanation:
    return sc.explain(network(), batch(), 0)


MAPS = [np.eye(3), np.eye(4)]
X = batch()
NONSENSE: tuple[object, ...] = (
    -1.5,
    float("nan"),
    b"x",
    object(),
    [[]],
    [None],
    {"a": 1},
    np.array(1.5),
    np.array([0.5, 1]),
    torch.tensor(1.5),
    torch.ones(2),
    lambda: 0,
)
"""Of no argument below."""

CALLS: dict[str, Call] = {
    "classifier": lambda v: sc.explain(v, X),
    "image": lambda v: sc.explain(network(), v),
    "target": lambda v: sc.explain(network(), X, v),
    "layers": lambda v: sc.explain(network(), X, 0, v),
    "methods": lambda v: sc.explain(network(), X, 0, None, v),
    "fit": lambda v: sc.explain(network(), Image.new("RGB", (40, 50)), 0, fit=v),
    "meta": lambda v: sc.explain(network(), X, 0, meta=v),
    "options": lambda v: sc.explain(network(), X, 0, methods=["rise"], options=v),
    "options of a method": lambda v: sc.explain(network(), X, 0, methods=["rise"], options={"rise": v}),
    "masks": lambda v: sc.explain(network(), X, 0, methods=["rise"], options={"rise": {"masks": v}}),
    "images": lambda v: sc.explain_many(network(), v),
    "one of the images": lambda v: sc.explain_many(network(), [X, v]),
    "targets": lambda v: sc.explain_many(network(), [X, X], v),
    "classes": lambda v: sc.explain_classes(network(), X, v),
    "joined": lambda v: explained().joined(v),
    "only": lambda v: explained().only(v),
    "size of a map": lambda v: explained().resized("normgrad", "act", v),
    "method of class sensitivity": lambda v: sc.class_sensitivity(network(), X, v),
    "layer of class sensitivity": lambda v: sc.class_sensitivity(network(), X, "normgrad", v),
    "classes of class sensitivity": lambda v: sc.class_sensitivity(network(), X, classes=v),
    "methods of a table": lambda v: class_sensitivity_table(network(), X, methods=v),
    "photos": lambda v: class_sensitivity_over(network(), v),
    "methods over photos": lambda v: class_sensitivity_over(network(), [X], methods=v),
    "layers over photos": lambda v: class_sensitivity_over(network(), [X], layers=v),
    "compared": lambda v: compare_classes(explained(), v),
    "maps": lambda v: sc.combine(v),
    "a map": lambda v: sc.combine([np.eye(3), v]),
    "size": lambda v: sc.combine(MAPS, size=v),
    "one side": lambda v: sc.combine(MAPS, size=(5, v)),
    "layers of weights": lambda v: sc.layer_weights(v),
    "preset": lambda v: sc.layer_weights(["b"], v),
    "learning rate": lambda v: sc.MetaStep(v),
    "input size": lambda v: sc.Preprocess(size=v),
    "short side": lambda v: sc.Preprocess(size=1, resize=v),
    "mean": lambda v: sc.Preprocess(mean=v),
    "std": lambda v: sc.Preprocess(std=v),
    "preprocess": lambda v: sc.Classifier(seeded(), preprocess=v),
    "labels": lambda v: sc.Classifier(seeded(), preprocess=network().preprocess, labels=v),
    "default layers": lambda v: sc.Classifier(seeded(), preprocess=network().preprocess, default_layers=v),
    "batch": lambda v: sc.capture(network(), v),
    "layers of a capture": lambda v: sc.capture(network(), X, 0, v),
    "activation": lambda v: sc.framework(v, torch.ones(1, 2, 3, 3), extract="scaling", aggregate="sum"),
    "gradient": lambda v: sc.framework(torch.ones(1, 2, 3, 3), v, extract="scaling", aggregate="sum"),
    "weight of a layer": lambda v: sc.layer_weights(["a", "b"], {"a": v, "b": 1}),
    "weights": lambda v: sc.combine(MAPS, v),
    "weight": lambda v: sc.combine(MAPS, [1, v]),
}
NUMBERS = {"weight of a layer", "weight", "learning rate"}
"""Take numbers, also in arrays without axes."""


def usable(argument: str, value: object) -> bool:
    """Whether the value is, of all those above, one that makes sense for this argument."""
    if argument == "layers of weights":
        return isinstance(value, dict)  # its keys are names
    if argument in NUMBERS and isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0:
        return argument != "learning rate"
    return argument == "weights" and isinstance(value, np.ndarray | torch.Tensor) and len(value.shape) == 1


@pytest.mark.parametrize("argument", CALLS)
def test_an_argument_that_makes_no_sense_is_an_error_with_a_sentence(argument: str) -> None:
    for value in NONSENSE:
        if not usable(argument, value):
            with pytest.raises(sc.SaliencyError) as caught:
                CALLS[argument](value)
            assert len(str(caught.value)) > 20, value


def test_a_network_in_place_of_a_classifier_is_answered_with_how_to_make_one() -> None:
    with pytest.raises(
        sc.SaliencyError, match=r"is a InPlaceNet; expected a Classifier \(see Classifier\(module"
    ):
        sc.explain(seeded(), X)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (torch.zeros(1, 3, 24, 24, dtype=torch.uint8), "uint8"),  # a photo that was not prepared
        (torch.zeros(1, 3, 24, 24, dtype=torch.complex64), "complex64"),
        (torch.zeros(1, 3, 24, 24).to_sparse(), "sparse"),
        (torch.zeros(1, 3, 24, 24, device="meta"), "on meta"),
    ],
)
def test_tensors_that_are_no_prepared_images_are_refused(x: torch.Tensor, kind: str) -> None:
    for methods in (None, ["smoothgrad"]):
        with pytest.raises(
            sc.SaliencyError, match=f"batch holds .*{kind}.*; expected floating-point numbers"
        ):
            sc.explain(network(), x, 0, methods=methods)


def test_a_folder_that_does_not_exist_is_named() -> None:
    with pytest.raises(sc.SaliencyError, match="'no/such/folder', which is not a folder"):
        class_sensitivity_over(network(), "no/such/folder")


def test_numbers_of_numpy_are_numbers() -> None:
    assert sc.combine(MAPS, np.array([1, 2]), size=np.array([5, 6])).shape == (5, 6)
    assert sc.MetaStep(np.float32(0.5)).lr == 0.5
    assert sc.Preprocess(size=np.int64(32)).scaled_size == (37, 37)
    assert sc.explain_many(network(), [X, X], np.array(2))[1].target == 2
    assert sc.explain(network(), X, 0, methods=np.array(["normgrad"])).methods == ("normgrad",)
