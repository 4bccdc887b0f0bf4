r"""Maps computed from the gradient :math:`g`, or off the signal of another backward rule, alone."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_core.backprop.capture import LayerCapture


def gradient(layer: LayerCapture) -> Tensor:
    r"""The largest absolute gradient over the channels, :math:`\max_c |g_{c,u}|`, (N, H, W) and ≥ 0.

    Source: Simonyan, Vedaldi, Zisserman 2014. Guided backprop and Deconvnet take the same of their signals.
    """
    return torch.maximum(layer.terms.g_max, -layer.terms.g_min)


def signal_sum(layer: LayerCapture) -> Tensor:
    r"""The signal summed over the channels, :math:`\sum_c p_{c,u}`, (N, H, W). Source: Zhang et al. 2016."""
    return layer.terms.g_sum


def positive_signal_sum(layer: LayerCapture) -> Tensor:
    r"""The positive part of the summed signal, :math:`(\sum_c p_{c,u})^+`, (N, H, W).

    Source: Zhang et al. 2016, contrastive excitation backprop.
    """
    return layer.terms.g_sum.relu()


def surviving_energy(layer: LayerCapture) -> Tensor:
    r"""Share of the gradient energy left after averaging over all locations, as Grad-CAM does; one per image.

    .. math:: H W \lVert \bar g \rVert^2 / \sum_u \lVert g_u \rVert^2 \in [0, 1]

    1 where the gradient is the same at every location, so that averaging loses nothing; near 0 where the
    locations disagree and cancel. NaN where the gradient is zero everywhere. (N, C, H, W) -> (N,).
    """
    terms = layer.terms.with_scaled_g
    total = terms.g_square.mean(dim=(1, 2))
    mean = terms.g_mean.square().sum(dim=(1, 2, 3))
    return mean / total
