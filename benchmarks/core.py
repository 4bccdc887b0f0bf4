"""The core: the price of an explanation over the bare network, of a second request, and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from PIL import Image

import saliency_core as sc
from benchmarks.measure import Row, median_seconds, ratio

NETWORKS = ("tf_efficientnet_lite0", "resnet50", "vgg16")
RATIO, CACHED_MS, MEGABYTES = 1.15, 5.0, 3.0
CLASS = 282


def bare(network: torch.nn.Module, x: torch.Tensor) -> None:
    """Forward, and the class logit's gradient back to the input: what any single map costs at least."""
    inputs = x.clone().requires_grad_()
    torch.autograd.grad(network(inputs)[0, CLASS], inputs)


def rows(runs: int) -> Iterator[Row]:
    """One explanation (all methods, all default layers) of each network, with random weights."""
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for name in NETWORKS:
        classifier = sc.load_classifier(name, random=0)
        # A second copy without taps, so that the baseline is the plain network.
        network = sc.MODELS[name].build().eval().requires_grad_(False).to(classifier.device)
        network.load_state_dict(classifier.module.state_dict())
        inputs = x.to(classifier.device)
        quotient, ours, theirs = ratio(
            partial(sc.explain, classifier, inputs, CLASS), partial(bare, network, inputs), runs
        )
        explanation = sc.explain(classifier, x)
        maps = len(explanation.methods) * len(explanation.layers)
        title = sc.MODELS[name].title
        value = f"{quotient:.2f} ({1e3 * ours:.0f} ms / {1e3 * theirs:.0f} ms)"
        yield Row(
            f"{title}: explain, {maps} maps / bare forward + backward", value, f"≤ {RATIO}", quotient <= RATIO
        )
        size = explanation.nbytes / 1e6
        yield Row(
            f"{title}: memory of one cached explanation",
            f"{size:.2f} MB",
            f"≤ {MEGABYTES:g} MB",
            size <= MEGABYTES,
        )
    yield second_request(runs)


def second_request(runs: int) -> Row:
    """The same photo, model, class and fit again, with the photo's digest taken from its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    image, engine = Image.fromarray(pixels), sc.Engine()
    again = median_seconds(lambda: engine.explain(sc.DEFAULT_MODEL, image), runs) * 1e3
    what = "Engine: second request for the same key (1024 × 768 photo)"
    return Row(what, f"{again:.2f} ms", f"< {CACHED_MS:g} ms", again < CACHED_MS)
