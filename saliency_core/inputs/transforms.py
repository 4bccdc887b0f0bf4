"""Other people's preprocessing: torchvision transforms, timm data configs, and functions of one's own.

What a :class:`~saliency_core.inputs.preprocess.Preprocess` can express becomes one, with the same numbers;
every other transform runs as it is, as an :class:`OwnTransform`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from saliency_core.errors import ArgumentError, ArgumentTypeError, SaliencyError, first_line
from saliency_core.inputs.input_regions import Place, find_place
from saliency_core.inputs.preprocess import FITS, InputRegion, Preprocess

Transform = Callable[[Image.Image], Tensor]
"""A function of an RGB photo that returns the input, (C, H, W) or (1, C, H, W)."""

OWN_FIT = "crop"
"""The only fit of a transform that decides itself what the network sees."""

EXPECTED = (
    "a Preprocess, a torchvision transform (weights.transforms(), transforms.Compose), a timm data config or "
    "a function from a PIL image to a tensor (C, H, W)"
)
TOLERANCE = 1e-5
"""Of the comparison of a converted transform with the transform itself, relative to the largest value."""

_SAMPLES = ((160, 120), (97, 131))
"""(width, height) of the photos on which transforms are tried."""
_KNOWN = ("torchvision.transforms.", "timm.data.")
_RANDOM = ("ColorJitter", "AugMix", "AutoAugment", "ElasticTransform", "GaussianNoise", "JPEG", "ScaleJitter")


def as_preprocess(given: object) -> Preprocess | OwnTransform:
    """The preprocessing that something stands for; :class:`Preprocess` with ImageNet's values for None.

    Args:
        given: a ``Preprocess``; a torchvision transform or timm's ``create_transform``; a data config as
            timm's ``resolve_data_config`` returns it; any function from an RGB image to a tensor (C, H, W);
            or None.

    Raises:
        ArgumentTypeError: none of these, or a transform that returns something else.
        ArgumentError: a transform that fails or changes photos at random, or a config that cannot be used.

    >>> import torchvision
    >>> as_preprocess(torchvision.models.ResNet50_Weights.IMAGENET1K_V2.transforms()).resize
    232
    >>> config = {"input_size": (1, 28, 28), "crop_pct": 0.9, "mean": (0.5,), "std": (0.5,)}
    >>> as_preprocess(config).resize
    31
    """
    if given is None:
        return Preprocess()
    if isinstance(given, Preprocess | OwnTransform):
        return given
    if isinstance(given, Mapping):
        return from_data_config(given)
    if not callable(given):
        raise ArgumentTypeError(f"preprocess is {given!r}; expected {EXPECTED}, or None")
    steps = list(_steps(given))
    for name in map(_name, steps):
        if name.startswith(("Rand", "Trivial")) or name in _RANDOM:
            raise ArgumentError(
                f"the transform given as preprocess changes photos at random ({name}); pass the one that the "
                "network is evaluated with"
            )
    samples = [_sample(size) for size in _SAMPLES]
    own = OwnTransform(given)
    outputs = [own.tensor(sample) for sample in samples]
    converted = _converted(steps, samples[0])
    if converted is not None and _agree(converted, samples, outputs):
        return converted
    if not all(torch.equal(own.tensor(samples[0]), outputs[0]) for _ in range(3)):
        raise ArgumentError(
            "the transform given as preprocess returns something else for the same photo each time; pass the "
            "one that the network is evaluated with"
        )
    return own


class OwnTransform:
    """A transform that runs as it is: it decides itself what the network sees of a photo.

    Where that is, is found for each size of photo by passing it black, white and two gradients, which show
    where each pixel of the input comes from, and checked against the photo. It counts as unknown if the
    transform does not map the pixels of a rectangle in their order, or their values linearly.

    Args:
        transform: called with an RGB image; returns (C, H, W) or (1, C, H, W), floating-point numbers. The
            same photo must give the same numbers.

    Raises:
        ArgumentTypeError, ArgumentError: it fails, or returns something else.
    """

    def __init__(self, transform: Callable[..., object]) -> None:
        self.transform = transform
        self.channels, *size = self.tensor(_sample(_SAMPLES[0])).shape
        self.input_size: tuple[int, int] = (size[0], size[1])
        """Height and width of the input, for a photo of 160 × 120 pixels if they depend on the photo."""
        self._places: dict[tuple[int, int], Place | None] = {}

    def __call__(self, image: Image.Image, fit: str = OWN_FIT) -> tuple[Tensor, InputRegion | None]:
        """The input (1, C, H, W) and the part of the photo that it shows, None if that is unknown.

        Raises:
            ArgumentTypeError: not a PIL image, or the transform returns something else than a tensor.
            ArgumentError: another fit than ``"crop"``, or the transform fails.
        """
        if not isinstance(image, Image.Image):
            raise ArgumentTypeError(
                f"image is a {type(image).__name__}; expected a PIL image (see open_image)"
            )
        if FITS[fit].name != OWN_FIT:
            raise ArgumentError(
                f"fit is {fit!r}, but the transform given as preprocess decides itself what the network "
                f"sees; leave fit out, or pass {EXPECTED.rpartition(' or ')[0]}"
            )
        rgb = image.convert("RGB")
        found = self.tensor(rgb)
        place = self._place(rgb.size)
        return found[None], place.box if place is not None and place.shows(rgb, found) else None

    def tensor(self, image: Image.Image) -> Tensor:
        """The transform's result for an RGB image, (C, H, W)."""
        try:
            found: object = self.transform(image)
        except (SaliencyError, MemoryError):
            raise
        except Exception as error:
            raise ArgumentError(
                f"the transform given as preprocess failed for a photo of {image.width} × {image.height} "
                f"pixels: {first_line(error)}; expected {EXPECTED}"
            ) from error
        if not isinstance(found, Tensor):
            raise ArgumentTypeError(
                f"the transform given as preprocess returned a {type(found).__name__} for a photo; expected "
                "a tensor (C, H, W)"
            )
        if found.ndim == 4 and len(found) == 1:
            found = found[0]
        if found.ndim != 3 or 0 in found.shape or not found.is_floating_point():
            kind = str(found.dtype).removeprefix("torch.")
            raise ArgumentError(
                f"the transform given as preprocess returned {kind} numbers of shape {tuple(found.shape)} "
                "for a photo; expected floating-point ones (C, H, W), scaled as the network needs them"
            )
        return found.detach().as_subclass(Tensor)

    def _place(self, size: tuple[int, int]) -> Place | None:
        if size not in self._places:
            while len(self._places) >= 16:
                self._places.pop(next(iter(self._places)), None)
            self._places[size] = find_place(self.tensor, size)
        return self._places[size]


# -- conversion ----------------------------------------------------------------------------------------------


def from_data_config(config: Mapping[str, Any]) -> Preprocess:
    """The preprocessing of a timm data config, as timm's ``transforms_imagenet_eval`` makes it.

    Raises:
        ArgumentError: something is missing or cannot be used.
    """
    expected = "a timm data config, as timm.data.resolve_data_config(...) returns it"
    try:
        channels, height, width = config["input_size"]
        percent = float(config.get("crop_pct") or 0.875)
        values = {name: tuple(config[name]) for name in ("mean", "std")}
        scaled = (math.floor(height / percent), math.floor(width / percent))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        missing = (
            f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({first_line(error)})"
        )
        raise ArgumentError(f"the dictionary given as preprocess {missing}; expected {expected}") from error
    if any(len(each) != channels for each in values.values()):
        raise ArgumentError(
            f"the data config given as preprocess has {channels} channels, {len(values['mean'])} means and "
            f"{len(values['std'])} standard deviations; expected one of each per channel"
        )
    return Preprocess(
        size=_short((height, width)),
        resize=_short(scaled),
        interpolation=config.get("interpolation") or "bilinear",
        crop_mode=config.get("crop_mode") or "center",
        **values,
    )


def _short(size: tuple[int, int]) -> int | tuple[int, int]:
    """One number for a square."""
    return size[0] if size[0] == size[1] else size


def _steps(transform: object) -> Iterator[object]:
    """The parts of a transform in order; a transform that has none is its only one."""
    name, inner = _name(transform), getattr(transform, "transforms", None)
    if name == "Compose" and isinstance(inner, Sequence):
        for each in inner:
            yield from _steps(each)
    elif isinstance(transform, nn.Sequential):
        for each in transform:
            yield from _steps(each)
    else:
        yield transform


def _name(step: object) -> str:
    """The class of a transform of torchvision or timm; "" for any other one."""
    kind = type(step)
    return kind.__name__ if f"{kind.__module__}.".startswith(_KNOWN) else ""


@dataclass
class _Recipe:
    """What the steps of a transform do so far, as far as a :class:`Preprocess` can do it too."""

    resize: int | tuple[int, int] | None = None
    crop_mode: str = "center"
    interpolation: str = "bilinear"
    size: tuple[int, int] | None = None
    grey: bool = False
    tensor: bool = False
    top: float | None = None
    """The value of white: 1, or 255 where values are not scaled; None for whole numbers."""
    mean: tuple[float, ...] = field(default=())
    std: tuple[float, ...] = field(default=())

    def take(self, step: Any, name: str) -> bool:
        """Take one step; whether that was possible."""
        photo = not self.tensor and self.size is None
        match name:
            case "Grayscale":
                self.grey = True
                return photo and self.resize is None and step.num_output_channels == 1
            case "Resize":
                return photo and step.max_size is None and self._scale(step.size, step.interpolation)
            case "ResizeKeepRatio":
                return photo and self._keep_ratio(step)
            case "CenterCrop" | "CenterCropOrPad":
                return self.size is None and not self.mean and self._crop(step, name)
            case "ToTensor" | "MaybeToTensor" | "PILToTensor" | "MaybePILToTensor" | "ToImage":
                known, self.tensor = not self.tensor, True
                self.top = 1.0 if name.endswith("ToTensor") and "PIL" not in name else None
                return known
            case "ConvertImageDtype" | "ToDtype":
                known = self.tensor and self.top is None and step.dtype is torch.float32
                self.top = 1.0 if getattr(step, "scale", True) else 255.0
                return known
            case "Normalize":
                known = self.top is not None and not self.mean
                self.mean, self.std = _numbers(step.mean), _numbers(step.std)
                return known
            case "ImageClassification":
                return self._preset(step)
        return name in ("Identity", "ToPureTensor", "RGB")

    def _scale(self, size: Any, interpolation: Any) -> bool:
        if self.resize is not None:
            return False
        sides = tuple(size) if isinstance(size, Sequence) else (size,)
        self.resize = (sides[0], sides[1]) if len(sides) == 2 else sides[0]
        self.crop_mode = "squash" if len(sides) == 2 else "center"
        self.interpolation = str(getattr(interpolation, "value", interpolation)).removesuffix("-exact")
        return True

    def _keep_ratio(self, step: Any) -> bool:
        known = self.resize is None and not step.random_scale_prob and not step.random_aspect_prob
        if step.longest not in (0, 1) or not self._scale(step.size, step.interpolation):
            return False
        self.crop_mode = "border" if step.longest else "center"
        return known

    def _crop(self, step: Any, name: str) -> bool:
        size = step.size
        sides = tuple(size) if isinstance(size, Sequence) else (size, size)
        self.size = (sides[0], sides[-1])
        if name == "CenterCropOrPad":
            return step.padding_mode == "constant" and not self.tensor
        return self.crop_mode != "border"

    def _preset(self, step: Any) -> bool:
        if self != _Recipe() or len(step.resize_size) != 1:
            return False
        self._scale(step.resize_size, step.interpolation)
        self.size, self.tensor, self.top = (step.crop_size[0], step.crop_size[-1]), True, 1.0
        self.mean, self.std = tuple(step.mean), tuple(step.std)
        return True

    def preprocess(self) -> Preprocess | None:
        """The same as a :class:`Preprocess`; None where it cannot be."""
        size = self.resize if self.size is None and self.crop_mode == "squash" else self.size
        if self.top is None or self.resize is None or not isinstance(size, tuple):
            return None
        channels = 1 if self.grey else 3
        mean, std = self.mean or (0.0,), self.std or (1.0,)
        if len(mean) == len(std) == 1:
            mean, std = mean * channels, std * channels
        if len(mean) != channels or len(std) != channels:
            return None
        return Preprocess(
            size=_short(size),
            resize=_short(self.resize) if isinstance(self.resize, tuple) else self.resize,
            mean=tuple(value / self.top for value in mean),
            std=tuple(value / self.top for value in std),
            interpolation=self.interpolation,
            crop_mode=self.crop_mode,
        )


def _numbers(values: Any) -> tuple[float, ...]:
    """Means or deviations; those that timm keeps as float32 as they were written."""
    return tuple(float(f"{float(value):.7g}") for value in values)


def _converted(steps: Sequence[object], sample: Image.Image) -> Preprocess | None:
    """The transform as a :class:`Preprocess`; None where its steps are others, or in another order."""
    recipe = _Recipe()
    for step in steps:
        name = _name(step)
        if not name and not recipe.tensor and _converts_to_rgb(step, sample):
            continue
        if not recipe.take(step, name):
            return None
    try:
        return recipe.preprocess()
    except SaliencyError:  # an interpolation or a size that it does not have
        return None


def _converts_to_rgb(step: Any, sample: Image.Image) -> bool:
    """Whether a step is a function that makes photos RGB, as CLIP's, and leaves RGB photos as they are."""
    if "rgb" not in getattr(step, "__name__", "").casefold():
        return False
    try:
        found: object = step(sample.copy())
    except Exception:  # whatever it raises, it does something else
        return False
    return isinstance(found, Image.Image) and found.mode == "RGB" and found.tobytes() == sample.tobytes()


def _agree(preprocess: Preprocess, samples: Sequence[Image.Image], outputs: Sequence[Tensor]) -> bool:
    """Whether the numbers are the transform's own."""
    for sample, expected in zip(samples, outputs, strict=True):
        found, _ = preprocess(sample)
        wanted = expected[None].to(found)
        if found.shape != wanted.shape:
            return False
        if not torch.allclose(found, wanted, rtol=0, atol=TOLERANCE * max(1.0, float(wanted.abs().max()))):
            return False
    return True


def _sample(size: tuple[int, int]) -> Image.Image:
    """A photo of noise with structures of all sizes."""
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.int16)
    noise = random.integers(-40, 41, smooth.shape, dtype=np.int16)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))
