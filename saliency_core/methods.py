r"""The saliency methods: pure functions from a layer's activation and gradient to a map.

Notation: a layer's output is :math:`x \in R^{C \times H \times W}`, the score is the class logit
:math:`y_c`, and :math:`g = \partial y_c / \partial x`; ``u`` is a location, :math:`x_u, g_u \in R^C`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from saliency_core.capture import LayerCapture
from saliency_core.framework import CELLS
from saliency_core.registry import Registry

PAPER = "Rebuffi, Fong, Ji, Vedaldi: There and Back Again, CVPR 2020"
PAPER_URL = "https://arxiv.org/abs/2004.02866"


@dataclass(frozen=True)
class Method:
    """A method and what one needs to judge it; called with a ``LayerCapture`` it gives (N, H, W)."""

    name: str
    title: str
    summary: str
    """One sentence: what a bright place means."""
    formula: str
    """LaTeX, one location ``u``."""
    reference: str
    url: str
    signed: bool
    """Whether negative values occur and mean something (against the class)."""
    family: str
    empty: str
    """Why a map can be constant, as a sentence."""
    compute: Callable[[LayerCapture], Tensor]

    def __call__(self, layer: LayerCapture) -> Tensor:
        """The raw map at the layer's resolution: (N, C, H, W) twice -> (N, H, W)."""
        return self.compute(layer)


METHODS: Registry[Method] = Registry("method")


def _cell(extract: str, aggregate: str) -> Callable[[LayerCapture], Tensor]:
    """A method that is a cell of the framework."""
    cell = CELLS[extract, aggregate]
    return lambda layer: cell(layer.activation, layer.gradient)


def grad_cam(layer: LayerCapture) -> Tensor:
    r"""Weighted activations, :math:`(\sum_c \bar g_c x_{c,u})^+`; :math:`\bar g_c` is the spatial mean."""
    weights = layer.gradient.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
    return (weights * layer.activation).sum(dim=1).relu()


def gradient(layer: LayerCapture) -> Tensor:
    r"""Gradient, :math:`\max_c |g_{c,u}|`."""
    return layer.gradient.abs().amax(dim=1)


def surviving_energy(layer: LayerCapture) -> Tensor:
    r"""The share of gradient energy that survives Grad-CAM's spatial averaging, one number per image.

    .. math:: H W \lVert \bar g \rVert^2 / \sum_u \lVert g_u \rVert^2 \in [0, 1]

    1 where the gradient is the same at every place, so that averaging loses nothing; near 0 where the
    places disagree and averaging cancels them. NaN where the gradient is zero everywhere. (N, C, H, W)
    -> (N,).
    """
    total = layer.gradient.square().mean(dim=(2, 3)).sum(dim=1)
    mean = layer.gradient.mean(dim=(2, 3)).square().sum(dim=1)
    return mean / total


for _method in (
    Method(
        name="normgrad",
        title="NormGrad",
        summary="How much each place would move an identity 1\u00a0×\u00a01 convolution put here.",
        formula=r"\lVert x_u \rVert \, \lVert g_u \rVert",
        reference=PAPER,
        url=PAPER_URL,
        signed=False,
        family="NormGrad",
        empty="Activation or gradient is zero at every place of this layer.",
        compute=_cell("conv1x1", "norm"),
    ),
    Method(
        name="normgrad_selective",
        title="Selective NormGrad",
        summary="NormGrad of an identity scaling, counting only the shares that raise the class score.",
        formula=r"\lVert (x_u \odot g_u)^+ \rVert",
        reference=PAPER,
        url=PAPER_URL,
        signed=False,
        family="NormGrad",
        empty="No channel raises the class score at any place of this layer.",
        compute=_cell("scaling", "filter_norm"),
    ),
    Method(
        name="grad_cam",
        title="Grad-CAM",
        summary="Channels weighted by their average gradient and summed; negative values are cut off.",
        formula=r"\Big(\sum_c \bar g_c \, x_{c,u}\Big)^{\!+}",
        reference="Selvaraju et al.: Grad-CAM, ICCV 2017",
        url="https://arxiv.org/abs/1610.02391",
        signed=False,
        family="Class activation maps",
        empty="Every weighted sum is negative or zero, and Grad-CAM cuts negative values off.",
        compute=grad_cam,
    ),
    Method(
        name="linear_approx",
        title="Linear approximation",
        summary="Gradient × activation, summed: what each place adds to the score, to first order.",
        formula=r"\sum_c x_{c,u} \, g_{c,u}",
        reference="Kindermans et al.: Investigating the influence of noise, 2016",
        url="https://arxiv.org/abs/1611.07270",
        signed=True,
        family="Gradient",
        empty="Activation times gradient sums to the same value at every place of this layer.",
        compute=_cell("scaling", "sum"),
    ),
    Method(
        name="gradient",
        title="Gradient",
        summary="The largest absolute gradient over channels: where a change would move the score most.",
        formula=r"\max_c |g_{c,u}|",
        reference="Simonyan, Vedaldi, Zisserman: Deep inside convolutional networks, 2014",
        url="https://arxiv.org/abs/1312.6034",
        signed=False,
        family="Gradient",
        empty="The gradient is the same everywhere: behind a global average pooling it has no position.",
        compute=gradient,
    ),
    Method(
        name="gradient_sum",
        title="Gradient, summed",
        summary="The gradient summed over channels, with its sign.",
        formula=r"\sum_c g_{c,u}",
        reference=PAPER,
        url=PAPER_URL,
        signed=True,
        family="Gradient",
        empty="The gradient is the same everywhere: behind a global average pooling it has no position.",
        compute=_cell("bias", "sum"),
    ),
):
    METHODS.add(_method.name, _method)
