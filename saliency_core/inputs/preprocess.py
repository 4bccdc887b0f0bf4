"""From a photo to the network's input, remembering which part of the photo the network sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from saliency_core.deferred import deferred
from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.registry import Registry, listed

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")

MAX_SIDE = 1 << 14
InputRegion = tuple[float, float, float, float]
"""(left, top, right, bottom) in the photo's pixels; outside the photo where a fit pads."""


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its photos: resized, cropped, scaled to [0, 1], then ``(v - mean) / std``.

    Args:
        size: the input's side, or its (height, width).
        resize: what the photo is resized to before the crop, as in the network's own evaluation: the short
            side, or (height, width); 256/224 of ``size`` if None. Where it is smaller than ``size``, the rest
            is black.
        mean: one value per channel: three for colour, one for grey images. Networks with another number of
            channels take prepared tensors, no photos.
        std: as ``mean``.
        interpolation: ``"bilinear"``, ``"bicubic"``, ``"lanczos"``, ``"nearest"``, ``"box"`` or
            ``"hamming"``.
        crop_mode: how the network's own evaluation makes a photo as large as ``resize`` before it takes the
            middle: ``"center"`` covers it in the photo's proportions, ``"squash"`` gives up the proportions,
            ``"border"`` fits the whole photo into it and fills the rest with the mean colour.

    Raises:
        ArgumentTypeError: sizes that are not whole numbers, or means that are not numbers.
        ArgumentError: sizes, channels, an interpolation or a crop mode that cannot be used.
    """

    size: int | tuple[int, int] = 224
    resize: int | tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        for name, given, choices in (
            ("interpolation", self.interpolation, tuple(_RESAMPLE)),
            ("crop_mode", self.crop_mode, tuple(_SCALED)),
        ):
            if given not in choices:
                raise ArgumentError(f"{name} is {given!r}; choices: {', '.join(choices)}")
        if not _is_size(self.size) or not (self.resize is None or _is_size(self.resize)):
            raise ArgumentTypeError(
                f"size is {self.size!r} and resize {self.resize!r}; expected whole numbers of pixels, one or "
                "(height, width)"
            )
        if not all(1 <= side <= MAX_SIDE for side in (*self.input_size, *self.scaled_size)):
            raise ArgumentError(
                f"size is {self.size} and resize {self.resize}; expected from 1 to {MAX_SIDE} pixels"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            expected = "one number per channel"
            if not all(isinstance(value, Real) for value in listed(values, name, expected)):
                raise ArgumentTypeError(f"{name} is {values!r}; expected {expected}")
        if len(self.mean) == 0 or len(self.std) != len(self.mean):
            raise ArgumentError(
                f"mean has {len(self.mean)} and std {len(self.std)} values; expected as many as the input "
                "has channels: three each for colour images, one each for grey ones"
            )
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ArgumentError(
                f"mean is {self.mean} and std {self.std}; expected finite numbers, and std values > 0"
            )

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return _pair(self.size)

    @property
    def scaled_size(self) -> tuple[int, int]:
        """Height and width that the photo is resized to before the middle of it is taken."""
        if self.resize is not None:
            return _pair(self.resize)
        height, width = self.input_size
        return round(height * 256 / 224), round(width * 256 / 224)

    @property
    def channels(self) -> int:
        """The number of channels of the input."""
        return len(self.mean)

    def __call__(self, image: Image.Image, fit: str = "crop") -> tuple[Tensor, InputRegion]:
        """The input of shape (1, C, height, width) and the part of the photo that it shows.

        ``fit``: ``"crop"`` does as the network's own evaluation, which takes the middle for most networks,
        ``"stretch"`` squeezes the whole photo, ``"pad"`` keeps its proportions and fills the rest with the
        mean colour (0 after normalising).

        Raises:
            ArgumentTypeError: not a PIL image.
            ArgumentError: an unknown fit, or a network whose inputs are neither colour nor grey images.
        """
        if not isinstance(image, Image.Image):
            raise ArgumentTypeError(
                f"image is a {type(image).__name__}; expected a PIL image (see open_image)"
            )
        if self.channels not in _MODES:
            height, width = self.input_size
            raise ArgumentError(
                f"the network takes inputs with {self.channels} channels, which a photo does not have; pass "
                f"a prepared tensor of shape (1, {self.channels}, {height}, {width})"
            )
        fitted, corner, box = FITS[fit].place(image.convert(_MODES[self.channels]), self)
        pixels = np.asarray(fitted, dtype=np.float32).reshape(fitted.height, fitted.width, -1) / 255.0
        shown = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)  # (h, w, C)
        canvas = np.zeros((*self.input_size, self.channels), np.float32)
        left, top = corner
        canvas[top : top + fitted.height, left : left + fitted.width] = shown
        return torch.from_numpy(np.ascontiguousarray(canvas.transpose(2, 0, 1)))[None], box

    def _resized(self, image: Image.Image, width: int, height: int) -> Image.Image:
        return image.resize((width, height), _RESAMPLE[self.interpolation])

    def _mean_color(self) -> tuple[int, ...]:
        return tuple(min(max(round(255 * value), 0), 255) for value in self.mean)


def _is_size(value: object) -> bool:
    sides = value if isinstance(value, tuple) and len(value) == 2 else (value,)
    return all(isinstance(side, Integral) for side in sides)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


Placed = tuple[Image.Image, tuple[int, int], InputRegion]


@dataclass(frozen=True)
class Fit:
    """A way to fit a photo of any shape to the input."""

    name: str
    title: str
    summary: str
    place: Callable[[Image.Image, Preprocess], Placed]


FITS: Registry[Fit] = Registry("fit")
_MODES = {3: "RGB", 1: "L"}
_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
Size = tuple[int, int]


def _covering(image: Size, scaled: Size) -> Size:
    """The (width, height) in the photo's proportions that covers ``scaled``, rounded as each library does."""
    (width, height), (wanted_height, wanted_width) = image, scaled
    if wanted_height == wanted_width:  # as torchvision's Resize, which timm uses here
        short = min(image)
        return int(wanted_width * width / short), int(wanted_height * height / short)
    ratio = min(height / wanted_height, width / wanted_width)  # as timm's ResizeKeepRatio
    return round(width / ratio), round(height / ratio)


def _inside(image: Size, scaled: Size) -> Size:
    """The (width, height) in the photo's proportions that fits into ``scaled``."""
    (width, height), (wanted_height, wanted_width) = image, scaled
    ratio = max(height / wanted_height, width / wanted_width)
    return max(1, round(width / ratio)), max(1, round(height / ratio))


_SCALED: dict[str, Callable[[Size, Size], Size]] = {
    "center": _covering,
    "squash": lambda image, scaled: (scaled[1], scaled[0]),
    "border": _inside,
}


def _middle(have: int, want: int) -> int:
    """Where a window of ``want`` pixels begins in ``have``: before its start where it is larger."""
    return round((have - want) / 2) if have >= want else -((want - have) // 2)


def _crop(image: Image.Image, preprocess: Preprocess) -> Placed:
    size_y, size_x = preprocess.input_size
    width, height = _SCALED[preprocess.crop_mode](image.size, preprocess.scaled_size)
    left, top = _middle(width, size_x), _middle(height, size_y)
    outside = preprocess._mean_color() if preprocess.crop_mode == "border" else (0,) * preprocess.channels
    fitted = Image.new(image.mode, (size_x, size_y), outside if len(outside) > 1 else outside[0])
    fitted.paste(preprocess._resized(image, width, height), (-left, -top))
    x, y = image.width / width, image.height / height
    return fitted, (0, 0), (left * x, top * y, (left + size_x) * x, (top + size_y) * y)


def _stretch(image: Image.Image, preprocess: Preprocess) -> Placed:
    height, width = preprocess.input_size
    fitted = preprocess._resized(image, width, height)
    return fitted, (0, 0), (0.0, 0.0, float(image.width), float(image.height))


def _pad(image: Image.Image, preprocess: Preprocess) -> Placed:
    size_y, size_x = preprocess.input_size
    width, height = _inside(image.size, preprocess.input_size)
    left, top = (size_x - width) // 2, (size_y - height) // 2
    x, y = image.width / width, image.height / height
    box = (-left * x, -top * y, (size_x - left) * x, (size_y - top) * y)
    return preprocess._resized(image, width, height), (left, top), box


for _fit in (
    Fit(
        "crop",
        "Network's own",
        "As the network was evaluated: the middle of the photo, for a few networks all of it.",
        _crop,
    ),
    Fit("stretch", "Whole, squeezed", "The whole photo, squeezed to the shape of the input.", _stretch),
    Fit("pad", "Whole, padded", "The whole photo in its proportions, on the mean colour.", _pad),
):
    FITS.add(_fit.name, _fit)
