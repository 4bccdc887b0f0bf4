"""What the server answers to the dialog of models: searches, and the choice of one that went meanwhile."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from pages.shared import model_routes, model_section, models
from pages.shared.address import Choice
from pages.shared.session import Session
from saliency_core.engine.tasks import TaskState


@pytest.fixture
def broken_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of models with a sub-folder that gives none."""
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "model.toml").write_text("architecture =")
    monkeypatch.setenv("SALIENCY_MODELS", str(tmp_path))


def test_a_model_of_the_folder_that_broke_since_it_was_listed_fails_with_its_reason(
    broken_folder: None,
) -> None:
    session = Session(Choice())
    session.choose_model("folder:pets")
    coming = session.selection.coming
    assert coming is not None
    task = model_section.loading(coming.model)
    assert task.state is TaskState.FAILED
    assert str(task.error).startswith(f"{models.title(coming.model)} is not a model: its model.toml")


def searched(query: str) -> list[dict[str, Any]]:
    """The groups of models that the dialog shows for a query."""
    request = Request({"type": "http", "query_string": urlencode({"q": query}).encode(), "headers": []})
    found: list[dict[str, Any]] = json.loads(bytes(model_routes.found(request).body))["groups"]
    return found


@pytest.mark.parametrize("written", ["timm/test_vit", "hf-hub:timm/test_vit", "test_vit"])
def test_a_name_of_the_hub_finds_the_model(written: str) -> None:
    assert searched(written)[0]["options"][0]["name"] == "timm:test_vit"


def test_every_row_names_its_weights_and_what_is_no_model_comes_last(broken_folder: None) -> None:
    groups = searched("")
    assert [row["name"] for row in groups[-1]["options"]] == ["folder:pets"]
    rows = {row["name"]: row["sub"] for group in groups for row in group["options"]}
    assert rows["resnet50"] == "torchvision · resnet50 · IMAGENET1K_V1"
    (rows,) = ({row["name"]: row["sub"] for row in group["options"]} for group in searched("timm:resnet50"))
    assert rows["timm:resnet50"] == "timm · a1_in1k"
