"""Transformers and networks with channels last: against definitions that go token by token, in float64."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.swin_transformer import window_partition
from torch import Tensor, nn

import saliency_core as sc

PHOTO = Path(__file__).parents[1] / "assets" / "samples" / "chelsea.png"
SIZE, PATCH = 64, 8
VIT = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 5}

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "class token": lambda: timm.models.VisionTransformer(**VIT, dynamic_img_size=True),
    "distillation token": lambda: VisionTransformerDistilled(**VIT),
    "registers": lambda: timm.models.VisionTransformer(**VIT, reg_tokens=4),
    "average": lambda: timm.models.VisionTransformer(**VIT, global_pool="avg", class_token=False),
    "swin": lambda: timm.models.SwinTransformer(
        SIZE, 4, embed_dim=16, depths=(2, 2), num_heads=(2, 2), window_size=4, num_classes=5
    ),
    "convnext": lambda: timm.models.ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=5),
}
BLOCKS = {
    "class token": [f"blocks.{each}" for each in range(3)],
    "distillation token": [f"blocks.{each}" for each in range(3)],
    "registers": [f"blocks.{each}" for each in range(3)],
    "average": [f"blocks.{each}" for each in range(4)],
    "swin": [f"layers.{stage}.blocks.{each}" for stage in range(2) for each in range(2)],
    "convnext": [f"stages.{each}" for each in range(4)],
}
EXTRA = {"class token": 1, "distillation token": 2, "registers": 5, "average": 0}
INSIDE = {
    "swin": ["patch_embed", "layers.0.blocks.1.norm2", "layers.0.blocks.1.mlp"],
    "convnext": ["stages.1.blocks.0.mlp.fc1", "stages.1.blocks.0.norm"],
}
LINEAR = {
    "class token": ["patch_embed.proj", "blocks.0.attn.qkv", "blocks.1.mlp.fc2"],
    "swin": ["layers.0.blocks.1.mlp.fc1", "layers.1.downsample.reduction"],
    "convnext": ["stages.1.blocks.0.mlp.fc1", "stages.1.blocks.0.conv_dw"],
}


def network(kind: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = NETWORKS[kind]()
        for name, parameter in built.named_parameters():  # those that are zero or tiny show nothing
            if parameter.ndim == 1 or "pos_embed" in name:
                mean, deviation = float("weight" in name or "gamma" in name), 0.02 if "pos" in name else 0.2
                nn.init.normal_(parameter, mean, deviation)
    return built.double().eval()


def classifier(module: nn.Module) -> sc.Classifier:
    return sc.Classifier(module, preprocess=sc.Preprocess(size=SIZE))


@pytest.fixture(scope="module")
def subjects() -> dict[str, tuple[nn.Module, sc.Classifier]]:
    return {kind: (built := network(kind), classifier(built)) for kind in NETWORKS}


def image(height: int = SIZE, width: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)


def recorded(module: nn.Module, layer: str, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What goes into a layer, what comes out, and the gradient there of the score of class 1."""
    seen: list[Tensor] = []

    def hook(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.extend((given[0], output))

    handle = module.get_submodule(layer).register_forward_hook(hook)
    try:
        score = module(inputs)[0, 1]
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(score, seen[1])
    return seen[0].detach(), seen[1].detach(), gradient


def places(
    output: Tensor, layer: sc.Layer, extra: int
) -> Iterator[tuple[tuple[int, int], tuple[object, ...]]]:
    """Every (row, column) of a map with the index of its vector in an output of one image."""
    for row, column in product(range(layer.height), range(layer.width)):
        if output.ndim == 3:
            yield (row, column), (0, extra + row * layer.width + column)
        elif output.shape[1:3] == (layer.height, layer.width):
            yield (row, column), (0, row, column)
        else:
            yield (row, column), (0, slice(None), row, column)


DEFINITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "normgrad": lambda x, g: torch.outer(g, x).norm(),
    "conv1x1_max": lambda x, g: torch.outer(g, x).max(),
    "normgrad_selective": lambda x, g: (x * g).clamp(min=0).norm(),
    "linear_approx": lambda x, g: (x * g).sum(),
    "gradient": lambda x, g: g.abs().max(),
    "layer_cam": lambda x, g: (x * g.clamp(min=0)).sum().clamp(min=0),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_map_at_a_token_is_what_the_definition_says_of_this_token(
    kind: str, subjects: dict[str, tuple[nn.Module, sc.Classifier]]
) -> None:
    module, clf = subjects[kind]
    assert list(clf.default_layers) == BLOCKS[kind]
    names = [BLOCKS[kind][-2], *INSIDE.get(kind, ["blocks.1.norm2", "blocks.1.mlp.fc1", "blocks.1.attn"])]
    found = sc.explain(clf, image(), 1, names, list(DEFINITIONS))
    for layer in found.layers:
        _, x, g = recorded(module, layer.name, image())
        for name, definition in DEFINITIONS.items():
            slow = np.zeros((layer.height, layer.width))
            for place, at in places(x, layer, EXTRA.get(kind, 0)):
                slow[place] = definition(x[at], g[at])
            assert slow.std() > 0 or name == "layer_cam"  # which cuts off
            np.testing.assert_allclose(
                found.map(name, layer.name), slow, rtol=2e-6, atol=2e-7 * np.abs(slow).max()
            )


def test_grad_cam_and_neighbourhoods_leave_the_class_token_out(
    subjects: dict[str, tuple[nn.Module, sc.Classifier]],
) -> None:
    module, clf = subjects["registers"]
    found = sc.explain(clf, image(), 1, ["blocks.1"], ["grad_cam", "normgrad_conv3x3"])
    _, x, g = (each[0, 5:].reshape(8, 8, 32) for each in recorded(module, "blocks.1", image()))
    cam, wide = np.zeros((8, 8)), np.zeros((8, 8))
    for row, column in product(range(8), range(8)):
        cam[row, column] = (x[row, column] * g.mean(dim=(0, 1))).sum().clamp(min=0)
        near = x[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        wide[row, column] = near.norm() * g[row, column].norm()
    np.testing.assert_allclose(found.map("grad_cam", "blocks.1"), cam, rtol=1e-5, atol=1e-6 * cam.max())
    np.testing.assert_allclose(found.map("normgrad_conv3x3", "blocks.1"), wide, rtol=1e-5)


@pytest.mark.parametrize(("kind", "layer"), [(kind, layer) for kind in LINEAR for layer in LINEAR[kind]])
def test_normgrad_of_a_linear_layer_is_the_norm_of_each_tokens_share_of_its_weights_gradient(
    kind: str, layer: str, subjects: dict[str, tuple[nn.Module, sc.Classifier]]
) -> None:
    module, clf = subjects[kind]
    found = sc.explain(clf, image(), 1, [layer], ["normgrad_proper"])
    inputs, output, gradient = recorded(module, layer, image())
    own = module.get_submodule(layer)
    slow = np.zeros(found.map("normgrad_proper", layer).shape)
    (shown,) = found.layers
    for place, at in places(output, shown, EXTRA.get(kind, 0)):
        alone = torch.zeros_like(gradient)
        alone[at] = gradient[at]
        (share,) = torch.autograd.grad(own(inputs), own.weight, alone)
        slow[place] = share.norm()
    np.testing.assert_allclose(found.map("normgrad_proper", layer), slow, rtol=2e-6, atol=1e-12)


def test_layers_of_windows_are_put_together_again_also_behind_a_shift(
    subjects: dict[str, tuple[nn.Module, sc.Classifier]],
) -> None:
    module, clf = subjects["swin"]
    for block, shift in ((0, 0), (1, 2)):
        name = f"layers.0.blocks.{block}.attn.qkv"
        captured = sc.capture(clf, image(), 1, [name]).layers[name]
        _, x, g = recorded(module, name, image())
        for maps, output in ((captured.activation, x), (captured.gradient, g)):
            moved = maps.permute(0, 2, 3, 1).roll((-shift, -shift), dims=(1, 2))
            windows = window_partition(moved, (4, 4)).reshape(output.shape)
            torch.testing.assert_close(windows, output)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (80, 48)])
def test_tokens_of_inputs_that_are_not_square_are_folded_by_the_patch_grid(
    height: int, width: int, subjects: dict[str, tuple[nn.Module, sc.Classifier]]
) -> None:
    module, clf = subjects["class token"]
    found = sc.explain(clf, image(height, width), 1, ["patch_embed.proj", "blocks.2"], ["normgrad"])
    rows, columns = height // PATCH, width // PATCH
    _, x, g = recorded(module, "blocks.2", image(height, width))
    slow = (x[0, 1:].norm(dim=1) * g[0, 1:].norm(dim=1)).reshape(rows, columns)
    np.testing.assert_allclose(found.map("normgrad", "blocks.2"), slow, rtol=2e-6)
    assert found.map("normgrad", "patch_embed.proj").shape == (rows, columns)


def test_images_of_a_batch_have_the_maps_that_they_have_alone(
    subjects: dict[str, tuple[nn.Module, sc.Classifier]],
) -> None:
    for kind in ("registers", "swin", "convnext"):
        clf = subjects[kind][1]
        names = [*BLOCKS[kind], *(["layers.0.blocks.1.attn.qkv"] if kind == "swin" else [])]
        pair = torch.cat([image(), image().flip(3)])
        together = sc.explain_many(clf, pair, [1, 2], names, ["normgrad", "normgrad_conv3x3"])
        for one, target, found in zip(pair, (1, 2), together, strict=True):
            alone = sc.explain(clf, one[None], target, names, ["normgrad", "normgrad_conv3x3"])
            for method, layer in product(alone.methods, names):
                np.testing.assert_allclose(
                    found.map(method, layer), alone.map(method, layer), rtol=1e-5, atol=1e-9
                )


@pytest.mark.parametrize("kind", ["class token", "distillation token", "registers"])
def test_the_last_block_of_a_network_with_a_class_token_is_refused_with_the_reason(
    kind: str, subjects: dict[str, tuple[nn.Module, sc.Classifier]]
) -> None:
    module, clf = subjects[kind]
    _, _, gradient = recorded(module, "blocks.3", image())
    assert not gradient[0, EXTRA[kind] :].any()
    which = "its class token" if kind == "class token" else f"{EXTRA[kind]} tokens that belong to no patch"
    with pytest.raises(
        sc.LayerError, match=f"class scores read {which} alone: the gradient at the 64 tokens"
    ):
        sc.explain(clf, image(), 1, ["blocks.3"])
    assert "blocks.3.norm1" in clf.survey.layouts, "read by the attention"


def correlation(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


@pytest.mark.parametrize("kind", ["class token", "registers", "swin", "convnext"])
def test_a_shifted_photo_shifts_the_map(
    kind: str, subjects: dict[str, tuple[nn.Module, sc.Classifier]]
) -> None:
    clf, layer = subjects[kind][1], BLOCKS[kind][0]
    # The side of the photo's parts, and how far the second is to the right, by a multiple of all strides.
    side, right = (192, 32) if kind == "convnext" else (SIZE, 2 * PATCH)
    photo = sc.Preprocess(size=side + right)(sc.open_image(PHOTO))[0].double()
    first, second = (
        sc.explain(clf, part, 1, [layer], ["normgrad"]).map("normgrad", layer)
        for part in (photo[..., :side, :side], photo[..., :side, right:])
    )
    moved = right * first.shape[1] // side
    fixed, shifted = correlation(first, second), correlation(first[:, moved:], second[:, :-moved])
    assert shifted > 0.95 > fixed, f"{shifted:.2f} where the photos agree, {fixed:.2f} as they are"


class Tokens(nn.Module):
    """Patches as tokens in a given order, a layer for each by itself, and one that returns a tuple."""

    def __init__(self, order: int | None = None) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 12, PATCH, PATCH)
        self.order = order
        self.first = nn.Sequential(nn.Linear(12, 12), nn.Tanh())
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.embed(x).flatten(2).transpose(1, 2)
        if self.order is not None:
            y = y[:, torch.randperm(y.shape[1], generator=torch.Generator().manual_seed(self.order))]
        y = self.first(y)
        return self.head((y + self.attention(y, y, y)[0]).mean(dim=1))


# In the last three orders many changes are at a changed part by chance.
@pytest.mark.parametrize("order", [0, 11, 14, 17])
def test_tokens_in_another_order_are_refused(order: int) -> None:
    known = classifier(Tokens())
    assert {"first", "first.0", "attention"} <= known.survey.layouts.keys()
    with pytest.warns(UserWarning, match="only one layer of this network has maps"):
        mixed = classifier(Tokens(order))
    assert [layer.name for layer in mixed.layers] == ["embed"]
    with pytest.raises(
        sc.LayerError, match=r"\(N, 64, 12\) could be tokens of 8 × 8 locations, but changing"
    ):
        sc.explain(mixed, image().float(), 1, ["first"])


def test_of_a_layer_that_returns_a_tuple_the_first_tensor_is_taken() -> None:
    module = Tokens().double().eval()
    found = sc.explain(classifier(module), image(), 1, ["attention"], ["normgrad"])
    with torch.no_grad():
        y = module.first(module.embed(image()).flatten(2).transpose(1, 2))
        x = module.attention(y, y, y)[0][0]
    slow = x.norm(dim=1) * module.head.weight[1].norm() / 64
    np.testing.assert_allclose(found.map("normgrad", "attention"), slow.detach().reshape(8, 8), rtol=1e-6)


def test_why_no_modified_rule_applies_is_said_in_a_sentence(
    subjects: dict[str, tuple[nn.Module, sc.Classifier]],
) -> None:
    for kind, method in product(NETWORKS, ["guided_backprop", "excitation_backprop"]):
        reason = sc.unavailable(subjects[kind][1], method)
        assert reason is not None
        assert "This network uses LayerNorm." in reason
