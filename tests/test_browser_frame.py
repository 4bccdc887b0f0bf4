"""The frame around the pages: uploads and reloads, unknown addresses, a server that goes and comes back."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from pages.shared.registry import PAGES
from tests.browser_helpers import (
    complaints,
    expect_no_unexpected_error,
    photo_file,
    sent_messages,
    upload,
    viewer,
)
from tools.serving import running_app

NAMES = ("my espresso.png", "**b** <img src=x onerror=alert(1)> $x$.png", "third.png")


def own_photos(page: Page) -> list[str]:
    return (
        page.get_by_role("group", name=re.compile("^Your photos")).get_by_test_id("photo").all_inner_texts()
    )


def expect_own(page: Page, names: list[str], chosen: str) -> None:
    """The group of uploads has these, in this order, and the page explains the chosen one."""
    expect(page.get_by_text(f"Your photos ({len(names)} of 12)")).to_be_visible()
    expect(page.get_by_test_id("remove-photo")).to_have_count(len(names))  # known to the server, too
    assert own_photos(page) == names
    pressed = page.locator('[data-testid="photo"][aria-pressed="true"]')
    expect(pressed).to_have_text(chosen)
    expect(pressed).to_have_attribute("title", chosen)


def restorations(sent: list[object]) -> int:
    """How often the tab has told the server which photos it had."""
    return sum(b"restored" in frame for frame in sent if isinstance(frame, bytes))


def test_a_fresh_server_opens_the_page_asked_for_and_uploads_outlive_a_reload_but_not_a_restart(
    page: Page, tmp_path: Path
) -> None:
    sent = sent_messages(page)
    with running_app(tmp_path / "first.log") as url:
        page.goto(f"{url}/mix")  # not the first page
        expect(page.get_by_role("heading", name="Mix layers")).to_be_visible()
        expect(page.get_by_role("heading", name="Model")).to_be_visible()
        viewer(page)
        assert page.get_by_text("There is no page").count() == 0
        page.get_by_role("link", name="Compare").click()
        expect(page.get_by_test_id("depth")).to_be_visible()
        assert page.get_by_text("Your photos").count() == 0
        for name, source in zip(NAMES, ("coffee.png", "rocket.jpg", "camera.png"), strict=True):
            upload(page, photo_file(tmp_path / name, source=source))
            expect_own(page, list(NAMES[: NAMES.index(name) + 1]), name)
        assert page.locator("img[src=x]").count() == 0
        page.get_by_test_id("photo").filter(has_text=NAMES[0]).click()
        expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
        page.get_by_role("button", name=f"Remove {NAMES[2]}").click(force=True)
        expect_own(page, list(NAMES[:2]), NAMES[0])
        page.wait_for_url(re.compile("photo=upload-"))
        assert restorations(sent) == 0  # there was nothing to restore

        page.reload()
        viewer(page)
        expect_own(page, list(NAMES[:2]), NAMES[0])
        expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
        assert restorations(sent) == 1
        caption = page.get_by_test_id("caption-left").inner_text()
    expect_no_unexpected_error(tmp_path / "first.log")

    banner = page.get_by_test_id("offline")
    expect(banner).to_contain_text("The server is not answering.")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-connection-state", "PINGING_SERVER")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_test_id("depth").press("ArrowLeft")
    expect(page.get_by_test_id("caption-left")).not_to_have_text(caption)

    with running_app(tmp_path / "second.log", port=urlsplit(url).port):
        expect(banner).to_have_count(0)
        note = page.get_by_test_id("note").filter(has_text="no longer on the server")
        expect(note).to_have_text(
            f"“{NAMES[0]}” and “{NAMES[1]}” are no longer on the server. Upload them again."
        )
        expect(page.get_by_text("Your photos")).to_have_count(0)
        assert page.evaluate("sessionStorage.getItem('normgrad-photos')") is None


def test_an_unknown_address_is_answered_in_the_apps_own_words_with_the_way_to_its_pages(
    app_url: str, page: Page
) -> None:
    trouble = complaints(page)
    links = page.locator(".st-key-unknown-address").get_by_role("link")
    for path in ("nonsense", "framework/nonsense", "compare/<b>x"):
        answer = page.goto(f"{app_url}/{path}")
        assert answer is not None
        assert answer.status == 404
        expect(page.get_by_role("heading", name=f"There is no page at /{path}", exact=True)).to_be_visible()
        expect(page).to_have_title("There is no page here · NormGrad Studio")
        expect(links).to_have_count(len(PAGES))
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    links.filter(has_text="Mix layers").click()
    expect(page.get_by_role("heading", name="Mix layers", exact=True)).to_be_visible()
    viewer(page)
    assert urlsplit(page.url).path == "/mix"
    assert [each for each in trouble if "404" not in each] == []


def test_a_page_whose_connection_streamlit_has_given_up_is_loaded_again_once_the_server_answers(
    app_url: str, page: Page
) -> None:
    page.goto(f"{app_url}/compare?photo=coffee")
    viewer(page)
    page.evaluate("document.body.dataset.loaded = 'before'")
    page.locator("[data-testid=stApp]").evaluate(
        "app => app.setAttribute('data-test-connection-state', 'DISCONNECTED_FOREVER')"
    )
    expect(page.locator("body[data-loaded]")).to_have_count(0)
    viewer(page)
    expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
