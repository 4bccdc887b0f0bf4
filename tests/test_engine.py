import functools
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.engine.local import SharedCache
from saliency_core.models.weights import Download, Embedded
from tests.networks import SIDE, InPlaceNet, seeded


class QuietFiles(SimpleHTTPRequestHandler):
    """A file server that keeps the test's output quiet."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def photo(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))


@pytest.fixture
def spec(tmp_path: Path) -> sc.ModelSpec:
    """A small model whose weights lie in a file."""
    file = tmp_path / "tiny.pth"
    torch.save(seeded(dtype=torch.float32).state_dict(), file)
    return replace(
        sc.MODELS["resnet18"],
        name="tiny",
        build=InPlaceNet,
        source=Embedded(lambda: str(file)),
        labels=lambda: list("abcde"),
        preprocess=sc.Preprocess(size=SIDE, resize=SIDE),
        default_layers=("branch", "act"),
    )


@pytest.fixture
def engine(spec: sc.ModelSpec) -> sc.Engine:
    missing = replace(spec, name="missing", source=Download("http://127.0.0.1:9/missing.pth", "0" * 8, 1000))
    return sc.Engine("cpu", models={"tiny": spec, "missing": missing}, weights_dir="/nonexistent")


def test_the_engine_gives_the_maps_of_a_plain_call(engine: sc.Engine, spec: sc.ModelSpec) -> None:
    explanation = engine.explain("tiny", photo(), target="c", fit="pad")
    plain = sc.explain(engine.classifier("tiny"), photo(), 2, fit="pad")
    for method in plain.methods:
        np.testing.assert_array_equal(explanation.map(method, "act"), plain.map(method, "act"))
    assert explanation.label == "c"


def test_the_same_question_is_answered_from_the_cache(engine: sc.Engine) -> None:
    first = engine.explain("tiny", photo())
    assert engine.explain("tiny", photo()) is first
    assert engine.explain("tiny", photo(), target=first.target) is first
    assert engine.explain("tiny", photo(), target=first.label) is first
    assert len(engine.cache) == 1


def test_another_photo_class_or_fit_is_another_answer(engine: sc.Engine) -> None:
    first = engine.explain("tiny", photo(), target=0)
    one_pixel = photo()
    one_pixel.putpixel((3, 3), (1, 2, 3))
    assert engine.explain("tiny", one_pixel, target=0) is not first
    assert engine.explain("tiny", photo(), target=1) is not first
    assert engine.explain("tiny", photo(), target=0, fit="stretch") is not first
    assert len(engine.cache) == 4


def test_many_sessions_asking_at_once_compute_once(engine: sc.Engine) -> None:
    classifier = engine.classifier("tiny")
    passes: list[str] = []
    network = classifier.module
    network.head.register_forward_hook(lambda *_: passes.append("pass"))
    start = threading.Barrier(8)

    def ask(_: int) -> sc.Explanation:
        start.wait()
        return engine.explain("tiny", photo(), target=1)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert all(answer is answers[0] for answer in answers)
    assert len(passes) == 1


def test_a_model_is_loaded_once_for_all_sessions(engine: sc.Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: engine.classifier("tiny"), range(8)))
    assert all(one is loaded[0] for one in loaded)


def test_the_cache_drops_the_least_recently_used_beyond_its_bytes() -> None:
    cache: SharedCache[str, bytes] = SharedCache(10, len)
    for name in ("a", "b"):
        cache.get(name, lambda: b"12345")
    cache.peek("a")
    cache.get("c", lambda: b"123")
    assert cache.peek("b") is None
    assert cache.peek("a") == b"12345"
    assert cache.nbytes == 8
    assert cache.get("huge", lambda: b"x" * 11) == b"x" * 11  # computed, but too large to keep
    assert (cache.peek("huge"), cache.nbytes) == (None, 8)
    with pytest.raises(ValueError, match="expected 0 or more"):
        SharedCache(-1, len)


def test_a_full_cache_stays_below_its_bound(spec: sc.ModelSpec) -> None:
    engine = sc.Engine("cpu", cache_bytes=50_000, models={"tiny": spec})
    answers = [engine.explain("tiny", photo(), target=index) for index in range(5)]
    assert 0 < engine.cache.nbytes <= 50_000 < sum(answer.nbytes for answer in answers)


def test_an_error_reaches_those_who_wait_and_is_not_kept() -> None:
    cache: SharedCache[str, bytes] = SharedCache(10, len)
    asked = threading.Event()

    def fail() -> bytes:
        asked.wait()
        raise sc.WeightsError("no connection")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "key", fail)
        second = pool.submit(cache.get, "key", fail)
        asked.set()
        for future in (first, second):
            with pytest.raises(sc.WeightsError, match="no connection"):
                future.result()
    assert cache.get("key", lambda: b"good") == b"good"


def test_loading_in_the_background_ends_with_the_model_in_memory(engine: sc.Engine) -> None:
    assert engine.loading("tiny") is None
    assert engine.is_local("tiny")
    engine.start_loading("tiny")
    engine.classifier("tiny")  # joins the load under way
    assert engine.is_loaded("tiny")
    assert engine.start_loading("tiny").done


def test_a_model_is_fetched_in_the_background_with_its_progress(
    spec: sc.ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    content = (tmp_path / "tiny.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = Download(f"http://127.0.0.1:{server.server_port}/tiny.pth", digest[:8], len(content))
        models = {"tiny": replace(spec, source=source)}
        engine = sc.Engine("cpu", models=models, weights_dir=tmp_path / "weights")
        assert not engine.is_local("tiny")
        assert engine.start_loading("tiny").total == len(content)
        engine.classifier("tiny")
        server.shutdown()
    state = engine.loading("tiny")
    assert (state.received, state.total, state.error) == (len(content), len(content), None)
    assert engine.is_local("tiny")
    assert (tmp_path / "weights" / "tiny.pth").read_bytes() == content


def test_a_failed_load_leaves_a_sentence_and_can_be_tried_again(engine: sc.Engine, tmp_path: Path) -> None:
    with pytest.raises(sc.WeightsError, match="could not be written|cannot be reached"):
        engine.classifier("missing")
    assert not engine.is_loaded("missing")
    assert not engine.is_local("missing")
    assert not engine.start_loading("missing").done


def test_an_unknown_model_or_device_lists_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown model 'resnet'.*resnet18"):
        sc.Engine("cpu").explain("resnet", photo())
    with pytest.raises(
        ValueError, match="device is 'cuda:99', which cannot be used here; choices: auto, cpu"
    ):
        sc.choose_device("cuda:99")
    monkeypatch.setenv("SALIENCY_DEVICE", "gpu")
    with pytest.raises(ValueError, match="SALIENCY_DEVICE is 'gpu'"):
        sc.choose_device()
    monkeypatch.setenv("SALIENCY_DEVICE", "cpu")
    assert sc.choose_device() == torch.device("cpu")


def test_a_slow_method_runs_as_a_job_whose_result_answers_from_the_cache(engine: sc.Engine) -> None:
    job = engine.start_job("tiny", photo(), "occlusion", target="c")
    assert job.wait(60)
    assert job.error is None
    np.testing.assert_array_equal(
        job.result.map("occlusion", "input"),
        sc.explain(engine.classifier("tiny"), photo(), 2, methods=["occlusion"]).map("occlusion", "input"),
    )
    again = engine.start_job("tiny", photo(), "occlusion", target=2)
    assert again.done
    assert again.result is job.result
    assert engine.explain("tiny", photo(), target=2, methods=["occlusion"]) is job.result


def test_a_quick_explanation_gets_its_turn_while_a_job_runs(engine: sc.Engine) -> None:
    job = engine.start_job("tiny", photo(), "rise", target=0)
    quick = engine.explain("tiny", photo(1), target=0)
    assert quick.target == 0
    job.cancel()
    assert job.wait(60)
    assert job.result is None or job.result.target == 0


def test_a_job_that_was_cancelled_can_be_started_again_at_once(engine: sc.Engine) -> None:
    first = engine.start_job("tiny", photo(), "rise", target=0)
    first.cancel()
    again = engine.start_job("tiny", photo(), "rise", target=0)
    assert again is not first
    assert again.wait(60)
    assert not again.cancelled
    assert again.result.has("rise", "input")


def test_a_meta_step_is_another_answer(engine: sc.Engine) -> None:
    plain = engine.explain("tiny", photo(), target=1)
    stepped = engine.explain("tiny", photo(), target=1, meta=sc.MetaStep(0.1))
    assert stepped is not plain
    assert engine.explain("tiny", photo(), target=1, meta=sc.MetaStep(0.1)) is stepped
    assert engine.explain("tiny", photo(), target=1, meta=sc.MetaStep(0.1, ascend=True)) is not stepped
    assert not np.array_equal(plain.map("normgrad", "act"), stepped.map("normgrad", "act"))
    np.testing.assert_array_equal(plain.probabilities, stepped.probabilities)
