"""What the dialog Share asks the server for beside the runs of the page: what it offers, and the files.

A session gets files of what it shows itself and of nothing else. A file is made in the background: an answer
says how far it is until it is there, and once it has been handed out nothing of it stays.
"""

import asyncio
import contextlib
import json
import secrets
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import saliency_core as sc
from pages.shared import formats, share
from pages.shared.model_routes import HEADER, NOT_UNDERSTOOD, STRANGER
from pages.shared.own_models import OwnModel
from pages.shared.session import Session, Shown, of_token
from pages.shared.share import File, Kind, Order
from saliency_core.engine.tasks import Task, TaskQueue, TaskState
from saliency_core.progress import Cancelled, ProgressCallback
from saliency_core.viewer import schema
from saliency_core.viewer.html import is_link

MAX_JSON_BYTES = 64 << 10
MAX_JOBS = 3
"""Files that are made for one session at once; one more takes the place of the oldest."""
PATIENCE = 0.8
"""Seconds that an answer waits for a file before it says how far that is."""
NOTHING_SHOWN = (
    "No file can be made of what is on the screen now. If its maps are still being computed, open Share "
    "again once they are there; a table has a button of its own that saves it."
)
CHANGED = "The page has changed since this dialog was opened. Close it and open it again."
NOT_MADE = "The file was not made, as it was no longer asked for. Try again."

ABANDONED = 20.0
"""Seconds after which a file is made no further if nobody asks for it: its tab has been closed."""

_queue = TaskQueue(workers=2, max_waiting=64, max_ended=0)
_lock = threading.Lock()  # of _jobs


@dataclass(frozen=True)
class Made:
    """A file that has been made, and its name."""

    file: File
    name: str


class Job:
    """A file that is being made, as long as it is asked for."""

    def __init__(self, work: Callable[[ProgressCallback], Made], key: Hashable, title: str) -> None:
        self._work = work
        self._asked = time.monotonic()
        self.task: Task[Made] = _queue.submit(key, self._make, title=title)

    def ask(self) -> None:
        """Note that somebody waits for it."""
        self._asked = time.monotonic()

    def _make(self, progress: ProgressCallback) -> Made:
        def report(done: int, total: int) -> None:
            progress(done, total)
            if time.monotonic() - self._asked > ABANDONED:
                raise Cancelled

        return self._work(report)


_jobs: "WeakKeyDictionary[Session, OrderedDict[str, Job]]" = WeakKeyDictionary()


def _answer(found: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(dict(found), status, headers={"Cache-Control": "no-store"})


def _refusal(sentence: str, status: int) -> Response:
    return _answer({"error": sentence}, status)


def _session(request: Request) -> Session | None:
    return of_token(request.headers.get(HEADER, ""))


def listed(request: Request) -> Response:
    """What can be shared of what is on the screen."""
    session = _session(request)
    if session is None:
        return _refusal(STRANGER, 403)
    shown, remarks = session.viewer.shown, share.link_remarks(session)
    if shown is None:
        return _answer({"remarks": remarks, "error": NOTHING_SHOWN})
    kinds = [kind.written(shown) for kind in share.offered(shown)]
    return _answer({"page": shown.page, "subject": share.subject(shown), "remarks": remarks, "kinds": kinds})


async def make(request: Request) -> Response:
    """Make a file of what is on the screen."""
    session = _session(request)
    if session is None:
        return _refusal(STRANGER, 403)
    sent = bytearray()
    async for chunk in request.stream():
        sent += chunk
        if len(sent) > MAX_JSON_BYTES:
            return _refusal(NOT_UNDERSTOOD, 413)
    asked = _asked(bytes(sent))
    if asked is None:
        return _refusal(NOT_UNDERSTOOD, 400)
    shown = session.viewer.shown
    if shown is None:
        return _refusal(NOTHING_SHOWN, 409)
    kind = next((each for each in share.offered(shown) if each.name == asked["kind"]), None)
    if kind is None or (asked["page"], asked["mode"]) != (shown.page, shown.mode):
        return _refusal(CHANGED, 409)
    name = secrets.token_hex(16)
    try:
        work = _work(kind, shown, asked, session.own.get(shown.scene.model.name))
    except sc.SaliencyError as error:
        return _refusal(str(error), 409)
    started = Job(work, (session.token, name), f"Making the file {kind.name!r}")
    _keep(session, name, started)
    return await _result(request, session, name, started)


async def job(request: Request) -> Response:
    """A file that is being made: the file itself, or how far it is; DELETE stops it."""
    session = _session(request)
    if session is None:
        return _refusal(STRANGER, 403)
    name = request.query_params.get("job", "")
    with _lock:
        found = _jobs.get(session, OrderedDict()).get(name)
    if found is None:
        return _refusal(NOT_MADE, 404)
    if request.method == "DELETE":
        _drop(session, name)
        return Response(status_code=204)
    return await _result(request, session, name, found)


def _asked(sent: bytes) -> dict[str, Any] | None:
    """A request's fields; None if it is not sound."""
    try:
        found = json.loads(sent)
    except (ValueError, RecursionError):
        return None
    expected = {"kind": str, "page": str, "mode": str, "view": dict, "options": dict, "address": str}
    if not isinstance(found, dict):
        return None
    return found if all(isinstance(found.get(name), kind) for name, kind in expected.items()) else None


def _work(
    kind: Kind, shown: Shown, asked: Mapping[str, Any], own: OwnModel | None
) -> Callable[[ProgressCallback], Made]:
    """The computation that makes a file; everything that a request says is checked here."""
    layers = tuple(layer.name for layer in shown.explanation.layers)
    view: schema.View = {**shown.view, **schema.from_browser(asked["view"], layers)}
    if kind.draws:
        view = share.known_view(shown, view)
    options = {option.name: option.read(asked["options"].get(option.name)) for option in kind.options(shown)}
    address = _address(asked["address"])

    def work(progress: ProgressCallback) -> Made:
        file = kind.make(Order(shown, view, options, address, own, progress))
        return Made(file, share.file_name(shown, file))

    return work


def _address(given: str) -> str:
    """An address that may stand in a file, or nothing."""
    return given if len(given) <= share.MAX_ADDRESS and is_link(given) else ""


def _keep(session: Session, name: str, started: Job) -> None:
    with _lock:
        jobs = _jobs.setdefault(session, OrderedDict())
        jobs[name] = started
        gone = [jobs.popitem(last=False)[1] for _ in range(len(jobs) - MAX_JOBS)]
    for each in gone:
        each.task.cancel()


def _drop(session: Session, name: str) -> None:
    with _lock:
        dropped = _jobs.get(session, OrderedDict()).pop(name, None)
    if dropped is not None:
        dropped.task.cancel()


async def _result(request: Request, session: Session, name: str, asked: Job) -> Response:
    """The file if it is there within a moment, else how far it is."""
    asked.ask()
    task = asked.task
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(ended.set)

    task.when_ended(wake)
    try:
        await asyncio.wait_for(ended.wait(), PATIENCE)
    except TimeoutError:
        if await request.is_disconnected():
            _drop(session, name)
        words = formats.time_left(task.seconds_left) if task.fraction else ""
        return _answer({"job": name, "fraction": task.fraction, "words": words}, 202)
    _drop(session, name)
    made = task.result
    if task.state is TaskState.FAILED:
        return _refusal(task.error or NOT_MADE, 422)
    if made is None:
        return _refusal(NOT_MADE, 409)
    headers = {"Content-Disposition": disposition(made.name), "Cache-Control": "no-store"}
    return Response(made.file.data, media_type=made.file.media_type, headers=headers)


def disposition(name: str) -> str:
    """The header that names a file, also for those who read ASCII only (RFC 6266 and 5987)."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def routes() -> list[Route]:
    """The addresses of these answers."""
    return [
        Route("/share/list", listed),
        Route("/share/make", make, methods=["POST"]),
        Route("/share/job", job, methods=["GET", "DELETE"]),
    ]
