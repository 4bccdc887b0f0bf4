"""Reading a file from a web server in a thread of its own, so that waiting for it can end at any time."""

from __future__ import annotations

import base64
import http.client
import queue
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from types import TracebackType
from typing import IO, Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = ("http", "https")
CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
"""How long a server may stay silent."""
SLOW_SECONDS = 60.0
SLOW_BYTES = 60_000
"""A server that sends less than this in that time is given up: with a byte a second it would never end."""
POLL_SECONDS = 0.5
"""How often whoever waits is asked whether the file is still wanted."""

Headers = Mapping[str, str]
"""Of a request; those of an answer are a ``Message``, which does not tell upper from lower case."""


class TransferError(Exception):
    """A file that could not be read; the text says in one sentence, with the host, what happened."""


class Refused(TransferError):  # noqa: N818 - the server's answer
    """The server answered with a status that is no success.

    Args:
        host: who answered.
        status: the HTTP status.
        headers: of the answer.
    """

    def __init__(self, host: str, status: int, headers: Message) -> None:
        phrase = f" ({HTTPStatus(status).phrase})" if status in set(HTTPStatus) else ""
        super().__init__(f"{host} answered {status}{phrase}")
        self.host, self.status, self.headers = host, status, headers


@dataclass(frozen=True)
class Answer:
    """The headers of one answer, redirects included, and who gave it (scheme, host and port)."""

    origin: tuple[str, str]
    headers: Message


@dataclass(frozen=True)
class Reply:
    """What is known before the file arrives: the answers on the way to it, and its length."""

    answers: tuple[Answer, ...]
    length: int | None


def host(address: str | SplitResult) -> str:
    """Host and port, without a user's name and password."""
    return (urlsplit(address) if isinstance(address, str) else address).netloc.rpartition("@")[2]


def is_web_address(address: str) -> bool:
    """Whether it is an address of http or https with a host."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in SCHEMES and bool(host(parts))


class Transfer:
    """A GET request whose answer is read in a thread.

    Looking up a name, connecting and reading block. So a thread does them, and the caller waits for what it
    hands over, ``POLL_SECONDS`` at a time. When the caller leaves, its connection is shut down, and the
    thread ends at once, or when the system has found the host's address: that alone cannot be interrupted.

    Args:
        address: of http or https; a user's name and password in it are sent to its own host.
        headers: gives the request's headers, called in the thread; ``Authorization`` is not sent to
            other hosts that the server redirects to.
    """

    def __init__(self, address: str, headers: Callable[[], Headers] = dict) -> None:
        self._address = urlsplit(address)
        self._headers = headers
        self._redirects = _Redirects(host(self._address))
        self._items: queue.Queue[Reply | bytes | Exception] = queue.Queue(4)
        self._left = threading.Event()
        self._connections = _Connections()

    @property
    def host(self) -> str:
        """The host that is asked now, after redirects, without a user's name and password."""
        return self._redirects.host

    def __enter__(self) -> Transfer:
        threading.Thread(target=self._read, name="weights", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left.set()
        self._connections.shut_down()
        with suppress(queue.Empty):  # a thread that waits for space in the queue must get it
            while True:
                self._items.get_nowait()

    def reply(self, waiting: Callable[[], None]) -> Reply:
        """What the server says before the file; ``waiting`` is called while nothing comes.

        Raises:
            TransferError: the server is not there, silent, or refuses.
        """
        item = self._next(waiting)
        assert isinstance(item, Reply)
        return item

    def chunks(self, waiting: Callable[[], None]) -> Iterator[bytes]:
        """The file, as it arrives; to be called after :meth:`reply`. Raises as that."""
        received, end = 0, time.monotonic() + SLOW_SECONDS
        while chunk := self._next(waiting):
            assert isinstance(chunk, bytes)
            yield chunk
            received += len(chunk)
            if time.monotonic() >= end:
                if received < SLOW_BYTES:
                    raise TransferError(f"{self.host} sends less than a kilobyte a second")
                received, end = 0, time.monotonic() + SLOW_SECONDS

    def _next(self, waiting: Callable[[], None]) -> Reply | bytes:
        end = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                item = self._items.get(timeout=max(min(POLL_SECONDS, end - time.monotonic()), 0))
            except queue.Empty:
                waiting()
                if time.monotonic() >= end:
                    raise self._silent() from None
            else:
                if isinstance(item, Exception):
                    raise self._failure(item) from item
                return item

    def _read(self) -> None:
        try:
            opener = urllib.request.build_opener(self._redirects, *_handlers(self._connections))
            with opener.open(self._request(), timeout=TIMEOUT_SECONDS) as reply:
                answers = (*self._redirects.answers, Answer(_origin(reply.url), reply.headers))
                length = reply.headers.get("Content-Length", "")
                self._items.put(Reply(answers, int(length) if length.isdecimal() else None))
                # read1: what has arrived, not a full chunk, so that a slow download shows progress.
                while not self._left.is_set() and (chunk := reply.read1(CHUNK_BYTES)):
                    self._items.put(chunk)
            self._items.put(b"")
        except Exception as error:  # whoever waits must hear of it
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            self._items.put(error)

    def _request(self) -> urllib.request.Request:
        user, _, _ = self._address.netloc.rpartition("@")
        request = urllib.request.Request(self._address._replace(netloc=host(self._address)).geturl())
        headers = {"User-Agent": "normgrad-studio", **self._headers()}
        if user:
            name, _, password = user.partition(":")
            pair = f"{unquote(name)}:{unquote(password)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if "Authorization" in headers:
            request.add_unredirected_header("Authorization", headers.pop("Authorization"))
        for name, value in headers.items():
            request.add_header(name, value)
        return request

    def _silent(self) -> TransferError:
        return TransferError(f"{self.host} sent nothing for {TIMEOUT_SECONDS:g} seconds")

    def _failure(self, error: Exception) -> TransferError:
        """What happened, as a sentence without its full stop."""
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        match cause:
            case _ if isinstance(error, urllib.error.HTTPError):
                if error.code in range(300, 400):  # a circle, or a scheme that urllib itself does not follow
                    return TransferError(f"{self.host} redirects to an address that is not followed")
                return Refused(self.host, error.code, error.headers)
            case TransferError():
                return cause
            case TimeoutError():
                return self._silent()
            case socket.gaierror():
                return TransferError(f"{self.host} can't be found: no network, or no such host")
            case (
                http.client.IncompleteRead() | ConnectionResetError() | BrokenPipeError() | ssl.SSLEOFError()
            ):
                return TransferError(f"{self.host} broke off the connection")
            case ssl.SSLError():
                return TransferError(f"{self.host} offers no encrypted connection that can be trusted")
            case http.client.InvalidURL():
                return TransferError(f"{self.host} is unreachable")
            case http.client.HTTPException():
                return TransferError(f"{self.host} gave an answer that is not HTTP")
            case _:
                return TransferError(f"{self.host} is unreachable")


class _Connections:
    """The sockets of a transfer, which another thread can shut down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._ended = False

    def connect(
        self, address: tuple[str, int], timeout: float | None = None, *_: object, **__: object
    ) -> socket.socket:
        """As ``socket.create_connection``."""
        failure: OSError = ConnectionError("the host has no address")
        for family, kind, protocol, _name, where in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            made = socket.socket(family, kind, protocol)
            try:
                self._watch(made)
                made.settimeout(timeout)
                made.connect(where)
            except OSError as error:
                made.close()
                failure = error
            else:
                return made
        raise failure

    def shut_down(self) -> None:
        """End all connections, and let none begin: whoever waits for one gets an error."""
        with self._lock:
            self._ended = True
            for each in self._sockets:
                with suppress(OSError):  # it is not connected
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._sockets.clear()

    def _watch(self, made: socket.socket) -> None:
        with self._lock:
            if self._ended:
                raise ConnectionAbortedError
            self._sockets.append(made.dup())  # TLS takes the socket itself


def _handlers(connections: _Connections) -> tuple[urllib.request.BaseHandler, ...]:
    """What urllib reads http and https with, over connections that can be shut down."""

    def made(kind: type[http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        def make(*arguments: Any, **options: Any) -> http.client.HTTPConnection:
            connection: Any = kind(*arguments, **options)
            connection._create_connection = connections.connect
            return cast("http.client.HTTPConnection", connection)

        return make

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(made(http.client.HTTPConnection), req)

    class Encrypted(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(made(http.client.HTTPSConnection), req)

    return Plain(), Encrypted()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same scheme or to https, and no others; keeps the headers on the way."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.answers: list[Answer] = []

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request that follows. Raises ``TransferError`` where that may not be."""
        before, after = _origin(req.full_url), _origin(newurl)
        if after[0] not in (before[0], "https"):
            fp.close()
            raise TransferError(
                f"{self.host} redirects from {before[0]} to {after[0]}, which is not followed"
            )
        self.answers.append(Answer(before, headers))
        self.host = after[1]
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and before == after and req.has_header("Authorization"):
            request.add_unredirected_header("Authorization", str(req.get_header("Authorization")))
        return request


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, host(parts)
