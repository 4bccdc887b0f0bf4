"""Sums, norms and extremes of an activation and a gradient, each computed once, when first used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

CHANNEL_GROUPS = 16
SMALL_PLANE = 1024
"""Planes with fewer locations: pooling and grouped reductions are the faster kernels on the CPU."""
SAFE_SQUARES = 2.0**40
"""Sums of squares from the inverse of this to this: their products still fit into float32."""
MAX_EXPONENT = 120


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
    if channels % CHANNEL_GROUPS == 0 and height * width < SMALL_PLANE and values.is_contiguous():
        # In two steps, the first over long rows: several times faster on the CPU where planes are small.
        shape = (count, CHANNEL_GROUPS, channels // CHANNEL_GROUPS, height, width)
        values = extreme(values.reshape(shape), dim=1)
    return extreme(values, dim=1)


def sum3x3(values: Tensor) -> Tensor:
    """Sum over the 3 × 3 neighbourhood with zero padding, on (N, C, H, W) or (N, H, W)."""
    pooled = values.ndim == 3 or values.is_contiguous(memory_format=torch.channels_last)
    if pooled and _is_small(values):
        return F.avg_pool2d(values, 3, stride=1, padding=1, divisor_override=1)
    padded = pad_border(values)
    rows = padded[..., :-2, :] + padded[..., 1:-1, :]
    rows += padded[..., 2:, :]
    total = rows[..., :-2] + rows[..., 1:-1]
    total += rows[..., 2:]
    return total


def pad_border(values: Tensor) -> Tensor:
    """One row and column of zeros on every side of (N, C, H, W) or (N, H, W)."""
    return F.pad(values, (1, 1, 1, 1))


def max3x3(padded: Tensor) -> Tensor:
    """Maximum over the 3 × 3 neighbourhood of values with their border, whose zeros count."""
    if padded.ndim == 3 and _is_small(padded):
        return F.max_pool2d(padded, 3, stride=1)
    return _extreme3x3(padded, torch.maximum)


def min3x3(padded: Tensor) -> Tensor:
    """Minimum over the 3 × 3 neighbourhood of values with their border, whose zeros count."""
    if padded.ndim == 3 and _is_small(padded):
        return F.max_pool2d(padded.neg(), 3, stride=1).neg()
    return _extreme3x3(padded, torch.minimum)


def _extreme3x3(padded: Tensor, extreme: Callable[..., Tensor]) -> Tensor:
    reuse = not padded.requires_grad  # autograd refuses out=
    rows = extreme(padded[..., :-2, :], padded[..., 1:-1, :])
    rows = extreme(rows, padded[..., 2:, :], out=rows if reuse else None)
    found = extreme(rows[..., :-2], rows[..., 1:-1])
    return extreme(found, rows[..., 2:], out=found if reuse else None)


def _is_small(values: Tensor) -> bool:
    """Whether the CPU pools such planes faster than it adds shifted ones, which it mostly does not."""
    return values.shape[-2] * values.shape[-1] <= SMALL_PLANE


def safe_exponents(squares: Tensor, values: Tensor) -> Tensor | None:
    """Per image the power of two that brings ``values`` near 1, where their squares leave float32's range.

    Args:
        squares: sums of squares of ``values``, (N, H, W).
        values: (N, C, H, W).

    Returns:
        Exponents k, integers (N,), such that ``values * 2**k`` can be squared, multiplied and summed safely;
        None where no image needs it. A power of two changes no digit. Zeros and values that are not finite
        stay as they are (k = 0).
    """
    peaks = squares.detach().amax(dim=(1, 2)).tolist()
    if all(1 / SAFE_SQUARES <= peak <= SAFE_SQUARES for peak in peaks):
        return None
    largest = values.detach().abs().amax(dim=(1, 2, 3)).tolist()
    exponents = [
        0
        if 1 / SAFE_SQUARES <= peak <= SAFE_SQUARES or not 0 < value < math.inf
        else max(-MAX_EXPONENT, min(MAX_EXPONENT, -math.frexp(value)[1]))
        for peak, value in zip(peaks, largest, strict=True)
    ]
    return torch.tensor(exponents, device=values.device) if any(exponents) else None


def times_power(values: Tensor, exponents: Tensor | None) -> Tensor:
    """``values * 2**k`` with one k per image of the batch, exact; ``values`` themselves for None."""
    if exponents is None:
        return values
    return torch.ldexp(values, exponents.reshape(-1, *[1] * (values.ndim - 1)))


def negative(exponents: Tensor | None) -> Tensor | None:
    """The exponents that undo the scaling."""
    return None if exponents is None else -exponents


@dataclass(frozen=True)
class Terms:
    """An activation ``x`` and a gradient ``g``, both (N, C, H, W), and what cells and methods share of them.

    ``_pos`` and ``_neg`` are the positive parts ``max(a, 0)`` and ``max(-a, 0)``. ``squares`` are per
    channel, (N, C, H, W); a ``square``, ``norm``, ``sum``, ``max`` or ``min`` is over the channels,
    (N, H, W).
    """

    x: Tensor
    g: Tensor

    @cached_property
    def x_exponents(self) -> Tensor | None:
        """Powers of two that make the squares of x safe, see :func:`safe_exponents`."""
        return safe_exponents(self.x_square, self.x)

    @cached_property
    def g_exponents(self) -> Tensor | None:
        """Powers of two that make the squares of g safe, see :func:`safe_exponents`."""
        return safe_exponents(self.g_square, self.g)

    @cached_property
    def with_scaled_g(self) -> Terms:
        """The terms of x and g · 2**g_exponents, whose squares neither vanish nor overflow."""
        return self if self.g_exponents is None else Terms(self.x, times_power(self.g, self.g_exponents))

    @cached_property
    def scaled(self) -> Terms:
        """The terms of x · 2**x_exponents and g · 2**g_exponents."""
        g = self.with_scaled_g
        return g if self.x_exponents is None else Terms(times_power(self.x, self.x_exponents), g.g)

    @cached_property
    def x_is_positive(self) -> bool:
        """Whether no activation is negative, as after a ReLU: its negative parts need no work."""
        return float(self.x_min.detach().min()) >= 0

    @cached_property
    def x_pos(self) -> Tensor:
        return self.x if self.x_is_positive else self.x.relu()

    @cached_property
    def g_pos(self) -> Tensor:
        return self.g.relu()

    @cached_property
    def g_neg(self) -> Tensor:
        return self.g_pos - self.g

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
        return self.x.square()

    @cached_property
    def g_squares(self) -> Tensor:
        return self.g.square()

    @cached_property
    def g_pos_squares(self) -> Tensor:
        return self.g_pos.square()

    @cached_property
    def g_neg_squares(self) -> Tensor:
        return self.g_squares - self.g_pos_squares  # exact: one of the two is zero

    @cached_property
    def x_pos_squares(self) -> Tensor:
        return self.x_squares if self.x_is_positive else self.x_pos.square()

    @cached_property
    def x_neg_squares(self) -> Tensor:
        return self.x_squares - self.x_pos_squares  # exact: one of the two is zero

    @cached_property
    def x_square(self) -> Tensor:
        return self.x_squares.sum(dim=1)

    @cached_property
    def g_square(self) -> Tensor:
        return self.g_squares.sum(dim=1)

    @cached_property
    def x_pos_square(self) -> Tensor:
        return self.x_square if self.x_is_positive else self.x_pos_squares.sum(dim=1)

    @cached_property
    def x_neg_square(self) -> Tensor:
        return torch.zeros_like(self.x_square) if self.x_is_positive else self.x_neg_squares.sum(dim=1)

    @cached_property
    def x_norm(self) -> Tensor:
        return self.x_square.sqrt()

    @cached_property
    def g_norm(self) -> Tensor:
        return self.g_square.sqrt()

    @cached_property
    def g_pos_norm(self) -> Tensor:
        return self.g_pos_squares.sum(dim=1).sqrt()

    @cached_property
    def g_neg_norm(self) -> Tensor:
        return self.g_neg_squares.sum(dim=1).sqrt()

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
    def x_squares3x3(self) -> Tensor:
        """The 3 × 3 sum of x² per channel, (N, C, H, W)."""
        if self.x_is_positive:
            return sum3x3(self.x_squares)
        return self.x_pos_squares3x3 + self.x_neg_squares3x3

    @cached_property
    def x_pos_squares3x3(self) -> Tensor:
        return sum3x3(self.x_pos_squares)

    @cached_property
    def x_neg_squares3x3(self) -> Tensor:
        return sum3x3(self.x_neg_squares)
