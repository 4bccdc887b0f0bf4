"""Hostile and careless visitors of a running server: it stays up, serves the others, and its log has a line.

One server for the file. Tabs are those of `tools.session_client`: no browser is involved.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks.load import coded_photo, read_code
from pages.shared import component_state
from tests.threads import run
from tools.serving import Server, running_server
from tools.session_client import (
    CLASSES,
    GALLERY,
    VIEWER,
    XSRF_HEADER,
    SessionError,
    Studio,
    Tab,
    opened,
    request,
)

SPARE_THREADS = 8  # of pools that grow with use
HEADERS = ("content-security-policy", "x-content-type-options", "referrer-policy")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attacked") / "server.log"


@pytest.fixture(scope="module")
def attacked(log: Path) -> Iterator[Server]:
    env = {"SALIENCY_STATE": str(log.parent / "state"), "STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": "1"}
    with running_server(log, env) as server:
        run(_visit(server))
        yield server


@pytest.fixture
def server(attacked: Server, log: Path) -> Iterator[Server]:
    """The server, which afterwards serves another session as ever, and has logged no traceback."""
    start = log.stat().st_size
    yield attacked
    run(_visit(attacked))
    printed = log.read_bytes()[start:].decode(errors="replace")
    assert "Traceback" not in printed, printed[-8000:]


async def _visit(server: Server) -> None:
    async with opened(server.address) as tab:
        await Studio(tab).shows()
        await tab.settled()
        assert not _complaints(tab)


def _complaints(tab: Tab) -> list[str]:
    return [*tab.exceptions, *(text for text in tab.texts() if "ng-error" in text)]


def test_a_session_sees_its_own_photo_and_what_it_chooses(server: Server) -> None:
    async def use() -> None:
        async with opened(server.address) as tab:
            studio = Studio(tab)
            await studio.shows()
            await tab.upload("own.jpg", coded_photo(5, 7))
            view = await tab.until("own photo", lambda: _with_code(studio, (5, 7)))
            other = next(each["index"] for each in studio.classes() if each["index"] != view.target)
            await studio.choose_class(other)
            assert (await studio.shows(photo=view.photo, target=other)).maps != view.maps
            await tab.settled()
            await studio.change_view(
                left="gradient", weights={layer: index for index, layer in enumerate(view.layers)}
            )
            await tab.until("address", lambda: True if "left=gradient" in tab.query else None)
            assert not _complaints(tab)

    run(use())


def _with_code(studio: Studio, code: tuple[int, int]):  # type: ignore[no-untyped-def]
    view = studio.view()
    return view if view is not None and view.photo.isalnum() and read_code(view.jpeg()) == code else None


def test_reruns_without_waiting_hold_nobody_up(server: Server) -> None:
    async def fire() -> None:
        async with opened(server.address) as tab:
            await Studio(tab).shows()
            for _ in range(200):
                await tab.rerun()
            await _visit(server)

    run(fire())


def test_sessions_that_vanish_in_mid_run_leave_no_thread_and_no_file(server: Server) -> None:
    process = psutil.Process(server.pid)

    async def vanish() -> None:
        tabs = [Tab(server.address, "compare") for _ in range(10)]
        await asyncio.gather(*(tab.connect() for tab in tabs))
        for tab in tabs:
            await tab.until("photos", lambda tab=tab: tab.components(GALLERY) or None)
            await Studio(tab).choose_photo("rocket")
        await asyncio.gather(*(tab.vanish() for tab in tabs))
        await _until(lambda: process.num_fds() <= files and process.num_threads() <= threads, 90)

    files, threads = process.num_fds(), process.num_threads() + SPARE_THREADS
    run(vanish())


async def _until(true: Callable[[], bool], patience: float) -> None:
    async with asyncio.timeout(patience):
        while not true():
            await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    "frame",
    [
        "a text",
        random.Random(0).randbytes(5000),
        BackMsg(debug_shutdown_runtime=True).SerializeToString()[:-1] + b"\xff",
        b"\x0b" * 100_000,
        bytes(5 << 20),
        bytes(60 << 20),
    ],
    ids=["text", "random", "truncated", "nested", "5 MB", "60 MB"],
)
def test_a_websocket_that_sends_no_message_is_closed(server: Server, frame: bytes | str) -> None:
    async def send() -> None:
        async with opened(server.address) as tab:
            await tab.ended()
            with suppress(SessionError):  # it may be closed while a long one is sent
                await tab.send_raw(frame)
            with pytest.raises(SessionError, match="connection"):
                await tab.until("the end", lambda: None)

    run(send())


def test_messages_that_no_page_sends_change_nothing(server: Server, log: Path) -> None:
    start = log.stat().st_size
    messages = [
        BackMsg(clear_cache=True),
        BackMsg(set_run_on_save=True),
        BackMsg(debug_shutdown_runtime=True),
        BackMsg(debug_disconnect_websocket=True),
        BackMsg(),
    ]

    async def send() -> None:
        async with opened(server.address) as tab:
            await Studio(tab).shows()
            for message in messages:
                await tab.send(message)
            await tab.rerun()
            await tab.ended()
            assert not _complaints(tab)

    run(send())
    assert log.read_text()[start:].count("ignored a message") == len(messages)


STATES = (
    "",
    "nonsense",
    "[",
    "1",
    '"text"',
    '{"a": 1}',
    '[{"event": 5, "value": []}]',
    '[{"event": "chosen", "value": {"a": [1]}}]',
    '[{"event": "chosen", "value": 1e999}]',
    '[{"event": "chosen", "value": NaN}]',
    '[{"event": "restored", "value": [[]]}]',
    '[{"event": "removed", "value": {}}]',
    '[{"event": "request", "value": {"classes": [1e400, {}]}}]',
    "[" * 50_000 + "]" * 50_000,
    json.dumps([{"event": "chosen", "value": "x" * 100_000}]),
)


@pytest.mark.parametrize("name", [GALLERY, CLASSES, VIEWER])
def test_states_that_no_component_sends_are_ignored(server: Server, name: str) -> None:
    async def send() -> None:
        async with opened(server.address) as tab:
            await Studio(tab).shows()
            await tab.settled()
            component = tab.components(name)[0]
            state, events = component.proto.id, component.events_id
            for text in STATES:
                sent = [
                    WidgetState(id=events, json_trigger_value=text),
                    WidgetState(id=state, json_value=text),
                ]
                for each in sent:
                    await tab.rerun(component.fragment, once=[each])
                    await tab.ended()
            wrong = [WidgetState(id=state, int_value=5), WidgetState(id=events, bytes_value=b"x")]
            await tab.rerun(once=[*wrong, WidgetState(id="nobody", string_value="x")])
            await tab.settled()
            assert not _complaints(tab)
            assert tab.components(name)

    run(send())


def test_a_components_state_is_an_object_and_its_triggers_are_any_json() -> None:
    assert component_state.trouble("", state=True) == "JSONDecodeError"
    assert component_state.trouble('"text"', state=True) == "no object"
    assert component_state.trouble('{"a": [1]}', state=True) is None
    assert component_state.trouble('[{"event": "x"}]') is None


def test_uploads_of_nobody_without_a_token_or_with_a_false_size_are_refused(server: Server) -> None:
    async def send() -> None:
        async with opened(server.address) as tab, opened(server.address) as other:
            await asyncio.gather(Studio(tab).shows(), Studio(other).shows())
            place = f"/_stcore/upload_file/{tab.session_id}"
            for path in (
                "/_stcore/upload_file/nobody/x",
                f"{place}/../../x",
                f"{place}/..%2f..%2fx",
            ):
                assert await tab.put_file(path, "a.png", b"x") == 400, path
            assert await tab.put_file(f"{place}/x", "a.png", b"x", **{XSRF_HEADER: "no"}) == 403
            sizes = ("Content-Length: -5", "Content-Length: x", "Content-Length: 99999999999999", CHUNKED)
            for size in sizes:
                assert _raw(server, _upload_head(server, tab, size) + b"nonsense").split()[1] in (
                    b"400",
                    b"413",
                )
            # A file that nobody has chosen appears on no page.
            assert await tab.put_file(f"/_stcore/upload_file/{other.session_id}/x", "a.png", b"x") == 204
            await other.rerun()
            await other.settled()
            assert Studio(other).gallery()["uploads"] == []

    run(send())


CHUNKED = "Content-Length: 5\r\nTransfer-Encoding: chunked"


def _upload_head(server: Server, tab: Tab, size: str) -> bytes:
    token = tab._cookie
    lines = (
        f"PUT /_stcore/upload_file/{tab.session_id}/x HTTP/1.1",
        f"Host: {urlsplit(server.address).netloc}",
        f"X-Xsrftoken: {token}",
        f"Cookie: _streamlit_xsrf={token}",
        "Content-Type: multipart/form-data; boundary=b",
        "Connection: close",
        size,
    )
    return "\r\n".join((*lines, "", "")).encode()


def _raw(server: Server, data: bytes) -> bytes:
    parts = urlsplit(server.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(data)
        return connection.recv(4096)


@pytest.mark.parametrize(
    "place", ["", "/assets/fonts", "/static", "/component/normgrad_viewer", "/media", "/app/static"]
)
def test_no_address_leads_out_of_its_folder(server: Server, place: str) -> None:
    for way in (
        "../../../../../app.py",
        "..%2f..%2f..%2fapp.py",
        "%2e%2e/%2e%2e/app.py",
        "..\\..\\app.py",
        "%00",
    ):
        status, _, body = request(server.address, "GET", f"{place}/{way}")
        assert status in (400, 404), way
        assert b"import streamlit" not in body


def test_the_apps_own_routes_answer_nonsense_in_a_sentence(server: Server) -> None:
    for path in (
        "/share/list?token=../../x",
        "/share/job?id=../../x",
        "/models/list?q=" + "x" * 5000,
        "/models/details?name=../../../../etc/passwd",
        "/models/classes?model=../../x&q=%00",
        "/models/architectures?" + "x=1&" * 2000,
    ):
        status, _, body = request(server.address, "GET", path)
        assert status < 500, path
        assert isinstance(json.loads(body), dict), path


def test_every_kind_of_answer_has_the_security_headers(server: Server) -> None:
    for verb in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        for path in (
            "/",
            "/compare",
            "/nowhere",
            "/_stcore/health",
            "/_stcore/metrics",
            "/models/list",
            "/share/make",
        ):
            status, headers, _ = request(server.address, verb, path, b"{" if verb in ("POST", "PUT") else b"")
            names = {name.lower() for name, _ in headers}
            assert status < 500, (verb, path)
            assert names.issuperset(HEADERS), (verb, path)


def test_requests_that_are_no_http_or_too_long_are_refused(server: Server) -> None:
    host = b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for data in (b"GARBAGE\r\n\r\n", b"GET /" + b"x" * 100_000 + host, b"FOO /compare" + host):
        assert _raw(server, data).split()[1] == b"400"


NONSENSE = (
    "",
    "x" * 3000,
    "-1",
    "1e999",
    "nan",
    "\0",
    "../../etc",
    "<script>",
    "~" * 2000,
    "_" * 2000,
    "٣",
    "😀" * 500,
)
FIELDS = ("photo", "model", "class", "a", "b", "fit", "meta", "direction", "left", "right", "layer", "layers")
MORE_FIELDS = ("weights", "boxes", "present", "embed", "point", "nobody")


@pytest.mark.parametrize("page", ["compare", "mix", "framework", "classes", "why", "evaluate"])
def test_addresses_of_nonsense_show_the_page_with_what_can_be_used(server: Server, page: str) -> None:
    names = (*FIELDS, *MORE_FIELDS)

    async def look() -> None:
        for turn in range(0, len(NONSENSE), 4):
            values = (quote(NONSENSE[(turn + i) % len(NONSENSE)]) for i in range(len(names)))
            query = "&".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
            async with opened(server.address, page, query) as tab:
                await tab.settled()
                assert not _complaints(tab), query[:200]

    run(look())


def test_many_uploads_in_one_session_keep_the_newest_and_are_bounded_in_memory(server: Server) -> None:
    process = psutil.Process(server.pid)

    async def send(step: Callable[[Tab, int], Awaitable[None]], count: int) -> None:
        async with opened(server.address) as tab:
            await Studio(tab).shows()
            for number in range(count):
                await step(tab, number)
            await tab.settled()
            uploads = [each["name"] for each in Studio(tab).gallery()["uploads"]]
            assert len(uploads) <= 12
            if step is small:
                assert uploads[-1] == f"{count - 1}.jpg"

    photo, large = coded_photo(1, 1), bytes(20 << 20)

    async def small(tab: Tab, number: int) -> None:
        await tab.upload(f"{number}.jpg", photo + bytes([number]))
        await tab.ended()

    async def big(tab: Tab, number: int) -> None:
        await tab.upload(f"{number}.bin", large + bytes([number]))
        await tab.ended()

    run(send(small, 20))
    before = process.memory_info().rss
    run(send(big, 12))
    assert process.memory_info().rss - before < 200 << 20  # of 240 MB that were sent
