"""Methods made for vision transformers: functions of what the tokens read of each other, block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_core.backprop.attention import Attention


def attention_rollout(attention: Attention) -> Tensor:
    r"""How much of what is read behind the last block comes from each patch, (h, w) and ≥ 0.

    .. math:: R = \tilde A_L \cdots \tilde A_1, \quad
              \tilde A_l = \tfrac12 \, \mathrm{mean}_h A_l + \tfrac12 I

    The half that is the identity stands for the residual connection. Rows of R add up to one, since those of
    every factor do. The map is the mean of the rows of :attr:`Attention.readers`, at the patches. The class
    has no influence on it.

    Source: Abnar, Zuidema: Quantifying attention flow in transformers, ACL 2020.
    """
    rows = _readers(attention)
    for weights in reversed(attention.weights):
        rows = (rows @ weights + rows) / 2
    return _patches(rows, attention)


def attention_gradient(attention: Attention) -> Tensor:
    r"""How far the attention that raises the class score leads back to each patch, (h, w) and ≥ 0.

    .. math:: R \leftarrow R + \bar A_l R, \quad R_0 = I, \quad
              \bar A_l = \mathrm{mean}_h (\nabla A_l \odot A_l)^+, \quad l = 1, \dots, L

    The map is the mean of the rows of :attr:`Attention.readers`, at the patches. Where these are the patches
    themselves their identity in R₀, the same for all of them, is left out.

    Source: Chefer, Gur, Wolf: Generic attention-model explainability, ICCV 2021.
    """
    start = rows = _readers(attention)
    for relevance in reversed(attention.relevances):
        rows = rows + rows @ relevance
    return _patches(rows - start, attention)


def _readers(attention: Attention) -> Tensor:
    """The mean of the identity's rows of the tokens that the score reads, (T,).

    A row of a product of matrices is this row times them, one after the other from the left.
    """
    rows = torch.zeros_like(attention.weights[0][0])
    rows[list(attention.readers)] = 1 / len(attention.readers)
    return rows


def _patches(rows: Tensor, attention: Attention) -> Tensor:
    """The entries of the patches, (T,) -> (h, w)."""
    return rows[list(attention.patches.indices)].reshape(attention.patches.grid)
