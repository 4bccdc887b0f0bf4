"""Networks that fail, return or draw something unusual: a sentence or the right map, never a raw error."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
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


class Channels(InPlaceNet):
    """Takes inputs with another number of channels than photos have."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3, stride=2, padding=1)


def test_a_network_of_other_channels_is_refused_with_advice_that_works() -> None:
    for network in (Channels(6), Flat()):
        with pytest.raises(sc.NetworkError, match="pass preprocess=") as caught:
            classifier(network)
        advice = re.search(r"preprocess=(sc\.Preprocess\((?:[^()]|\([^()]*\))*\))", str(caught.value))
        assert advice is not None
        clf = sc.Classifier(network, preprocess=eval(advice[1], {"sc": sc}))
        assert sc.explain(clf, clf.example, 0, methods=["normgrad"]).methods == ("normgrad",)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_networks_of_any_number_of_channels_explain_prepared_tensors(channels: int) -> None:
    preprocess = sc.Preprocess(size=(24, 32), mean=(0.5,) * channels, std=(0.5,) * channels)
    clf = sc.Classifier(Channels(channels), preprocess=preprocess)
    x = torch.randn(1, channels, 24, 32, generator=torch.Generator().manual_seed(0))
    methods = ["normgrad", "guided_backprop", "smoothgrad"]
    found = sc.explain(clf, x, 0, layers=["input", "act"], methods=methods, options=FEW)
    assert found.layers == (sc.Layer("input", channels, 24, 32), sc.Layer("act", 12, 6, 8))
    assert found.map("normgrad", "input").shape == found.map("smoothgrad", "input").shape == (24, 32)
    assert found.resized("normgrad", "act").shape == found.size == (24, 32)
    with pytest.raises(sc.ArgumentError, match=rf"expected one prepared image \(1, {channels}, H, W\)"):
        sc.explain(clf, x[0], 0)
    photo = Image.new("RGB", (50, 40))
    if channels == 1:
        assert sc.explain(clf, photo, 0, methods=["normgrad"]).box is not None
    else:
        with pytest.raises(sc.ArgumentError, match=f"takes inputs with {channels} channels, which a photo"):
            sc.explain(clf, photo, 0)


class Flat(nn.Module):
    """Takes inputs of one size alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4 * 28 * 28, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).flatten(1))


@dataclass
class ImageClassifierOutput:
    """As Hugging Face's networks return it."""

    logits: Tensor
    loss: Tensor | None = None


class FromHuggingFace(nn.Module):
    """Has the class scores inside an object, or in what a test makes of it."""

    def __init__(self, wrap: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.inner, self.wrap = seeded(), wrap

    def forward(self, pixel_values: Tensor) -> object:
        return self.wrap(self.inner(pixel_values))


WRAPPED = {
    "object": lambda scores: ImageClassifierOutput(scores),
    "mapping": lambda scores: {"loss": None, "logits": scores},
    "Inception": lambda scores: torchvision.models.inception.InceptionOutputs(scores, 2 * scores),
    "tuple": lambda scores: (scores, torch.ones(3)),
    "list in a tuple": lambda scores: ([scores, scores * 2], None),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_class_scores_are_found_in_what_a_network_returns(name: str) -> None:
    plain, wrapped = classifier(seeded()), classifier(FromHuggingFace(WRAPPED[name]))
    assert wrapped.default_layers == tuple(f"inner.{layer}" for layer in plain.default_layers)
    for asked in (SHARED, RULE, STEP, MANY):
        ours, theirs = sc.explain(wrapped, batch(), 1, **asked), sc.explain(plain, batch(), 1, **asked)
        np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
        for method in theirs.methods:
            for layer in theirs.layers_of(method):
                own = layer.name if layer.name == "input" else f"inner.{layer.name}"
                np.testing.assert_array_equal(ours.map(method, own), theirs.map(method, layer))


def test_a_network_that_returns_no_scores_is_refused() -> None:
    with pytest.raises(sc.NetworkError, match="returned dict; expected class scores"):
        classifier(FromHuggingFace(lambda scores: {"scores": scores}))


class Single(InPlaceNet):
    """Has one output, (N,) or (N, 1)."""

    def __init__(self, axes: int) -> None:
        super().__init__(classes=1)
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores[:, 0] if self.axes == 1 else scores


@pytest.mark.parametrize("axes", [1, 2])
def test_a_network_with_one_output_is_explained_and_its_probability_is_the_sigmoid(axes: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Single(axes).double().eval()
    clf, x = classifier(network, labels=["cat"]), batch(2)
    expected = network(x).view(2).sigmoid().detach().numpy()
    for found, probability in zip(sc.explain_many(clf, x), expected, strict=True):
        assert (found.target, found.label) == (0, "cat")
        assert found.probabilities == pytest.approx([probability], rel=1e-5)
    for asked in (RULE, MANY, {"methods": ["rise"], "options": {"rise": {"masks": 8}}}):
        sc.explain(clf, x[:1], **asked)
    steps = [sc.explain(clf, x[:1], methods=["normgrad"], meta=sc.MetaStep(0.01, ascend=a)) for a in (0, 1)]
    raised, lowered = (each.probability_after for each in steps)
    assert lowered < steps[0].probability < raised
    with pytest.raises(sc.TargetError, match="single class, so there is no other one to compare it with"):
        sc.class_sensitivity(clf, x[:1])
    with pytest.raises(sc.TargetError, match="expected 0, the only class"):
        sc.explain(clf, x[:1], 1)
    with pytest.raises(sc.ArgumentError, match="2 labels .* one output; expected one"):
        classifier(network, labels=["cat", "dog"])


def test_the_probabilities_of_a_multi_label_network_are_sigmoids() -> None:
    network, x = seeded().eval(), batch()
    clf = classifier(network, multi_label=True)
    found = sc.explain(clf, x, 2)
    np.testing.assert_allclose(found.probabilities, network(x).sigmoid()[0].detach(), rtol=1e-5)
    softmax = sc.explain(classifier(network), x, 2)
    np.testing.assert_array_equal(found.map("normgrad", "act"), softmax.map("normgrad", "act"))
    with sc.MetaStep(0.1).modified(clf, x, 2) as modified:
        stepped = {name: value.clone() for name, value in modified.network.named_parameters()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    F.binary_cross_entropy_with_logits(network(x)[:, 2], torch.ones(1, dtype=x.dtype)).backward()
    optimiser.step()
    for name, value in network.named_parameters():
        torch.testing.assert_close(stepped[name], value.detach(), msg=name)


def test_a_label_that_is_none_of_very_many_is_answered_with_a_few() -> None:
    labels = [f"thing {index}" for index in range(21_841)]
    clf = classifier(seeded(classes=len(labels), dtype=torch.float32), labels=labels)
    assert clf.class_index("thing 21840") == 21_840
    for given, near in (("Thing 777", "thing 777"), ("thimg 5", "thing 5")):
        with pytest.raises(sc.TargetError, match=f"did you mean '{near}.*21841 in all") as caught:
            clf.class_index(given)
        assert len(str(caught.value)) < 300


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


class Returning(nn.Module):
    """A small network that returns a function of its class scores."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.change = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 5, 3, 2), change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.second(self.first(images)).mean((2, 3)))


@pytest.mark.parametrize(
    ("change", "given"),
    [
        (lambda scores: scores[:, :0], "no class at all"),
        (lambda scores: scores.argmax(1), "int64 numbers"),
        (lambda scores: scores.to(torch.complex64), "complex64 numbers"),
    ],
)
def test_scores_that_are_no_real_numbers_are_named(change: Callable[[Tensor], Tensor], given: str) -> None:
    with pytest.raises(sc.NetworkError, match=given):
        sc.Classifier(Returning(change).eval(), preprocess=sc.Preprocess(size=(32, 32)))
