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

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_core.registry import unknown

Cell = Callable[[Tensor, Tensor], Tensor]
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
    return CELLS[extract, aggregate](activation, gradient)


def _aggregate(share: Tensor, aggregate: str) -> Tensor:
    """Aggregate a share that is small enough to exist: (N, C, H, W) -> (N, H, W)."""
    if aggregate == "sum":
        return share.sum(dim=1)
    if aggregate == "max":
        return share.amax(dim=1)
    return _norm(share if aggregate == "norm" else share.relu())


def _norm(values: Tensor) -> Tensor:
    """Euclidean norm over the channels, (N, C, H, W) -> (N, H, W)."""
    # Not torch.linalg.vector_norm: over a strided dimension it is thirty times slower on the CPU.
    return values.square().sum(dim=1).sqrt()


def _box(values: Tensor) -> Tensor:
    """Sum over the 3 × 3 neighbourhood with zero padding, on (N, C, H, W) or (N, H, W)."""
    return F.avg_pool2d(values, 3, stride=1, padding=1, divisor_override=1)


def _highest(values: Tensor) -> Tensor:
    """Maximum over the zero-padded 3 × 3 neighbourhood, where the zeros count."""
    return F.max_pool2d(F.pad(values, (1, 1, 1, 1)), 3, stride=1)


def _lowest(values: Tensor) -> Tensor:
    return -_highest(-values)


def _scaling(aggregate: str) -> Cell:
    return lambda x, g: _aggregate(x * g, aggregate)


def _bias(aggregate: str) -> Cell:
    return lambda x, g: _aggregate(g, aggregate)


def _conv1x1_sum(x: Tensor, g: Tensor) -> Tensor:
    return x.sum(dim=1) * g.sum(dim=1)


def _conv1x1_norm(x: Tensor, g: Tensor) -> Tensor:
    return _norm(x) * _norm(g)


def _conv1x1_filter_norm(x: Tensor, g: Tensor) -> Tensor:
    return torch.hypot(_norm(x.relu()) * _norm(g.relu()), _norm((-x).relu()) * _norm((-g).relu()))


def _largest_product(x_high: Tensor, x_low: Tensor, g_high: Tensor, g_low: Tensor) -> Tensor:
    """Largest product of a value in [x_low, x_high] and one in [g_low, g_high]."""
    products = (x_high * g_high, x_high * g_low, x_low * g_high, x_low * g_low)
    return torch.stack(products).amax(dim=0)


def _conv1x1_max(x: Tensor, g: Tensor) -> Tensor:
    return _largest_product(x.amax(dim=1), x.amin(dim=1), g.amax(dim=1), g.amin(dim=1))


def _conv3x3_sum(x: Tensor, g: Tensor) -> Tensor:
    return _box(x.sum(dim=1)) * g.sum(dim=1)


def _conv3x3_norm(x: Tensor, g: Tensor) -> Tensor:
    return _box(_norm(x).square()).sqrt() * _norm(g)


def _conv3x3_filter_norm(x: Tensor, g: Tensor) -> Tensor:
    positive = _box(_norm(x.relu()).square()).sqrt() * _norm(g.relu())
    negative = _box(_norm((-x).relu()).square()).sqrt() * _norm((-g).relu())
    return torch.hypot(positive, negative)


def _conv3x3_max(x: Tensor, g: Tensor) -> Tensor:
    high, low = _highest(x.amax(dim=1)), _lowest(x.amin(dim=1))
    return _largest_product(high, low, g.amax(dim=1), g.amin(dim=1))


def _depthwise_sum(x: Tensor, g: Tensor) -> Tensor:
    return (_box(x) * g).sum(dim=1)


def _depthwise_norm(x: Tensor, g: Tensor) -> Tensor:
    return (_box(x.square()) * g.square()).sum(dim=1).sqrt()


def _depthwise_filter_norm(x: Tensor, g: Tensor) -> Tensor:
    positive = _box(x.relu().square()) * g.relu().square()
    negative = _box((-x).relu().square()) * (-g).relu().square()
    return (positive + negative).sum(dim=1).sqrt()


def _depthwise_max(x: Tensor, g: Tensor) -> Tensor:
    return torch.maximum(_highest(x) * g, _lowest(x) * g).amax(dim=1)


CELLS: dict[tuple[str, str], Cell] = {
    **{("bias", aggregate): _bias(aggregate) for aggregate in AGGREGATES},
    **{("scaling", aggregate): _scaling(aggregate) for aggregate in AGGREGATES},
    ("conv1x1", "sum"): _conv1x1_sum,
    ("conv1x1", "norm"): _conv1x1_norm,
    ("conv1x1", "filter_norm"): _conv1x1_filter_norm,
    ("conv1x1", "max"): _conv1x1_max,
    ("conv3x3", "sum"): _conv3x3_sum,
    ("conv3x3", "norm"): _conv3x3_norm,
    ("conv3x3", "filter_norm"): _conv3x3_filter_norm,
    ("conv3x3", "max"): _conv3x3_max,
    ("conv3x3_depthwise", "sum"): _depthwise_sum,
    ("conv3x3_depthwise", "norm"): _depthwise_norm,
    ("conv3x3_depthwise", "filter_norm"): _depthwise_filter_norm,
    ("conv3x3_depthwise", "max"): _depthwise_max,
}
