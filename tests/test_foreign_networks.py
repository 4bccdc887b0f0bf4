"""Networks that fail, return or draw something unusual: a sentence or the right map, never a raw error."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import saliency_core as sc
from tests.networks import SIDE, InPlaceNet, batch, classifier, seeded

pytestmark = pytest.mark.filterwarnings("ignore:only one layer")

FEW = {"smoothgrad": {"samples": 2}}
SHARED, RULE, STEP, MANY, INPUT = (
    {},
    {"methods": ["guided_backprop"]},
    {"meta": sc.MetaStep()},
    {"methods": ["smoothgrad"], "options": FEW},
    {"layers": ["input"]},
)


class Squeezed(InPlaceNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(0)


class OneByOne(InPlaceNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).view(1, 5)


class Overwriting(InPlaceNet):
    """Changes what autograd needs for its ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x)).clone().relu_()
        y[:, :2] *= 0.5
        return self.head(self.pool(self.act(self.down(y))).flatten(1))


class Checkpointed(InPlaceNet):
    def part(self, x: Tensor) -> Tensor:
        return self.act(self.down(self.bn(self.conv(x)).relu()))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(checkpoint(self.part, x, use_reentrant=False)).flatten(1))


class Detached(InPlaceNet):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.act(self.down(self.bn(self.conv(x)).detach()))).flatten(1))


class Particular(InPlaceNet):
    """Fails for some images only."""

    def forward(self, x: Tensor) -> Tensor:
        if x.min() < -50:
            raise KeyError("a very dark image")
        return super().forward(x)


@pytest.mark.parametrize("asked", [SHARED, RULE, STEP, MANY], ids=["shared", "rule", "step", "many"])
def test_scores_of_another_shape_for_one_image_are_named(asked: dict[str, object]) -> None:
    clf = classifier(Squeezed().double())
    with pytest.raises(sc.NetworkError, match=r"returned shape \(5,\) .* expected .* \(1, 5\)"):
        sc.explain(clf, batch(), 0, **asked)


@pytest.mark.parametrize(
    ("network", "asked", "reason"),
    [
        (OneByOne, MANY, r"forward pass for inputs of shape \(2, 3, 24, 24\): shape '\[1, 5\]' is invalid"),
        (Overwriting, SHARED, "backward pass .* modified by an inplace operation"),
        (Overwriting, STEP, "backward pass .* modified by an inplace operation"),
        (Overwriting, MANY, "backward pass .* modified by an inplace operation"),
        (Checkpointed, STEP, "activation checkpointing .* switch checkpointing off"),
        (Detached, MANY, "backward pass .* not have been used in the graph"),
    ],
)
def test_what_a_network_raises_in_a_pass_is_a_sentence(
    network: Callable[[], nn.Module], asked: dict[str, object], reason: str
) -> None:
    clf = classifier(network().double())
    with pytest.raises(sc.NetworkError, match=reason):
        sc.explain(clf, batch(), 0, **asked)


def test_an_image_for_which_the_network_fails_leaves_no_trace() -> None:
    clf = classifier(Particular().double())
    before = sc.explain(clf, batch(), 0)
    for asked in (SHARED, RULE, STEP, MANY):
        with pytest.raises(sc.NetworkError, match="a very dark image"):
            sc.explain(clf, batch() - 100, 0, **asked)
    after = sc.explain(clf, batch(), 0)
    for layer in clf.default_layers:
        np.testing.assert_array_equal(before.map("normgrad", layer), after.map("normgrad", layer))


class Inference(InPlaceNet):
    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Meta(InPlaceNet):
    def __init__(self) -> None:
        with torch.device("meta"):
            super().__init__()


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Inference, "gradients switched off"),
        (Meta, "on the device 'meta', where they have no values"),
        (lambda: nn.Sequential(nn.Conv2d(6, 4, 3), nn.Flatten(), nn.LazyLinear(2)), "lazy"),
    ],
)
def test_a_network_that_cannot_be_explained_is_refused_with_the_reason(
    network: Callable[[], nn.Module], reason: str
) -> None:
    with pytest.raises(sc.NetworkError, match=reason):
        classifier(network())


def test_a_network_of_more_channels_is_refused_without_advice_that_would_be_refused_too() -> None:
    network = InPlaceNet()
    network.conv = nn.Conv2d(6, 8, 3, stride=2, padding=1)
    with pytest.raises(sc.NetworkError, match="takes 6 channels; only networks of colour or grey") as caught:
        classifier(network)
    assert "Preprocess" not in str(caught.value)


class Between(InPlaceNet):
    """Has a layer of complex numbers and one of whole ones."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum, self.order = Spectrum(), Order()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn(self.conv(x)))
        y = self.spectrum(y).abs() + self.order(y)
        return self.head(self.pool(self.act(self.down(y))).flatten(1))


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft2(x)


class Order(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argsort(dim=1)


def test_layers_of_complex_or_whole_numbers_are_refused_and_the_others_explained() -> None:
    clf = classifier(Between().double())
    assert clf.default_layers == ("relu", "act")
    sc.explain(clf, batch(), 0)
    for name, kind in (("spectrum", "complex128"), ("order", "int64")):
        with pytest.raises(sc.LayerError, match=f"consists of {kind} numbers"):
            sc.explain(clf, batch(), 0, layers=[name])


def test_a_meta_step_of_a_network_without_parameters_is_unavailable() -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(sc.UnavailableError, match="depend on no parameter"):
        sc.explain(classifier(network), batch(), 0, meta=sc.MetaStep())


class Resizing(InPlaceNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, (SIDE, SIDE)))


def test_the_layers_of_a_network_that_resizes_its_inputs_are_found() -> None:
    assert classifier(Resizing()).default_layers == classifier(InPlaceNet()).default_layers


def test_examining_a_network_seeds_no_device_of_the_caller() -> None:
    """Asked of the queue in which PyTorch keeps seeds for GPUs that have not been used yet."""
    network, seeder = seeded(), torch.cuda._lazy_seed_tracker
    before = seeder.get_calls()
    classifier(network)
    assert [id(call) for call in seeder.get_calls()] == [id(call) for call in before]


@pytest.mark.parametrize("method", ["rise", "occlusion", "smoothgrad", "integrated_gradients"])
def test_many_pass_methods_explain_networks_of_grey_images(method: str) -> None:
    network = InPlaceNet()
    network.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1)
    preprocess = sc.Preprocess(size=SIDE, mean=(0.5,), std=(0.5,))
    clf = sc.Classifier(network, preprocess=preprocess)
    given = {"rise": {"masks": 4}, "integrated_gradients": {"steps": 2}, **FEW}
    options = {method: given[method]} if method in given else None
    found = sc.explain(clf, batch(dtype=torch.float32)[:, :1], 0, methods=[method], options=options)
    assert found.map(method, "input").shape == (SIDE, SIDE)
    assert found.layers_of(method) == (sc.Layer("input", 1, SIDE, SIDE),)
