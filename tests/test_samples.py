"""The sample photos: read, credited, composed and listed as they say; and what the first view shows."""

import json

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from benchmarks.first_view import inside
from pages.shared import photos
from saliency_core.viewer import payload
from saliency_core.viewer.schema import DEFAULT_METHODS
from tests.compose_samples import COMPOSITIONS, SAMPLES, boxes_table, compose, objects_list

PHOTOS = sorted(path.name for path in SAMPLES.iterdir() if path.suffix in {".png", ".jpg"})


@pytest.mark.parametrize("name", PHOTOS)
def test_a_sample_is_read_credited_and_small(name):
    assert sc.open_image(SAMPLES / name).width >= 400
    assert f"| {name} |" in (SAMPLES / "CREDITS.md").read_text(encoding="utf-8")
    assert (SAMPLES / name).stat().st_size < 500_000


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_composed_photo_is_made_from_the_samples_again(name):
    stored = np.asarray(sc.open_image(SAMPLES / name), int)
    difference = np.abs(stored - np.asarray(compose(COMPOSITIONS[name]), int))
    assert difference.mean() < 2  # what JPEG changes
    assert np.quantile(difference, 0.999) < 16


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_the_parts_tile_their_square_photo_and_keep_their_shape(name):
    with Image.open(SAMPLES / name) as image:
        width, height = image.size
    covered = np.zeros((height, width), int)
    for part in COMPOSITIONS[name]:
        left, top, right, bottom = part.box
        covered[top:bottom, left:right] += 1
        crop_width, crop_height = part.crop[2] - part.crop[0], part.crop[3] - part.crop[1]
        assert crop_width * (bottom - top) == crop_height * (right - left)
    assert width == height
    assert (covered == 1).all()


def test_the_list_of_objects_is_the_one_that_is_written_with_the_composed_photos():
    assert json.loads((SAMPLES / "objects.json").read_text(encoding="utf-8")) == objects_list()
    assert (SAMPLES / "boxes.csv").read_text(encoding="utf-8") == boxes_table()


def test_every_photo_has_objects_whose_boxes_lie_on_it():
    assert sorted(objects_list()) == PHOTOS
    for name, objects in objects_list().items():
        with Image.open(SAMPLES / name) as image:
            width, height = image.size
        assert objects
        for each in objects:
            left, top, right, bottom = each["box"]
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height


@pytest.fixture(scope="module")
def classifier():
    return sc.load_classifier("tf_efficientnet_lite0", device="cpu")


def test_the_labels_of_the_objects_are_the_classifiers(classifier):
    for objects in objects_list().values():
        for each in objects:
            assert classifier.labels[each["index"]] == each["label"]


def test_the_objects_of_a_photo_have_the_numbers_of_the_network_that_is_shown():
    photo = photos.sample("cat-above-coffee").shown
    assert [(each.index, each.label) for each in photo.objects] == [(285, "Egyptian cat"), (967, "espresso")]
    found = photos.with_objects_of(photo, [*(f"class {index}" for index in range(300)), "espresso"])
    assert [(each.index, each.box) for each in found.objects] == [(300, photo.objects[1].box)]


def test_the_first_view_shows_an_object_that_normgrad_keeps_to_and_grad_cam_has_lost(classifier):
    photo = photos.default_photo()
    (thing,) = photo.shown.objects
    explanation = sc.explain(classifier, photo.image, methods=DEFAULT_METHODS)
    assert explanation.target == thing.index
    assert explanation.probabilities[thing.index] > 0.8
    layer = payload.content(
        photo.shown, explanation, sc.MODELS["tf_efficientnet_lite0"], DEFAULT_METHODS
    ).meta["defaults"]["layer"]
    box = inside(thing.box, explanation.box)
    area = (box[2] - box[0]) * (box[3] - box[1])
    normgrad, grad_cam = (
        sc.energy_inside(explanation.map(name, layer), [box]) for name in ("normgrad", "grad_cam")
    )
    assert DEFAULT_METHODS == ("normgrad", "grad_cam")
    assert grad_cam < area
    assert normgrad > 2 * area
    assert explanation.energy(layer) < 0.1


@pytest.mark.parametrize(("name", "rank"), [("cat-above-coffee.jpg", 3), ("four-things.jpg", 15)])
def test_the_embedded_network_finds_every_part_among_its_first_classes(classifier, name, rank):
    probabilities = sc.explain(classifier, sc.open_image(SAMPLES / name)).probabilities
    first = set(np.argsort(probabilities)[::-1][:rank].tolist())
    assert {part.index for part in COMPOSITIONS[name]} <= first
