"""NormGrad of a real convolution, against the gradient of its weights taken location by location."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import Tensor, nn

import saliency_core as sc
from tests.networks import batch, classifier

CONVOLUTIONS = {
    "plain": nn.Conv2d(3, 4, 3),
    "strided": nn.Conv2d(3, 4, 5, stride=2, padding=2),
    "dilated": nn.Conv2d(3, 4, 3, padding=(2, 1), dilation=(2, 1)),
    "padding by name": nn.Conv2d(3, 4, (3, 5), padding="same"),
    "reflecting": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "depthwise": nn.Conv2d(3, 6, 3, padding=1, groups=3),
    "padding itself": Conv2dSame(3, 4, 3, stride=2),
}


def network(convolution: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        found = nn.Sequential(convolution, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3))
        found.double()(batch())
    return found


def slow(convolution: nn.Conv2d, x: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of the weights when only one location of the output passes its gradient back."""
    result = torch.zeros(gradient.shape[2:], dtype=x.dtype)
    for row in range(result.shape[0]):
        for column in range(result.shape[1]):
            alone = torch.zeros_like(gradient)
            alone[:, :, row, column] = gradient[:, :, row, column]
            (share,) = torch.autograd.grad(convolution(x), convolution.weight, alone)
            result[row, column] = share.square().sum().sqrt()
    return result


@pytest.mark.parametrize("kind", list(CONVOLUTIONS))
def test_the_map_is_the_norm_of_each_locations_share_of_the_weights_gradient(kind: str) -> None:
    net = network(CONVOLUTIONS[kind])
    x = F.avg_pool2d(batch(), 1)
    captured = sc.capture(classifier(net), x, 1, ["0"], convolutions=True).layers["0"]
    ours = sc.METHODS["normgrad_proper"](captured)[0]
    torch.testing.assert_close(ours, slow(net[0], x, captured.gradient), rtol=1e-9, atol=1e-12)


def test_a_layer_that_is_not_a_convolution_is_refused_and_one_that_is_named() -> None:
    clf = classifier(default_layers=["bn", "act"])
    with pytest.raises(sc.UnavailableError, match="Layer 'bn' is not one; 'down' is"):
        sc.explain(clf, batch(), 0, ["bn"], ["normgrad_proper"])
    reason = sc.unavailable(clf, "normgrad_proper")
    assert "None of the default layers is one" in reason
    assert sc.unavailable(clf, "normgrad_proper", "down") is None
    assert sc.explain(clf, batch(), 0, ["conv"], ["normgrad_proper"]).map(
        "normgrad_proper", "conv"
    ).shape == (12, 12)


def test_of_named_layers_too_those_that_are_convolutions_have_a_map() -> None:
    clf, layers = classifier(), ["input", "conv", "bn"]
    explanation = sc.explain(clf, batch(), 0, layers, ["normgrad", "normgrad_proper"])
    assert [layer.name for layer in explanation.layers_of("normgrad_proper")] == ["conv"]
    assert [layer.name for layer in explanation.layers_of("normgrad")] == layers
    with pytest.raises(sc.UnavailableError, match="Layer 'input' is not one"):
        sc.explain(clf, batch(), 0, ["input", "bn"], ["normgrad_proper"])


def test_of_the_default_layers_those_that_are_convolutions_have_a_map() -> None:
    clf = classifier(default_layers=["conv", "bn", "down", "act"])
    explanation = sc.explain(clf, batch(), 0, methods=["normgrad_proper", "normgrad"])
    assert [layer.name for layer in explanation.layers_of("normgrad_proper")] == ["conv", "down"]
    assert len(explanation.layers_of("normgrad")) == 4
