"""Who may connect and see the status: origins, the bound of sessions, hostile messages, the operator."""

import asyncio
import logging
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request
from streamlit import net_util
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string
from streamlit.web.server.starlette.starlette_websocket import _is_origin_allowed

from pages.shared import connections, frames, metrics, server, status, status_routes
from pages.shared.connections import Connections, LiveSessions
from saliency_core.engine.status import (
    EngineStatus,
    Histogram,
    LoggedError,
    ModelStatus,
    QueueStatus,
    StoreStatus,
)
from saliency_core.errors import ArgumentError
from tests.threads import run

Scope = dict[str, Any]


def asked(kind: str = "websocket", path: str = "/_stcore/stream", **headers: str) -> Scope:
    pairs = {"host": "studio.example:8501"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    sent = [(name.encode(), value.encode("latin-1")) for name, value in pairs.items()]
    common = {"type": kind, "path": path, "method": "GET", "headers": sent}
    return {**common, "query_string": b"", "client": ("127.0.0.1", 5)}


class Server:
    """Something behind the middleware that notes what reaches it, and keeps its websockets until `ended`."""

    def __init__(self, most: int = 10) -> None:
        self.reached: list[Scope] = []
        self.received: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.ended = asyncio.Event()
        self.live = LiveSessions()
        self.most = most
        self.messages: list[dict[str, Any]] = []

    async def app(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.reached.append(scope)
        for _ in range(len(self.messages)):
            self.received.append(await receive())
        if scope["type"] == "websocket" and not self.messages:
            await self.ended.wait()

    async def ask(self, scope: Scope) -> None:
        async def receive() -> dict[str, Any]:
            return self.messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        await Connections(self.app, most=self.most, live=self.live)(scope, receive, send)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, True),  # no browser
        ({"origin": "http://studio.example:8501"}, True),
        ({"origin": "https://studio.example", "x_forwarded_host": "studio.example"}, True),
        ({"origin": "https://studio.example", "x_forwarded_host": "STUDIO.example, 10.0.0.1"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://evil.example", "x_forwarded_host": "studio.example"}, False),
        ({"origin": "http://studio.example:9000"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "http://["}, False),
        ({"origin": "http://localhost:3000"}, False),
    ],
)
def test_websockets_of_other_sites_are_refused_without_asking_the_internet_for_this_machines_address(
    headers: dict[str, str], own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asks() -> str:
        raise AssertionError("the internet was asked")

    for name in ("get_external_ip", "get_internal_ip"):
        monkeypatch.setattr(net_util, name, asks)

    async def scenario() -> Server:
        found = Server()
        found.ended.set()
        await found.ask(asked(**headers))
        return found

    found = run(scenario())
    assert len(found.reached) == own
    assert found.sent == ([] if own else [{"type": "websocket.close", "code": connections.FOREIGN}])
    for scope in found.reached:  # what Streamlit itself makes of it
        seen = Headers(scope=scope)  # type: ignore[arg-type]
        assert _is_origin_allowed(seen.get("origin"), seen.get("host"))


def test_one_session_too_many_is_told_so_at_once_while_a_tab_inside_may_be_reloaded() -> None:
    async def scenario() -> Server:
        found = Server(most=2)
        inside = [
            asyncio.create_task(found.ask(asked(cookie=f"_streamlit_xsrf=visitor{index}")))
            for index in range(2)
        ]
        while len(found.live) < 2:
            await asyncio.sleep(0)
        await found.ask(asked(cookie="_streamlit_xsrf=visitor3"))
        assert found.sent.pop() == {"type": "websocket.close", "code": connections.FULL}
        for page in ("/compare", "/why/", "/"):
            await found.ask(asked("http", page, cookie="_streamlit_xsrf=visitor3"))
            start, body = found.sent
            assert start["status"] == 503
            assert (b"retry-after", b"10") in start["headers"]
            assert connections.BUSY.encode() in body["body"]
            found.sent.clear()
        await found.ask(asked("http", "/compare"))
        assert found.sent[0]["status"] == 503
        before = len(found.reached)
        for path, visitor in (("/compare", "visitor1"), ("/_stcore/health", ""), ("/assets/icon.svg", "")):
            await found.ask(asked("http", path, cookie=f"_streamlit_xsrf={visitor}"))
        assert len(found.reached) == before + 3
        found.sent.clear()
        await found.ask({**asked("http", "/compare", cookie="_streamlit_xsrf=visitor1"), "method": "HEAD"})
        assert found.sent[0]["status"] == 503  # one more tab of the same browser has no room
        found.ended.set()
        await asyncio.gather(*inside)
        await found.ask(asked("http", "/compare"))
        assert len(found.reached) == before + 4
        assert (len(found.live), "visitor1" in found.live) == (0, False)
        return found

    run(scenario())


def test_a_browser_is_known_by_its_cookie_however_streamlit_has_written_it() -> None:
    async def scenario() -> Server:
        found = Server(most=1)
        first, second = (generate_xsrf_token_string(b"0" * 16, 1) for _ in range(2))
        assert first != second
        inside = asyncio.create_task(found.ask(asked(cookie=f"_streamlit_xsrf={first}")))
        while not found.live:
            await asyncio.sleep(0)
        await found.ask(asked("http", "/compare", cookie=f"_streamlit_xsrf={second}"))
        found.ended.set()
        await inside
        return found

    assert len(run(scenario()).reached) == 2


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"bytes": BackMsg(app_heartbeat=True).SerializeToString()}, None),
        ({"bytes": b"1" * (frames.MAX_BYTES + 1)}, frames.TOO_LARGE),
        ({"bytes": b"1"}, frames.NOT_THE_PROTOCOL),
        ({"text": "hello"}, frames.NOT_BINARY),
    ],
)
def test_a_websocket_that_sends_a_text_or_too_much_is_closed_with_a_line_in_the_log(
    message: dict[str, Any], code: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> Server:
        found = Server()
        found.messages = [{"type": "websocket.receive", **message}]
        found.ended.set()
        await found.ask(asked())
        return found

    with caplog.at_level(logging.WARNING):
        found = run(scenario())
    if code is None:
        assert found.received[0]["bytes"] == message["bytes"]
        return
    assert found.received == [{"type": "websocket.disconnect", "code": code}]
    assert found.sent == [{"type": "websocket.close", "code": code}]
    assert len(caplog.records) == 1


def test_the_number_of_sessions_follows_the_open_files_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(connections.SETTING, raising=False)
    assert connections.max_sessions(1024) == (1024 - 200) // connections.FILES_PER_SESSION
    assert connections.max_sessions(10) == 1
    assert 1 <= connections.max_sessions(10**6) <= connections.MOST_SESSIONS
    monkeypatch.setenv(connections.SETTING, "7")
    assert connections.max_sessions(10**6) == 7
    for wrong in ("0", "-1", "many", "1.5", "9" * 30, "²"):
        monkeypatch.setenv(connections.SETTING, wrong)
        with pytest.raises(ArgumentError, match="Expected a whole number from 1 to"):
            connections.max_sessions(1024)


def test_the_process_may_open_as_many_files_as_it_may_ask_for() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        files = connections.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == files
        assert files == (connections.FILES if before[1] < 0 else min(connections.FILES, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# -- the operator's view -------------------------------------------------------------------------------------


def sees(client: str = "127.0.0.1", query: str = "", **headers: str) -> bool:
    scope = asked("http", "/status", **{"host": "localhost:8501", **headers})
    request = Request({**scope, "client": (client, 1), "method": "GET", "query_string": query.encode()})
    return status_routes.may_see(request)


def test_the_status_is_for_this_machine_alone_and_not_for_what_a_proxy_on_it_passes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(status_routes.TOKEN_SETTING, raising=False)
    assert sees()
    assert sees("::1", host="[::1]:8501")
    assert sees("::ffff:127.0.0.1")  # as a server that listens to all addresses sees it
    assert not sees("::ffff:10.0.0.7")
    assert sees(host="127.0.0.1")
    assert not sees("10.0.0.7")
    assert not sees("testclient")
    assert not sees(host="studio.example")
    assert not sees(host="studio.example:8501")  # a name that somebody has pointed at this machine
    for name in ("x_forwarded_for", "x_forwarded_proto", "x_forwarded_host", "forwarded", "via", "x_real_ip"):
        assert not sees(**{name: "127.0.0.1"}), name


def test_with_a_token_the_status_is_for_whoever_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(status_routes.TOKEN_SETTING, "sesame")
    assert sees("10.0.0.7", authorization="Bearer sesame", x_forwarded_for="10.0.0.9", host="studio.example")
    assert sees("10.0.0.7", query="token=sesame")
    assert not sees()  # a proxy may send no headers of its own
    for wrong in ("Bearer open", "Basic sesame", "sesame", "Bearer \xe9"):
        assert not sees(authorization=wrong)
    assert not sees(query="token=")


SECONDS = Histogram((0.1, 1.0), (3, 1, 1), 7.5)
ENGINE = EngineStatus(
    kind="local",
    device="cpu",
    models=(
        ModelStatus("own:0123456789abcdef", 3_000_000, 1),
        ModelStatus("own:fedcba9876543210", 1, 0),
        ModelStatus("<b>", 5, 0),
    ),
    stores=(
        StoreStatus("answers", 2, 250, 1000, hits=3, misses=1),
        StoreStatus("classes", 3, 3, 4096, counted=True),
    ),
    queues=(QueueStatus("explaining", 4, 1, 64),),
    waited=SECONDS,
    computed=SECONDS,
    refused=2,
    dropped=9,
    errors=(LoggedError("deadbeef", time.time(), "Explaining secret.jpg", "RuntimeError"),),
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> status.ServerStatus:
    class Engine:
        def status(self) -> EngineStatus:
            return ENGINE

    monkeypatch.setattr(status, "shared_engine", Engine)
    live = LiveSessions()
    live.add("visitor")
    return status.now(live, 5)


def test_the_page_has_the_numbers_and_no_names_of_files_sessions_and_their_networks(
    shown: status.ServerStatus,
) -> None:
    page = status_routes.status_page(shown)
    for text in ("75%", "3 of 4 requests", "deadbeef", "RuntimeError", "of at most 5", "≤ 0.1 s", "1.50 s"):
        assert text in page, text
    assert "at most 4,096<" in page
    assert "kB of 5 kB" not in page  # entries are no bytes
    for secret in ("secret", "0123456789abcdef", "<b>", "visitor"):
        assert secret not in page.partition("<main>")[2].replace('<b style="width', ""), secret
    assert "<script" not in page
    assert "does not answer" in status_routes.status_page(replace(shown, engine=None))
    assert [status.quantile(SECONDS, share) for share in (0.5, 0.8, 1)] == [0.1, 1.0, float("inf")]
    assert status.quantile(Histogram((), (0,), 0), 0.5) is None


def test_prometheus_reads_the_same_numbers(shown: status.ServerStatus) -> None:
    lines = metrics.text(shown).decode().splitlines()
    for line in (
        "normgrad_sessions 1.0",
        'normgrad_model_bytes{model="a session’s own network"} 3.000001e+06',
        'normgrad_store_hits_total{store="answers"} 3.0',
        'normgrad_queue_waiting{queue="explaining"} 4.0',
        'normgrad_waited_seconds_bucket{le="1.0"} 4.0',
        'normgrad_waited_seconds_bucket{le="+Inf"} 5.0',
        "normgrad_waited_seconds_sum 7.5",
        "normgrad_refused_total 2.0",
    ):
        assert line in lines, line
    assert "secret" not in " ".join(lines)
    assert b"normgrad_engine_up 0.0" in metrics.text(replace(shown, engine=None))


def test_the_metrics_are_off_unless_an_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses() -> list[str]:
        return [route.path for route in status_routes.routes(LiveSessions(), 1)]

    monkeypatch.delenv(metrics.SETTING, raising=False)
    assert addresses() == ["/status"]
    monkeypatch.setenv(metrics.SETTING, "/metrics")
    assert addresses() == ["/status", "/metrics"]
    for wrong in ("metrics", "/", "/compare", "/_stcore/x", "/a b", "/status", "//x"):
        monkeypatch.setenv(metrics.SETTING, wrong)
        with pytest.raises(ArgumentError, match="Expected an address of this server"):
            addresses()


def test_the_operators_addresses_are_part_of_the_server() -> None:
    assert "/status" in {getattr(route, "path", "") for route in server.routes()}
