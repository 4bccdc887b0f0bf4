"""Class sensitivity before and after the meta step, on the sample photos: a result, not a cost."""

from __future__ import annotations

from pathlib import Path

import saliency_core as sc
from saliency_core.metrics.class_comparison import MeanSensitivity

SAMPLES = Path(__file__).parent.parent / "assets" / "samples"
FAMILIES = ("NormGrad", "Class activation maps", "Gradient")


def table() -> str:
    """Spearman's ρ of the maps for the most and the least likely class, mean over the photos, as Markdown."""
    classifier = sc.load_classifier()
    layers = classifier.default_layers
    methods = tuple(
        name
        for name, method in sc.METHODS.items()
        if method.family in FAMILIES and sc.unavailable(classifier, name, layers[0]) is None
    )
    files = sorted(path for path in SAMPLES.iterdir() if path.suffix in (".png", ".jpg"))
    photos = [sc.open_image(path) for path in files]
    before, after = (
        sc.class_sensitivity_over(classifier, photos, methods=methods, meta=meta)
        for meta in (None, sc.MetaStep())
    )
    lines = [f"| | {' | '.join(layers)} |", f"|---|{'---|' * len(layers)}"]
    for method in methods:
        cells = (f"{_text(before[method, layer])} → {_text(after[method, layer])}" for layer in layers)
        lines.append(f"| {sc.METHODS[method].title} | {' | '.join(cells)} |")
    some = any(mean is None or mean.count < len(photos) for mean in (*before.values(), *after.values()))
    note = " A mean leaves out photos for which a map is constant; –: all of them." if some else ""
    rate = f"{sc.MetaStep().lr:g}"
    return "\n".join(
        [
            *lines,
            "",
            f"EfficientNet-Lite0, {len(photos)} photos, ε = {rate}: ρ before → after the step.{note}",
        ]
    )


def _text(mean: MeanSensitivity | None) -> str:
    return "–" if mean is None else f"{mean.mean:.2f}".replace("-", "−").replace("−0.00", "0.00")
