"""The status page for the operator and the metrics: who may see them, and how the page looks."""

import hmac
import html
import ipaddress
import os
import time
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from pages.shared import formats, metrics, status, theme
from pages.shared.connections import LiveSessions
from pages.shared.registry import PRODUCT
from pages.shared.status import ServerStatus
from saliency_core.engine.status import EngineStatus, Histogram, StoreStatus

TOKEN_SETTING = "SALIENCY_STATUS_TOKEN"
ADDRESS = "status"
REFRESH_SECONDS = 5
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDED = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-host"}
)
NOTHING = "–"


def may_see(request: Request) -> bool:
    """Whether the status is for who asks.

    With `SALIENCY_STATUS_TOKEN` set, for whoever sends it: as `Authorization: Bearer …` or as `?token=…`.
    Without it, for programs on this machine that name it and have come through no proxy.
    """
    token = os.environ.get(TOKEN_SETTING, "").strip()
    if token:
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        given = sent if scheme.lower() == "bearer" else request.query_params.get("token", "")
        return hmac.compare_digest(given.encode(), token.encode())
    if any(name in _FORWARDED or name.startswith("x-forwarded-") for name in request.headers):
        return False
    host = request.headers.get("host", "").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name in LOCAL_NAMES and request.client is not None and _is_loopback(request.client.host)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A server that listens to IPv6 sees IPv4's addresses inside IPv6's.
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def routes(live: LiveSessions, max_sessions: int) -> list[Route]:
    """The status page, and the metrics where `SALIENCY_METRICS` says so.

    Raises:
        ArgumentError: a setting that cannot be used.
    """

    def page(request: Request) -> Response:
        if not may_see(request):
            return PlainTextResponse("Not Found", 404)
        shown = status.now(live, max_sessions)
        return HTMLResponse(status_page(shown), headers={"Cache-Control": "no-store"})

    def prometheus(request: Request) -> Response:
        if os.environ.get(TOKEN_SETTING, "").strip() and not may_see(request):
            return PlainTextResponse("Not Found", 404)
        shown = status.now(live, max_sessions)
        return Response(metrics.text(shown), media_type=metrics.CONTENT_TYPE)

    found = [Route(f"/{ADDRESS}", page)]
    address = metrics.address()
    return found if address is None else [*found, Route(address, prometheus)]


# -- the page ------------------------------------------------------------------------------------------------


def status_page(shown: ServerStatus) -> str:
    """The page as HTML, without script; it asks for itself again every few seconds."""
    engine = shown.engine
    body = "".join(
        (
            _tiles(shown),
            '<p class="alarm" role="alert">The engine does not answer.</p>' if engine is None else "",
            '<div class="cards">',
            *(() if engine is None else _engine_cards(engine)),
            _process_card(shown),
            "" if engine is None else _errors(engine),
            "</div>",
        )
    )
    when = time.strftime("%d %B %Y, %H:%M:%S", time.localtime(shown.now)).lstrip("0")
    kind = "no engine" if engine is None else f"{_ENGINES.get(engine.kind, engine.kind)} on {engine.device}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        f"<title>Status · {html.escape(PRODUCT)}</title>"
        f'<link rel="icon" href="./assets/icon.svg" type="image/svg+xml"><style>{theme.plain_style_sheet()}'
        f"</style></head><body><main><header>{theme.icon()}<div><h1>Status</h1>"
        f"<p>{html.escape(kind)}, up for {duration(shown.uptime)}</p></div>"
        f"<time>{html.escape(when)}</time></header>{body}</main></body></html>"
    )


_ENGINES = {"local": "Local engine", "ray": "Ray Serve"}


def _tiles(shown: ServerStatus) -> str:
    engine = shown.engine
    tiles = [("Sessions", f"{shown.sessions:,}", f"of at most {shown.max_sessions:,}")]
    if engine is not None:
        waiting, running = (
            sum(values)
            for values in zip(*((each.waiting, each.running) for each in engine.queues), strict=True)
        )
        tiles.append(("Waiting", f"{waiting:,}", f"{running:,} running"))
        hits, asked = _hits(engine.stores)
        if asked:  # never where replicas count
            tiles.append(("Cache hits", f"{100 * hits / asked:.0f}%", f"{hits:,} of {asked:,} requests"))
        median, slow = status.quantile(engine.computed, 0.5), status.quantile(engine.computed, 0.95)
        tiles.append(("Computing takes", at_most(median), f"95% take {at_most(slow)}"))
    tiles.append(("Memory", formats.size(shown.memory), f"at most {formats.size(shown.peak)} so far"))
    written = "".join(
        f"<div><dt>{title}</dt><dd>{value}<small>{note}</small></dd></div>" for title, value, note in tiles
    )
    return f'<dl class="tiles">{written}</dl>'


def _hits(stores: Iterable[StoreStatus]) -> tuple[int, int]:
    """How many explanations were found in the cache, and how many were asked for."""
    found = [(each.hits, each.hits + each.misses) for each in stores if each.name == "answers"]
    return found[0] if found else (0, 0)


def _engine_cards(engine: EngineStatus) -> tuple[str, ...]:
    models = [
        (html.escape(each.name), formats.size(each.bytes), str(each.users) if each.users else NOTHING)
        for each in engine.models
    ]
    queues = [
        (
            html.escape(each.name.capitalize()),
            f"{each.waiting:,}",
            f"{each.max_waiting:,}",
            f"{each.running:,}",
        )
        for each in engine.queues
    ]
    stores = [
        (
            html.escape(each.name.capitalize()),
            f"{each.entries:,}",
            _filled(each.size, each.max_size, f"at most {each.max_size:,}" if each.counted else ""),
        )
        for each in engine.stores
    ]
    times = [
        (title, at_most(status.quantile(each, 0.5)), at_most(status.quantile(each, 0.95)), _mean(each))
        for title, each in (("Waited", engine.waited), ("Computed", engine.computed))
    ]
    note = (
        f"{engine.refused:,} refused as too many were waiting, {engine.dropped:,} replaced before their turn."
    )
    return (
        _card("Networks in memory", ("Network", "Size", "In use"), models, "No network is loaded."),
        _card("Queues", ("Queue", "Waiting", "At most", "Running"), queues, note=note),
        _card("Stores", ("Store", "Entries", "Size"), stores),
        _card("Seconds per explanation", ("", "Half", "95%", "Mean"), times),
    )


def _process_card(shown: ServerStatus) -> str:
    rows = [
        ("Uploaded photos", f"{shown.uploads:,}", _filled(shown.upload_bytes, shown.max_upload_bytes)),
        ("Threads", f"{shown.threads:,}", ""),
        ("Open files", f"{shown.files:,}", ""),
    ]
    return _card("Web process", ("", "Number", "Size"), rows)


def _errors(engine: EngineStatus) -> str:
    rows = [
        (
            f"<code>{html.escape(each.id)}</code>",
            f'<span class="wrap">{html.escape(each.kind)}</span>',
            time.strftime("%d %b, %H:%M", time.localtime(each.time)).lstrip("0"),
        )
        for each in reversed(engine.errors)
    ]
    note = "The log has the rest under the same id." if rows else ""
    return _card("Last errors", ("Id", "Kind", "When"), rows, "No errors since the start.", note)


def _card(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], empty: str = "", note: str = ""
) -> str:
    columns = "".join(f'<th scope="col">{each}</th>' if each else "<td></td>" for each in head)
    lines = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{each}</td>" for each in cells)}</tr>'
        for name, *cells in rows
    )
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table>"
    notes = f"<p>{note}</p>" if note else ""
    return f"<section><h2>{title}</h2>{table if rows else f'<p>{empty}</p>'}{notes}</section>"


def _filled(size: int, most: int, written: str = "") -> str:
    """A size in bytes, or what is `written`, and a bar that shows how much of its bound that is."""
    share = min(1.0, size / most) if most else 0.0
    text = f"<small>{written}</small>" if written else f"{formats.size(size)} <small>of {formats.size(most)}"
    return f'<span class="filled">{text}</small><i><b style="width: {100 * share:.1f}%"></b></i></span>'


def at_most(seconds: float | None) -> str:
    """An upper bound of seconds."""
    if seconds is None:
        return NOTHING
    return "longer" if seconds == float("inf") else f"≤ {seconds:g} s"


def _mean(seconds: Histogram) -> str:
    total = sum(seconds.counts)
    return f"{seconds.sum / total:.2f} s" if total else NOTHING


def duration(seconds: float) -> str:
    """Seconds in its two largest units: 3 d 4 h, 5 min 12 s."""
    rest, parts = int(seconds), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
