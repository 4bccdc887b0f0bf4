"""Other people's preprocessing: the transform's own numbers, and the box of what they show."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor, nn
from torchvision import transforms as v1
from torchvision.models import ResNet50_Weights
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as F

import saliency_core as sc
from saliency_core.inputs.transforms import OwnTransform, as_preprocess
from tests.networks import InPlaceNet

COFFEE = sc.open_image(Path(__file__).parent.parent / "assets" / "samples" / "coffee.png")
PHOTOS = (COFFEE, COFFEE.crop((100, 0, 350, 400)))
"""Wider than high, and higher than wide."""
NORMAL = v1.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BICUBIC = InterpolationMode.BICUBIC
CONFIG = {
    "input_size": (3, 64, 96),
    "interpolation": "bicubic",
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.3, 0.4),
    "crop_pct": 0.9,
    "crop_mode": "center",
}


def from_clip(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


from_clip.__name__ = "_convert_image_to_rgb"


def timm_transform(**changes: object) -> tuple[dict[str, object], Callable[[Image.Image], Tensor]]:
    config = {**CONFIG, **changes}
    return config, create_transform(**config)


CONVERTED = {
    "preset": ResNet50_Weights.IMAGENET1K_V2.transforms(),
    "torchvision": v1.Compose([v1.Resize(50), v1.CenterCrop(48), v1.ToTensor(), NORMAL]),
    "CLIP": v1.Compose([v1.Resize(48, BICUBIC), v1.CenterCrop(48), from_clip, v1.ToTensor(), NORMAL]),
    "whole, squeezed": v1.Compose([v1.Resize((40, 60)), v1.ToTensor()]),
    "squeezed, then cropped": v1.Compose([v1.Resize((40, 60)), v1.CenterCrop((32, 50)), v1.ToTensor()]),
    "grey": v1.Compose(
        [v1.Grayscale(), v1.Resize(32), v1.CenterCrop(28), v1.ToTensor(), v1.Normalize([0.13], [0.3])]
    ),
    "one mean": v1.Compose([v1.Resize(32), v1.CenterCrop(28), v1.ToTensor(), v1.Normalize([0.5], [0.5])]),
    "cropped as a tensor": v1.Compose([v1.Resize(50), v1.ToTensor(), v1.CenterCrop(48), NORMAL]),
    "v2": v2.Compose(
        [
            v2.Resize(50, interpolation=BICUBIC),
            v2.CenterCrop(48),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(NORMAL.mean, NORMAL.std),
        ]
    ),
    "not scaled": nn.Sequential(
        v2.Resize(50), v2.CenterCrop(48), v2.ToImage(), v2.ToDtype(torch.float32), v2.ToPureTensor()
    ),
    "smaller than its crop": v1.Compose([v1.Resize(40), v1.CenterCrop(48), v1.ToTensor(), NORMAL]),
    "timm": timm_transform()[1],
    "timm, square": timm_transform(input_size=(3, 64, 64))[1],
    "timm, squash": timm_transform(crop_mode="squash")[1],
    "timm, border": timm_transform(crop_mode="border")[1],
}


@pytest.mark.parametrize("name", CONVERTED)
def test_a_transform_becomes_a_preprocess_with_the_same_numbers(name: str) -> None:
    transform = CONVERTED[name]
    preprocess = as_preprocess(transform)
    assert isinstance(preprocess, sc.Preprocess)
    for photo in PHOTOS:
        theirs = transform(photo)
        ours, _ = preprocess(photo)
        torch.testing.assert_close(ours[0], theirs, rtol=0, atol=1e-5 * max(1.0, float(theirs.abs().max())))
        for fit in ("stretch", "pad"):
            assert preprocess(photo, fit)[0].shape == ours.shape


@pytest.mark.parametrize(
    "changes",
    [{}, {"crop_mode": "squash"}, {"crop_mode": "border", "crop_pct": 1.0}, {"input_size": (3, 64, 64)}],
)
def test_a_timm_data_config_gives_the_numbers_of_its_transform(changes: dict[str, object]) -> None:
    config, transform = timm_transform(**changes)
    for photo in PHOTOS:
        ours, _ = as_preprocess(config)(photo)
        torch.testing.assert_close(ours[0], transform(photo), rtol=0, atol=1e-5)


def bottom_right(image: Image.Image) -> Tensor:
    return F.to_tensor(image.crop((40, 60, 200, 300)).resize((50, 40)))[None] * 2 - 1


OWN = {
    "resized as a tensor": (
        v2.Compose([v2.ToImage(), v2.Resize(50), v2.CenterCrop(48), v2.ToDtype(torch.float32, scale=True)]),
        as_preprocess(v1.Compose([v1.Resize(50), v1.CenterCrop(48), v1.ToTensor()])),
    ),
    "grey at last": (
        v1.Compose([v1.Resize(50), v1.CenterCrop(48), v1.Grayscale(), v1.ToTensor()]),
        as_preprocess(v1.Compose([v1.Resize(50), v1.CenterCrop(48), v1.ToTensor()])),
    ),
    "a part": (bottom_right, lambda _: (None, (40, 60, 200, 300))),
    "of no fixed size": (
        v1.Compose([v1.Resize(50), v1.ToTensor()]),
        lambda photo: (None, (0, 0, photo.width, photo.height)),
    ),
    "with a border": (
        v1.Compose([v1.Pad((10, 30)), v1.Resize((64, 64)), v1.ToTensor(), NORMAL]),
        lambda photo: (None, (-10, -30, photo.width + 10, photo.height + 30)),
    ),
    "twice over": (
        lambda image: torch.cat([F.to_tensor(image.resize((50, 40)))] * 2),
        lambda photo: (None, (0, 0, photo.width, photo.height)),
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_another_transform_runs_as_it_is_and_its_box_is_found(name: str) -> None:
    transform, expected = OWN[name]
    own = as_preprocess(transform)
    assert isinstance(own, OwnTransform)
    for photo in PHOTOS:
        found, box = own(photo)
        theirs = transform(photo)
        assert torch.equal(found, theirs if theirs.ndim == 4 else theirs[None])
        assert box == pytest.approx(expected(photo)[1], abs=max(photo.size) / 400)


@pytest.mark.parametrize(
    "change",
    [
        F.hflip,
        F.vflip,
        lambda image: image.rotate(15),
        lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    ],
)
def test_what_a_mirrored_or_turned_input_shows_is_unknown(
    change: Callable[[Image.Image], Image.Image],
) -> None:
    own = as_preprocess(lambda image: F.to_tensor(change(image).resize((48, 48))))
    for photo in PHOTOS:
        assert own(photo)[1] is None


def where_it_is_brightest(image: Image.Image) -> Tensor:
    """A window at the brightest corner, which depends on the photo."""
    width, height = image.width // 2, image.height // 2
    corners = [(x, y, x + width, y + height) for y in (0, height) for x in (0, width)]
    brightest = max(corners, key=lambda box: float(np.asarray(image.crop(box)).mean()))
    return F.to_tensor(image.crop(brightest).resize((48, 48)))


def test_a_box_that_depends_on_the_photo_is_unknown() -> None:
    photo = COFFEE.transpose(Image.Transpose.ROTATE_180)
    assert where_it_is_brightest(photo).mean() > F.to_tensor(photo).mean() + 0.02
    assert as_preprocess(where_it_is_brightest)(photo)[1] is None


def test_a_photo_is_explained_with_a_transform_of_ones_own() -> None:
    network = InPlaceNet()
    clf = sc.Classifier(network, preprocess=bottom_right)
    found = sc.explain(clf, COFFEE, 0, methods=["normgrad"])
    assert found.size == clf.preprocess.input_size == (40, 50)
    assert found.box == pytest.approx((40, 60, 200, 300), abs=1)
    assert found.map("normgrad", "act").shape == (10, 13)
    tensor = sc.explain(clf, bottom_right(COFFEE), 0, methods=["normgrad"])
    np.testing.assert_array_equal(found.map("normgrad", "act"), tensor.map("normgrad", "act"))
    mirrored = sc.Classifier(network, preprocess=lambda image: F.to_tensor(F.hflip(image).resize((32, 32))))
    assert sc.explain(mirrored, COFFEE, 0, methods=["normgrad"]).box is None
    for fit in ("stretch", "pad"):
        with pytest.raises(sc.ArgumentError, match=f"fit is '{fit}', but the transform .* leave fit out"):
            sc.explain(clf, COFFEE, 0, fit=fit)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (v1.Compose([v1.RandomHorizontalFlip(), v1.ToTensor()]), r"at random \(RandomHorizontalFlip\)"),
        (create_transform((3, 64, 64), is_training=True), "at random .*evaluated with"),
        (lambda image: torch.randn(3, 20, 20), "something else for the same photo each time"),
        (v1.PILToTensor(), "returned uint8 numbers .* expected floating-point ones"),
        (lambda image: torch.stack([F.to_tensor(image)] * 5), r"shape \(5, 3, 120, 160\)"),
        (np.asarray, "returned a ndarray for a photo; expected a tensor"),
        (ResNet50_Weights.DEFAULT.transforms, r"failed for a photo .*weights.transforms\(\)"),
        ({"input_size": (3, 64, 64)}, "has no 'mean'; expected a timm data config"),
        ({**CONFIG, "mean": (0.5,)}, "3 channels, 1 means"),
        ({**CONFIG, "input_size": 64}, "cannot be read"),
        ({**CONFIG, "crop_mode": "random"}, "crop_mode is 'random'; choices"),
        ("imagenet", "preprocess is 'imagenet'; expected a Preprocess, a torchvision transform"),
    ],
)
def test_what_is_no_preprocessing_is_refused_with_what_to_pass(given: object, reason: str) -> None:
    with pytest.raises(sc.SaliencyError, match=reason):
        sc.Classifier(InPlaceNet(), preprocess=given)
