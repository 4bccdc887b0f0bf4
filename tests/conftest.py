"""What several tests share: a Chromium, a running app, a page in a browser."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser_helpers import (
    NO_MIRROR,
    PATIENCE_MS,
    expect_no_unexpected_error,
    opened_profile,
    opened_tab,
)
from tools.serving import CHROMIUM_FLAGS, find_chromium, running_app

# Photos uploaded in tests are not those of an app that runs on this machine; servers inherit it.
os.environ["SALIENCY_STATE"] = tempfile.mkdtemp(prefix="normgrad-tests-")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that runs; without one the test fails, it is not skipped."""
    try:
        return find_chromium()
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def app_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server of `app_url` prints."""
    return tmp_path_factory.mktemp("app") / "server.log"


@pytest.fixture(scope="session")
def shared_app(app_log: Path) -> Iterator[str]:
    """The address of one server for all tests of this process, which has no weights but those of the app."""
    weights = app_log.parent / "weights"
    environment = {
        "SALIENCY_MIRROR": f"http://{NO_MIRROR}",
        "SALIENCY_WEIGHTS": str(weights),
        "TORCH_HOME": str(weights),
    }
    with running_app(app_log, environment) as url:
        yield url


@pytest.fixture
def app_url(shared_app: str, app_log: Path) -> Iterator[str]:
    """The address of the shared server; an unexpected error in its log fails the test, which shows it."""
    start = app_log.stat().st_size
    yield shared_app
    expect_no_unexpected_error(app_log, start)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    flags = [*CHROMIUM_FLAGS, "--process-per-site"]  # see `opened_profile`
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A profile for all tests of this process."""
    with opened_profile(browser, viewport={"width": 1280, "height": 900}) as profile:
        yield profile


@pytest.fixture
def page(profile: BrowserContext) -> Iterator[Page]:
    """An empty tab, 1280 x 900."""
    with opened_tab(profile) as page:
        yield page
