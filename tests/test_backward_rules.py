"""Modified backpropagation against the authors' implementation, slow definitions and its own invariants."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import saliency_core as sc
from saliency_core.backprop.backward_rules import check_scores, obstacle
from saliency_core.backprop.rules import CONTRASTIVE, DECONVNET, EXCITATION, GUIDED, BackwardRule
from tests.networks import batch, classifier, seeded

pytestmark = pytest.mark.filterwarnings("ignore:only one layer")  # of networks this small

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
    """One ReLU's backward pass, entry by entry."""
    result = torch.zeros_like(signal)
    for index, value in enumerate(signal.flatten().tolist()):
        passes = value > 0 and (rule is DECONVNET or x.flatten()[index] > 0)
        result.view(-1)[index] = value if passes else 0.0
    return result


class Statements(nn.Module):
    """Changes feature maps in place by statements whose result is not used, or computes the same without."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv(x)
        if self.in_place:
            first.relu_()
            y = self.branch(first)
            y.add_(first)
            F.relu(y, inplace=True)
            y = self.last(y)
            F.relu_(y[:, :4])
        else:
            first = first.relu()
            y = self.last((self.branch(first) + first).relu())
            y = torch.cat([y[:, :4].relu(), y[:, 4:]], dim=1)
        return self.head(y.mean(dim=(2, 3)))


def statements(in_place: bool = True) -> Statements:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Statements(in_place).double()


@pytest.mark.parametrize("rule", [DECONVNET, GUIDED])
def test_guided_backprop_and_deconvnet_equal_the_backward_pass_step_by_step(rule: BackwardRule) -> None:
    network = seeded().eval()
    x = batch()
    start = network.bn(network.conv(x)).detach()
    hidden = torch.relu(start).requires_grad_()
    inner = network.down(network.branch(hidden) + hidden)
    pooled = torch.relu(inner).detach().requires_grad_()
    score = network.head(network.pool(pooled).flatten(1))[0, 2]
    (signal,) = torch.autograd.grad(score, pooled)
    signal = relu_back(signal, inner.detach(), rule)
    (signal,) = torch.autograd.grad(inner, hidden, signal)
    expected = relu_back(signal, start, rule)
    captured = sc.capture(classifier(network), x, 2, ["bn"], rule=rule).layers["bn"]
    torch.testing.assert_close(captured.gradient, expected)
    torch.testing.assert_close(captured.activation, start)


@pytest.mark.parametrize("rule", [DECONVNET, GUIDED])
def test_in_place_statements_follow_the_rule_step_by_step(rule: BackwardRule) -> None:
    network = statements()
    x = batch()
    start = network.conv(x).detach()
    hidden = torch.relu(start).requires_grad_()
    inner = network.branch(hidden) + hidden
    activated = torch.relu(inner).detach().requires_grad_()
    last = network.last(activated)
    signal = (network.head.weight[2] / last[0, 0].numel()).detach()[None, :, None, None].expand_as(last)
    part = relu_back(signal[:, :4].contiguous(), last[:, :4].detach().contiguous(), rule)
    (signal,) = torch.autograd.grad(last, activated, torch.cat([part, signal[:, 4:]], dim=1))
    (signal,) = torch.autograd.grad(inner, hidden, relu_back(signal, inner.detach(), rule))
    captured = sc.capture(classifier(network), x, 2, ["conv"], rule=rule)
    torch.testing.assert_close(captured.logits, network(x).detach())
    torch.testing.assert_close(captured.layers["conv"].gradient, relu_back(signal, start, rule))


def test_excitation_of_in_place_statements_is_that_of_the_same_network_without_them() -> None:
    networks = (statements(in_place) for in_place in (True, False))
    ours, plain = (sc.capture(classifier(each), batch(), 2, ["conv"], rule=EXCITATION) for each in networks)
    assert plain.layers["conv"].gradient.abs().max() > 0
    torch.testing.assert_close(ours.layers["conv"].gradient, plain.layers["conv"].gradient)
    torch.testing.assert_close(ours.logits, plain.logits)


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


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
def test_every_rule_gives_maps_on_a_registered_model(name: str) -> None:
    clf = sc.load_classifier(name, "cpu", random=0)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    explanation = sc.explain(clf, x, 3, methods=MODIFIED)
    for method in MODIFIED:
        layers = explanation.layers_of(method)
        assert sum(np.abs(explanation.map(method, layer.name)).max() > 0 for layer in layers) >= 2, method


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


class Inserted(nn.Module):
    """A function between a convolution and the scores."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.function = function
        self.head = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.conv(x)).flatten(1))


@cache
def inserted(function: Callable[[Tensor], Tensor]) -> sc.Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Inserted(function)
        network(torch.zeros(1, 3, 24, 24))
    return classifier(network.double())


class Swish(torch.autograd.Function):
    """A non-linearity that function modes do not see."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return signals[0] * (x.sigmoid() + x * x.sigmoid() * (1 - x.sigmoid()))


def attention(x: Tensor) -> Tensor:
    rows = x.flatten(2).transpose(1, 2)
    return nn.MultiheadAttention(4, 2, batch_first=True).to(x)(rows, rows, rows)[0]


def multiplied_in_place(x: Tensor) -> Tensor:
    x *= x.detach()
    x *= x.clone()
    return x


def in_a_part(x: Tensor) -> Tensor:
    """In place in a view, where autograd shows the writing and not the function."""
    copy = x.clone()
    copy[:, :2].tanh_()
    return copy


class Traced(nn.Module):
    """A ReLU in compiled code."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.relu = (
                torch.jit.trace(nn.ReLU(), torch.ones(1, 4, 22, 22)),
            )  # no submodule: it takes no hook

    def forward(self, x: Tensor) -> Tensor:
        return self.relu[0](x)


NOT_LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "SiLU": F.silu,
    "GELU": F.gelu,
    "Hardtanh with a lower bound other than 0": F.hardtanh,
    "LogSigmoid": F.logsigmoid,
    "Softshrink": F.softshrink,
    "Threshold": lambda x: F.threshold(x, 0.5, 0.0),
    "local response normalisation": lambda x: F.local_response_norm(x, 2),
    "clamp": lambda x: x.clamp(min=0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "exp": torch.exp,
    "abs": torch.abs,
    "pow": lambda x: x**2,
    "log_softmax": lambda x: F.log_softmax(x, dim=1),
    "sigmoid": lambda x: x.sigmoid_(),
    "tanh": in_a_part,
    "LeakyReLU": lambda x: F.leaky_relu_(x, 0.1),
    "a product of tensors": multiplied_in_place,
    "a product of": lambda x: x * (x > 0),  # a ReLU, which autograd sees as a scaling by constants
    "a quotient of tensors": lambda x: x / x.detach().norm(),
    "a sum": lambda x: x + (x.round() - x).detach(),
    "MultiheadAttention": attention,
    "GroupNorm": lambda x: F.group_norm(x, 2),
    "InstanceNorm": lambda x: F.instance_norm(x),
    "BatchNorm with the statistics of the batch": lambda x: F.batch_norm(x, None, None, training=True),
    "Swish": Swish.apply,
    "a ReLU in compiled code": Traced(),
    "activation checkpointing": lambda x: checkpoint(torch.relu, x, use_reentrant=False),
}

NO_SHARE: dict[str, Callable[[Tensor], Tensor]] = {
    "a difference of tensors": lambda x: x - x.roll(1, 2),
    "a difference of": lambda x: 1 - x,
    "a transposed convolution": lambda x: F.conv_transpose2d(x, torch.ones(4, 2, 2, 2).to(x)),
    "a product of tensors": lambda x: x * torch.arange(1, 5).view(1, 4, 1, 1).to(x),
    "a sum that is not of two feature maps of the same shape": lambda x: x + x.mean(dim=1, keepdim=True),
    "a sum that is": lambda x: torch.add(x, x.roll(1, 2), alpha=2),
    "a sum that is not of two": lambda x: x + torch.ones_like(x),
    "a product": lambda x: x * -2.0,
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
}
"""Linear, so that guided backpropagation and deconvnet are defined, but not among excitation's functions."""


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", NOT_LINEAR)
def test_a_function_that_no_rule_covers_is_refused_by_name(name: str) -> None:
    clf = inserted(NOT_LINEAR[name])
    for method in MODIFIED:
        with pytest.raises(sc.UnavailableError, match=f"all ReLU. This network uses {name}"):
            sc.explain(clf, batch(), 0, methods=[method])
    with pytest.raises(sc.UnavailableError, match=f"guided rule is not defined here.*{name}"):
        sc.capture(clf, batch(), 0, ["conv"], rule=GUIDED)
    assert sc.unavailable(clf, "normgrad") is None


@pytest.mark.parametrize("name", NO_SHARE)
def test_excitation_refuses_a_linear_function_without_a_defined_share(name: str) -> None:
    clf = inserted(NO_SHARE[name])
    for rule in (EXCITATION, CONTRASTIVE):
        assert name in str(obstacle(clf, rule))
    x = batch()
    plain = sc.capture(clf, x, 0, ["conv"]).layers["conv"].gradient
    for rule in (GUIDED, DECONVNET):  # there is no ReLU, so nothing changes
        torch.testing.assert_close(sc.capture(clf, x, 0, ["conv"], rule=rule).layers["conv"].gradient, plain)


MEANS: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten(2).mean(-1)": lambda x: x.relu().flatten(2).mean(-1),
    "mean(3).mean(2)": lambda x: x.relu().mean(3).mean(2),
    "mean((2, 3))": lambda x: x.relu().mean((2, 3)),
    "sum": lambda x: torch.sum(input=x.relu(), dim=(-1, -2)),
    "halved": lambda x: F.adaptive_avg_pool2d(x.relu() / 2, 1) * 3,
    "in place": lambda x: F.adaptive_avg_pool2d(x.relu(), 1).mul_(2),
}


@pytest.mark.parametrize("name", MEANS)
def test_excitation_through_every_form_of_a_mean_is_that_of_a_pooling(name: str) -> None:
    layers, x = ["input", "conv"], batch()
    expected = sc.capture(
        inserted(lambda x: F.adaptive_avg_pool2d(x.relu(), 1)), x, 0, layers, rule=EXCITATION
    )
    found = sc.capture(inserted(MEANS[name]), x, 0, layers, rule=EXCITATION)
    for layer in layers:
        torch.testing.assert_close(found.layers[layer].gradient, expected.layers[layer].gradient)


def test_excitation_passes_a_batch_norm_unchanged_and_does_not_clip_the_image() -> None:
    network = seeded().eval()
    clf, x = classifier(network), batch()
    assert (x < 0).any()
    captured = sc.capture(clf, x, 1, ["input", "conv", "bn"], rule=EXCITATION).layers
    signal = captured["bn"].gradient
    torch.testing.assert_close(captured["conv"].gradient, signal, rtol=0, atol=0)
    w = network.conv.weight.detach().clamp(min=0)
    image = F.pad(x[0], (1, 1, 1, 1))
    expected = torch.zeros_like(image)
    for k, row, column in torch.nonzero(signal[0]).tolist():
        rows, columns = slice(2 * row, 2 * row + 3), slice(2 * column, 2 * column + 3)
        shares = w[k] * image[:, rows, columns]
        expected[:, rows, columns] += shares * signal[0, k, row, column] / (shares.sum() + 1e-20)
    torch.testing.assert_close(captured["input"].gradient[0], expected[:, 1:-1, 1:-1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_excitation_is_finite_in_half_precision(dtype: torch.dtype) -> None:
    captured = sc.capture(classifier(seeded(dtype=dtype)), batch(), 1, ["bn", "branch"], rule=EXCITATION)
    for layer in captured.layers.values():
        assert torch.isfinite(layer.gradient).all()
        assert layer.gradient.abs().max() > 0


class ConvolutionalHead(nn.Module):
    """Class scores as SqueezeNet computes them: a 1 x 1 convolution, a ReLU, an average."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.head = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu()).relu().mean(dim=(2, 3))


def test_contrastive_excitation_of_a_convolutional_head_contrasts_in_front_of_it() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = ConvolutionalHead().double()
    clf, x = classifier(network, default_layers=["conv", "head"]), batch()
    hidden = network.conv(x).relu().detach()
    scores = network.head(hidden).detach().relu()[0, 1]
    at_head = scores / scores.sum()  # (H, W), the average shares in proportion
    expected = torch.zeros_like(hidden)
    for sign in (1, -1):
        weights = (sign * network.head.weight[1].detach()).clamp(min=0)  # (6, 1, 1)
        shares = weights * hidden[0]
        expected += sign * shares * at_head / (shares.sum(dim=0) + 1e-20)
    captured = sc.capture(clf, x, 1, ["conv"], rule=CONTRASTIVE).layers["conv"]
    torch.testing.assert_close(captured.gradient, expected * (hidden > 0))
    explanation = sc.explain(clf, x, 1, methods=["contrastive_excitation_backprop"])
    assert explanation.layers_of("contrastive_excitation_backprop")[0].name == "conv"
    assert not explanation.constant("contrastive_excitation_backprop", "conv")


@pytest.mark.parametrize("default_layers", [["conv", "head"], ["head"]])
def test_a_layer_after_the_last_linear_one_has_no_contrast(default_layers: list[str]) -> None:
    clf = classifier(ConvolutionalHead().double(), default_layers=default_layers)
    sentence = "in front of the last linear layer, where the classes are contrasted"
    with pytest.raises(sc.UnavailableError, match=f"'head' is not {sentence}"):
        sc.explain(clf, batch(), 0, ["head"], ["contrastive_excitation_backprop"])
    with pytest.raises(sc.UnavailableError, match=f"'head' is not {sentence}"):
        sc.capture(clf, batch(), 0, ["head"], rule=CONTRASTIVE)
    reason = sc.unavailable(clf, "contrastive_excitation_backprop")
    assert (
        reason is None if "conv" in default_layers else f"None of the default layers is {sentence}" in reason
    )


class TwoHeads(ConvolutionalHead):
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv(x).relu()
        return hidden[:, :4].mean(dim=(2, 3)) + self.head(hidden).mean(dim=(2, 3))


def test_scores_that_bypass_the_last_linear_layer_have_no_contrast() -> None:
    clf = classifier(TwoHeads().double())
    assert obstacle(clf, EXCITATION) is None
    assert "do not all come from its last linear layer" in str(obstacle(clf, CONTRASTIVE))


def test_a_network_without_a_linear_layer_has_no_contrast() -> None:
    clf = classifier(nn.Sequential(nn.MaxPool2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert "no linear layer" in str(obstacle(clf, CONTRASTIVE))


def test_the_image_is_not_clipped_in_front_of_a_pooling_either() -> None:
    """Excitation assumes inputs >= 0, which an image that was normalised does not have."""
    network = nn.Sequential(
        nn.AvgPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    x = batch()
    found = sc.capture(classifier(network.double()), x, 0, ["input", "0"], rule=EXCITATION).layers
    pooled, signal = found["0"].activation, found["0"].gradient
    unit = (signal / (pooled + 1e-20)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(found["input"].gradient, x / 4 * unit)
    assert (x < 0).any()


@pytest.mark.parametrize(
    ("change", "refused"), [(1e-9, False), (1e-3, True), (-1e-3, True), (float("nan"), True)]
)
def test_scores_may_change_under_a_rule_by_rounding_only(change: float, refused: bool) -> None:
    plain = torch.tensor([[1.0, -4.0, 2.0]], dtype=torch.float64)
    scores = plain + torch.tensor([[0, 0, change]])
    if not refused:
        check_scores(scores, plain, "under the guided rule")
        return
    with pytest.raises(sc.UnavailableError, match="class scores change by"):
        check_scores(scores, plain, "under the guided rule")


@pytest.mark.parametrize("known", [False, True])
def test_a_rule_under_which_the_scores_change_is_refused(known: bool) -> None:
    clf, x = inserted(lambda x: (x + torch.rand_like(x)).relu()), batch()
    plain = sc.capture(clf, x, 0, ["conv"]).logits if known else None
    with pytest.raises(sc.UnavailableError, match="class scores change by .* under the guided rule"):
        sc.capture(clf, x, 0, ["conv"], rule=GUIDED, plain_logits=plain)


def test_the_obstacle_is_looked_for_once() -> None:
    calls: list[int] = []

    def count(x: Tensor) -> Tensor:
        calls.append(1)
        return x

    clf = inserted(count)
    before = len(calls)
    for _ in range(3):
        assert obstacle(clf, GUIDED) is None
        assert obstacle(clf, DECONVNET) is None
    assert len(calls) == before + 1


def test_frozen_layers_behind_no_grad_do_not_hide_a_function_of_the_head() -> None:
    class FrozenBackbone(Inserted):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.conv(x)
            return self.head(F.silu(self.deep(x)).flatten(1))

    network = FrozenBackbone(F.silu)
    network.deep = nn.Conv2d(4, 4, 3)
    network.head = nn.Linear(4 * 20 * 20, 2)
    assert "SiLU" in str(obstacle(classifier(network), GUIDED))


def gated(activation: nn.Module) -> sc.Classifier:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    return classifier(network)


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
