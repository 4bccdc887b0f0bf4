"""What docs/evaluation.md says of the samples, measured again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import saliency_core as sc
from saliency_core.evaluation.summary import Summary, summarise

ROOT = Path(__file__).parents[1]
METHODS = ("grad_cam", "normgrad")


@pytest.fixture(scope="module")
def summary() -> Summary:
    plan = sc.EvaluationPlan(methods=METHODS, metrics=("pointing",))
    found = sc.evaluate(sc.load_classifier(), sc.read_photo_set(ROOT / "assets" / "samples"), plan)
    return summarise(found.rows, "pointing")


def hits(summary: Summary, method: str) -> list[int]:
    """The hits at every layer, input to output, and of the two mixes."""
    cells = [summary.cell(method, layer) for layer in summary.layers]
    return [round(cell.mean * cell.count) for cell in cells]


def test_the_table_of_the_samples_is_what_is_measured(summary: Summary) -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    (head,) = (line for line in lines if line[0] == "map")
    assert tuple(head[1:]) == summary.layers
    assert re.search(r"Hits in the pointing game, of (\d+)", text)[1] == str(summary.items())
    for method in METHODS:
        (line,) = (line for line in lines if line[0] == sc.METHODS[method].title)
        assert list(map(int, line[1:])) == hits(summary, method)


def test_grad_cam_fails_before_the_last_layers_normgrad_does_not_and_mixing_helps_it(
    summary: Summary,
) -> None:
    count = summary.items()
    *grad_cam, _, _ = hits(summary, "grad_cam")
    *normgrad, total, product = hits(summary, "normgrad")
    assert max(grad_cam[:-2]) <= count / 2
    assert min(grad_cam[-2:]) > 0.9 * count
    assert min(normgrad[:-1]) >= 2 / 3 * count
    assert min(total, product) == count == max(normgrad)
    assert normgrad.count(count) == 1
    for mixed in hits(summary, "grad_cam")[-2:]:
        assert mixed < max(grad_cam)
