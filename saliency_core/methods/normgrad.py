"""NormGrad without the virtual identity: the layer itself is the convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_core.backprop.capture import LayerCapture


def normgrad_proper(layer: LayerCapture) -> Tensor:
    r"""The norm of each location's share of the gradient of a convolution's own weights.

    .. math:: \lVert g_u \rVert \, \lVert \mathrm{vec}(x^{in}_{N(u)}) \rVert
        \quad\text{with groups}\quad
        \Big(\sum_k \lVert g_{k,u} \rVert^2 \lVert x^{in}_{k,N(u)} \rVert^2\Big)^{1/2}

    ``N(u)`` is the window of the layer's own kernel, stride, padding and dilation; ``k`` runs over its
    groups. (N, C, H, W) of the layer's output -> (N, H, W). Source: Rebuffi et al. 2020.

    Raises:
        ValueError: the layer is no convolution.
    """
    call = layer.convolution
    if call is None:
        raise ValueError("normgrad_proper needs a layer that is a convolution")
    count, _, height, width = layer.gradient.shape
    squares = call.inputs.square().reshape(count, call.groups, -1, *call.inputs.shape[2:]).sum(dim=2)
    ones = torch.ones(call.groups, 1, *call.kernel_size, dtype=squares.dtype, device=squares.device)
    windows = F.conv2d(squares, ones, None, call.stride, call.padding, call.dilation, call.groups)
    shares = layer.gradient.square().reshape(count, call.groups, -1, height, width).sum(dim=2)
    return (windows * shares).sum(dim=1).sqrt()
