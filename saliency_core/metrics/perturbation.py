"""Insertion and deletion: whether the network needs the pixels that a map calls important."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saliency_core.combine import FloatMap, checked_map
from saliency_core.errors import ArgumentError, ArgumentTypeError, UnavailableError, UnknownNameError
from saliency_core.explain.arguments import prepared_batch
from saliency_core.methods.passes import Passes
from saliency_core.metrics.perturbation_curve import (
    BASELINES,
    MODES,
    MOST_STEPS,
    RANDOM,
    STEPS,
    Curves,
    PerturbationCurve,
    pixel_count,
    pixel_ranks,
)
from saliency_core.models.catalogue.labels import are_features
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import without_autocast
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import unknown


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


def _picture(x: Tensor, empty: Tensor, ranks: NDArray[np.int64], fraction: float, mode: str) -> Tensor:
    """The photo and the baseline, (C, H, W), put together."""
    first = torch.from_numpy(ranks < pixel_count(fraction, ranks.size)).to(x.device)
    return torch.where(first, empty, x) if mode == "deletion" else torch.where(first, x, empty)


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
