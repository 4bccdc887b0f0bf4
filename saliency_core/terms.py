"""What many methods need of an activation and a gradient, each computed once when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

FOLD = 16
FEW_PLACES = 1024


def square_sum(values: Tensor) -> Tensor:
    """Squared Euclidean norm over the channels, (N, C, H, W) -> (N, H, W)."""
    # Not torch.linalg.vector_norm: over a strided dimension it is thirty times slower on the CPU.
    return values.square().sum(dim=1)


def channel_max(values: Tensor) -> Tensor:
    """Maximum over the channels, (N, C, H, W) -> (N, H, W)."""
    count, channels, height, width = values.shape
    if channels % FOLD == 0 and height * width < FEW_PLACES:
        # In two steps, the first over long rows: several times quicker on the CPU where planes are small.
        values = values.reshape(count, FOLD, channels // FOLD, height, width).amax(dim=1)
    return values.amax(dim=1)


def padded(values: Tensor) -> Tensor:
    """A border of zeros around (N, C, H, W) or (N, H, W)."""
    return F.pad(values, (1, 1, 1, 1))


def box(values: Tensor) -> Tensor:
    """Sum over the 3 × 3 neighbourhood with zero padding, on (N, C, H, W) or (N, H, W)."""
    return box_within(padded(values))


def highest(values: Tensor) -> Tensor:
    """Maximum over the zero-padded 3 × 3 neighbourhood, where the zeros count."""
    return highest_within(padded(values))


def lowest(values: Tensor) -> Tensor:
    """Minimum over the zero-padded 3 × 3 neighbourhood, where the zeros count."""
    return lowest_within(padded(values))


def box_within(border: Tensor) -> Tensor:
    """As ``box``, of values that have their border already."""
    if border.ndim == 3 and border[0].numel() <= FEW_PLACES:
        return F.avg_pool2d(border, 3, stride=1, divisor_override=1)
    # Rows, then columns: on the CPU ten times quicker than a pooling of anything but a few small planes.
    rows = border[..., :-2, :] + border[..., 1:-1, :]
    rows += border[..., 2:, :]
    total = rows[..., :-2] + rows[..., 1:-1]
    total += rows[..., 2:]
    return total


def highest_within(border: Tensor) -> Tensor:
    """As ``highest``, of values that have their border already."""
    if border.ndim == 3 and border[0].numel() <= FEW_PLACES:
        return F.max_pool2d(border, 3, stride=1)
    return _extreme(border, torch.maximum)


def lowest_within(border: Tensor) -> Tensor:
    """As ``lowest``, of values that have their border already."""
    return _extreme(border, torch.minimum)


def _extreme(border: Tensor, further: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    rows = further(further(border[..., :-2, :], border[..., 1:-1, :]), border[..., 2:, :])
    return further(further(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


@dataclass(frozen=True)
class Terms:
    """An activation ``x`` and a gradient ``g``, both (N, C, H, W), and the planes (N, H, W) made of them.

    The suffixes ``_up`` and ``_down`` are the positive parts ``max(a, 0)`` and ``max(-a, 0)``.
    """

    x: Tensor
    g: Tensor

    @cached_property
    def x_is_positive(self) -> bool:
        """Whether no activation is negative, as behind a ReLU: its negative parts need no work."""
        return bool((self.x_min >= 0).all())

    @cached_property
    def x_up(self) -> Tensor:
        return self.x if self.x_is_positive else self.x.relu()

    @cached_property
    def x_down(self) -> Tensor:
        return self.x_up - self.x

    @cached_property
    def g_up(self) -> Tensor:
        return self.g.relu()

    @cached_property
    def g_down(self) -> Tensor:
        return self.g_up - self.g

    @cached_property
    def product(self) -> Tensor:
        """The product x ⊙ g, (N, C, H, W)."""
        return self.x * self.g

    @cached_property
    def x_sum(self) -> Tensor:
        return self.x.sum(dim=1)

    @cached_property
    def g_sum(self) -> Tensor:
        return self.g.sum(dim=1)

    @cached_property
    def x_squares(self) -> Tensor:
        """x² per channel, (N, C, H, W)."""
        return self.x.square()

    @cached_property
    def g_squares(self) -> Tensor:
        """g² per channel, (N, C, H, W)."""
        return self.g.square()

    @cached_property
    def g_up_squares(self) -> Tensor:
        return self.g_up.square()

    @cached_property
    def g_down_squares(self) -> Tensor:
        return self.g_down.square()

    @cached_property
    def x_up_squares(self) -> Tensor:
        return self.x_squares if self.x_is_positive else self.x_up.square()

    @cached_property
    def x_down_squares(self) -> Tensor:
        return self.x_down.square()

    @cached_property
    def x_square(self) -> Tensor:
        return self.x_squares.sum(dim=1)

    @cached_property
    def g_square(self) -> Tensor:
        return self.g_squares.sum(dim=1)

    @cached_property
    def x_up_square(self) -> Tensor:
        return self.x_square if self.x_is_positive else self.x_up_squares.sum(dim=1)

    @cached_property
    def x_down_square(self) -> Tensor:
        return torch.zeros_like(self.x_square) if self.x_is_positive else self.x_down_squares.sum(dim=1)

    @cached_property
    def g_up_square(self) -> Tensor:
        return self.g_up_squares.sum(dim=1)

    @cached_property
    def g_down_square(self) -> Tensor:
        return self.g_down_squares.sum(dim=1)

    @cached_property
    def x_max(self) -> Tensor:
        return channel_max(self.x)

    @cached_property
    def x_min(self) -> Tensor:
        return -channel_max(-self.x)

    @cached_property
    def g_max(self) -> Tensor:
        return channel_max(self.g)

    @cached_property
    def g_min(self) -> Tensor:
        return -channel_max(-self.g)

    @cached_property
    def g_mean(self) -> Tensor:
        """Spatial mean of the gradient, (N, C, 1, 1)."""
        return self.g.mean(dim=(2, 3), keepdim=True)

    @cached_property
    def x_total(self) -> Tensor:
        """Spatial sum of the activation, (N, C, 1, 1)."""
        return self.x.sum(dim=(2, 3), keepdim=True)

    @cached_property
    def x_bordered(self) -> Tensor:
        """The activation with a border of zeros, (N, C, H + 2, W + 2)."""
        return padded(self.x)

    @cached_property
    def x_boxed_square(self) -> Tensor:
        """The 3 × 3 sum of x² per channel, (N, C, H, W)."""
        if self.x_is_positive:
            return box(self.x_squares)
        return self.x_boxed_up_square + self.x_boxed_down_square

    @cached_property
    def x_boxed_up_square(self) -> Tensor:
        return box(self.x_up_squares)

    @cached_property
    def x_boxed_down_square(self) -> Tensor:
        return box(self.x_down_squares)
