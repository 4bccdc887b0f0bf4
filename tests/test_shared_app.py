"""The server that all tests of a run share: whose its errors are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser_helpers import UNEXPECTED_ERROR
from tests.shared_app import SharedApp


@pytest.fixture
def app(tmp_path: Path) -> SharedApp:
    log = tmp_path / "server.log"
    log.write_text(f"{UNEXPECTED_ERROR} 00000000: before all tests\n")
    return SharedApp("http://127.0.0.1:9", log, tmp_path / "tests.txt")


def say(app: SharedApp, line: str) -> None:
    with app.log.open("a") as log:
        log.write(f"{line}\n")


def failing() -> pytest.RaisesExc[AssertionError]:
    return pytest.raises(AssertionError, match="while test_here and test_there ran:\n.*error 12345678")


def test_an_error_of_the_server_fails_the_tests_that_ran_and_names_them_all(app: SharedApp) -> None:
    with app.used_by("test_early"):
        say(app, "Explained.")
    with failing(), app.used_by("test_here"), failing(), app.used_by("test_there"):
        say(app, f"{UNEXPECTED_ERROR} 12345678: out of memory")
    with app.used_by("test_late"):
        say(app, "Explained.")
