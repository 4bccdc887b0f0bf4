"""Makes the sample photos that are composed of others: `python tests/compose_samples.py`.

Photos with several objects are composed from single ones, so that the location of each object is
known exactly: `objects.json` lists them. Each crop shows its object whole or nearly so, inside the
middle 7/8 of the composition (what the default centre crop keeps), and is chosen so that the embedded network
finds every object in the composition.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SAMPLES = Path(__file__).parents[1] / "assets" / "samples"

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Part:
    source: str
    crop: Box  # in the source photo
    box: Box  # in the composition, of the same shape as the crop
    index: int  # ImageNet class
    label: str


COMPOSITIONS: dict[str, tuple[Part, ...]] = {
    "cat-above-coffee.jpg": (
        Part("chelsea.png", (1, 75, 451, 300), (0, 0, 600, 300), 285, "Egyptian cat"),
        Part("coffee.png", (67, 11, 561, 258), (0, 300, 600, 600), 967, "espresso"),
    ),
    "four-things.jpg": (
        Part("chelsea.png", (106, 0, 390, 284), (0, 0, 300, 300), 282, "tiger cat"),
        Part("coffee.png", (132, 0, 504, 372), (300, 0, 600, 300), 967, "espresso"),
        Part("camera.png", (48, 100, 401, 453), (0, 300, 300, 600), 872, "tripod"),
        Part("rocket.jpg", (185, 22, 575, 412), (300, 300, 600, 600), 744, "projectile"),
    ),
}


def compose(parts: tuple[Part, ...]) -> Image.Image:
    size = (max(part.box[2] for part in parts), max(part.box[3] for part in parts))
    picture = Image.new("RGB", size)
    for part in parts:
        left, top, right, bottom = part.box
        with Image.open(SAMPLES / part.source) as photo:
            cell = photo.convert("RGB").resize(
                (right - left, bottom - top), Image.Resampling.LANCZOS, box=part.crop
            )
        picture.paste(cell, (left, top))
    return picture


def parts_list() -> dict[str, list[dict[str, object]]]:
    return {
        name: [{"label": part.label, "index": part.index, "box": list(part.box)} for part in parts]
        for name, parts in COMPOSITIONS.items()
    }


def write() -> None:
    for name, parts in COMPOSITIONS.items():
        compose(parts).save(SAMPLES / name, "JPEG", quality=93, subsampling="4:4:4", optimize=True)
    entries = []
    for name, parts in parts_list().items():
        lines = ",\n".join("    " + json.dumps(part) for part in parts)
        entries.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    (SAMPLES / "objects.json").write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
