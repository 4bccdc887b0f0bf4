"""What every method promises on every network: a map or a reason, and nothing left behind."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import saliency_core as sc
from tests.networks import SIDE as SMALL_SIDE
from tests.networks import classifier, seeded
from tests.test_capture import assert_same_state, state_of

SIDE, CLASSES, TARGETS = 64, 10, [3, 8]
PASSES = [name for name, method in sc.METHODS.items() if method.cost == "passes"]
SHARED = [name for name in sc.METHODS if name not in PASSES]
"""The methods whose map comes out of a capture."""


def narrow_vgg11(num_classes: int) -> nn.Module:
    """VGG-11 with 64 instead of 4096 hidden units, whose 400 MB say nothing more about maps."""
    network = torchvision.models.vgg11(num_classes=num_classes)
    network.classifier[0] = nn.Linear(512 * 7 * 7, 64)
    network.classifier[3] = nn.Linear(64, 64)
    network.classifier[6] = nn.Linear(64, num_classes)
    return network


ARCHITECTURES: dict[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    # Convolutions: wide and strided; 1 × 1 and strided.
    "resnet18": (torchvision.models.resnet18, ("conv1", "layer2.0.downsample.0")),
    "vgg11": (narrow_vgg11, ("features.8",)),
    # One that reads several feature maps at once.
    "densenet121": (torchvision.models.densenet121, ("features.denseblock2.denselayer2.conv1",)),
    # Depthwise and strided.
    "mobilenet_v2": (torchvision.models.mobilenet_v2, ("features.2.conv.1.0", "features.18.0")),
    # As wide as their stride; depthwise 7 × 7.
    "convnext_tiny": (torchvision.models.convnext_tiny, ("features.0.0", "features.1.0.block.0")),
    # Padding themselves and strided, the second depthwise as well.
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
        everywhere = [name for name in self.available if sc.METHODS[name].where == "any"]
        return sc.explain(self.clf, self.x[:1], TARGETS[0], None, everywhere)

    @cached_property
    def precise(self) -> sc.Classifier:
        """The network in float64, where no rounding turns a ReLU on or off or changes what a pool picks."""
        return sc.Classifier(copy.deepcopy(self.network).double(), preprocess=self.clf.preprocess)

    @cached_property
    def captures(self) -> dict[object, sc.Capture]:
        """Both images at once, by backward rule."""
        rules = {sc.METHODS[name].rule for name in self.available}
        return {rule: sc.capture(self.precise, self.x, TARGETS, rule=rule) for rule in rules}


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


def image_of(pair: sc.LayerCapture, index: int) -> sc.LayerCapture:
    """One image of a captured batch, as a batch of one."""
    only = slice(index, index + 1)
    call = pair.convolution and replace(pair.convolution, inputs=pair.convolution.inputs[only])
    return sc.LayerCapture(pair.activation[only], pair.gradient[only], call)


@pytest.mark.parametrize("name", SHARED)
def test_a_method_gives_its_map_at_every_default_layer_or_a_reason(subject: Subject, name: str) -> None:
    reason = sc.unavailable(subject.clf, name)
    if reason is None and sc.METHODS[name].where == "any":
        first, again = subject.explanations
        assert first.layers_of(name) == first.layers
        assert_map(first, name)
        for layer in first.layers:
            np.testing.assert_array_equal(first.map(name, layer.name), again.map(name, layer.name))
    elif reason is None:
        layers = [each for each in subject.clf.default_layers if not sc.unavailable(subject.clf, name, each)]
        found = sc.explain(subject.clf, subject.x[:1], TARGETS[0], None, [name])
        assert [layer.name for layer in found.layers_of(name)] == layers
        assert_map(found, name)
    else:
        assert_sentence(reason)
        last = subject.clf.default_layers[-1]
        why = sc.unavailable(subject.clf, name, last)
        assert why is not None
        assert_sentence(why)
        for layers, sentence in ((None, reason), ([last], why)):
            with pytest.raises(sc.UnavailableError) as error:
                sc.explain(subject.clf, subject.x[:1], TARGETS[0], layers, [name])
            assert sentence in str(error.value)
            assert sc.METHODS[name].title in str(error.value)


def test_a_batch_captures_what_its_images_do(subject: Subject) -> None:
    for rule, together in subject.captures.items():
        for index, target in enumerate(TARGETS):
            alone = sc.capture(subject.precise, subject.x[index][None], target, rule=rule)
            for layer, pair in together.layers.items():
                assert_close(pair.activation[index], alone.layers[layer].activation[0])
                assert_close(pair.gradient[index], alone.layers[layer].gradient[0])


@pytest.mark.parametrize("name", [name for name in SHARED if sc.METHODS[name].where == "any"])
def test_a_batch_gives_the_maps_of_its_images(subject: Subject, name: str) -> None:
    if name not in subject.available:
        assert sc.METHODS[name].rule is not None
        return
    # From the same numbers: sums that cancel, as those over the channels before a LayerNorm, are nothing but
    # the rounding of what went in.
    for pair in subject.captures[sc.METHODS[name].rule].layers.values():
        for index, values in enumerate(sc.METHODS[name](pair)):
            assert_close(values, sc.METHODS[name](image_of(pair, index))[0])


def test_normgrad_of_real_convolutions(subject: Subject) -> None:
    """At a corner, where padding shows, and in the middle: the norm of that place's share in the gradient."""
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
    return build("resnet18", 32)


@pytest.mark.parametrize("name", PASSES)
def test_a_method_of_many_passes_gives_one_map_at_the_input(small_resnet: Subject, name: str) -> None:
    clf, x = small_resnet.clf, small_resnet.x[:1]
    assert sc.unavailable(clf, name) is None
    own, shared = state_of(small_resnet.network), state_of(clf.module)
    steps: list[tuple[int, int]] = []
    first = sc.explain(
        clf, x, TARGETS[0], None, [name], progress=lambda done, total: steps.append((done, total))
    )
    assert [layer.name for layer in first.layers_of(name)] == ["input"]
    assert_map(first, name)
    assert first.map(name, "input").shape == (32, 32)
    assert steps[-1][0] == steps[-1][1]
    again = sc.explain(clf, x, TARGETS[0], None, [name])
    np.testing.assert_array_equal(first.map(name, "input"), again.map(name, "input"))

    def interrupt(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        sc.explain(clf, x, TARGETS[0], None, [name], progress=interrupt)
    with pytest.raises(sc.TargetError):
        sc.explain(clf, x, CLASSES, None, [name])
    assert_same_state(own, state_of(small_resnet.network))
    assert_same_state(shared, state_of(clf.module))


def explain_small(
    name: str, layer: str = "down", value: float | None = None, change: Callable[[nn.Module], None] = id
) -> sc.Explanation:
    """The class 3 of a small changed network, at a convolution."""
    network = seeded(dtype=torch.float32)
    with torch.no_grad():
        change(network)
    x = torch.randn(1, 3, SMALL_SIDE, SMALL_SIDE, generator=torch.Generator().manual_seed(1))
    image = x if value is None else torch.full_like(x, value)
    return sc.explain(classifier(network), image, 3, [layer], [name])


@pytest.mark.parametrize("value", [0.0, 0.7])
@pytest.mark.parametrize("name", list(sc.METHODS))
def test_a_constant_image_gives_a_finite_map(name: str, value: float) -> None:
    assert_map(explain_small(name, value=value), name)


def kill_class(network: nn.Module) -> None:
    network.head.weight[3] = 0
    network.head.bias[3] = 0


@pytest.mark.parametrize("name", list(sc.METHODS))
def test_a_dead_class_gives_a_map_of_zeros(name: str) -> None:
    found = explain_small(name, change=kill_class)
    (layer,) = found.layers_of(name)
    assert_map(found, name)
    assert found.energy("down") is None
    if name not in ("eigen_cam", "rise"):  # the one knows no class, the other asks for its probability
        assert (found.map(name, layer.name) == 0).all()
        assert found.constant(name, layer.name)


def test_layers_with_the_channels_last_are_refused_in_a_sentence() -> None:
    clf = sc.Classifier(torchvision.models.convnext_tiny())
    inside = next(name for name, module in clf.modules.items() if isinstance(module, nn.GELU))
    with pytest.raises(sc.LayerError, match=r"which is not square as the input"):
        sc.capture(clf, torch.zeros(1, 3, 224, 224), 0, [inside])


@pytest.mark.parametrize("name", list(sc.METHODS))
def test_a_layer_of_one_place_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(
        sc.LayerError, match=r"its output has a single location \(1 × 1\), so there is no map"
    ):
        explain_small(name, layer="pool")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", list(sc.METHODS))
def test_weights_that_are_not_finite_are_reported_in_a_sentence(name: str, value: float) -> None:
    with pytest.raises(sc.NonFiniteError, match=r"NaN or infinity.*check its weights and the input"):
        explain_small(name, change=lambda network: network.down.weight[0, 0].fill_(value))


def scaled_layers(factor: float) -> Callable[[nn.Module], None]:
    """Activations at the layer ``down`` so many times larger, and the same scores."""

    def change(network: nn.Module) -> None:
        for scaled in (network.down.weight, network.down.bias):
            scaled *= factor
        network.head.weight /= factor

    return change


@pytest.mark.parametrize("factor", [1e-25, 1e25])
@pytest.mark.parametrize("name", list(sc.METHODS))
def test_numbers_too_large_to_square_give_a_map_or_a_sentence(name: str, factor: float) -> None:
    """Activations at the one factor, gradients at the other; some methods add up squares of them."""
    found, refusal = None, ""
    try:
        found = explain_small(name, change=scaled_layers(factor))
    except sc.NonFiniteError as error:
        refusal = str(error)
    if found is None:
        assert "contains NaN or infinity" in refusal
        assert refusal.endswith("overflow there; check its weights and the input")
    else:
        assert_map(found, name)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_eigen_cams_know_no_scale(factor: float) -> None:
    for name, share in (("eigen_cam", factor), ("eigen_grad_cam", 1)):
        expected = explain_small(name).map(name, "down") * share
        found = explain_small(name, change=scaled_layers(factor)).map(name, "down")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.max())
