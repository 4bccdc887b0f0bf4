"""The methods made for transformers, against slow definitions on small networks in float64."""

import copy
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.cait import Cait
from timm.models.deit import VisionTransformerDistilled
from timm.models.levit import Levit
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.xcit import Xcit
from torch import Tensor, nn
from torchvision.models import VisionTransformer as TorchvisionTransformer

import saliency_core as sc
from saliency_core.backprop.attention import attention
from saliency_core.methods.attention import attention_gradient, attention_rollout
from saliency_core.viewer import payload
from saliency_core.viewer.methods import methods as viewer_methods
from tests.networks import classifier as classifier_of_convolutions
from tests.test_capture import assert_same_state, state_of

SIDE, CLASSES, TARGET, BLOCKS, HEADS = 32, 5, 3, 3, 2
ROLLOUT, GRADIENT = BOTH = ("attention_rollout", "attention_gradient")
SMALL = {"img_size": SIDE, "patch_size": 8, "embed_dim": 32, "depth": BLOCKS, "num_heads": HEADS}

pytestmark = pytest.mark.filterwarnings("ignore:only one layer")


class Encoder(nn.Module):
    """PyTorch's own layers, which have a fused path for inference; the scores read the first token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 32))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(32, HEADS, 64, batch_first=True) for _ in range(BLOCKS)
        )
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(torch.cat([self.token.expand(len(x), -1, -1), self.patches(x).flatten(2).mT], dim=1))
        for layer in self.layers:
            x = layer(x)
        return self.head(x[:, 0])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "class token": (partial(VisionTransformer, **SMALL, num_classes=CLASSES), (0,)),
    "registers": (partial(VisionTransformer, **SMALL, num_classes=CLASSES, reg_tokens=2), (0,)),
    "distilled": (partial(VisionTransformerDistilled, **SMALL, num_classes=CLASSES), (0, 1)),
    "average": (
        partial(VisionTransformer, **SMALL, num_classes=CLASSES, global_pool="avg", class_token=False),
        tuple(range(16)),
    ),
    "unread class token": (
        partial(VisionTransformer, **SMALL, num_classes=CLASSES, global_pool="avg"),
        tuple(range(1, 17)),
    ),
    "torchvision": (
        partial(TorchvisionTransformer, SIDE, 8, BLOCKS, HEADS, 32, 64, num_classes=CLASSES),
        (0,),
    ),
    "PyTorch's layers": (Encoder, (0,)),
}
"""A network, and the tokens that its scores read."""


@cache
def network(name: str) -> nn.Module:
    """A network with weights large enough for attention that differs between tokens."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = NETWORKS[name][0]().double().eval()
        for parameter in found.parameters():
            nn.init.normal_(parameter, std=0.25)
    return found


def classifier(found: nn.Module) -> sc.Classifier:
    return sc.Classifier(found, preprocess=sc.Preprocess(size=SIDE, resize=SIDE))


@cache
def examined(name: str) -> sc.Classifier:
    """The network as a classifier, which takes a few passes."""
    return classifier(network(name))


def images(count: int = 1) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


# --- Slow definitions ---------------------------------------------------------------------------------------


def heads_of(tokens: Tensor, weight: Tensor, bias: Tensor) -> list[list[Tensor]]:
    """Query, key and value of every head, from (T, C): [head][which] -> (T, C / heads)."""
    parts = (tokens @ weight.T + bias).split(tokens.shape[1], dim=1)
    width = tokens.shape[1] // HEADS
    return [[part[:, head * width : (head + 1) * width] for part in parts] for head in range(HEADS)]


def attend(tokens: Tensor, weight: Tensor, bias: Tensor, matrices: list[Tensor]) -> Tensor:
    """Attention entry by entry, (T, C) -> (T, C); its matrix (heads, T, T) is appended."""
    found, outputs = [], []
    for query, key, _ in heads_of(tokens, weight, bias):
        rows = []
        for q in query:
            scores = torch.stack([(q * k).sum() / math.sqrt(len(q)) for k in key])
            rows.append(scores.exp() / scores.exp().sum())
        found.append(torch.stack(rows))
    matrix = torch.stack(found)
    matrices.append(matrix)
    for head, (_, _, value) in enumerate(heads_of(tokens, weight, bias)):
        outputs.append(matrix[head] @ value)
    return torch.cat(outputs, dim=1)


def run_slowly(name: str, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The scores (classes,) of one image, and the matrices on which they depend."""
    net, matrices = network(name), []
    if isinstance(net, TorchvisionTransformer):
        tokens = torch.cat([net.class_token, net._process_input(x)], dim=1)[0] + net.encoder.pos_embedding[0]
        for block in net.encoder.layers:
            own = block.self_attention
            read = attend(block.ln_1(tokens), own.in_proj_weight, own.in_proj_bias, matrices)
            tokens = tokens + own.out_proj(read)
            tokens = tokens + block.mlp(block.ln_2(tokens))
        return net.heads(net.encoder.ln(tokens)[0]), matrices
    if isinstance(net, Encoder):
        tokens = torch.cat([net.token[0], net.patches(x).flatten(2)[0].T])
        for block in net.layers:
            own = block.self_attn
            read = attend(tokens, own.in_proj_weight, own.in_proj_bias, matrices)
            tokens = block.norm1(tokens + own.out_proj(read))
            tokens = block.norm2(tokens + block.linear2(F.relu(block.linear1(tokens))))
        return net.head(tokens[0]), matrices
    tokens = net._pos_embed(net.patch_embed(x))[0]
    for block in net.blocks:
        read = attend(block.norm1(tokens), block.attn.qkv.weight, block.attn.qkv.bias, matrices)
        tokens = tokens + block.attn.proj(read)
        tokens = tokens + block.mlp(block.norm2(tokens))
    return net.forward_head(net.norm(tokens)[None])[0], matrices


def product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    columns = list(zip(*b, strict=True))
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a]


def slow_maps(name: str, x: Tensor) -> dict[str, Tensor]:
    """Both maps at the patches, (4, 4), from matrices over all tokens, multiplied entry by entry."""
    scores, matrices = run_slowly(name, x)
    gradients = torch.autograd.grad(scores[TARGET], matrices)
    count = matrices[0].shape[1]
    identity = [[float(i == j) for j in range(count)] for i in range(count)]
    rollout = relevance = identity
    for matrix, gradient in zip(matrices, gradients, strict=True):
        mean = matrix.mean(dim=0).tolist()
        mixed = [[(mean[i][j] + identity[i][j]) / 2 for j in range(count)] for i in range(count)]
        rollout = product([[each / sum(row) for each in row] for row in mixed], rollout)
        weighted = (gradient * matrix).clamp(min=0).mean(dim=0).tolist()
        added = product(weighted, relevance)
        relevance = [[relevance[i][j] + added[i][j] for j in range(count)] for i in range(count)]
    readers = NETWORKS[name][1]
    found = {}
    for method, whole, own in ((ROLLOUT, rollout, 0.0), (GRADIENT, relevance, 1.0)):
        rows = [[whole[i][j] - own * identity[i][j] for j in range(count)] for i in readers]
        mean_row = [sum(column) / len(readers) for column in zip(*rows, strict=True)]
        found[method] = torch.tensor(mean_row[count - 16 :], dtype=torch.float64).reshape(4, 4)
    return found


def assert_close(found: object, expected: Tensor) -> None:
    torch.testing.assert_close(
        torch.as_tensor(np.array(found)).double(), expected, rtol=0, atol=1e-6 * float(expected.abs().max())
    )


# --- Tests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_maps_equal_their_slow_definitions(name: str) -> None:
    clf = examined(name)
    found = sc.explain(clf, images(), TARGET, methods=BOTH)
    for method, small in slow_maps(name, images()).items():
        assert float(small.max() - small.min()) > 0.1 * float(small.max())
        assert_close(found.map(method, "input"), small)
        (place,) = found.layers_of(method)
        assert (place.name, place.height, place.width) == ("input", SIDE, SIDE)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_what_is_recorded_is_the_attention_of_every_block_and_leaves_the_scores_as_they_are(
    name: str,
) -> None:
    clf, x = examined(name), images()
    with torch.no_grad():
        plain = clf.module(x)
    found = attention(clf, x, TARGET, plain_logits=plain)
    _, matrices = run_slowly(name, x)
    assert (found.patches.grid, found.readers) == ((4, 4), NETWORKS[name][1])
    assert len(found.weights) == len(found.relevances) == BLOCKS
    for weights, matrix in zip(found.weights, matrices, strict=True):
        torch.testing.assert_close(weights, matrix.detach().mean(dim=0))
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights), dtype=torch.float64))
    assert attention(clf, x, plain_logits=plain).relevances == ()
    with pytest.raises(sc.UnavailableError, match="change by .* of the largest one while its attention is"):
        attention(clf, x, plain_logits=plain + 0.01 * plain.abs().max())


@pytest.mark.parametrize("name", ["class token", "beit", "eva"])
def test_attention_that_is_not_fused_gives_the_same_maps(name: str) -> None:
    """BEiT adds a bias to the scores of attention; EVA rotates queries and keys by their positions."""
    options = {**SMALL, "num_classes": CLASSES}
    builders: dict[str, Callable[[], nn.Module]] = {
        "beit": partial(timm.models.beit.Beit, **options, use_rel_pos_bias=True),
        "eva": partial(timm.models.eva.Eva, **options, use_rot_pos_emb=True, global_pool="token"),
        "class token": NETWORKS["class token"][0],
    }
    with torch.random.fork_rng():
        torch.manual_seed(3)
        fused = builders[name]().double()
        for parameter in fused.parameters():
            nn.init.normal_(parameter, std=0.25)
    unfused = copy.deepcopy(fused)
    switched = [module for module in unfused.modules() if getattr(module, "fused_attn", False)]
    for module in switched:
        module.fused_attn = False
    assert len(switched) == BLOCKS
    one, other = (sc.explain(classifier(each), images(), TARGET, methods=BOTH) for each in (fused, unfused))
    for method in BOTH:
        assert_close(one.map(method, "input"), torch.from_numpy(other.map(method, "input").copy()).double())


UNAVAILABLE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "Swin": (
        partial(SwinTransformer, SIDE, 4, window_size=4, embed_dim=16, depths=(1, 1), num_heads=(2, 2)),
        "Its attention is within parts of the image: matrices 4 × 2 × 16 × 16 for one image.",
    ),
    "XCiT": (
        partial(Xcit, SIDE, 8, num_classes=CLASSES, embed_dim=16, depth=1, num_heads=2, cls_attn_layers=1),
        "Not all of its attention is among the tokens of one grid: there is a matrix of 1 × 17.",
    ),
    "LeViT": (
        partial(
            Levit, 2 * SIDE, num_classes=5, embed_dim=(16, 16), key_dim=8, depth=(1, 1), num_heads=(2, 2)
        ),
        "Not all of its attention is among the tokens of one grid: there is a matrix of 4 × 16.",
    ),
    "CaiT": (
        partial(Cait, SIDE, 8, num_classes=CLASSES, embed_dim=16, depth=1, num_heads=2),
        "Its attention weights do not multiply the values as they come from the softmax.",
    ),
    "attention pooling": (
        partial(VisionTransformer, **SMALL, num_classes=CLASSES, global_pool="map", class_token=False),
        "Not all of its attention is among the tokens of one grid: there is a matrix of 1 × 16.",
    ),
}


@pytest.mark.parametrize("name", list(UNAVAILABLE))
def test_a_network_with_other_attention_is_refused_with_the_reason(name: str) -> None:
    build, reason = UNAVAILABLE[name]
    network = build()
    side = 2 * SIDE if name == "LeViT" else SIDE
    clf = sc.Classifier(network, preprocess=sc.Preprocess(size=side, resize=side))
    for method in BOTH:
        assert sc.unavailable(clf, method) == f"{sc.METHODS[method].needs} {reason}"
    with pytest.raises(sc.UnavailableError, match="Attention rollout is not available: Defined for trans"):
        sc.explain(clf, torch.randn(1, 3, side, side), methods=[ROLLOUT])


def test_a_network_of_convolutions_has_no_attention() -> None:
    clf = classifier_of_convolutions()
    for method in BOTH:
        reason = sc.unavailable(clf, method)
        assert reason is not None
        assert reason.endswith("No attention among the tokens of an image was found in this network.")


@pytest.mark.parametrize("name", ["class token", "torchvision"])
def test_nothing_is_left_on_the_network(name: str) -> None:
    own = network(name)
    clf = classifier(own)
    before, shared = state_of(own), state_of(clf.module)
    sc.explain(clf, images(), methods=BOTH)
    with pytest.raises(sc.NetworkError):
        attention(clf, images()[:, :, :-3], TARGET)
    assert_same_state(before, state_of(own))
    assert_same_state(shared, state_of(clf.module))


@dataclass
class Meanwhile:
    """Calls a function on another thread, once, in the middle of a forward pass."""

    calls: list[Callable[[], None]] = field(default_factory=list)

    def __call__(self) -> None:
        if self.calls:
            thread = threading.Thread(target=self.calls.pop())
            thread.start()
            thread.join()


class Interrupted(nn.Module):
    """A block that lets another thread run before it."""

    def __init__(self, block: nn.Module, meanwhile: Meanwhile) -> None:
        super().__init__()
        self.block, self.meanwhile = block, meanwhile

    def forward(self, x: Tensor, **options: object) -> Tensor:
        self.meanwhile()
        return self.block(x, **options)


def test_another_thread_that_explains_at_the_same_time_is_not_recorded() -> None:
    x = images(2)
    interrupted = copy.deepcopy(network("class token"))
    interrupted.blocks[1] = Interrupted(interrupted.blocks[1], Meanwhile())
    clf = classifier(interrupted)
    alone = [sc.explain(clf, image[None], TARGET, methods=BOTH) for image in x]
    during: list[sc.Explanation] = []
    meanwhile = clf.module.blocks[1].meanwhile
    meanwhile.calls.append(lambda: during.append(sc.explain(clf, x[1:], TARGET, methods=BOTH)))
    found = attention(clf, x[:1], TARGET)
    assert not meanwhile.calls
    assert len(found.weights) == len(found.relevances) == BLOCKS
    for method, function in ((ROLLOUT, attention_rollout), (GRADIENT, attention_gradient)):
        assert_close(alone[0].map(method, "input"), function(found))
        np.testing.assert_array_equal(during[0].map(method, "input"), alone[1].map(method, "input"))


def test_several_photos_have_the_maps_that_each_has_alone() -> None:
    clf, x, targets = examined("registers"), images(3), [0, 4, 2]
    together = sc.explain_many(clf, x, targets, methods=BOTH)
    for index, (found, target) in enumerate(zip(together, targets, strict=True)):
        alone = sc.explain(clf, x[index : index + 1], target, methods=BOTH)
        for method in BOTH:
            np.testing.assert_array_equal(found.map(method, "input"), alone.map(method, "input"))


def test_rollout_is_the_same_for_every_class_and_gradient_weighted_attention_is_not() -> None:
    first, second = sc.explain_classes(examined("distilled"), images(), [1, 2], methods=BOTH)
    np.testing.assert_array_equal(first.map(ROLLOUT, "input"), second.map(ROLLOUT, "input"))
    one, other = (each.map(GRADIENT, "input") for each in (first, second))
    assert np.abs(one - other).max() > 0.1 * one.max()
    assert [sc.METHODS[method].class_specific for method in BOTH] == [False, True]


def test_a_function_of_the_scores_takes_the_place_of_a_class() -> None:
    clf = examined("class token")
    by_class, by_function = (
        sc.explain(clf, images(), target, methods=BOTH)
        for target in (TARGET, lambda logits: logits[:, TARGET])
    )
    difference = sc.explain(clf, images(), lambda logits: logits[:, TARGET] - logits[:, 0], methods=BOTH)
    for method in BOTH:
        expected = by_class.map(method, "input")
        np.testing.assert_allclose(by_function.map(method, "input"), expected, rtol=1e-6)
        same = np.allclose(difference.map(method, "input"), expected)
        assert same == (method == ROLLOUT)


def test_after_a_meta_step_the_maps_are_those_of_the_network_that_took_it() -> None:
    step, x = sc.MetaStep(lr=0.05), images()
    stepped = copy.deepcopy(network("class token"))
    loss = F.cross_entropy(stepped(x), torch.tensor([TARGET]))
    for parameter, gradient in zip(
        stepped.parameters(), torch.autograd.grad(loss, list(stepped.parameters())), strict=True
    ):
        parameter.data -= step.lr * gradient
    expected = sc.explain(classifier(stepped), x, TARGET, methods=BOTH)
    clf = examined("class token")
    before, found = (
        sc.explain(clf, x, TARGET, methods=BOTH),
        sc.explain(clf, x, TARGET, methods=BOTH, meta=step),
    )
    for method in BOTH:
        after = torch.from_numpy(expected.map(method, "input").copy()).double()
        assert_close(found.map(method, "input"), after)
        assert np.abs(before.map(method, "input") - after.numpy()).max() > 1e-3 * float(after.max())


def test_a_head_of_zeros_leaves_rollout_and_a_reason_for_the_other_map() -> None:
    """As torchvision builds its transformers before training."""
    untrained = copy.deepcopy(network("torchvision"))
    nn.init.zeros_(untrained.heads.head.weight)
    found = sc.explain(classifier(untrained), images(), TARGET, methods=BOTH)
    assert not found.constant(ROLLOUT, "input")
    assert found.constant(GRADIENT, "input")


def test_a_constant_image_gives_finite_maps_and_weights_that_are_not_finite_a_sentence() -> None:
    clf = classifier(copy.deepcopy(network("registers")).float())
    found = sc.explain(clf, torch.full((1, 3, SIDE, SIDE), 0.7), TARGET, methods=BOTH)
    for method in BOTH:
        values = found.map(method, "input")
        assert np.isfinite(values).all()
        assert values.min() >= 0
    clf.module.blocks[1].mlp.fc1.weight.data[0, 0] = math.inf
    with pytest.raises(sc.NonFiniteError, match=r"NaN or infinity.*check its weights and the input"):
        sc.explain(clf, images().float(), TARGET, methods=BOTH)


def test_half_precision_and_the_callers_modes_make_no_difference() -> None:
    clf, x = classifier(copy.deepcopy(network("torchvision")).float()), images().float()
    expected = sc.explain(clf, x, TARGET, methods=BOTH)
    for mode in (torch.inference_mode(), torch.no_grad(), torch.autocast("cpu", torch.bfloat16)):
        with mode:
            found = sc.explain(clf, x, TARGET, methods=BOTH)
        for method in BOTH:
            np.testing.assert_array_equal(found.map(method, "input"), expected.map(method, "input"))
    half = classifier(copy.deepcopy(network("torchvision")).bfloat16())
    found = sc.explain(half, x, TARGET, methods=[ROLLOUT])
    assert (
        np.corrcoef(found.map(ROLLOUT, "input").ravel(), expected.map(ROLLOUT, "input").ravel())[0, 1] > 0.9
    )


def test_the_viewer_gets_one_map_of_the_input_and_offers_the_methods_at_one_extra_pass() -> None:
    clf = examined("class token")
    found = sc.explain(clf, images(), TARGET, methods=["normgrad", *BOTH])
    photo = payload.DisplayPhoto("digest", b"", SIDE, SIDE, (SIDE, SIDE), "photo")

    class Model:
        name, title, presets = "vit", "ViT", {}

    content = payload.content(photo, found, Model(), found.methods)
    offered = {entry["name"]: entry for entry in viewer_methods()}
    for method in BOTH:
        place = content.meta["maps"][method]["input"]
        assert (place["height"], place["width"], place["reason"]) == (4, 4, None)
        sent = content.maps[place["offset"] : place["offset"] + 16]
        np.testing.assert_array_equal(sent.reshape(4, 4), found.map(method, "input"))
        entry = offered[method]
        assert (entry["family"], entry["cost"], entry["passes"]) == ("Attention", "one extra pass", 1)
        assert entry["atInput"]
