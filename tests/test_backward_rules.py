"""Modified backpropagation against the authors' implementation, slow definitions and its own invariants."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import saliency_core as sc
from saliency_core.backprop.backward_rules import DECONVNET, EXCITATION, GUIDED, BackwardRule
from tests.networks import batch, classifier, seeded

STORED = np.load(Path(__file__).parent / "reference" / "relu_cnn.npz")
LAYERS = ("features.1", "features.4", "features.7", "features.9")
MODIFIED = ("guided_backprop", "deconvnet", "excitation_backprop", "contrastive_excitation_backprop")


class ReluCnn(nn.Module):
    """The network of the stored numbers."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d
        self.features = nn.Sequential(
            *(conv(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(conv(12, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(conv(16, 24, 3, padding=1), nn.ReLU(), conv(24, 24, 3, padding=1), nn.ReLU()),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(24, 20), nn.ReLU(), nn.Linear(20, 7))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@pytest.fixture(scope="module")
def relu_cnn() -> sc.Classifier:
    network = ReluCnn()
    prefix = "weights/"
    weights = {name.removeprefix(prefix): STORED[name] for name in STORED if name.startswith(prefix)}
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return sc.Classifier(network, preprocess=sc.Preprocess(size=32, resize=32), default_layers=LAYERS)


OUR_NAME = {"norm_grad": "normgrad"}
KEYS = [name for name in STORED if name.count("/") == 2]


def test_the_stored_maps_cover_the_modified_methods_at_every_layer() -> None:
    assert len(KEYS) == 2 * (5 * 5 + 3)


@pytest.mark.parametrize("key", KEYS)
def test_a_map_agrees_with_the_authors_implementation(relu_cnn: sc.Classifier, key: str) -> None:
    target, layer, name = key.split("/")
    method = OUR_NAME.get(name, name)
    explanation = sc.explain(relu_cnn, torch.from_numpy(STORED["input"]), int(target), [layer], [method])
    assert np.abs(explanation.map(method, layer) - STORED[key]).max() <= 1e-5 * np.abs(STORED[key]).max()


def relu_back(signal: Tensor, x: Tensor, rule: BackwardRule) -> Tensor:
    """One ReLU's way back, entry by entry."""
    result = torch.zeros_like(signal)
    for index, value in enumerate(signal.flatten().tolist()):
        passes = value > 0 and (rule is DECONVNET or x.flatten()[index] > 0)
        result.view(-1)[index] = value if passes else 0.0
    return result


@pytest.mark.parametrize("rule", [DECONVNET, GUIDED])
def test_guided_backprop_and_deconvnet_equal_the_way_back_step_by_step(rule: BackwardRule) -> None:
    network = seeded().eval()
    x = batch()
    start = network.bn(network.conv(x)).detach()
    hidden = torch.relu(start).requires_grad_()
    inner = network.down(network.branch(hidden) + hidden)
    score = network.head(network.pool(torch.relu(inner).detach()).flatten(1))[0, 2]
    pooled = torch.relu(inner).detach().requires_grad_()
    score = network.head(network.pool(pooled).flatten(1))[0, 2]
    (signal,) = torch.autograd.grad(score, pooled)
    signal = relu_back(signal, inner.detach(), rule)
    (signal,) = torch.autograd.grad(inner, hidden, signal)
    expected = relu_back(signal, start, rule)
    captured = sc.capture(classifier(network), x, 2, ["bn"], rule=rule).layers["bn"]
    torch.testing.assert_close(captured.gradient, expected)
    torch.testing.assert_close(captured.activation, start)


class Residual(nn.Module):
    """A positive network with a skip connection and a functional ReLU; no biases, so nothing leaks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.block = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.head = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        y = F.relu(self.block(x))
        y += x
        return self.head(y.mean(dim=(2, 3)))


def residual() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Residual().double()


def test_excitation_is_a_probability_at_every_layer() -> None:
    clf = classifier(residual())
    x = batch().abs()
    captured = sc.capture(clf, x, 1, ["input", "conv", "block"], rule=EXCITATION)
    # Down to the first convolution everything arrives: what is there was shared out by positive weights only.
    assert captured.layers["conv"].gradient.sum().item() == pytest.approx(1)
    for layer in captured.layers.values():
        assert layer.gradient.min() >= 0


def test_excitation_shares_a_sum_in_proportion_to_its_summands() -> None:
    network = residual()
    x = batch().abs()
    hidden = F.relu(network.conv(x)).detach()
    branch = F.relu(network.block(hidden)).detach()
    total = hidden + branch
    weights = network.head.weight[1].clamp(min=0).detach()
    pooled = total.mean(dim=(2, 3))
    top = pooled * weights / (pooled @ weights)  # (1, 6), the share of every channel
    at_sum = top[:, :, None, None] * total / total.sum(dim=(2, 3), keepdim=True)
    through_branch = torch.where(total > 0, at_sum * branch / total, 0)
    captured = sc.capture(classifier(network), x, 1, ["block"], rule=EXCITATION).layers["block"]
    torch.testing.assert_close(captured.gradient, through_branch)


def test_excitation_through_a_convolution_equals_the_sum_over_its_windows() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 2), nn.Flatten(), nn.LazyLinear(2))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network(torch.zeros(1, 3, 24, 24))
    network.double()
    clf = classifier(network)
    x = batch()
    captured = sc.capture(clf, x, 0, ["1", "2"], rule=EXCITATION).layers
    a, p = captured["1"].activation[0], captured["2"].gradient[0, 0]
    w = network[2].weight[0].detach().clamp(min=0)
    expected = torch.zeros_like(a)
    for row in range(p.shape[0]):
        for column in range(p.shape[1]):
            window = a[:, row : row + 2, column : column + 2]
            norm = (w * window).sum() + 1e-20
            expected[:, row : row + 2, column : column + 2] += w * window * p[row, column] / norm
    torch.testing.assert_close(captured["1"].gradient[0], expected)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("method", MODIFIED)
def test_a_rule_gives_finite_maps_on_every_registered_model(name: str, method: str) -> None:
    if name == "vgg16" and method != "guided_backprop":
        return
    clf = sc.load_classifier(name, "cpu", random=0)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    if name == "vgg16":
        x = torch.nn.functional.interpolate(x, size=(224, 224))
    explanation = sc.explain(clf, x, 3, methods=[method])
    assert sum(np.abs(explanation.map(method, layer.name)).max() > 0 for layer in explanation.layers) >= 2


def test_the_plain_network_is_untouched_by_a_rule_also_on_another_thread_at_the_same_time() -> None:
    clf = classifier()
    x = batch()
    plain = sc.capture(clf, x, 1, ["bn"]).layers["bn"].gradient
    guided = sc.capture(clf, x, 1, ["bn"], rule=GUIDED).layers["bn"].gradient
    assert not torch.equal(plain, guided)

    def ask(index: int) -> bool:
        rule = GUIDED if index % 2 else None
        found = sc.capture(clf, x, 1, ["bn"], rule=rule).layers["bn"].gradient
        return torch.equal(found, guided if index % 2 else plain)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(64)))


def gated(activation: nn.Module) -> sc.Classifier:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    return classifier(network)


@pytest.mark.parametrize("method", MODIFIED)
@pytest.mark.parametrize(
    ("activation", "name"), [(nn.SiLU(), "SiLU"), (nn.GELU(), "GELU"), (nn.Hardtanh(), r"Hardtanh\(-1, 1\)")]
)
def test_another_non_linearity_is_refused_by_name(method: str, activation: nn.Module, name: str) -> None:
    clf = gated(activation)
    with pytest.raises(sc.UnavailableError, match=f"all ReLU. This network uses {name}"):
        sc.explain(clf, batch(dtype=torch.float32), 0, methods=[method])
    assert sc.unavailable(clf, "normgrad") is None


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardtanh(0, 4)])
def test_every_form_of_a_relu_counts(activation: nn.Module) -> None:
    clf = gated(activation)
    assert sc.unavailable(clf, "guided_backprop") is None
    x = 10 * batch(dtype=torch.float32)
    activated = sc.capture(clf, x, 0, ["0"]).layers["0"].activation
    signal = sc.capture(clf, x, 0, ["0"], rule=GUIDED).layers["0"].gradient
    high = getattr(activation, "max_val", float("inf"))
    assert (signal[(activated <= 0) | (activated >= high)] == 0).all()
    assert (signal >= 0).all()


def test_a_layer_behind_the_contrast_is_refused() -> None:
    clf = classifier(default_layers=["bn", "branch"])
    with pytest.raises(
        sc.LayerError, match="'act': it lies behind 'branch', where the classes are contrasted"
    ):
        sc.explain(clf, batch(), 0, ["act"], ["contrastive_excitation_backprop"])
