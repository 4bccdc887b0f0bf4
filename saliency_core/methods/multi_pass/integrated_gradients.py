"""Integrated gradients: the gradient averaged along the way from the mean colour to the photo."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_core.methods.multi_pass.counts import OptionValues
from saliency_core.methods.passes import Passes


def integrated_gradients(network: Passes, options: OptionValues) -> Tensor:
    r"""What each location adds to the score on the path from the mean colour to the photo, (H, W).

    .. math:: m_u = \sum_c x_{c,u} \int_0^1 \frac{\partial y}{\partial x_{c,u}}(\alpha x) \, d\alpha

    Captum's attribution has the shape of the input, (C, H, W); the map is its **sum over the channels**, with
    its sign, so that it keeps *completeness*: the map adds up to y(x) - y(0), as exactly as ``steps`` points
    (Gauss-Legendre) sample the integral. Unit: that of the score, for a class its logit.

    Source: Sundararajan, Taly, Yan: Axiomatic attribution for deep networks, ICML 2017.
    """
    from captum.attr import IntegratedGradients  # half a second, paid only by those who use it

    with torch.enable_grad():
        method = IntegratedGradients(network.score)
        method.gradient_func = network.in_turns(method.gradient_func)
        attribution: Tensor = method.attribute(
            network.x,
            baselines=0.0,
            n_steps=int(options["steps"]),
            internal_batch_size=network.gradient_batch,
        )
    return attribution[0].sum(dim=0)  # (C, H, W) -> (H, W)
