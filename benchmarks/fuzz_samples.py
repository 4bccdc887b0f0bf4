"""Valid files and addresses for the fuzzer to change, small and made from a seed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from benchmarks.hostile_images import bmp_runs, encoded, jpeg_scans

LABELS: Final = (
    b"cat\ndog\nbird\n",
    b"0\tcat\n1\tdog\n",
    b'["cat", "dog"]',
    b'{"id2label": {"0": "cat", "1": "dog"}}',
    b'{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"]}',
    "cat\ndog\n".encode("utf-16"),
)
VOC: Final = b"""<annotation><filename>one.jpg</filename><size><width>48</width><height>32</height></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object></annotation>"""


@cache
def images() -> tuple[bytes, ...]:
    """Photos of all six formats, with metadata, frames, tiles and strips."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    photo, exif = Image.fromarray(noise), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("JPEG", {"exif": exif, "xmp": b"<x/>", "icc_profile": bytes(300)}),
        ("JPEG", {"progressive": True, "restart_marker_rows": 1}),
        ("PNG", {"exif": exif, "icc_profile": bytes(100)}),
        ("WebP", {"exif": exif}),
        ("WebP", {"lossless": True, "save_all": True, "append_images": [photo.rotate(180)]}),
        ("GIF", {"save_all": True, "append_images": [photo.rotate(180)], "comment": b"a comment"}),
        ("BMP", {}),
        ("TIFF", {"exif": exif}),
        *(("TIFF", {"compression": each}) for each in ("tiff_lzw", "jpeg", "packbits", "tiff_adobe_deflate")),
        ("TIFF", {"compression": "tiff_lzw", "big_tiff": True, "strip_size": 512}),
        ("MPO", {"save_all": True, "append_images": [photo.rotate(180)]}),
    )
    made = [encoded(photo, name, **options) for name, options in kinds]
    made += [encoded(photo.convert("CMYK"), "JPEG"), encoded(photo.quantize(16), "PNG", transparency=3)]
    made += [encoded(photo.convert("1"), "TIFF", compression="group4"), encoded(photo.quantize(16), "BMP")]
    made += [encoded(Image.fromarray(noise[..., 0].astype(np.float32)), "TIFF"), jpeg_scans(3, 48, 32)]
    return (*made, bmp_runs(b"\x05\x07\x00\x03abc\x00\x00\x02\x01\x01", 60, 48, 32) + b"\0\1")


@cache
def checkpoints() -> tuple[bytes, ...]:
    """A state dict as safetensors, and as PyTorch writes it now and wrote it before 1.6."""
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2)).state_dict()
    made = [safetensors.torch.save(state)]
    for modern in (True, False):
        for content in (state, {"model": state, "epoch": 3, "scores": np.ones(3), "names": {"a"}}):
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=modern)
            made.append(file.getvalue())
    return tuple(made)


@cache
def photo_sets() -> tuple[dict[str, bytes], ...]:
    """One photo with a cat, as a set of every kind: the files by their names."""
    photo = images()[0]
    coco = {
        "images": [{"id": 1, "file_name": "one.jpg", "width": 48, "height": 32}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [3, 4, 20, 10], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 7, "segmentation": [[3, 4, 20, 4, 20, 10]]},
            {"id": 3, "image_id": 1, "category_id": 7, "segmentation": {"counts": "0a1", "size": [32, 48]}},
        ],
    }
    return (
        {"JPEGImages/one.jpg": photo, "Annotations/one.xml": VOC},
        {"images/one.jpg": photo, "annotations/instances.json": json.dumps(coco).encode()},
        {
            "data.yaml": b"names:\n  0: cat\n  1: dog\ntrain: images\n",
            "images/one.jpg": photo,
            "labels/one.txt": b"0 0.5 0.5 0.4 0.3\n1 0.1 0.1 0.3 0.1 0.3 0.3\n",
        },
        {"one.jpg": photo, "boxes.csv": b"file,class,left,top,right,bottom\none.jpg,cat,3,4,30,20\n"},
        {"cat/one.jpg": photo, "dog/two.jpg": photo},
    )


def zipped(files: dict[str, bytes]) -> bytes:
    """The files as an archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


Nonsense = Callable[[np.random.Generator], str]


def nonsense(rng: np.random.Generator) -> str:
    """A text that no field expects, or nearly expects."""
    makers: tuple[Nonsense, ...] = (
        lambda rng: str(10 ** int(rng.integers(1, 4000))),
        lambda rng: rng.choice(
            ["nan", "-inf", "1e999", "-0", "0x10", "1_0", "٣", "½", "1e-400", "+5", " 5 "]
        ),
        lambda rng: "".join(map(chr, rng.integers(0, 0xD800, int(rng.integers(1, 60))))),
        lambda rng: rng.choice(["\u202e", "\x00", "\r\n", "\ud800", "\ufeff", "%00", "../" * 20, "<script>"]),
        lambda rng: rng.choice(["[", "{", '{"a":', "~", "_", ",", "."]) * int(rng.choice([1, 50, 100_000])),
        lambda rng: "_".join(str(each) for each in rng.normal(0, 10.0 ** rng.integers(-3, 300), 4 * 25)),
        lambda rng: "~".join(["1_2_3_4"] * int(rng.integers(1, 30))),
        lambda rng: rng.choice(
            ["normgrad", "grad_cam", "timm:", "hf-hub:a/b", "folder:..", "own:" + "0" * 32]
        ),
        lambda rng: "upload-" + rng.choice(["0" * 16, "0" * 64, "g" * 16, ""]),
        lambda rng: "",
    )
    return str(makers[rng.integers(len(makers))](rng))
