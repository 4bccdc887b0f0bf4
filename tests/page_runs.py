"""Runs of a page's script by Streamlit's own test runner, with the background tasks waited for."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from pages.shared.registry import PAGES_FOLDER, entry_of
from pages.shared.session import Session
from pages.shared.tasks import Entry

MAIN = str(PAGES_FOLDER / "shared" / "main.py")
SECONDS = 120.0
"""After which a wait has failed."""


def session_of(app: AppTest) -> Session:
    return app.session_state["studio"]


def settle(app: AppTest, *, long: bool = False) -> AppTest:
    """Run the app as its tray would: again whenever a task has ended, long ones only if asked for."""

    def waiting() -> list[Entry]:
        tasks = session_of(app).tasks
        return [each for each in tasks if (each.running or each.ended) and (long or not each.long)]

    app.run()
    while found := waiting():
        assert found[0].task.wait(SECONDS)
        app.run()
    return app


def visit(app: AppTest, slug: str, **query: str) -> AppTest:
    """The page at an address, complete."""
    app.query_params.update(query)
    if slug != "compare":
        app.run()  # the pages are known after a first run
        app.switch_page(str(entry_of(slug).path))
    return settle(app)


def texts_of(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def button(app: AppTest, key: str) -> object:
    return next(each for each in app.button if (each.key or "").startswith(key))
