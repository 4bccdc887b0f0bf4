"""Choosing a model: the search, random weights, and a network of one's own, in a browser."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch
import torchvision
from playwright.sync_api import Page, expect

from pages.shared.session import NO_MODEL, NOT_YOURS
from tests.browser_helpers import complaints, viewer

LABELS = ("ladybird", "<b>cup", "rocket")


def dialog(page: Page) -> object:
    """The dialog of models, opened."""
    page.get_by_test_id("change-model").click()
    found = page.get_by_test_id("models-dialog")
    expect(found).to_be_visible()
    expect(found.get_by_role("option").first).to_be_visible()
    return found


class Malicious:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small network with three classes, its names wrapped as training scripts do."""
    import timm

    network = timm.create_model("test_vit", num_classes=len(LABELS))
    file = tmp_path / "my <b>net.pth"
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, file
    )
    return file


def test_a_network_of_ones_own_is_read_explained_compared_and_removed(
    app_url: str, page: Page, checkpoint: Path, tmp_path: Path
) -> None:
    trouble = complaints(page)
    page.goto(f"{app_url}/compare")
    viewer(page)
    shown = dialog(page)
    page.get_by_test_id("own-network").click()
    error = page.get_by_test_id("own-error")
    bad = tmp_path / "bad.pth"
    mark = tmp_path / "executed"
    bad.write_bytes(pickle.dumps(Malicious(mark)))
    for data in (pickle.dumps(Malicious(mark)), b"", b"no checkpoint"):
        bad.write_bytes(data)
        page.get_by_test_id("checkpoint").set_input_files(bad)
        expect(error).to_contain_text("bad.pth")
        expect(page.get_by_test_id("add-model")).to_be_disabled()
        page.get_by_test_id("checkpoint").set_input_files([])
    assert not mark.exists()

    page.get_by_test_id("checkpoint").set_input_files(checkpoint)
    expect(page.get_by_test_id("checkpoint-note")).to_contain_text("tensors")
    fitting = page.get_by_test_id("fitting")
    expect(fitting).to_contain_text("fit none of the networks listed first")
    architecture = page.get_by_test_id("architecture")
    other = tmp_path / "resnet.pth"
    torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), other)
    page.get_by_test_id("checkpoint").set_input_files(other)
    expect(architecture).to_have_value("resnet18")
    expect(fitting).to_contain_text("Its tensors fit ResNet-18")
    architecture.fill("resnet34")
    page.get_by_role("option").filter(has_text="resnet34").first.click()
    expect(fitting).to_contain_text("Of the networks listed first")
    page.get_by_test_id("add-model").click()
    expect(error).to_contain_text(re.compile(r"^It fits ResNet-18\..*resnet.pth does not fit ResNet-34"))
    error.get_by_role("button", name="Use ResNet-18 instead").click()
    expect(error).to_be_hidden()
    expect(architecture).to_have_value("resnet18")

    page.get_by_test_id("checkpoint").set_input_files(checkpoint)
    expect(page.get_by_test_id("checkpoint-note")).to_contain_text("tensors")
    expect(page.get_by_test_id("add-model")).to_be_enabled()
    page.get_by_test_id("add-model").click()
    expect(error).to_be_visible()
    architecture.fill("test_vit")
    expect(error).to_be_hidden()
    page.get_by_role("option").filter(has_text=re.compile("timm:test_vit$")).click()
    labels = tmp_path / "labels.txt"
    labels.write_text("only one\n")
    page.get_by_test_id("labels").set_input_files(labels)
    page.get_by_test_id("add-model").click()
    expect(error).to_contain_text("labels.txt")
    labels.write_text("\n".join(LABELS))
    page.get_by_test_id("labels").set_input_files(labels)
    page.get_by_test_id("add-model").click()
    expect(shown).to_be_hidden()

    card = page.get_by_test_id("model-card")
    expect(card).to_contain_text(checkpoint.name)
    expect(card).to_contain_text("Yours, for this session")
    expect(page.get_by_test_id("class")).to_have_count(len(LABELS))
    assert sorted(page.get_by_test_id("class").evaluate_all("all => all.map(each => each.title)")) == sorted(
        LABELS
    )
    expect(page.get_by_test_id("caption-left")).to_contain_text("channels")
    page.wait_for_url(re.compile("model=own"))
    link = page.url
    page.get_by_role("link", name="Classes").click()
    expect(page.get_by_test_id("caption-first")).to_contain_text(re.compile("ladybird|cup|rocket"))

    with page.context.browser.new_context() as other:
        stranger = other.new_page()
        stranger.goto(link)
        viewer(stranger)
        expect(stranger.get_by_test_id("note")).to_contain_text(NOT_YOURS)
        expect(stranger.get_by_test_id("model-card")).to_contain_text("EfficientNet-Lite0")

    shown = dialog(page)
    expect(shown.get_by_role("group", name="Yours").get_by_role("option")).to_contain_text([checkpoint.name])
    page.get_by_test_id("remove-model").click()
    expect(card).to_contain_text("EfficientNet-Lite0")
    page.wait_for_url(lambda url: "own" not in url)
    viewer(page)
    assert trouble == []


def test_a_transformer_is_found_by_a_part_of_its_name_and_explained_with_random_weights(
    app_url: str, page: Page
) -> None:
    trouble = complaints(page)
    page.goto(f"{app_url}/compare?model=resnett50")
    viewer(page)
    note = page.get_by_test_id("note")
    expect(note).to_contain_text(NO_MODEL)
    expect(note).to_contain_text("“resnet50”")
    shown = dialog(page)
    expect(shown.get_by_role("option").filter(has_text="torchvision · resnet50")).to_be_visible()
    search = page.get_by_test_id("model-search")
    expect(search).to_be_focused()
    details = page.get_by_test_id("model-details")
    expect(details.get_by_role("heading")).to_be_visible()
    search.fill("resnett50")
    expect(shown.get_by_role("status").first).to_contain_text("resnett50")
    expect(details).to_be_empty()
    page.get_by_test_id("near-names").get_by_role("button").first.click()
    expect(details).to_contain_text("resnet50")
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    expect(page.get_by_test_id("change-model")).to_be_focused()

    dialog(page)
    search.fill("hf-hub:timm/test_vit")
    expect(shown.get_by_role("option").first).to_contain_text("test_vit")
    expect(details).to_contain_text("timm:test_vit")
    expect(details).to_contain_text("Licence")
    page.keyboard.press("ArrowDown")
    expect(details).not_to_contain_text(re.compile("timm:test_vit$", re.MULTILINE))
    page.keyboard.press("ArrowUp")
    expect(details).to_contain_text("timm publishes none")
    page.get_by_test_id("weights").select_option("random")
    expect(details).not_to_contain_text("Licence")
    page.get_by_test_id("seed").fill("7")
    expect(details).to_contain_text("drawn from the seed 7")
    page.get_by_test_id("use-model").click()
    expect(shown).to_be_hidden()
    card = page.get_by_test_id("model-card")
    expect(card).to_contain_text("Random weights, seed 7")
    expect(page.get_by_test_id("random-weights").first).to_be_visible()
    page.wait_for_url(re.compile(re.escape("test_vit.random-7")))
    assert trouble == []
