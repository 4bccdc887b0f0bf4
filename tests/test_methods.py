"""Each method against a slow definition in float64."""

import pytest
import torch
from torch import Tensor

import saliency_core as sc
from saliency_core.methods import surviving_energy
from tests.networks import batch, classifier, seeded

TARGET = 2


def tail(network: torch.nn.Module, x: Tensor) -> Tensor:
    """The class score as a function of the layer ``down``."""
    return network.head(network.pool(torch.relu(x)).flatten(1))[0, TARGET]


@pytest.fixture
def layer() -> tuple[torch.nn.Module, Tensor]:
    """A network and its true output at ``down``, (C, H, W)."""
    network = seeded().eval()
    hidden = torch.relu(network.bn(network.conv(batch())))
    return network, network.down(network.branch(hidden) + hidden)[0].detach()


def normgrad(network: torch.nn.Module, x: Tensor) -> Tensor:
    """An identity 1 × 1 convolution really inserted, each location with its own copy of the weights."""
    channels, height, width = x.shape
    weights = torch.eye(channels, dtype=x.dtype).repeat(height, width, 1, 1).requires_grad_()
    score = tail(network, torch.einsum("hwij,jhw->ihw", weights, x)[None])
    (share,) = torch.autograd.grad(score, weights)
    return share.square().sum(dim=(2, 3)).sqrt()


def normgrad_selective(network: torch.nn.Module, x: Tensor) -> Tensor:
    """An identity scaling inserted; only the positive entries of its gradient count."""
    weights = torch.ones_like(x).requires_grad_()
    (share,) = torch.autograd.grad(tail(network, (weights * x)[None]), weights)
    return share.clamp(min=0).square().sum(dim=0).sqrt()


def linear_approx(network: torch.nn.Module, x: Tensor) -> Tensor:
    """The derivative of the score when one location's whole vector is scaled."""
    factor = torch.ones(x.shape[1:], dtype=x.dtype, requires_grad=True)
    (share,) = torch.autograd.grad(tail(network, (factor * x)[None]), factor)
    return share


def bias_share(network: torch.nn.Module, x: Tensor) -> Tensor:
    bias = torch.zeros_like(x).requires_grad_()
    (share,) = torch.autograd.grad(tail(network, (x + bias)[None]), bias)
    return share


def gradient(network: torch.nn.Module, x: Tensor) -> Tensor:
    return bias_share(network, x).abs().max(dim=0).values


def gradient_sum(network: torch.nn.Module, x: Tensor) -> Tensor:
    """The derivative of the score when one number is added to all channels of a location."""
    bias = torch.zeros(x.shape[1:], dtype=x.dtype, requires_grad=True)
    (share,) = torch.autograd.grad(tail(network, (x + bias)[None]), bias)
    return share


def grad_cam(network: torch.nn.Module, x: Tensor) -> Tensor:
    """One channel after the other, as in the paper."""
    gradients = bias_share(network, x)
    total = torch.zeros(x.shape[1:], dtype=x.dtype)
    for channel, slope in zip(x, gradients, strict=True):
        total += sum(slope.flatten().tolist()) / slope.numel() * channel
    return total.clamp(min=0)


DEFINITIONS = {
    function.__name__: function
    for function in (normgrad, normgrad_selective, grad_cam, linear_approx, gradient, gradient_sum)
}


def test_every_registered_method_has_a_slow_definition() -> None:
    assert set(DEFINITIONS) == set(sc.METHODS)


@pytest.mark.parametrize("name", list(sc.METHODS))
def test_a_method_equals_its_slow_definition(name: str, layer: tuple[torch.nn.Module, Tensor]) -> None:
    network, x = layer
    captured = sc.capture(classifier(network), batch(), TARGET, ["down"]).layers["down"]
    ours = sc.METHODS[name](captured)
    slow = DEFINITIONS[name](network, x)
    assert ours.shape == (1, *slow.shape)
    assert slow.abs().max() > 0
    torch.testing.assert_close(ours[0], slow, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", list(sc.METHODS))
def test_a_batch_gives_the_maps_of_its_images(name: str) -> None:
    clf, x, targets = classifier(), batch(3), [0, 3, 1]
    together = sc.METHODS[name](sc.capture(clf, x, targets, ["bn"]).layers["bn"])
    for index, target in enumerate(targets):
        alone = sc.METHODS[name](sc.capture(clf, x[index : index + 1], target, ["bn"]).layers["bn"])
        torch.testing.assert_close(together[index], alone[0])


@pytest.mark.parametrize("name", list(sc.METHODS))
def test_a_zero_gradient_gives_a_zero_map(name: str) -> None:
    pair = sc.LayerCapture(torch.rand(1, 4, 3, 3), torch.zeros(1, 4, 3, 3))
    assert (sc.METHODS[name](pair) == 0).all()


@pytest.mark.parametrize("name", list(sc.METHODS))
def test_only_signed_methods_have_negative_values(name: str) -> None:
    pair = sc.LayerCapture(-torch.rand(1, 4, 6, 6), torch.rand(1, 4, 6, 6) - 0.8)
    lowest = sc.METHODS[name](pair).min()
    assert (lowest < 0) == sc.METHODS[name].signed or (name == "linear_approx" and lowest >= 0)


def test_surviving_energy_is_one_for_a_gradient_equal_everywhere_and_zero_for_one_that_cancels() -> None:
    x = torch.rand(1, 2, 2, 2)
    equal = torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
    cancels = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).expand(1, 2, 2, 2)
    half = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).expand(1, 2, 2, 2)
    shares = [surviving_energy(sc.LayerCapture(x, g)).item() for g in (equal, cancels, half)]
    assert shares == pytest.approx([1.0, 0.0, 0.5])


def test_registry_entries_say_what_people_need() -> None:
    for name, method in sc.METHODS.items():
        assert method.name == name
        assert method.summary.endswith(".")
        assert method.empty.endswith(".")
        assert method.url.startswith("https://")
        assert all((method.title, method.formula, method.reference, method.family))
