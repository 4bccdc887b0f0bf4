r"""The paper's framework: extract each location's share of a weight gradient, then aggregate it.

Insert an identity layer with weights after the target layer (the *virtual identity*). The gradient of its
weights is a sum over locations ``u``; *extract* takes one location's share, *aggregate* makes it a number.

| extract | share of location u | entries |
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
    channel_max,
    max3x3,
    min3x3,
    negative,
    pad_border,
    square_sum,
    sum3x3,
    times_power,
)
from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from saliency_core.methods.cells import AGGREGATES, EXTRACTS
from saliency_core.registry import unknown

Cell = Callable[[Terms], Tensor]


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
        UnknownNameError: an unknown extract or aggregate, with the choices.
        ArgumentTypeError: not tensors.
        ArgumentError: tensors that do not have the same shape (N, C, H, W).

    >>> x, g = torch.rand(1, 8, 5, 5), torch.randn(1, 8, 5, 5)
    >>> torch.allclose(framework(x, g, extract="conv1x1", aggregate="norm"), x.norm(dim=1) * g.norm(dim=1))
    True
    """
    if extract not in EXTRACTS:
        raise UnknownNameError(unknown("extract", extract, tuple(EXTRACTS)))
    if aggregate not in AGGREGATES:
        raise UnknownNameError(unknown("aggregate", aggregate, tuple(AGGREGATES)))
    for name, given in (("activation", activation), ("gradient", gradient)):
        if not isinstance(given, Tensor):
            raise ArgumentTypeError(f"{name} is a {type(given).__name__}; expected a tensor (N, C, H, W)")
    if activation.shape != gradient.shape or activation.ndim != 4:
        shapes = f"{tuple(activation.shape)} and {tuple(gradient.shape)}"
        raise ArgumentError(f"activation and gradient have shapes {shapes}; expected the same (N, C, H, W)")
    return cell_map(Terms(activation, gradient), extract, aggregate)


def cell_map(terms: Terms, extract: str, aggregate: str) -> Tensor:
    """One cell of the table from shared terms, (N, H, W).

    Every cell is linear in a positive factor of g, and of x where its share has one. So where squares would
    leave the range of the numbers, x and g are scaled by powers of two first, and the map back.
    """
    cell = CELLS[extract, aggregate]
    if terms.scaled is terms:
        return cell(terms)
    if not EXTRACTS[extract].uses_activation:
        return times_power(cell(terms.with_scaled_g), negative(terms.g_exponents))
    values = times_power(cell(terms.scaled), negative(terms.g_exponents))
    return times_power(values, negative(terms.x_exponents))


def _largest_product(x_max: Tensor, x_min: Tensor, g_max: Tensor, g_min: Tensor) -> Tensor:
    """Largest product of a value in [x_min, x_max] and one in [g_min, g_max]."""
    with_x_max = torch.maximum(x_max * g_max, x_max * g_min)
    return torch.maximum(with_x_max, torch.maximum(x_min * g_max, x_min * g_min))


def _conv1x1_filter_norm(t: Terms) -> Tensor:
    positive = t.x_pos_square.sqrt() * t.g_pos_norm
    return positive if t.x_is_positive else torch.hypot(positive, t.x_neg_square.sqrt() * t.g_neg_norm)


def _conv3x3_filter_norm(t: Terms) -> Tensor:
    positive = sum3x3(t.x_pos_square).sqrt() * t.g_pos_norm
    return (
        positive if t.x_is_positive else torch.hypot(positive, sum3x3(t.x_neg_square).sqrt() * t.g_neg_norm)
    )


def _conv3x3_max(t: Terms) -> Tensor:
    return _largest_product(max3x3(pad_border(t.x_max)), min3x3(pad_border(t.x_min)), t.g_max, t.g_min)


def _depthwise_filter_norm(t: Terms) -> Tensor:
    if t.x_is_positive:
        return (t.x_squares3x3 * t.g_pos_squares).sum(dim=1).sqrt()
    positive = t.x_pos_squares3x3 * t.g_pos_squares
    return torch.addcmul(positive, t.x_neg_squares3x3, t.g_neg_squares).sum(dim=1).sqrt()


def _depthwise_max(t: Terms) -> Tensor:
    padded = pad_border(t.x)
    positive = max3x3(padded) * t.g_pos
    if t.x_is_positive and float(t.g_max.detach().min()) >= 0:
        # At every location some share is >= 0, and those of channels with g < 0 are not.
        return channel_max(positive)
    return channel_max(torch.addcmul(positive, min3x3(padded), t.g_neg, value=-1))


CELLS: Mapping[tuple[str, str], Cell] = {
    ("bias", "sum"): lambda t: t.g_sum,
    ("bias", "norm"): lambda t: t.g_norm,
    ("bias", "filter_norm"): lambda t: t.g_pos_norm,
    ("bias", "max"): lambda t: t.g_max,
    ("scaling", "sum"): lambda t: t.product_sum,
    ("scaling", "norm"): lambda t: square_sum(t.product).sqrt(),
    ("scaling", "filter_norm"): lambda t: square_sum(t.product.relu()).sqrt(),
    ("scaling", "max"): lambda t: channel_max(t.product),
    ("conv1x1", "sum"): lambda t: t.x_sum * t.g_sum,
    ("conv1x1", "norm"): lambda t: t.x_norm * t.g_norm,
    ("conv1x1", "filter_norm"): _conv1x1_filter_norm,
    ("conv1x1", "max"): lambda t: _largest_product(t.x_max, t.x_min, t.g_max, t.g_min),
    ("conv3x3", "sum"): lambda t: sum3x3(t.x_sum) * t.g_sum,
    ("conv3x3", "norm"): lambda t: sum3x3(t.x_square).sqrt() * t.g_norm,
    ("conv3x3", "filter_norm"): _conv3x3_filter_norm,
    ("conv3x3", "max"): _conv3x3_max,
    ("conv3x3_depthwise", "sum"): lambda t: (sum3x3(t.x) * t.g).sum(dim=1),
    ("conv3x3_depthwise", "norm"): lambda t: (t.x_squares3x3 * t.g_squares).sum(dim=1).sqrt(),
    ("conv3x3_depthwise", "filter_norm"): _depthwise_filter_norm,
    ("conv3x3_depthwise", "max"): _depthwise_max,
}
"""Every cell in closed form, of terms whose squares are in the numbers' range."""
