"""What is explained: the score of a class, or the value of a function of the class scores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_core.errors import NonFiniteError, SaliencyError, TargetError, first_line

ScoreFunction = Callable[[Tensor], Tensor]
"""Called with the class scores of one image, the logits (1, classes); returns one number that has a gradient,
such as ``lambda logits: logits[:, 3] - logits[:, 5]``."""

Target = int | str | ScoreFunction
"""A class by its index or its label, or a function of the class scores."""

Goal = int | ScoreFunction
"""What a target stands for: a class by its index, or a function of the class scores."""

UNNAMED = "custom target"


@dataclass(frozen=True)
class MostLikelyOf:
    """Of several classes the one that is most likely for the image, found by the pass that explains it.

    Its explanation is that of this class, by its index.
    """

    classes: tuple[int, ...]

    def chosen(self, logits: Tensor) -> int:
        """The index of the class, from the class scores (classes,) of one image; the first of equal ones."""
        return self.classes[int(logits[list(self.classes)].argmax())]

    def __call__(self, logits: Tensor) -> Tensor:
        """The score of this class, from the class scores of one image, (1, classes)."""
        return logits[:, self.chosen(logits[0].detach())]


def function_name(function: ScoreFunction) -> str:
    """What a function is called in titles: its own name in words, or "custom target" if it has none.

    >>> def cat_minus_dog(logits):
    ...     return logits[:, 3] - logits[:, 5]
    >>> function_name(cat_minus_dog), function_name(lambda logits: logits.sum())
    ('cat minus dog', 'custom target')
    """
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = getattr(inner, "__name__", type(inner).__name__)
    return UNNAMED if name == "<lambda>" else str(name).replace("_", " ").strip()


def goal_scores(logits: Tensor, goals: Sequence[Goal]) -> Tensor:
    """One score per image, (N,), differentiable: the logit of the class, or the function's value.

    A function gets the scores of one image at a time, so that no image can change another one's map.

    Args:
        logits: (N, classes).
        goals: one for each image.

    Raises:
        TargetError: a function that fails, returns something else than one number, or whose value has no
            gradient where the class scores have one.
        NonFiniteError: a function's value is NaN or infinite.
    """
    if any(callable(goal) for goal in goals):
        rows = zip(torch.split(logits, 1), goals, strict=True)
        return torch.cat([_value(row, goal) if callable(goal) else row[:, goal] for row, goal in rows])
    return logits.gather(1, torch.tensor(goals, device=logits.device)[:, None])[:, 0]


def _value(logits: Tensor, function: ScoreFunction) -> Tensor:
    """The function's value, (1,), for the scores (1, classes) of one image."""
    name, shape = function_name(function), tuple(logits.shape)
    given = f"the function {name!r} given as target"
    try:
        value: object = function(logits.clone())  # which it may change in place
    except (SaliencyError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise TargetError(f"{given} failed for class scores of shape {shape}: {first_line(error)}") from error
    expected = "expected one number as a tensor, such as logits[:, 0]"
    if not isinstance(value, Tensor):
        raise TargetError(f"{given} returned a {type(value).__name__}; {expected}")
    if value.numel() != 1:
        raise TargetError(
            f"{given} returned shape {tuple(value.shape)} for class scores of shape {shape}; {expected}"
        )
    if not value.is_floating_point() or (logits.requires_grad and not value.requires_grad):
        raise TargetError(
            f"{given} has no gradient: what it returns does not depend on the class scores, or passes "
            "through argmax, item(), detach() or NumPy; compute it from the class scores with torch alone"
        )
    if not torch.isfinite(value).all():
        raise NonFiniteError(f"{given} is {value.item()} for this image, so it cannot be explained")
    return value.reshape(1).to(logits)
