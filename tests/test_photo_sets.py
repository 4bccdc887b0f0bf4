"""Photo sets: every kind gives the same boxes, what is wrong is said, and nothing hostile gets through."""

import io
import json
import os
import pickle
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.errors import ArgumentError, UnknownNameError
from saliency_core.models.catalogue.labels import imagenet_labels
from saliency_core.photo_sets import coco, draft, json_stream, sources
from saliency_core.photo_sets.class_names import imagenet_table
from saliency_core.photo_sets.masks import PolygonMask, polygon_mask, run_length_mask
from saliency_core.photo_sets.yolo import yaml_names
from tests.photo_set_files import (
    WRITERS,
    Photos,
    Thing,
    box_mask,
    png,
    run_lengths,
    sample_photos,
    small_photos,
    write_coco,
    write_csv,
    write_folders,
    write_voc,
    write_yolo,
    written,
    zipped,
)
from tests.photo_set_files import coco as coco_file

BOXED = ("voc", "coco", "yolo", "csv")


def boxes(found: sc.PhotoSet) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    """File name -> its objects."""
    return {
        Path(record.name).name: [(each.class_name, each.box) for each in record.annotations]
        for record in found.records
    }


def expected(photos: Photos) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    return {name: [(thing.class_name, thing.box) for thing in photo.things] for name, photo in photos.items()}


def sentences(found: sc.PhotoSet) -> str:
    return "\n".join(f"{problem.file}: {problem.sentence}" for problem in found.problems)


def one(*things: Thing, size: tuple[int, int] = (64, 48)) -> Photos:
    """One black photo, ``a.png``."""
    return {"a.png": written(png(np.zeros((size[1], size[0], 3), np.uint8)), *things)}


def archive(files: dict[str, bytes | str]) -> bytes:
    """The bytes of a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


PHOTO = one()["a.png"].data


# -- the same boxes in every kind ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BOXED)
def test_the_samples_have_the_same_boxes_in_every_kind_from_a_folder_and_from_a_zip_file(
    kind: str, tmp_path: Path
) -> None:
    photos = sample_photos()
    folder = WRITERS[kind](tmp_path / "set", photos)
    found = sc.read_photo_set(folder)
    packed = sc.read_photo_set(zipped(folder, inside="wrapped"))
    packed.close()
    assert (found.kind, packed.kind) == (kind, kind)
    assert boxes(found) == boxes(packed) == expected(photos)
    assert not found.problems
    assert found.class_names == tuple(
        sorted({each[0] for listed in expected(photos).values() for each in listed})
    )
    assert all(found.open(record).size == (record.width, record.height) for record in found.records)


@pytest.mark.parametrize("masks", ["polygon", "rle", "compressed"])
def test_coco_masks_of_boxes_are_the_pixels_of_the_boxes(masks: str, tmp_path: Path) -> None:
    photos = small_photos()
    found = sc.read_photo_set(write_coco(tmp_path, photos, masks=masks))
    assert boxes(found) == expected(photos)
    for record in found.records:
        for each in record.annotations:
            assert each.mask is not None
            assert np.array_equal(each.mask(), box_mask(each.box, (record.width, record.height)))


def test_a_polygon_is_the_pixels_whose_centre_is_inside_it() -> None:
    corners = [2.3, 1.1, 20.7, 4.2, 15.5, 14.9, 9.0, 6.0, 1.2, 12.8]  # with a notch
    mask = polygon_mask([corners], 24, 16)()
    x, y = np.meshgrid(np.arange(24) + 0.5, np.arange(16) + 0.5)
    inside = np.zeros(mask.shape, bool)
    points = list(zip(corners[::2], corners[1::2], strict=True))
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    assert np.array_equal(mask, inside)
    assert 50 < mask.sum() < 200


def test_a_polygon_too_thin_for_any_centre_is_its_box() -> None:
    mask = polygon_mask([[3.1, 2.1, 3.2, 2.1, 3.2, 4.4, 3.1, 4.4]], 8, 8)()
    assert np.array_equal(mask, box_mask((3, 2, 4, 5), (8, 8)))


def test_run_lengths_packed_or_not_are_the_mask_they_were_made_of() -> None:
    mask = np.random.default_rng(0).random((37, 23)) < 0.2
    mask[:, 5:9] = True  # a long run
    for packed in (False, True):
        assert np.array_equal(run_length_mask(run_lengths(mask, compressed=packed), 23, 37)(), mask)


def test_a_yolo_polygon_becomes_a_mask_and_the_box_around_it(tmp_path: Path) -> None:
    triangle = Thing("sail", (10, 5, 40, 35), polygon=(10, 35, 40, 35, 25, 5))
    found = sc.read_photo_set(write_yolo(tmp_path, one(triangle), polygons=True))
    (each,) = found.records[0].annotations
    assert each.box == triangle.box
    assert isinstance(each.mask, PolygonMask)
    assert each.mask().sum() == pytest.approx(30 * 30 / 2, rel=0.05)


def test_rounded_yolo_numbers_give_the_whole_pixels_they_were_made_of(tmp_path: Path) -> None:
    write_yolo(tmp_path, one(Thing("cat", (239, 144, 424, 337)), size=(600, 450)))
    (tmp_path / "labels" / "a.txt").write_text("0 0.552500 0.534444 0.308333 0.428889\n")
    assert boxes(sc.read_photo_set(tmp_path)) == {"a.png": [("cat", (239, 144, 424, 337))]}


def test_difficult_objects_and_crowds_are_marked(tmp_path: Path) -> None:
    things = (Thing("cat", (1, 1, 9, 9), difficult=True), Thing("cat", (20, 1, 30, 9), crowd=True))
    voc = sc.read_photo_set(write_voc(tmp_path / "voc", one(*things)))
    crowds = sc.read_photo_set(write_coco(tmp_path / "coco", one(*things), masks="rle"))
    assert [each.difficult for each in voc.records[0].annotations] == [True, False]
    assert [each.crowd for each in crowds.records[0].annotations] == [False, True]


def test_xml_files_may_lie_beside_their_photos_and_be_called_as_a_renamed_photo(tmp_path: Path) -> None:
    write_voc(tmp_path, one(Thing("cat", (1, 2, 30, 40))), beside=True)
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    (tmp_path / "a.xml").rename(tmp_path / "b.xml")
    assert boxes(sc.read_photo_set(tmp_path)) == {"b.png": [("cat", (1, 2, 30, 40))]}


def test_folders_are_classes_and_photos_in_none_have_no_class(tmp_path: Path) -> None:
    photos = small_photos(3)
    first = {file: photo.things[0].class_name for file, photo in photos.items()}
    write_folders(tmp_path / "train", photos)
    (tmp_path / "loose.png").write_bytes(PHOTO)
    found = sc.read_photo_set(tmp_path)
    assert found.kind == "folders"
    assert found.class_names == ("blue", "green", "red")
    assert {record.name: record.folder_class for record in found.records} == {
        "loose.png": None,
        **{f"train/{name}/{file}": name for file, name in first.items()},
    }


CSV_TABLES = {
    "semicolons, a BOM, decimal commas": (
        "utf-8-sig",
        "Image Name;Label;X_Min;y min;XMAX;ymax\nä b.png;cät;1,5;2;10,25;20\n",
        (1.5, 2, 10.25, 20),
    ),
    "UTF-16, tabs, width and height": (
        "utf-16",
        "file\tclass\tleft\ttop\twidth\theight\nä b\tcät\t1\t2\t10\t20\n",
        (1, 2, 11, 22),
    ),
    "Windows, quotes": (
        "cp1252",
        '"file","class","left","top","right","bottom"\r\n"C:\\x\\ä b.png","cät","1","2","30","4"\r\n',
        (1, 2, 30, 4),
    ),
    "fractions, as in Open Images": (
        "utf-8",
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\nä b,x,cät,1,0.25,0.5,0.25,1.0\n",
        (16, 12, 32, 48),
    ),
    "the size of the photo as columns": (
        "utf-8",
        "filename,width,height,class,xmin,ymin,xmax,ymax\nä b.png,64,48,cät,1,2,3,4\n",
        (1, 2, 3, 4),
    ),
}


@pytest.mark.parametrize("title", CSV_TABLES)
def test_a_csv_table_is_read_with(title: str, tmp_path: Path) -> None:
    encoding, text, box = CSV_TABLES[title]
    (tmp_path / unicodedata.normalize("NFD", "ä b.png")).write_bytes(PHOTO)  # as macOS writes names
    (tmp_path / "boxes.csv").write_bytes(text.encode(encoding))
    found = sc.read_photo_set(tmp_path)
    assert boxes(found) == {"ä b.png": [("cät", box)]}
    assert not found.problems
    assert found.open(found.records[0]).size == (64, 48)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nc: 2\nnames: ['hot dog', \"it, too\"] # two\ntrain: x", {0: "hot dog", 1: "it, too"}),
        ("names: {0: cat, 3: 'a: b'}", {0: "cat", 3: "a: b"}),
        ("names:\n# all\n  - cat # one\n\n  - C#\nval: y", {0: "cat", 1: "C#"}),
        ("names: [\r\n  cat,\r\n  'it''s',\r\n]\r\nnc: 2", {0: "cat", 1: "it's"}),
        ("names:\n  0: cat\n  2: dog\n", {0: "cat", 2: "dog"}),
        ("train: x", {}),
    ],
)
def test_the_names_of_a_yaml_file_are_those_that_yaml_means(text: str, found: dict[int, str]) -> None:
    import yaml

    assert yaml_names(text) == found
    meant = yaml.safe_load(text).get("names", {})
    assert (dict(enumerate(meant)) if isinstance(meant, list) else meant) == found


# -- photos --------------------------------------------------------------------------------------------------


def turned_photo() -> bytes:
    """64 × 48 pixels as they are stored, a red strip at their top; upright 48 × 64 (EXIF orientation 6)."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:8, :, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "size", "box"),
    [
        ("voc", (64, 48), (0, 0, 64, 8)),  # the annotations state the size as it is stored
        ("voc", (48, 64), (40, 0, 48, 64)),  # and here the upright one
        ("coco", (64, 48), (0, 0, 64, 8)),
        ("yolo", (48, 64), (40, 0, 48, 64)),  # no size is stated: upright
        ("csv", (48, 64), (40, 0, 48, 64)),
    ],
)
def test_boxes_and_photo_agree_whether_annotated_as_stored_or_upright(
    kind: str, size: tuple[int, int], box: tuple[int, int, int, int], tmp_path: Path
) -> None:
    photo = replace(written(turned_photo(), Thing("strip", box)), size=size)
    found = sc.read_photo_set(WRITERS[kind](tmp_path, {"a.jpg": photo}))
    record = found.records[0]
    red = np.asarray(found.open(record))[..., 0] > 127
    assert not found.problems
    assert red.shape == (record.height, record.width)
    assert np.array_equal(red, box_mask(record.annotations[0].box, size))


def test_a_photo_of_another_size_than_its_annotations_state_is_refused_when_it_is_opened(
    tmp_path: Path,
) -> None:
    photo = replace(one(Thing("cat", (1, 1, 90, 90)))["a.png"], size=(100, 100))
    found = sc.read_photo_set(write_voc(tmp_path, {"a.png": photo}))
    with pytest.raises(sc.ImageError, match="64 × 48 pixels, and its annotations are for 100 × 100"):
        found.open(found.records[0])


def test_photos_of_16_bits_and_cmyk_are_sized_and_opened(tmp_path: Path) -> None:
    wide, ink = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.full((48, 64), 65535, np.uint16)).save(wide, "PNG")
    Image.new("CMYK", (64, 48)).save(ink, "JPEG")
    thing = Thing("cat", (4, 4, 20, 20))
    photos = {"wide.png": written(wide.getvalue(), thing), "ink.jpg": written(ink.getvalue(), thing)}
    found = sc.read_photo_set(write_yolo(tmp_path, photos))
    assert boxes(found) == expected(photos)
    assert [found.open(record).mode for record in found.records] == ["RGB", "RGB"]


def test_a_set_is_the_same_in_another_process_and_its_digest_tells_photos_and_boxes_apart(
    tmp_path: Path,
) -> None:
    photos = small_photos(2)
    folder = write_voc(tmp_path / "set", photos)
    found = sc.read_photo_set(folder)
    packed = sc.read_photo_set(zipped(folder).read_bytes())
    copy = pickle.loads(pickle.dumps(packed))
    assert copy.digest == packed.digest == found.digest
    assert copy.open(copy.records[0]).tobytes() == found.open(found.records[0]).tobytes()
    copy.close()
    packed.close()
    name = found.records[0].name
    (folder / name).write_bytes(photos["photo-01.png"].data)
    assert sc.read_photo_set(folder).digest != found.digest
    (folder / name).write_bytes(photos["photo-00.png"].data)
    (folder / "Annotations" / "photo-00.xml").unlink()
    assert sc.read_photo_set(folder).digest != found.digest


# -- what is wrong is said, the rest is used -----------------------------------------------------------------


def test_boxes_outside_are_cut_or_left_out_and_listed(tmp_path: Path) -> None:
    things = [
        Thing("good", (1, 1, 9, 9)),
        Thing("cut", (50, 10, 90, 30)),
        Thing("outside", (70, 10, 90, 30)),
        Thing("flat", (10, 10, 10, 30)),
        Thing("good", (1, 1, 9, 9)),
        Thing("rounded", (60, 40, 64.4, 48.4)),
    ]
    for kind in ("voc", "csv", "coco"):
        found = sc.read_photo_set(WRITERS[kind](tmp_path / kind, one(*things)))
        assert boxes(found) == {
            "a.png": [("good", (1, 1, 9, 9)), ("cut", (50, 10, 64, 30)), ("rounded", (60, 40, 64, 48))]
        }
        said = sentences(found)
        assert found.problem_count == 4
        for part in (
            "(cut): The box reaches outside the photo; only the part inside counts.",
            "(outside): The box lies outside the photo; it is left out.",
            "(flat): The box has no area; it is left out.",
            "(good): The same object is listed twice; it counts once.",
        ):
            assert part in said


@pytest.mark.parametrize("kind", BOXED)
def test_annotations_of_missing_photos_and_photos_without_annotations_are_listed(
    kind: str, tmp_path: Path
) -> None:
    photos = small_photos(3)
    WRITERS[kind](tmp_path, photos)
    next(tmp_path.rglob("photo-01.png")).rename(next(tmp_path.rglob("photo-01.png")).with_name("other.png"))
    found = sc.read_photo_set(tmp_path)
    assert sorted(boxes(found)) == ["photo-00.png", "photo-02.png"]
    assert "is not in the set" in sentences(found)
    assert "1 photo has no annotations that can be used, and is left out." in sentences(found)


def test_two_photos_of_one_name_are_told_apart_by_their_folder_or_refused(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        write_csv(tmp_path / folder, one(Thing(folder, (1, 1, 9, 9))))
    found = sc.read_photo_set(tmp_path)
    assert [record.annotations[0].class_name for record in found.records] == ["x", "y"]
    text = (tmp_path / "x" / "boxes.csv").read_text()
    for folder in ("x", "y"):
        (tmp_path / folder / "boxes.csv").unlink()
    (tmp_path / "boxes.csv").write_text(text + "elsewhere/y/a.png,named,1,1,9,9\n")
    found = sc.read_photo_set(tmp_path)
    assert [record.name for record in found.records] == ["y/a.png"]
    assert "2 photos called a.png, and it is not clear which one is meant" in sentences(found)


def test_yolo_lines_that_are_no_boxes_are_listed(tmp_path: Path) -> None:
    write_yolo(tmp_path, one(Thing("cat", (1, 1, 9, 9))))
    lines = ["0 nan 0.5 0.5 0.5", "0 0.5 0.5 0.5 0.5", "0 1e308 1e308 1e308 1e308", "-1 .5 .5 .5 .5"]
    lines += ["7 .5 .5 .5 .5", "x y", "0 .1 .1 .2 .1 .2", "0.5 .1 .1 .1 .1", "\0"]
    (tmp_path / "labels" / "a.txt").write_text("\n".join(lines))
    found = sc.read_photo_set(tmp_path)
    assert boxes(found) == {"a.png": [("cat", (16, 12, 48, 36))]}
    assert found.problem_count == 8
    assert "line 5: The class 7 has no name; it is left out." in sentences(found)
    assert "line 1: It has something that is no fraction of the photo" in sentences(found)


ODD_COCO = {
    "names a photo that images does not list": {"image_id": 9, "category_id": 1, "bbox": [1, 1, 5, 5]},
    "names a category that categories does not list": {
        "image_id": 1,
        "category_id": [1],
        "bbox": [1, 1, 5, 5],
    },
    "has no box": {"image_id": 1, "category_id": 1, "bbox": [float("nan"), 1, 5, 5]},
    "is no object {…}": [1, 2],
    "not for a photo of 64 × 48 pixels. Its box is used": {
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 1, 5, 5],
        "segmentation": {"size": [10**9, 10**9], "counts": [10**18]},
    },
    "can't be read. Its box is used": {
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 1, 6, 6],
        "segmentation": {"size": [48, 64], "counts": "\x01é"},
    },
    "no number of pixels": {
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 1, 7, 7],
        "segmentation": [[1, 2, float("inf"), 4, 5, 6]],
    },
}


def test_odd_entries_of_a_coco_file_are_listed_and_the_rest_is_read() -> None:
    listed = {
        "images": [{"id": 1, "file_name": "../../a.png", "width": 64, "height": 48}, {"id": [2]}, {"id": 1}],
        "annotations": [*ODD_COCO.values(), {"image_id": 1, "category_id": 1, "bbox": [2, 2, 9, 9]}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2}, {"id": 1, "name": "dog"}],
    }
    found = sc.read_photo_set(archive({"a.png": PHOTO, "x.json": json.dumps(listed)}))
    found.close()
    assert [box for _, box in boxes(found)["a.png"]] == [
        (1, 1, 6, 6),
        (1, 1, 7, 7),
        (1, 1, 8, 8),
        (2, 2, 11, 11),
    ]
    for part in ODD_COCO:
        assert part in sentences(found)
    assert found.problem_count == len(ODD_COCO) + 4


def test_several_kinds_in_one_set_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    photos = small_photos(1)
    write_yolo(tmp_path, photos)
    (tmp_path / "instances.json").write_text(json.dumps(coco_file(photos)))
    assert "read as COCO; it could also be read as YOLO" in sentences(sc.read_photo_set(tmp_path))
    chosen = sc.read_photo_set(tmp_path, "yolo")
    assert (chosen.kind, chosen.problems) == ("yolo", ())
    with pytest.raises(UnknownNameError, match="unknown kind of photo set 'yollo'; did you mean 'yolo'?"):
        sc.read_photo_set(tmp_path, "yollo")


def test_of_very_many_problems_a_thousand_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    write_yolo(tmp_path, one(Thing("cat", (1, 1, 9, 9))))
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .5 .5\n" + "0 nan 1 1 1\n" * 5000)
    found = sc.read_photo_set(tmp_path)
    assert found.problem_count == 5000
    assert len(found.problems) == 1001
    assert found.problems[-1].sentence == "4,000 more problems are not listed."


# -- hostile sets --------------------------------------------------------------------------------------------


def test_files_of_a_zip_file_that_are_not_read_are_listed_and_the_rest_is() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("cat/a.png", PHOTO)
        made.writestr("cat/bomb.png", b"\0" * (8 << 20))
        for name in ("../up.png", "/root.png", "C:\\x.png", "x/../../y.png", "in.zip", "a\nb.png"):
            made.writestr(name, b"x")
        made.writestr("/".join("abcdefghijklmnop") + "/deep.png", b"x")
        made.writestr("packed.png", b"x", compress_type=zipfile.ZIP_BZIP2)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
        made.writestr("__MACOSX/cat/._a.png", b"x")
        made.writestr("cat/.DS_Store", b"x")
    found = sc.read_photo_set(buffer.getvalue())
    found.close()
    assert [record.name for record in found.records] == ["cat/a.png"]
    said = {problem.file: problem.sentence for problem in found.problems}
    assert said.pop("cat/bomb.png").startswith("The file unpacks to 1,0")
    outside = "The path leads out of the set, so the file is not read."
    assert {said.pop(name) for name in ("../up.png", "/root.png", "C:/x.png", "x/../../y.png")} == {outside}
    assert said.pop("link.png") == "A link is not followed; put the file itself there."
    assert said.pop("in.zip") == "An archive inside the set is not opened; unpack it before."
    assert "packed in a way that is not read" in said.pop("packed.png")
    assert "characters that can't be written" in said.pop("a?b.png")
    assert "more than 12 folders deep" in said.popitem()[1]
    assert not said


def test_an_encrypted_file_is_not_read() -> None:
    data = archive({"a.png": PHOTO, "secret.png": b"x"})
    place = data.rindex(b"PK\x01\x02")  # the entry of the second file
    locked = data[: place + 8] + b"\x01" + data[place + 9 :]
    found = sc.read_photo_set(locked)
    found.close()
    assert "secret.png: The file is encrypted; make the zip file without a password." in sentences(found)


def test_a_zip_file_whose_files_share_their_bytes_is_refused() -> None:
    data = archive({"a.png": PHOTO, "b.png": PHOTO})
    place = data.rindex(b"PK\x01\x02") + 42  # where the second file begins
    with pytest.raises(ArgumentError, match="Files in the zip file share their bytes"):
        sc.read_photo_set(data[:place] + b"\0\0\0\0" + data[place + 4 :])


def test_sets_with_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive({f"{number}.png": PHOTO for number in range(6)})
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(PHOTO)
    monkeypatch.setattr(sources, "MAX_FILES", 5)
    for source in (data, tmp_path):
        with pytest.raises(ArgumentError, match="holds more than 5 files, the most that are read; divide it"):
            sc.read_photo_set(source)
    monkeypatch.setattr(sources, "MAX_DIRECTORY", 100)
    monkeypatch.setattr(sources, "MAX_FILES", 6)
    with pytest.raises(ArgumentError, match="holds more than 6 files"):
        sc.read_photo_set(data)


def test_a_damaged_zip_file_is_refused_or_its_photos_are_and_no_other_error_comes_up(tmp_path: Path) -> None:
    data = zipped(write_voc(tmp_path / "set", small_photos(2))).read_bytes()
    refused = 0
    for cut in range(0, len(data), 61):
        for changed in (data[:cut], data[:cut] + b"\xff" * 8 + data[cut + 8 :]):
            try:
                found = sc.read_photo_set(changed)
            except sc.SaliencyError:
                refused += 1
                continue
            for record in found.records:
                try:
                    found.open(record)
                except sc.ImageError:
                    refused += 1
            found.close()
    assert refused > len(data) / 61  # whatever is cut off, the list at the end is gone


def test_a_zip_file_without_its_first_bytes_is_a_sentence() -> None:
    data = archive({"a.png": PHOTO, "b.png": PHOTO})
    found = sc.read_photo_set(data[20:], "folders")  # the list at its end begins before the file does
    with pytest.raises(sc.ImageError, match="damaged inside the zip file"):
        found.files.read("a.png")
    assert found.files.read("b.png") == PHOTO


def test_links_and_pipes_in_a_folder_are_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.png").write_bytes(PHOTO)
    (tmp_path / "outside.png").write_bytes(PHOTO)
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    found = sc.read_photo_set(folder)
    assert [record.name for record in found.records] == ["a.png"]
    assert {problem.file for problem in found.problems} == {"link.png", "loop", "pipe.png"}
    (folder / "a.png").unlink()
    (folder / "a.png").symlink_to(tmp_path / "outside.png")  # after the folder was listed
    with pytest.raises(sc.ImageError, match="The file can't be read"):
        found.open(found.records[0])


XML = {
    "has a document type or entities": '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
    "is not XML": "<annotation>" + "<a>" * 1000,
    "is not XML that": '<?xml version="1.0" encoding="utf-99"?><annotation/>',
    "larger than 1 MB": "<annotation>" + " " * (1 << 20),
    "The photo ../../a/passwd is not": "<annotation><filename>../../a/passwd</filename></annotation>",
}


@pytest.mark.parametrize("said", XML)
def test_a_hostile_xml_file_is_listed_and_the_rest_is_read(said: str, tmp_path: Path) -> None:
    write_voc(tmp_path, one(Thing("cat", (1, 1, 9, 9))))
    (tmp_path / "Annotations" / "hostile.xml").write_text(XML[said])
    found = sc.read_photo_set(tmp_path)
    assert boxes(found) == {"a.png": [("cat", (1, 1, 9, 9))]}
    assert said in sentences(found)


def test_a_json_file_is_read_element_by_element_whatever_the_size_of_its_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = {"a": [1, -2.5e3, {"é": ["x", None]}], "b": {}, "c": 12345, "d": [], "e": "]", "f": [[1], True]}
    data = json.dumps(listed, ensure_ascii=False, indent=1).encode("utf-8-sig")
    for size in (1, 2, 3, 7, 1000):
        monkeypatch.setattr(json_stream, "CHUNK", size)
        assert list(json_stream.JsonStream(io.BytesIO(data))) == [
            ("a", 1),
            ("a", -2500.0),
            ("a", {"é": ["x", None]}),
            ("b", {}),
            ("c", 12345),
            ("e", "]"),
            ("f", [1]),
            ("f", True),
        ]


JSON = {
    "nested too deeply": '{"images": ' + "[" * 100_000,
    "more than 1,000 letters": '{"images": ["' + "a" * 100_000,
    "too many digits": '{"images": [' + "9" * 5000 + "]}",
    "expected": '{"images": 1 2}',
    "not in UTF-8": b'{"images": "\xff"}',
    "lists more than 50 things": '{"images": [], "x": [' + "1," * 100 + "1]}",
    "larger than 0 MB": '{"images": []' + " " * 5000 + "}",
    "expected :": '{"images": [], "x"',
}


@pytest.mark.parametrize("said", JSON)
def test_a_hostile_json_file_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "letters" in said:
        monkeypatch.setattr(json_stream, "MAX_VALUE", 1000)
        monkeypatch.setattr(json_stream, "CHUNK", 500)
    if "MB" in said:
        monkeypatch.setattr(coco, "MAX_JSON", 1000)
    monkeypatch.setattr(coco, "MAX_ELEMENTS", 50)
    with pytest.raises(ArgumentError, match=said):
        sc.read_photo_set(archive({"a.png": PHOTO, "x.json": JSON[said]}), "coco")


def test_a_set_with_too_many_objects_keeps_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "MAX_OBJECTS", 2)
    things = [Thing("cat", (1, 1, 9, 9 + number)) for number in range(5)]
    found = sc.read_photo_set(write_csv(tmp_path, one(*things)))
    assert found.object_count == 2
    assert "more than 2 objects; the rest is left out" in sentences(found)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "There is no folder or zip file 'nowhere'; check its name."),
        ("zero\0byte", "There is no folder or zip file"),
        (b"PK and no more", "is not a zip file, or is damaged; make it again."),
        (archive({"readme.txt": "x"}), "There is no photo in"),
    ],
)
def test_what_is_no_photo_set_is_refused(source: str | bytes, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        sc.read_photo_set(source)


def test_a_set_without_what_was_asked_for_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PHOTO)
    for kind, reader in sc.READERS.items():
        if kind != "folders":
            with pytest.raises(ArgumentError, match="No photo of .* can be used") as caught:
                sc.read_photo_set(tmp_path, kind)
            assert reader.sought in str(caught.value)


# -- classes -------------------------------------------------------------------------------------------------

VOC_CLASSES = """
    aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,person,
    pottedplant,sheep,sofa,train,tvmonitor
"""
COCO_CLASSES = """
    person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,
    parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,
    tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,
    tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,
    hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,
    keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,
    hair drier,toothbrush
"""


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def test_the_table_has_every_class_of_voc_and_coco_and_the_labels_that_imagenet_has() -> None:
    labels, table = imagenet_labels(), imagenet_table()
    voc, coco_names = names(VOC_CLASSES), names(COCO_CLASSES)
    assert (len(voc), len(coco_names)) == (20, 80)
    plain = {"".join(name.split()) for name in (*voc, *coco_names)}
    assert plain == set(table)
    for entry in table.values():
        assert entry.why
        assert all(labels[index] == label for index, label in entry.labels.items())
    assert len(table["dog"].indices) == 118
    taken = [
        index for entry in {id(entry): entry for entry in table.values()}.values() for index in entry.indices
    ]
    assert len(taken) == len(set(taken))  # no label is two classes


def test_classes_of_voc_and_coco_are_found_by_the_table() -> None:
    labels = imagenet_labels()
    voc = sc.match_classes(names(VOC_CLASSES), labels)
    coco_match = sc.match_classes(names(COCO_CLASSES), labels)
    assert list(voc.unmatched) == ["person"]
    assert "no class for people" in voc.unmatched["person"]
    assert coco_match.unmatched["kite"] == "ImageNet's kite is the bird of prey."
    assert coco_match.indices["airplane"] == voc.indices["aeroplane"]
    assert coco_match.indices.keys() | coco_match.unmatched.keys() == set(names(COCO_CLASSES))


def test_classes_of_other_sets_are_found_by_name_synonym_number_and_plural() -> None:
    found = sc.match_classes(
        ["kite", "Egyptian_cats", "orca", "n02123045", "crane", "buses", "nothing"], imagenet_labels()
    )
    assert found.indices == {
        "kite": (21,),
        "Egyptian_cats": (285,),
        "orca": (148,),
        "n02123045": (281,),
        "crane": (517,),
        "buses": (654, 779, 874),
    }
    assert found.unmatched == {"nothing": "No label of the network is called nothing."}


def test_a_network_with_other_classes_is_matched_by_name_alone() -> None:
    found = sc.match_classes(["dog", "Person"], ["dog, domestic dog", "person"])
    assert found.indices == {"dog": (0,), "Person": (1,)}
    assert sc.match_classes(["cat"], ["class 0"]).unmatched == {
        "cat": "No label of the network is called cat."
    }


def test_the_most_probable_of_several_labels_is_explained() -> None:
    match = sc.match_classes(names(VOC_CLASSES), imagenet_labels())
    probabilities = np.zeros(1000)
    probabilities[[0, 207, 285]] = 0.5, 0.3, 0.2
    assert match.target("dog", probabilities) == 207
    with pytest.raises(ArgumentError, match="no class of the network is explained for 'person'"):
        match.target("person", probabilities)


# -- the folder of photo sets --------------------------------------------------------------------------------


def test_the_folder_of_photo_sets_lists_sub_folders_and_zip_files_with_their_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = small_photos(2)
    folder = tmp_path / "data"
    write_voc(folder / "pets", photos)
    zipped(write_yolo(tmp_path / "cars", photos), folder / "cars.zip")
    (folder / "broken.zip").write_bytes(b"x")
    (folder / "empty").mkdir()
    (folder / "out").symlink_to(tmp_path / "cars")
    (folder / "notes.txt").write_text("x")
    monkeypatch.setenv("SALIENCY_DATA", str(folder))
    found = {each.name: each for each in sc.server_photo_sets()}
    assert {name: (each.kind, each.photos) for name, each in found.items() if not each.problem} == {
        "cars.zip": ("yolo", 2),
        "pets": ("voc", 2),
    }
    assert "not a zip file" in found["broken.zip"].problem
    assert "There is no photo" in found["empty"].problem
    assert "link out of the folder" in found["out"].problem
    assert boxes(sc.server_photo_set("pets")) == expected(photos)
    with pytest.raises(UnknownNameError, match="unknown photo set '../data/pets'"):
        sc.server_photo_set("../data/pets")
    monkeypatch.setenv("SALIENCY_DATA", str(tmp_path / "gone"))
    assert (
        "can't be read: No such file or directory. Check SALIENCY_DATA." in sc.server_photo_sets()[0].problem
    )
    monkeypatch.delenv("SALIENCY_DATA")
    assert sc.server_photo_sets() == ()
    with pytest.raises(ArgumentError, match="SALIENCY_DATA, the folder of photo sets, is not set"):
        sc.server_photo_set("pets")


def test_a_set_is_called_as_its_folder_also_from_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folders(tmp_path / "birds", small_photos(2))
    monkeypatch.chdir(folder)
    assert [sc.read_photo_set(each).name for each in (folder, ".", "red/..")] == ["birds"] * 3
