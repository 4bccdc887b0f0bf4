"""What takes the place of the pixels that insertion and deletion remove, as inputs of a network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from saliency_core.models.classifier import Classifier


def blurred(_classifier: Classifier, x: Tensor, *, width: int, sigma: float) -> Tensor:
    """The photo blurred by a Gaussian, `width` and `sigma` in pixels of the input."""
    half = width // 2
    at = torch.arange(-half, half + 1, dtype=torch.float64)
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (weights / weights.sum()).to(x)
    channels = x.shape[1]
    wide = F.pad(x, (half, half, half, half), mode="replicate")
    across = F.conv2d(wide, kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)


def mean(_classifier: Classifier, x: Tensor) -> Tensor:
    """What is 0 after normalising."""
    return torch.zeros_like(x)


def black(classifier: Classifier, x: Tensor) -> Tensor:
    """What the classifier makes of a black photo."""
    height, width = classifier.preprocess.input_size
    prepared, _ = classifier.prepare(Image.new("RGB", (width, height)))
    middle = prepared[
        :, :, prepared.shape[2] // 2, prepared.shape[3] // 2
    ]  # what is around it may be padding
    return middle[:, :, None, None].to(x).expand_as(x).clone()
