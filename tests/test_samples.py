"""The sample photos: all can be read, all are credited, and the composed ones are what their list says."""

import json

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from tests.compose_samples import COMPOSITIONS, SAMPLES, compose, parts_list

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


def test_the_list_of_parts_is_the_one_that_was_composed():
    assert json.loads((SAMPLES / "objects.json").read_text(encoding="utf-8")) == parts_list()


@pytest.fixture(scope="module")
def classifier():
    return sc.load_classifier("tf_efficientnet_lite0", device="cpu")


def test_the_labels_of_the_parts_are_the_classifiers(classifier):
    for parts in COMPOSITIONS.values():
        for part in parts:
            assert classifier.labels[part.index] == part.label


@pytest.mark.parametrize(("name", "rank"), [("cat-above-coffee.jpg", 3), ("four-things.jpg", 15)])
def test_the_embedded_network_finds_every_part_among_its_first_classes(classifier, name, rank):
    probabilities = sc.explain(classifier, sc.open_image(SAMPLES / name)).probabilities
    first = set(np.argsort(probabilities)[::-1][:rank].tolist())
    assert {part.index for part in COMPOSITIONS[name]} <= first
