r"""The saliency methods: pure functions from a layer's activation and gradient to a map.

Notation: a layer's output is :math:`x \in R^{C \times H \times W}`, the score is the class logit
:math:`y_c`, and :math:`g = \partial y_c / \partial x`; ``u`` is a location, :math:`x_u, g_u \in R^C`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from saliency_core.backprop.backward_rules import (
    CONTRASTIVE,
    DECONVNET,
    EXCITATION,
    GUIDED,
    BackwardRule,
    obstacle,
)
from saliency_core.backprop.capture import LayerCapture
from saliency_core.methods import cams
from saliency_core.methods.framework import AGGREGATES, CELLS, EXTRACTS
from saliency_core.methods.multi_pass import BASELINES
from saliency_core.methods.normgrad import normgrad_proper
from saliency_core.models.classifier import Classifier
from saliency_core.registry import Registry

PAPER = "Rebuffi, Fong, Ji, Vedaldi: There and Back Again, CVPR 2020"
PAPER_URL = "https://arxiv.org/abs/2004.02866"

NORMGRAD, CAM, GRADIENT = "NormGrad", "Class activation maps", "Gradient"
MODIFIED, BASELINE, CELL = "Modified backpropagation", "Baselines", "Framework cells"

Compute = Callable[[LayerCapture], Tensor]


@dataclass(frozen=True)
class Method:
    """A method and what one needs to judge it; called with a ``LayerCapture`` it gives (N, H, W)."""

    name: str
    title: str
    summary: str
    """One sentence: what a bright place means."""
    formula: str
    """LaTeX, at one location ``u``."""
    reference: str
    url: str
    family: str
    empty: str
    """Why a map can be constant, as a sentence."""
    compute: Compute | None = None
    """The map; None for the baselines, which need the network itself."""
    signed: bool = False
    """Whether negative values occur and mean something (against the class)."""
    cell: tuple[str, str] | None = None
    """(extract, aggregate) if it is a cell of the framework."""
    where: str = "any"
    """The layers at which it is defined: ``"any"``, ``"convolution"`` or ``"input"``."""
    rule: BackwardRule | None = None
    """The backward rule that replaces the gradient."""
    passes: int = 0
    """About how many forward passes it takes, for those that need many."""
    needs: str = ""
    """What kind of network or layer it needs, as a sentence."""

    @property
    def cost(self) -> str:
        """``"single"`` (the shared pass), ``"backward"`` (one more for all layers) or ``"passes"`` (many)."""
        return "passes" if self.passes else "backward" if self.rule else "single"

    @property
    def cost_text(self) -> str:
        """The cost in words."""
        texts = {"single": "single pass, shared", "backward": "one extra pass"}
        return texts.get(self.cost, f"about {self.passes} passes")

    def __call__(self, layer: LayerCapture) -> Tensor:
        """The raw map at the layer's resolution: (N, C, H, W) twice -> (N, H, W)."""
        if self.compute is None:
            raise ValueError(
                f"{self.title} is no function of one layer; use explain(methods=[{self.name!r}])"
            )
        return self.compute(layer)


METHODS: Registry[Method] = Registry("method")


def unavailable(classifier: Classifier, method: str, layer: str | None = None) -> str | None:
    """Why a method is not defined for a network (at a layer, or at all of its default layers), or None.

    Raises ``ValueError`` for an unknown method.
    """
    entry = METHODS[method]
    if entry.rule is not None and (reason := obstacle(classifier, entry.rule, layer)) is not None:
        return f"{entry.needs} {reason}"
    if entry.where == "convolution":
        names = classifier.default_layers if layer is None else (layer,)
        if not any(_is_convolution(classifier, name) for name in names):
            others = [each.name for each in classifier.layers if _is_convolution(classifier, each.name)]
            which = "None of the default layers is" if layer is None else f"Layer {layer!r} is not"
            hint = f"; {others[-1]!r} is" if others else ""
            return f"{entry.needs} {which} a convolution{hint}."
    return None


def cell_method(extract: str, aggregate: str) -> Method:
    """The registered method that is this cell of the framework."""
    return next(method for method in METHODS.values() if method.cell == (extract, aggregate))


def surviving_energy(layer: LayerCapture) -> Tensor:
    r"""The share of gradient energy that survives Grad-CAM's spatial averaging, one number per image.

    .. math:: H W \lVert \bar g \rVert^2 / \sum_u \lVert g_u \rVert^2 \in [0, 1]

    1 where the gradient is the same at every place, so that averaging loses nothing; near 0 where the
    places disagree and averaging cancels them. NaN where the gradient is zero everywhere. (N, C, H, W)
    -> (N,).
    """
    total = layer.terms.g_square.mean(dim=(1, 2))
    mean = layer.terms.g_mean.square().sum(dim=(1, 2, 3))
    return mean / total


def gradient(layer: LayerCapture) -> Tensor:
    r"""The largest absolute signal over the channels, :math:`\max_c |g_{c,u}|`. Simonyan et al. 2014."""
    return torch.maximum(layer.terms.g_max, -layer.terms.g_min)


def signal_sum(layer: LayerCapture) -> Tensor:
    r"""The signal summed over the channels, :math:`\sum_c p_{c,u}`. Zhang et al. 2016."""
    return layer.terms.g_sum


def positive_signal_sum(layer: LayerCapture) -> Tensor:
    r"""The part of the summed signal above zero, :math:`(\sum_c p_{c,u})^+`. Zhang et al. 2016."""
    return layer.terms.g_sum.relu()


def _is_convolution(classifier: Classifier, name: str) -> bool:
    return name in classifier.modules and isinstance(classifier.modules[name], nn.Conv2d)


def _cell(extract: str, aggregate: str) -> Compute:
    cell = CELLS[extract, aggregate]
    return lambda layer: cell(layer.terms)


def _of_cell(extract: str, aggregate: str) -> dict[str, object]:
    return {"cell": (extract, aggregate), "compute": _cell(extract, aggregate)}


def _add(family: str, name: str, **facts: object) -> None:
    METHODS.add(name, Method(name=name, family=family, **facts))  # type: ignore[arg-type]


_paper = {"reference": PAPER, "url": PAPER_URL}
_same_gradient = "The gradient is the same everywhere: behind a global average pooling it has no position."
_zero_somewhere = "Activation or gradient is zero at every place of this layer."
_cut_off = "Every weighted sum is negative or zero, and class activation maps cut negative values off."
_no_share = "No signal reaches this layer under this rule."

_normgrad: Callable[..., None] = partial(_add, NORMGRAD, **_paper)
_normgrad(
    "normgrad",
    title="NormGrad",
    summary="How much each place would move an identity 1\u00a0×\u00a01 convolution put here.",
    formula=r"\lVert x_u \rVert \, \lVert g_u \rVert",
    empty=_zero_somewhere,
    **_of_cell("conv1x1", "norm"),
)
_normgrad(
    "normgrad_selective",
    title="Selective NormGrad",
    summary="NormGrad of an identity scaling, counting only the shares that raise the class score.",
    formula=r"\lVert (x_u \odot g_u)^+ \rVert",
    empty="No channel raises the class score at any place of this layer.",
    **_of_cell("scaling", "filter_norm"),
)
_normgrad(
    "normgrad_conv3x3",
    title="NormGrad 3\u00a0×\u00a03",
    summary="How much each place would move an identity 3\u00a0×\u00a03 convolution put here.",
    formula=r"\lVert x_{N(u)} \rVert \, \lVert g_u \rVert",
    empty=_zero_somewhere,
    **_of_cell("conv3x3", "norm"),
)
_normgrad(
    "normgrad_proper",
    title="NormGrad of the layer",
    summary="How much each place moves the weights of the convolution that is really there.",
    formula=r"\lVert x^{in}_{N(u)} \rVert \, \lVert g_u \rVert",
    empty=_zero_somewhere,
    compute=normgrad_proper,
    where="convolution",
    needs="Defined where the layer itself is a convolution.",
)

_cam: Callable[..., None] = partial(_add, CAM, empty=_cut_off)
_cam(
    "grad_cam",
    title="Grad-CAM",
    summary="Channels weighted by their average gradient and summed; negative values are cut off.",
    formula=r"\Big(\sum_c \bar g_c \, x_{c,u}\Big)^{+}",
    reference="Selvaraju et al.: Grad-CAM, ICCV 2017",
    url="https://arxiv.org/abs/1610.02391",
    compute=cams.grad_cam,
)
_cam(
    "grad_cam_plus_plus",
    title="Grad-CAM++",
    summary="Grad-CAM with positive gradients only, each place weighted so that all instances count.",
    formula=r"\Big(\sum_c \Big(\sum_v \frac{g_{c,v}^+}{2 + g_{c,v}\sum_w x_{c,w}}\Big) x_{c,u}\Big)^{+}",
    reference="Chattopadhay et al.: Grad-CAM++, WACV 2018",
    url="https://arxiv.org/abs/1710.11063",
    compute=cams.grad_cam_plus_plus,
)
_cam(
    "xgrad_cam",
    title="XGrad-CAM",
    summary="Grad-CAM whose average counts a place by the channel's activation there.",
    formula=r"\Big(\sum_c \frac{\sum_v x_{c,v}\, g_{c,v}}{\sum_v x_{c,v}}\, x_{c,u}\Big)^{+}",
    reference="Fu et al.: Axiom-based Grad-CAM, BMVC 2020",
    url="https://arxiv.org/abs/2008.02312",
    compute=cams.xgrad_cam,
)
_cam(
    "layer_cam",
    title="Layer-CAM",
    summary="Every place of every channel weighted by its own gradient, where that is positive.",
    formula=r"\Big(\sum_c g_{c,u}^+ \, x_{c,u}\Big)^{+}",
    reference="Jiang et al.: LayerCAM, IEEE TIP 2021",
    url="https://doi.org/10.1109/TIP.2021.3089943",
    compute=cams.layer_cam,
)
_cam(
    "hires_cam",
    title="HiResCAM",
    summary="Grad-CAM without the averaging: gradient × activation, summed and cut off below zero.",
    formula=r"\Big(\sum_c g_{c,u} \, x_{c,u}\Big)^{+}",
    reference="Draelos, Carin: Use HiResCAM instead of Grad-CAM, 2020",
    url="https://arxiv.org/abs/2011.08891",
    compute=cams.hires_cam,
)
_cam(
    "eigen_cam",
    title="Eigen-CAM",
    summary="Where the activations follow their strongest common pattern, whatever the class.",
    formula=r"\big(x_u^{\top} v_1\big)^{+}",
    reference="Muhammad, Yeasin: Eigen-CAM, IJCNN 2020",
    url="https://arxiv.org/abs/2008.00299",
    compute=cams.eigen_cam,
)
_cam(
    "eigen_grad_cam",
    title="Eigen-Grad-CAM",
    summary="Where gradient × activation follows its first principal component.",
    formula=r"\big((x_u \odot g_u - \overline{x \odot g})^{\top} v_1\big)^{+}",
    reference="Gildenblat et al.: pytorch-grad-cam, 2021",
    url="https://github.com/jacobgil/pytorch-grad-cam",
    compute=cams.eigen_grad_cam,
)

_gradient: Callable[..., None] = partial(_add, GRADIENT)
_gradient(
    "linear_approx",
    title="Linear approximation",
    summary="Gradient × activation, summed: what each place adds to the score, to first order.",
    formula=r"\sum_c x_{c,u} \, g_{c,u}",
    reference="Kindermans et al.: Investigating the influence of noise, 2016",
    url="https://arxiv.org/abs/1611.07270",
    signed=True,
    empty="Activation times gradient sums to the same value at every place of this layer.",
    **_of_cell("scaling", "sum"),
)
_gradient(
    "gradient",
    title="Gradient",
    summary="The largest absolute gradient over channels: where a change would move the score most.",
    formula=r"\max_c |g_{c,u}|",
    reference="Simonyan, Vedaldi, Zisserman: Deep inside convolutional networks, 2014",
    url="https://arxiv.org/abs/1312.6034",
    empty=_same_gradient,
    compute=gradient,
)
_gradient(
    "gradient_sum",
    title="Gradient, summed",
    summary="The gradient summed over channels, with its sign.",
    formula=r"\sum_c g_{c,u}",
    signed=True,
    empty=_same_gradient,
    **_paper,
    **_of_cell("bias", "sum"),
)

_modified: Callable[..., None] = partial(_add, MODIFIED)
_relu_only = "Defined for networks whose non-linearities are all ReLU."
_modified(
    "guided_backprop",
    title="Guided backprop",
    summary="The gradient, passing back through a ReLU only where it and the ReLU's input are positive.",
    formula=r"\max_c |\tilde g_{c,u}|, \quad \mathrm{ReLU}: p \mapsto p^+ \, [x > 0]",
    reference="Springenberg et al.: Striving for simplicity, ICLR workshop 2015",
    url="https://arxiv.org/abs/1412.6806",
    empty=_no_share,
    compute=gradient,
    rule=GUIDED,
    needs=_relu_only,
)
_modified(
    "deconvnet",
    title="Deconvnet",
    summary="The gradient, passing back through a ReLU only where it is positive itself.",
    formula=r"\max_c |\tilde g_{c,u}|, \quad \mathrm{ReLU}: p \mapsto p^+",
    reference="Zeiler, Fergus: Visualizing and understanding convolutional networks, ECCV 2014",
    url="https://arxiv.org/abs/1311.2901",
    empty=_no_share,
    compute=gradient,
    rule=DECONVNET,
    needs=_relu_only,
)
_excitation = {
    "reference": "Zhang et al.: Top-down neural attention by excitation backprop, ECCV 2016",
    "url": "https://arxiv.org/abs/1608.00507",
    "empty": _no_share,
    "needs": _relu_only,
}
_modified(
    "excitation_backprop",
    title="Excitation backprop",
    summary="The probability that a winner drawn from the class downwards passes through this place.",
    formula=r"\sum_c p_{c,u}, \quad p'_j = a_j \sum_i \frac{w_{ij}^+ \, p_i}{\sum_k w_{ik}^+ a_k}",
    compute=signal_sum,
    rule=EXCITATION,
    **_excitation,
)
_modified(
    "contrastive_excitation_backprop",
    title="Contrastive excitation",
    summary="Excitation of the class minus that of all the others, contrasted at the last stage.",
    formula=r"\Big(\sum_c (p - \bar p)_{c,u}\Big)^{+}",
    compute=positive_signal_sum,
    rule=CONTRASTIVE,
    **_excitation,
)

_baseline: Callable[..., None] = partial(_add, BASELINE, where="input")
_baseline(
    "integrated_gradients",
    title="Integrated gradients",
    summary="The gradient averaged on the way from the mean colour to the photo, times the difference.",
    formula=r"\sum_c (x - x^0)_{c,u} \int_0^1 g_{c,u}\big(x^0 + t\,(x - x^0)\big)\, dt",
    reference="Sundararajan, Taly, Yan: Axiomatic attribution, ICML 2017",
    url="https://arxiv.org/abs/1703.01365",
    signed=True,
    empty=_same_gradient,
    passes=BASELINES["integrated_gradients"].passes,
)
_baseline(
    "smoothgrad",
    title="SmoothGrad",
    summary="The gradient averaged over noisy copies of the photo.",
    formula=r"\max_c \Big|\tfrac1n \sum_i g_{c,u}(x + \varepsilon_i)\Big|",
    reference="Smilkov et al.: SmoothGrad, 2017",
    url="https://arxiv.org/abs/1706.03825",
    empty=_same_gradient,
    passes=BASELINES["smoothgrad"].passes,
)
_baseline(
    "occlusion",
    title="Occlusion",
    summary="How much the score falls when a patch over this place is covered with the mean colour.",
    formula=r"\text{mean over patches } P \ni u \text{ of } y(x) - y(x_{\backslash P})",
    reference="Zeiler, Fergus: Visualizing and understanding convolutional networks, ECCV 2014",
    url="https://arxiv.org/abs/1311.2901",
    signed=True,
    empty="Covering a patch changes nothing, wherever it lies.",
    passes=BASELINES["occlusion"].passes,
)
_baseline(
    "rise",
    title="RISE",
    summary="The probability of the class when this place is seen, averaged over random masks.",
    formula=r"\frac{1}{n\,\mathbb{E}[M]} \sum_i P_c(x \odot M_i)\, M_{i,u}",
    reference="Petsiuk, Das, Saenko: RISE, BMVC 2018",
    url="https://arxiv.org/abs/1806.07421",
    empty="The masks change nothing, wherever they lie.",
    passes=BASELINES["rise"].passes,
)

EXTRACT_FORMULAS = {
    "bias": r"g_u",
    "scaling": r"x_u \odot g_u",
    "conv1x1": r"g_u x_u^{\top}",
    "conv3x3": r"g_u \, \mathrm{vec}(x_{N(u)})^{\top}",
    "conv3x3_depthwise": r"g_{c,u} \, x_{c,N(u)}",
}
AGGREGATE_FORMULAS = {
    "sum": r"\sum_i s_i",
    "norm": r"\Big(\sum_i s_i^2\Big)^{1/2}",
    "filter_norm": r"\Big(\sum_i (s_i^+)^2\Big)^{1/2}",
    "max": r"\max_i s_i",
}
EXTRACT_TITLES = {
    "bias": "Bias",
    "scaling": "Scaling",
    "conv1x1": "Conv 1\u00a0×\u00a01",
    "conv3x3": "Conv 3\u00a0×\u00a03",
    "conv3x3_depthwise": "Conv 3\u00a0×\u00a03 depthwise",
}
AGGREGATE_TITLES = {"sum": "sum", "norm": "norm", "filter_norm": "filter norm", "max": "max"}

for _extract in EXTRACTS:
    for _aggregate in AGGREGATES:
        if any(_method.cell == (_extract, _aggregate) for _method in METHODS.values()):
            continue
        _title = f"{EXTRACT_TITLES[_extract]}, {AGGREGATE_TITLES[_aggregate]}"
        _add(
            CELL,
            f"{_extract}_{_aggregate}",
            title=_title,
            summary=f"The {AGGREGATE_TITLES[_aggregate]} of a place's share in an identity layer's gradient.",
            formula=rf"{AGGREGATE_FORMULAS[_aggregate]}, \quad s = {EXTRACT_FORMULAS[_extract]}",
            signed=_aggregate in ("sum", "max"),
            empty="This cell has the same value at every place of this layer.",
            **_paper,
            **_of_cell(_extract, _aggregate),
        )
