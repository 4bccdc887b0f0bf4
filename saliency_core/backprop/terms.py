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
    return _over_channels(values, torch.amax)


def channel_min(values: Tensor) -> Tensor:
    """Minimum over the channels, (N, C, H, W) -> (N, H, W)."""
    return _over_channels(values, torch.amin)


def _over_channels(values: Tensor, extreme: Callable[..., Tensor]) -> Tensor:
    count, channels, height, width = values.shape
    if channels % FOLD == 0 and height * width < FEW_PLACES and values.is_contiguous():
        # In two steps, the first over long rows: several times quicker on the CPU where planes are small.
        values = extreme(values.reshape(count, FOLD, channels // FOLD, height, width), dim=1)
    return extreme(values, dim=1)


def box(values: Tensor) -> Tensor:
    """Sum over the 3 × 3 neighbourhood with zero padding, on (N, C, H, W) or (N, H, W)."""
    laid_out = values.ndim == 3 or values.is_contiguous(memory_format=torch.channels_last)
    if laid_out and _few_places(values):
        return F.avg_pool2d(values, 3, stride=1, padding=1, divisor_override=1)
    border = bordered(values)
    rows = border[..., :-2, :] + border[..., 1:-1, :]
    rows += border[..., 2:, :]
    total = rows[..., :-2] + rows[..., 1:-1]
    total += rows[..., 2:]
    return total


def bordered(values: Tensor) -> Tensor:
    """A border of zeros around (N, C, H, W) or (N, H, W)."""
    return F.pad(values, (1, 1, 1, 1))


def highest(border: Tensor) -> Tensor:
    """Maximum over the 3 × 3 neighbourhood of values with their border, where the border counts."""
    if border.ndim == 3 and _few_places(border):
        return F.max_pool2d(border, 3, stride=1)
    return _extreme(border, torch.maximum)


def lowest(border: Tensor) -> Tensor:
    """Minimum over the 3 × 3 neighbourhood of values with their border, where the border counts."""
    if border.ndim == 3 and _few_places(border):
        return F.max_pool2d(border.neg(), 3, stride=1).neg_()
    return _extreme(border, torch.minimum)


def _extreme(border: Tensor, further: Callable[..., Tensor]) -> Tensor:
    rows = further(border[..., :-2, :], border[..., 1:-1, :])
    further(rows, border[..., 2:, :], out=rows)
    most = further(rows[..., :-2], rows[..., 1:-1])
    return further(most, rows[..., 2:], out=most)


def _few_places(values: Tensor) -> bool:
    """Whether the CPU pools such planes quicker than it joins shifted ones, which it mostly does not."""
    return values.shape[-2] * values.shape[-1] <= FEW_PLACES


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
        return float(self.x_min.min()) >= 0

    @cached_property
    def x_up(self) -> Tensor:
        return self.x if self.x_is_positive else self.x.relu()

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
    def product_sum(self) -> Tensor:
        return self.product.sum(dim=1)

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
        return self.g_squares - self.g_up_squares

    @cached_property
    def x_up_squares(self) -> Tensor:
        return self.x_squares if self.x_is_positive else self.x_up.square()

    @cached_property
    def x_down_squares(self) -> Tensor:
        return self.x_squares - self.x_up_squares  # exact: one of the two is zero

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
    def x_norm(self) -> Tensor:
        """Euclidean norm over the channels, (N, H, W), as the following ones."""
        return self.x_square.sqrt()

    @cached_property
    def g_norm(self) -> Tensor:
        return self.g_square.sqrt()

    @cached_property
    def g_up_norm(self) -> Tensor:
        return self.g_up_squares.sum(dim=1).sqrt()

    @cached_property
    def g_down_norm(self) -> Tensor:
        return self.g_down_squares.sum(dim=1).sqrt()

    @cached_property
    def x_max(self) -> Tensor:
        return channel_max(self.x)

    @cached_property
    def x_min(self) -> Tensor:
        return channel_min(self.x)

    @cached_property
    def g_max(self) -> Tensor:
        return channel_max(self.g)

    @cached_property
    def g_min(self) -> Tensor:
        return channel_min(self.g)

    @cached_property
    def g_mean(self) -> Tensor:
        """Spatial mean of the gradient, (N, C, 1, 1)."""
        return self.g.mean(dim=(2, 3), keepdim=True)

    @cached_property
    def x_total(self) -> Tensor:
        """Spatial sum of the activation, (N, C, 1, 1)."""
        return self.x.sum(dim=(2, 3), keepdim=True)

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
