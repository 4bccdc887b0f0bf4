r"""The class activation maps: weighted sums of channels, cut off below zero.

Notation as in :mod:`saliency_core.methods.registry`; :math:`\bar g_c` is the spatial mean of :math:`g_c`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saliency_core.backprop.capture import LayerCapture

TINY, DIRECT = 32, 128
"""Gram matrices up to these sizes are decomposed, or their powers taken; larger ones are never built."""
FOURTH_POWERS = 6
"""Enough for eigenvalues that differ by half a percent."""
CHECKS = (4, 6, 8, 11, 15, 20, 26, 34, 44, 56)
"""Steps after which the leading vector may be good enough; where it converges, few are needed."""
TOLERANCE = 1e-6
SQUARES = 1e12
"""Sums of squares between its inverse and itself are such that float32 holds their parts well."""


def grad_cam(layer: LayerCapture) -> Tensor:
    r"""Grad-CAM, :math:`(\sum_c \bar g_c x_{c,u})^+`. Selvaraju et al. 2017."""
    return _weighted(layer.terms.g_mean, layer.activation)


def grad_cam_plus_plus(layer: LayerCapture) -> Tensor:
    r"""Grad-CAM++, :math:`(\sum_c w_c x_{c,u})^+` with :math:`w_c = \sum_u \alpha_{c,u} g_{c,u}^+`.

    .. math:: \alpha_{c,u} = g_{c,u}^2 / (2 g_{c,u}^2 + g_{c,u}^3 \sum_v x_{c,v})

    the paper's closed form for the exponential of the score, 0 where the denominator is 0.
    Chattopadhay et al. 2018.
    """
    g_up = layer.terms.g_up
    denominator = (g_up * layer.terms.x_total).add_(2)
    shares = g_up / denominator
    weights = shares.sum(dim=(2, 3), keepdim=True)
    if not math.isfinite(weights.sum()):
        weights = torch.where(denominator == 0, 0, shares).sum(dim=(2, 3), keepdim=True)
    return _weighted(weights, layer.activation)


def xgrad_cam(layer: LayerCapture) -> Tensor:
    r"""XGrad-CAM, :math:`(\sum_c w_c x_{c,u})^+` with an activation-weighted mean of the gradient.

    .. math:: w_c = \sum_u x_{c,u} g_{c,u} / \sum_u x_{c,u}

    and 0 for a channel that sums to 0. Fu et al. 2020.
    """
    total = layer.terms.x_total
    moment = layer.terms.product.sum(dim=(2, 3), keepdim=True)
    weights = torch.where(total == 0, 0, moment / total)
    return _weighted(weights, layer.activation)


def layer_cam(layer: LayerCapture) -> Tensor:
    r"""Layer-CAM, :math:`(\sum_c g_{c,u}^+ x_{c,u})^+`. Jiang et al. 2021."""
    return (layer.terms.g_up * layer.activation).sum(dim=1).relu()


def hires_cam(layer: LayerCapture) -> Tensor:
    r"""HiResCAM, :math:`(\sum_c g_{c,u} x_{c,u})^+`: Grad-CAM without the averaging. Draelos, Carin 2020."""
    return layer.terms.product_sum.relu()


def eigen_cam(layer: LayerCapture) -> Tensor:
    r"""Eigen-CAM: the activations on their first right singular vector, :math:`(x_u^\top v)^+`.

    ``v`` maximises :math:`\sum_u (x_u^\top v)^2` over unit vectors; its sign is the one with
    :math:`\sum_u x_u^\top v \ge 0`. It does not depend on the class. Muhammad, Yeasin 2020.
    """
    return _positive(layer.activation, torch.ones_like(layer.activation[:, 0]))


def eigen_grad_cam(layer: LayerCapture) -> Tensor:
    r"""Eigen-Grad-CAM: gradient × activation on its first principal component, cut off below zero.

    As Eigen-CAM, for :math:`x_u \odot g_u` minus its mean over the locations; the sign is the one that agrees
    with :math:`\sum_c x_{c,u} g_{c,u}`. Gildenblat et al., pytorch-grad-cam.
    """
    shares = layer.terms.product
    centred = shares - shares.mean(dim=(2, 3), keepdim=True)
    return _positive(
        centred, layer.terms.product_sum - layer.terms.product_sum.mean(dim=(1, 2), keepdim=True)
    )


def _weighted(weights: Tensor, activation: Tensor) -> Tensor:
    """The channels (N, C, H, W) weighted by (N, C, 1, 1), summed and cut off below zero: (N, H, W)."""
    return (weights * activation).sum(dim=1).relu()


def _positive(values: Tensor, along: Tensor) -> Tensor:
    """The positive part of each place's vector on the first singular direction: (N, C, H, W) -> (N, H, W).

    Of the two signs the one whose result agrees with ``along``, (N, H, W).
    """
    return torch.stack(
        [_projected(matrix, way) for matrix, way in zip(values.flatten(2), along.flatten(1), strict=True)]
    ).reshape(along.shape)


def _projected(matrix: Tensor, along: Tensor) -> Tensor:
    """As above for one image, (C, L) and (L,) -> (L,), through the smaller of the two Gram matrices."""
    channels, locations = matrix.shape
    found = _leading(matrix if channels <= locations else matrix.T)
    if found is None:
        scale = matrix.abs().amax()
        if 0 < scale < torch.inf:
            return scale * _projected(matrix / scale, along / scale)
        return scale * matrix[0]
    vector, value = found
    # In the other case matrix.T @ v = sigma u, and sigma² is the eigenvalue.
    places = vector @ matrix if channels <= locations else vector * value.sqrt()
    return torch.relu(places if float(places @ along) >= 0 else -places)


def _leading(rows: Tensor) -> tuple[Tensor, Tensor] | None:
    """The leading eigenvector and eigenvalue of ``rows @ rows.T``, by Lanczos' steps with Ritz vectors.

    Each step costs two products of the matrix and a vector; large Gram matrices are never built. None where
    the values are too large or too small for their squares, zero or not finite.
    """
    size = len(rows)
    if size <= DIRECT:
        return _of_gram(rows @ rows.T)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(size, generator=generator, dtype=torch.float64).to(rows)
    start = rows.sum(dim=1)
    # Mostly the sum of the columns, which is near the answer for activations; the noise has a part of every
    # direction, so that none is missed.
    vector = _unit(_unit(start) + 0.01 * _unit(noise))
    basis, images = rows.new_zeros(2, CHECKS[-1], size)
    for step in range(CHECKS[-1]):
        basis[step] = vector
        images[step] = image = rows @ (vector @ rows)
        if step == 0 and not _squarable(torch.linalg.vector_norm(image)):
            return None
        known = basis[: step + 1]
        if step + 1 in CHECKS:
            values, turns = torch.linalg.eigh(known @ images[: step + 1].T)
            found: Tensor = turns[:, -1] @ known
            rest = turns[:, -1] @ images[: step + 1] - values[-1] * found
            if torch.linalg.vector_norm(rest) <= TOLERANCE * values[-1]:
                return found, values[-1]
        for _ in range(2):  # twice, as the first time leaves some rounding behind
            image = image - (known @ image) @ known
        vector = _unit(image)
    return _of_gram(rows @ rows.T)  # no clear leading direction


def _of_gram(gram: Tensor) -> tuple[Tensor, Tensor] | None:
    """As ``_leading``, of a Gram matrix: by its powers where that is quicker and finds a clear direction."""
    if not _squarable(gram.trace()):
        return None
    vector = _by_powers(gram) if TINY < len(gram) <= DIRECT else None
    if vector is not None:
        return vector, gram @ vector @ vector
    values, vectors = torch.linalg.eigh(gram)
    return vectors[:, -1], values[-1]


def _by_powers(gram: Tensor) -> Tensor | None:
    """The leading eigenvector, by powers until nothing else is left; None if too many would be needed.

    Divided by its trace a power has eigenvalues that sum to 1. When the sum of their fourth powers is near 1
    too, one of them is near 1, the others near 0, and their fourth powers are nothing.
    """
    power, rest = gram / gram.trace(), torch.finfo(gram.dtype).eps ** 0.25
    for _ in range(FOURTH_POWERS):
        square = power @ power
        fourth = square @ square
        purity = float(fourth.trace())
        power = fourth / purity
        if purity > 1 - rest:
            return _unit(power[power.diagonal().argmax()])
    return None


def _squarable(value: Tensor) -> bool:
    return 1 / SQUARES < float(value) < SQUARES


def _unit(vector: Tensor) -> Tensor:
    """The vector divided by its norm; zero stays zero."""
    norm: Tensor = torch.linalg.vector_norm(vector)
    return vector / norm.clamp(min=torch.finfo(vector.dtype).tiny)
