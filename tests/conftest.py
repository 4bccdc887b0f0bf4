"""What several tests share: a Chromium, a running app, a page in a browser, a visit without one."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser_helpers import PATIENCE_MS, opened_profile, opened_tab
from tests.shared_app import SharedApp, shared_app
from tools.layout_shift import RECORD
from tools.serving import CHROMIUM_FLAGS, find_chromium

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

RAY_CPUS = 2


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Ray on this machine alone, for all tests of this process."""
    import ray

    from saliency_core.engine.ray.connection import start

    folder = tempfile.mkdtemp(prefix="ray-")  # short: the paths of sockets may have 107 characters
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        start(ray, num_cpus=RAY_CPUS, object_store_memory=80 << 20, _temp_dir=folder)
        yield
        ray.shutdown()
    shutil.rmtree(folder)


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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedApp]:
    """One server for all tests of the run, of whatever process."""
    folder = tmp_path_factory.getbasetemp()
    with shared_app(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as app:
        yield app


@pytest.fixture
def app_url(shared: SharedApp, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the shared server; an unexpected error in its log fails the test, which shows it."""
    with shared.used_by(request.node.nodeid):
        yield shared.url


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
    """A profile for all tests of this process, whose pages note what moves."""
    with opened_profile(browser, viewport={"width": 1280, "height": 900}) as profile:
        profile.add_init_script(RECORD)
        yield profile


@pytest.fixture
def page(profile: BrowserContext) -> Iterator[Page]:
    """An empty tab, 1280 x 900."""
    with opened_tab(profile) as page:
        yield page


@pytest.fixture
def app() -> Iterator[AppTest]:
    """A visit of the app without a browser; its tasks end with it."""
    from streamlit.testing.v1 import AppTest

    from tests.page_runs import MAIN, SECONDS, session_of

    app = AppTest.from_file(MAIN, default_timeout=SECONDS)
    yield app
    for entry in session_of(app).tasks:
        entry.task.cancel()
