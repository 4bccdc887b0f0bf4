"""A saved page in Chromium, opened from disk with the network off: it asks nobody for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import saliency_core as sc
from saliency_core.viewer import html
from saliency_core.viewer.payload import ClassComparison, SweepPoint
from tests.browser_helpers import SAMPLES, assert_drawn, assert_map_drawn, complaints, drag, view, viewer
from tests.conftest import PATIENCE_MS

TITLE = "A ladybird & </script><img src=x onerror=alert(1)>, explained"


@pytest.fixture(scope="module")
def clf() -> sc.Classifier:
    return sc.load_classifier()


@pytest.fixture(scope="module")
def ladybird(clf: sc.Classifier) -> sc.Explanation:
    return sc.explain(clf, sc.open_image(SAMPLES / "ladybird.jpg"))


def offline(browser: Browser, **options: object) -> tuple[Page, list[str]]:
    """A tab without a network, and what it complains of or asks for."""
    context = browser.new_context(offline=True, **options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    found = complaints(page)
    own = ("file:", "data:", "blob:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else found.append(asked.url))
    return page, found


@pytest.fixture
def desk(browser: Browser) -> Iterator[Page]:
    page, found = offline(browser, viewport={"width": 1280, "height": 900})
    yield page
    page.context.close()
    assert found == []


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    page, found = offline(
        browser, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme="dark"
    )
    yield page
    page.context.close()
    assert found == []


def test_a_page_from_disk_mixes_layers_as_combine_does_and_opens_every_tab(
    desk: Page, ladybird: sc.Explanation, tmp_path: Path
) -> None:
    file = tmp_path / "käfer & co #1?.html"
    sc.save_html(file, ladybird, mode="mix", title=TITLE, address="https://example.org/mix?x=1&y=2")
    desk.goto(file.as_uri())
    viewer(desk)
    expect(desk.get_by_role("heading", level=1)).to_have_text(TITLE)
    expect(desk.get_by_test_id("facts")).to_have_text("EfficientNet-Lite0 · ladybug 88%")
    expect(desk.get_by_role("link")).to_have_attribute("href", "https://example.org/mix?x=1&y=2")
    expect(desk.get_by_test_id("layers")).to_be_hidden()
    drag(desk, desk.get_by_test_id("weight-blocks.1"), 0.25)
    drag(desk, desk.get_by_test_id("weight-bn2"), 0.6)
    names = [layer.name for layer in ladybird.layers]
    weights = [view(desk)["weights"][name] for name in names]
    assert weights != [1.0] * 8
    maps = [ladybird.map("normgrad", name) for name in names]
    assert_drawn(desk, "left", sc.combine(maps, weights, "product", size=(448, 448)))

    desk.get_by_test_id("tab-framework").click()
    expect(desk.get_by_test_id("framework-caption")).to_contain_text("ladybug")
    desk.get_by_test_id("tab-layers").click()
    expect(desk.get_by_test_id("all-methods")).to_contain_text("RISE is not in this file.")
    expect(desk.get_by_test_id("compute-missing")).to_be_hidden()
    desk.get_by_test_id("tab-table").click()
    desk.get_by_test_id("preview-open").click()
    expect(desk.get_by_test_id("tab-compare")).to_have_attribute("aria-selected", "true")
    expect(desk.get_by_test_id("caption-left")).to_contain_text("NormGrad · blocks.4")

    desk.get_by_role("heading", level=1).click()
    desk.keyboard.press("ArrowRight")
    expect(desk.get_by_test_id("caption-left")).to_contain_text("blocks.5")
    assert_map_drawn(desk, "left", ladybird, "normgrad", "blocks.5")
    assert_map_drawn(desk, "right", ladybird, "grad_cam", "blocks.5")


def test_a_page_on_a_phone_shows_two_classes_with_their_meta_steps_and_another_photo(
    phone: Page, clf: sc.Classifier, ladybird: sc.Explanation, tmp_path: Path
) -> None:
    photo = sc.open_image(SAMPLES / "cat-above-coffee.jpg")

    def both(meta: sc.MetaStep | None = None) -> tuple[sc.Explanation, ...]:
        return sc.explain_classes(
            clf, photo, ["Egyptian cat", "espresso"], methods=["normgrad", "grad_cam"], meta=meta
        )

    cat, espresso = both()
    points = (SweepPoint(0.0, cat, espresso), SweepPoint(0.0025, *both(sc.MetaStep())))
    comparison = ClassComparison(espresso, "grad_cam", clf.labels, (), points)
    first, other = (html.entries([each])[0] for each in (cat, ladybird))
    entry = html.Entry(cat, first.photo, comparison)
    file = tmp_path / "classes.html"
    shown = {"left": "grad_cam", "layer": "bn2", "epsilon": 0.0025}
    file.write_text(html.page([entry, other], mode="classes", view=shown), encoding="utf-8")
    phone.goto(file.as_uri())
    viewer(phone)
    expect(phone.get_by_test_id("class-A")).to_have_value("Egyptian cat")
    expect(phone.get_by_test_id("class-A")).to_have_attribute("readonly", "")
    expect(phone.get_by_test_id("presets")).to_be_hidden()
    expect(phone.get_by_test_id("caption-first")).to_contain_text("ε = 0.0025")
    expect(phone.get_by_test_id("steps")).to_contain_text("Learn")
    wide = "document.documentElement.scrollWidth"
    assert phone.evaluate(wide) <= 390
    phone.get_by_test_id("epsilon").press("ArrowLeft")
    expect(phone.get_by_test_id("caption-first")).to_contain_text("without a step")
    phone.get_by_test_id("explanation").select_option(index=1)
    expect(phone.get_by_test_id("caption-left")).to_contain_text("ladybug 88%")
    expect(phone.get_by_test_id("tab-classes")).to_have_count(0)
    assert phone.evaluate(wide) <= 390
    assert phone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 24)"


def test_the_output_of_a_notebook_draws_the_framework_within_its_sandbox(
    desk: Page, ladybird: sc.Explanation, tmp_path: Path
) -> None:
    file = tmp_path / "notebook.html"
    output = sc.show(ladybird, mode="framework")._repr_html_()
    file.write_text(f"<!doctype html><title>Saved notebook</title>{output}", encoding="utf-8")
    desk.goto(file.as_uri())
    frame = desk.frame_locator("iframe")
    expect(frame.get_by_test_id("framework-caption")).to_contain_text("ladybug 88%")
    expect(frame.get_by_test_id("normgrad-viewer")).to_have_attribute("data-mode", "framework")
    # Cut out of the photo with a canvas, which browsers forbid for photos of another origin.
    photo = frame.get_by_test_id("previews").locator("img").first
    expect(photo).to_have_attribute("src", re.compile("^data:image/jpeg"))
    frame.get_by_test_id("preview-open").click()
    expect(frame.get_by_test_id("caption-left")).to_contain_text("NormGrad · blocks.4")
    assert desk.evaluate("document.querySelector('iframe').contentDocument") is None
