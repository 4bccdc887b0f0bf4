"""Foreign networks: what is copied, what is refused and in which words."""

import threading
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import saliency_core as sc
from tests.networks import SIDE, InPlaceNet, batch, classifier, seeded

SMALL = sc.Preprocess(size=SIDE)


class Net(nn.Module):
    """Two convolutions and the scores; ``between`` changes what the first one gives."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Conv2d(channels, 6, 3, padding=1)
            self.second = nn.Conv2d(6, 6, 3, stride=2, padding=1)
            self.head = nn.Linear(6, 4)

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.between(self.first(x)).relu())
        scores: Tensor = self.head(y.relu().mean(dim=(2, 3)))
        return scores


def pair(network: nn.Module, layer: str = "second") -> sc.LayerCapture:
    inputs = batch(dtype=torch.float32)
    return sc.capture(classifier(network), inputs, 1, [layer]).layers[layer]


class Storing(Net):
    def between(self, x: Tensor) -> Tensor:
        self.kept = [x, {"again": x}]
        return x


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.parts = {"lock": self.lock, "convolution": self.second}

    def forward(self, x: Tensor) -> Tensor:
        with self.parts["lock"]:
            y = self.parts["convolution"](self.first(x).relu())
        scores: Tensor = self.head(y.relu().mean(dim=(2, 3)))
        return scores


def after_a_call() -> nn.Module:
    network = Storing()
    network(batch(dtype=torch.float32))
    return network


def weight_norm() -> nn.Module:
    network = Net()
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(network.second)
    network(batch(dtype=torch.float32))
    return network


def spectral_norm() -> nn.Module:
    network = Net()
    torch.nn.utils.spectral_norm(network.second)
    network(batch(dtype=torch.float32))
    return network.eval()


def parametrized() -> nn.Module:
    network = Net()
    torch.nn.utils.parametrizations.weight_norm(network.second)
    return network


def pruned() -> nn.Module:
    network = Net()
    prune.l1_unstructured(network.second, "weight", amount=0.5)
    network(batch(dtype=torch.float32))
    return network


def compiled() -> nn.Module:
    network = Net()
    network.first = torch.compile(network.first, backend="eager")
    whole: nn.Module = torch.compile(network, backend="eager")
    return whole


@pytest.mark.parametrize(
    "build", [after_a_call, Locked, weight_norm, spectral_norm, parametrized, pruned, compiled]
)
def test_modules_that_cannot_be_copied_as_they_are_give_the_maps_of_their_network(
    build: Callable[[], nn.Module],
) -> None:
    network = build()
    found = pair(network)
    plain = network._orig_mod if build is compiled else network.eval()
    if build is compiled:
        plain.first = plain.first._orig_mod
    kept: list[Tensor] = []
    handle = plain.second.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    score = plain(batch(dtype=torch.float32))[0, 1]
    handle.remove()
    torch.testing.assert_close(found.activation, kept[0].detach())
    torch.testing.assert_close(found.gradient, torch.autograd.grad(score, kept[0])[0])
    assert found.gradient.any()


def test_modules_that_share_a_part_share_it_in_the_copy_too() -> None:
    clf = classifier(Locked())
    assert clf.module.parts["convolution"] is clf.module.second
    assert clf.module.second.weight is not None


class Frozen(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.second(self.first(x).relu())
        scores: Tensor = self.head(y.mean(dim=(2, 3)))
        return scores


class Checkpointed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Conv2d(6, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y = checkpoint(lambda z: self.second(z.relu()), y, use_reentrant=True)
        scores: Tensor = self.head(self.third(y).mean(dim=(2, 3)))
        return scores


class Detached(Net):
    def between(self, x: Tensor) -> Tensor:
        return x.detach()


class Unused(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.second(self.first(x))
        scores: Tensor = self.head(self.first.bias[None].expand(len(x), -1))
        return scores


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 8), nn.ReLU(), nn.Linear(8, 4))


def traced() -> nn.Module:
    program: nn.Module = torch.jit.trace(Net().eval(), batch(dtype=torch.float32))
    return program


def exported() -> nn.Module:
    return torch.export.export(Net().eval(), (batch(dtype=torch.float32),)).module()


class Functional(nn.Module):
    """As exported programs that are written down as code: no module inside."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight).mean(dim=(2, 3))


def made_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return Net()


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(4))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Frozen, r"runs with gradients switched off \(torch.no_grad .* use requires_grad_\(False\)"),
        (mlp, r"no layer of the network has maps .* its output has shape \(N, 1728\); a map needs"),
        (Unused, "the class scores do not depend on it"),
        (traced, "traced or scripted program, and no layer inside it can be recorded; pass the nn.Module"),
        (exported, "exported program, and no layer inside|no module inside the network runs"),
        (Functional, "no module inside the network runs when it is called"),
        (made_in_inference_mode, "weights were made inside torch.inference_mode"),
        (lazy, "lazy modules without weights; run it on an input once"),
    ],
)
def test_a_network_without_a_layer_to_explain_is_refused_with_the_reason(
    build: Callable[[], nn.Module], message: str
) -> None:
    with pytest.raises(sc.NetworkError, match=message):
        classifier(build())


@pytest.mark.filterwarnings("ignore:only one layer", "ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize(
    ("network", "kept", "refused", "message"),
    [
        (Checkpointed(), "third", "second", "gradients switched off .* use_reentrant=False"),
        (Checkpointed(), "third", "first", "reentrant checkpointing .* lies behind it"),
        (Detached(), "second", "first", "the class scores do not depend on it"),
    ],
)
def test_of_a_network_whose_gradients_end_half_way_the_other_layers_are_explained(
    network: nn.Module, kept: str, refused: str, message: str
) -> None:
    clf = classifier(network)
    assert clf.default_layers == (kept,)
    assert sc.capture(clf, batch(dtype=torch.float32), 1).layers[kept].gradient.any()
    with pytest.raises(sc.LayerError, match=f"no map at layer '{refused}': .*{message}"):
        sc.capture(clf, batch(dtype=torch.float32), 1, [refused])


class Flat(nn.Module):
    """Takes inputs of one size only."""

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(4 * (side // 2) ** 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.pool(self.conv(x)).flatten(1))
        return scores


@pytest.mark.parametrize(
    ("side", "channels", "message"),
    [
        (32, 3, r"shape \(N, 3, 24, 24\): it takes 32 × 32 pixels; pass .*Preprocess\(size=32\)"),
        (24, 1, r"its first convolution takes 1 channel; pass .*size=24, mean=\(0.5,\), std=\(0.5,\)\)"),
        (28, 1, r"takes 1 channel; it takes 28 × 28 pixels; pass .*size=28, mean=\(0.5,\)"),
        (30, 3, r"mat1 and mat2 .*if it expects another size or other channels, pass preprocess="),
    ],
)
def test_an_input_that_does_not_fit_is_named_with_the_way_to_give_another(
    side: int, channels: int, message: str
) -> None:
    with pytest.raises(sc.NetworkError, match=message):
        sc.Classifier(Flat(side, channels), preprocess=SMALL)


def test_a_network_of_grey_images_is_explained() -> None:
    from PIL import Image

    clf = sc.Classifier(Flat(28, 1), preprocess=sc.Preprocess(size=28, mean=(0.5,), std=(0.25,)))
    inputs, _ = clf.prepare(Image.new("RGB", (40, 30), (255, 255, 255)))
    assert inputs.shape == (1, 1, 28, 28)
    assert (inputs == 2).all()
    assert sc.explain(clf, Image.new("RGB", (40, 30)), 1).map("normgrad", "conv").shape == (28, 28)
    with pytest.raises(sc.ArgumentError, match=r"expected \(N, 1, H, W\)"):
        sc.capture(clf, torch.zeros(1, 3, 28, 28))


def test_a_network_that_takes_one_image_at_a_time_is_explained() -> None:
    class OneImage(Net):
        def forward(self, x: Tensor) -> Tensor:
            y = self.second(self.first(x).relu()).mean(dim=(2, 3))
            scores: Tensor = self.head(y.reshape(1, 6))
            return scores

    assert [layer.name for layer in classifier(OneImage()).layers] == ["first", "second"]


class Shadowing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
        self.body = nn.Conv2d(4, 4, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.input(x).relu()).mean(dim=(2, 3))


def test_a_module_called_input_is_a_layer_beside_the_networks_input() -> None:
    clf = classifier(Shadowing())
    assert [layer.name for layer in clf.layers] == ["input.0", "self.input", "body"]
    assert clf.modules["self.input"] is clf.module.input
    found = sc.capture(clf, batch(dtype=torch.float32), 1, ["input", "self.input"]).layers
    assert found["input"].activation.shape == (1, 3, 24, 24)
    assert found["self.input"].activation.shape == (1, 4, 24, 24)
    torch.testing.assert_close(
        found["self.input"].activation, clf.module.input(found["input"].activation).detach()
    )


class Alias(Net):
    """A module that returns what it was given, which is then changed in place and read elsewhere."""

    def __init__(self, reads_elsewhere: bool) -> None:
        super().__init__()
        self.same = nn.Identity()
        self.reads_elsewhere = reads_elsewhere

    def between(self, x: Tensor) -> Tensor:
        y = self.same(x)
        y.relu_()
        return y - x if self.reads_elsewhere else y


def test_an_alias_that_is_changed_in_place_is_not_recorded_where_that_would_change_the_scores() -> None:
    network, inputs = Alias(reads_elsewhere=True), batch(dtype=torch.float32)
    clf = classifier(network)
    with pytest.raises(sc.LayerError, match="'same': the network changes this output in place"):
        sc.capture(clf, inputs, 1, ["same"])
    captured = sc.capture(clf, inputs, 1, [layer.name for layer in clf.layers])
    torch.testing.assert_close(captured.logits, network(inputs).detach(), rtol=0, atol=0)
    assert [layer.name for layer in clf.layers] == ["first", "second"]


def test_an_alias_that_is_changed_in_place_is_recorded_where_nothing_else_reads_it() -> None:
    network, inputs = Alias(reads_elsewhere=False), batch(dtype=torch.float32)
    captured = sc.capture(classifier(network), inputs, 1, ["same"])
    torch.testing.assert_close(captured.logits, network(inputs).detach(), rtol=0, atol=0)
    torch.testing.assert_close(captured.layers["same"].activation, network.first(inputs).detach())


def test_a_layer_that_returns_what_it_is_given_is_no_stage() -> None:
    network = nn.Sequential(Net().first, nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    clf = classifier(network)
    assert [layer.name for layer in clf.layers] == ["0", "1"]
    assert clf.default_layers == ("0",)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_runs_as_it_is_and_its_methods_in_single_precision(
    dtype: torch.dtype,
) -> None:
    network, inputs = seeded(dtype=torch.float32), batch(dtype=torch.float32)
    clf = classifier(seeded(dtype=dtype))
    captured = sc.capture(clf, inputs, 1, ["act"], convolutions=True)
    x, g = captured.layers["act"].activation, captured.layers["act"].gradient
    assert (clf.dtype, x.dtype, g.dtype, captured.logits.dtype) == (dtype, *[torch.float32] * 3)
    assert torch.equal(x, x.to(dtype).float())
    explanation = sc.explain(clf, inputs, 1)
    expected = sc.explain(classifier(network), inputs, 1)
    assert explanation.energy("act") == pytest.approx(expected.energy("act"), rel=0.05)
    reference = expected.map("normgrad_conv3x3", "act")
    assert abs(explanation.map("normgrad_conv3x3", "act") - reference).max() < 0.05 * reference.max()


def test_the_callers_autocast_changes_nothing() -> None:
    clf, inputs = classifier(seeded(dtype=torch.float32)), batch(dtype=torch.float32)
    expected = sc.explain(clf, inputs, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sc.explain(clf, inputs, 1)
        again = sc.explain(classifier(seeded(dtype=torch.float32)), inputs, 1)
    for method in expected.methods:
        assert (found.map(method, "act") == expected.map(method, "act")).all(), method
        assert (again.map(method, "act") == expected.map(method, "act")).all(), method


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_model_is_loaded_under_another_default_device_and_in_inference_mode(device: str) -> None:
    inputs = torch.zeros(1, 3, 224, 224)
    expected = sc.capture(sc.load_classifier("resnet18", "cpu", random=0), inputs, 1, ["layer4"])
    try:
        torch.set_default_device(device)
        with torch.inference_mode():
            found = sc.capture(sc.load_classifier("resnet18", "cpu", random=0), inputs, 1, ["layer4"])
    finally:
        torch.set_default_device(None)
    torch.testing.assert_close(found.layers["layer4"].gradient, expected.layers["layer4"].gradient)


class Choosing(InPlaceNet):
    """Runs its branch for bright images only."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn(self.conv(x)))
        if x.mean() < 1:
            y = self.branch(y)
        scores: Tensor = self.head(self.pool(self.act(self.down(y))).flatten(1))
        return scores


def test_a_layer_that_does_not_run_for_this_image_is_named() -> None:
    clf = classifier(Choosing().double())
    assert sc.capture(clf, batch(), 1, ["branch"]).layers["branch"].gradient.any()
    with pytest.raises(sc.LayerError, match="'branch' for this input: the network did not run it"):
        sc.capture(clf, batch() + 5, 1, ["branch"])


class InPlaceConvolution(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).relu()
        z = nn.functional.interpolate(self.second(y), scale_factor=2)
        y += z
        scores: Tensor = self.head(y.mean(dim=(2, 3)))
        return scores


def test_what_went_into_a_convolution_is_kept_before_the_network_changes_it() -> None:
    network, inputs = InPlaceConvolution(), batch(dtype=torch.float32)
    called = sc.capture(classifier(network), inputs, 1, ["second"], convolutions=True).layers["second"]
    assert called.convolution is not None
    torch.testing.assert_close(called.convolution.inputs, network.first(inputs).relu().detach())


def test_a_network_draws_the_same_random_numbers_after_it_was_examined() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    classifier()
    assert torch.equal(torch.rand(1), expected)
