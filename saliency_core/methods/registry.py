r"""The saliency methods: one entry each, with everything that is said about it.

Notation: a layer's output is :math:`x \in R^{C \times H \times W}`, the score is the class logit
:math:`y_c`, and :math:`g = \partial y_c / \partial x`; ``u`` is a location, :math:`x_u, g_u \in R^C`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saliency_core.backprop.rules import CONTRASTIVE, DECONVNET, EXCITATION, GUIDED
from saliency_core.deferred import deferred
from saliency_core.errors import UnknownNameError
from saliency_core.methods.cells import AGGREGATES, EXTRACTS, Aggregate, Extract
from saliency_core.methods.method import (
    AttentionPass,
    Domain,
    ExtraBackward,
    Method,
    MultiPass,
    Option,
    SharedPass,
)
from saliency_core.methods.multi_pass import counts
from saliency_core.registry import Registry, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from saliency_core.backprop.capture import LayerCapture
    from saliency_core.methods import attention, cams, framework, gradient, normgrad
    from saliency_core.methods.multi_pass import integrated_gradients, occlusion, rise, smoothgrad
else:
    attention = deferred("saliency_core.methods.attention")
    cams = deferred("saliency_core.methods.cams")
    framework = deferred("saliency_core.methods.framework")
    gradient = deferred("saliency_core.methods.gradient")
    normgrad = deferred("saliency_core.methods.normgrad")
    integrated_gradients = deferred("saliency_core.methods.multi_pass.integrated_gradients")
    occlusion = deferred("saliency_core.methods.multi_pass.occlusion")
    rise = deferred("saliency_core.methods.multi_pass.rise")
    smoothgrad = deferred("saliency_core.methods.multi_pass.smoothgrad")

__all__ = [
    "ATTENTION",
    "CAM",
    "CELL",
    "GRADIENT",
    "METHODS",
    "MODIFIED",
    "MULTI_PASS",
    "NORMGRAD",
    "SINGLE_PASS",
    "Domain",
    "ExtraBackward",
    "Method",
    "MultiPass",
    "Option",
    "SharedPass",
    "cell_method",
]

PAPER = "Rebuffi, Fong, Ji, Vedaldi: There and Back Again, CVPR 2020"
PAPER_URL = "https://arxiv.org/abs/2004.02866"

NORMGRAD, CAM, GRADIENT = "NormGrad", "Class activation maps", "Gradient"
MODIFIED, ATTENTION, MULTI_PASS = "Modified backpropagation", "Attention", "Many-pass methods"
CELL = "Framework cells"

METHODS: Registry[Method] = Registry("method")


def cell_method(extract: str, aggregate: str) -> Method:
    """The registered method that is this cell of the framework.

    Raises:
        UnknownNameError: an unknown extract or aggregate, with the choices.
    """
    for name, choices in ((extract, EXTRACTS), (aggregate, AGGREGATES)):
        if name not in choices:
            raise UnknownNameError(unknown(choices.kind, name, tuple(choices)))
    return next(method for method in METHODS.values() if method.cell == (extract, aggregate))


def _cell(extract: str, aggregate: str) -> SharedPass:
    """The map function of a cell of the framework."""

    def compute(layer: LayerCapture) -> Tensor:
        return framework.cell_map(layer.terms, extract, aggregate)

    return SharedPass(compute)


_SAME_GRADIENT = "The gradient is the same everywhere: after a global average pooling it has no position."
_ZERO = "Activation or gradient is zero at every location of this layer."
_CUT_OFF = "Every weighted sum is negative or zero, and class activation maps cut negative values off."
_NO_SIGNAL = "No signal reaches this layer under this backward rule."
_RELU_ONLY = "Defined for networks whose non-linearities are all ReLU."
_RELU_ONLY_TEXT = "ReLU networks only"
_TRANSFORMERS = "Defined for transformers with attention among all tokens of one grid in every block."
_TRANSFORMERS_TEXT = "vision transformers only"
_AT_THE_INPUT = "at the input only"

SCORE, GRADIENT_UNIT = "the class score", "the gradient"
WEIGHT_GRADIENT, SUMMED_WEIGHT_GRADIENT = "a weight gradient", "a sum of weight gradients"
"""Units that several methods have."""

_NAMED = (
    Method(
        name="normgrad",
        title="NormGrad",
        family=NORMGRAD,
        summary="How strongly each location would change the weights of a 1\u00a0×\u00a01 convolution "
        "inserted here.",
        bright="strong influence on weights",
        unit=WEIGHT_GRADIENT,
        formula=r"\left\lVert x_u \right\rVert \, \left\lVert g_u \right\rVert",
        reference=PAPER,
        url=PAPER_URL,
        empty=_ZERO,
        kind=_cell("conv1x1", "norm"),
        cell=("conv1x1", "norm"),
    ),
    Method(
        name="normgrad_selective",
        title="Selective NormGrad",
        family=NORMGRAD,
        summary="NormGrad that counts only contributions raising the class score.",
        bright="strong support for class",
        unit=WEIGHT_GRADIENT,
        formula=r"\left\lVert (x_u \odot g_u)^+ \right\rVert",
        reference=PAPER,
        url=PAPER_URL,
        empty="No channel raises the class score at any location of this layer.",
        kind=_cell("scaling", "filter_norm"),
        cell=("scaling", "filter_norm"),
    ),
    Method(
        name="normgrad_conv3x3",
        title="NormGrad 3\u00a0×\u00a03",
        family=NORMGRAD,
        summary="How strongly each location would change the weights of a 3\u00a0×\u00a03 convolution "
        "inserted here.",
        bright="strong influence on weights",
        unit=WEIGHT_GRADIENT,
        formula=r"\left\lVert x_{N(u)} \right\rVert \, \left\lVert g_u \right\rVert",
        reference=PAPER,
        url=PAPER_URL,
        empty=_ZERO,
        kind=_cell("conv3x3", "norm"),
        cell=("conv3x3", "norm"),
    ),
    Method(
        name="normgrad_proper",
        title="NormGrad of the layer",
        family=NORMGRAD,
        summary="How strongly each location changes the weights of the layer itself.",
        bright="strong influence on weights",
        unit="the gradient of the layer’s own weights",
        formula=r"\left\lVert x^{in}_{N(u)} \right\rVert \, \left\lVert g_u \right\rVert",
        reference=PAPER,
        url=PAPER_URL,
        empty=_ZERO,
        kind=SharedPass(normgrad.normgrad_proper),
        domain=Domain.CONVOLUTIONS,
        needs="Defined at convolutions and at linear layers.",
        domain_text="convolutions and linear layers",
    ),
    Method(
        name="grad_cam",
        title="Grad-CAM",
        family=CAM,
        summary="The channels weighted by their average gradient and summed; negative values are cut off.",
        bright="evidence for the class",
        unit=SCORE,
        formula=r"\left(\sum_c \bar g_c \, x_{c,u}\right)^{+}",
        reference="Selvaraju et al.: Grad-CAM, ICCV 2017",
        url="https://arxiv.org/abs/1610.02391",
        empty=_CUT_OFF,
        kind=SharedPass(cams.grad_cam),
    ),
    Method(
        name="grad_cam_plus_plus",
        title="Grad-CAM++",
        family=CAM,
        summary="Grad-CAM with positive gradients only, weighted so that every instance of the class counts.",
        bright="evidence for the class",
        unit="the class score with summed weights",
        formula=r"\left(\sum_c \left(\sum_v \frac{g_{c,v}^+}{2 + g_{c,v}\sum_w x_{c,w}}\right) "
        r"x_{c,u}\right)^{+}",
        reference="Chattopadhay et al.: Grad-CAM++, WACV 2018",
        url="https://arxiv.org/abs/1710.11063",
        empty=_CUT_OFF,
        kind=SharedPass(cams.grad_cam_plus_plus),
    ),
    Method(
        name="xgrad_cam",
        title="XGrad-CAM",
        family=CAM,
        summary="Grad-CAM with each channel's gradient averaged in proportion to its activation.",
        bright="evidence for the class",
        unit=SCORE,
        formula=r"\left(\sum_c \frac{\sum_v x_{c,v}\, g_{c,v}}{\sum_v x_{c,v}}\, x_{c,u}\right)^{+}",
        reference="Fu et al.: Axiom-based Grad-CAM, BMVC 2020",
        url="https://arxiv.org/abs/2008.02312",
        empty=_CUT_OFF,
        kind=SharedPass(cams.xgrad_cam),
    ),
    Method(
        name="layer_cam",
        title="Layer-CAM",
        family=CAM,
        summary="Every channel weighted at each location by its own gradient there, where that is positive.",
        bright="evidence for the class",
        unit=SCORE,
        formula=r"\left(\sum_c g_{c,u}^+ \, x_{c,u}\right)^{+}",
        reference="Jiang et al.: LayerCAM, IEEE TIP 2021",
        url="https://doi.org/10.1109/TIP.2021.3089943",
        empty=_CUT_OFF,
        kind=SharedPass(cams.layer_cam),
    ),
    Method(
        name="hires_cam",
        title="HiResCAM",
        family=CAM,
        summary="Grad-CAM without the averaging: gradient × activation, summed; negative values are cut off.",
        bright="evidence for the class",
        unit=SCORE,
        formula=r"\left(\sum_c g_{c,u} \, x_{c,u}\right)^{+}",
        reference="Draelos, Carin: Use HiResCAM instead of Grad-CAM, 2020",
        url="https://arxiv.org/abs/2011.08891",
        empty=_CUT_OFF,
        kind=SharedPass(cams.hires_cam),
    ),
    Method(
        name="eigen_cam",
        title="Eigen-CAM",
        family=CAM,
        summary="Where the activations follow their strongest common pattern, whatever the class.",
        bright="strongest activation pattern",
        unit="the activation",
        formula=r"\left(x_u^{\top} v_1\right)^{+}",
        reference="Muhammad, Yeasin: Eigen-CAM, IJCNN 2020",
        url="https://arxiv.org/abs/2008.00299",
        empty=_CUT_OFF,
        kind=SharedPass(cams.eigen_cam),
        class_specific=False,
    ),
    Method(
        name="eigen_grad_cam",
        title="Eigen-Grad-CAM",
        family=CAM,
        summary="Where gradient × activation follows its first principal component.",
        bright="strongest pattern of evidence",
        unit="the projected class score",
        formula=r"\left((s_u - \bar s)^{\top} v_1\right)^{+}, \quad s_u = x_u \odot g_u",
        reference="Gildenblat et al.: pytorch-grad-cam, 2021",
        url="https://github.com/jacobgil/pytorch-grad-cam",
        empty=_CUT_OFF,
        kind=SharedPass(cams.eigen_grad_cam),
    ),
    Method(
        name="linear_approx",
        title="Linear approximation",
        short_title="Linear approx.",
        family=GRADIENT,
        summary="Gradient × activation, summed: what each location adds to the score, to first order.",
        bright="evidence for the class",
        dark="evidence against it",
        unit=SCORE,
        formula=r"\sum_c x_{c,u} \, g_{c,u}",
        reference="Kindermans et al.: Investigating the influence of noise, 2016",
        url="https://arxiv.org/abs/1611.07270",
        empty="Activation times gradient sums to the same value at every location of this layer.",
        kind=_cell("scaling", "sum"),
        signed=True,
        cell=("scaling", "sum"),
    ),
    Method(
        name="gradient",
        title="Gradient",
        family=GRADIENT,
        summary="The largest absolute gradient over the channels: where a change would move the score most.",
        bright="score is sensitive here",
        unit=GRADIENT_UNIT,
        formula=r"\max_c \, \left|g_{c,u}\right|",
        reference="Simonyan, Vedaldi, Zisserman: Deep inside convolutional networks, 2014",
        url="https://arxiv.org/abs/1312.6034",
        empty=_SAME_GRADIENT,
        kind=SharedPass(gradient.gradient),
    ),
    Method(
        name="gradient_sum",
        title="Gradient, summed",
        family=GRADIENT,
        summary="The gradient summed over the channels, with its sign.",
        bright="more activation, higher score",
        dark="more activation, lower score",
        unit=GRADIENT_UNIT,
        formula=r"\sum_c g_{c,u}",
        reference=PAPER,
        url=PAPER_URL,
        empty=_SAME_GRADIENT,
        kind=_cell("bias", "sum"),
        signed=True,
        cell=("bias", "sum"),
    ),
    Method(
        name="guided_backprop",
        title="Guided backprop",
        family=MODIFIED,
        summary="The gradient, passed back through a ReLU only where both it and the ReLU's input are "
        "positive.",
        bright="strong guided signal",
        unit="the guided signal",
        formula=r"\max_c \, \left|\tilde g_{c,u}\right|, \quad \mathrm{ReLU}: p \mapsto p^+ \, [x > 0]",
        reference="Springenberg et al.: Striving for simplicity, ICLR workshop 2015",
        url="https://arxiv.org/abs/1412.6806",
        empty=_NO_SIGNAL,
        kind=ExtraBackward(gradient.gradient, GUIDED),
        needs=_RELU_ONLY,
        domain_text=_RELU_ONLY_TEXT,
    ),
    Method(
        name="deconvnet",
        title="Deconvnet",
        family=MODIFIED,
        summary="The gradient, passed back through a ReLU only where it is positive itself.",
        bright="strong deconvnet signal",
        unit="the deconvnet signal",
        formula=r"\max_c \, \left|\tilde g_{c,u}\right|, \quad \mathrm{ReLU}: p \mapsto p^+",
        reference="Zeiler, Fergus: Visualizing and understanding convolutional networks, ECCV 2014",
        url="https://arxiv.org/abs/1311.2901",
        empty=_NO_SIGNAL,
        kind=ExtraBackward(gradient.gradient, DECONVNET),
        needs=_RELU_ONLY,
        domain_text=_RELU_ONLY_TEXT,
    ),
    Method(
        name="excitation_backprop",
        title="Excitation backprop",
        family=MODIFIED,
        summary="The probability that a winning neuron, drawn from the class downwards, is at this location.",
        bright="likely winning neurons",
        unit="a probability of winning",
        formula=r"\sum_c p_{c,u}, \quad p'_j = a_j \sum_i \frac{w_{ij}^+ \, p_i}{\sum_k w_{ik}^+ a_k}",
        reference="Zhang et al.: Top-down neural attention by excitation backprop, ECCV 2016",
        url="https://arxiv.org/abs/1608.00507",
        empty=_NO_SIGNAL,
        kind=ExtraBackward(gradient.signal_sum, EXCITATION),
        needs=_RELU_ONLY,
        domain_text=_RELU_ONLY_TEXT,
    ),
    Method(
        name="contrastive_excitation_backprop",
        title="Contrastive excitation",
        family=MODIFIED,
        summary="Excitation for the class minus that for all others, taken before the last linear layer.",
        bright="more for this class",
        unit="a difference of probabilities of winning",
        formula=r"\left(\sum_c (p - \bar p)_{c,u}\right)^{+}",
        reference="Zhang et al.: Top-down neural attention by excitation backprop, ECCV 2016",
        url="https://arxiv.org/abs/1608.00507",
        empty=_NO_SIGNAL,
        kind=ExtraBackward(gradient.positive_signal_sum, CONTRASTIVE),
        needs=_RELU_ONLY,
        domain_text=_RELU_ONLY_TEXT,
    ),
    Method(
        name="attention_rollout",
        title="Attention rollout",
        family=ATTENTION,
        summary="How much of what the network reads at its end comes from each patch, judged by its "
        "attention alone, whatever the class.",
        bright="read through all blocks",
        unit="a share of the attention",
        formula=r"\left(\tilde A_L \cdots \tilde A_1\right)_{t,u}, \quad "
        r"\tilde A_l = \tfrac12 \left(\bar A_l + I\right)",
        reference="Abnar, Zuidema: Quantifying attention flow in transformers, ACL 2020",
        url="https://arxiv.org/abs/2005.00928",
        empty="Every patch is read alike.",
        kind=AttentionPass(attention.attention_rollout, gradients=False),
        class_specific=False,
        domain=Domain.INPUT,
        needs=_TRANSFORMERS,
        domain_text=_TRANSFORMERS_TEXT,
    ),
    Method(
        name="attention_gradient",
        title="Gradient-weighted attention",
        short_title="Gradient attention",
        family=ATTENTION,
        summary="How far the attention that raises the class score leads back to each patch, through all "
        "blocks.",
        bright="attention raising the score",
        unit="the attention's part of the score",
        formula=r"\left((I + \bar A_L) \cdots (I + \bar A_1)\right)_{t,u}, \quad "
        r"\bar A_l = \tfrac1H \sum_h \left(\tfrac{\partial y}{\partial A_{l,h}} \odot A_{l,h}\right)^{+}",
        reference="Chefer, Gur, Wolf: Generic attention-model explainability, ICCV 2021",
        url="https://arxiv.org/abs/2103.15679",
        empty="More attention to any patch would not raise the class score.",
        kind=AttentionPass(attention.attention_gradient, gradients=True),
        domain=Domain.INPUT,
        needs=_TRANSFORMERS,
        domain_text=_TRANSFORMERS_TEXT,
    ),
    Method(
        name="integrated_gradients",
        title="Integrated gradients",
        family=MULTI_PASS,
        summary="The gradient averaged along the path from the mean colour to the photo, times the "
        "difference between the two.",
        bright="raises the score",
        dark="lowers the score",
        unit="the class score per pixel",
        formula=r"\sum_c (x - x^0)_{c,u} \int_0^1 g_{c,u}\left(x^0 + t\,(x - x^0)\right)\, dt",
        reference="Sundararajan, Taly, Yan: Axiomatic attribution, ICML 2017",
        url="https://arxiv.org/abs/1703.01365",
        empty=_SAME_GRADIENT,
        kind=MultiPass(
            integrated_gradients.integrated_gradients,
            (
                Option(
                    name="steps",
                    title="Steps",
                    default=50,
                    low=1,
                    high=1000,
                    integer=True,
                    summary="Points on the path from the mean colour to the photo; more sample the integral "
                    "more exactly.",
                ),
            ),
            counts.integrated_gradients,
        ),
        domain=Domain.INPUT,
        signed=True,
        domain_text=_AT_THE_INPUT,
    ),
    Method(
        name="smoothgrad",
        title="SmoothGrad",
        family=MULTI_PASS,
        summary="The gradient averaged over noisy copies of the photo.",
        bright="score is sensitive here",
        unit="the gradient at the input",
        formula=r"\max_c \, \left|\tfrac1n \sum_i g_{c,u}(x + \varepsilon_i)\right|",
        reference="Smilkov et al.: SmoothGrad, 2017",
        url="https://arxiv.org/abs/1706.03825",
        empty=_SAME_GRADIENT,
        kind=MultiPass(
            smoothgrad.smoothgrad,
            (
                Option(
                    name="samples",
                    title="Samples",
                    default=50,
                    low=1,
                    high=1000,
                    integer=True,
                    summary="Noisy copies of the photo; more give a smoother map.",
                ),
                Option(
                    name="noise",
                    title="Noise",
                    default=0.15,
                    low=0,
                    high=1,
                    summary="Standard deviation of the noise as a share of the photo's range of values.",
                ),
            ),
            counts.smoothgrad,
        ),
        domain=Domain.INPUT,
        domain_text=_AT_THE_INPUT,
    ),
    Method(
        name="occlusion",
        title="Occlusion",
        family=MULTI_PASS,
        summary="How much the score falls when a patch over this location is set to the mean colour.",
        bright="covering lowers the score",
        dark="covering raises the score",
        unit="the class score per patch",
        formula=r"\text{mean over patches } P \ni u \text{ of } y(x) - y(x_{\backslash P})",
        reference="Zeiler, Fergus: Visualizing and understanding convolutional networks, ECCV 2014",
        url="https://arxiv.org/abs/1311.2901",
        empty="Covering a patch does not change the score, wherever it is.",
        kind=MultiPass(
            occlusion.occlusion,
            (
                Option(
                    name="window",
                    title="Window size",
                    default=1 / 7,
                    low=0.02,
                    high=1,
                    summary="Side of the patch as a share of the input's; smaller ones take more passes.",
                ),
            ),
            counts.occlusion,
        ),
        domain=Domain.INPUT,
        signed=True,
        domain_text=_AT_THE_INPUT,
    ),
    Method(
        name="rise",
        title="RISE",
        family=MULTI_PASS,
        summary="The average probability of the class under random masks that leave this location visible.",
        bright="class likely when visible",
        unit="the class probability",
        formula=r"\frac{1}{n\,\mathbb{E}[M]} \sum_i P_c(x \odot M_i)\, M_{i,u}",
        reference="Petsiuk, Das, Saenko: RISE, BMVC 2018",
        url="https://arxiv.org/abs/1806.07421",
        empty="No mask changes the probability of the class.",
        kind=MultiPass(
            rise.rise,
            (
                Option(
                    name="masks",
                    title="Masks",
                    default=2000,
                    low=1,
                    high=20_000,
                    integer=True,
                    summary="Random masks, one pass each; fewer leave more of their own pattern in the map.",
                ),
                Option(
                    name="cells",
                    title="Cells",
                    default=7,
                    low=2,
                    high=32,
                    integer=True,
                    summary="Cells of a mask along each side; more show smaller details and need more masks.",
                ),
                Option(
                    name="keep",
                    title="Share shown",
                    default=0.5,
                    low=0.05,
                    high=0.95,
                    summary="Share of a mask's cells that let the photo through.",
                ),
            ),
            counts.rise,
        ),
        domain=Domain.INPUT,
        domain_text=_AT_THE_INPUT,
    ),
)


def _plain_cell(extract: Extract, aggregate: Aggregate) -> Method:
    """A cell of the framework that has no name in the literature."""
    return Method(
        name=f"{extract.name}_{aggregate.name}",
        title=f"{extract.title}, {aggregate.title}",
        family=CELL,
        summary=f"The {aggregate.title} of each location's share of the gradient of {extract.layer} "
        "inserted here.",
        formula=rf"{aggregate.formula}, \quad s = {extract.formula}",
        reference=PAPER,
        url=PAPER_URL,
        bright=aggregate.bright,
        dark=aggregate.dark,
        unit=_cell_unit(extract, aggregate),
        empty="This cell has the same value at every location of this layer.",
        kind=_cell(extract.name, aggregate.name),
        signed=aggregate.signed,
        cell=(extract.name, aggregate.name),
    )


def _cell_unit(extract: Extract, aggregate: Aggregate) -> str:
    if not extract.uses_activation:
        return GRADIENT_UNIT
    return SUMMED_WEIGHT_GRADIENT if aggregate.name == "sum" else WEIGHT_GRADIENT


for _method in _NAMED:
    METHODS.add(_method.name, _method)
_named_cells = {_method.cell for _method in _NAMED}
for _extract in EXTRACTS.values():
    for _aggregate in AGGREGATES.values():
        if (_extract.name, _aggregate.name) not in _named_cells:
            _entry = _plain_cell(_extract, _aggregate)
            METHODS.add(_entry.name, _entry)

SINGLE_PASS = tuple(
    name
    for name, method in METHODS.items()
    if isinstance(method.kind, SharedPass) and method.domain is Domain.LAYERS
)
"""The methods that one forward and one backward pass give at every layer."""
