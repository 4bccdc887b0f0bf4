"""NormGrad without the virtual identity: the layer itself is the convolution or the linear layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_core.backprop.capture import LayerCapture
from saliency_core.backprop.terms import negative, safe_exponents, square_sum, times_power
from saliency_core.errors import LayerError


def normgrad_proper(layer: LayerCapture) -> Tensor:
    r"""The norm of each location's share of the gradient of a layer's own weights.

    .. math:: \lVert g_u \rVert \, \lVert \mathrm{vec}(x^{in}_{N(u)}) \rVert
        \quad\text{with groups}\quad
        \Big(\sum_k \lVert g_{k,u} \rVert^2 \lVert x^{in}_{k,N(u)} \rVert^2\Big)^{1/2}

    ``N(u)`` is the window of the layer's own kernel, stride, padding and dilation; ``k`` runs over its
    groups. At a linear layer that is applied to every token the share is :math:`g_u (x^{in}_u)^\top`, and
    ``N(u)`` is the token itself; class tokens have no location and are left out. (N, C, H, W) of the layer's
    output -> (N, H, W). Source: Rebuffi et al. 2020.

    Raises:
        LayerError: the layer is neither a convolution nor linear.
    """
    call = layer.convolution
    if call is None:
        raise LayerError("normgrad_proper needs a convolution or a linear layer; choose another layer")
    x_exponents = safe_exponents(square_sum(call.inputs), call.inputs)
    g_exponents = layer.terms.g_exponents
    x, g = times_power(call.inputs, x_exponents), times_power(layer.gradient, g_exponents)
    count, _, height, width = g.shape
    squares = x.square().reshape(count, call.groups, -1, *x.shape[2:]).sum(dim=2)
    ones = torch.ones(call.groups, 1, *call.kernel_size, dtype=squares.dtype, device=squares.device)
    windows = F.conv2d(squares, ones, None, call.stride, call.padding, call.dilation, call.groups)
    shares = g.square().reshape(count, call.groups, -1, height, width).sum(dim=2)
    values = (windows * shares).sum(dim=1).sqrt()
    return times_power(times_power(values, negative(g_exponents)), negative(x_exponents))
