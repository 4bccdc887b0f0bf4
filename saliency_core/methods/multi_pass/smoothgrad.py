"""SmoothGrad: the gradient averaged over noisy copies of the photo."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_core.methods.multi_pass.counts import OptionValues
from saliency_core.methods.passes import SEED, Passes


def smoothgrad(network: Passes, options: OptionValues) -> Tensor:
    r"""The gradient of the score, averaged over noisy copies of the photo, (H, W) and ≥ 0.

    .. math:: m_u = \max_c \Big| \frac1n \sum_i \frac{\partial y}{\partial x_{c,u}}(x + \epsilon_i) \Big|,
              \quad \epsilon_i \sim N(0, \sigma^2), \quad \sigma = \mathrm{noise} \cdot (\max x - \min x)

    Captum's attribution has the shape of the input, (C, H, W); the map is the **largest absolute value over
    the channels** of the mean, as for the plain gradient, which is the case without noise. The noise is drawn
    from its own seeded generator, one sample after the other, so that a map never depends on the batch
    size or on what else draws random numbers in the process; Captum's ``NoiseTunnel`` draws from the global
    generator, which other threads share.

    Source: Smilkov et al.: SmoothGrad, removing noise by adding noise, 2017.
    """
    from captum.attr import Saliency  # half a second, paid only by those who use it

    samples, x = int(options["samples"]), network.x
    method = Saliency(network.score)
    method.gradient_func = network.in_turns(method.gradient_func)
    # Drawn on the CPU: every device sees the same noise.
    generator = torch.Generator(device="cpu").manual_seed(SEED)
    deviation = options["noise"] * (x.max() - x.min())
    total = torch.zeros_like(x[0])
    for start in range(0, samples, network.gradient_batch):
        count = min(network.gradient_batch, samples - start)
        drawn = [torch.randn(x.shape[1:], generator=generator, device="cpu") for _ in range(count)]
        noisy = x + deviation * torch.stack(drawn).to(x)
        with torch.enable_grad():
            total += method.attribute(noisy.requires_grad_(), abs=False).sum(dim=0)
    return (total / samples).abs().amax(dim=0)  # (C, H, W) -> (H, W)
