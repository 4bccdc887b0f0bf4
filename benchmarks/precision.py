"""Whether maps computed in bfloat16 may stand for those computed in float32."""

from __future__ import annotations

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import saliency_core as sc
from benchmarks.classes import SAMPLES

METHODS = ("normgrad", "grad_cam")
BOUND = 0.999
"""The rank correlation from which bfloat16 would be offered."""


class InBfloat16(nn.Module):
    """A network under autocast: convolutions and matrix products in bfloat16, its weights in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        """The class scores."""
        with torch.autocast(batch.device.type, torch.bfloat16):
            scores: Tensor = self.network(batch)
        return scores.float()


def table() -> str:
    """The smallest rank correlation over the sample photos, per method and layer, as Markdown."""
    plain = sc.load_classifier()
    layers = plain.default_layers
    reduced = sc.Classifier(
        InBfloat16(plain.module),
        preprocess=plain.preprocess,
        labels=plain.labels,
        default_layers=[f"network.{layer}" for layer in layers],
    )
    smallest = {(method, layer): 1.0 for method in METHODS for layer in layers}
    files = sorted(path for path in SAMPLES.iterdir() if path.suffix in (".png", ".jpg"))
    for file in files:
        photo = sc.open_image(file)
        expected = sc.explain(plain, photo, methods=METHODS)
        found = sc.explain(reduced, photo, expected.target, methods=METHODS)
        for method, layer in smallest:
            pair = (expected.map(method, layer), found.map(method, f"network.{layer}"))
            rank = float(spearmanr(*(values.ravel() for values in pair)).statistic)
            smallest[method, layer] = min(smallest[method, layer], rank)
    lines = [f"| | {' | '.join(layers)} |", f"|---|{'---|' * len(layers)}"]
    for method in METHODS:
        cells = (f"{smallest[method, layer]:.3f}" for layer in layers)
        lines.append(f"| {sc.METHODS[method].title} | {' | '.join(cells)} |")
    enough = all(rank >= BOUND for rank in smallest.values())
    verdict = "so it may be used" if enough else "so explanations are computed in float32 alone"
    return "\n".join(
        [
            *lines,
            "",
            f"{plain.title}, {len(files)} photos, {plain.device.type}: the smallest rank correlation of each "
            f"map in bfloat16 with that in float32. The bound is {BOUND}, {verdict}.",
        ]
    )
