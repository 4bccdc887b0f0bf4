"""A server that is killed while a page is open and a job runs, and one that is asked to end."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser_helpers import expect_no_unexpected_error, photo_file, sent_messages, upload, viewer
from tools.serving import free_port, running_process

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


def test_an_open_page_shows_its_view_and_its_photos_again_after_a_reload_and_after_the_server_was_killed(
    page: Page, tmp_path: Path
) -> None:
    sent = sent_messages(page)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running_process(tmp_path / "first.log", {}, port) as first:
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
        page.get_by_test_id("method-right").select_option("rise")
        expect(page.get_by_test_id("progress")).to_contain_text("RISE")
        caption = page.get_by_test_id("caption-left").inner_text()
        first.kill()
        first.wait()
        expect_no_unexpected_error(tmp_path / "first.log")

        banner = page.get_by_test_id("offline")
        expect(banner).to_contain_text("The server is not answering.")
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-connection-state", "PINGING_SERVER")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.get_by_test_id("depth").press("ArrowLeft")
        expect(page.get_by_test_id("caption-left")).not_to_have_text(caption)  # what is here stays usable
        page.get_by_test_id("depth").press("ArrowRight")
        expect(page.get_by_test_id("caption-left")).to_have_text(caption)

    with running_process(tmp_path / "second.log", {}, port) as second:
        expect(banner).to_have_count(0)
        expect_own(page, list(NAMES[:2]), NAMES[0])
        expect(page.get_by_test_id("caption-left")).to_have_text(caption)
        expect(page.get_by_test_id("progress")).to_contain_text("RISE")  # it begins anew
        assert page.get_by_text("no longer on the server").count() == 0
        second.terminate()
        second.wait(timeout=30)
    assert second.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in (tmp_path / "second.log").read_text()
