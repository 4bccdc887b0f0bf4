"""Writes the same photos and boxes as a photo set of every kind, for the tests that read them.

>>> photos = sample_photos()  # doctest: +SKIP
>>> write_voc(tmp_path / "voc", photos)  # doctest: +SKIP
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from saliency_core.photo_sets.model import Annotation, PhotoRecord, PhotoSet

SAMPLES = Path(__file__).parents[1] / "assets" / "samples"


@dataclass(frozen=True)
class Thing:
    """An object: its box in pixels, edges, so that right - left is its width."""

    class_name: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    crowd: bool = False
    polygon: tuple[float, ...] = ()
    """x, y, x, y, …; the box itself if empty."""

    @property
    def corners(self) -> tuple[float, ...]:
        left, top, right, bottom = self.box
        return self.polygon or (left, top, right, top, right, bottom, left, bottom)


@dataclass(frozen=True)
class WrittenPhoto:
    """A photo's file and the objects on it."""

    data: bytes
    things: tuple[Thing, ...] = ()
    size: tuple[int, int] = field(default=(0, 0))


Photos = Mapping[str, WrittenPhoto]


def written(data: bytes, *things: Thing) -> WrittenPhoto:
    with Image.open(io.BytesIO(data)) as image:
        return WrittenPhoto(data, things, image.size)


def sample_photos(*, difficult: Sequence[str] = ()) -> dict[str, WrittenPhoto]:
    """The bundled photos with the boxes of assets/samples/objects.json, classes as ImageNet calls them."""
    listed = json.loads((SAMPLES / "objects.json").read_text(encoding="utf-8"))
    return {
        name: written(
            (SAMPLES / name).read_bytes(),
            *(Thing(each["label"], tuple(each["box"]), each["label"] in difficult) for each in things),
        )
        for name, things in listed.items()
    }


def small_photos(
    count: int = 6, size: tuple[int, int] = (64, 48), classes: Sequence[str] = ("red", "green", "blue")
) -> dict[str, WrittenPhoto]:
    """Seeded noise with one or two coloured rectangles each, as PNG; the box of every rectangle is known."""
    photos = {}
    width, height = size
    for number in range(count):
        random = np.random.default_rng(number)
        pixels = random.integers(0, 90, (height, width, 3), dtype=np.uint8)
        things = []
        for index in range(1 + number % 2):
            which = (number + index) % len(classes)
            left = int(random.integers(0, width // 4)) + index * width // 2
            top = int(random.integers(0, height // 2))
            box = (left, top, left + width // 4, top + height // 3)
            pixels[box[1] : box[3], box[0] : box[2], which % 3] = 250
            things.append(Thing(classes[which], box))
        photos[f"photo-{number:02}.png"] = written(png(pixels), *things)
    return photos


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def class_names(photos: Photos) -> list[str]:
    return sorted({thing.class_name for photo in photos.values() for thing in photo.things})


class StoredFiles:
    """The files of a set in memory."""

    def __init__(self, photos: Photos) -> None:
        self.photos = dict(photos)

    def read(self, name: str) -> bytes:
        return self.photos[name].data

    def checksum(self, name: str) -> int:
        return zlib.crc32(self.photos[name].data)

    def close(self) -> None:
        pass


def made_photo_set(photos: Photos, name: str = "made") -> PhotoSet:
    """The photos as a set, without any file or reader."""
    records = tuple(
        PhotoRecord(
            file,
            tuple(
                Annotation(
                    thing.class_name,
                    tuple(map(float, thing.box)),
                    difficult=thing.difficult,
                    crowd=thing.crowd,
                )
                for thing in photo.things
            ),
            width=photo.size[0],
            height=photo.size[1],
        )
        for file, photo in photos.items()
    )
    return PhotoSet(name, "voc", records, tuple(class_names(photos)), StoredFiles(photos))


def write_voc(folder: Path, photos: Photos, *, beside: bool = False) -> Path:
    """Annotations/*.xml and JPEGImages/*; or every XML file beside its photo."""
    pictures, annotations = (
        (folder / "JPEGImages", folder / "Annotations") if not beside else (folder, folder)
    )
    _write_photos(pictures, photos)
    annotations.mkdir(parents=True, exist_ok=True)
    for name, photo in photos.items():
        objects = "".join(
            f"<object><name>{escape(thing.class_name)}</name><difficult>{int(thing.difficult)}</difficult>"
            f"<bndbox><xmin>{thing.box[0] + 1}</xmin><ymin>{thing.box[1] + 1}</ymin>"
            f"<xmax>{thing.box[2]}</xmax><ymax>{thing.box[3]}</ymax></bndbox></object>"
            for thing in photo.things
        )
        width, height = photo.size
        text = (
            f"<annotation><folder>made</folder><filename>{escape(name)}</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>"
        )
        (annotations / f"{Path(name).stem}.xml").write_text(text, encoding="utf-8")
    return folder


def write_coco(folder: Path, photos: Photos, *, masks: str = "") -> Path:
    """annotations/instances_made.json and images/*; masks: "" (none), "polygon", "rle" or "compressed"."""
    _write_photos(folder / "images", photos)
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / "instances_made.json").write_text(json.dumps(coco(photos, masks=masks)))
    return folder


def coco(photos: Photos, *, masks: str = "") -> dict[str, object]:
    """What the JSON file of a COCO set holds."""
    names = class_names(photos)
    images, annotations = [], []
    for number, (name, photo) in enumerate(photos.items(), 1):
        width, height = photo.size
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for thing in photo.things:
            left, top, right, bottom = thing.box
            annotation: dict[str, object] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": names.index(thing.class_name) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": int(thing.crowd),
            }
            if masks == "polygon":
                annotation["segmentation"] = [list(thing.corners)]
            elif masks:
                annotation["segmentation"] = run_lengths(
                    box_mask(thing.box, photo.size), compressed=masks == "compressed"
                )
            annotations.append(annotation)
    return {
        "info": {"description": "made for a test"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for index, name in enumerate(names, 1)],
    }


def box_mask(box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """The pixels of a box with whole numbers, (height, width)."""
    width, height = size
    left, top, right, bottom = (int(edge) for edge in box)
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def run_lengths(mask: np.ndarray, *, compressed: bool = False) -> dict[str, object]:
    """A mask as COCO's run lengths: column by column, beginning with the number of zeros."""
    flat = np.concatenate([[False], mask.flatten(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()
    if counts[-1] == 0:
        counts.pop()
    return {"size": list(mask.shape), "counts": _packed(counts) if compressed else counts}


def _packed(counts: Sequence[int]) -> str:
    """COCO's text for run lengths (`rleToString` of its API): differences to the number two places before,
    five bits to a character, least significant first.
    """
    text = ""
    for place, count in enumerate(counts):
        rest = count - counts[place - 2] if place > 2 else count
        while True:
            bits, rest = rest & 31, rest >> 5
            more = rest != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
            if not more:
                break
    return text


def write_yolo(folder: Path, photos: Photos, *, polygons: bool = False) -> Path:
    """data.yaml, images/* and labels/*.txt."""
    _write_photos(folder / "images", photos)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    names = class_names(photos)
    for name, photo in photos.items():
        lines = []
        for thing in photo.things:
            left, top, right, bottom = thing.box
            width, height = photo.size
            numbers: Sequence[float] = (
                (left + right) / 2 / width,
                (top + bottom) / 2 / height,
                (right - left) / width,
                (bottom - top) / height,
            )
            if polygons:
                numbers = [place / photo.size[at % 2] for at, place in enumerate(thing.corners)]
            lines.append(
                " ".join([str(names.index(thing.class_name)), *(f"{each:.12g}" for each in numbers)])
            )
        (folder / "labels" / f"{Path(name).stem}.txt").write_text("\n".join(lines))
    listed = "\n".join(f"  {index}: {json.dumps(name)}" for index, name in enumerate(names))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames:\n{listed}\n")
    return folder


def write_csv(folder: Path, photos: Photos, *, separator: str = ",", encoding: str = "utf-8") -> Path:
    """boxes.csv beside the photos."""
    _write_photos(folder, photos)
    with (folder / "boxes.csv").open("w", encoding=encoding, newline="") as file:
        table = csv.writer(file, delimiter=separator)
        table.writerow(["file", "class", "left", "top", "right", "bottom"])
        for name, photo in photos.items():
            table.writerows([name, thing.class_name, *thing.box] for thing in photo.things)
    return folder


def write_folders(folder: Path, photos: Photos) -> Path:
    """Every photo in the folder of the class of its first object."""
    for name, photo in photos.items():
        _write_photos(folder / photo.things[0].class_name, {name: photo})
    return folder


WRITERS: Mapping[str, Callable[[Path, Photos], Path]] = {
    "voc": write_voc,
    "coco": write_coco,
    "yolo": write_yolo,
    "csv": write_csv,
    "folders": write_folders,
}


def zipped(folder: Path, file: Path | None = None, *, inside: str = "") -> Path:
    """A folder as a zip file beside it; `inside` is a folder of the zip file that everything lies in."""
    file = folder.with_suffix(".zip") if file is None else file
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path(inside) / path.relative_to(folder))
    return file


def _write_photos(folder: Path, photos: Photos) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, photo in photos.items():
        (folder / name).write_bytes(photo.data)
