"""The extract × aggregate table against full outer products and stored numbers."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import saliency_core as sc
from saliency_core.methods.cells import AGGREGATES, EXTRACTS

STORED = np.load(Path(__file__).parent / "reference" / "framework_small.npz")
CELLS = list(product(EXTRACTS, AGGREGATES))


def share(x: Tensor, g: Tensor, extract: str) -> Tensor:
    """The share of every location, materialised: (N, C, H, W) -> (N, entries, H, W)."""
    n, c, h, w = x.shape
    around = F.unfold(x, 3, padding=1).reshape(n, c, 9, h, w)
    shares = {
        "bias": lambda: g,
        "scaling": lambda: x * g,
        "conv1x1": lambda: torch.einsum("nihw,njhw->nijhw", g, x),
        "conv3x3": lambda: torch.einsum("nihw,njkhw->nijkhw", g, around),
        "conv3x3_depthwise": lambda: g[:, :, None] * around,
    }
    return shares[extract]().reshape(n, -1, h, w)


REDUCE = {
    "sum": lambda s: s.sum(1),
    "norm": lambda s: s.square().sum(1).sqrt(),
    "filter_norm": lambda s: s.clamp(min=0).square().sum(1).sqrt(),
    "max": lambda s: s.max(1).values,
}


@pytest.mark.parametrize(("extract", "aggregate"), CELLS)
@pytest.mark.parametrize("sign", [-1.0, 0.0, 1.0])
def test_a_cell_equals_the_materialised_share(extract: str, aggregate: str, sign: float) -> None:
    generator = torch.Generator().manual_seed(4)
    x, g = (torch.randn(2, 5, 4, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    x = x.abs() * sign if sign else x  # layers that are all positive or all negative, too
    ours = sc.framework(x, g, extract=extract, aggregate=aggregate)
    torch.testing.assert_close(ours, REDUCE[aggregate](share(x, g, extract)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("extract", "aggregate"), CELLS)
def test_a_cell_equals_the_stored_numbers(extract: str, aggregate: str) -> None:
    x, g = (torch.from_numpy(STORED[name]) for name in ("activation", "gradient"))
    stored = STORED[f"{extract}.{aggregate}"][:, 0]
    ours = sc.framework(x, g, extract=extract, aggregate=aggregate).numpy()
    assert np.abs(ours - stored).max() <= 1e-12 * np.abs(stored).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extract": "conv", "aggregate": "norm"}, "unknown extract 'conv'; did you mean 'conv"),
        ({"extract": "bias", "aggregate": "mean"}, "unknown aggregate 'mean'; .*choices: sum, norm"),
    ],
)
def test_an_unknown_cell_lists_the_choices(options: dict[str, str], message: str) -> None:
    x = torch.ones(1, 2, 3, 3)
    with pytest.raises(ValueError, match=message):
        sc.framework(x, x, **options)


def test_tensors_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(1, 2, 3, 3\) and \(1, 2, 3, 4\); expected the same"):
        sc.framework(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 4), extract="bias", aggregate="sum")


def test_the_depthwise_maximum_is_negative_where_every_gradient_is() -> None:
    """With x ≥ 0 and every channel's g < 0 the largest share is that of the smallest x, not 0."""
    x = torch.rand(1, 3, 5, 5, dtype=torch.float64) + 1
    g = torch.rand(1, 3, 5, 5, dtype=torch.float64)
    g[:, :, 2, 2] = -g[:, :, 2, 2] - 1
    ours = sc.framework(x, g, extract="conv3x3_depthwise", aggregate="max")
    assert ours[0, 2, 2] <= -1
    torch.testing.assert_close(ours, REDUCE["max"](share(x, g, "conv3x3_depthwise")))


def test_the_depthwise_maximum_counts_a_negative_activation_times_a_negative_gradient() -> None:
    """Where some channel's g is > 0 everywhere, as for the shortcut of positive activations."""
    x, g = -torch.rand(1, 3, 5, 5, dtype=torch.float64), torch.rand(1, 3, 5, 5, dtype=torch.float64)
    g[:, 1] *= -1
    ours = sc.framework(x, g, extract="conv3x3_depthwise", aggregate="max")
    assert ours[0, 2, 2] > 0
    torch.testing.assert_close(ours, REDUCE["max"](share(x, g, "conv3x3_depthwise")))


@pytest.mark.parametrize(("extract", "aggregate"), CELLS)
def test_a_cell_of_tensors_with_gradients_can_be_differentiated(extract: str, aggregate: str) -> None:
    x, g = (torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = sc.framework(x, g, extract=extract, aggregate=aggregate)
    (slope,) = torch.autograd.grad(found.sum(), g)
    assert (slope > 0).any()
    expected = sc.framework(x.detach(), g.detach(), extract=extract, aggregate=aggregate)
    torch.testing.assert_close(found.detach(), expected)


def test_every_row_and_column_says_in_a_sentence_what_it_does() -> None:
    entries = (*EXTRACTS.values(), *AGGREGATES.values())
    summaries = [entry.summary for entry in entries]
    assert all(re.fullmatch(r"[A-Z][^.]{10,75}\.", summary) for summary in summaries)
    assert len(set(summaries)) == len(entries)
