"""Sessions that arrive in the moment in which the server begins to answer."""

import asyncio
from pathlib import Path

from tests.browser_helpers import expect_no_unexpected_error
from tests.threads import run
from tools.serving import free_port, running_app
from tools.session_client import opened

PAGES = ("compare", "mix", "framework", "why", "classes", "evaluate")
SESSIONS = 30
PATIENCE = 120.0  # seconds, on a busy machine


def test_many_visitors_of_a_server_that_has_just_started_get_their_pages(tmp_path: Path) -> None:
    async def visit(address: str, page: str) -> list[str]:
        async with opened(address, page) as tab:
            await tab.ended(PATIENCE)
            return tab.exceptions

    async def visits(address: str) -> list[list[str]]:
        pages = [PAGES[index % len(PAGES)] for index in range(SESSIONS)]
        return await asyncio.gather(*(visit(address, page) for page in pages))

    log = tmp_path / "server.log"
    with running_app(log, port=free_port()) as address:
        assert run(visits(address)) == [[]] * SESSIONS
    expect_no_unexpected_error(log)
    assert "Traceback" not in log.read_text()
    assert "not JSON serializable" not in log.read_text()
