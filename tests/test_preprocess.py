import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

import saliency_core as sc

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
        ({"interpolation": "nearest"}, "choices: bilinear, bicubic"),
        ({"size": 300, "resize": 256}, "1 <= size <= resize"),
        ({"mean": (0.5, 0.5), "std": (1, 1)}, "mean has 2 and std 2 values; expected three each"),
        ({"std": (1, 1, 0)}, "std values > 0"),
    ],
)
def test_an_impossible_preprocessing_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Preprocess(**options)


def test_without_a_resize_the_margin_of_the_crop_follows_the_size() -> None:
    assert [sc.Preprocess(size=size).short_side for size in (224, 32, 299, 448)] == [256, 37, 342, 512]
    assert sc.Preprocess(size=32, resize=32).short_side == 32
