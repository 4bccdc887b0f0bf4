r"""The class activation maps: weighted sums of channels, cut off below zero.

Notation as in :mod:`saliency_core.methods.registry`; :math:`\bar g_c` is the spatial mean of :math:`g_c`.
Each takes x and g, (N, C, H, W), and gives (N, H, W) ≥ 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saliency_core.backprop.capture import LayerCapture

MAX_DECOMPOSED, MAX_GRAM = 32, 128
"""Gram matrices up to the first size are decomposed, up to the second powers of them are taken; larger ones
are not built unless Lanczos' method does not converge."""
MAX_FOURTH_POWERS = 6
"""Enough for eigenvalues that differ by half a percent."""
LANCZOS_CHECKS = (4, 6, 8, 11, 15, 20, 26, 34, 44, 56)
"""Steps after which the leading vector is checked; few are needed where the method converges."""
LANCZOS_TOLERANCE = 1e-6
"""Largest residual of an accepted eigenvector, relative to its eigenvalue."""
SAFE_SCALE = 1e12
"""Sums of squares between its inverse and itself are such that float32 holds their parts well."""


def grad_cam(layer: LayerCapture) -> Tensor:
    r"""Grad-CAM, :math:`(\sum_c \bar g_c x_{c,u})^+`. Source: Selvaraju et al. 2017."""
    return _weighted_sum(layer.terms.g_mean, layer.activation)


def grad_cam_plus_plus(layer: LayerCapture) -> Tensor:
    r"""Grad-CAM++, :math:`(\sum_c w_c x_{c,u})^+` with :math:`w_c = \sum_u \alpha_{c,u} g_{c,u}^+`.

    .. math:: \alpha_{c,u} = g_{c,u}^2 / (2 g_{c,u}^2 + g_{c,u}^3 \sum_v x_{c,v})

    the paper's closed form for the exponential of the score, 0 where the denominator is 0.
    Source: Chattopadhay et al. 2018.
    """
    g_pos = layer.terms.g_pos
    denominator = (g_pos * layer.terms.x_total).add_(2)
    shares = g_pos / denominator
    weights = shares.sum(dim=(2, 3), keepdim=True)
    if not math.isfinite(weights.sum()):
        weights = torch.where(denominator == 0, 0, shares).sum(dim=(2, 3), keepdim=True)
    return _weighted_sum(weights, layer.activation)


def xgrad_cam(layer: LayerCapture) -> Tensor:
    r"""XGrad-CAM, :math:`(\sum_c w_c x_{c,u})^+` with an activation-weighted mean of the gradient.

    .. math:: w_c = \sum_u x_{c,u} g_{c,u} / \sum_u x_{c,u}

    and 0 for a channel that sums to 0. Source: Fu et al. 2020.
    """
    total = layer.terms.x_total
    moment = layer.terms.product.sum(dim=(2, 3), keepdim=True)
    weights = torch.where(total == 0, 0, moment / total)
    return _weighted_sum(weights, layer.activation)


def layer_cam(layer: LayerCapture) -> Tensor:
    r"""Layer-CAM, :math:`(\sum_c g_{c,u}^+ x_{c,u})^+`. Source: Jiang et al. 2021."""
    return (layer.terms.g_pos * layer.activation).sum(dim=1).relu()


def hires_cam(layer: LayerCapture) -> Tensor:
    r"""HiResCAM, :math:`(\sum_c g_{c,u} x_{c,u})^+`: Grad-CAM without the averaging.

    Source: Draelos, Carin 2020.
    """
    return layer.terms.product_sum.relu()


def eigen_cam(layer: LayerCapture) -> Tensor:
    r"""Eigen-CAM: the activations projected on their first right singular vector, :math:`(x_u^\top v)^+`.

    ``v`` maximises :math:`\sum_u (x_u^\top v)^2` over unit vectors; its sign is the one with
    :math:`\sum_u x_u^\top v \ge 0`. It does not depend on the class. Source: Muhammad, Yeasin 2020.
    """
    return _positive_projection(layer.activation, torch.ones_like(layer.activation[:, 0]))


def eigen_grad_cam(layer: LayerCapture) -> Tensor:
    r"""Eigen-Grad-CAM: gradient × activation projected on its first principal component, positive part.

    As Eigen-CAM, for :math:`x_u \odot g_u` minus its mean over the locations; the sign is the one that agrees
    with :math:`\sum_c x_{c,u} g_{c,u}`. Source: Gildenblat et al., pytorch-grad-cam.
    """
    product, product_sum = layer.terms.product, layer.terms.product_sum
    centred = product - product.mean(dim=(2, 3), keepdim=True)
    return _positive_projection(centred, product_sum - product_sum.mean(dim=(1, 2), keepdim=True))


def _weighted_sum(weights: Tensor, activation: Tensor) -> Tensor:
    """The channels (N, C, H, W) weighted by (N, C, 1, 1), summed and cut off below zero: (N, H, W)."""
    return (weights * activation).sum(dim=1).relu()


def _positive_projection(values: Tensor, reference: Tensor) -> Tensor:
    """Each location's vector projected on the first singular direction, (N, C, H, W) -> (N, H, W) ≥ 0.

    Of the two signs the one whose projection correlates with ``reference``, (N, H, W).
    """
    pairs = zip(values.flatten(2), reference.flatten(1), strict=True)
    return torch.stack([_project(*pair) for pair in pairs]).reshape(reference.shape)


def _project(matrix: Tensor, reference: Tensor) -> Tensor:
    """As above for one image, (C, L) and (L,) -> (L,), through the smaller of the two Gram matrices."""
    channels, locations = matrix.shape
    found = leading_eigenpair(matrix if channels <= locations else matrix.T)
    if found is None:
        scale = matrix.abs().amax()
        if 0 < scale < torch.inf:
            return scale * _project(matrix / scale, reference / scale)
        return scale * matrix[0]
    vector, value = found
    # In the other case matrix.T @ v = sigma u, and sigma² is the eigenvalue.
    projection = vector @ matrix if channels <= locations else vector * value.sqrt()
    return torch.relu(projection if float(projection @ reference) >= 0 else -projection)


def leading_eigenpair(rows: Tensor) -> tuple[Tensor, Tensor] | None:
    """The leading eigenvector and eigenvalue of ``rows @ rows.T``, for rows (R, L) with R ≤ L.

    Large Gram matrices by Lanczos' method with Ritz vectors: each step costs two products of the matrix and a
    vector. None where the values are zero, not finite, or too large or too small for their squares.
    """
    size = len(rows)
    if size <= MAX_GRAM:
        return _eigenpair_of_gram(rows @ rows.T)
    generator = torch.Generator(device="cpu").manual_seed(0)
    noise = torch.randn(size, generator=generator, dtype=torch.float64, device="cpu").to(rows)
    # Mostly the sum of the columns, which is near the answer for activations; the noise has a part of every
    # direction, so that none is missed.
    vector = _unit(_unit(rows.sum(dim=1)) + 0.01 * _unit(noise))
    basis, images = rows.new_zeros(2, LANCZOS_CHECKS[-1], size)
    for step in range(LANCZOS_CHECKS[-1]):
        basis[step] = vector
        images[step] = image = rows @ (vector @ rows)
        if step == 0 and not _is_safe(torch.linalg.vector_norm(image)):
            return None
        known = basis[: step + 1]
        if step + 1 in LANCZOS_CHECKS:
            values, vectors = torch.linalg.eigh(known @ images[: step + 1].T)
            ritz: Tensor = vectors[:, -1] @ known
            residual = vectors[:, -1] @ images[: step + 1] - values[-1] * ritz
            if torch.linalg.vector_norm(residual) <= LANCZOS_TOLERANCE * values[-1]:
                return ritz, values[-1]
        for _ in range(2):  # twice, as rounding errors remain after the first time
            image = image - (known @ image) @ known
        vector = _unit(image)
    return _eigenpair_of_gram(rows @ rows.T)  # no clear leading direction


def _eigenpair_of_gram(gram: Tensor) -> tuple[Tensor, Tensor] | None:
    """As above, of a Gram matrix: by its powers where that is faster and finds a clear direction."""
    if not _is_safe(gram.trace()):
        return None
    vector = _eigenvector_by_powers(gram) if MAX_DECOMPOSED < len(gram) <= MAX_GRAM else None
    if vector is not None:
        return vector, gram @ vector @ vector
    values, vectors = torch.linalg.eigh(gram)
    return vectors[:, -1], values[-1]


def _eigenvector_by_powers(gram: Tensor) -> Tensor | None:
    """The leading eigenvector from powers of the matrix; None if too many would be needed.

    Divided by its trace a power has eigenvalues that sum to 1. When the sum of their fourth powers is near 1
    too, a single eigenvalue dominates: the next fourth power has the projection on its vector alone.
    """
    power, rounding = gram / gram.trace(), torch.finfo(gram.dtype).eps ** 0.25
    for _ in range(MAX_FOURTH_POWERS):
        square = power @ power
        fourth = square @ square
        trace = float(fourth.trace())
        power = fourth / trace
        if trace > 1 - rounding:
            return _unit(power[power.diagonal().argmax()])
    return None


def _is_safe(value: Tensor) -> bool:
    return 1 / SAFE_SCALE < float(value) < SAFE_SCALE


def _unit(vector: Tensor) -> Tensor:
    """The vector divided by its norm; zero stays zero."""
    norm: Tensor = torch.linalg.vector_norm(vector)
    return vector / norm.clamp(min=torch.finfo(vector.dtype).tiny)
