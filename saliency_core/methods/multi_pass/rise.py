"""RISE: the class probability of randomly masked photos."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_core.methods.multi_pass.counts import OptionValues
from saliency_core.methods.passes import SEED, Passes


def rise(network: Passes, options: OptionValues) -> Tensor:
    r"""The class probability of masked photos, summed where the mask lets the photo through, (H, W) and ≥ 0.

    .. math:: m_u = \frac{1}{N \, \mathrm{E}[M]} \sum_{i=1}^{N} p(x \odot M_i) \, M_{i,u}

    p is the **probability** of the class, as in the paper, so a map is zero where the class has no
    probability under any mask. For a function of the class scores p is its value, so that the map can be
    negative. A mask is a grid of ``cells`` × ``cells`` that keeps each cell with probability ``keep`` = E[M],
    resized bilinearly to one cell more than the input and cropped at a random offset. Grids and offsets come
    from a dedicated seeded generator. The paper takes 4000 to 8000 masks; fewer leave more of the masks' own
    pattern in the map.

    Source: Petsiuk, Das, Saenko: RISE, randomized input sampling for explanation of black-box models,
    BMVC 2018.
    """
    masks, cells, keep, x = int(options["masks"]), int(options["cells"]), options["keep"], network.x
    # Drawn on the CPU and all at once: the same for every device and batch size.
    generator = torch.Generator(device="cpu").manual_seed(SEED)
    grids = (torch.rand(masks, 1, cells, cells, generator=generator, device="cpu") < keep).to(x)
    height, width = x.shape[2:]
    cell = (math.ceil(height / cells), math.ceil(width / cells))
    offsets = [torch.randint(side, (masks,), generator=generator, device="cpu").tolist() for side in cell]
    resized = ((cells + 1) * cell[0], (cells + 1) * cell[1])
    total = torch.zeros_like(x[0, 0])
    for start in range(0, masks, network.forward_batch):
        some = slice(start, start + network.forward_batch)
        large = F.interpolate(grids[some], resized, mode="bilinear", align_corners=False)
        tops, lefts = (offset[some] for offset in offsets)
        cropped = torch.stack(
            [
                mask[:, top : top + height, left : left + width]
                for mask, top, left in zip(large, tops, lefts, strict=True)
            ]
        )  # (n, 1, H, W)
        with network.turn(len(cropped)):
            probabilities = network.probability(x * cropped)
        total += torch.einsum("n,nhw->hw", probabilities, cropped[:, 0])
    return total / (masks * keep)
