import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.transforms import v2

import saliency_core as sc
from saliency_core.inputs.transforms import from_data_config
from saliency_core.models.catalogue import torchvision_models

SHAPES = [(640, 480), (451, 300), (97, 301), (224, 224), (50, 2000)]


def photo(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width)
    small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_centre_crop_equals_torchvisions_evaluation_transform(
    shape: tuple[int, int], interpolation: str
) -> None:
    image = photo(*shape)
    preprocess = sc.Preprocess(interpolation=interpolation)
    theirs = v2.Compose(
        [
            v2.Resize(256, interpolation=v2.InterpolationMode(interpolation)),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocess.mean, preprocess.std),
        ]
    )
    ours, box = preprocess(image, "crop")
    torch.testing.assert_close(ours[0], theirs(image), rtol=0, atol=2e-6)
    side = 224 / 256 * min(shape)
    assert box[2] - box[0] == pytest.approx(side, rel=0.01)
    assert box[3] - box[1] == pytest.approx(side, rel=0.01)


@pytest.mark.parametrize("fit", list(sc.FITS))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_input_region_is_what_the_network_sees(shape: tuple[int, int], fit: str) -> None:
    """A photo whose colours are its own coordinates: each input pixel shows where it came from."""
    width, height = shape
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = Image.fromarray(np.stack([x, y, np.full_like(x, 255)], axis=2).astype(np.uint8))
    preprocess = sc.Preprocess(mean=(0, 0, 0), std=(1, 1, 1))
    pixels, (left, top, right, bottom) = preprocess(image, fit)
    seen = pixels[0].numpy()
    inside = seen[2] > 0.99
    columns = left + (np.arange(224) + 0.5) * (right - left) / 224
    rows = top + (np.arange(224) + 0.5) * (bottom - top) / 224
    expected_x = np.broadcast_to((columns - 0.5) / max(width - 1, 1), (224, 224))
    expected_y = np.broadcast_to(((rows - 0.5) / max(height - 1, 1))[:, None], (224, 224))
    tolerance = 2 / 255 + 1 / min(width, height)
    assert np.abs(seen[0] - expected_x)[inside].max() < tolerance
    assert np.abs(seen[1] - expected_y)[inside].max() < tolerance
    outside = (columns < 0) | (columns > width) | (rows < 0)[:, None] | (rows > height)[:, None]
    assert (inside != outside).mean() > 0.98


def test_padding_is_the_mean_colour() -> None:
    x, box = sc.Preprocess()(photo(400, 100), "pad")
    assert (x[:, :, :80] == 0).all()
    assert box == pytest.approx((0, -150, 400, 250))


def test_an_unknown_fit_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="unknown fit 'squeeze'; choices: crop, stretch, pad"):
        sc.Preprocess()(photo(9, 9), "squeeze")
    with pytest.raises(TypeError, match="expected a PIL image"):
        sc.Preprocess()(np.zeros((9, 9, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "cubic"}, "choices: bilinear, bicubic, lanczos, nearest"),
        ({"crop_mode": "middle"}, "choices: center, squash, border"),
        ({"size": 0}, "from 1 to 16384 pixels"),
        ({"size": (300, 0)}, "from 1 to 16384 pixels"),
        ({"mean": (0.5, 0.5), "std": (1,)}, "mean has 2 and std 1 values; expected as many as the input"),
        ({"std": (1, 1, 0)}, "std values > 0"),
    ],
)
def test_an_impossible_preprocessing_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Preprocess(**options)


def test_a_photo_is_refused_for_other_channels_than_colour_or_grey() -> None:
    five = sc.Preprocess((64, 32), mean=(0.5,) * 5, std=(1,) * 5)
    with pytest.raises(ValueError, match=r"5 channels.*prepared tensor of shape \(1, 5, 64, 32\)"):
        five(photo(9, 9))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit", list(sc.FITS))
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_an_input_need_not_be_square(shape: tuple[int, int], fit: str, crop_mode: str) -> None:
    x, (left, top, right, bottom) = sc.Preprocess((96, 72), crop_mode=crop_mode)(photo(*shape), fit)
    assert x.shape == (1, 3, 96, 72)
    keeps_proportions = fit == "pad" or (fit == "crop" and crop_mode != "squash")
    if keeps_proportions:
        # Sides are rounded to whole pixels of the input, so very narrow photos are off by more.
        narrow = min(shape) / max(shape) * 72
        assert (right - left) / (bottom - top) == pytest.approx(72 / 96, rel=0.02 + 1 / narrow)
    if fit == "stretch":
        assert (left, top, right, bottom) == (0, 0, *shape)


def test_a_mode_that_fits_the_whole_photo_in_fills_the_rest_with_the_mean_colour() -> None:
    x, box = sc.Preprocess(80, 80, crop_mode="border")(photo(400, 100), "crop")
    assert x[:, :, :30].abs().max() < 0.5 / 255 / 0.224 + 1e-6  # the mean, as a colour of whole numbers
    assert box == pytest.approx((0, -150, 400, 250))


LARGEST_DIFFERENCE = 2e-6
"""Between our inputs and a library's for the same photo: rounding of 32-bit numbers near 2.6."""


@pytest.mark.parametrize("shape", SHAPES)
def test_inputs_equal_those_of_every_preset_of_torchvision(shape: tuple[int, int]) -> None:
    presets = {
        str(preset): preset
        for each in torchvision_models.architectures()
        for entry in torchvision_models.weights(each).values()
        for preset in [entry.transforms()]
        if preset.resize_size[0] < 300
    }
    assert len(presets) > 8
    for preset in presets.values():
        ours, _ = torchvision_models.preprocess_of(preset)(photo(*shape))
        torch.testing.assert_close(ours[0], preset(photo(*shape)), rtol=0, atol=LARGEST_DIFFERENCE)


TIMM_CONFIGS = {
    "vit_small_patch16_224": {},
    "volo_d4_448": {},  # its photos end before the crop does
    "vit_base_patch16_sapiens2": {},  # 1024 × 768, squashed
    "deepseek_vit_412m_align": {"input_size": (3, 90, 120), "crop_pct": 0.9},  # with borders
    "vit_base_patch16_clip_224": {"input_size": (3, 120, 91), "crop_pct": 0.93},  # covers, not square
    "regnety_320": {"interpolation": "lanczos"},
    "mobilenetv3_large_100": {"interpolation": "nearest"},
    "eva02_tiny_patch14_336": {"crop_mode": "squash", "crop_pct": 0.91},
}


@pytest.mark.parametrize("shape", [(640, 480), (97, 301), (451, 300)])
@pytest.mark.parametrize(("architecture", "changes"), TIMM_CONFIGS.items())
def test_inputs_equal_those_of_timms_evaluation_transform(
    architecture: str, changes: dict, shape: tuple[int, int]
) -> None:
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(architecture).to_dict()) | changes
    theirs = create_transform(**config, is_training=False)(photo(*shape))
    ours, _ = from_data_config(config)(photo(*shape))
    torch.testing.assert_close(ours[0], theirs, rtol=0, atol=LARGEST_DIFFERENCE)


def test_without_a_resize_the_margin_of_the_crop_follows_the_size() -> None:
    for size, side in ((224, 256), (32, 37), (299, 342), (448, 512)):
        assert sc.Preprocess(size=size).scaled_size == (side, side)
    assert sc.Preprocess(size=32, resize=32).scaled_size == (32, 32)
