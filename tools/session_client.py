"""A browser tab without a browser: it speaks Streamlit 1.67's websocket protocol and knows this app's parts.

A :class:`Tab` does what Streamlit's browser side does: it sends the state of all its widgets with every run,
keeps the elements that were sent and drops those that a run has left out, remembers large messages so that
the server need not send them again, and reruns fragments when they ask for it. :class:`Studio` is a person at
this app: photos, classes, methods, weights, and what the viewer shows of them.

Many tabs share one event loop. Whoever measures must keep the client out of the server's process.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.BidiComponent_pb2 import BidiComponent
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Common_pb2 import FileURLs, UploadedFileInfo
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.FileUploader_pb2 import FileUploader
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

XSRF_COOKIE, XSRF_HEADER = "_streamlit_xsrf", "X-Xsrftoken"
NO_TOKEN = "PLACEHOLDER_AUTH_TOKEN"  # what the browser sends in the token's place when it has no cookie
VIEWER, UPDATES, GALLERY, CLASSES = (
    "normgrad_viewer",
    "normgrad_updates",
    "normgrad_gallery",
    "normgrad_class_list",
)
PATIENCE = 60.0
"""Seconds that waiting for something takes before it is an error."""
MAX_CACHED_RUNS = 30  # .streamlit/config.toml, global.maxCachedMessageAge

DeltaPath = tuple[int, ...]
Found = TypeVar("Found")


class SessionError(RuntimeError):
    """The server refused, closed the connection, or did not answer in time."""


@dataclass(frozen=True)
class Shown:
    """A part of the page: an element, or a container (without `element`).

    `run` drew it last, in this `fragment`; it `arrived` then (seconds, of the monotonic clock).
    """

    element: Element | None
    run: str
    fragment: str
    arrived: float


@dataclass(frozen=True, eq=False)
class Component:
    """A component (version 2) on the page, with the data that it was given."""

    proto: BidiComponent
    fragment: str
    arrived: float

    @property
    def events_id(self) -> str:
        """The identifier of the widget that carries its triggers."""
        return f"$$STREAMLIT_INTERNAL_KEY_{self.proto.id}__events"

    @cached_property
    def data(self) -> dict[str, Any]:
        """The data without tables."""
        kind = self.proto.WhichOneof("data")
        text = self.proto.mixed.json if kind == "mixed" else self.proto.json
        found = json.loads(text) if text else {}
        if not isinstance(found, dict):  # Streamlit sends what it cannot write as a text
            raise SessionError(
                f"{self.proto.component_name} was sent {str(found)[:80]!r} instead of its data"
            )
        return found

    def column(self, name: str) -> pa.ChunkedArray:
        """The one column of a table."""
        reference = self.data[name]["__streamlit_arrow_ref__"]
        data = self.proto.mixed.arrow_blobs[reference].data
        return pa.ipc.open_stream(data).read_all().column(0)


class Tab:
    """One browser tab: a session with the server, from :func:`opened` on.

    `runs` is the number of runs that ended, `exceptions` what Streamlit drew as such. `on_arrival` is called
    with every component that arrives.
    """

    def __init__(self, address: str, page: str = "", query: str = "") -> None:
        self.address, self.page, self.query = address.rstrip("/"), page, query
        self.session_id = self.page_hash = self.title = ""
        self.runs = 0
        self.received = 0
        """Bytes of all messages so far."""
        self.exceptions: list[str] = []
        self.on_arrival: Callable[[Component], None] | None = None
        self._cookie = ""
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._asked = False
        """Whether a run was asked for that has not begun."""
        self._running = False
        self._run, self._fragments = "", ()
        self._shown: dict[DeltaPath, Shown] = {}
        self._widgets: dict[str, WidgetState] = {}
        self._cache: dict[str, tuple[ForwardMsg, int]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._urls: dict[str, asyncio.Future[list[FileURLs]]] = {}
        self._closed: str | None = None

    # -- the connection --------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Fetch the page and open the session, as a browser does; the first run begins."""
        path = "/".join((urlsplit(self.address).path, self.page))
        status, _, _ = await self.fetch("GET", f"{path}?{self.query}")
        if status >= 400 and status != 404:  # an unknown address gets the app with a 404
            raise SessionError(f"GET {path} was answered with {status}")
        await self.reconnect()

    async def reconnect(self) -> None:
        """Open the websocket, for the session that this tab has if the server still knows it, and run."""
        await self._close()
        self._closed = None
        status, headers, _ = await self.fetch("GET", f"{urlsplit(self.address).path}/_stcore/health")
        if status != 200:
            raise SessionError(f"the server's health was answered with {status}")
        for name, value in headers:
            if name.lower() == "set-cookie" and value.startswith(f"{XSRF_COOKIE}="):
                self._cookie = value.partition(";")[0].partition("=")[2]
        protocols = ["streamlit", self._cookie or NO_TOKEN, *([self.session_id] if self.session_id else [])]
        parts = urlsplit(self.address)
        try:
            self._socket = await connect(
                f"ws{self.address.removeprefix('http')}/_stcore/stream",
                subprotocols=[Subprotocol(each) for each in protocols],
                origin=Origin(f"{parts.scheme}://{parts.netloc}"),
                additional_headers={"Cookie": f"{XSRF_COOKIE}={self._cookie}"} if self._cookie else None,
                compression=None,
                max_size=None,
                max_queue=None,
                open_timeout=PATIENCE,
                close_timeout=2,
                proxy=None,
            )
        except Exception as error:  # of several libraries
            raise SessionError(f"no websocket: {type(error).__name__}: {error}") from error
        self._asked = self._running = False
        self._reader = asyncio.create_task(self._read(self._socket))
        await self.rerun()

    async def leave(self) -> None:
        """Close the tab."""
        await self._close()

    async def vanish(self) -> None:
        """Lose the connection without a farewell."""
        if self._socket is not None:
            self._socket.transport.abort()
        await self._close()

    async def _close(self) -> None:
        self._stop_timers()
        reader, socket, self._reader, self._socket = self._reader, self._socket, None, None
        if socket is not None:
            await socket.close()
        if reader is not None:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader

    async def fetch(
        self, verb: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """One request to the server: status, headers and body of the answer."""
        return await asyncio.to_thread(request, self.address, verb, path, body, headers or {})

    # -- what the page shows ---------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and nothing was asked for that has not begun."""
        return not self._asked and not self._running

    def elements(self, kind: str) -> list[tuple[Element, Shown]]:
        """The elements of a kind (the field's name in Streamlit's message), from top to bottom."""
        return [
            (each.element, each)
            for _, each in sorted(self._shown.items(), key=lambda item: item[0])
            if each.element is not None and each.element.WhichOneof("type") == kind
        ]

    def components(self, name: str) -> list[Component]:
        """The components of this name, from top to bottom."""
        return [
            Component(element.bidi_component, shown.fragment, shown.arrived)
            for element, shown in self.elements("bidi_component")
            if element.bidi_component.component_name == name
        ]

    def texts(self) -> list[str]:
        """All that is written outside components."""
        return [
            *(element.markdown.body for element, _ in self.elements("markdown")),
            *(element.html.body for element, _ in self.elements("html")),
            *(element.alert.body for element, _ in self.elements("alert")),
            *(_exception_text(element) for element, _ in self.elements("exception")),
        ]

    async def until(self, what: str, look: Callable[[], Found | None], patience: float = PATIENCE) -> Found:
        """What `look` gives, once it is not None; it is asked after every message.

        Raises:
            SessionError: it was None for `patience` seconds, or the connection is gone.
        """
        deadline = time.monotonic() + patience
        while True:
            self._news.clear()
            found = look()
            if found is not None:
                return found
            if self._closed is not None:
                raise SessionError(f"{self._closed} while waiting for {what}")
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._news.wait()
            except TimeoutError:
                raise SessionError(f"no {what} after {patience:.0f} s") from None

    async def settled(self, patience: float = PATIENCE) -> None:
        """Wait until nothing runs and no fragment asks to be run again."""
        await self.until(
            "end of the runs", lambda: True if self.idle and not self._timers else None, patience
        )

    async def ended(self, patience: float = PATIENCE) -> None:
        """Wait until the run that was asked for has ended, whatever fragments ask for later."""
        await self.until("end of the run", lambda: True if self.idle else None, patience)

    # -- what is sent ----------------------------------------------------------------------------------------

    async def send(self, message: BackMsg) -> None:
        """Send a message as it is."""
        await self.send_raw(message.SerializeToString())

    async def send_raw(self, data: bytes | str) -> None:
        """Send a frame: bytes as a binary one, a text as a text."""
        if self._socket is None:
            raise SessionError("there is no connection")
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise SessionError(f"the connection is closed: {error}") from error

    async def rerun(
        self, fragment: str = "", *, automatic: bool = False, once: Sequence[WidgetState] = ()
    ) -> None:
        """Run the page, or one fragment of it, with the state of all widgets and with these triggers."""
        parts = urlsplit(self.address)
        state = ClientState(
            query_string=self.query,
            page_script_hash=self.page_hash,
            page_name="" if self.page_hash else self.page,
            fragment_id=fragment,
            is_auto_rerun=automatic,
            cached_message_hashes=tuple(self._cache),
        )
        state.widget_states.widgets.extend((*self._widgets.values(), *once))
        state.context_info.timezone = "Europe/Berlin"
        state.context_info.timezone_offset = -60
        state.context_info.locale = "en-GB"
        state.context_info.url = f"{parts.scheme}://{parts.netloc}{parts.path}/{self.page}"
        state.context_info.is_embedded = False
        state.context_info.color_scheme = "light"
        if not automatic:
            self._asked = True
        await self.send(BackMsg(rerun_script=state))

    async def trigger(self, component: Component, event: str, value: object) -> None:
        """What a component's `setTriggerValue` does."""
        text = json.dumps([{"event": event, "value": value}])
        await self.rerun(
            component.fragment, once=[WidgetState(id=component.events_id, json_trigger_value=text)]
        )

    async def set_state(self, component: Component, name: str, value: object) -> None:
        """What a component's `setStateValue` does."""
        before = self._widgets.get(component.proto.id)
        state = json.loads(before.json_value) if before is not None else {}
        text = json.dumps({**state, name: value})
        await self.set_widget(WidgetState(id=component.proto.id, json_value=text), component.fragment)

    async def set_widget(self, state: WidgetState, fragment: str = "") -> None:
        """Change a widget's value."""
        self._widgets[state.id] = state
        await self.rerun(fragment)

    def forget_widget(self, widget: str) -> None:
        """Leave a widget's state out of what is sent."""
        self._widgets.pop(widget, None)

    # -- uploads ---------------------------------------------------------------------------------------------

    async def upload(self, name: str, data: bytes, uploader: FileUploader | None = None) -> None:
        """Send a file to the page's uploader, and let the page run with it."""
        await self.upload_all({name: data}, uploader)

    async def upload_all(self, files: Mapping[str, bytes], uploader: FileUploader | None = None) -> None:
        """Send several files, all as one choice."""
        if uploader is None:
            uploader = await self.until("file uploader", self._uploader)
        urls = await self.upload_urls(tuple(files))
        state = WidgetState(id=uploader.id)
        for url, (name, data) in zip(urls, files.items(), strict=True):
            status = await self.put_file(url.upload_url, name, data)
            if status != 204:
                raise SessionError(f"the upload of {name!r} was answered with {status}")
            state.file_uploader_state_value.uploaded_file_info.append(
                UploadedFileInfo(name=name, size=len(data), file_id=url.file_id, file_urls=url)
            )
        await self.set_widget(state)

    def _uploader(self) -> FileUploader | None:
        found = self.elements("file_uploader")
        return found[0][0].file_uploader if found else None

    async def upload_urls(self, names: Sequence[str]) -> list[FileURLs]:
        """Ask where to send files of these names."""
        message, number = BackMsg(), uuid.uuid4().hex
        message.file_urls_request.request_id = number
        message.file_urls_request.session_id = self.session_id
        message.file_urls_request.file_names.extend(names)
        answer: asyncio.Future[list[FileURLs]] = asyncio.get_running_loop().create_future()
        self._urls[number] = answer
        await self.send(message)
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def put_file(self, path: str, name: str, data: bytes, **headers: str) -> int:
        """Send a file's bytes to an address of the server; the status of the answer."""
        mark = uuid.uuid4().hex
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
        sent = {
            "Content-Type": f"multipart/form-data; boundary={mark}",
            XSRF_HEADER: self._cookie,
            "Cookie": f"{XSRF_COOKIE}={self._cookie}",
            **headers,
        }
        status, _, _ = await self.fetch("PUT", path, body, sent)
        return status

    # -- what arrives ----------------------------------------------------------------------------------------

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for data in socket:
                if isinstance(data, bytes):
                    self.received += len(data)
                    message = ForwardMsg()
                    message.ParseFromString(data)
                    self._take(message)
                    self._news.set()
            self._closed = f"the connection was closed ({socket.close_code})"
        except ConnectionClosed as error:
            self._closed = f"the connection was lost ({error})"
        except SessionError as error:
            self._closed = str(error)
        finally:
            self._stop_timers()
            self._news.set()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            known = self._cache.get(message.ref_hash)
            if known is None:
                raise SessionError("the server refers to a message that this tab does not have")
            kept, _ = known
            self._cache[message.ref_hash] = (kept, self.runs)
            path = tuple(message.metadata.delta_path)
            message = kept
            self._take_delta(message, path)
            return
        if message.metadata.cacheable and message.hash:
            self._cache[message.hash] = (message, self.runs)
        if kind == "delta":
            self._take_delta(message, tuple(message.metadata.delta_path))
        elif kind == "new_session":
            self._begin(message)
        elif kind == "script_finished":
            self._end(message)
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "page_config_changed":
            self.title = message.page_config_changed.title or self.title
        elif kind == "auto_rerun":
            self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._stop_timer(fragment)
        elif kind == "navigation":
            self.page_hash = message.navigation.page_script_hash
        elif kind == "file_urls_response":
            waiting = self._urls.pop(message.file_urls_response.response_id, None)
            if waiting is not None and not waiting.done():
                if message.file_urls_response.error_msg:
                    waiting.set_exception(SessionError(message.file_urls_response.error_msg))
                else:
                    waiting.set_result(list(message.file_urls_response.file_urls))

    def _begin(self, message: ForwardMsg) -> None:
        run = message.metadata.run
        self._asked, self._running = False, True
        self._run, self._fragments = run.script_run_id, tuple(run.fragment_ids)
        self.session_id = message.new_session.initialize.session_id
        if not self._fragments:
            self._stop_timers()
            self.page_hash = message.new_session.page_script_hash

    def _end(self, message: ForwardMsg) -> None:
        self._running = False
        self.runs += 1
        if message.script_finished in (
            ForwardMsg.FINISHED_SUCCESSFULLY,
            ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
        ):
            self._drop_stale()
        self._cache = {
            each: kept for each, kept in self._cache.items() if self.runs - kept[1] <= MAX_CACHED_RUNS
        }

    def _drop_stale(self) -> None:
        """Drop what the run that has ended did not draw: on the whole page, or in its fragments."""
        for path in [path for path, each in self._shown.items() if each.run != self._run]:
            if not self._fragments or self._is_inside(path):
                del self._shown[path]

    def _is_inside(self, path: DeltaPath) -> bool:
        """Whether this part of the page lies in a fragment of the run that has ended."""
        above = (self._shown.get(path[:length]) for length in range(1, len(path)))
        return any(each is not None and each.fragment in self._fragments for each in above)

    def _take_delta(self, message: ForwardMsg, path: DeltaPath) -> None:
        delta, now = message.delta, time.monotonic()
        kind = delta.WhichOneof("type")
        if kind == "add_block":
            self._shown[path] = Shown(None, self._run, delta.fragment_id, now)
        elif kind == "new_element":
            for inner in [each for each in self._shown if each[: len(path)] == path]:
                del self._shown[inner]
            element = delta.new_element
            self._shown[path] = Shown(element, self._run, delta.fragment_id, now)
            found = element.WhichOneof("type")
            if found == "exception":
                self.exceptions.append(_exception_text(element))
            elif found == "bidi_component" and self.on_arrival is not None:
                self.on_arrival(Component(element.bidi_component, delta.fragment_id, now))

    # -- fragments that are run again and again --------------------------------------------------------------

    def _start_timer(self, fragment: str, interval: float) -> None:
        self._stop_timer(fragment)

        async def run() -> None:
            with suppress(SessionError):
                while True:
                    await asyncio.sleep(interval)
                    await self.rerun(fragment, automatic=True)

        self._timers[fragment] = asyncio.create_task(run())

    def _stop_timer(self, fragment: str) -> None:
        timer = self._timers.pop(fragment, None)
        if timer is not None:
            timer.cancel()

    def _stop_timers(self) -> None:
        for fragment in tuple(self._timers):
            self._stop_timer(fragment)


def _exception_text(element: Element) -> str:
    return f"{element.exception.type}: {element.exception.message}"


def request(
    address: str, verb: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """One HTTP request to the server at `address`, its path sent as it is: status, headers, body.

    Raises:
        SessionError: no connection, or no answer in time.
    """
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
    try:
        connection.request(verb, path, body or None, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise SessionError(f"{verb} {path[:80]}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


@asynccontextmanager
async def opened(address: str, page: str = "compare", query: str = "") -> AsyncIterator[Tab]:
    """A tab at a page of the app, until the context ends."""
    tab = Tab(address, page, query)
    try:
        await tab.connect()
        yield tab
    finally:
        await tab.leave()


# -- a person at this app ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class View:
    """What the viewer on the page was given.

    `photo` is the SHA-256 digest of the photo's file, `maps` the digest of all maps with what is said of
    them, `target` and `label` the class that they explain, `methods` those that have maps.
    """

    component: Component

    @property
    def meta(self) -> dict[str, Any]:
        """All that is sent as JSON."""
        found: dict[str, Any] = self.component.data["meta"]
        return found

    @property
    def photo(self) -> str:
        """The digest of the photo's file."""
        return str(self.meta["keys"]["photo"])

    @property
    def maps(self) -> str:
        """The digest of the maps."""
        return str(self.meta["keys"]["maps"])

    @property
    def target(self) -> int:
        """The class that is explained."""
        return int(self.meta["target"])

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose maps were sent."""
        return tuple(self.meta["maps"])

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers, input to output."""
        return tuple(str(layer["name"]) for layer in self.meta["layers"])

    def jpeg(self) -> bytes:
        """The photo as it is shown."""
        return bytes(self.component.column("photo")[0].as_py())

    def map(self, method: str, layer: str) -> NDArray[np.float32]:
        """The values of one map, (height, width)."""
        index = self.layers.index(layer)
        offset, size = self.meta["maps"][method]["offsets"][index], self.meta["layers"][index]
        count = size["height"] * size["width"]
        values = self.component.column("maps").to_numpy()[offset : offset + count]
        return np.asarray(values, np.float32).reshape(size["height"], size["width"])


class Studio:
    """What a person does on a page of this app, in an open tab."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    def view(self) -> View | None:
        """What the viewer shows; None while there is none."""
        found = self.tab.components(VIEWER)
        return View(found[-1]) if found else None

    def gallery(self) -> dict[str, Any]:
        """What the strip of photos shows."""
        return self._one(GALLERY).data

    def classes(self) -> list[dict[str, Any]]:
        """The classes to choose from, the likeliest first."""
        found: list[dict[str, Any]] = self._one(CLASSES).data["classes"]
        return found

    async def choose_photo(self, key: str) -> None:
        """Click on a photo of the strip."""
        await self.tab.trigger(self._one(GALLERY), "chosen", key)

    async def choose_class(self, index: int) -> None:
        """Click on a class."""
        await self.tab.trigger(self._one(CLASSES), "chosen", index)

    async def change_view(self, **fields: object) -> None:
        """Change fields of the viewer: methods (`left`, `right`), `layer`, `weights` and others."""
        viewer = self._one(VIEWER)
        meta = viewer.data["meta"]
        await self.tab.set_state(viewer, "view", {**meta["view"], **fields, "rev": meta["revision"]})

    async def shows(
        self,
        *,
        photo: str | None = None,
        target: int | None = None,
        method: str | None = None,
        patience: float = PATIENCE,
    ) -> View:
        """Wait until the viewer shows this photo (its digest), this class and maps of this method."""

        def look() -> View | None:
            found = self.view()
            if found is None:
                return None
            fits = photo in (None, found.photo) and target in (None, found.target)
            return found if fits and (method is None or method in found.methods) else None

        return await self.tab.until(f"view of {photo and photo[:8]}, {target}, {method}", look, patience)

    def _one(self, name: str) -> Component:
        found = self.tab.components(name)
        if not found:
            raise SessionError(f"there is no {name} on the page")
        return found[-1]
