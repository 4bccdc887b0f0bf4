"""Sharing from the running app: a web page opened without a network, a picture, the clipboard, the keys."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

import saliency_core as sc
from pages.shared.share import YOUR_PHOTO
from tests.browser_helpers import assert_drawn, complaints, drag, photo_file, upload, view, viewer
from tests.conftest import PATIENCE_MS
from tests.test_browser_accessibility import NARROW, WIDE, findings

ODD_NAME = "käfer <b>& #1 %41.jpg"
MEGAPIXELS_40 = (7300, 5475)
COPIED_PICTURE = """async () => {
  const [item] = await navigator.clipboard.read();
  const picture = await createImageBitmap(await item.getType("image/png"));
  return [picture.width, picture.height];
}"""


def share(page: Page, kind: str) -> Locator:
    """The dialog, opened at a kind of file."""
    page.get_by_test_id("share").filter(visible=True).click()
    dialog = page.get_by_test_id("share-dialog")
    dialog.get_by_test_id(f"share-tab-{kind}").click()
    return dialog


def save(page: Page, dialog: Locator, folder: Path) -> Path:
    """Download the file, once it is made."""
    button = dialog.get_by_test_id("share-download")
    expect(button).to_be_enabled()
    with page.expect_download() as download:
        button.click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


@pytest.fixture
def offline(browser: Browser) -> Iterator[Page]:
    """A tab without a network, which must not miss it."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    trouble = complaints(page)
    page.on("request", lambda asked: trouble.append(asked.url) if asked.url.startswith("http") else None)
    yield page
    context.close()
    assert trouble == []


def test_a_mix_of_a_large_photo_is_saved_as_a_web_page_that_mixes_on_without_a_network(
    app_url: str, page: Page, offline: Page, tmp_path: Path
) -> None:
    trouble = complaints(page)
    photo = photo_file(tmp_path / ODD_NAME, MEGAPIXELS_40)
    page.goto(f"{app_url}/mix")
    viewer(page)
    upload(page, photo)
    expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
    drag(page, page.get_by_test_id("weight-bn2"), 0.6)
    dialog = share(page, "page")
    dialog.get_by_test_id("option-title").fill("A lecture on <i>coffee</i>")
    expect(dialog.get_by_test_id("share-photo")).to_contain_text(YOUR_PHOTO)
    expect(dialog.get_by_test_id("share-photo")).to_contain_text("yours has 7300 × 5475")
    expect(dialog.get_by_test_id("share-status")).to_contain_text("MB")
    expect(page.get_by_test_id("stSidebar")).to_be_visible()  # the letter L is none of the page's keys here
    file = save(page, dialog, tmp_path)
    assert re.fullmatch(r"normgrad-käfer-b-1-41-espresso-mix\.html", file.name)
    assert trouble == []

    offline.goto(file.as_uri())
    viewer(offline)
    expect(offline.get_by_role("heading", level=1)).to_have_text("A lecture on <i>coffee</i>")
    expect(offline.get_by_text("7300 × 5475")).to_be_visible()
    saved = view(offline)["weights"]
    assert saved == view(page)["weights"]
    assert saved["bn2"] < 1
    drag(offline, offline.get_by_test_id("weight-blocks.1"), 0.25)
    weights = view(offline)["weights"]
    assert weights["blocks.1"] < 1
    explanation = sc.explain(sc.load_classifier(), sc.open_image(photo), methods=["normgrad"])
    maps = [explanation.map("normgrad", name) for name in weights]
    assert_drawn(offline, "left", sc.combine(maps, list(weights.values()), "product", size=(448, 448)))


def test_a_picture_is_looked_at_copied_and_saved_and_the_keyboard_reaches_everything(
    app_url: str, page: Page, tmp_path: Path
) -> None:
    trouble = complaints(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{app_url}/compare?photo=coffee&right=gradient")
    viewer(page)
    button = page.get_by_test_id("share").filter(visible=True)
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_test_id("share-dialog")
    expect(dialog.get_by_test_id("share-tab-picture")).to_be_visible()
    expect(dialog.get_by_test_id("share-link")).to_have_value(page.url)
    expect(dialog.get_by_test_id("share-slides")).to_have_value(f"{page.url}&present=1")
    expect(dialog.get_by_test_id("share-embed")).to_have_value(
        re.compile(r'^<iframe src="http.*&amp;embed=true"')
    )
    dialog.get_by_test_id("copy-link").click()
    expect(dialog.get_by_test_id("copy-link")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url

    dialog.get_by_test_id("share-tab-link").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_test_id("share-tab-picture")).to_have_attribute("aria-selected", "true")
    expect(dialog.get_by_test_id("share-tab-picture")).to_be_focused()
    picture = dialog.get_by_test_id("share-picture")
    expect(picture).to_be_visible()
    file = save(page, dialog, tmp_path)
    assert file.name == "normgrad-coffee-espresso-compare-pair.png"
    size = Image.open(io.BytesIO(file.read_bytes())).size
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == list(size)
    dialog.get_by_test_id("option-format-pdf").check(force=True)
    expect(dialog.get_by_test_id("share-status")).to_contain_text("-pair.pdf")
    dialog.get_by_test_id("share-copy").click()
    expect(dialog.get_by_test_id("share-copy")).to_have_text("Copied")
    assert page.evaluate(COPIED_PICTURE) == list(size)

    dialog.get_by_test_id("share-tab-code").click()
    expect(dialog.get_by_test_id("share-preview")).to_contain_text('"gradient"')
    dialog.get_by_test_id("share-copy").click()
    expect(dialog.get_by_test_id("share-copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("import saliency_core as sc")

    dialog.get_by_test_id("share-tab-film").click()
    make = dialog.get_by_test_id("share-download")
    expect(make).to_have_text("Make the film")
    make.click()
    expect(dialog.get_by_test_id("share-cancel")).to_be_visible()
    expect(dialog.get_by_test_id("share-status")).to_contain_text("compare-depth.gif")
    expect(picture).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    assert trouble == []


def test_axe_finds_nothing_in_the_dialog_in_both_themes_and_on_a_phone_whose_menu_opens_it(
    app_url: str, page: Page
) -> None:
    page.set_viewport_size(WIDE)
    page.goto(f"{app_url}/compare")
    viewer(page)
    dialog = share(page, "page")
    found: dict[str, str] = {}
    for window, theme in ((WIDE, "light"), (WIDE, "dark"), (NARROW, "dark")):
        page.set_viewport_size(window)
        page.emulate_media(color_scheme=theme)
        for kind in ("link", "page", "picture", "film", "data", "code"):
            dialog.get_by_test_id(f"share-tab-{kind}").click()
            if kind != "link":
                expect(dialog.get_by_test_id("share-download")).to_be_enabled()
            found |= findings(page)
    page.keyboard.press("Escape")
    page.get_by_test_id("stExpandSidebarButton").click()
    dialog = share(page, "link")
    assert dialog.bounding_box() == {"x": 0, "y": 0, **NARROW}
    assert found == {}
