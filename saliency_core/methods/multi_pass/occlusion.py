"""Occlusion: how far the score falls when a window of the photo is covered."""

from __future__ import annotations

from torch import Tensor

from saliency_core.methods.multi_pass import counts
from saliency_core.methods.multi_pass.counts import OptionValues
from saliency_core.methods.passes import Passes


def occlusion(network: Passes, options: OptionValues) -> Tensor:
    r"""How far the score falls when a window over the location is set to the mean colour, (H, W).

    .. math:: m_u = \frac{1}{|\{w \ni u\}|} \sum_{w \ni u} \big( y(x) - y(x \text{ without } w) \big)

    The window slides by half its side: by default 32 pixels by 16 for an input of 224 × 224, so one pass for
    the photo and 13 × 13 for the windows; the last ones are cut off at the border where they do not fit.
    Captum gives all channels the same attribution, since a window covers them together; the map is
    their **mean**. Negative where covering raises the score. Unit: that of the score, for a class its logit.

    Source: Zeiler, Fergus: Visualizing and understanding convolutional networks, ECCV 2014.
    """
    from captum.attr import Occlusion  # half a second, paid only by those who use it

    def forward(batch: Tensor) -> Tensor:
        with network.turn(len(batch)):
            return network.score(batch)

    channels = network.x.shape[1]
    windows = counts.windows(options, (network.x.shape[2], network.x.shape[3]))
    attribution: Tensor = Occlusion(forward).attribute(
        network.x,
        sliding_window_shapes=(channels, *(side for side, _ in windows)),
        strides=(channels, *(stride for _, stride in windows)),
        baselines=0.0,
        perturbations_per_eval=network.forward_batch,
    )
    return attribution[0].mean(dim=0)  # (C, H, W) -> (H, W)
