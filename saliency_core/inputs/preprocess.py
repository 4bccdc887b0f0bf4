"""From a photo to the network's input, remembering which part of the photo the network sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.registry import Registry, listed

MAX_SIDE = 1 << 14
InputRegion = tuple[float, float, float, float]
"""(left, top, right, bottom) in the photo's pixels; outside the photo where a fit pads."""


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its photos: resized, cropped, scaled to [0, 1], then ``(v - mean) / std``.

    Args:
        size: the side of the square input.
        resize: the short side before the centre crop, as in the network's own evaluation; 256/224 of ``size``
            if None.
        mean: one value per channel: three for colour, one for grey images.
        std: as ``mean``.
        interpolation: ``"bilinear"`` or ``"bicubic"``.

    Raises:
        ArgumentTypeError: sizes that are not whole numbers, or means that are not numbers.
        ArgumentError: sizes, channels or an interpolation that cannot be used.
    """

    size: int = 224
    resize: int | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in tuple(_RESAMPLE):
            raise ArgumentError(f"interpolation is {self.interpolation!r}; choices: {', '.join(_RESAMPLE)}")
        if not isinstance(self.size, Integral) or not isinstance(self.resize, Integral | None):
            raise ArgumentTypeError(
                f"size is {self.size!r} and resize {self.resize!r}; expected whole numbers of pixels"
            )
        if not 1 <= self.size <= self.short_side <= MAX_SIDE:
            raise ArgumentError(
                f"size is {self.size} and resize {self.resize}; expected 1 <= size <= resize <= {MAX_SIDE}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            expected = "one number per channel"
            if not all(isinstance(value, Real) for value in listed(values, name, expected)):
                raise ArgumentTypeError(f"{name} is {values!r}; expected {expected}")
        if len(self.mean) not in _MODES or len(self.std) != len(self.mean):
            raise ArgumentError(
                f"mean has {len(self.mean)} and std {len(self.std)} values; expected three each for colour "
                "images, or one each for grey ones"
            )
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ArgumentError(
                f"mean is {self.mean} and std {self.std}; expected finite numbers, and std values > 0"
            )

    @property
    def short_side(self) -> int:
        """The short side of the photo before the centre crop."""
        return round(self.size * 256 / 224) if self.resize is None else self.resize

    @property
    def channels(self) -> int:
        """The number of channels of the input."""
        return len(self.mean)

    def __call__(self, image: Image.Image, fit: str = "crop") -> tuple[Tensor, InputRegion]:
        """The input of shape (1, C, size, size) and the part of the photo that it shows.

        ``fit``: ``"crop"`` takes the middle as in training, ``"stretch"`` squeezes the whole photo,
        ``"pad"`` keeps its proportions and fills the rest with the mean colour (0 after normalising).
        """
        if not isinstance(image, Image.Image):
            raise ArgumentTypeError(
                f"image is a {type(image).__name__}; expected a PIL image (see open_image)"
            )
        fitted, corner, box = FITS[fit].place(image.convert(_MODES[self.channels]), self)
        pixels = np.asarray(fitted, dtype=np.float32).reshape(fitted.height, fitted.width, -1) / 255.0
        shown = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)  # (h, w, C)
        canvas = np.zeros((self.size, self.size, self.channels), np.float32)
        left, top = corner
        canvas[top : top + fitted.height, left : left + fitted.width] = shown
        return torch.from_numpy(np.ascontiguousarray(canvas.transpose(2, 0, 1)))[None], box

    def _resized(self, image: Image.Image, width: int, height: int) -> Image.Image:
        return image.resize((width, height), _RESAMPLE[self.interpolation])


Placed = tuple[Image.Image, tuple[int, int], InputRegion]


@dataclass(frozen=True)
class Fit:
    """A way to fit a photo of any shape to the square input."""

    name: str
    title: str
    summary: str
    place: Callable[[Image.Image, Preprocess], Placed]


FITS: Registry[Fit] = Registry("fit")
_MODES = {3: "RGB", 1: "L"}
_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _crop(image: Image.Image, preprocess: Preprocess) -> Placed:
    size, short = preprocess.size, min(image.size)
    width, height = (int(preprocess.short_side * side / short) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    fitted = preprocess._resized(image, width, height).crop((left, top, left + size, top + size))
    x, y = image.width / width, image.height / height
    return fitted, (0, 0), (left * x, top * y, (left + size) * x, (top + size) * y)


def _stretch(image: Image.Image, preprocess: Preprocess) -> Placed:
    fitted = preprocess._resized(image, preprocess.size, preprocess.size)
    return fitted, (0, 0), (0.0, 0.0, float(image.width), float(image.height))


def _pad(image: Image.Image, preprocess: Preprocess) -> Placed:
    size, long = preprocess.size, max(image.size)
    width, height = (max(1, round(size * side / long)) for side in image.size)
    left, top = (size - width) // 2, (size - height) // 2
    x, y = image.width / width, image.height / height
    box = (-left * x, -top * y, (size - left) * x, (size - top) * y)
    return preprocess._resized(image, width, height), (left, top), box


for _fit in (
    Fit("crop", "Centre crop", "The middle of the photo, as in training.", _crop),
    Fit("stretch", "Whole, squeezed", "The whole photo, squeezed into the square.", _stretch),
    Fit("pad", "Whole, padded", "The whole photo in its proportions, on the mean colour.", _pad),
):
    FITS.add(_fit.name, _fit)
