"""What the dialog of models asks the server for beside the runs of the page: searches, and a checkpoint.

A search answers while one types, and a checkpoint goes to the disk as it arrives: it is not held in memory.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import saliency_core as sc
from pages.shared import class_search, models, own_models
from pages.shared.engine import shared_engine
from pages.shared.own_models import OwnModels
from saliency_core.engine.failures import user_message
from saliency_core.engine.request import ModelListing
from saliency_core.models.weights.fitting import MisfitError

HEADER = "X-NormGrad-Session"
MAX_QUERY = 200
MAX_HITS = 50
MAX_JSON_BYTES = 2 * own_models.MAX_LABEL_BYTES
STRANGER = "This page has lost its session. Reload it and try again."
NOT_YOURS = "This network was uploaded in another session, and only that one can use it."
NOT_UNDERSTOOD = "The server did not understand the request. Reload the page and try again."
FOLDER = "On this server"
PROBLEMS = "Folders that give no model"
NOTHING = "No model has “{query}” in its name. Try a part of a name, such as “resnet” or “vit small”."
NO_CLASS = "No class has “{query}” in its name."
NOT_SHOWN = "The classes of this model are not at hand. Reload the page and try again."
ADDING = "Adding a network of one's own"
MORE = f"The first {MAX_HITS} are shown: type more to narrow them down."

_HUB = re.compile(r"^((https?://)?huggingface\.co/|hf[-_]hub:)?timm/", re.IGNORECASE)


def _answer(found: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(dict(found), status, headers={"Cache-Control": "no-store"})


def _refusal(error: Exception, what: str) -> Response:
    return _answer({"error": user_message(error, what)}, 200 if isinstance(error, sc.SaliencyError) else 500)


def _session(request: Request) -> OwnModels | None:
    return own_models.of_token(request.headers.get(HEADER, ""))


def _query(request: Request, name: str = "q") -> str:
    return request.query_params.get(name, "")[:MAX_QUERY].strip()


def _name_query(request: Request) -> str:
    """What to search for in names: without what other places write before timm's."""
    return _HUB.sub("", _query(request))


def _groups(found: tuple[ModelListing, ...], family: Callable[[ModelListing], str]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        groups.setdefault(family(each), []).append(models.row(each))
    return [{"title": title, "options": rows} for title, rows in groups.items()]


def found(request: Request) -> Response:
    """The models whose names have all words of the query; without one, those that are offered first."""
    query = _name_query(request)
    hits, folder = shared_engine().search(query, MAX_HITS), models.from_folder(query)
    served, problems = ([row for row in folder if row["problem"] is is_one] for is_one in (False, True))
    groups = _groups(hits, models.family if not query else lambda _: "Catalogue" if served else "")
    if served:
        groups.insert(0, {"title": FOLDER, "options": served})
    if problems:
        groups.append({"title": PROBLEMS, "options": problems})
    if not groups:
        near = [{"name": name, "title": models.title(name)} for name in models.similar(query)]
        return _answer({"groups": [], "note": NOTHING.format(query=_query(request)), "near": near})
    return _answer({"groups": groups, "note": MORE if query and len(hits) >= MAX_HITS else ""})


def architectures(request: Request) -> Response:
    """The architectures that a checkpoint can be put into, each once."""
    hits = shared_engine().search(_name_query(request), MAX_HITS)
    found: dict[str, dict[str, Any]] = {}
    for each in hits:
        name = models.parts(each.name)
        if name is not None and name.prefix in models.LIBRARIES:
            found.setdefault(name.base, {"name": name.base, "title": models.row(each)["title"]})
    options = list(found.values())
    return _answer({"groups": [{"title": "", "options": options}] if options else [], "note": ""})


def details(request: Request) -> Response:
    """All that is known of one model."""
    name, session = _query(request, "name"), _session(request)
    if models.is_own(name) and (session is None or name not in session):
        return _answer({"error": NOT_YOURS})
    try:
        return _answer(models.describe(models.look_up(name)))
    except Exception as error:
        return _refusal(error, f"Looking up the model {name!r}")


def classes(request: Request) -> Response:
    """The classes of a model on the page that a query finds."""
    model, session = _query(request, "model"), _session(request)
    if models.is_own(model) and (session is None or model not in session):
        return _answer({"groups": [], "note": NOT_YOURS})
    query = _query(request)
    hits = class_search.search(model, query)
    if hits is None:
        return _answer({"groups": [], "note": NOT_SHOWN})
    options = [{"name": str(index), "title": label} for index, label in hits]
    note = "" if hits else NO_CLASS.format(query=query)
    return _answer({"groups": [{"title": "", "options": options}] if options else [], "note": note})


async def upload(request: Request) -> Response:
    """Take a checkpoint, and say what it looks like."""
    session = _session(request)
    if session is None:
        return _answer({"error": STRANGER}, 403)
    taken = None
    try:
        taken = session.receive(_query(request, "name"))
        async for chunk in request.stream():
            taken.write(chunk)
        taken.end()
        guess = await run_in_threadpool(models.recognise, taken.path)
    except Exception as error:
        if taken is not None:
            taken.discard()
        if isinstance(error, ClientDisconnect):
            return Response(status_code=499)
        return _refusal(error, "Receiving a checkpoint")
    session.keep(taken)
    return _answer({"upload": taken.id, **guess})


async def own(request: Request) -> Response:
    """Make a model of the checkpoint that was sent before."""
    session = _session(request)
    if session is None:
        return _answer({"error": STRANGER}, 403)
    sent = bytearray()
    async for chunk in request.stream():
        sent += chunk
        if len(sent) > MAX_JSON_BYTES:
            return _answer({"error": NOT_UNDERSTOOD}, 413)
    order = _order(bytes(sent))
    if order is None:
        return _answer({"error": NOT_UNDERSTOOD}, 400)
    try:
        return _answer({"name": await run_in_threadpool(session.add, *order)})
    except MisfitError as error:
        fits = models.fitting(error.fitting)
        return _answer({"error": error.reason if fits else user_message(error, ADDING), "fits": fits})
    except Exception as error:
        return _refusal(error, ADDING)


def _order(sent: bytes) -> tuple[str, str, tuple[str, bytes] | None] | None:
    """The upload, the architecture and the file of labels that a request names; None if it is not sound."""
    try:
        found = json.loads(sent)
        upload, architecture, labels = found["upload"], found["architecture"], found["labels"]
        named = None if labels is None else (labels["name"], base64.b64decode(labels["data"]))
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    texts = (upload, architecture, *(named or ("",))[:1])
    return (upload, architecture, named) if all(isinstance(text, str) for text in texts) else None


def routes() -> list[Route]:
    """The addresses of these answers."""
    return [
        Route("/models/list", found),
        Route("/models/architectures", architectures),
        Route("/models/details", details),
        Route("/models/classes", classes),
        Route("/models/upload", upload, methods=["POST"]),
        Route("/models/own", own, methods=["POST"]),
    ]
