"""BatchNorm folded into convolutions: the same maps, never a stale or a wrong one."""

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import saliency_core as sc
from tests.networks import SIDE, InPlaceNet, batch, seeded

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(num_classes=10),
    "tf_efficientnet_lite0": lambda: timm.create_model("tf_efficientnet_lite0", num_classes=10),
}


def seeded_norms(network: nn.Module) -> nn.Module:
    """With statistics that do something."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.7, 1.4),
                (module.weight.data, 0.7, 1.3),
                (module.bias.data, -0.2, 0.2),
            ):
                tensor.uniform_(low, high, generator=generator)
    return network.double().eval()


def both(network: nn.Module, **options: object) -> tuple[sc.Classifier, sc.Classifier]:
    preprocess = sc.Preprocess(size=SIDE * 2, resize=SIDE * 2)
    plain, folded = (
        sc.Classifier(network, preprocess=preprocess, fold=fold, **options) for fold in (False, True)
    )
    return plain, folded


def is_folded(clf: sc.Classifier) -> bool:
    return clf.tapped(clf.default_layers, plain=True) is not clf.module


@pytest.mark.parametrize("name", list(BUILDERS))
def test_folded_networks_have_the_same_scores_activations_and_gradients(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain, folded = both(seeded_norms(BUILDERS[name]()))
    assert is_folded(folded)
    tree = folded.tapped(folded.default_layers, plain=True)
    assert not any(type(module) is nn.BatchNorm2d for module in tree.modules())
    x = torch.randn(2, 3, SIDE * 2, SIDE * 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, theirs = sc.capture(folded, x, [3, 8]), sc.capture(plain, x, [3, 8])
    torch.testing.assert_close(ours.logits, theirs.logits)
    for layer, pair in theirs.layers.items():
        torch.testing.assert_close(ours.layers[layer].activation, pair.activation)
        torch.testing.assert_close(ours.layers[layer].gradient, pair.gradient)


def test_networks_loaded_by_name_are_folded_where_they_have_batchnorm() -> None:
    assert is_folded(sc.load_classifier("resnet18", random=0))
    assert not is_folded(sc.load_classifier("vgg16", random=0))


def small() -> sc.Classifier:
    preprocess = sc.Preprocess(size=SIDE, resize=SIDE)
    return sc.Classifier(seeded(), preprocess=preprocess, default_layers=["relu", "act"], fold=True)


def test_other_layers_and_other_passes_see_the_network_as_it_is() -> None:
    clf = small()
    assert is_folded(clf)
    plain = sc.Classifier(clf.module, preprocess=clf.preprocess, default_layers=clf.default_layers)
    for layers, options in ((["conv", "bn"], {}), (["relu"], {"convolutions": True})):
        ours, theirs = (sc.capture(each, batch(), 1, layers, **options) for each in (clf, plain))
        for layer in layers:
            torch.testing.assert_close(
                ours.layers[layer].activation, theirs.layers[layer].activation, rtol=0, atol=0
            )
    rules = [sc.explain(each, batch(), 1, methods=["excitation_backprop"]) for each in (clf, plain)]
    np.testing.assert_array_equal(*(each.map("excitation_backprop", "act") for each in rules))


@pytest.mark.parametrize("tensor", ["conv.weight", "bn.weight", "bn.running_mean", "head.weight"])
def test_weights_changed_later_are_seen(tensor: str) -> None:
    clf = small()
    state = {key: value.clone() for key, value in clf.module.state_dict().items()}
    state[tensor] *= 1.7
    clf.module.load_state_dict(state)
    plain = sc.Classifier(clf.module, preprocess=clf.preprocess, default_layers=clf.default_layers)
    assert not is_folded(clf)
    ours, theirs = (sc.explain(each, batch(), 1) for each in (clf, plain))
    np.testing.assert_array_equal(ours.map("normgrad", "relu"), theirs.map("normgrad", "relu"))


class Forked(InPlaceNet):
    """The convolution's result is used twice, which its BatchNorm does not show."""

    def forward(self, x: Tensor) -> Tensor:
        before = self.conv(x)
        after = self.relu(self.bn(before) + 3 * before)
        scores: Tensor = self.head(self.pool(self.act(self.down(after))).flatten(1))
        return scores


class Twice(InPlaceNet):
    """One normalisation behind two convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn(self.branch(self.bn(self.conv(x)))))
        scores: Tensor = self.head(self.pool(self.act(self.down(y))).flatten(1))
        return scores


@pytest.mark.parametrize("kind", [Forked, Twice])
def test_what_cannot_be_folded_is_left_alone(kind: type[nn.Module]) -> None:
    network = kind().double()
    network.load_state_dict(seeded().state_dict())
    plain, folded = both(network, default_layers=["act"])
    assert not is_folded(folded)
    x = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, theirs = sc.capture(folded, x, 1), sc.capture(plain, x, 1)
    torch.testing.assert_close(ours.layers["act"].gradient, theirs.layers["act"].gradient, rtol=0, atol=0)


def test_a_shown_convolution_keeps_its_own_output() -> None:
    network = seeded()
    plain, folded = both(network, default_layers=["conv", "act"])
    x = batch()
    ours, theirs = sc.capture(folded, x, 1), sc.capture(plain, x, 1)
    torch.testing.assert_close(ours.layers["conv"].activation, theirs.layers["conv"].activation)
