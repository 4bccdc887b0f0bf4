"""The viewer in notebooks, and the notebook of the examples."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

import saliency_core as sc
from tests.networks import classifier, seeded

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "normgrad.ipynb"


@pytest.fixture(scope="module")
def both() -> tuple[sc.Explanation, ...]:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8))
    clf = classifier(seeded(dtype=torch.float32), labels=["ant", "<b>bee</b>", "cat", "dog", "eel"])
    return sc.explain_classes(clf, photo, ["ant", "<b>bee</b>"])


def frame(text: str) -> dict[str, str]:
    """The attributes of the one element that an output is."""
    found = re.fullmatch(r"<iframe((?: [a-z]+=\"[^\"]*\")+)></iframe>", text)
    assert found
    return {name: html.unescape(value) for name, value in re.findall(r'([a-z]+)="([^"]*)"', found[1])}


def test_an_explanation_is_a_frame_that_may_run_its_own_script_alone(
    both: tuple[sc.Explanation, ...],
) -> None:
    drawn = both[1]._repr_html_()
    assert drawn is not None
    attributes = frame(drawn)
    assert attributes["sandbox"] == "allow-scripts allow-downloads"
    assert attributes["srcdoc"] == sc.show(both[1]).page
    assert attributes["srcdoc"].startswith("<!doctype html>")
    assert attributes["title"] == repr(both[1])
    assert repr(both[1]) == "Explanation('<b>bee</b>' by InPlaceNet: 28 methods at 2 layers)"


def test_an_explanation_without_a_photo_is_a_text(both: tuple[sc.Explanation, ...]) -> None:
    assert both[0].without_image()._repr_html_() is None
    with pytest.raises(sc.ArgumentError, match="pass it: photo="):
        sc.show(both[0].without_image())
    assert frame(sc.show(both[0].without_image(), photo=Image.new("RGB", (80, 40)))._repr_html_())


def test_every_mode_has_its_height_unless_one_is_given(both: tuple[sc.Explanation, ...]) -> None:
    for mode in ("compare", "mix", "framework", "why"):
        assert sc.show(both[0], mode=mode).height > 800
        assert f'"mode":"{mode}"' in sc.show(both[0], mode=mode).page
    assert frame(sc.show(*both, mode="classes", height=500)._repr_html_())["height"] == "500"
    for wrong in (10, True, "600"):
        with pytest.raises(sc.ArgumentError, match="expected a number of pixels of at least 200"):
            sc.show(both[0], height=wrong)  # type: ignore[arg-type]


def test_the_example_runs_and_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells), "outputs are cleared"
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "examples").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path / "examples"}})
    client.execute()
    frames = [
        output.data["text/html"]
        for cell in cells
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    assert len(frames) == 5
    assert max(map(len, frames)) < 1.5e6
    assert all("allow-scripts" in frame(text)["sandbox"] for text in frames)
    assert (tmp_path / "examples" / "ladybird.html").stat().st_size < 3e6
