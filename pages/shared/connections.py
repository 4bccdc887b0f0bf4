"""Who may connect, and how many at once: other sites' websockets and too many sessions are refused at once.

A browser tab is one websocket as long as it is open. When there are as many as the server can bear, a new
visitor is told so by a page of its own with 503, which tries again by itself.
"""

import html
import logging
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string

from pages.shared import frames, theme
from pages.shared.registry import PAGES, PRODUCT
from saliency_core.errors import ArgumentError

SETTING = "SALIENCY_MAX_SESSIONS"
MOST_SESSIONS = 1000
FILES = 65_536
"""Open files for which the process asks; there is no use for more."""
FILES_OF_SERVER = 200
"""Open files that the server needs for itself: modules, photos, weights, caches."""
FILES_PER_SESSION = 8
"""A websocket, the event loop that Streamlit gives each session (also for a while after it), and requests."""
BYTES_PER_SESSION = 4 << 20
RETRY_SECONDS = 10
FOREIGN, FULL = 1008, 1013
"""Codes with which websockets are closed."""
BUSY = "This server is busy."
BUSY_ADVICE = f"It can serve no more people at once. This page tries again every {RETRY_SECONDS} seconds."

_COOKIE = "_streamlit_xsrf"  # Streamlit gives one to each browser

log = logging.getLogger(__name__)


def raise_file_limit() -> int:
    """Allow the process as many open files as it may ask for; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # not in every sandbox
            return soft
        return wanted
    return FILES if soft == resource.RLIM_INFINITY else soft


def max_sessions(files: int) -> int:
    """How many sessions may be open at once: `SALIENCY_MAX_SESSIONS`, or what files and memory allow.

    Args:
        files: that the process may have open.

    Raises:
        ArgumentError: the setting is no number above 0.
    """
    given = os.environ.get(SETTING, "").strip()
    if given:
        if not given.isascii() or not given.isdigit() or not 0 < int(given[:10]) <= FILES:
            raise ArgumentError(f"{SETTING} is “{given}”. Expected a whole number from 1 to {FILES}.")
        return int(given)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if sys.platform == "linux" else 4 << 30
    by_files = (files - FILES_OF_SERVER) // FILES_PER_SESSION
    return max(1, min(MOST_SESSIONS, by_files, memory // 2 // BYTES_PER_SESSION))


def is_own_origin(headers: Headers, allowed: Iterable[str] = ()) -> bool:
    """Whether a request comes from a page of this app, or from one of the `allowed` origins.

    Behind a proxy the app's own address is in `X-Forwarded-Host`, which pages of other sites cannot set.
    Programs that are no browsers send no origin.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    site = _site(origin)
    named = [headers.get("host", ""), *headers.get("x-forwarded-host", "").split(",")]
    return bool(site) and (site in {name.strip().lower() for name in named} or origin in allowed)


def _site(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class Connections:
    """ASGI middleware: websockets of other sites are refused, and so is one more than `most`.

    Streamlit asks a server in the internet for this machine's address when it sees a foreign origin, and lets
    everybody wait for that; here it sees none. What a websocket sends is bounded, too.
    """

    def __init__(self, app: ASGIApp, *, most: int, live: "LiveSessions") -> None:
        self.app = app
        self.most = most
        self.live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "http" and self._is_page(scope) and self._full(scope):
            answer = HTMLResponse(
                busy_page(), 503, headers={"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"}
            )
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        # Streamlit's own setting; where it is off, Streamlit looks nothing up.
        if st.get_option("server.enableCORS"):
            if not is_own_origin(headers, st.get_option("server.corsAllowedOrigins")):
                log.warning("refused a websocket of another site: %.200r", headers["origin"])
                await send({"type": "websocket.close", "code": FOREIGN})
                return
            scope = _same_origin(scope, headers)
        if len(self.live) >= self.most:
            log.warning("refused a session: there are %d, as many as there may be", len(self.live))
            await send({"type": "websocket.close", "code": FULL})
            return
        visitor = _visitor(scope)
        self.live.add(visitor)
        try:
            await self.app(scope, *frames.checked(receive, send))
        finally:
            self.live.remove(visitor)

    @staticmethod
    def _is_page(scope: Scope) -> bool:
        path = scope["path"].rstrip("/").rpartition("/")[2]
        return path in _PAGES or scope["path"] == f"{base_path()}/"

    def _full(self, scope: Scope) -> bool:
        """Whether there is no room; a tab that is reloaded still has its place when it asks for the page.

        With HEAD, pages that are not connected ask whether there is room for one more tab (connection.js).
        """
        asks = scope["method"] == "HEAD"
        return len(self.live) >= self.most and (asks or _visitor(scope) not in self.live)


_PAGES = frozenset(entry.slug for entry in PAGES)


class LiveSessions:
    """The open websockets, by the browser that each belongs to."""

    def __init__(self) -> None:
        self._browsers: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._browsers.total()

    def __contains__(self, browser: object) -> bool:
        return browser != "" and browser in self._browsers

    def add(self, browser: str) -> None:
        """A websocket is open."""
        self._browsers[browser] += 1

    def remove(self, browser: str) -> None:
        """It is closed."""
        self._browsers[browser] -= 1
        self._browsers += Counter()  # without those that are zero


def base_path() -> str:
    """The path at which the app is served, without a slash at its end: "" or "/studio"."""
    return f"/{st.get_option('server.baseUrlPath').strip('/')}".rstrip("/")


def _visitor(scope: Scope) -> str:
    """What stays the same in a browser's cookie, which Streamlit writes in another way with every answer."""
    cookie = cookie_parser(Headers(scope=scope).get("cookie", "")).get(_COOKIE, "")
    token, _ = decode_xsrf_token_string(cookie)
    return cookie if token is None else token.hex()


def _same_origin(scope: Scope, headers: Headers) -> Scope:
    """The same request as Streamlit sees it if a page of the host that it names has made it."""
    if "origin" not in headers:
        return scope
    own = ("origin", f"{urlsplit(headers['origin']).scheme}://{headers.get('host', '')}")
    others = [header for header in scope["headers"] if header[0] != b"origin"]
    return {**scope, "headers": [*others, tuple(each.encode("latin-1") for each in own)]}


def busy_page() -> str:
    """A page without script that says that the server is full, and tries again."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{RETRY_SECONDS}"><title>Busy · {html.escape(PRODUCT)}</title>'
        f'<style>{theme.plain_style_sheet()}</style></head><body><main class="ng-alone">'
        f"{theme.icon()}<h1>{BUSY}</h1><p>{BUSY_ADVICE}</p></main></body></html>"
    )
