"""The rows and columns of the paper's framework in words; :mod:`framework` computes its cells."""

from __future__ import annotations

from dataclasses import dataclass

from saliency_core.registry import Registry


@dataclass(frozen=True)
class Extract:
    """A row of the table: how one location's share is taken."""

    name: str
    title: str
    formula: str
    """LaTeX of the share of location ``u``."""
    size: str
    """How many numbers a share has, in words."""
    layer: str
    """The layer inserted, with its article."""
    summary: str
    """One sentence: what a share consists of."""
    uses_activation: bool = True


@dataclass(frozen=True)
class Aggregate:
    """A column of the table: how a share is reduced to one number."""

    name: str
    title: str
    formula: str
    """LaTeX, of a share's entries :math:`s_i`."""
    summary: str
    """One sentence: what the number keeps of a share."""
    signed: bool
    """Whether the number can be negative."""
    bright: str
    """What a bright location means, in a few words; of a signed number, its positive end."""
    dark: str = ""
    """What the negative end of a signed number means, in a few words."""


EXTRACTS: Registry[Extract] = Registry("extract")

AGGREGATES: Registry[Aggregate] = Registry("aggregate")

for _extract in (
    Extract(
        name="bias",
        title="Bias",
        formula=r"g_u",
        size="C numbers",
        layer="a bias layer",
        summary="The gradient alone.",
        uses_activation=False,
    ),
    Extract(
        name="scaling",
        title="Scaling",
        formula=r"x_u \odot g_u",
        size="C numbers",
        layer="a scaling layer",
        summary="Each channel’s activation times its own gradient.",
    ),
    Extract(
        name="conv1x1",
        title="Conv 1\u00a0×\u00a01",
        formula=r"g_u x_u^{\top}",
        size="C\u00a0×\u00a0C numbers",
        layer="a 1\u00a0×\u00a01 convolution",
        summary="Every channel’s activation times every channel’s gradient.",
    ),
    Extract(
        name="conv3x3",
        title="Conv 3\u00a0×\u00a03",
        formula=r"g_u \, \mathrm{vec}(x_{N(u)})^{\top}",
        size="C\u00a0×\u00a09C numbers",
        layer="a 3\u00a0×\u00a03 convolution",
        summary="As conv 1\u00a0×\u00a01, over 3\u00a0×\u00a03 neighbours; the border has fewer.",
    ),
    Extract(
        name="conv3x3_depthwise",
        title="Depthwise 3\u00a0×\u00a03",
        formula=r"g_{c,u} \, x_{c,N(u)}",
        size="C\u00a0×\u00a09 numbers",
        layer="a depthwise 3\u00a0×\u00a03 convolution",
        summary="As scaling, over 3\u00a0×\u00a03 neighbours; the border has fewer.",
    ),
):
    EXTRACTS.add(_extract.name, _extract)

for _aggregate in (
    Aggregate(
        name="sum",
        title="sum",
        formula=r"\sum_i s_i",
        summary="Added up; signs cancel.",
        signed=True,
        bright="larger weights, higher score",
        dark="larger weights, lower score",
    ),
    Aggregate(
        name="norm",
        title="norm",
        formula=r"\left\lVert s \right\rVert",
        summary="Overall size, signs ignored.",
        signed=False,
        bright="strong influence on weights",
    ),
    Aggregate(
        name="filter_norm",
        title="filter norm",
        formula=r"\left\lVert s^{+} \right\rVert",
        summary="Size of the positive part.",
        signed=False,
        bright="strong score-raising influence",
    ),
    Aggregate(
        name="max",
        title="max",
        formula=r"\max_i \, s_i",
        summary="The largest entry alone.",
        signed=True,
        bright="a weight raises score",
        dark="all weights lower score",
    ),
):
    AGGREGATES.add(_aggregate.name, _aggregate)
