"""The dialog Share without a browser: who gets a file, of what and under which name; each kind opens."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette

import saliency_core as sc
from pages.shared import model_routes, photos, share, share_routes
from pages.shared.address import Choice
from pages.shared.engine import distinct_labels, shared_engine
from pages.shared.registry import PAGES, entry_of
from pages.shared.scene import request_of
from pages.shared.server import UnknownAddresses
from pages.shared.session import Scene, Session, Shown
from pages.shared.share import File, Kind, Order
from saliency_core.viewer import schema
from saliency_core.viewer.payload import ClassComparison

ODD = '猫 <b>"cat" \r\n;%..\\x=1.png'
SECONDS = 30.0
APP = UnknownAddresses(Starlette(routes=share_routes.routes()), shell="<head>")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def name(self) -> str:
        """The name under which a browser saves it."""
        encoded = re.search(r"filename\*=UTF-8''(\S+)$", self.headers["content-disposition"])
        assert encoded is not None
        return unquote(encoded[1])


def ask(path: str, token: str, body: bytes | None = None, *, method: str = "", **query: str) -> Answer:
    """What the server answers to a request, as a browser would get it."""
    head: dict[str, Any] = {}
    sent: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message: Any) -> None:
        head.update(message if message["type"] == "http.response.start" else {})
        sent.append(message.get("body", b""))

    scope = {
        "type": "http",
        "method": method or ("GET" if body is None else "POST"),
        "path": path,
        "query_string": urlencode(query).encode(),
        "headers": [(model_routes.HEADER.lower().encode(), token.encode())],
    }
    # In a thread of its own: the browser of other tests may have an event loop in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, APP(scope, receive, send)).result()  # type: ignore[arg-type]
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in head["headers"]}
    return Answer(head["status"], headers, b"".join(sent))


@cache
def scene() -> Scene:
    photo = photos.default_photo()
    request = request_of(Choice(), photo.file.digest)
    explanation = shared_engine().explain(request, photo.image)
    info = shared_engine().load(Choice().model).value()
    answered = replace(request, target=explanation.target)
    return Scene(photos.default_sample(), answered, info, photo.shown, photo.image, explanation)


@cache
def comparison() -> ClassComparison:
    other = shared_engine().explain(replace(scene().request, target=285), scene().image)
    return ClassComparison(other, "normgrad", distinct_labels(scene().model.labels))


_sessions: list[Session] = []
"""A session is forgotten once nobody holds it."""


@pytest.fixture(autouse=True)
def sessions() -> Iterator[None]:
    yield
    _sessions.clear()


def session_on(slug: str = "compare", **changes: Any) -> Session:
    """A session that shows a page; the viewers' modes are named after their pages."""
    current = Session(Choice())
    _sessions.append(current)
    current.viewer.enter(entry_of(slug))
    view = {**schema.DEFAULTS, "layer": "blocks.3"}
    shown = Shown(slug, slug, scene(), scene().explanation, view, {})
    if slug == "classes":
        shown = replace(shown, comparison=comparison())
    current.viewer.shown = replace(shown, **changes)
    return current


def order(kind: str, slug: str = "compare", /, **changes: Any) -> bytes:
    """What the dialog sends to have a file made."""
    asked = {"kind": kind, "page": slug, "mode": slug, "view": {}, "options": {}, "address": ""}
    return json.dumps({**asked, **changes}).encode()


def made(current: Session, kind: str, slug: str = "compare", **changes: Any) -> Answer:
    """The file, waited for as the dialog waits."""
    answer = ask("/share/make", current.token, order(kind, slug, **changes))
    while answer.status == 202:
        answer = ask("/share/job", current.token, job=answer.json["job"])
    return answer


def assert_opens(answer: Answer) -> None:
    """The file is what its name says."""
    assert answer.status == 200, answer.body
    suffix, data = answer.name.rpartition(".")[2], answer.body
    if suffix == "png":
        Image.open(io.BytesIO(data)).verify()
    elif suffix == "gif":
        assert Image.open(io.BytesIO(data)).n_frames == len(scene().explanation.layers)
    elif suffix == "svg":
        assert ElementTree.fromstring(data).tag.endswith("svg")
    elif suffix == "npz":
        assert sc.load_maps(io.BytesIO(data)).methods == scene().explanation.methods
    elif suffix == "csv":
        assert len(data.decode("utf-8-sig").splitlines()) > 5
    elif suffix == "py":
        compile(data, answer.name, "exec")
    elif suffix == "html":
        assert b"Content-Security-Policy" in data
    else:
        assert suffix == "pdf"
        assert data.startswith(b"%PDF")


@pytest.mark.parametrize("slug", [entry.slug for entry in PAGES])
def test_every_kind_of_file_of_a_page_opens_whatever_is_chosen(slug: str) -> None:
    current = session_on(slug)
    of_one_page = {"compare": ("film", "data", "code"), "classes": ("data", "code")}
    for kind in ask("/share/list", current.token).json["kinds"]:
        if kind["name"] not in ("page", "picture", *of_one_page.get(slug, ())):
            continue  # films and code have tests of their own
        tried: list[dict[str, str]] = [{}]
        for option in kind["options"]:
            same = slug != "compare" and option["name"] in ("format", "paper")  # on every page
            choices = () if same else option.get("choices", ())
            tried += [{option["name"]: choice["name"]} for choice in choices]
        # The other films differ in their frames alone.
        for options in [{"over": "depth"}] if kind["name"] == "film" else tried:
            smallest = {"format": "png1"} if kind["name"] == "picture" else {}
            assert_opens(made(current, kind["name"], slug, options=smallest | options))


def test_a_file_is_made_of_the_view_that_the_browser_shows_in_this_moment() -> None:
    live = {"left": "gradient", "layer": "blocks.5", "opacity": 0.4, "colormap": "viridis"}
    picture = {"figure": "pair", "format": "png1"}
    answer = made(session_on(), "picture", view=live, options=picture)
    expected = sc.figure(scene().explanation, "pair", photo=scene().photo, **live)
    assert answer.body == expected.to_bytes("png", 1)
    hostile = {"left": "no method", "layer": ["x"], "opacity": 1e9, "weights": "1", "unknown": 1}
    assert made(session_on(), "picture", view=hostile, options=picture).status == 200


def test_a_mix_is_drawn_with_the_weights_of_the_browser() -> None:
    layers = [layer.name for layer in scene().explanation.layers]
    weights = [float(i == 2) for i in range(len(layers))]
    picture = {"figure": "panel", "format": "png1"}
    view = {"weights": dict(zip(layers, weights, strict=True))}
    answer = made(session_on("mix"), "picture", "mix", view=view, options=picture)
    expected = sc.figure(
        scene().explanation, "panel", photo=scene().photo, mixed=True, weights=weights, layer="blocks.3"
    )
    assert answer.body == expected.to_bytes("png", 1)


def test_nobody_gets_anything_with_another_token() -> None:
    current = session_on()
    for token in ("", "0" * 32, current.token[:-1]):
        assert ask("/share/list", token).status == 403
        assert ask("/share/make", token, order("data")).status == 403
        assert ask("/share/job", token, job="x").status == 403
    assert ask("/share/list", current.token).json["page"] == "compare"


@pytest.mark.parametrize(
    "changes", [{"page": "mix"}, {"mode": "mix"}, {"kind": "unknown"}, {"kind": "", "page": ""}]
)
def test_what_is_not_on_the_screen_is_refused_with_a_sentence(changes: dict[str, str]) -> None:
    answer = ask("/share/make", session_on().token, order("data", **changes))
    assert (answer.status, answer.json["error"]) == (409, share_routes.CHANGED)


def test_while_nothing_is_shown_there_are_remarks_on_the_link_alone() -> None:
    current = session_on()
    current.viewer.leave()
    listed = ask("/share/list", current.token).json
    assert listed == {"remarks": [share.ONLY_HERE], "error": share_routes.NOTHING_SHOWN}
    assert ask("/share/make", current.token, order("data")).status == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no JSON", 400),
        (b"[]", 400),
        (b'{"kind": "data"}', 400),
        (order("data", view=[]), 400),
        (order("data", options="x"), 400),
        (b"[" * 60_000, 400),
        (order("data", address="x" * share_routes.MAX_JSON_BYTES), 413),
    ],
)
def test_a_request_that_is_not_sound_is_refused(body: bytes, status: int) -> None:
    answer = ask("/share/make", session_on().token, body, method="POST")
    assert (answer.status, answer.json["error"]) == (status, model_routes.NOT_UNDERSTOOD)


def test_a_method_without_maps_is_named_instead_of_left_out() -> None:
    answer = ask("/share/make", session_on().token, order("picture", view={"right": "rise"}))
    assert answer.status == 409
    assert answer.json["error"].startswith("RISE has no maps yet.")


def test_an_odd_file_name_gives_a_name_that_every_system_takes_and_a_header_of_one_line() -> None:
    photo = replace(scene().photo, name=ODD)
    current = session_on(scene=replace(scene(), key="upload-x", photo=photo))
    answer = made(current, "data", options={"what": "layers"})
    assert answer.name == "normgrad-猫-b-cat-x-1-ladybug-compare-layers.csv"
    header = answer.headers["content-disposition"]
    assert header.startswith('attachment; filename="normgrad-')
    assert header.isascii()
    text = made(current, "page").body.decode()
    assert "<b>" not in text.partition("<script")[0]


def test_the_dialog_says_that_an_uploaded_photo_is_part_of_a_file_and_which_copy_of_it() -> None:
    photo = replace(scene().photo, original_size=(8000, 5000), width=1280, height=800)
    listed = ask("/share/list", session_on(scene=replace(scene(), key="upload-x", photo=photo)).token).json
    said = {kind["name"]: kind["photo"] for kind in listed["kinds"]}
    assert (
        said["page"]
        == f"{share.YOUR_PHOTO} It is a smaller copy of 1280 × 800 pixels: yours has 8000 × 5000."
    )
    assert said["picture"] == share.YOUR_PHOTO
    assert said["data"] == share.NO_PHOTO
    sample = ask("/share/list", session_on().token).json
    assert {kind["photo"] for kind in sample["kinds"]} == {""}


def test_a_web_page_has_its_title_and_names_only_an_address_of_the_web() -> None:
    title = {"title": "</script><img src=x onerror=alert(1)>" + "x" * 500, "caption": "ε"}
    for address, written in (("https://example.org/compare?a=1&b=2", True), ("javascript:alert(1)", False)):
        text = made(session_on(), "page", options=title, address=address).body.decode()
        assert ("made at" in text) is written
        assert "<img src=x" not in text
        assert "javascript:alert" not in text
        assert "x" * 200 not in text.partition("</title>")[0]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[bool]]:
    """A kind of file that is made once the event is set, and notes whether it was made to the end."""
    go, finished = threading.Event(), list[bool]()

    def make(asked: Order) -> File:
        asked.progress(1, 4)
        assert go.wait(SECONDS)
        asked.progress(2, 4)
        finished.append(True)
        return File(b"done", "text/plain", ".txt")

    kind = Kind("slow", "Slow", "", make, photo=lambda _: "")
    monkeypatch.setattr(share, "offered", lambda _: [kind])
    monkeypatch.setattr(share_routes, "PATIENCE", 0.01)
    return go, finished


def test_what_takes_long_says_how_far_it_is_and_is_handed_out_once(
    slow: tuple[threading.Event, list[bool]],
) -> None:
    go, _ = slow
    current, stranger = session_on(), session_on()
    answer = ask("/share/make", current.token, order("slow"))
    while answer.json["fraction"] == 0:
        answer = ask("/share/job", current.token, job=answer.json["job"])
    job = answer.json["job"]
    assert (answer.status, answer.json["fraction"]) == (202, 0.25)
    assert ask("/share/job", stranger.token, job=job).status == 404
    go.set()
    while (answer := ask("/share/job", current.token, job=job)).status == 202:
        pass
    assert (answer.status, answer.body) == (200, b"done")
    assert ask("/share/job", current.token, job=job).status == 404


def test_a_file_that_is_no_longer_wanted_is_not_made_to_the_end(
    slow: tuple[threading.Event, list[bool]],
) -> None:
    go, finished = slow
    current = session_on()
    jobs = [
        ask("/share/make", current.token, order("slow")).json["job"] for _ in range(share_routes.MAX_JOBS + 1)
    ]
    assert ask("/share/job", current.token, job=jobs[0]).status == 404  # the fourth took its place
    assert ask("/share/job", current.token, method="DELETE", job=jobs[1]).status == 204
    go.set()
    for job in jobs[2:]:
        while ask("/share/job", current.token, job=job).status == 202:
            pass
    assert len(finished) == 2


def test_a_file_that_nobody_asks_for_any_more_is_not_made_to_the_end(
    slow: tuple[threading.Event, list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    go, finished = slow
    current = session_on()
    job = ask("/share/make", current.token, order("slow")).json["job"]
    monkeypatch.setattr(share_routes, "ABANDONED", -1.0)
    go.set()
    while (answer := ask("/share/job", current.token, job=job)).status == 202:
        pass
    assert (answer.status, answer.json["error"], finished) == (409, share_routes.NOT_MADE, [])


@pytest.mark.parametrize("error", [sc.ArgumentError("A sentence."), ZeroDivisionError("secret")])
def test_an_error_is_a_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Order) -> File:
        raise error

    monkeypatch.setattr(share, "offered", lambda _: [Kind("bad", "Bad", "", fail, photo=lambda _: "")])
    answer = made(session_on(), "bad")
    assert answer.status == 422
    assert answer.json["error"] == "A sentence." or "report error" in answer.json["error"]
    assert "secret" not in answer.json["error"]


def test_the_maps_of_both_classes_are_in_the_arrays() -> None:
    answer = made(session_on("classes"), "data", "classes")
    with np.load(io.BytesIO(answer.body)) as arrays:
        for prefix, explanation in (("", scene().explanation), ("other/", comparison().other)):
            values = arrays[f"{prefix}maps/normgrad/blocks.4"]
            np.testing.assert_array_equal(values, explanation.map("normgrad", "blocks.4"))


def test_an_address_that_leads_nowhere_is_left_out_of_the_page() -> None:
    for address in ("http://", "http://[::1", "https:nothing", "http://\ud800/"):
        answer = made(session_on(), "page", address=address)
        assert answer.status == 200
        assert "made at" not in answer.body.decode()


def test_data_and_python_do_not_wait_for_the_maps_of_a_method_that_was_only_chosen() -> None:
    view = {"left": "occlusion"}
    assert made(session_on(), "picture", view=view).status == 409
    assert_opens(made(session_on(), "data", view=view))
    code = made(session_on(), "code", view=view)
    assert_opens(code)
    assert b'methods=["occlusion"' in code.body.replace(b"\n", b"").replace(b"    ", b"")
