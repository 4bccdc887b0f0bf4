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
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from saliency_core.errors import ArgumentError, ArgumentTypeError, SaliencyError, first_line
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
        self._places: dict[tuple[int, int], _Place | None] = {}

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

    def _place(self, size: tuple[int, int]) -> _Place | None:
        if size not in self._places:
            while len(self._places) >= 16:
                self._places.pop(next(iter(self._places)), None)
            self._places[size] = _find_place(self.tensor, size)
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


# -- where the input lies in the photo -----------------------------------------------------------------------

LEVEL = 1 / 255
"""The step of a gradient's values, as a share of the side that it runs along."""


@dataclass(frozen=True)
class _Place:
    """Where the input of photos of one size lies, and what the transform makes of black and white."""

    box: InputRegion
    inside: tuple[slice, slice]
    """Rows and columns of the input that show the photo; the others are padding."""
    black: Tensor
    white: Tensor

    def shows(self, photo: Image.Image, found: Tensor) -> bool:
        """Whether the input shows this part of this photo, so far as its pixels tell."""
        if found.shape != self.black.shape:
            return False
        rows, columns = self.inside
        actual = _shares(found, self.black, self.white)[self.inside]
        (left, top, right, bottom), (height, width) = self.box, found.shape[1:]
        across, down = (right - left) / width, (bottom - top) / height
        region = (
            max(left + across * columns.start, 0.0),
            max(top + down * rows.start, 0.0),
            min(left + across * columns.stop, float(photo.width)),
            min(top + down * rows.stop, float(photo.height)),
        )
        size = (actual.shape[1], actual.shape[0])
        cut = photo.resize(size, Image.Resampling.BILINEAR, box=region).convert("L")
        expected = np.asarray(cut, np.float64) / 255
        deviations = expected.std(), actual.std()
        if deviations[0] < 2 * LEVEL:  # one colour everywhere
            return bool(deviations[1] < 4 * LEVEL)
        if not deviations[1] > 0:
            return False
        return bool(np.corrcoef(expected.ravel(), actual.ravel())[0, 1] > 0.9)


def _find_place(transform: Callable[[Image.Image], Tensor], size: tuple[int, int]) -> _Place | None:
    """Where the input of photos of this (width, height) comes from; None if it is no rectangle of them."""
    width, height = size
    black, white = (transform(Image.new("RGB", size, color)) for color in ("black", "white"))
    if black.shape != white.shape:
        return None
    gain = (white - black).abs()
    largest = gain.amax(dim=(1, 2))
    changing = largest > 1e-3 * largest.max()
    if not bool(changing.any()):
        return None
    covered = (gain[changing] > 0.9 * largest[changing, None, None]).all(dim=0).numpy()
    rows, columns = (_span(np.asarray(covered.any(axis=axis))) for axis in (1, 0))
    if not covered[rows, columns].all():
        return None
    inside = (rows, columns)
    edges = []
    for axis, side in ((1, width), (0, height)):
        ramp = np.round(np.linspace(0, 255, side)).astype(np.uint8)
        grid = np.broadcast_to(ramp[None, :] if axis == 1 else ramp[:, None], (height, width))
        found = transform(Image.fromarray(np.ascontiguousarray(grid)).convert("RGB"))
        if found.shape != black.shape:
            return None
        shares = _shares(found, black, white)[inside]
        across = _edges(shares if axis == 1 else shares.T, inside[axis].start, found.shape[axis + 1], side)
        if across is None:
            return None
        edges.append(across)
    (left, right), (top, bottom) = edges
    return _Place((left, top, right, bottom), inside, black, white)


def _span(covered: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(covered)
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)


def _shares(found: Tensor, black: Tensor, white: Tensor) -> NDArray[np.float64]:
    """An input as the way from black (0) to white (1), the mean over the channels that differ, (H, W)."""
    gain = (white - black).double()
    present = gain.abs() > 0
    ways = torch.where(present, (found - black).double() / torch.where(present, gain, 1.0), 0.0)
    return np.asarray(ways.sum(dim=0) / present.sum(dim=0).clamp(min=1), np.float64)


def _edges(shares: NDArray[np.float64], first: int, length: int, side: int) -> tuple[float, float] | None:
    """Where the input begins and ends along an axis of the photo, from what it shows of a gradient.

    Args:
        shares: (positions across, positions along), from 0 to 1, of the part that shows the photo.
        first: the index of its first position in the input.
        length: of the input.
        side: of the photo.
    """
    count = shares.shape[1]
    tolerance = (1.5 * LEVEL) * side + 0.5
    # A few at each end are left out: what is resampled there lacks its neighbours.
    kept = slice(count // 10, count - count // 10)
    seen = shares[:, kept] * (side - 1) + 0.5
    if seen.shape[1] < 2 or not np.isfinite(seen).all():
        return None
    at = np.arange(count)[kept] + first + 0.5
    profile = seen.mean(axis=0)
    slope, start = np.polyfit(at, profile, 1)
    if slope <= 0 or np.abs(seen - (slope * at + start)).max() > tolerance:
        return None
    begin, end = float(start), float(start + slope * length)
    # The photo's own borders, to which it is never nearer than a gradient can show.
    begin = 0.0 if abs(begin) < LEVEL * side else begin
    end = float(side) if abs(end - side) < LEVEL * side else end
    return begin, end
