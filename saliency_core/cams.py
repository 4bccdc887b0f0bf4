r"""The class activation maps: weighted sums of channels, cut off below zero.

Notation as in :mod:`saliency_core.methods`; :math:`\bar g_c` is the spatial mean of :math:`g_c`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_core.capture import LayerCapture

BLOCK = 6
"""Vectors iterated at once; more of them separate the leading one sooner."""
ITERATIONS = 60
TOLERANCE = 1e-7
DIRECT = 24
"""Up to this size an exact eigendecomposition is as quick."""


def grad_cam(layer: LayerCapture) -> Tensor:
    r"""Grad-CAM, :math:`(\sum_c \bar g_c x_{c,u})^+`. Selvaraju et al. 2017."""
    return (layer.terms.g_mean * layer.activation).sum(dim=1).relu()


def grad_cam_plus_plus(layer: LayerCapture) -> Tensor:
    r"""Grad-CAM++, :math:`(\sum_c w_c x_{c,u})^+` with :math:`w_c = \sum_u \alpha_{c,u} g_{c,u}^+`.

    .. math:: \alpha_{c,u} = g_{c,u}^2 / (2 g_{c,u}^2 + g_{c,u}^3 \sum_v x_{c,v})

    the paper's closed form for the exponential of the score, 0 where the denominator is 0.
    Chattopadhay et al. 2018.
    """
    g_up = layer.terms.g_up
    denominator = 2 + g_up * layer.activation.sum(dim=(2, 3), keepdim=True)
    weights = torch.where(denominator == 0, 0, g_up / denominator).sum(dim=(2, 3), keepdim=True)
    return (weights * layer.activation).sum(dim=1).relu()


def xgrad_cam(layer: LayerCapture) -> Tensor:
    r"""XGrad-CAM, :math:`(\sum_c w_c x_{c,u})^+` with an activation-weighted mean of the gradient.

    .. math:: w_c = \sum_u x_{c,u} g_{c,u} / \sum_u x_{c,u}

    and 0 for a channel that sums to 0. Fu et al. 2020.
    """
    total = layer.activation.sum(dim=(2, 3), keepdim=True)
    moment = layer.terms.product.sum(dim=(2, 3), keepdim=True)
    weights = torch.where(total == 0, 0, moment / total)
    return (weights * layer.activation).sum(dim=1).relu()


def layer_cam(layer: LayerCapture) -> Tensor:
    r"""Layer-CAM, :math:`(\sum_c g_{c,u}^+ x_{c,u})^+`. Jiang et al. 2021."""
    return (layer.terms.g_up * layer.activation).sum(dim=1).relu()


def hires_cam(layer: LayerCapture) -> Tensor:
    r"""HiResCAM, :math:`(\sum_c g_{c,u} x_{c,u})^+`: Grad-CAM without the averaging. Draelos, Carin 2020."""
    return layer.terms.product.sum(dim=1).relu()


def eigen_cam(layer: LayerCapture) -> Tensor:
    r"""Eigen-CAM: the activations on their first right singular vector, :math:`(x_u^\top v)^+`.

    ``v`` maximises :math:`\sum_u (x_u^\top v)^2` over unit vectors; its sign is the one with
    :math:`\sum_u x_u^\top v \ge 0`. It does not depend on the class. Muhammad, Yeasin 2020.
    """
    projected = _project(layer.activation.flatten(2))  # (N, H·W)
    sign = torch.where(projected.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    return (sign * projected).relu().reshape(-1, *layer.activation.shape[2:])


def eigen_grad_cam(layer: LayerCapture) -> Tensor:
    r"""Eigen-Grad-CAM: gradient × activation on its first principal component, cut off below zero.

    As Eigen-CAM, for :math:`x_u \odot g_u` minus its mean over the locations; the sign is the one that agrees
    with :math:`\sum_c x_{c,u} g_{c,u}`. Gildenblat et al., pytorch-grad-cam.
    """
    shares = layer.terms.product.flatten(2)  # (N, C, H·W)
    centred = shares - shares.mean(dim=2, keepdim=True)
    projected = _project(centred)
    agreement = (projected * centred.sum(dim=1)).sum(dim=1, keepdim=True)
    sign = torch.where(agreement < 0, -1.0, 1.0)
    return (sign * projected).relu().reshape(-1, *layer.activation.shape[2:])


def _project(values: Tensor) -> Tensor:
    """Each location's vector on the first singular direction, up to sign: (N, C, L) -> (N, L)."""
    return torch.stack([_project_one(matrix) for matrix in values])


def _project_one(matrix: Tensor) -> Tensor:
    """As above for one image, (C, L) -> (L,), through the smaller of the two Gram matrices."""
    channels, locations = matrix.shape
    if channels <= locations:
        return _leading(matrix @ matrix.T) @ matrix
    gram = matrix.T @ matrix
    vector = _leading(gram)
    # matrix.T @ v = sigma u, and sigma² is the eigenvalue.
    return vector * (vector @ gram @ vector).clamp(min=0).sqrt()


def _leading(gram: Tensor) -> Tensor:
    """The eigenvector of the largest eigenvalue of a positive semidefinite matrix, by subspace iteration."""
    scale = gram.diagonal().sum()
    if scale == 0 or not torch.isfinite(scale):
        return gram[0] * 0  # zeros, or NaN for what overflowed
    if len(gram) <= DIRECT:
        return _exact(gram)
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(len(gram), BLOCK, generator=generator, dtype=torch.float64).to(gram)
    for _ in range(ITERATIONS):
        block = torch.linalg.qr(gram @ block).Q
        values, turns = torch.linalg.eigh(block.T @ gram @ block)
        vector: Tensor = block @ turns[:, -1]
        if torch.linalg.vector_norm(gram @ vector - values[-1] * vector) <= TOLERANCE * scale:
            return vector
    return _exact(gram)  # no clear leading direction


def _exact(gram: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(gram).eigenvectors
    return vectors[:, -1]
