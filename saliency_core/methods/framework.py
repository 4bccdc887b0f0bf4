r"""The paper's framework: extract each location's share of a weight gradient, then aggregate it.

Put an identity layer with weights after the target layer (the *virtual identity*). The gradient of its
weights is a sum over locations ``u``; *extract* takes one location's share, *aggregate* makes it a number.

| extract | share of location u | size |
|---|---|---|
| ``bias`` | :math:`g_u` | C |
| ``scaling`` | :math:`x_u \odot g_u` | C |
| ``conv1x1`` | :math:`g_u x_u^\top` | C × C |
| ``conv3x3`` | :math:`g_u \, \mathrm{vec}(x_{N(u)})^\top` | C × 9C |
| ``conv3x3_depthwise`` | :math:`g_{c,u} \, x_{c,N(u)}` for each c | C × 9 |

Aggregates of the entries s: ``sum`` :math:`\sum s`, ``norm`` :math:`(\sum s^2)^{1/2}`, ``filter_norm``
:math:`(\sum (s^+)^2)^{1/2}`, ``max`` :math:`\max s`.

Every cell is computed in closed form in O(CHW): no share is ever built. Source: Rebuffi, Fong, Ji,
Vedaldi, *There and Back Again: Revisiting Backpropagation Saliency Methods*, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from saliency_core.backprop.terms import (
    Terms,
    bordered,
    box,
    channel_max,
    highest,
    lowest,
    square_sum,
)
from saliency_core.registry import unknown

Cell = Callable[[Terms], Tensor]
EXTRACTS = ("bias", "scaling", "conv1x1", "conv3x3", "conv3x3_depthwise")
AGGREGATES = ("sum", "norm", "filter_norm", "max")


def framework(activation: Tensor, gradient: Tensor, *, extract: str, aggregate: str) -> Tensor:
    """One cell of the extract × aggregate table.

    Args:
        activation: x, (N, C, H, W).
        gradient: g = dy/dx, the same shape.
        extract: ``bias``, ``scaling``, ``conv1x1``, ``conv3x3`` or ``conv3x3_depthwise``.
        aggregate: ``sum``, ``norm``, ``filter_norm`` or ``max``.

    Returns:
        The map, (N, H, W). ``norm`` and ``filter_norm`` are ≥ 0, the others are signed.

    Raises:
        ValueError: an unknown name, or tensors that are not two equal (N, C, H, W).

    >>> x, g = torch.rand(1, 8, 5, 5), torch.randn(1, 8, 5, 5)
    >>> torch.allclose(framework(x, g, extract="conv1x1", aggregate="norm"), x.norm(dim=1) * g.norm(dim=1))
    True
    """
    if extract not in EXTRACTS:
        raise ValueError(unknown("extract", extract, EXTRACTS))
    if aggregate not in AGGREGATES:
        raise ValueError(unknown("aggregate", aggregate, AGGREGATES))
    if activation.shape != gradient.shape or activation.ndim != 4:
        shapes = f"{tuple(activation.shape)} and {tuple(gradient.shape)}"
        raise ValueError(f"activation and gradient have shapes {shapes}; expected the same (N, C, H, W)")
    return CELLS[extract, aggregate](Terms(activation, gradient))


def _largest_product(x_high: Tensor, x_low: Tensor, g_high: Tensor, g_low: Tensor) -> Tensor:
    """Largest product of a value in [x_low, x_high] and one in [g_low, g_high]."""
    high = torch.maximum(x_high * g_high, x_high * g_low)
    return torch.maximum(high, torch.maximum(x_low * g_high, x_low * g_low))


def _conv1x1_filter_norm(t: Terms) -> Tensor:
    up = t.x_up_square.sqrt() * t.g_up_norm
    return up if t.x_is_positive else torch.hypot(up, t.x_down_square.sqrt() * t.g_down_norm)


def _conv3x3_filter_norm(t: Terms) -> Tensor:
    up = box(t.x_up_square).sqrt() * t.g_up_norm
    return up if t.x_is_positive else torch.hypot(up, box(t.x_down_square).sqrt() * t.g_down_norm)


def _conv3x3_max(t: Terms) -> Tensor:
    high, low = highest(bordered(t.x_max)), lowest(bordered(t.x_min))
    return _largest_product(high, low, t.g_max, t.g_min)


def _depthwise_filter_norm(t: Terms) -> Tensor:
    if t.x_is_positive:
        return (t.x_boxed_square * t.g_up_squares).sum(dim=1).sqrt()
    up = t.x_boxed_up_square * t.g_up_squares
    return torch.addcmul(up, t.x_boxed_down_square, t.g_down_squares).sum(dim=1).sqrt()


def _depthwise_max(t: Terms) -> Tensor:
    border = bordered(t.x)
    upwards = highest(border) * t.g_up
    if t.x_is_positive and float(t.g_max.min()) >= 0:
        # Some share is >= 0 at every place, and those of channels with g < 0 are not.
        return channel_max(upwards)
    return channel_max(torch.addcmul(upwards, lowest(border), t.g_down, value=-1))


CELLS: Mapping[tuple[str, str], Cell] = {
    ("bias", "sum"): lambda t: t.g_sum,
    ("bias", "norm"): lambda t: t.g_norm,
    ("bias", "filter_norm"): lambda t: t.g_up_norm,
    ("bias", "max"): lambda t: t.g_max,
    ("scaling", "sum"): lambda t: t.product_sum,
    ("scaling", "norm"): lambda t: square_sum(t.product).sqrt(),
    ("scaling", "filter_norm"): lambda t: square_sum(t.product.relu()).sqrt(),
    ("scaling", "max"): lambda t: channel_max(t.product),
    ("conv1x1", "sum"): lambda t: t.x_sum * t.g_sum,
    ("conv1x1", "norm"): lambda t: t.x_norm * t.g_norm,
    ("conv1x1", "filter_norm"): _conv1x1_filter_norm,
    ("conv1x1", "max"): lambda t: _largest_product(t.x_max, t.x_min, t.g_max, t.g_min),
    ("conv3x3", "sum"): lambda t: box(t.x_sum) * t.g_sum,
    ("conv3x3", "norm"): lambda t: box(t.x_square).sqrt() * t.g_norm,
    ("conv3x3", "filter_norm"): _conv3x3_filter_norm,
    ("conv3x3", "max"): _conv3x3_max,
    ("conv3x3_depthwise", "sum"): lambda t: (box(t.x) * t.g).sum(dim=1),
    ("conv3x3_depthwise", "norm"): lambda t: (t.x_boxed_square * t.g_squares).sum(dim=1).sqrt(),
    ("conv3x3_depthwise", "filter_norm"): _depthwise_filter_norm,
    ("conv3x3_depthwise", "max"): _depthwise_max,
}
