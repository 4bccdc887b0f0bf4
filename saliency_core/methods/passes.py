"""Many passes through a network: counted, checked for finite numbers, and taking turns with other threads.

The network is called as a plain function: no hook is attached, no mode changed and no gradient left on it, so
one thread may do this while others explain with the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor

from saliency_core.errors import NonFiniteError
from saliency_core.methods.multi_pass.counts import OptionValues
from saliency_core.models.classifier import Classifier
from saliency_core.models.running import network_errors
from saliency_core.models.targets import Target, goal_scores
from saliency_core.progress import Lock, ProgressCallback

Gradients = TypeVar("Gradients")

SEED = 0
"""Seed of all noise and masks: the same image and class always give the same map."""
# Small enough for a batch of EfficientNet-Lite0 to take about an eighth of a second on one core, since that
# is how long an explanation waits for its turn; larger ones are hardly faster there, but they are on a GPU.
FORWARD_BATCH = {"cpu": 4}
GRADIENT_BATCH = {"cpu": 2}
LARGE_BATCH = 32
_limit: ContextVar[int] = ContextVar("batch limit", default=LARGE_BATCH)


@contextmanager
def batch_limit(images: int) -> Iterator[None]:
    """Inside the block no more images than these go through the network at once."""
    token = _limit.set(images)
    try:
        yield
    finally:
        _limit.reset(token)


class Passes:
    """The score of changed copies of one image, as a function that many-pass methods call.

    ``x`` is the prepared image (1, C, H, W), in float32 or float64; ``total`` the number of images that will
    go through the network.
    """

    def __init__(
        self,
        classifier: Classifier,
        x: Tensor,
        target: Target,
        total: int,
        progress: ProgressCallback,
        lock: Lock,
    ) -> None:
        prepared = classifier.to_device(x)
        # A network in half precision gets its inputs so, but what is summed over passes is not.
        self.x = prepared.to(torch.promote_types(prepared.dtype, torch.float32), copy=True)
        self.total = total
        self.forward_batch = min(FORWARD_BATCH.get(classifier.device.type, LARGE_BATCH), _limit.get())
        """How many images go through the network at once without gradients."""
        self.gradient_batch = min(GRADIENT_BATCH.get(classifier.device.type, LARGE_BATCH), _limit.get())
        self._classifier = classifier
        self._goal = classifier.goal(target)
        self._progress = progress
        self._lock = lock
        self._done = 0

    def score(self, batch: Tensor) -> Tensor:
        """The class logit, or the value of the function explained, (N, C, H, W) -> (N,), differentiable."""
        logits = self._logits(batch)
        return goal_scores(logits, (self._goal,) * len(logits))

    def probability(self, batch: Tensor) -> Tensor:
        """The class probability, or the value of the function explained, (N, C, H, W) -> (N,)."""
        logits = self._logits(batch)
        probabilities = logits if callable(self._goal) else self._classifier.probabilities(logits)
        return goal_scores(probabilities, (self._goal,) * len(logits))

    def _logits(self, batch: Tensor) -> Tensor:
        """Class scores, (N, C, H, W) -> (N, classes), differentiable."""
        # A copy, since a network may work in place on its input.
        inputs = batch.to(self._classifier.dtype, copy=True)
        scores = self._classifier.scores(inputs)
        if not torch.isfinite(scores).all():
            raise NonFiniteError(
                "the network's class scores contain NaN or infinity for a changed copy of this image, so "
                "nothing can be explained; check its weights and the input"
            )
        return scores.to(self.x.dtype)

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
            with self.turn(len(inputs[0])), network_errors(inputs[0].shape, "backward"):
                return gradients(forward_fn, inputs, *args, **named)

        return turned


def counted_map(
    compute: Callable[[Passes, OptionValues], Tensor],
    options: OptionValues,
    classifier: Classifier,
    x: Tensor,
    target: Target,
    total: int,
    progress: ProgressCallback,
    lock: Lock,
) -> Tensor:
    """The map of a many-pass method for one prepared image, from the passes that `compute` asks for."""
    with torch.inference_mode(False), torch.no_grad(), classifier.device:
        # Inside the block tensors are created on the network's device, whatever the caller's default is.
        return checked_map(compute(Passes(classifier, x, target, total, progress, lock), options))


def checked_map(values: Tensor) -> Tensor:
    """A finished map, (H, W), as float32.

    Raises:
        NonFiniteError: it contains NaN or infinity.
    """
    if not torch.isfinite(values).all():
        raise NonFiniteError(
            "the network's gradients contain NaN or infinity at the input, so there is no map; check its "
            "weights and the input"
        )
    return values.detach().float()
