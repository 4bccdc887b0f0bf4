"""Files of a Hugging Face hub, from a real server on the loopback that answers as the hub does."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch

import saliency_core as sc
from saliency_core.models.weights import web
from saliency_core.models.weights.checkpoint import read_checkpoint
from saliency_core.models.weights.hub import HubFile
from saliency_core.progress import Cancelled

STATE = {"weight": torch.arange(1 << 17, dtype=torch.float32)}
CONTENT = safetensors.torch.save(STATE)  # half a megabyte: several chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef" * 2 + "01234567"
ERRORS = {
    "gated": (401, "GatedRepo"),
    "asked": (403, "GatedRepo"),
    "none": (401, "RepoNotFound"),
    "empty": (404, "EntryNotFound"),
    "mirrored": (404, None),
    "busy": (503, None),
    "limited": (429, None),
}


@dataclass
class Hub:
    """What the two servers of one hub know: where they are, and what they were asked."""

    endpoint: str = ""
    cdn: str = ""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Authorization of each request."""
    release: threading.Event = field(default_factory=threading.Event)
    """Lets go of the connections that are kept open without a word."""
    more: threading.Event = field(default_factory=threading.Event)
    """Lets the server of large files send the second half of a slow one."""


class Answers(BaseHTTPRequestHandler):
    """The routes of the hub that a download takes, and those of the server where large files lie."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append((self.command, self.path, self.headers["Authorization"]))
        match self.path.split("/"):
            case ["", "cdn", kind]:
                self.send_large_file(kind)
            case ["", "org", repo, "resolve", revision, filename]:
                self.resolve(repo, revision, filename)
            case _:
                self.refuse(404, "RepoNotFound")

    def resolve(self, repo: str, revision: str, filename: str) -> None:
        if repo in ERRORS and self.headers["Authorization"] != "Bearer hf_good":
            self.refuse(*ERRORS[repo])
        elif revision not in ("main", "v1"):
            self.refuse(404, "RevisionNotFound")
        elif filename != ("pytorch_model.bin" if repo == "old" else "model.safetensors"):
            self.refuse(404, "EntryNotFound")
        elif repo == "renamed":
            self.send_response(307)
            self.send_header("Location", f"/org/net/resolve/{revision}/{filename}")
            self.end_headers()
        elif repo == "page":  # of a network that wants a password first
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><title>Welcome</title>")
        elif repo == "hanging":
            self.hub.release.wait(60)
        else:
            wrong = repo in ("damaged", "small")
            self.send_response(200 if repo == "small" else 302)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header(
                "ETag" if repo == "small" else "X-Linked-Etag", f'"{"0" * 64 if wrong else DIGEST}"'
            )
            if repo != "unannounced":
                self.send_header("X-Linked-Size", str(len(CONTENT)))
            if repo == "ftp":
                self.send_header("Location", "ftp://127.0.0.1/file")
            elif repo != "small":
                self.send_header("Location", f"{self.hub.cdn}/cdn/{repo}")
            self.end_headers()
            if repo == "small":
                self.wfile.write(CONTENT)

    def send_large_file(self, kind: str) -> None:
        if kind == "expired":
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{"f" * 64}"')  # another kind of sum
        if kind not in ("endless", "unannounced"):
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.command == "HEAD":
            return
        match kind:
            case "endless" | "unannounced":
                while True:
                    self.wfile.write(CONTENT)
            case "cut":
                self.wfile.write(CONTENT[: len(CONTENT) // 2])
            case "silent":
                self.wfile.write(CONTENT[:1000])
                self.hub.release.wait(60)
            case "slow":
                self.wfile.write(CONTENT[: len(CONTENT) // 2])
                assert self.hub.more.wait(60)
                self.wfile.write(CONTENT[len(CONTENT) // 2 :])
            case _:
                self.wfile.write(CONTENT)

    def refuse(self, status: int, code: str | None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        with suppress(ConnectionError):  # of a client that has left
            super().handle()

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Hub]:
    known = Hub()
    handler = type("Handler", (Answers,), {"hub": known})
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as hub,
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as cdn,
    ):
        for server in (hub, cdn):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        known.endpoint = f"http://127.0.0.1:{hub.server_port}"
        known.cdn = f"http://127.0.0.1:{cdn.server_port}"
        yield known
        known.release.set()
        hub.shutdown()
        cdn.shutdown()


@pytest.fixture
def hub(servers: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The servers as this process's hub, with an empty cache of huggingface_hub."""
    for name in [*os.environ]:
        if name.startswith("HF_") or name.lower().endswith("_proxy") or name == "TRANSFORMERS_OFFLINE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", servers.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    servers.asked.clear()
    return servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def host(address: str) -> str:
    return address.removeprefix("http://")


def test_a_file_is_fetched_with_its_progress_and_the_second_time_no_server_is_asked(
    hub: Hub, folder: Path
) -> None:
    source = HubFile("org/net", download_bytes=len(CONTENT))
    steps: list[tuple[int, int | None]] = []
    assert not source.is_local(folder)
    path = source.path(folder, lambda received, expected: steps.append((received, expected)))
    assert path == folder / "org--net.safetensors" == folder / source.file_name
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [received for received, _ in steps] == sorted(received for received, _ in steps)
    assert [(method, path) for method, path, _ in hub.asked] == [
        ("GET", "/org/net/resolve/main/model.safetensors"),
        ("GET", "/cdn/net"),
    ]
    hub.asked.clear()
    assert source.is_local(folder)
    assert source.path(folder) == path
    assert hub.asked == []
    assert [each.name for each in folder.iterdir()] == ["org--net.safetensors"]


def test_where_there_is_no_safetensors_file_the_pickled_one_is_taken_and_read_as_tensors_alone(
    hub: Hub, folder: Path
) -> None:
    path = HubFile("org/old").path(folder)
    assert path.name == "org--old.bin"
    assert HubFile("org/old").path(folder) == path
    assert torch.equal(read_checkpoint(path)["weight"], STATE["weight"])  # the content counts, not the name
    torch.save(STATE, path)
    assert torch.equal(read_checkpoint(path)["weight"], STATE["weight"])


def test_a_file_that_huggingface_hub_has_fetched_is_used_unless_it_is_damaged(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = huggingface_hub.hf_hub_download(
        "org/net", "model.safetensors", endpoint=hub.endpoint, cache_dir=Path(os.environ["HF_HOME"]) / "hub"
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert HubFile("org/net").is_local(folder)
    assert HubFile("org/net").path(folder) == Path(cached)
    assert list(folder.iterdir()) == []
    Path(cached).write_bytes(CONTENT[:-1])
    with pytest.raises(sc.WeightsError, match="is damaged or another file.* Delete it and try again."):
        HubFile("org/net").path(folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))  # set after the import, as HF_HOME was
    assert not HubFile("org/net").is_local(folder)


def test_a_file_put_there_by_hand_is_used_and_no_server_is_asked(hub: Hub, folder: Path) -> None:
    for source in (
        HubFile("org/net"),
        HubFile("org/net", revision="v1"),
        HubFile("timm/x", "a/b.safetensors"),
    ):
        (folder / source.file_name).write_bytes(b"put by hand")
        assert source.path(folder) == folder / source.file_name
    assert hub.asked == []
    assert {path.name for path in folder.iterdir()} == {
        "org--net.safetensors",
        "org--net--v1.safetensors",
        "timm--x--a--b.safetensors",
    }


def test_a_revision_and_a_renamed_repository_are_followed(hub: Hub, folder: Path) -> None:
    assert HubFile("org/renamed", revision="v1").path(folder).read_bytes() == CONTENT
    assert [path for _, path, _ in hub.asked] == [
        "/org/renamed/resolve/v1/model.safetensors",
        "/org/net/resolve/v1/model.safetensors",
        "/cdn/net",
    ]


def test_a_token_opens_a_gated_repository_and_is_not_sent_to_the_server_of_large_files(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert HubFile("org/gated").path(folder).read_bytes() == CONTENT
    assert [sent for _, _, sent in hub.asked] == ["Bearer hf_good", None]
    hub.asked.clear()
    HubFile("org/renamed").path(folder)
    assert [sent for _, _, sent in hub.asked] == ["Bearer hf_good", "Bearer hf_good", None]


def test_a_name_and_password_in_the_address_are_sent_to_it_and_never_shown(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://user:secret@{host(hub.endpoint)}/")
    assert HubFile("org/net").path(folder).read_bytes() == CONTENT
    assert [sent for _, _, sent in hub.asked] == ["Basic dXNlcjpzZWNyZXQ=", None]
    with pytest.raises(sc.WeightsError) as raised:
        HubFile("org/busy").path(folder)
    assert str(raised.value).startswith(f"{host(hub.endpoint)} answered 503")


@pytest.mark.parametrize(
    ("repo", "message"),
    [
        ("gated", "HUB gives org/gated only to those who accepted its licence and set HF_TOKEN."),
        ("asked", "HUB gives org/asked only to those who accepted its licence and set HF_TOKEN."),
        ("none", "HUB has no repository org/none that is public or that HF_TOKEN may read."),
        ("empty", "HUB has no model.safetensors in org/empty."),
        ("mirrored", "HUB has no model.safetensors in org/mirrored."),
        ("busy", "HUB answered 503 (Service Unavailable) for org--busy.safetensors."),
        ("limited", "HUB answered 429 (Too Many Requests) for org--limited.safetensors."),
        ("expired", "CDN answered 403 (Forbidden) for org--expired.safetensors."),
        (
            "damaged",
            "org--damaged.safetensors arrived damaged from CDN (its checksum differs) and was not kept.",
        ),
        ("small", "org--small.safetensors arrived damaged from HUB (its checksum differs) and was not kept."),
        ("page", "HUB sent something else than a checkpoint for org--page.safetensors; it was not kept."),
        ("cut", "CDN broke off the connection after 0.3 MB of 0.5 MB."),
        (
            "endless",
            "CDN sends more than the 0.5 MB that org--endless.safetensors may have; it was not kept.",
        ),
        (
            "unannounced",
            "CDN sends more than the 1.0 MB that org--unannounced.safetensors may have; it was not kept.",
        ),
        ("ftp", "HUB redirects from http to ftp, which is not followed."),
        ("hanging", "HUB sent nothing for 0.2 seconds."),
        ("silent", "CDN sent nothing for 0.2 seconds."),
    ],
)
def test_a_failure_says_why_and_how_else_to_get_the_file_and_leaves_nothing(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, repo: str, message: str
) -> None:
    if "0.2 seconds" in message:
        monkeypatch.setattr(web, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(sc.WeightsError) as raised:
        HubFile(f"org/{repo}", download_bytes=len(CONTENT)).path(folder)
    expected = message.replace("HUB", host(hub.endpoint)).replace("CDN", host(hub.cdn))
    by_hand = f"save model.safetensors of org/{repo} as org--{repo}.safetensors in {folder}."
    assert str(raised.value) == f"{expected} Try again, or {by_hand}"
    assert list(folder.iterdir()) == []


def test_a_revision_that_is_not_there_is_named(hub: Hub, folder: Path) -> None:
    with pytest.raises(sc.WeightsError, match="has no revision v9 of org/net. Try again, or save"):
        HubFile("org/net", revision="v9").path(folder)


@pytest.mark.parametrize("repo", ["hanging", "silent"])
def test_cancelling_while_the_server_is_silent_leaves_nothing(hub: Hub, folder: Path, repo: str) -> None:
    received: list[int] = []

    def cancel(done: int, expected: int | None) -> None:
        received.append(done)
        if len(received) > 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        HubFile(f"org/{repo}").path(folder, cancel)
    assert received == ([0, 0] if repo == "hanging" else [1000, 1000])
    assert list(folder.iterdir()) == []


def test_two_sessions_at_once_fetch_a_file_once(hub: Hub, folder: Path) -> None:
    begun = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(HubFile("org/slow").path, folder, lambda received, _: received and begun.set())
        assert begun.wait(60)
        second = pool.submit(HubFile("org/slow").path, folder, lambda *_: hub.more.set())  # while it waits
        assert first.result(60) == second.result(60)
    assert first.result().read_bytes() == CONTENT
    assert [path for _, path, _ in hub.asked] == ["/org/slow/resolve/main/model.safetensors", "/cdn/slow"]


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_a_file_that_is_not_here_is_not_asked_for(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(sc.WeightsError) as raised:
        HubFile("org/net").path(folder)
    assert str(raised.value) == (
        f"org--net.safetensors isn't on this machine, and {variable} forbids fetching it. Unset it, or save "
        f"model.safetensors of org/net as org--net.safetensors in {folder}."
    )
    (folder / "org--net.safetensors").write_bytes(CONTENT)
    assert HubFile("org/net").path(folder) == folder / "org--net.safetensors"
    assert hub.asked == []


@pytest.mark.parametrize("endpoint", ["file:///etc", "huggingface.co", "http://[bad"])
def test_an_endpoint_that_is_no_web_address_is_refused(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(
        sc.WeightsError, match="HF_ENDPOINT is not an address of http or https. Correct it, or"
    ):
        HubFile("org/net").path(folder)
    assert list(folder.iterdir()) == []
