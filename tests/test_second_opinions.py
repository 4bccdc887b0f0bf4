"""Captum and pytorch-grad-cam as second opinions, wherever they define the same map.

pytorch-grad-cam records a layer's output without a copy, so the network here has no in-place operations; the
last test shows what becomes of its maps where there are some.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest
import torch
from captum import attr
from torch import Tensor, nn

import saliency_core as sc
from tests.networks import batch, classifier, seeded

TARGETS = [2, 4]
LAYERS = ("bn", "relu", "join", "down")
"""A signed layer behind a BatchNorm, a positive one, a sum, and a convolution before a ReLU."""
SHARPNESS = 1e6

Opinion = Callable[[nn.Module, nn.Module, Tensor], Tensor]


def peer() -> ModuleType:
    """pytorch-grad-cam, which loads scikit-learn: not in every process that collects the tests."""
    import pytorch_grad_cam

    return pytorch_grad_cam


def outputs() -> list[Callable[[Tensor], Tensor]]:
    """The targets as pytorch-grad-cam takes them."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    return [ClassifierOutputTarget(target) for target in TARGETS]


class PlainNet(nn.Module):
    """As ``tests.networks.InPlaceNet``, with every operation out of place and every ReLU a module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.join = nn.Identity()
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.act = nn.ReLU()
        self.last = nn.Conv2d(12, 12, 3, padding=1)
        self.end = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.join(self.branch(x) + x)
        x = self.end(self.last(self.act(self.down(x))))
        return self.head(self.pool(x).flatten(1))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(6)
        found = PlainNet().double().eval()
        found.bn.running_mean.uniform_(-0.5, 0.5)
        found.bn.running_var.uniform_(0.5, 2)
    # pytorch-grad-cam adds 1e-6 to the denominator of Grad-CAM++, 2 g² + g³ Σ x, and 1e-7 to the Σ x of
    # XGrad-CAM. A head this large makes g² > 1 and moves no other map's shape, and with these weights no
    # channel's Σ x is near zero, so both move a map by less than 1e-6 of its maximum. With g of an unscaled
    # head, about 1e-3, Grad-CAM++ would be off by half.
    found.head.weight.data *= SHARPNESS
    return found


def ours(name: str, network: nn.Module, layer: str, x: Tensor) -> Tensor:
    method = sc.METHODS[name]
    return method(sc.capture(classifier(network), x, TARGETS, [layer], rule=method.rule).layers[layer])


def grad_cam_package(kind: str, network: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """The map at the layer's own resolution, before the package cuts, resizes and rescales it."""
    targets = outputs()
    with getattr(peer(), kind)(network, [layer]) as cam:
        cam(x, targets)
        record = cam.activations_and_grads
        x_layer, g_layer = record.activations[0].numpy(), record.gradients[0].numpy()
        raw = cam.get_cam_image(x, layer, targets, x_layer, g_layer, eigen_smooth=False)
    return torch.from_numpy(raw).double()


def captum_grad_cam(network: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    return attr.LayerGradCam(network, layer).attribute(x, target=TARGETS, relu_attributions=True)[:, 0]


def captum_gradient_x_activation(network: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    return attr.LayerGradientXActivation(network, layer).attribute(x, target=TARGETS).sum(dim=1)


def assert_agree(one: Tensor, other: Tensor) -> None:
    """Equal to 1e-5 of the largest value, and there is something to compare."""
    assert one.shape == other.shape
    assert other.abs().amax(dim=(1, 2)).min() > 0
    assert (one - other).abs().max() <= 1e-5 * other.abs().max()


AT_A_LAYER: dict[str, tuple[str, Opinion]] = {
    "Captum LayerGradCam": ("grad_cam", captum_grad_cam),
    "Captum LayerGradientXActivation": ("linear_approx", captum_gradient_x_activation),
    "pytorch-grad-cam GradCAM": ("grad_cam", partial(grad_cam_package, "GradCAM")),
    "pytorch-grad-cam GradCAM++": ("grad_cam_plus_plus", partial(grad_cam_package, "GradCAMPlusPlus")),
    "pytorch-grad-cam XGradCAM": ("xgrad_cam", partial(grad_cam_package, "XGradCAM")),
    "pytorch-grad-cam LayerCAM": ("layer_cam", partial(grad_cam_package, "LayerCAM")),
    "pytorch-grad-cam HiResCAM": ("hires_cam", partial(grad_cam_package, "HiResCAM")),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("opinion", list(AT_A_LAYER))
def test_a_map_at_a_layer_agrees(network: nn.Module, layer: str, opinion: str) -> None:
    name, theirs = AT_A_LAYER[opinion]
    x = batch(2)
    expected = theirs(network, network.get_submodule(layer), x)
    if sc.METHODS[name].family == "Class activation maps":
        expected = expected.relu()  # the package cuts off later, after this raw map
    assert_agree(ours(name, network, layer, x), expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_eigen_grad_cam_agrees_up_to_its_arbitrary_sign(network: nn.Module, layer: str) -> None:
    """Eigen-CAM has no such test: the package centres the activations, the paper does not."""
    x = batch(2)
    theirs = grad_cam_package("EigenGradCAM", network, network.get_submodule(layer), x)
    for one, other in zip(ours("eigen_grad_cam", network, layer, x), theirs, strict=True):
        # The larger overlap shows which sign the package's decomposition happened to give.
        sign = 1 if (one * other.relu()).sum() >= (one * (-other).relu()).sum() else -1
        assert_agree(one[None], (sign * other).relu()[None])


AT_THE_INPUT: dict[str, tuple[str, type]] = {
    "Captum Saliency": ("gradient", attr.Saliency),
    "Captum GuidedBackprop": ("guided_backprop", attr.GuidedBackprop),
    "Captum Deconvolution": ("deconvnet", attr.Deconvolution),
}


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
@pytest.mark.parametrize("opinion", list(AT_THE_INPUT))
def test_a_map_at_the_input_agrees(network: nn.Module, opinion: str) -> None:
    name, kind = AT_THE_INPUT[opinion]
    x = batch(2)
    theirs = kind(network).attribute(x.clone().requires_grad_(), target=TARGETS)
    assert_agree(ours(name, network, "input", x), theirs.detach().abs().amax(dim=1))


def test_an_in_place_relu_changes_what_pytorch_grad_cam_records_and_not_what_is_recorded_here() -> None:
    in_place = seeded().eval()
    x = batch(2)
    truth = in_place.bn(in_place.conv(x)).detach()
    with peer().HiResCAM(in_place, [in_place.bn]) as cam:
        cam(x, outputs())
        recorded = cam.activations_and_grads.activations[0].clone()
    assert (truth < 0).any()
    torch.testing.assert_close(recorded, truth.relu(), rtol=0, atol=0)  # the layer behind, not this one
    captured = sc.capture(classifier(in_place), x, TARGETS, ["bn"]).layers["bn"]
    torch.testing.assert_close(captured.activation, truth, rtol=0, atol=0)
    # The same network with its ReLUs out of place is what the package explains rightly.
    out_of_place = seeded().eval()
    out_of_place.relu, out_of_place.act = nn.ReLU(), nn.ReLU()
    wrong, right = (grad_cam_package("GradCAM", one, one.bn, x).relu() for one in (in_place, out_of_place))
    assert_agree(ours("grad_cam", in_place, "bn", x), right)
    assert (wrong - right).abs().max() > 0.1 * right.max()
