"""Insertion and deletion: whether the network needs the pixels that a map calls important."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saliency_core.combine import FloatMap, checked_map, resize
from saliency_core.errors import ArgumentError, ArgumentTypeError, UnavailableError, UnknownNameError
from saliency_core.explain.arguments import prepared_batch
from saliency_core.methods.passes import Passes
from saliency_core.models.catalogue.labels import are_features
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import Registry, unknown

RANDOM = "random"
"""The name of the curve of a random order."""
MODES = ("deletion", "insertion")
STEPS = 32
MOST_STEPS = 512
BLUR_KERNEL = 11
BLUR_SIGMA = 5.0
"""Of the blurred photo, in pixels of the input, as the authors'."""


@dataclass(frozen=True)
class Baseline:
    """What takes the place of pixels that are removed."""

    name: str
    title: str
    summary: str
    """One sentence."""
    make: Callable[[Classifier, Tensor], Tensor] = field(repr=False)
    """A prepared image (1, C, H, W) -> what is left without its pixels, of the same shape."""


BASELINES: Registry[Baseline] = Registry("baseline")


@dataclass(frozen=True)
class PerturbationCurve:
    """The probability of a class while pixels are removed from a photo, and while they are put back."""

    fractions: NDArray[np.float64]
    """Shares of the pixels, from 0 to 1, (steps + 1,)."""
    deletion: NDArray[np.float64]
    """The probability without this share of the pixels, the most important first; NaN if not computed yet."""
    insertion: NDArray[np.float64]
    """The probability with this share of the pixels alone."""

    @property
    def deletion_area(self) -> float | None:
        """The area under ``deletion``, in [0, 1]; lower is better. None until it is complete."""
        return _area(self.fractions, self.deletion)

    @property
    def insertion_area(self) -> float | None:
        """The area under ``insertion``, in [0, 1]; higher is better. None until it is complete."""
        return _area(self.fractions, self.insertion)


Curves = Mapping[str, PerturbationCurve]


def perturbation_curves(
    classifier: Classifier,
    image: Image.Image | Tensor,
    maps: Mapping[str, FloatMap],
    target: int | str | None = None,
    *,
    baseline: str = "blur",
    steps: int = STEPS,
    random_order: bool = True,
    seed: int = 0,
    fit: str = "crop",
    batch: int | None = None,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    partial: Callable[[Curves], None] | None = None,
) -> Curves:
    r"""Deletion and insertion curves of one photo for several maps, and for a random order.

    Deletion replaces the photo's pixels by those of the baseline, insertion those of the baseline by the
    photo's, k of ``steps`` shares of them, in the order of the map from its largest value down. The value is
    the class's probability (softmax; sigmoid in a multi-label network). The area under a curve is that of
    the trapezoid rule: with f the share of the pixels,

    .. math:: \int_0^1 p(f) \, df \approx \sum_{k=1}^{n} \frac{p(f_{k-1}) + p(f_k)}{2 n}

    Pixels are those of the network's input, after the fit. Maps are resized to it (bilinear); equal values
    are ordered at random, seeded, so a constant map has a random order. The areas depend on the baseline: the
    authors delete to the mean colour and insert into the blurred photo; here both use the one asked for.

    Source: Petsiuk, Das, Saenko: RISE, randomized input sampling for explanation of black-box models,
    BMVC 2018.

    Args:
        image: a PIL image, or a prepared tensor (1, C, H, W).
        maps: by the names of their curves, (h, w) each.
        target: class index or label; the most likely class of the photo if None.
        baseline: ``"blur"``, ``"mean"`` or ``"black"``, see :data:`BASELINES`.
        steps: how many shares of the pixels, from 1 to 512.
        random_order: whether to add a curve named ``"random"``.
        seed: of the random order, and of the order of equal values.
        fit: how a PIL image is fitted to the input.
        batch: how many images pass together; what suits the device if None.
        progress: called with (passes done, passes in all); what it raises stops the computation.
        lock: entered for every batch of passes.
        partial: called after every batch with the curves so far, whose other values are NaN. Coarse steps
            come first.

    Raises:
        ArgumentError, ArgumentTypeError: maps, steps, an image or a batch that cannot be used.
        UnknownNameError: an unknown baseline or fit.
        TargetError: a class that does not exist.
        UnavailableError: a network without classes, whose features have no probability.
        NonFiniteError: NaN or infinity in the network.
    """
    orders = _checked_maps(maps, random_order)
    count = _checked_count(steps, "steps", MOST_STEPS)
    if batch is not None:
        batch = _checked_count(batch, "batch", 1 << 16)
    made = BASELINES[baseline]
    if are_features(classifier.labels):
        raise UnavailableError(
            "this network has features instead of classes, and a feature has no probability that insertion "
            "and deletion could follow; choose a network with classes"
        )
    if callable(target):
        raise ArgumentTypeError("target is a function; expected a class, whose probability is followed")
    goal = None if target is None else classifier.class_index(target)
    with torch.inference_mode(False), torch.no_grad(), without_autocast(classifier.device):
        x = classifier.to_device(prepared_batch(classifier, [image], fit)[0])
        with lock:
            if goal is None:
                goal = int(classifier.scores(x.clone())[0].argmax())
            empty = made.make(classifier, x)
        size = (x.shape[2], x.shape[3])
        ranks = {name: pixel_ranks(values, size, seed) for name, values in orders.items()}
        shares = np.arange(count + 1) / count
        found = {name: {mode: np.full(count + 1, np.nan) for mode in MODES} for name in orders}
        # All curves begin and end with the photo and the baseline themselves, which pass once.
        first = next(iter(orders))
        jobs = [(first, "deletion", 0), (first, "deletion", count)]
        jobs += [(name, mode, k) for k in _coarse_first(count) for name in orders for mode in MODES]
        network = Passes(classifier, x, goal, len(jobs), progress, lock)
        for some in _batches(jobs, batch or network.forward_batch):
            pictures = [_picture(x[0], empty[0], ranks[name], shares[k], mode) for name, mode, k in some]
            with network.turn(len(some)):
                probabilities = network.probability(torch.stack(pictures)).double().cpu().tolist()
            for (name, mode, k), value in zip(some, probabilities, strict=True):
                if 0 < k < count:
                    found[name][mode][k] = value
                    continue
                for each in found.values():
                    each["deletion"][k] = each["insertion"][count - k] = value
            if partial is not None:
                partial(_curves(shares, found))
    return _curves(shares, found)


def perturbed(
    image: Tensor, baseline: Tensor, values: FloatMap, fraction: float, mode: str = "deletion", seed: int = 0
) -> Tensor:
    """The input at a place of a curve of :func:`perturbation_curves`, (1, C, H, W).

    Args:
        image: the prepared photo, (1, C, H, W).
        baseline: what :func:`baseline_input` makes of it.
        values: the map, (h, w).
        fraction: the share of the pixels, from 0 to 1.
        mode: ``"deletion"`` or ``"insertion"``.
        seed: of the order of equal values.

    Raises:
        UnknownNameError: another mode.
        ArgumentError, ArgumentTypeError: tensors, a map or a share that cannot be used.
    """
    if mode not in MODES:
        raise UnknownNameError(unknown("mode", mode, MODES))
    if image.ndim != 4 or len(image) != 1 or image.shape != baseline.shape:
        raise ArgumentError(
            f"image has shape {tuple(image.shape)} and baseline {tuple(baseline.shape)}; expected "
            "(1, C, H, W) twice"
        )
    if not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
        raise ArgumentError(f"fraction is {fraction!r}; expected from 0 to 1")
    ranks = pixel_ranks(checked_map(values, "the map"), (image.shape[2], image.shape[3]), seed)
    return _picture(image[0], baseline[0], ranks, fraction, mode)[None]


def baseline_input(classifier: Classifier, image: Tensor, baseline: str = "blur") -> Tensor:
    """What takes the place of a prepared image's pixels, (1, C, H, W) -> the same; see :data:`BASELINES`.

    Raises:
        UnknownNameError: an unknown baseline.
        ArgumentError: not one prepared image; black for a network whose inputs are no photos.
    """
    made = BASELINES[baseline]
    x = classifier.to_device(image)
    if len(x) != 1:
        raise ArgumentError(f"image has shape {tuple(x.shape)}; expected one prepared image (1, C, H, W)")
    return made.make(classifier, x)


def pixel_ranks(values: FloatMap | None, size: tuple[int, int], seed: int = 0) -> NDArray[np.int64]:
    """Each pixel's place in the order in which pixels are removed, from 0, (H, W).

    From the largest value of the map resized to ``size`` down, equal ones at random; all at random for None.
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise ArgumentError(f"seed is {seed!r}; expected a whole number from 0")
    shuffled = np.random.default_rng(int(seed)).permutation(size[0] * size[1])
    if values is not None:
        large = resize(values, size).ravel()
        shuffled = shuffled[np.argsort(-large[shuffled], kind="stable")]
    ranks = np.empty(shuffled.size, np.int64)
    ranks[shuffled] = np.arange(shuffled.size)
    return ranks.reshape(size)


def _picture(x: Tensor, empty: Tensor, ranks: NDArray[np.int64], fraction: float, mode: str) -> Tensor:
    """The photo and the baseline, (C, H, W), put together."""
    first = torch.from_numpy(ranks < pixel_count(fraction, ranks.size)).to(x.device)
    return torch.where(first, empty, x) if mode == "deletion" else torch.where(first, x, empty)


def pixel_count(fraction: float, pixels: int) -> int:
    """How many pixels a share is, to the nearest one."""
    return math.floor(fraction * pixels + 0.5)


def _coarse_first(steps: int) -> list[int]:
    """The steps between the ends, the middle first, then those between the ones so far."""
    order: list[int] = []
    stride = 1 << max(steps - 1, 1).bit_length()
    while stride >= 1:
        order += [k for k in range(stride, steps, stride) if k % (2 * stride) or not order]
        stride //= 2
    return list(dict.fromkeys(order))


def _batches(jobs: list[tuple[str, str, int]], size: int) -> Iterator[list[tuple[str, str, int]]]:
    left = iter(jobs)
    while some := list(islice(left, size)):
        yield some


def _curves(shares: NDArray[np.float64], found: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> Curves:
    return {
        name: PerturbationCurve(shares, modes["deletion"].copy(), modes["insertion"].copy())
        for name, modes in found.items()
    }


def _area(shares: NDArray[np.float64], values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).any() else float(np.trapezoid(values, shares))


def _checked_maps(maps: object, random_order: bool) -> dict[str, FloatMap | None]:
    if not isinstance(maps, Mapping) or not all(isinstance(name, str) and name for name in maps):
        raise ArgumentTypeError(f"maps is {maps!r}; expected a mapping from a name to a map")
    if RANDOM in maps and random_order:
        raise ArgumentError(f"a map is named {RANDOM!r}, as the curve of the random order; rename it")
    orders: dict[str, FloatMap | None] = {
        name: checked_map(values, f"the map {name!r}") for name, values in maps.items()
    }
    if random_order:
        orders[RANDOM] = None
    if not orders:
        raise ArgumentError("no maps were given; expected at least one")
    return orders


def _checked_count(given: object, what: str, most: int) -> int:
    if not isinstance(given, Integral) or isinstance(given, bool):
        raise ArgumentTypeError(f"{what} is {given!r}; expected a whole number")
    if not 1 <= int(given) <= most:
        raise ArgumentError(f"{what} is {given}; expected from 1 to {most}")
    return int(given)


def _blurred(_classifier: Classifier, x: Tensor) -> Tensor:
    half = BLUR_KERNEL // 2
    at = torch.arange(-half, half + 1, dtype=torch.float64)
    weights = torch.exp(-(at**2) / (2 * BLUR_SIGMA**2))
    kernel = (weights / weights.sum()).to(x)
    channels = x.shape[1]
    wide = F.pad(x, (half, half, half, half), mode="replicate")
    across = F.conv2d(wide, kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)


def _mean(_classifier: Classifier, x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def _black(classifier: Classifier, x: Tensor) -> Tensor:
    height, width = classifier.preprocess.input_size
    black, _ = classifier.prepare(Image.new("RGB", (width, height)))
    middle = black[:, :, black.shape[2] // 2, black.shape[3] // 2]  # what is around it may be padding
    return middle[:, :, None, None].to(x).expand_as(x).clone()


for _baseline in (
    Baseline(
        "blur",
        "Blurred photo",
        f"The photo blurred by a Gaussian with σ = {BLUR_SIGMA:g} pixels of the input, {BLUR_KERNEL} × "
        f"{BLUR_KERNEL}; colours and large shapes stay.",
        _blurred,
    ),
    Baseline(
        "mean",
        "Mean colour",
        "0 after normalising: for most networks the mean of the training photos.",
        _mean,
    ),
    Baseline("black", "Black", "Black, which the edges of the pixels that are left stand out from.", _black),
):
    BASELINES.add(_baseline.name, _baseline)
