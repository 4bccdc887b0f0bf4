"""Weights from a real server on the loopback, from packages and from files: checked, and never executed."""

import hashlib
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import saliency_core as sc
from saliency_core.models.weights import Download, load_state, read_checkpoint, weights_folder

CONTENT = bytes(range(256)) * 4096  # 1 MiB: several chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Files(BaseHTTPRequestHandler):
    """Answers with CONTENT, or with what the path asks for."""

    def do_GET(self) -> None:
        if self.path == "/missing.pth":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unannounced.pth":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path == "/broken.pth" else CONTENT)

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture(autouse=True)
def _no_torch_hub_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    monkeypatch.delenv("SALIENCY_MIRROR", raising=False)


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
        ("net.pth", "00000000", None, "net.pth arrived damaged .* was not kept; try again"),
        ("broken.pth", DIGEST, None, "broke off; try again|cannot be reached"),
        ("missing.pth", DIGEST, None, "answered 404 for missing.pth"),
        ("net.pth", DIGEST, 1000, "net.pth is larger than it should be"),
        ("net.pth", DIGEST, 1 << 60, "the disk has no room for net.pth"),
    ],
)
def test_a_failed_download_says_why_and_leaves_nothing(
    server: str, tmp_path: Path, name: str, digest: str, size: int | None, message: str
) -> None:
    with pytest.raises(sc.WeightsError, match=message):
        Download(f"{server}/{name}", digest, size).path(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as http:
        port = http.server_port
    with pytest.raises(sc.WeightsError, match=f"127.0.0.1:{port} cannot be reached.*by hand"):
        Download(f"http://127.0.0.1:{port}/net.pth", DIGEST).path(tmp_path)


def test_a_mirror_takes_the_place_of_the_address(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Download("https://nowhere.invalid/models/net.pth", DIGEST[:8])
    monkeypatch.setenv("SALIENCY_MIRROR", server)
    assert source.path(tmp_path).read_bytes() == CONTENT
    monkeypatch.setenv("SALIENCY_MIRROR", "file:///etc")
    with pytest.raises(sc.WeightsError, match="not http or https"):
        Download("https://nowhere.invalid/passwd", DIGEST).path(tmp_path)


def test_a_file_put_there_by_hand_is_used_if_its_checksum_is_right(tmp_path: Path) -> None:
    source = Download("https://nowhere.invalid/net.pth", DIGEST[:8])
    (tmp_path / "net.pth").write_bytes(CONTENT)
    assert source.path(tmp_path) == tmp_path / "net.pth"
    (tmp_path / "net.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(sc.WeightsError, match="damaged or another file.*delete it"):
        source.path(tmp_path)


def test_a_folder_that_cannot_be_written_is_reported(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(sc.WeightsError, match="could not be written to the weights folder"):
        Download(f"{server}/net.pth", DIGEST).path(tmp_path / "file")


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
    with pytest.raises(sc.WeightsError, match="has 1 tensors; the network needs 2"):
        load_state(network, {"weight": good["weight"]}, by_position=True)
    with pytest.raises(sc.WeightsError, match="weight has shape"):
        load_state(network, {"b": good["bias"], "w": good["weight"]}, by_position=True)
