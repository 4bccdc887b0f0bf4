"""The core: the time and memory of an explanation, beside the bare network and other libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import saliency_core as sc
from benchmarks.measure import Row, in_turn, median_seconds, ratio

NETWORKS = ("tf_efficientnet_lite0", "resnet50", "vgg16")
LARGE_STAGES = ("vgg16",)
"""Their first stage has the input's full resolution: what all methods cost there is shown without a bound."""
SIX = ("normgrad", "normgrad_selective", "grad_cam", "linear_approx", "gradient", "gradient_sum")
FIRST_RATIO, ALL_RATIO, CACHED_MS, MEGABYTES = 1.15, 1.25, 5.0, 3.0
META_RATIO, TABLE_SECONDS = 3.0, 3.0
CLASS = 282
BATCH = 16


def bare(network: nn.Module, x: Tensor) -> None:
    """One forward and one backward pass from a class logit to the input: the least that any map costs."""
    inputs = x.clone().requires_grad_()
    torch.autograd.grad(network(inputs)[0, CLASS], inputs)


def rows(runs: int) -> Iterator[Row]:
    """Explanations on the CPU and, where there is a GPU, on it, too; then what has no device of its own."""
    yield from on_device("cpu", "", runs)
    if torch.cuda.is_available():
        yield from on_device("cuda", f" on {torch.cuda.get_device_name()}", runs)
    yield second_request(runs)
    yield all_class_sensitivities(runs)


def on_device(device: str, where: str, runs: int) -> Iterator[Row]:
    """Explanations at all default layers of each network, with random weights; `where` says on what."""
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for name in NETWORKS:
        classifier = sc.load_classifier(name, device, random=0)
        # The baseline is the plain network: a second one without hooks, in the ordinary memory layout.
        network = sc.MODELS[name].build().eval().requires_grad_(False).to(classifier.device)
        network.load_state_dict(classifier.module.state_dict())
        inputs, bound = x.to(classifier.device), name not in LARGE_STAGES
        title = f"{sc.MODELS[name].title}{where}"
        yield layouts(title, classifier, network, inputs, runs)
        yield cost(title, "six methods", classifier, network, inputs, SIX, runs, FIRST_RATIO)
        limit = ALL_RATIO if bound else None
        yield cost(
            title, "all cells and class activation maps", classifier, network, inputs, None, runs, limit
        )
        yield from beside_peers(title, classifier, network, inputs, runs)
        if not bound:
            yield memory(title, "six methods", sc.explain(classifier, x, methods=SIX), MEGABYTES)
        yield memory(
            title, "all single-pass methods", sc.explain(classifier, x), MEGABYTES if bound else None
        )
        yield after_a_step(title, classifier, network, inputs, runs)
        if device != "cpu":
            yield batched(title, classifier, runs)


def batched(title: str, classifier: sc.Classifier, runs: int) -> Row:
    """What a photo costs in a batch, as requests that wait together are computed, beside alone."""
    photos = torch.randn(BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    together = partial(sc.explain_many, classifier, photos, [CLASS] * BATCH)
    alone = partial(sc.explain, classifier, photos[:1], CLASS)
    quotient, ours, theirs = ratio(together, alone, runs)
    value = f"{quotient / BATCH:.2f} ({1e3 * ours / BATCH:.1f} ms / {1e3 * theirs:.1f} ms)"
    return Row(f"{title}: each of {BATCH} photos in one batch / one photo alone", value)


def layouts(title: str, classifier: sc.Classifier, network: nn.Module, inputs: Tensor, runs: int) -> Row:
    """What the memory layout alone changes: the classifier chooses one, the baseline has the ordinary one."""
    ours = partial(bare, classifier.module, classifier.to_device(inputs))
    quotient, *_ = ratio(ours, partial(bare, network, inputs), runs)
    return Row(f"{title}: bare forward + backward, channels last / plain layout", f"{quotient:.2f}")


def cost(
    title: str,
    which: str,
    classifier: sc.Classifier,
    network: nn.Module,
    inputs: Tensor,
    methods: tuple[str, ...] | None,
    runs: int,
    limit: float | None,
) -> Row:
    """How long an explanation takes, as a multiple of the bare network's two passes."""
    explain = partial(sc.explain, classifier, inputs, CLASS, methods=methods)
    quotient, ours, theirs = ratio(explain, partial(bare, network, inputs), runs)
    what = f"{title}: {which}, {count(explain())} maps / bare forward + backward"
    value = f"{quotient:.2f} ({1e3 * ours:.0f} ms / {1e3 * theirs:.0f} ms)"
    return Row(what, value) if limit is None else Row(what, value, f"≤ {limit}", quotient <= limit)


def beside_peers(
    title: str, classifier: sc.Classifier, network: nn.Module, inputs: Tensor, runs: int
) -> Iterator[Row]:
    """The cost of a map here and in two libraries, set up beforehand and without gradients of the weights.

    First as they are mostly used, one Grad-CAM map at the last stage; then all stages from one pass, where
    they are fastest: Grad-CAM in pytorch-grad-cam, gradient × activation in Captum, whose Grad-CAM takes one
    layer only.
    """
    names = classifier.default_layers
    explain = partial(sc.explain, classifier, inputs, CLASS)
    maps = count(explain())
    for what, layers in (("one Grad-CAM map", names[-1:]), ("all stages in one pass", names)):
        peers = [pytorch_grad_cam(network, layers, inputs), captum(network, layers, inputs)]
        medians, ratios = in_turn([explain, *peers], runs)
        ours, *theirs = (
            1e3 * median / many for median, many in zip(medians, (maps, *[len(layers)] * 2), strict=True)
        )
        times = [factor * maps / len(layers) for factor in ratios[1:]]
        value = f"ours {ours:.2f} ms ({maps} maps in one pass)" + "".join(
            f" — {peer} {each:.1f} ms (× {factor:.0f})"
            for peer, each, factor in zip(("pytorch-grad-cam", "Captum"), theirs, times, strict=True)
        )
        yield Row(f"{title}: cost per map; the others: {what}", value)


def with_shared_weights(network: nn.Module) -> nn.Module:
    """A copy of the modules, to put a library's hooks on; its weights are the network's own tensors."""
    weights = chain(network.parameters(), network.buffers())
    return copy.deepcopy(network, {id(tensor): tensor for tensor in weights})


def pytorch_grad_cam(network: nn.Module, layers: tuple[str, ...], x: Tensor) -> Callable[[], object]:
    """Grad-CAM at some layers."""
    from pytorch_grad_cam import GradCAM  # seconds, of which tests that import this module have no use
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    own = with_shared_weights(network)
    cam = GradCAM(own, [own.get_submodule(layer) for layer in layers])
    targets = [ClassifierOutputTarget(CLASS)]
    return lambda: cam(x.clone().requires_grad_(), targets)


def captum(network: nn.Module, layers: tuple[str, ...], x: Tensor) -> Callable[[], object]:
    """Grad-CAM at one layer, or gradient × activation summed over the channels at several."""
    from captum.attr import LayerGradCam, LayerGradientXActivation

    own = with_shared_weights(network)
    modules = [own.get_submodule(layer) for layer in layers]
    if len(modules) == 1:
        one = LayerGradCam(own, modules[0])
        return lambda: one.attribute(x.clone().requires_grad_(), CLASS, relu_attributions=True)
    several = LayerGradientXActivation(own, modules)
    return lambda: [values.sum(dim=1) for values in several.attribute(x.clone().requires_grad_(), CLASS)]


def memory(title: str, which: str, explanation: sc.Explanation, limit: float | None) -> Row:
    """What an explanation holds in the cache."""
    size = explanation.nbytes / 1e6
    what, value = f"{title}: memory of one cached explanation, {which}", f"{size:.2f} MB"
    return Row(what, value) if limit is None else Row(what, value, f"≤ {limit:g} MB", size <= limit)


def count(explanation: sc.Explanation) -> int:
    """How many maps there are."""
    return len(explanation.methods) * len(explanation.layers)


def after_a_step(title: str, classifier: sc.Classifier, network: nn.Module, inputs: Tensor, runs: int) -> Row:
    """How long an explanation after a meta step takes, as a multiple of the bare network's two passes."""
    explain = partial(sc.explain, classifier, inputs, CLASS, methods=SIX, meta=sc.MetaStep())
    quotient, ours, theirs = ratio(explain, partial(bare, network, inputs), runs)
    what = f"{title}: explain after a meta step / bare forward + backward"
    value = f"{quotient:.2f} ({1e3 * ours:.0f} ms / {1e3 * theirs:.0f} ms)"
    return Row(what, value, f"≤ {META_RATIO:g}", quotient <= META_RATIO)


def all_class_sensitivities(runs: int) -> Row:
    """The rank correlation between two classes for every single-pass method at every default layer."""
    classifier = sc.load_classifier(random=0)
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    seconds = median_seconds(lambda: sc.class_sensitivity_table(classifier, x), max(runs // 3, 3))
    cells = len(sc.class_sensitivity_table(classifier, x).cells)
    what = f"EfficientNet-Lite0: class sensitivity, {cells} rank correlations"
    return Row(what, f"{seconds:.2f} s", f"≤ {TABLE_SECONDS:g} s", seconds <= TABLE_SECONDS)


def second_request(runs: int) -> Row:
    """The same photo, model, class and fit again; the photo's digest is computed from its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    image, engine = Image.fromarray(pixels), sc.Engine()
    again = median_seconds(lambda: engine.explain(sc.DEFAULT_MODEL, image), runs) * 1e3
    what = "Engine: the same request again, from the cache (1024 × 768 photo)"
    return Row(what, f"{again:.2f} ms", f"< {CACHED_MS:g} ms", again < CACHED_MS)
