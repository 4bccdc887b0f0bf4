"""The page Evaluate as a person uses it: pixels that go and come back, networks with weights drawn anew."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

import saliency_core as sc
from pages.shared.formats import percent
from pages.shared.registry import ASSETS
from saliency_core.metrics.perturbation import baseline_input, perturbed
from tests.browser_helpers import complaints, drag, pixels, sent_messages

PHOTO = ASSETS / "samples" / "coffee.png"
MINUTES = 180_000  # milliseconds: many passes on a busy machine
STEPS = 32


def downloaded(page: Page, key: str) -> list[dict[str, str]]:
    """The file of a table, row by row."""
    with page.expect_download() as download:
        page.locator(f".st-key-{key} button").first.click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def input_picture(classifier: sc.Classifier, batch: object) -> np.ndarray:
    """An input of the network as a picture, (H, W, 3)."""
    preprocess = classifier.preprocess
    values = batch[0].permute(1, 2, 0).numpy() * preprocess.std + preprocess.mean
    return np.clip(np.rint(255 * values), 0, 255)


def test_pixels_go_and_come_back_in_the_order_of_each_map_without_the_server(
    app_url: str, page: Page
) -> None:
    trouble, sent = complaints(page), sent_messages(page)
    page.goto(f"{app_url}/evaluate?part=insertion-deletion&photo=coffee&layer=blocks.4&baseline=black")
    table = page.locator(".st-key-csv-insertion-deletion")
    expect(table).to_be_visible(timeout=MINUTES)
    rows = downloaded(page, "csv-insertion-deletion")
    assert len(rows) == 3 * (STEPS + 1)
    slider, share = page.get_by_test_id("perturbation-step"), page.get_by_test_id("perturbation-share")
    expect(page.get_by_test_id("skeleton")).to_have_count(0)
    before = len(sent)
    drag(page, slider, 0.25)
    expect(share).to_have_text("25% of the pixels replaced by black")

    def described(mode: str) -> None:
        for index, title in enumerate(("NormGrad", "Grad-CAM", "Random order")):
            row = next(
                each
                for each in rows
                if each["Order of the pixels"] == title and float(each["Share of the pixels"]) == 0.25
            )
            expect(page.get_by_test_id(f"perturbed-value-{index}")).to_have_text(
                f"espresso {percent(float(row[mode]))}"
            )

    described("Deletion")
    classifier = sc.load_classifier()
    image = sc.open_image(PHOTO)
    batch, _ = classifier.prepare(image)
    black = baseline_input(classifier, batch, "black")
    values = sc.explain(classifier, image).map("normgrad", "blocks.4")

    def drawn(mode: str) -> None:
        expected = input_picture(classifier, perturbed(batch, black, values, 0.25, mode))
        assert np.abs(pixels(page, "perturbed-0")[..., :3] - expected).max() <= 1

    drawn("deletion")
    page.get_by_role("radio", name="Restore pixels").check()
    expect(share).to_have_text("25% of the pixels restored")
    described("Insertion")
    drawn("insertion")
    assert len(sent) == before, "the server is not asked"
    plot = page.get_by_test_id("plot-deletion")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] / 2, "y": 20})
    expect(share).to_have_text("50% of the pixels replaced by black")
    page.locator(".st-key-baseline").get_by_text("Mean colour").click()
    page.wait_for_url(re.compile("baseline=mean"))
    expect(share).to_have_text("50% of the pixels replaced by the mean colour", timeout=MINUTES)
    assert trouble == []


def test_the_slider_walks_down_the_stages_of_a_network_with_weights_drawn_anew(
    app_url: str, page: Page
) -> None:
    trouble = complaints(page)
    page.goto(f"{app_url}/evaluate?photo=coffee&model=timm:test_resnet.random")
    expect(page.get_by_test_id("normgrad-viewer")).to_be_visible(timeout=MINUTES)
    page.locator(".st-key-part").get_by_text("Randomise").click()
    page.wait_for_url(re.compile("part=randomise"))
    expect(page.locator(".st-key-csv-randomised")).to_be_visible(timeout=MINUTES)
    rows = downloaded(page, "csv-randomised")
    layer = page.get_by_test_id("caption-trained-0").inner_text().split(" · ")[0]
    stages = list(dict.fromkeys(each["Drawn anew down to"] for each in rows))
    words, slider = page.get_by_test_id("randomise-words"), page.get_by_test_id("randomise-stage")
    expect(words).to_have_text(f"{len(stages)} of {len(stages)} stages: all weights drawn anew")
    trained, last = pixels(page, "trained-0"), pixels(page, "randomised-0")
    assert not np.array_equal(trained, last)
    slider.focus()
    for _ in stages[:-2]:
        page.keyboard.press("ArrowLeft")
    expect(words).to_have_text(f"2 of {len(stages)} stages: drawn anew down to {stages[1]}")
    for index, title in enumerate(("NormGrad", "Grad-CAM")):
        row = next(
            each
            for each in rows
            if (each["Method"], each["Layer"], each["Drawn anew down to"]) == (title, layer, stages[1])
        )
        rho, alike = (f"{float(row[name]):.2f}".replace("-", "−") for name in ("Spearman's rho", "SSIM"))
        expect(page.get_by_test_id(f"randomised-{index}")).to_have_text(f"ρ {rho} · SSIM {alike}")
    page.keyboard.press("Home")
    expect(page.get_by_test_id("randomised-0")).to_have_text("ρ 1.00 · SSIM 1.00")
    assert np.array_equal(pixels(page, "randomised-0"), trained)
    page.locator(".st-key-part").get_by_text("Point", exact=True).click()
    expect(page.get_by_test_id("normgrad-viewer")).to_be_visible()
    assert trouble == []


def test_a_cancelled_evaluation_is_begun_again_when_asked(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/evaluate?part=insertion-deletion&photo=camera&fit=pad")
    page.get_by_role("button", name="Cancel").click(timeout=MINUTES)
    again = page.locator(".st-key-evaluate-again button")
    expect(again).to_be_visible()
    again.click()
    expect(page.locator("[class*=st-key-csv-]").first).to_be_visible(timeout=MINUTES)
