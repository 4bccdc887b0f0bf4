"""Weights from a real server on the loopback, from packages and from files: checked, and never executed."""

import hashlib
import io
import os
import pickle
import resource
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import IO, Any, ClassVar

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import saliency_core as sc
from saliency_core.models.weights import web
from saliency_core.models.weights.checkpoint import load_state, read_checkpoint
from saliency_core.models.weights.download import Download
from saliency_core.models.weights.sources import weights_folder
from saliency_core.progress import Cancelled

CONTENT = bytes(range(256)) * 4096  # 1 MiB: several chunks
REDIRECTS = {
    "/redirect.pth": "/net.pth",
    "/redirect-ftp.pth": "ftp://127.0.0.1/net.pth",
    "/redirect-file.pth": "file:///etc/passwd",
    "/redirect-circle.pth": "/redirect-circle.pth",
}
STATUSES = {"/missing.pth": 404, "/forbidden.pth": 403, "/busy.pth": 503, "/odd.pth": 599}
RELEASE = threading.Event()
"""Lets go of the connections that a server keeps open without a word."""
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Files(BaseHTTPRequestHandler):
    """Answers with CONTENT, or with what the path asks for."""

    asked: ClassVar[Counter[str]] = Counter()
    more = threading.Event()
    """Lets the server send the second half of slow.pth."""

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if self.path in STATUSES:
            self.send_error(STATUSES[self.path])
            return
        if self.path in REDIRECTS:
            self.send_response(302)
            self.send_header("Location", REDIRECTS[self.path])
            self.end_headers()
            return
        if self.path == "/garbage.pth":
            self.wfile.write(b"\x00\xff" * 100)
            return
        if self.path == "/silent.pth":
            RELEASE.wait(60)
            return
        self.send_response(200)
        if self.path == "/chunked.pth":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"1000\r\nfar less than that")
            return
        if self.path == "/vast.pth":
            self.send_header("Content-Length", str(1 << 60))
        elif self.path not in ("/unannounced.pth", "/endless.pth"):
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/endless.pth":
            while True:
                self.wfile.write(CONTENT)
        if self.path == "/slow.pth":
            self.wfile.write(CONTENT[: len(CONTENT) // 2])
            assert self.more.wait(60)
            self.wfile.write(CONTENT[len(CONTENT) // 2 :])
            return
        if self.path == "/stalled.pth":
            self.wfile.write(CONTENT[:1000])
            RELEASE.wait(60)
            return
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path == "/broken.pth" else CONTENT)

    def handle(self) -> None:
        with suppress(ConnectionError):  # of a client that has left
            super().handle()

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


class QuietFiles(SimpleHTTPRequestHandler):
    """Answers with the files of a folder."""

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        RELEASE.set()
        http.shutdown()


@pytest.fixture(autouse=True)
def _no_torch_hub_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    for name in ("SALIENCY_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["net.pth", "unannounced.pth"])
def test_a_download_is_kept_once_and_reports_its_progress(server: str, tmp_path: Path, name: str) -> None:
    source = Download(f"{server}/{name}", DIGEST[:8], len(CONTENT))
    steps: list[tuple[int, int | None]] = []
    assert not source.is_local(tmp_path)
    path = source.path(tmp_path, lambda received, total: steps.append((received, total)))
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), None if name == "unannounced.pth" else len(CONTENT))
    assert [received for received, _ in steps] == sorted(received for received, _ in steps)
    again: list[object] = []
    assert source.path(tmp_path, lambda *step: again.append(step)) == path
    assert not again


@pytest.mark.parametrize(
    ("name", "digest", "size", "message"),
    [
        (
            "net.pth",
            "00000000",
            None,
            "net.pth arrived damaged from HOST (its checksum differs) and was not kept. AGAIN",
        ),
        ("broken.pth", DIGEST, None, "HOST broke off the connection after 0.5 MB of 1.0 MB. AGAIN"),
        ("chunked.pth", DIGEST, None, "HOST broke off the connection. AGAIN"),
        ("missing.pth", DIGEST, None, "HOST answered 404 (Not Found) for missing.pth. AGAIN"),
        ("forbidden.pth", DIGEST, None, "HOST answered 403 (Forbidden) for forbidden.pth. AGAIN"),
        ("busy.pth", DIGEST, None, "HOST answered 503 (Service Unavailable) for busy.pth. AGAIN"),
        ("odd.pth", DIGEST, None, "HOST answered 599 for odd.pth. AGAIN"),
        ("garbage.pth", DIGEST, None, "HOST gave an answer that is not HTTP. AGAIN"),
        ("redirect-ftp.pth", DIGEST, None, "HOST redirects from http to ftp, which is not followed. AGAIN"),
        ("redirect-file.pth", DIGEST, None, "HOST redirects to an address that is not followed. AGAIN"),
        ("redirect-circle.pth", DIGEST, None, "HOST redirects to an address that is not followed. AGAIN"),
        (
            "net.pth",
            DIGEST,
            500_000,
            "HOST sends more than the 1.0 MB that net.pth may have; it was not kept. AGAIN",
        ),
        (
            "endless.pth",
            DIGEST,
            5_000_000,
            "HOST sends more than the 10.0 MB that endless.pth may have; it was not kept. AGAIN",
        ),
        (
            "vast.pth",
            "",
            None,
            "HOST sends more than the 8,589.9 MB that vast.pth may have; it was not kept. AGAIN",
        ),
    ],
)
def test_a_failed_download_says_why_and_leaves_nothing(
    server: str, tmp_path: Path, name: str, digest: str, size: int | None, message: str
) -> None:
    again = f"Try again, or save {name} in {tmp_path}."
    with pytest.raises(sc.WeightsError) as raised:
        Download(f"{server}/{name}", digest, size).path(tmp_path)
    assert str(raised.value) == message.replace("HOST", server.removeprefix("http://")).replace(
        "AGAIN", again
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_larger_than_the_space_that_is_free_is_not_begun(server: str, tmp_path: Path) -> None:
    message = f"^vast.pth needs .* MB, and {tmp_path} has .* MB free. Free some space, or choose another"
    with pytest.raises(sc.WeightsError, match=message):
        Download(f"{server}/vast.pth", "", 1 << 60).path(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_reported_and_nothing_is_left(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = Path.open

    def on_a_full_disk(path: Path, mode: str = "r") -> IO[Any]:
        file = ordinary(path, mode)
        if path.suffix == ".part":
            with file, ordinary(Path("/dev/full"), "wb") as full:  # the system refuses every byte
                os.dup2(full.fileno(), file.fileno())
                return os.fdopen(os.dup(file.fileno()), "wb")
        return file

    monkeypatch.setattr(Path, "open", on_a_full_disk)
    message = f"^The disk with {tmp_path} is full; net.pth was not kept. Free some space, or choose another"
    with pytest.raises(sc.WeightsError, match=message):
        Download(f"{server}/net.pth", DIGEST).path(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_system_stops_in_the_middle_is_reported_and_nothing_is_left(
    server: str, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT) // 2, before[1]))
    try:
        with pytest.raises(
            sc.WeightsError, match="^net.pth couldn't be written to .*: File too large. Choose another"
        ):
            Download(f"{server}/net.pth", DIGEST).path(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["silent.pth", "stalled.pth"])
def test_a_server_that_stops_answering_is_given_up(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(web, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(sc.WeightsError) as raised:
        Download(f"{server}/{name}", DIGEST).path(tmp_path)
    assert str(raised.value) == (
        f"{server.removeprefix('http://')} sent nothing for 0.2 seconds. "
        f"Try again, or save {name} in {tmp_path}."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "SLOW_SECONDS", 0.0)  # the first thousand bytes are looked at already
    with pytest.raises(sc.WeightsError, match=r"sends less than a kilobyte a second\. Try again, or save"):
        Download(f"{server}/stalled.pth", DIGEST).path(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["silent.pth", "stalled.pth", "encrypted.pth"])
def test_cancelling_ends_the_thread_that_waits_for_the_server(server: str, tmp_path: Path, name: str) -> None:
    def cancel(received: int, total: int | None) -> None:
        raise Cancelled

    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and does not answer to TLS
        address = f"https://127.0.0.1:{silent.getsockname()[1]}" if name == "encrypted.pth" else server
        with pytest.raises(Cancelled):
            Download(f"{address}/{name}", DIGEST).path(tmp_path, cancel)
        for thread in threading.enumerate():
            if thread.name == "weights":
                thread.join(web.TIMEOUT_SECONDS / 3)  # alone it would wait three times as long
                assert not thread.is_alive()
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    request, headers = urllib.request.Request("https://one.invalid/net.pth"), HTTPMessage()
    handler = web._Redirects("one.invalid")
    with pytest.raises(web.TransferError, match="redirects from https to http, which is not followed"):
        handler.redirect_request(request, io.BytesIO(), 302, "", headers, "http://one.invalid/net.pth")
    followed = handler.redirect_request(
        request, io.BytesIO(), 302, "", headers, "https://other.invalid/net.pth"
    )
    assert followed is not None
    assert not followed.has_header("Authorization")


def test_a_name_that_is_too_long_for_a_file_is_a_sentence(server: str, tmp_path: Path) -> None:
    with pytest.raises(sc.WeightsError, match="couldn't be written to .*: File name too long. Choose"):
        Download(f"{server}/{'x' * 300}.pth", DIGEST).path(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "arrived"), [("silent.pth", 0), ("stalled.pth", 1000)])
def test_a_download_can_be_cancelled_while_the_server_is_silent(
    server: str, tmp_path: Path, name: str, arrived: int
) -> None:
    received: list[int] = []

    def cancel(done: int, total: int | None) -> None:
        received.append(done)
        if received.count(arrived) > 1 or not arrived:
            raise Cancelled

    with pytest.raises(Cancelled):
        Download(f"{server}/{name}", DIGEST).path(tmp_path, cancel)
    assert set(received) == {arrived}
    assert list(tmp_path.iterdir()) == []


def test_two_that_ask_for_a_file_at_once_fetch_it_once_and_the_second_sees_the_progress(
    server: str, tmp_path: Path
) -> None:
    Files.asked.clear()
    begun, seen = threading.Event(), []

    def second(received: int, total: int | None) -> None:
        seen.append((received, total))
        if received:
            Files.more.set()

    def first(received: int, total: int | None) -> None:
        if received:
            begun.set()

    source = Download(f"{server}/slow.pth", DIGEST, len(CONTENT))
    with ThreadPoolExecutor(2) as pool:
        fetching = pool.submit(source.path, tmp_path, first)
        assert begun.wait(60)
        waiting = pool.submit(Download(f"{server}/slow.pth", "", len(CONTENT)).path, tmp_path, second)
        assert fetching.result(60) == waiting.result(60) == tmp_path / "slow.pth"
    assert Files.asked["/slow.pth"] == 1
    assert 0 < seen[-1][0] <= len(CONTENT) == seen[-1][1]
    assert [path.name for path in tmp_path.iterdir()] == ["slow.pth"]


def test_a_file_that_another_process_fetches_is_waited_for_and_the_waiting_can_be_cancelled(
    tmp_path: Path,
) -> None:
    source = Download("http://127.0.0.1:9/net.pth", DIGEST)
    hold = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire()"
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{hold}; print('held', flush=True); sys.stdin.read()",
            str(tmp_path / ".net.pth.lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"

        def cancel(received: int, total: int | None) -> None:
            raise Cancelled

        with pytest.raises(Cancelled):
            source.path(tmp_path, cancel)

        def finish(received: int, total: int | None) -> None:
            (tmp_path / "net.pth").write_bytes(CONTENT)
            other.kill()  # the system takes its lock away

        assert source.path(tmp_path, finish).read_bytes() == CONTENT


def test_what_a_process_that_was_killed_has_left_is_removed_by_the_next_download(
    server: str, tmp_path: Path
) -> None:
    (tmp_path / ".net.pth.0123.part").write_bytes(b"half")
    (tmp_path / ".net.pth.lock").touch()
    Download(f"{server}/net.pth", DIGEST).path(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_what_has_arrived_is_reported_before_a_chunk_is_full_and_cancelling_leaves_nothing(
    server: str, tmp_path: Path
) -> None:
    received: list[int] = []

    def cancel(done: int, total: int | None) -> None:
        received.append(done)
        raise Cancelled

    with pytest.raises(Cancelled):
        Download(f"{server}/stalled.pth", DIGEST).path(tmp_path, cancel)
    assert received == [1000]
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_within_the_web_is_followed(server: str, tmp_path: Path) -> None:
    path = Download(f"{server}/redirect.pth", DIGEST).path(tmp_path)
    assert path == tmp_path / "redirect.pth"
    assert path.read_bytes() == CONTENT


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as http:
        port = http.server_port
    with pytest.raises(sc.WeightsError) as raised:
        Download(f"http://127.0.0.1:{port}/net.pth", DIGEST).path(tmp_path)
    assert str(raised.value) == (
        f"127.0.0.1:{port} is unreachable. Try again, or save net.pth in {tmp_path}."
    )


def test_a_server_without_encryption_is_not_trusted_with_an_address_of_https(
    server: str, tmp_path: Path
) -> None:
    with pytest.raises(
        sc.WeightsError, match="offers no encrypted connection that can be trusted. Try again"
    ):
        Download(f"{server.replace('http', 'https')}/net.pth", DIGEST).path(tmp_path)


def test_a_file_without_a_checksum_is_kept_if_it_begins_as_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    torch.save({"a": torch.zeros(2)}, tmp_path / "server" / "new.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "server" / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "server" / "net.safetensors")
    (tmp_path / "server" / "page.pth").write_text("<!DOCTYPE html><title>Sign in</title>")
    handler = partial(QuietFiles, directory=str(tmp_path / "server"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{http.server_port}"
        for name in ("new.pth", "old.pth", "net.safetensors"):
            assert read_checkpoint(Download(f"{address}/{name}", "").path(tmp_path))["a"].shape == (2,)
        with pytest.raises(
            sc.WeightsError, match="sent something else than a checkpoint for page.pth; it was"
        ):
            Download(f"{address}/page.pth", "").path(tmp_path)
        http.shutdown()
    assert not (tmp_path / "page.pth").exists()


def test_a_mirror_replaces_the_address(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Download("https://nowhere.invalid/models/net.pth", DIGEST[:8])
    monkeypatch.setenv("SALIENCY_MIRROR", server)
    assert source.path(tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "mirror", ["file:///etc", "ftp://host", "http://", "http://[bad", "host/folder", "javascript:1"]
)
def test_a_mirror_that_is_no_web_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.setenv("SALIENCY_MIRROR", mirror)
    message = "passwd has an address that is not http or https. Check SALIENCY_MIRROR."
    with pytest.raises(sc.WeightsError, match=message):
        Download("https://nowhere.invalid/passwd", DIGEST).path(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["a" * 70, "user:secret@127.0.0.1:9", "127.0.0.1:x"])
def test_a_host_that_cannot_be_one_is_unreachable_and_no_password_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SALIENCY_MIRROR", f"http://{host}")
    with pytest.raises(sc.WeightsError, match="is unreachable. Try again, or save net.pth in") as raised:
        Download("https://nowhere.invalid/net.pth", DIGEST).path(tmp_path)
    assert "secret" not in str(raised.value)


def test_a_host_that_no_name_server_knows_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        sc.WeightsError, match="^nowhere.invalid can't be found: no network, or no such host."
    ):
        Download("http://nowhere.invalid/net.pth", DIGEST).path(tmp_path)


def test_a_file_put_there_by_hand_is_used_if_its_checksum_is_right(tmp_path: Path) -> None:
    source = Download("https://nowhere.invalid/net.pth", DIGEST[:8])
    (tmp_path / "net.pth").write_bytes(CONTENT)
    assert source.path(tmp_path) == tmp_path / "net.pth"
    (tmp_path / "net.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(
        sc.WeightsError, match="net.pth is damaged or another file.* Delete it and try again."
    ):
        source.path(tmp_path)
    assert source.is_local(tmp_path)


def test_a_folder_name_that_cannot_exist_is_a_sentence(tmp_path: Path, server: str) -> None:
    source = Download(f"{server}/net.pth", DIGEST)
    folder = tmp_path / ("x" * 300)
    assert not source.is_local(folder)
    with pytest.raises(sc.WeightsError, match="net.pth couldn't be written to .*: File name too long."):
        source.path(folder)


def test_a_folder_that_cannot_be_written_is_reported(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(
        sc.WeightsError,
        match="net.pth couldn't be written to .*: Not a directory. Choose another folder with",
    ):
        Download(f"{server}/net.pth", DIGEST).path(tmp_path / "file")
    with pytest.raises(sc.WeightsError, match="net.pth couldn't be written to /sys/x: .*. Choose another"):
        Download(f"{server}/net.pth", DIGEST).path(Path("/sys/x"))  # read-only, for an administrator too


def test_the_weights_folder_can_be_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SALIENCY_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path
    assert weights_folder("elsewhere") == Path("elsewhere")


class Trap:
    """Leaves a file when it is unpickled by an ordinary unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return partial(open), (str(self.path), "w")


@pytest.mark.parametrize("legacy", [True, False])
def test_a_pickle_that_would_run_code_is_refused_unexecuted(tmp_path: Path, legacy: bool) -> None:
    mark, file = tmp_path / "mark", tmp_path / "evil.pth"
    if legacy:
        file.write_bytes(pickle.dumps({"weight": Trap(mark)}, protocol=2))
    else:
        torch.save({"weight": Trap(mark)}, file)
    with pytest.raises(sc.WeightsError, match="evil.pth is not a checkpoint that can be read safely"):
        read_checkpoint(file)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", CONTENT])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"net{suffix}"
    file.write_bytes(content)
    with pytest.raises(sc.WeightsError, match=f"net{suffix} is not a checkpoint"):
        read_checkpoint(file)


def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(sc.WeightsError, match="holds no state dict"):
        read_checkpoint(tmp_path / "list.pth")


def test_names_that_are_no_strings_are_no_state_dict(tmp_path: Path) -> None:
    torch.save({1: torch.zeros(2)}, tmp_path / "numbers.pth")
    with pytest.raises(sc.WeightsError, match="holds no state dict"):
        read_checkpoint(tmp_path / "numbers.pth")


def checkpoint(kind: str) -> bytes:
    """A small checkpoint as PyTorch writes it now, as it did before 1.6, or as safetensors."""
    state = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)).state_dict()
    if kind == "safetensors":
        return safetensors.torch.save(state)
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=kind == "zip")
    return file.getvalue()


def damaged(content: bytes, random: Random) -> bytes:
    """Cut, or with some bytes changed, a piece left out, or a piece repeated."""
    start, length = random.randrange(len(content)), random.randrange(1, 64)
    match random.randrange(4):
        case 0:
            return content[:start]
        case 1:
            changed = bytearray(content)
            for _ in range(random.randrange(1, 9)):
                changed[random.randrange(len(changed))] = random.randrange(256)
            return bytes(changed)
        case 2:
            return content[:start] + content[start + length :]
        case _:
            return content[:start] + content[start : start + length] + content[start:]


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.filterwarnings("ignore")  # what PyTorch warns of in damaged files
def test_a_damaged_checkpoint_is_a_state_dict_or_a_sentence(tmp_path: Path, kind: str) -> None:
    content, random = checkpoint(kind), Random(0)
    file = tmp_path / f"net.{'safetensors' if kind == 'safetensors' else 'pth'}"
    refused = 0
    for _ in range(300):
        file.write_bytes(damaged(content, random))
        try:
            state = read_checkpoint(file)
        except sc.WeightsError:
            refused += 1
        else:
            assert all(isinstance(name, str) and isinstance(each, Tensor) for name, each in state.items())
    assert refused > 50  # much of it is damage that a parser sees


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_checkpoint_cut_at_any_point_is_refused(tmp_path: Path, kind: str) -> None:
    content = checkpoint(kind)
    file = tmp_path / f"net.{'safetensors' if kind == 'safetensors' else 'pth'}"
    for end in range(0, len(content), max(1, len(content) // 100)):
        file.write_bytes(content[:end])
        with pytest.raises(sc.WeightsError, match="is not a checkpoint that can be read safely"):
            read_checkpoint(file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_both_formats_fill_a_network_built_without_memory(tmp_path: Path, suffix: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    file = tmp_path / f"net{suffix}"
    state = network.state_dict()
    safetensors.torch.save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    with torch.device("meta"):
        empty = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    load_state(empty, read_checkpoint(file))
    for name, tensor in empty.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)


def test_a_checkpoint_of_another_network_is_refused_by_name_and_shape() -> None:
    network = nn.Linear(3, 2)
    good = network.state_dict()
    with pytest.raises(sc.WeightsError, match="lacks bias"):
        load_state(network, {"weight": good["weight"]})
    with pytest.raises(sc.WeightsError, match="also has extra"):
        load_state(network, {**good, "extra": good["bias"]})
    with pytest.raises(sc.WeightsError, match=r"bias has shape \(3,\), not \(2,\)"):
        load_state(network, {**good, "bias": torch.zeros(3)})
    with pytest.raises(sc.WeightsError, match="bias has dtype torch.int64, not torch.float32"):
        load_state(network, {**good, "bias": torch.zeros(2, dtype=torch.int64)})
    with pytest.raises(sc.WeightsError, match="has 1 tensors; the network needs 2"):
        load_state(network, {"weight": good["weight"]}, by_position=True)
    with pytest.raises(sc.WeightsError, match="weight has shape"):
        load_state(network, {"b": good["bias"], "w": good["weight"]}, by_position=True)
