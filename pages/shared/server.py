"""The web server around the pages: warm-up, security headers, the page shell and the fonts."""

import asyncio
import base64
import gc
import hashlib
import html
import importlib
import logging
import re
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.shared import (
    component_state,
    connections,
    departed,
    model_routes,
    reruns,
    share_routes,
    state_folder,
    status_routes,
    theme,
)
from pages.shared.connections import Connections, LiveSessions, base_path
from pages.shared.embedding import frame_ancestors
from pages.shared.registry import ASSETS, HOME, PAGES, PAGES_FOLDER, PRODUCT, ROOT
from saliency_core.errors import SaliencyError
from saliency_core.viewer.bundle import FONTS

log = logging.getLogger(__name__)

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_CLOSED = frozenset({"_stcore/metrics"})  # open to everyone by default; it shows how the app is used


SWEEP_SECONDS = 600.0
SHUTDOWN_SECONDS = 5
LAZY = ("pandas", "plotly.graph_objects", "pyarrow.compute", "streamlit.material_icon_names")
"""What Streamlit and the pages import only when they first need it: two sessions at once, and Python gives
one of them a module that is imported in part."""
LAZY_LOCALLY = ("timm", "torch._dynamo", "torchvision", "saliency_core.engine.local")
"""What the engine of this process imports so."""
FREED_BYTES = 31 << 20
"""Below 32 MB, the limit up to which the GNU C library raises its thresholds by itself."""


def keep_freed_blocks() -> None:
    """Make the C library keep freed blocks for the next pass instead of returning them each time.

    The kernel faults in and zeroes fresh memory page by page, which for large tensors takes as long as the
    arithmetic on them. The GNU library keeps blocks as large as the largest that it has mapped and freed, up
    to 32 MB; this shows it one, which is never written to.
    """
    np.empty(FREED_BYTES, np.uint8)


live = LiveSessions()
"""The browser tabs that are open."""


@dataclass(frozen=True)
class Settings:
    """What the environment says, checked."""

    max_sessions: int


@cache
def _settings() -> Settings:
    return Settings(connections.max_sessions(connections.raise_file_limit()))


def prepare() -> None:
    """Check the settings, and take possession of the state folder, before anything is served.

    Raises:
        ArgumentError: a setting that cannot be used.
    """
    _settings()
    state_folder.shared()
    component_state.guard()


def preload() -> None:
    """Import and read all that a run needs, in one thread: the first two visitors must not race for it."""
    for file in sorted(PAGES_FOLDER.rglob("*.py")):
        scripts = ("page.py", "main.py") if file.parent != PAGES_FOLDER else (file.name,)
        if file.name not in scripts:
            parts = file.relative_to(ROOT).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    reruns.guard()
    engine = importlib.import_module("pages.shared.engine")
    for name in (*LAZY, *(LAZY_LOCALLY if engine.cluster_address() is None else ())):
        importlib.import_module(name)
    photos = importlib.import_module("pages.shared.photos")
    for name in photos.sample_files():
        photos.sample(name)


def warm_up() -> None:
    """Load the default model and explain the default sample, so that the first visitor finds both."""
    from pages.shared import models, photos
    from pages.shared.address import Choice
    from pages.shared.engine import cluster_address, shared_engine
    from pages.shared.scene import request_of

    try:
        if cluster_address() is None:
            keep_freed_blocks()
        photo = photos.default_photo()
        shared_engine().explain(request_of(Choice(), photo.file.digest), photo.image)
        models.look_up(Choice().model)
    # The page will show the same error; the server must start all the same.
    except SaliencyError as error:
        log.warning("The warm-up failed; the first page will try again: %s", error)
    except Exception:
        log.exception("The warm-up failed; the first page will try again.")
    # Objects that exist now stay: later collections need not visit torch's half a million objects.
    gc.collect()
    gc.freeze()


def on_script_error(error: Exception) -> bool:
    """Handle what no page has caught, as in a widget's callback: log it, and show it without a traceback."""
    from saliency_core.engine.failures import user_message

    theme.failure(user_message(error, "A run of the script"))
    return True


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Import everything; then load the model beside the server, which answers health checks meanwhile."""
    preload()
    bound_shutdown()
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    forgetting = asyncio.create_task(departed.forget_from_time_to_time())
    ended = threading.Event()
    threading.Thread(target=sweep, args=(ended,), name="sweep", daemon=True).start()
    try:
        yield {}
    finally:
        forgetting.cancel()
        ended.set()
        state_folder.close()


def sweep(ended: threading.Event) -> None:
    """Remove what nobody uses any more from the state folder, now and from time to time."""
    from pages.shared import photos, uploads

    while True:
        photos.upload_files().sweep()
        uploads.note_held()
        if ended.wait(SWEEP_SECONDS):
            return


def bound_shutdown() -> None:
    """Make the server end some seconds after it was asked to, whatever requests do not come to an end.

    Streamlit starts uvicorn without such a bound, which would wait for ever for a file that never arrives.
    """
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(owner, uvicorn.Server):
        owner.config.timeout_graceful_shutdown = SHUTDOWN_SECONDS


def _shell() -> str:
    """Streamlit's page with this product's title, icon and style, so that Streamlit's own never flash up."""
    shell = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    shell = shell.replace("<title>Streamlit</title>", f"<title>{html.escape(PRODUCT)}</title>")
    shell = shell.replace('href="./favicon.png"', 'href="./assets/icon.svg" type="image/svg+xml"')
    # Left alone, Streamlit looks for its server below the page's own path first: two failed requests.
    scripts = f'<script>{_BASE_SCRIPT}</script><script type="module" src="./assets/{_CONNECTION}"></script>'
    shell = shell.replace("<head>", f"<head>{scripts}", 1)
    # Behind everything that Streamlit writes into the head: of rules with the same weight the last one wins.
    shell = shell.replace("</body>", f"<style>{theme.style_sheet()}</style></body>", 1)
    # Streamlit preloads its own font, which this theme does not use.
    return re.sub(r'<link\s+rel="preload"\s+href="[^"]*SourceSans[^>]*>', _FONT_PRELOAD, shell)


_CONNECTION = "connection.js"
# A relative `<base>`, as in the shell of an unknown address, must not follow the address to other pages.
_BASE_SCRIPT = (
    'const base = new URL(".", document.baseURI).href;'
    'document.querySelector("base")?.setAttribute("href", base);'
    "window.__streamlit = { BACKEND_BASE_URL: base, MAIN_PAGE_BASE_URL: base };"
    # Both from the first paint on; pages/shared/components_web/lecture.js switches lecture mode later.
    "const root = document.documentElement, query = new URLSearchParams(location.search);"
    'const asked = (name) => ["1", "true"].includes(query.get(name)?.toLowerCase());'
    'for (const name of ["present", "embed"]) root.toggleAttribute(`data-${name}`, asked(name));'
    # Streamlit knows one way to write it.
    'if (asked("embed") && query.get("embed") !== "true") { query.set("embed", "true");'
    ' history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`); }'
)
_FONT_PRELOAD = (
    '<link rel="preload" href="./assets/fonts/inter-latin-wght-normal.woff2"'
    ' as="font" type="font/woff2" crossorigin />'
)


def content_security_policy(shell: str) -> str:
    """The policy under which the pages run; the shell's own inline scripts are admitted by their hashes.

    `blob:` scripts are how Streamlit loads the code of components, inline styles how it themes the page.
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(shell))
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' blob: {hashes}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' ws: wss: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {frame_ancestors()}",
        )
    )


class SecurityHeaders:
    """ASGI middleware: headers for every answer, and no answer at blocked addresses."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self.app = app
        self.headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self.headers]
            await send(message)

        app = Response(status_code=404) if _below_base(scope["path"]) in _CLOSED else self.app
        await app(scope, receive, send_with_headers)


class UnknownAddresses:
    """ASGI middleware: an address at which there is no page is answered with 404 and the app all the same.

    Streamlit answers every such address with its own page and 200, and with one that finds its scripts only
    at the top level; the app, once it runs, says in its own words that there is no such page.
    """

    def __init__(self, app: ASGIApp, shell: str) -> None:
        self.app = app
        self.shell = shell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = "" if scope["type"] != "http" else _below_base(scope["path"])
        if not inner or inner in _ADDRESSES or inner.endswith("/"):
            await self.app(scope, receive, send)
            return
        fallback = False

        async def send_unless_page(message: Message) -> None:
            nonlocal fallback
            if message["type"] == "http.response.start":
                headers = {name.lower(): value for name, value in message.get("headers", ())}
                page = headers.get(b"content-type", b"").startswith(b"text/html")
                # A web page to be saved is none of Streamlit's.
                fallback = page and message["status"] == 200 and b"content-disposition" not in headers
            if not fallback:
                await send(message)

        await self.app(scope, receive, send_unless_page)
        if fallback:
            depth = inner.count("/")
            base = f'<head><base href="{"../" * depth}">' if depth else "<head>"
            shell = self.shell.replace("<head>", base, 1)
            response = HTMLResponse(shell, 404, headers={"Cache-Control": "no-cache"})
            await response(scope, receive, send)


_ADDRESSES = frozenset({*(entry.slug for entry in PAGES), status_routes.ADDRESS})


def _below_base(path: str) -> str:
    """A request's path below the one at which the app is served, without the slash at its start."""
    return path.removeprefix(f"{base_path()}/")


def middleware() -> list[Middleware]:
    """The middleware that app.py puts around Streamlit."""
    shell = _shell()
    return [
        Middleware(SecurityHeaders, policy=content_security_policy(shell)),
        Middleware(Connections, most=_settings().max_sessions, live=live),
        Middleware(UnknownAddresses, shell=shell),
    ]


def routes() -> list[BaseRoute]:
    """The root's redirect, the shell of every page, and the files that the shell and the theme ask for."""
    shell = _shell()

    def page(_request: Request) -> Response:
        return HTMLResponse(shell, headers={"Cache-Control": "no-cache"})

    def root(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"./{HOME.slug}{query}")

    def icon(_request: Request) -> Response:
        return FileResponse(ASSETS / "icon.svg", media_type="image/svg+xml")

    def connection(_request: Request) -> Response:
        return FileResponse(ASSETS / _CONNECTION, media_type="text/javascript")

    own = [
        Route("/", root),
        *(Route(f"/{entry.slug}", page) for entry in PAGES),
        Route(f"/assets/{_CONNECTION}", connection),
        Route("/assets/icon.svg", icon),
        *model_routes.routes(),
        *share_routes.routes(),
        *status_routes.routes(live, _settings().max_sessions),
    ]
    base = base_path()
    # Not one mount for all: it would answer for Streamlit's own addresses as well.
    below = [Route(base + route.path, route.endpoint, methods=list(route.methods or ())) for route in own]
    return [*below, Mount(f"{base}/assets/fonts", StaticFiles(directory=FONTS))]
