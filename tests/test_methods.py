"""Each method against a slow definition in float64."""

import math
from itertools import chain

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

import saliency_core as sc
from saliency_core.methods.cams import leading_eigenpair
from saliency_core.methods.framework import CELLS
from saliency_core.methods.gradient import surviving_energy
from saliency_core.methods.registry import SINGLE_PASS
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


def grad_cam_plus_plus(network: torch.nn.Module, x: Tensor) -> Tensor:
    """The paper's derivatives of exp(score), one channel after the other."""
    score = tail(network, x[None]).item()
    first = bias_share(network, x)
    total = torch.zeros(x.shape[1:], dtype=x.dtype)
    for channel, slope in zip(x, first, strict=True):
        d1, d2, d3 = (math.exp(score) * slope**power for power in (1, 2, 3))
        alpha = d2 / (2 * d2 + channel.sum() * d3)
        weight = (torch.where(slope > 0, alpha, 0) * d1.clamp(min=0)).sum()
        total += weight / math.exp(score) * channel
    return total.clamp(min=0)


def xgrad_cam(network: torch.nn.Module, x: Tensor) -> Tensor:
    slopes = bias_share(network, x)
    total = torch.zeros(x.shape[1:], dtype=x.dtype)
    for channel, slope in zip(x, slopes, strict=True):
        total += (slope * channel / channel.sum()).sum() * channel
    return total.clamp(min=0)


def layer_cam(network: torch.nn.Module, x: Tensor) -> Tensor:
    return (bias_share(network, x).clamp(min=0) * x).sum(dim=0).clamp(min=0)


def hires_cam(network: torch.nn.Module, x: Tensor) -> Tensor:
    return linear_approx(network, x).clamp(min=0)


def first_direction(rows: Tensor) -> Tensor:
    """Rows (locations, C) on their first right singular vector, by a full decomposition."""
    return rows @ torch.linalg.svd(rows, full_matrices=False).Vh[0]


def eigen_cam(network: torch.nn.Module, x: Tensor) -> Tensor:
    projected = first_direction(x.flatten(1).T)
    return (projected * projected.sum().sign()).clamp(min=0).reshape(x.shape[1:])


def eigen_grad_cam(network: torch.nn.Module, x: Tensor) -> Tensor:
    rows = (bias_share(network, x) * x).flatten(1).T
    rows = rows - rows.mean(dim=0)
    projected = first_direction(rows)
    return (projected * (projected @ rows.sum(dim=1)).sign()).clamp(min=0).reshape(x.shape[1:])


def normgrad_conv3x3(network: torch.nn.Module, x: Tensor) -> Tensor:
    """An identity 3 × 3 convolution really inserted, each location with its own copy of the weights."""
    channels, height, width = x.shape
    around = F.unfold(x[None], 3, padding=1).reshape(channels, 9, height, width)
    identity = torch.zeros(channels, channels, 9, dtype=x.dtype)
    identity[range(channels), range(channels), 4] = 1
    weights = identity.repeat(height, width, 1, 1, 1).requires_grad_()
    score = tail(network, torch.einsum("hwijk,jkhw->ihw", weights, around)[None])
    (share,) = torch.autograd.grad(score, weights)
    return share.square().sum(dim=(2, 3, 4)).sqrt()


DEFINITIONS = {
    function.__name__: function
    for function in (
        *(normgrad, normgrad_selective, normgrad_conv3x3, linear_approx, gradient, gradient_sum),
        *(grad_cam, grad_cam_plus_plus, xgrad_cam, layer_cam, hires_cam, eigen_cam, eigen_grad_cam),
    )
}
TESTED_ELSEWHERE = {
    "test_framework": [name for name, m in sc.METHODS.items() if m.family == "Framework cells"],
    "test_convolution": ["normgrad_proper"],
    "test_backward_rules": [name for name, m in sc.METHODS.items() if m.rule],
    "test_attention": [name for name, m in sc.METHODS.items() if isinstance(m.kind, sc.AttentionPass)],
    "test_multi_pass": [name for name, m in sc.METHODS.items() if isinstance(m.kind, sc.MultiPass)],
}


def test_every_registered_method_has_a_slow_definition() -> None:
    assert {*DEFINITIONS, *chain.from_iterable(TESTED_ELSEWHERE.values())} == set(sc.METHODS)


@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_a_method_equals_its_slow_definition(name: str, layer: tuple[torch.nn.Module, Tensor]) -> None:
    network, x = layer
    captured = sc.capture(classifier(network), batch(), TARGET, ["down"]).layers["down"]
    ours = sc.METHODS[name](captured)
    slow = DEFINITIONS[name](network, x)
    assert ours.shape == (1, *slow.shape)
    assert slow.abs().max() > 0
    torch.testing.assert_close(ours[0], slow, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", SINGLE_PASS)
def test_a_batch_gives_the_maps_of_its_images(name: str) -> None:
    clf, x, targets = classifier(), batch(3), [0, 3, 1]
    together = sc.METHODS[name](sc.capture(clf, x, targets, ["bn"]).layers["bn"])
    for index, target in enumerate(targets):
        alone = sc.METHODS[name](sc.capture(clf, x[index : index + 1], target, ["bn"]).layers["bn"])
        torch.testing.assert_close(together[index], alone[0])


@pytest.mark.parametrize("name", SINGLE_PASS)
def test_a_zero_gradient_gives_a_zero_map_unless_the_method_ignores_the_class(name: str) -> None:
    pair = sc.LayerCapture(torch.rand(1, 4, 3, 3), torch.zeros(1, 4, 3, 3))
    assert (sc.METHODS[name](pair) == 0).all() == (name != "eigen_cam")


@pytest.mark.parametrize("name", SINGLE_PASS)
def test_a_method_that_is_not_signed_is_never_negative(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    pair = sc.LayerCapture(*(torch.randn(4, 5, 6, 6, generator=generator) for _ in range(2)))
    assert sc.METHODS[name].signed or sc.METHODS[name](pair).min() >= 0


@pytest.mark.parametrize("method", sc.METHODS.values(), ids=lambda method: method.name)
def test_every_method_says_in_a_few_words_what_bright_means_and_in_what_unit(method):
    assert 0 < len(method.bright.split()) <= 4
    assert method.unit
    assert bool(method.dark) == method.signed, "a negative end only where values can be negative"
    assert len(method.dark.split()) <= 4


def test_every_cell_of_the_framework_is_one_registered_method() -> None:
    cells = [method.cell for method in sc.METHODS.values() if method.cell]
    assert sorted(cells) == sorted(CELLS)
    assert sc.cell_method("conv1x1", "norm").name == "normgrad"
    assert sc.cell_method("scaling", "sum").name == "linear_approx"
    x, g = torch.randn(2, 1, 3, 4, 4)
    for method in filter(lambda method: method.cell, sc.METHODS.values()):
        extract, aggregate = method.cell
        expected = sc.framework(x, g, extract=extract, aggregate=aggregate)
        torch.testing.assert_close(method(sc.LayerCapture(x, g)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(3, 40, 40), (40, 3, 3), (200, 12, 12), (90, 30, 30)])
def test_eigen_cam_finds_the_first_direction_whichever_side_is_smaller(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    ours = sc.METHODS["eigen_cam"](sc.LayerCapture(x, x))[0]
    torch.testing.assert_close(ours, eigen_cam(torch.nn.Identity(), x[0]), rtol=1e-6, atol=1e-8)


def test_two_equally_strong_directions_still_give_a_finite_map() -> None:
    x = torch.eye(64, dtype=torch.float64).reshape(1, 64, 8, 8)
    assert torch.isfinite(sc.METHODS["eigen_grad_cam"](sc.LayerCapture(x, x))).all()


def spectrum(values: list[float], columns: int, seed: int = 0) -> Tensor:
    """A matrix with these singular values (the rest of its spectrum is zero) and random directions."""
    generator = torch.Generator().manual_seed(seed)
    rows = len(values)
    left, right = (
        torch.linalg.qr(torch.randn(size, rows, generator=generator, dtype=torch.float64)).Q
        for size in (rows, columns)
    )
    return left * torch.tensor(values, dtype=torch.float64) @ right.T


@pytest.mark.parametrize("rows", [20, 64, 160])
@pytest.mark.parametrize("ratio", [0.3, 0.9, 0.99, 0.9999])
def test_the_leading_eigenpair_is_found_to_the_tolerance_however_slowly_it_stands_out(
    rows: int, ratio: float
) -> None:
    """By decomposition, by powers, by Lanczos' steps, and by what follows where these two give up."""
    matrix = spectrum([ratio**index for index in range(rows)], 200)
    vector, value = leading_eigenpair(matrix)
    residual = matrix @ (vector @ matrix) - value * vector
    assert torch.linalg.vector_norm(residual) <= 1.01e-6
    assert value.item() == pytest.approx(1, abs=1e-6)


def test_where_no_direction_stands_out_the_gram_matrix_is_decomposed() -> None:
    matrix = spectrum(torch.linspace(1, 0.5, 400, dtype=torch.float64).tolist(), 420)
    vector, value = leading_eigenpair(matrix)
    residual = matrix @ (vector @ matrix) - value * vector
    assert torch.linalg.vector_norm(residual) <= 1e-10


class CountProducts(TorchFunctionMode):
    """Counts the products of matrices and the decompositions inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.products = self.decompositions = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.products += getattr(func, "__name__", "") in ("matmul", "__matmul__", "__rmatmul__")
        self.decompositions += func is torch.linalg.eigh
        return func(*args, **(kwargs or {}))


def test_a_dominant_direction_takes_few_products() -> None:
    """So that the stopping rules do stop: a handful of steps, and no decomposition of the Gram matrix."""
    small, large = (spectrum([1.0] + [0.01] * rest, 200) for rest in (63, 159))
    with CountProducts() as by_powers:
        leading_eigenpair(small)
    assert (by_powers.products, by_powers.decompositions) == (1 + 2 * 2 + 2, 0)
    with CountProducts() as by_steps:
        leading_eigenpair(large)
    assert by_steps.decompositions == 1
    assert by_steps.products <= 40


def test_a_default_device_or_autocast_of_the_caller_makes_no_difference() -> None:
    generator = torch.Generator().manual_seed(3)
    for channels in (6, 140):  # eigenvectors by decomposition and from a random start
        x, g = torch.randn(2, 1, channels, 12, 12, generator=generator)
        pair = [sc.LayerCapture(x, g) for _ in range(3)]
        for name in SINGLE_PASS:
            expected = sc.METHODS[name](pair[0])
            with torch.device("meta"):
                assert torch.equal(sc.METHODS[name](pair[1]), expected), name
            with torch.autocast("cpu", torch.bfloat16):
                assert torch.equal(sc.METHODS[name](pair[2]), expected), name


def test_a_many_pass_method_is_not_a_function_of_one_layer() -> None:
    pair = sc.LayerCapture(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 3))
    with pytest.raises(
        sc.ArgumentError, match=r"RISE is not a function of one layer; use explain\(methods=\['rise'\]\)"
    ):
        sc.METHODS["rise"](pair)


def test_the_cost_is_stated_in_words() -> None:
    names = ("normgrad", "deconvnet", "attention_rollout", "rise", "occlusion")
    texts = [sc.METHODS[name].cost_text for name in names]
    assert texts == ["no extra cost", *["one extra pass"] * 2, "about 2,000 passes", "about 170 passes"]


@pytest.mark.parametrize("scale", [1e-24, 1e-30, 1e15])
def test_squares_of_tiny_or_huge_gradients_do_not_vanish(scale: float) -> None:
    """Image by image: the other one of the batch has ordinary numbers."""
    generator = torch.Generator().manual_seed(0)
    x, g = torch.randn(2, 2, 7, 5, 6, generator=generator)
    scaled = g.clone()
    scaled[1] *= scale
    for name in SINGLE_PASS:
        if name == "grad_cam_plus_plus":  # it has a constant beside the gradient
            continue
        plain = sc.METHODS[name](sc.LayerCapture(x.double(), g.double()))
        found = sc.METHODS[name](sc.LayerCapture(x, scaled)).double()
        expected = plain if name == "eigen_cam" else plain * torch.tensor([1, scale])[:, None, None]
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), name
    shares = surviving_energy(sc.LayerCapture(x, scaled)).tolist()
    assert shares == pytest.approx(surviving_energy(sc.LayerCapture(x, g)).tolist(), rel=1e-5)


def test_surviving_energy_is_one_for_a_gradient_equal_everywhere_and_zero_for_one_that_cancels() -> None:
    x = torch.rand(1, 2, 2, 2)
    equal = torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
    cancels = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).expand(1, 2, 2, 2)
    half = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).expand(1, 2, 2, 2)
    shares = [surviving_energy(sc.LayerCapture(x, g)).item() for g in (equal, cancels, half)]
    assert shares == pytest.approx([1.0, 0.0, 0.5])


def test_a_registry_entry_has_what_a_reader_needs() -> None:
    for name, method in sc.METHODS.items():
        assert method.name == name
        assert method.summary.endswith(".")
        assert method.empty.endswith(".")
        assert method.url.startswith("https://")
        assert all((method.title, method.short_title, method.formula, method.reference, method.family))
        special = method.rule is not None or isinstance(method.kind, sc.AttentionPass)
        assert bool(method.needs) == (special or method.domain is sc.Domain.CONVOLUTIONS)
        assert bool(method.domain_text) == bool(method.needs or method.domain is sc.Domain.INPUT)
        assert bool(method.cell_text) == bool(method.cell)
        assert bool(method.options) == isinstance(method.kind, sc.MultiPass)
        for option in method.options:
            assert option.low <= option.checked(option.default) <= option.high
            assert option.summary.endswith(".")
