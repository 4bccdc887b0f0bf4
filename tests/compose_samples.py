"""Makes the composed sample photos and the list of all objects: `python tests/compose_samples.py`.

The boxes on single photos were drawn by eye, tight around all of the object that can be seen. Photos with
several objects are composed from single ones, so that the location of each object is known exactly. Each crop
shows its object whole or nearly so, inside the middle 7/8 of the composition (what the default centre crop
keeps), and is chosen so that the embedded network finds every object in the composition.
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


@dataclass(frozen=True)
class Drawn:
    """An object on a single photo."""

    box: Box  # in the photo
    index: int  # ImageNet class
    label: str


SINGLES: dict[str, tuple[Drawn, ...]] = {
    "ladybird.jpg": (Drawn((239, 144, 424, 337), 301, "ladybug"),),
    "chelsea.png": (Drawn((0, 0, 376, 300), 282, "tiger cat"),),
    "coffee.png": (Drawn((170, 14, 412, 312), 967, "espresso"),),
    "camera.png": (Drawn((230, 190, 410, 512), 872, "tripod"),),
    "rocket.jpg": (Drawn((304, 125, 340, 408), 657, "missile"),),
    "astronaut.jpg": (Drawn((354, 0, 462, 286), 812, "space shuttle"),),
}

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


def objects_list() -> dict[str, list[dict[str, object]]]:
    """What `objects.json` lists: file -> its objects."""
    photos: dict[str, tuple[Drawn | Part, ...]] = {**SINGLES, **COMPOSITIONS}
    return {
        name: [{"label": each.label, "index": each.index, "box": list(each.box)} for each in objects]
        for name, objects in photos.items()
    }


def boxes_table() -> str:
    """What `boxes.csv` holds: the same objects as a photo set, which the readers of photo sets understand."""
    lines = ["file,class,left,top,right,bottom"]
    for name, objects in objects_list().items():
        for each in objects:
            lines.append(",".join([name, str(each["label"]), *map(str, each["box"])]))  # type: ignore[call-overload]
    return "\n".join(lines) + "\n"


def write() -> None:
    for name, parts in COMPOSITIONS.items():
        compose(parts).save(SAMPLES / name, "JPEG", quality=93, subsampling="4:4:4", optimize=True)
    entries = []
    for name, objects in objects_list().items():
        lines = ",\n".join("    " + json.dumps(each) for each in objects)
        entries.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    (SAMPLES / "objects.json").write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")
    (SAMPLES / "boxes.csv").write_text(boxes_table(), encoding="utf-8")


if __name__ == "__main__":
    write()
