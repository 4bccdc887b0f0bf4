"""The folder of models: what is listed, what is told of a sub-folder that gives none, what is read anew."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

import saliency_core as sc
from saliency_core.models.catalogue import folder
from saliency_core.models.catalogue.folder import FolderProblem, folder_models
from saliency_core.models.catalogue.loading import load_classifier

TOML = """
architecture = "timm:test_resnet"
title = "Cats & dogs"
licence = "CC0"

[preprocess]
size = 96
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
"""


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = timm.create_model("test_resnet", num_classes=2).state_dict()
    return state


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, torch.Tensor]) -> Path:
    """A folder with one good model, ``pets``."""
    root = tmp_path / "models"
    (root / "pets").mkdir(parents=True)
    safetensors.torch.save_file(weights, root / "pets" / "model.safetensors")
    (root / "pets" / "model.toml").write_text(TOML)
    (root / "pets" / "labels.txt").write_text("cat\ndog\n")
    monkeypatch.setenv("SALIENCY_MODELS", str(root))
    return root


def only_problem() -> str:
    """The text of the only sub-folder that gives no model."""
    (found,) = (each for each in folder_models() if isinstance(each, FolderProblem))
    return found.text


def test_without_the_setting_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALIENCY_MODELS", raising=False)
    assert folder_models() == ()
    with pytest.raises(sc.UnknownNameError, match="SALIENCY_MODELS, the folder of models, is not set"):
        sc.MODELS["folder:pets"]


def test_a_sub_folder_is_a_model_with_its_own_labels_preprocessing_and_licence(models: Path) -> None:
    (spec,) = folder_models()
    assert isinstance(spec, sc.ModelSpec)
    assert (spec.name, spec.title) == ("folder:pets", "Cats & dogs")
    assert spec.summary == "test_resnet, from the folder of models."
    assert spec.preprocess.size == 96
    assert spec.preprocess.mean == (0.5, 0.5, 0.5)
    details = spec.details()
    assert (details.classes, details.licence, details.input_size) == (2, "CC0", (3, 96, 96))
    assert details.parameters == sum(
        p.numel() for p in timm.create_model("test_resnet", num_classes=2).parameters()
    )
    classifier = load_classifier("folder:pets", "cpu")
    assert classifier.labels == ("cat", "dog")
    assert classifier.example.shape == (1, 3, 96, 96)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.toml", None, "it has no model.toml; it needs one with a line such as architecture = "),
        ("model.toml", "", "its model.toml has no architecture; expected a line such as"),
        ("model.toml", "architecture = ", "its model.toml is not valid TOML: Invalid value"),
        ("model.toml", "a = " + "[" * 5000, "its model.toml is not valid TOML: it is nested too deeply"),
        ("model.toml", "architecture = 1", "has architecture = 1; expected a text in quotes."),
        ("model.toml", 'architecture = "resnet999"', "unknown model 'resnet999'"),
        ("model.toml", 'architektur = "a"', "unknown entry 'architektur'; did you mean 'architecture'?"),
        (
            "model.toml",
            TOML + "\nsizes = 3",
            r"unknown entry of \[preprocess\] 'sizes'; did you mean 'size'?",
        ),
        ("model.toml", TOML.replace("96", '"x"'), r"the table \[preprocess\] of its model.toml: size is 'x'"),
        ("model.toml", TOML.replace("size = 96", "std = 1"), "is not valid TOML"),
        (
            "model.toml",
            TOML.replace("[0.5, 0.5, 0.5]", "0.5"),
            "mean is 0.5; expected one number per channel",
        ),
        ("model.toml", 'architecture = "resnet18"\ndefault_layers = 3', "expected a list of names"),
        ("model.toml", 'architecture = "resnet18"\npreprocess = 3', r"expected a table \[preprocess\]"),
        ("model.toml", "#" * 70_000, "its model.toml is larger than 64 kB"),
        ("model.safetensors", None, "it has no weights; expected model.safetensors, or one file"),
        ("labels.txt", "", "labels.txt holds no names"),
    ],
)
def test_a_sub_folder_that_gives_no_model_says_why_and_the_others_stay(
    models: Path, file: str, content: str | None, message: str
) -> None:
    bad = models / "bad <b>"
    bad.mkdir()
    for each in (models / "pets").iterdir():
        (bad / each.name).write_bytes(each.read_bytes())
    if content is None:
        (bad / file).unlink()
    else:
        (bad / file).write_text(content)
    assert only_problem().startswith("bad _b_ is not a model: ")
    with pytest.raises(sc.UnknownNameError, match=message):
        sc.MODELS["folder:bad <b>"]
    assert sc.MODELS["folder:pets"].title == "Cats & dogs"


def test_a_change_of_a_file_is_seen_and_nothing_else_is_read_again(models: Path) -> None:
    first = sc.MODELS["folder:pets"]
    assert sc.MODELS["folder:pets"] is first
    (models / "pets" / "model.toml").write_text(TOML.replace("Cats", "Dogs"))
    second = sc.MODELS["folder:pets"]
    assert second.title == "Dogs & dogs"
    (models / "pets" / "labels.txt").write_text("Cat\nDog\n")
    assert sc.MODELS["folder:pets"].labels() == ["Cat", "Dog"]
    (models / "pets" / "labels.txt").unlink()
    (models / "pets" / "config.json").write_text('{"id2label": {"0": "x", "1": "y"}}')
    assert sc.MODELS["folder:pets"].labels() == ["x", "y"]
    (models / "pets" / "config.json").write_text('{"model_type": "resnet"}')
    assert sc.MODELS["folder:pets"].labels() == ["class 0", "class 1"]


def test_links_out_of_the_folder_are_not_followed(models: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "labels.txt").write_text("secret\n")
    (models / "pets" / "labels.txt").unlink()
    (models / "pets" / "labels.txt").symlink_to(secret / "labels.txt")
    assert "labels.txt is a link out of the folder of models, which is not followed" in only_problem()
    (models / "pets" / "labels.txt").unlink()
    (models / "pets" / "labels.txt").symlink_to(models / "pets" / "labels.txt")
    assert "is not a model" in only_problem()
    (models / "pets" / "labels.txt").unlink()
    (models / "linked").symlink_to(secret)
    assert "linked is a link out of the folder of models" in only_problem()
    for name in ("folder:../secret", "folder:.", "folder:pets/", f"folder:{secret}", "folder:", "folder:\0"):
        with pytest.raises(sc.UnknownNameError):
            sc.MODELS[name]
    (models / "within").symlink_to(models / "pets")
    assert sc.MODELS["folder:within"].title == "Cats & dogs"


def test_the_number_of_models_is_bounded(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (models / "zebras").mkdir()
    monkeypatch.setattr(folder, "MAX_MODELS", 1)
    assert [each.name for each in folder_models()] == ["folder:pets", "folder:"]
    assert only_problem() == "The folder of models has 2 sub-folders; the first 1 are listed."


def test_several_weights_without_the_usual_name_are_ambiguous(models: Path) -> None:
    old = models / "pets" / "model.safetensors"
    (models / "pets" / "a.pth").write_bytes(old.read_bytes())
    assert isinstance(sc.MODELS["folder:pets"], sc.ModelSpec)
    old.rename(models / "pets" / "b.pt")
    assert "it holds a.pth, b.pt; expected model.safetensors, or one file" in only_problem()


def test_a_folder_that_cannot_be_read_is_one_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SALIENCY_MODELS", str(tmp_path / "none"))
    assert only_problem() == (
        f"The folder of models, {tmp_path / 'none'}, can't be read: No such file or directory. Check "
        "SALIENCY_MODELS."
    )
    with pytest.raises(sc.UnknownNameError, match="can't be read: No such file or directory"):
        sc.MODELS["folder:pets"]


def test_a_named_pipe_for_a_file_is_a_problem_and_does_not_block(models: Path) -> None:
    (models / "pets" / "labels.txt").unlink()
    os.mkfifo(models / "pets" / "labels.txt")
    assert "labels.txt is not an ordinary file" in only_problem()


def test_a_wrong_number_of_labels_or_damaged_weights_are_told_when_the_model_is_loaded(models: Path) -> None:
    (models / "pets" / "labels.txt").write_text("cat\n")
    with pytest.raises(sc.ArgumentError, match="labels.txt has 1 name, .* 2 classes"):
        load_classifier("folder:pets", "cpu")
    weights = models / "pets" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(
        sc.WeightsError, match="^model.safetensors is not a checkpoint that can be read safely"
    ):
        load_classifier("folder:pets", "cpu")
