"""How much of each map lies on the object, on the sample photos: what the first view is chosen by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import saliency_core as sc

SAMPLES = Path(__file__).parent.parent / "assets" / "samples"
METHODS = ("normgrad", "normgrad_selective", "grad_cam", "linear_approx")

Box = tuple[float, float, float, float]


def table() -> str:
    """For every object and default layer: the energy that averaging keeps and the maps' shares inside."""
    classifier = sc.load_classifier()
    listed = json.loads((SAMPLES / "objects.json").read_text(encoding="utf-8"))
    titles = [sc.METHODS[name].title for name in METHODS]
    lines = [
        f"| photo | class | probability | box | layer | energy kept | {' | '.join(titles)} |",
        f"|---|---|---|---|---|---|{'---|' * len(METHODS)}",
    ]
    for file, objects in listed.items():
        for each in objects:
            lines += _rows(classifier, file, each["index"], each["box"])
    return "\n".join([*lines, "", "EfficientNet-Lite0. A share in bold: at most 1.25 × the box's."])


def _rows(classifier: sc.Classifier, file: str, index: int, drawn: Box) -> Iterator[str]:
    explanation = sc.explain(classifier, sc.open_image(SAMPLES / file), index, methods=METHODS)
    box = inside(drawn, cast(Box, explanation.box))  # which every Preprocess knows
    area = (box[2] - box[0]) * (box[3] - box[1])
    probability = explanation.probabilities[index]
    about = f"{file} | {explanation.label} | {probability:.0%} | {area:.0%}"
    for layer in explanation.layers:
        shares = (sc.energy_inside(explanation.map(method, layer), [box]) for method in METHODS)
        energy = explanation.energy(layer)
        kept = "–" if energy is None else f"{energy:.1%}"
        yield f"| {about} | {layer.name} | {kept} | {' | '.join(_text(share, area) for share in shares)} |"
        about = " | | | "


def inside(box: Box, region: Box) -> Box:
    """A box in a photo's pixels as fractions of the input region, clipped to it."""
    left, top, right, bottom = region
    across = [min(max((x - left) / (right - left), 0.0), 1.0) for x in box[::2]]
    down = [min(max((y - top) / (bottom - top), 0.0), 1.0) for y in box[1::2]]
    return across[0], down[0], across[1], down[1]


def _text(share: float | None, area: float) -> str:
    if share is None:
        return "–"
    return f"**{share:.0%}**" if share <= 1.25 * area < 1 else f"{share:.0%}"
