"""The frame around the pages: unknown addresses, a connection that was given up."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from pages.shared.registry import PAGES
from tests.browser_helpers import (
    complaints,
    viewer,
)


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
