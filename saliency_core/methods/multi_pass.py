r"""Reference methods that need many passes: slow, but independent of any layer's inner workings.

Each takes one prepared image x (1, 3, H, W) and a class, and gives a map (H, W) at the network's input.
Where something is removed from the image it becomes 0, the mean colour of the training photos after
normalising. The network is called as a plain function: Captum attaches no hook, changes no mode and leaves
no gradient on it, so these may run in one thread while other threads explain with the same network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_core.errors import NonFiniteError
from saliency_core.models.classifier import Classifier
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import Registry

Gradients = TypeVar("Gradients")

SEED = 0
"""Seed of all noise and masks: the same photo and class always give the same map."""
# Small enough for a batch of EfficientNet-Lite0 to take less than 0.25 s on two cores, since that is how long
# a quick explanation waits for its turn; larger batches are hardly faster there, but they are on a GPU.
FORWARD_BATCH = {"cpu": 8}
GRADIENT_BATCH = {"cpu": 4}
LARGE_BATCH = 32


class Compute(Protocol):
    """A baseline: one prepared image (1, 3, H, W) and a class index -> a map, float32 (H, W)."""

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        target: int,
        *,
        progress: ProgressCallback = no_progress,
        lock: Lock = NO_LOCK,
    ) -> Tensor:
        """Compute the map; ``progress`` is called, and ``lock`` entered, once per batch of passes."""


@dataclass(frozen=True)
class Baseline:
    """A many-pass method and its price."""

    name: str
    compute: Compute
    passes: int
    """How many times about the network is run on an image of the usual size."""


BASELINES: Registry[Baseline] = Registry("baseline")


class _Passes:
    """The network as a plain function whose passes take turns, are counted and must be finite."""

    def __init__(
        self, classifier: Classifier, x: Tensor, target: int, progress: ProgressCallback, lock: Lock
    ) -> None:
        if x.ndim != 4 or len(x) != 1:
            raise ValueError(f"x has shape {tuple(x.shape)}; expected one prepared image (1, 3, H, W)")
        self.x = classifier.to_device(x).clone()
        self.target = classifier.class_index(target)
        self.total = 0
        self._classifier = classifier
        self._progress = progress
        self._lock = lock
        self._done = 0

    def size(self, sizes: dict[str, int]) -> int:
        """How many images go through the network at once."""
        return sizes.get(self._classifier.device.type, LARGE_BATCH)

    def logits(self, batch: Tensor) -> Tensor:
        """Class scores, (N, 3, H, W) -> (N, classes)."""
        # A copy, since a network may work in place on its input, which is not its own.
        scores: Tensor = self._classifier.tapped(())(batch.clone())
        if not torch.isfinite(scores).all():
            raise NonFiniteError(
                "the network's class scores contain NaN or infinity for a changed copy of this image, so "
                "nothing can be explained; check its weights and the input"
            )
        return scores

    @contextmanager
    def turn(self, count: int) -> Iterator[None]:
        """One batch of passes: within the lock, then reported."""
        with self._lock:
            yield
        self._done += count
        self._progress(self._done, self.total)

    def in_turns(self, gradients: Callable[..., Gradients]) -> Callable[..., Gradients]:
        """Captum's gradient function (forward and backward pass of one batch), each call in its turn."""

        def turned(
            forward_fn: object, inputs: tuple[Tensor, ...], *args: object, **named: object
        ) -> Gradients:
            with self.turn(len(inputs[0])):
                return gradients(forward_fn, inputs, *args, **named)

        return turned

    def finished(self, values: Tensor) -> Tensor:
        """The finished map, (H, W), checked."""
        if not torch.isfinite(values).all():
            raise NonFiniteError(
                "the network's gradients contain NaN or infinity at the input, so there is no map; check its "
                "weights and the input"
            )
        return values.detach().float()


def integrated_gradients(
    classifier: Classifier,
    x: Tensor,
    target: int,
    *,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    steps: int = 50,
) -> Tensor:
    r"""Integrated gradients: what each place adds to the class logit on the way from no photo to the photo.

    .. math:: m_u = \sum_c x_{c,u} \int_0^1 \frac{\partial y}{\partial x_{c,u}}(\alpha x) \, d\alpha

    Captum's attribution has the shape of the input, (3, H, W); the map is its **sum over the channels**, with
    its sign, so that it keeps *completeness*: the map adds up to y(x) - y(0), as exactly as ``steps`` points
    (Gauss-Legendre) sample the integral. Unit: logit.

    Source: Sundararajan, Taly, Yan: Axiomatic attribution for deep networks, ICML 2017.

    Args:
        progress: called with (passes done, passes in all) after every batch; may raise ``Cancelled``.
        lock: entered for every batch of passes.
        steps: points on the way, one forward and backward pass each.

    Raises:
        ValueError: not one image.
        TargetError: a class that the network does not have.
        NonFiniteError: scores or gradients contain NaN or infinity.
    """
    from captum.attr import IntegratedGradients  # half a second, which only those who ask for it pay

    with torch.inference_mode(False), torch.enable_grad():
        passes = _Passes(classifier, x, target, progress, lock)
        passes.total = steps
        method = IntegratedGradients(passes.logits)
        method.gradient_func = passes.in_turns(method.gradient_func)
        attribution: Tensor = method.attribute(
            passes.x,
            baselines=0.0,
            target=passes.target,
            n_steps=steps,
            internal_batch_size=passes.size(GRADIENT_BATCH),
        )
        return passes.finished(attribution[0].sum(dim=0))  # (3, H, W) -> (H, W)


def smoothgrad(
    classifier: Classifier,
    x: Tensor,
    target: int,
    *,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    samples: int = 50,
    noise: float = 0.15,
) -> Tensor:
    r"""SmoothGrad: the gradient of the class logit, averaged over noisy copies of the photo.

    .. math:: m_u = \max_c \Big| \frac1n \sum_i \frac{\partial y}{\partial x_{c,u}}(x + \epsilon_i) \Big|,
              \quad \epsilon_i \sim N(0, \sigma^2), \quad \sigma = 0.15 (\max x - \min x)

    Captum's attribution has the shape of the input, (3, H, W); the map is the **largest absolute value over
    the channels** of the mean, as for the plain gradient, which is the case of no noise. The noise is drawn
    from a seeded generator of its own, one sample after the other, so that a map never depends on the batch
    size or on what else draws random numbers in the process; Captum's ``NoiseTunnel`` draws from the global
    generator, which other threads share.

    Source: Smilkov et al.: SmoothGrad, removing noise by adding noise, 2017.

    Args:
        progress: called with (passes done, passes in all) after every batch; may raise ``Cancelled``.
        lock: entered for every batch of passes.
        samples: noisy copies, one forward and backward pass each.
        noise: standard deviation of the noise as a share of the input's range.

    Raises:
        ValueError: not one image.
        TargetError: a class that the network does not have.
        NonFiniteError: scores or gradients contain NaN or infinity.
    """
    from captum.attr import Saliency  # half a second, which only those who ask for it pay

    with torch.inference_mode(False), torch.enable_grad():
        passes = _Passes(classifier, x, target, progress, lock)
        passes.total = samples
        method = Saliency(passes.logits)
        method.gradient_func = passes.in_turns(method.gradient_func)
        generator = torch.Generator().manual_seed(SEED)
        deviation = noise * (passes.x.max() - passes.x.min())
        total = torch.zeros_like(passes.x[0])
        size = passes.size(GRADIENT_BATCH)
        for start in range(0, samples, size):
            count = min(size, samples - start)
            # Drawn on the CPU: every device sees the same noise.
            drawn = [torch.randn(passes.x.shape[1:], generator=generator) for _ in range(count)]
            noisy = (passes.x + deviation * torch.stack(drawn).to(passes.x)).requires_grad_()
            total += method.attribute(noisy, target=passes.target, abs=False).sum(dim=0)
        return passes.finished((total / samples).abs().amax(dim=0))  # (3, H, W) -> (H, W)


def occlusion(
    classifier: Classifier,
    x: Tensor,
    target: int,
    *,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    window: float = 1 / 7,
) -> Tensor:
    r"""Occlusion: how far the class logit falls when a window around the place is painted in the mean colour.

    .. math:: m_u = \frac{1}{|\{w \ni u\}|} \sum_{w \ni u} \big( y(x) - y(x \text{ without } w) \big)

    The window slides by half its side: 32 pixels by 16 for an input of 224 × 224, so one pass for the photo
    and 13 × 13 for the windows; the last ones are cut off at the border where they do not fit. Captum gives
    all three channels the same attribution, since a window covers them together; the map is their **mean**.
    Negative where the class gains by the covering. Unit: logit.

    Source: Zeiler, Fergus: Visualizing and understanding convolutional networks, ECCV 2014.

    Args:
        progress: called with (passes done, passes in all) after every batch; may raise ``Cancelled``.
        lock: entered for every batch of passes.
        window: side of the window as a share of the input's side.

    Raises:
        ValueError: not one image.
        TargetError: a class that the network does not have.
        NonFiniteError: scores contain NaN or infinity.
    """
    from captum.attr import Occlusion  # half a second, which only those who ask for it pay

    with torch.inference_mode(False), torch.no_grad():
        passes = _Passes(classifier, x, target, progress, lock)
        shape = passes.x.shape[2:]
        sides = [max(1, round(side * window)) for side in shape]
        strides = [max(1, side // 2) for side in sides]
        counts = [
            math.ceil((length - side) / stride) + 1
            for length, side, stride in zip(shape, sides, strides, strict=True)
        ]
        passes.total = 1 + math.prod(counts)

        def forward(batch: Tensor) -> Tensor:
            with passes.turn(len(batch)):
                return passes.logits(batch)

        attribution: Tensor = Occlusion(forward).attribute(
            passes.x,
            sliding_window_shapes=(3, *sides),
            strides=(3, *strides),
            baselines=0.0,
            target=passes.target,
            perturbations_per_eval=passes.size(FORWARD_BATCH),
        )
        return passes.finished(attribution[0].mean(dim=0))  # (3, H, W) -> (H, W)


def rise(
    classifier: Classifier,
    x: Tensor,
    target: int,
    *,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    masks: int = 2000,
    cells: int = 7,
    keep: float = 0.5,
) -> Tensor:
    r"""RISE: the class probability of randomly masked photos, summed where the mask lets the photo through.

    .. math:: m_u = \frac{1}{N \, \mathrm{E}[M]} \sum_{i=1}^{N} p(x \odot M_i) \, M_{i,u}

    p is the softmax **probability** of the class, as in the paper, so a map says nothing where the class has
    no chance under any mask. A mask is a grid of ``cells`` × ``cells`` that keeps each cell with probability
    ``keep`` = E[M], resized bilinearly to one cell more than the input and cut out at a random place. Grids
    and places come from a seeded generator of its own. The paper takes 4000 to 8000 masks; fewer leave more
    of the masks' own pattern in the map.

    Source: Petsiuk, Das, Saenko: RISE, randomized input sampling for explanation of black-box models,
    BMVC 2018.

    Args:
        progress: called with (passes done, passes in all) after every batch; may raise ``Cancelled``.
        lock: entered for every batch of passes.
        masks: N, one forward pass each.
        cells: cells of the grid along each side.
        keep: share of the cells that let the photo through.

    Raises:
        ValueError: not one image.
        TargetError: a class that the network does not have.
        NonFiniteError: scores contain NaN or infinity.
    """
    with torch.inference_mode(False), torch.no_grad():
        passes = _Passes(classifier, x, target, progress, lock)
        passes.total = masks
        # Drawn on the CPU and all at once: the same for every device and batch size.
        generator = torch.Generator().manual_seed(SEED)
        grids = (torch.rand(masks, 1, cells, cells, generator=generator) < keep).to(passes.x)
        height, width = passes.x.shape[2:]
        cell = (math.ceil(height / cells), math.ceil(width / cells))
        places = [torch.randint(side, (masks,), generator=generator).tolist() for side in cell]
        resized = ((cells + 1) * cell[0], (cells + 1) * cell[1])
        total = torch.zeros_like(passes.x[0, 0])
        size = passes.size(FORWARD_BATCH)
        for start in range(0, masks, size):
            some = slice(start, start + size)
            large = F.interpolate(grids[some], resized, mode="bilinear", align_corners=False)
            tops, lefts = (place[some] for place in places)
            cut = torch.stack(
                [
                    mask[:, top : top + height, left : left + width]
                    for mask, top, left in zip(large, tops, lefts, strict=True)
                ]
            )  # (n, 1, H, W)
            with passes.turn(len(cut)):
                probabilities = passes.logits(passes.x * cut).softmax(dim=1)[:, passes.target]
            total += torch.einsum("n,nhw->hw", probabilities, cut[:, 0])
        return passes.finished(total / (masks * keep))


for _baseline in (
    Baseline("integrated_gradients", integrated_gradients, passes=50),
    Baseline("smoothgrad", smoothgrad, passes=50),
    Baseline("occlusion", occlusion, passes=170),
    Baseline("rise", rise, passes=2000),
):
    BASELINES.add(_baseline.name, _baseline)
