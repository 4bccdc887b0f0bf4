"""From a photo to the network's input, remembering which part of the photo the network sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from saliency_core.registry import Registry

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in the photo's pixels; outside the photo where a fit pads."""


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its photos: resized, cropped, scaled to [0, 1], then ``(v - mean) / std``.

    ``size`` is the side of the square input, ``resize`` the short side before the centre crop, as in
    the network's own evaluation.
    """

    size: int = 224
    resize: int = 256
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in _RESAMPLE:
            raise ValueError(f"interpolation is {self.interpolation!r}; choices: {', '.join(_RESAMPLE)}")
        if not 1 <= self.size <= self.resize:
            raise ValueError(f"size is {self.size} and resize {self.resize}; expected 1 <= size <= resize")

    def __call__(self, image: Image.Image, fit: str = "crop") -> tuple[Tensor, Box]:
        """The input of shape (1, 3, size, size) and the part of the photo that it shows.

        ``fit``: ``"crop"`` takes the middle as in training, ``"stretch"`` squeezes the whole photo,
        ``"pad"`` keeps its proportions and fills the rest with the mean colour (0 after normalising).
        """
        if not isinstance(image, Image.Image):
            raise TypeError(f"image is a {type(image).__name__}; expected a PIL image (see open_image)")
        fitted, corner, box = FITS[fit].place(image.convert("RGB"), self)
        pixels = np.asarray(fitted, dtype=np.float32) / 255.0  # (h, w, 3)
        shown = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        canvas = np.zeros((self.size, self.size, 3), np.float32)
        left, top = corner
        canvas[top : top + fitted.height, left : left + fitted.width] = shown
        return torch.from_numpy(np.ascontiguousarray(canvas.transpose(2, 0, 1)))[None], box

    def _resized(self, image: Image.Image, width: int, height: int) -> Image.Image:
        return image.resize((width, height), _RESAMPLE[self.interpolation])


Placed = tuple[Image.Image, tuple[int, int], Box]


@dataclass(frozen=True)
class Fit:
    """A way to lay a photo of any shape into the square input."""

    name: str
    title: str
    summary: str
    place: Callable[[Image.Image, Preprocess], Placed]


FITS: Registry[Fit] = Registry("fit")
_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _crop(image: Image.Image, preprocess: Preprocess) -> Placed:
    size, short = preprocess.size, min(image.size)
    width, height = (int(preprocess.resize * side / short) for side in image.size)
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
