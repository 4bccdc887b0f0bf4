"""What every method guarantees on every network: a map or a reason, and nothing left behind."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import ConvNeXt, DenseNet, MobileNetV2, ResNet
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import make_layers

import saliency_core as sc
from tests.networks import SIDE as SMALL_SIDE
from tests.networks import classifier, seeded
from tests.test_capture import assert_same_state, state_of

SIDE, CLASSES, TARGETS = 64, 10, [3, 8]
MULTI_PASS = [name for name, method in sc.METHODS.items() if isinstance(method.kind, sc.MultiPass)]
SHARED = [name for name in sc.METHODS if name not in MULTI_PASS]
"""The methods whose map comes out of a capture, or of one pass more."""
HERE = {name: method for name, method in sc.METHODS.items() if not isinstance(method.kind, sc.AttentionPass)}
"""The methods that are defined for a small network of convolutions."""


def vgg(num_classes: int) -> nn.Module:
    features = make_layers([16, "M", 32, "M", 64, 64, "M", 128, 128, "M", 128, 128, "M"])
    classifier = nn.Sequential(nn.Linear(128 * 7 * 7, 64), nn.ReLU(True), nn.Linear(64, num_classes))
    parts = {"features": features, "avgpool": nn.AdaptiveAvgPool2d(7), "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(parts | {"classifier": classifier}))


MOBILE_STAGES = [[1, 16, 1, 1], [6, 24, 1, 2], [6, 32, 2, 2], [6, 64, 1, 2], [6, 96, 1, 2]]
CONVNEXT_STAGES = [CNBlockConfig(24, 48, 1), CNBlockConfig(48, 96, 1), CNBlockConfig(96, None, 2)]

ARCHITECTURES: dict[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    # The libraries' own parts, in fewer and narrower blocks than those that are trained.
    # Convolutions: wide and strided; 1 × 1 and strided.
    "resnet": (partial(ResNet, BasicBlock, [1, 1, 1, 1]), ("conv1", "layer2.0.downsample.0")),
    "vgg": (vgg, ("features.8",)),
    # One that reads several feature maps at once.
    "densenet": (
        partial(DenseNet, 16, (2, 3, 2, 2), 32),
        ("features.denseblock2.denselayer2.conv1",),
    ),
    # Depthwise and strided.
    "mobilenet_v2": (
        partial(MobileNetV2, inverted_residual_setting=MOBILE_STAGES),
        ("features.2.conv.1.0", "features.7.0"),
    ),
    # As wide as their stride; depthwise 7 × 7.
    "convnext": (partial(ConvNeXt, CONVNEXT_STAGES), ("features.0.0", "features.1.0.block.0")),
    # Padding themselves and strided, the second depthwise as well; the app's own network, whole.
    "tf_efficientnet_lite0": (
        partial(timm.create_model, "tf_efficientnet_lite0"),
        ("conv_stem", "blocks.1.0.conv_dw", "conv_head"),
    ),
}


@dataclass
class Subject:
    """A network with seeded random weights, and what several tests ask of it, each computed once."""

    network: nn.Module
    clf: sc.Classifier
    x: Tensor
    """Two images."""
    convolutions: tuple[str, ...]

    @cached_property
    def available(self) -> list[str]:
        return [name for name in SHARED if sc.unavailable(self.clf, name) is None]

    @cached_property
    def explanations(self) -> tuple[sc.Explanation, sc.Explanation]:
        """The same question twice: every available method at the default layers."""
        return self.explain(), self.explain()

    def explain(self) -> sc.Explanation:
        return sc.explain(self.clf, self.x[:1], TARGETS[0], None, self.available)

    @cached_property
    def precise(self) -> sc.Classifier:
        """The network in float64, where no rounding turns a ReLU on or off or changes what a pool picks."""
        return sc.Classifier(copy.deepcopy(self.network).double(), preprocess=self.clf.preprocess)


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def subject(request: pytest.FixtureRequest) -> Subject:
    return build(request.param, SIDE)


def build(architecture: str, side: int) -> Subject:
    build, convolutions = ARCHITECTURES[architecture]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(num_classes=CLASSES).train()
        x = torch.randn(2, 3, side, side)
    clf = sc.Classifier(network, preprocess=sc.Preprocess(size=side, resize=side))
    return Subject(network, clf, x, convolutions)


def assert_sentence(text: str) -> None:
    assert text[0].isupper()
    assert text.endswith(".")


def assert_map(explanation: sc.Explanation, name: str) -> None:
    layers = explanation.layers_of(name)
    assert layers
    for layer in layers:
        values = explanation.map(name, layer.name)
        assert values.shape == (layer.height, layer.width)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert sc.METHODS[name].signed or values.min() >= 0


def assert_close(one: Tensor, other: Tensor) -> None:
    """Equal up to the rounding of other kernels for another batch size, in float64."""
    assert one.shape == other.shape
    assert one.dtype == torch.float64
    assert (one - other).abs().max() <= 1e-8 * other.abs().max()


def test_every_method_gives_its_map_at_every_default_layer_or_a_reason(subject: Subject) -> None:
    first, again = subject.explanations
    for name in subject.available:
        everywhere = sc.METHODS[name].domain is sc.Domain.LAYERS
        expected = [
            layer for layer in first.layers if everywhere or not sc.unavailable(subject.clf, name, layer.name)
        ]
        assert list(first.layers_of(name)) == expected, name
        assert_map(first, name)
        for layer in expected:
            np.testing.assert_array_equal(first.map(name, layer), again.map(name, layer), name)


def test_a_method_that_is_not_defined_for_a_network_is_refused_with_the_reason(subject: Subject) -> None:
    last = subject.clf.default_layers[-1]
    for name in set(SHARED) - set(subject.available):
        reason, why = sc.unavailable(subject.clf, name), sc.unavailable(subject.clf, name, last)
        assert reason is not None
        assert why is not None
        for layers, sentence in ((None, reason), ([last], why)):
            assert_sentence(sentence)
            with pytest.raises(sc.UnavailableError) as error:
                sc.explain(subject.clf, subject.x[:1], TARGETS[0], layers, [name])
            assert sentence in str(error.value)
            assert sc.METHODS[name].title in str(error.value)


def test_a_batch_captures_what_its_images_do(subject: Subject) -> None:
    """Methods are functions of what is captured; batches of theirs are in test_methods."""
    for rule in dict.fromkeys(sc.METHODS[name].rule for name in subject.available):
        together = sc.capture(subject.precise, subject.x, TARGETS, rule=rule)
        alone = sc.capture(subject.precise, subject.x[1:], TARGETS[1], rule=rule)
        for layer, pair in together.layers.items():
            assert_close(pair.activation[1], alone.layers[layer].activation[0])
            assert_close(pair.gradient[1], alone.layers[layer].gradient[0])


def test_normgrad_of_real_convolutions(subject: Subject) -> None:
    """At corners, where padding shows, and in the middle: its share's norm in the gradient."""
    name, layers = "normgrad_proper", subject.convolutions
    assert all(sc.unavailable(subject.clf, name, layer) is None for layer in layers)
    first, again = (sc.explain(subject.clf, subject.x[:1], TARGETS[0], layers, [name]) for _ in range(2))
    assert_map(first, name)
    ask = partial(sc.capture, subject.precise, layers=layers, convolutions=True)
    together, single = ask(subject.x, TARGETS), ask(subject.x[:1], TARGETS[0])
    for layer in layers:
        values = first.map(name, layer)
        np.testing.assert_array_equal(values, again.map(name, layer))
        precise = sc.METHODS[name](together.layers[layer])[0]
        assert_close(precise, sc.METHODS[name](single.layers[layer])[0])
        height, width = values.shape
        for row, column in ((0, 0), (height - 1, width - 1), (height // 2, width // 2)):
            expected = share_norm(subject, layer, single.layers[layer].gradient, row, column)
            assert precise[row, column].item() == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(values, precise, rtol=0, atol=1e-3 * values.max())


def share_norm(subject: Subject, layer: str, gradient: Tensor, row: int, column: int) -> float:
    """The norm of the weights' gradient when one location alone passes its gradient back."""
    convolution = subject.precise.modules[layer]
    seen: list[Tensor] = []
    handle = convolution.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    with torch.no_grad():
        subject.precise.module(subject.x[:1].double())
    handle.remove()
    alone = torch.zeros_like(gradient)
    alone[:, :, row, column] = gradient[:, :, row, column]
    (share,) = torch.autograd.grad(convolution(seen[0]), convolution.weight, alone)
    return share.norm().item()


def test_nothing_is_left_on_the_network(subject: Subject) -> None:
    own, shared = state_of(subject.network), state_of(subject.clf.module)
    subject.explain()
    for rule in {sc.METHODS[name].rule for name in subject.available}:
        with pytest.raises(sc.TargetError, match=f"expected an index from 0 to {CLASSES - 1}"):
            sc.capture(subject.clf, subject.x, CLASSES, rule=rule)
    with pytest.raises(sc.LayerError, match="'nowhere'"):
        sc.explain(subject.clf, subject.x[:1], 0, ["nowhere"])
    assert_same_state(own, state_of(subject.network))
    assert_same_state(shared, state_of(subject.clf.module))


@pytest.fixture(scope="module")
def small_resnet() -> Subject:
    return build("resnet", 32)


@pytest.mark.parametrize("name", MULTI_PASS)
def test_a_many_pass_method_gives_one_map_at_the_input(small_resnet: Subject, name: str) -> None:
    clf, x = small_resnet.clf, small_resnet.x[:1]
    ask = partial(sc.explain, clf, x, layers=clf.default_layers[-1:], methods=[name], options=few([name]))
    assert sc.unavailable(clf, name) is None
    own, shared = state_of(small_resnet.network), state_of(clf.module)
    steps: list[tuple[int, int]] = []
    first = ask(TARGETS[0], progress=lambda done, total: steps.append((done, total)))
    assert [layer.name for layer in first.layers_of(name)] == ["input"]
    assert_map(first, name)
    assert first.map(name, "input").shape == (32, 32)
    assert steps[-1][0] == steps[-1][1]
    np.testing.assert_array_equal(first.map(name, "input"), ask(TARGETS[0]).map(name, "input"))

    def interrupt(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ask(TARGETS[0], progress=interrupt)
    with pytest.raises(sc.TargetError):
        ask(CLASSES)
    assert_same_state(own, state_of(small_resnet.network))
    assert_same_state(shared, state_of(clf.module))


def few(names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Options with which many-pass methods take few passes."""
    options = {"integrated_gradients": {"steps": 6}, "smoothgrad": {"samples": 6}, "rise": {"masks": 20}}
    return {name: options[name] for name in names if name in options}


def explain_small(
    layer: str = "down",
    value: float | None = None,
    change: Callable[[nn.Module], None] = id,
    methods: Iterable[str] = HERE,
) -> sc.Explanation:
    """The class 3 of a small changed network, at a convolution, by every method."""
    network = seeded(dtype=torch.float32)
    with torch.no_grad():
        change(network)
    x = torch.randn(1, 3, SMALL_SIDE, SMALL_SIDE, generator=torch.Generator().manual_seed(1))
    image = x if value is None else torch.full_like(x, value)
    return sc.explain(classifier(network), image, 3, [layer], methods, options=few(methods))


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_constant_image_gives_finite_maps(value: float) -> None:
    found = explain_small(value=value)
    for name in HERE:
        assert_map(found, name)


def kill_class(network: nn.Module) -> None:
    network.head.weight[3] = 0
    network.head.bias[3] = 0


def test_a_dead_class_gives_maps_of_zeros() -> None:
    found = explain_small(change=kill_class)
    assert found.energy("down") is None
    for name in HERE:
        (layer,) = found.layers_of(name)
        assert_map(found, name)
        if name not in ("eigen_cam", "rise"):  # the one ignores the class, the other asks for its probability
            assert (found.map(name, layer) == 0).all(), name
            assert found.constant(name, layer)


@pytest.mark.parametrize("name", ["normgrad", "guided_backprop", "rise"])
def test_a_layer_of_one_location_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(
        sc.LayerError, match=r"its output has a single location \(1 × 1\), so there is no map"
    ):
        explain_small("pool", methods=[name])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["normgrad", "guided_backprop", "excitation_backprop", "rise"])
def test_weights_that_are_not_finite_are_reported_in_a_sentence(name: str, value: float) -> None:
    with pytest.raises(sc.NonFiniteError, match=r"NaN or infinity.*check its weights and the input"):
        explain_small(change=lambda network: network.down.weight[0, 0].fill_(value), methods=[name])


def scaled_layers(factor: float) -> Callable[[nn.Module], None]:
    """Activations at the layer ``down`` so many times larger, and the same scores."""

    def change(network: nn.Module) -> None:
        for scaled in (network.down.weight, network.down.bias):
            scaled *= factor
        network.head.weight /= factor

    return change


@pytest.mark.parametrize("factor", [2.0**-80, 2.0**80])
def test_numbers_too_large_or_small_to_square_scale_the_maps_and_nothing_else(factor: float) -> None:
    """With x at the factor and g at its inverse each map is multiplied by one of the two, or by neither."""
    plain, found = explain_small(), explain_small(change=scaled_layers(factor))
    of_g = {"gradient", "guided_backprop", "deconvnet"}
    of_g |= {name for name, method in sc.METHODS.items() if method.cell and method.cell[0] == "bias"}
    for name, method in HERE.items():
        if (method.rule and "excitation" in method.rule.name) or name == "contrastive_excitation_backprop":
            continue  # its definition adds 1e-20 to activations of any size
        scale = 1 / factor if name in of_g else factor if name == "eigen_cam" else 1
        (layer,) = found.layers_of(name)
        if name == "normgrad_proper":  # what goes into the convolution stays as it was
            scale = 1 / factor
        ours, expected = found.map(name, layer).astype(np.float64), plain.map(name, layer) * float(scale)
        assert np.abs(expected).max() > 0, name
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=name)
    assert found.energy("down") == pytest.approx(plain.energy("down"), rel=1e-4)
