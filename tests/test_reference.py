"""Agreement with the authors' own implementation on EfficientNet-Lite0; see reference/README.md."""

from pathlib import Path

import numpy as np
import pytest
import torch

import saliency_core as sc
from saliency_core.combine import is_constant

STORED = np.load(Path(__file__).parent / "reference" / "efficientnet_lite0.npz")
CLASSES = (285, 282)
CONVOLUTIONS = ("blocks.3.1.conv_pwl", "conv_head")
LAYERS = (*(f"blocks.{index}" for index in range(7)), "bn2")
THEIR_NAME = {
    "normgrad": "norm_grad",
    "normgrad_selective": "norm_grad_selective",
    "grad_cam": "grad_cam",
    "linear_approx": "linear_approx",
    "gradient": "gradient",
    "gradient_sum": "gradient_sum",
}


@pytest.fixture(scope="module")
def clf() -> sc.Classifier:
    """The network with the embedded weights."""
    return sc.load_classifier("tf_efficientnet_lite0", device="cpu")


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    """The stored photo as the network's input."""
    pixels = torch.from_numpy(STORED["image"]).permute(2, 0, 1)[None].float()
    return (pixels / 255 - 0.5) / 0.5


@pytest.fixture(scope="module")
def explanations(clf: sc.Classifier, x: torch.Tensor) -> dict[int, sc.Explanation]:
    """The stored photo explained for both classes."""
    return {target: sc.explain(clf, x, target) for target in CLASSES}


def assert_agrees(ours: np.ndarray, stored: np.ndarray) -> None:
    """To a relative 1e-5; where the stored map is constant but for its own rounding, to that rounding."""
    assert ours.shape == stored.shape
    rounding = np.ptp(stored) if stored.ndim == 2 and is_constant(stored) else 0.0
    assert np.abs(ours - stored).max() <= 1e-5 * np.abs(stored).max() + rounding


def test_the_default_layers_are_the_stages_of_the_reference(explanations: dict[int, sc.Explanation]) -> None:
    assert tuple(layer.name for layer in explanations[285].layers) == LAYERS


def test_the_embedded_network_gives_the_stored_probabilities(explanations: dict[int, sc.Explanation]) -> None:
    scores = np.exp(STORED["logits"] - STORED["logits"].max())
    assert_agrees(explanations[285].probabilities, scores / scores.sum())


@pytest.mark.parametrize("target", CLASSES)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", list(THEIR_NAME))
def test_a_map_agrees(explanations: dict[int, sc.Explanation], target: int, layer: str, method: str) -> None:
    assert_agrees(explanations[target].map(method, layer), STORED[f"{target}/{layer}/{THEIR_NAME[method]}"])


@pytest.mark.parametrize("target", CLASSES)
def test_normgrad_of_a_real_convolution_agrees(clf: sc.Classifier, x: torch.Tensor, target: int) -> None:
    explanation = sc.explain(clf, x, target, CONVOLUTIONS, ["normgrad_proper"])
    for layer in CONVOLUTIONS:
        stored = STORED[f"{target}/{layer}/norm_grad_proper"]
        assert_agrees(explanation.map("normgrad_proper", layer), stored)


@pytest.mark.parametrize("target", CLASSES)
@pytest.mark.parametrize("preset", ["uniform", "linear"])
@pytest.mark.parametrize("how", ["sum", "product"])
def test_a_mixed_map_agrees(
    explanations: dict[int, sc.Explanation], target: int, preset: str, how: str
) -> None:
    maps = [explanations[target].map("normgrad", layer) for layer in LAYERS]
    mixed = sc.combine(maps, sc.layer_weights(LAYERS, preset), how, size=(224, 224))
    assert_agrees(mixed[::4, ::4], STORED[f"{target}/weighted/{preset}/{how}"])


def test_gradients_that_are_equal_everywhere_give_constant_maps_in_spite_of_rounding(
    explanations: dict[int, sc.Explanation],
) -> None:
    for explanation in explanations.values():
        assert explanation.constant("gradient", "bn2")
        assert explanation.constant("gradient_sum", "bn2")
        assert not explanation.constant("normgrad", "bn2")
