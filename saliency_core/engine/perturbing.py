"""Insertion and deletion where the network is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saliency_core.combine import FloatMap, normalise
from saliency_core.engine.evaluations import Helpers
from saliency_core.engine.perturbation import Perturbation
from saliency_core.inputs.transforms import OwnTransform
from saliency_core.metrics.perturbation import baseline_input, perturbation_curves
from saliency_core.metrics.perturbation_curve import RANDOM, Curves, pixel_count, pixel_ranks
from saliency_core.models.classifier import Classifier


def perturbation(
    classifier: Classifier,
    image: Image.Image,
    maps: Sequence[FloatMap],
    target: int | None,
    *,
    baseline: str,
    steps: int,
    seed: int,
    fit: str,
    helpers: Helpers[Perturbation],
) -> Perturbation:
    """The curves of the maps and of a random order, with the pictures that the network saw.

    Arguments as for :func:`saliency_core.metrics.perturbation.perturbation_curves`.
    """
    named = {str(index): values for index, values in enumerate(maps)}
    batch, _ = classifier.prepare(image, fit)
    size = (batch.shape[2], batch.shape[3])
    ranks = [pixel_ranks(values, size, seed) for values in (*maps, None)]
    with helpers.lock:
        removed = baseline_input(classifier, batch, baseline)
    empty = Perturbation(
        curves=(),
        levels=np.stack([_levels(each, steps) for each in ranks]),
        photo=_picture(classifier, batch),
        baseline=_picture(classifier, removed),
    )

    def answer(curves: Curves) -> Perturbation:
        return replace(empty, curves=tuple(curves[name] for name in (*named, RANDOM)))

    return answer(
        perturbation_curves(
            classifier,
            image,
            named,
            target,
            baseline=baseline,
            steps=steps,
            seed=seed,
            fit=fit,
            progress=helpers.progress,
            lock=helpers.lock,
            partial=lambda curves: helpers.partial(answer(curves)),
        )
    )


def _levels(ranks: NDArray[np.int64], steps: int) -> NDArray[np.uint8]:
    """For every pixel the step in which it is changed, (H, W) -> (H, W)."""
    ends = [pixel_count(step / steps, ranks.size) for step in range(1, steps + 1)]
    return np.searchsorted(ends, ranks, side="right").astype(np.uint8)


def _picture(classifier: Classifier, batch: Tensor) -> NDArray[np.uint8]:
    """An input (1, C, H, W) as a picture (H, W, 3).

    A transform of one's own does not tell what its values mean: they are scaled to what can be seen.
    """
    preprocess = classifier.preprocess
    values = batch[0].permute(1, 2, 0).float().cpu().numpy()
    if isinstance(preprocess, OwnTransform):
        values = normalise(values)
    else:
        values = values * preprocess.std + preprocess.mean
    pixels = np.clip(np.rint(255 * values), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
