import functools
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor

import saliency_core as sc
from saliency_core.engine import local
from saliency_core.engine.protocol import ExplainEngine
from saliency_core.engine.request import ExplainRequest, image_digest
from saliency_core.engine.tasks import Task, TaskState
from saliency_core.errors import ArgumentError, ArgumentTypeError, SaliencyError
from saliency_core.models.weights.download import Download
from saliency_core.models.weights.sources import Embedded
from saliency_core.progress import ProgressCallback
from tests.networks import SIDE, InPlaceNet, seeded, tiny_spec
from tests.threads import LONG, until


class QuietFiles(SimpleHTTPRequestHandler):
    """A file server that keeps the test's output quiet."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Watched(InPlaceNet):
    """Calls the test before and after each of its passes, in whatever copy of the network they are."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def forward(self, batch: Tensor) -> Tensor:
        if Watched.before is not None:
            Watched.before()
        try:
            return super().forward(batch)
        finally:
            if Watched.after is not None:
                Watched.after()


@pytest.fixture(autouse=True)
def _unwatched() -> Iterator[None]:
    yield
    Watched.before = Watched.after = None


def photo(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))


FEW = ("normgrad", "grad_cam")


def request(seed: int = 0, **fields: object) -> ExplainRequest:
    default = {"photo": image_digest(photo(seed)), "model": "tiny", "methods": FEW}
    return ExplainRequest(**default | fields)


def ended(task: Task[sc.Explanation]) -> Task[sc.Explanation]:
    assert task.wait(LONG)
    return task


@pytest.fixture
def spec(tmp_path: Path) -> sc.ModelSpec:
    return tiny_spec(tmp_path, Watched)


@pytest.fixture
def engine(spec: sc.ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sc.Engine:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("SALIENCY_MIRROR", raising=False)
    missing = replace(
        spec,
        name="missing",
        title="Missing",
        source=Download("http://127.0.0.1:9/missing.pth", "0" * 8, 1000),
    )
    return sc.Engine("cpu", models={"tiny": spec, "missing": missing}, weights_dir=tmp_path / "weights")


class Gate:
    """Holds the loading of a model until the test opens it; counts how often it was loaded."""

    def __init__(self, spec: sc.ModelSpec, name: str = "gated") -> None:
        self.begun, self._open = threading.Event(), threading.Event()
        self.loads = 0
        self.error: BaseException | None = None
        self._source = spec.source
        self.spec = replace(spec, name=name, title="Gated", source=Embedded(self._path))

    def _path(self) -> str:
        self.loads += 1
        self.begun.set()
        assert self._open.wait(LONG)
        if self.error is not None:
            raise self.error
        return str(self._source.path(Path()))

    def open(self, error: BaseException | None = None) -> None:
        """Let it load, or fail."""
        self.error = error
        self._open.set()


@pytest.fixture
def gate(spec: sc.ModelSpec) -> Gate:
    return Gate(spec)


@pytest.fixture
def gated(spec: sc.ModelSpec, gate: Gate) -> sc.Engine:
    """An engine of two models, one of which loads only when the test lets it."""
    return sc.Engine("cpu", models={"tiny": spec, "gated": gate.spec})


# ---------------------------------------------------------------------------------------------- answers


def test_the_local_engine_follows_the_protocol(engine: sc.Engine) -> None:
    answers: ExplainEngine = engine
    found = answers.explain(request(target=1), photo())
    assert (found.target, found.label) == (1, "b")


def test_the_engine_gives_the_maps_of_a_plain_call(engine: sc.Engine) -> None:
    explanation = engine.explain("tiny", photo(), target="c", fit="pad")
    plain = sc.explain(engine.classifier("tiny"), photo(), 2, fit="pad")
    for method in plain.methods:
        np.testing.assert_array_equal(explanation.map(method, "act"), plain.map(method, "act"))
    assert explanation.label == "c"


def test_the_fields_of_a_request_reach_the_explanation(engine: sc.Engine) -> None:
    asked = request(target=2, fit="stretch", methods=("normgrad", "grad_cam"), layers=("conv",))
    found = engine.explain(replace(asked, variant=sc.MetaStep(0.1)), photo())
    plain = sc.explain(
        engine.classifier("tiny"),
        photo(),
        2,
        ["conv"],
        ["normgrad", "grad_cam"],
        fit="stretch",
        meta=sc.MetaStep(0.1),
    )
    assert (found.methods, [layer.name for layer in found.layers]) == (("normgrad", "grad_cam"), ["conv"])
    for method in plain.methods:
        np.testing.assert_array_equal(found.map(method, "conv"), plain.map(method, "conv"))


def test_the_same_question_is_answered_from_the_cache(engine: sc.Engine) -> None:
    first = engine.explain("tiny", photo(), methods=FEW)
    assert engine.explain("tiny", photo(), methods=FEW) is first
    assert engine.explain("tiny", photo(), target=first.target, methods=FEW) is first
    assert engine.explain("tiny", photo(), target=first.label, methods=FEW) is first
    assert engine.explain(request(), photo()) is first
    assert engine.submit(request(), photo()).result is first
    assert len(engine.cache) == 1


def test_another_photo_class_or_fit_is_another_answer(engine: sc.Engine) -> None:
    first = engine.explain("tiny", photo(), target=0, methods=FEW)
    one_pixel = photo()
    one_pixel.putpixel((3, 3), (1, 2, 3))
    assert engine.explain("tiny", one_pixel, target=0, methods=FEW) is not first
    assert engine.explain("tiny", photo(), target=1, methods=FEW) is not first
    assert engine.explain("tiny", photo(), target=0, fit="stretch", methods=FEW) is not first
    assert len(engine.cache) == 4


def test_palette_images_with_other_colours_are_other_photos(engine: sc.Engine) -> None:
    image = photo().quantize(8)
    other = image.copy()
    other.putpalette([255 - value for value in image.getpalette()])
    first, second = (engine.explain("tiny", each, target=0, methods=FEW) for each in (image, other))
    assert first is not second
    assert not np.array_equal(first.map("normgrad", "act"), second.map("normgrad", "act"))


def test_a_meta_step_is_another_answer(engine: sc.Engine) -> None:
    plain = engine.explain("tiny", photo(), target=1, methods=FEW)
    stepped = engine.explain("tiny", photo(), target=1, meta=sc.MetaStep(0.1), methods=FEW)
    assert stepped is not plain
    assert engine.explain("tiny", photo(), target=1, meta=sc.MetaStep(0.1), methods=FEW) is stepped
    assert (
        engine.explain("tiny", photo(), target=1, meta=sc.MetaStep(0.1, ascend=True), methods=FEW)
        is not stepped
    )
    assert not np.array_equal(plain.map("normgrad", "act"), stepped.map("normgrad", "act"))
    np.testing.assert_array_equal(plain.probabilities, stepped.probabilities)


def change(network: torch.nn.Module, how: str) -> None:
    """Twice the weights of the last layer, and the last class far ahead."""
    head, ahead = network.head, torch.tensor([0.0, 0.0, 0.0, 0.0, 100.0])
    with torch.no_grad():
        if how == "in place":
            head.weight.mul_(2)
            head.bias += ahead
        elif how == "loaded":
            loaded = {"head.weight": head.weight * 2, "head.bias": head.bias + ahead}
            network.load_state_dict({**network.state_dict(), **loaded})
        else:
            head.weight.data = head.weight * 2
            head.bias.data = head.bias + ahead


@pytest.mark.parametrize("how", ["in place", "loaded", "replaced"])
def test_other_weights_give_another_answer_and_another_likely_class(engine: sc.Engine, how: str) -> None:
    network = engine.classifier("tiny").module
    likely, named = request(), request(target=1)
    before = engine.explain(likely, photo()), engine.explain(named, photo())
    assert before[0].target != 4
    change(network, how)
    after = engine.explain(likely, photo()), engine.explain(named, photo())
    assert after[0].target == 4
    assert engine.submit(likely, photo()).result is after[0]
    assert not np.array_equal(after[1].map("normgrad", "act"), before[1].map("normgrad", "act"))


def test_weights_changed_during_a_pass_are_not_answered_with_it_afterwards(engine: sc.Engine) -> None:
    head = engine.classifier("tiny").module.head

    def change() -> None:
        Watched.after = None
        with torch.no_grad():
            head.bias += torch.arange(5.0)

    Watched.after = change
    first = engine.explain("tiny", photo(), target=1, methods=FEW)
    second = engine.explain("tiny", photo(), target=1, methods=FEW)
    assert second is not first
    assert not np.array_equal(first.probabilities, second.probabilities)


def test_many_sessions_that_ask_at_once_compute_once(engine: sc.Engine) -> None:
    engine.classifier("tiny")
    passes: list[str] = []
    Watched.before = lambda: passes.append("pass")
    start = threading.Barrier(8)

    def ask(session: int) -> sc.Explanation:
        start.wait(LONG)
        if session % 2:
            return engine.submit(request(target=1), photo()).value()
        return engine.explain("tiny", photo(), target=1, methods=FEW)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert all(answer is answers[0] for answer in answers)
    assert len(passes) == 1


def test_a_full_cache_stays_below_its_bound(spec: sc.ModelSpec) -> None:
    engine = sc.Engine("cpu", cache_bytes=50_000, models={"tiny": spec})
    answers = [engine.explain("tiny", photo(), target=index) for index in range(5)]
    assert 0 < engine.cache.size <= 50_000 < sum(answer.nbytes for answer in answers)


def test_a_request_takes_no_arguments_beside_it(engine: sc.Engine) -> None:
    with pytest.raises(ArgumentError, match="a request has its own class"):
        engine.explain(request(), photo(), target=1)
    with pytest.raises(ArgumentTypeError, match="expected a PIL image"):
        engine.explain("tiny", torch.zeros(1, 3, SIDE, SIDE))


# ------------------------------------------------------------------------------------------------ tasks


def test_passes_of_two_tasks_and_of_a_foreground_call_never_overlap(engine: sc.Engine) -> None:
    engine.classifier("tiny")
    inside: list[int] = []
    most: list[int] = []

    def enter() -> None:
        inside.append(1)
        most.append(len(inside))
        if len(most) == 1:
            # The others wait for the lock; without one they come in here.
            until(lambda: engine._passes.waiting == 2 or len(inside) > 1)

    Watched.before, Watched.after = enter, inside.pop
    tasks = [engine.submit(request(seed, target=0), photo(seed)) for seed in range(2)]
    engine.explain("tiny", photo(2), target=0, methods=FEW)
    assert all(ended(task).state is TaskState.DONE for task in tasks)
    assert len(most) == 3
    assert max(most) == 1


@pytest.mark.parametrize("class_known", [False, True])
def test_submitting_does_not_wait_for_the_network(engine: sc.Engine, class_known: bool) -> None:
    if class_known:
        engine.explain("tiny", photo(), methods=["grad_cam"])
    engine.classifier("tiny")
    with engine._passes:  # while another computation holds the lock
        fast = engine.submit(request(), photo(), title="A cat")
        slow = engine.submit(request(methods=("integrated_gradients",)), photo())
        assert not fast.ended
        assert not slow.ended
        assert (fast.title, fast.unit) == ("A cat", "passes")
    assert ended(fast).result.has("normgrad", "act")
    assert ended(slow).result.has("integrated_gradients", "input")


def test_equal_requests_are_one_task(engine: sc.Engine) -> None:
    engine.classifier("tiny")
    with engine._passes:
        task = engine.submit(request(target=1), photo())
        assert engine.submit(request(target=1), photo()) is task
        assert engine.submit(request(target=2), photo()) is not task
    assert ended(task).result.target == 1


def test_a_many_pass_method_runs_as_a_task_whose_result_answers_from_the_cache(engine: sc.Engine) -> None:
    task = ended(engine.submit(request(target=2, methods=("integrated_gradients",)), photo()))
    assert task.error is None
    assert task.done == task.total > 1
    np.testing.assert_array_equal(
        task.result.map("integrated_gradients", "input"),
        sc.explain(engine.classifier("tiny"), photo(), 2, methods=["integrated_gradients"]).map(
            "integrated_gradients", "input"
        ),
    )
    again = engine.submit(request(target=2, methods=("integrated_gradients",)), photo())
    assert again.ended
    assert again.result is task.result
    assert engine.explain("tiny", photo(), target=2, methods=["integrated_gradients"]) is task.result


def test_a_short_explanation_is_answered_while_a_many_pass_task_is_under_way(engine: sc.Engine) -> None:
    engine.classifier("tiny")
    passes = threading.Semaphore(0)
    first_batch = threading.Event()

    def wait() -> None:
        if threading.current_thread() is not threading.main_thread():
            first_batch.set()
            if engine._passes.waiting == 0:
                # Until the short one is answered, every batch of the long one ends only when someone waits.
                until(lambda: engine._passes.waiting > 0 or passes.acquire(blocking=False))

    Watched.before = wait
    slow = engine.submit(request(target=0, methods=("smoothgrad",)), photo())
    assert first_batch.wait(LONG)
    fast = engine.explain("tiny", photo(1), target=0, methods=FEW)
    assert fast.has("normgrad", "act")
    assert slow.state is TaskState.RUNNING
    assert slow.done < slow.total
    slow.cancel()
    passes.release(1000)
    assert ended(slow).state is TaskState.CANCELLED


def test_a_task_that_was_cancelled_can_be_started_again_at_once(engine: sc.Engine) -> None:
    engine.classifier("tiny")
    asked = request(target=0, methods=("integrated_gradients",))
    begun = threading.Event()
    Watched.before = begun.set
    with engine._passes:
        first = engine.submit(asked, photo())
        until(lambda: engine._passes.waiting == 1)
        first.cancel()
        again = engine.submit(asked, photo())
        assert again is not first
    assert ended(again).result.has("integrated_gradients", "input")
    assert (ended(first).state, first.result) == (TaskState.CANCELLED, None)


def test_other_work_runs_in_the_background_with_the_engines_answers(engine: sc.Engine) -> None:
    def compute(progress: ProgressCallback) -> list[int]:
        found = []
        for seed in range(3):
            found.append(engine.explain("tiny", photo(seed), target=seed, methods=["grad_cam"]).target)
            progress(seed + 1, 3)
        return found

    task = engine.run("sweep", compute, title="Photo set", total=3, unit="photos")
    assert task.value() == [0, 1, 2]
    assert (task.title, task.unit, task.done, task.total) == ("Photo set", "photos", 3, 3)


def test_a_short_computation_does_not_wait_behind_long_ones(engine: sc.Engine) -> None:
    go = threading.Event()

    def wait(progress: ProgressCallback) -> bool:
        return go.wait(LONG)

    tasks = [engine.run(key, wait, title="Sweep", total=1) for key in range(5)]
    assert (
        engine.run("short", lambda progress: "short", title="Table", total=1, short=True).value() == "short"
    )
    assert not any(task.ended for task in tasks)
    go.set()
    assert all(task.value() for task in tasks)


def test_options_reach_the_method_and_are_part_of_the_question(engine: sc.Engine) -> None:
    def answer(samples: int) -> Task[sc.Explanation]:
        options = (("smoothgrad", (("samples", samples),)),)
        return ended(engine.submit(request(target=1, methods=("smoothgrad",), options=options), photo()))

    five = answer(5)
    assert (five.done, five.total) == (5, 5)
    options = {"smoothgrad": {"samples": 5}}
    plain = sc.explain(engine.classifier("tiny"), photo(), 1, methods=["smoothgrad"], options=options)
    np.testing.assert_array_equal(five.result.map("smoothgrad", "input"), plain.map("smoothgrad", "input"))
    asked = engine.explain("tiny", photo(), target=1, methods=["smoothgrad"], options=options)
    assert asked is five.result
    assert answer(6).result is not five.result


def test_the_total_of_a_task_that_waits_is_that_of_its_options(gated: sc.Engine, gate: Gate) -> None:
    options = (("rise", (("masks", 7),)),)
    task = gated.submit(request(model="gated", methods=("rise", "grad_cam"), options=options), photo())
    assert (task.state, task.total) == (TaskState.QUEUED, 7)
    gate.open()
    assert ended(task).result.methods == ("rise", "grad_cam")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"methods": ("rise",), "options": (("rise", (("mask", 5),)),)}, "unknown option 'mask'"),
        ({"methods": ("rise",), "options": (("rise", (("masks", 0),)),)}, "option 'masks' is 0; expected"),
        ({"options": (("rise", (("masks", 5),)),)}, "options are given for RISE, which is not among"),
        ({"model": "resnet"}, "unknown model 'resnet'; choices: tiny, missing"),
        ({"target": 5}, "target is 5; expected an index from 0 to 4"),
        ({"target": -1}, "target is -1; expected an index from 0 to 4"),
        ({"fit": "zoom"}, "unknown fit 'zoom'"),
        ({"layers": ("layer9",)}, "unknown layer 'layer9'"),
        ({"methods": ("grad_can",)}, "unknown method 'grad_can'; did you mean 'grad_cam'?"),
        (
            {"methods": ("integrated_gradients",), "variant": sc.MetaStep(0.1)},
            "not available after a meta step",
        ),
    ],
)
def test_a_bad_request_is_a_task_that_fails_with_a_sentence(
    engine: sc.Engine, fields: dict[str, object], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        task = ended(engine.submit(request(**fields), photo()))
    assert task.state is TaskState.FAILED
    assert sentence in task.error
    assert not caplog.records
    with pytest.raises(SaliencyError) as raised:
        engine.explain(request(**fields), photo())
    assert str(raised.value) == task.error


# ----------------------------------------------------------------------------------------------- models


def test_the_list_of_models_says_where_their_weights_are(engine: sc.Engine, tmp_path: Path) -> None:
    def states() -> dict[str, tuple[str, int | None]]:
        return {model.name: (model.state, model.download_bytes) for model in engine.models()}

    assert states() == {"tiny": ("local", None), "missing": ("download", 1000)}
    engine.classifier("tiny")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "missing.pth").touch()
    assert states() == {"tiny": ("loaded", None), "missing": ("local", None)}
    assert [(model.title, bool(model.summary)) for model in engine.models()] == [
        ("Tiny", True),
        ("Missing", True),
    ]


def test_what_is_known_of_a_model_needs_no_classifier(engine: sc.Engine) -> None:
    info = engine.model_info("tiny")
    classifier = engine.classifier("tiny")
    assert (info.name, info.title, info.labels) == ("tiny", "Tiny", tuple("abcde"))
    assert (info.layers, info.default_layers) == (classifier.layers, ("branch", "act"))
    assert info.presets == {"Even": {"branch": 0.5, "act": 0.5}}
    assert dict(info.unavailable) == {
        name: reason for name in sc.METHODS if (reason := sc.unavailable(classifier, name)) is not None
    }
    assert engine.model_info("tiny") is info
    assert engine.load("tiny").result is info


@pytest.mark.parametrize("asked", ["classifier", "model_info", "load", "submit"])
def test_a_model_is_loaded_once_for_all_sessions(gated: sc.Engine, gate: Gate, asked: str) -> None:
    ask: dict[str, Callable[[], object]] = {
        "classifier": lambda: gated.classifier("gated"),
        "model_info": lambda: gated.model_info("gated"),
        "load": lambda: gated.load("gated").value(),
        "submit": lambda: gated.submit(request(model="gated"), photo()).value(),
    }
    start = threading.Barrier(9)

    def session(_: int) -> object:
        start.wait(LONG)
        return ask[asked]()

    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(session, number) for number in range(8)]
        start.wait(LONG)
        assert gate.begun.wait(LONG)
        gate.open()
        results = [each.result(LONG) for each in found]
    assert all(result is results[0] for result in results)
    assert gate.loads == 1
    for each in ask.values():
        each()
    assert gate.loads == 1


def test_loading_does_not_block_and_is_one_task(gated: sc.Engine, gate: Gate) -> None:
    task = gated.load("gated")
    assert gate.begun.wait(LONG)
    assert (task.state, task.title, task.unit) == (TaskState.RUNNING, "Gated", "bytes")
    assert gated.load("gated") is task
    gate.open()
    assert task.value().labels == tuple("abcde")
    assert gated.load("gated").ended


def test_explanations_that_wait_for_a_model_do_not_hold_up_the_others(gated: sc.Engine, gate: Gate) -> None:
    waiting = [gated.submit(request(seed, model="gated", target=0), photo(seed)) for seed in range(20)]
    slow = gated.submit(request(model="gated", methods=("integrated_gradients",)), photo())
    assert gate.begun.wait(LONG)
    assert ended(gated.submit(request(), photo())).result.has("normgrad", "act")
    assert ended(gated.submit(request(methods=("integrated_gradients",)), photo())).result.has(
        "integrated_gradients", "input"
    )
    assert all(task.state is TaskState.QUEUED for task in (*waiting, slow))
    gate.open()
    assert all(ended(task).result.target == 0 for task in waiting)
    assert ended(slow).result.has("integrated_gradients", "input")


def test_a_cancelled_load_is_a_sentence_for_those_who_wait_and_can_be_started_again(
    gated: sc.Engine, gate: Gate
) -> None:
    loading = gated.load("gated")
    task = gated.submit(request(model="gated"), photo())
    with ThreadPoolExecutor(1) as pool:
        foreground = pool.submit(gated.explain, request(1, model="gated"), photo(1))
        assert gate.begun.wait(LONG)
        loading.cancel()
        again = gated.load("gated")
        assert again is not loading
        gate.open()
        assert again.value().name == "gated"
        assert loading.wait(LONG)
        assert loading.state is TaskState.CANCELLED
        assert ended(task).error == "Loading Gated was cancelled. Choose it again to load it."
        # It asked before the cancelling or after it, which no test can know; it does not hang.
        assert foreground.exception(LONG) is None or "was cancelled" in str(foreground.exception(LONG))
    assert ended(gated.submit(request(model="gated"), photo())).error is None


@pytest.mark.parametrize(
    "error",
    [
        ImportError("secret"),
        TypeError("secret"),
        AssertionError("secret"),
        MemoryError("secret"),
        KeyboardInterrupt("secret"),
        SystemExit("secret"),
        sc.WeightsError("the weights are another network's"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_load_hangs_nobody_and_the_next_call_starts_again(
    gated: sc.Engine, gate: Gate, error: BaseException
) -> None:
    task = gated.load("gated")
    waiting = gated.submit(request(model="gated"), photo())
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(gated.model_info, "gated"),
            pool.submit(gated.explain, request(1, model="gated"), photo(1)),
        ]
        assert gate.begun.wait(LONG)
        gate.open(error)
        assert task.wait(LONG)
        assert waiting.wait(LONG)
        assert all(type(call.exception(LONG)) is type(error) for call in calls)
    for each in (task, waiting):
        assert each.state is TaskState.FAILED
        assert "secret" not in each.error
    if isinstance(error, sc.WeightsError):
        assert task.error == waiting.error == "Gated couldn't be loaded: the weights are another network's"
    assert {model.name: model.state for model in gated.models()}["gated"] == "local"
    gate.error = None
    asked = request(model="gated")
    assert gated.explain(asked, photo()).has("normgrad", "act")


def test_a_model_is_fetched_in_the_background_with_its_progress(
    spec: sc.ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("SALIENCY_MIRROR", raising=False)
    content = (tmp_path / "tiny.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = Download(f"http://127.0.0.1:{server.server_port}/tiny.pth", digest[:8], len(content))
        models = {"tiny": replace(spec, source=source)}
        engine = sc.Engine("cpu", models=models, weights_dir=tmp_path / "weights")
        assert engine.models()[0].state == "download"
        task = engine.load("tiny")
        assert task.total == len(content)
        assert task.value().labels == tuple("abcde")
        server.shutdown()
    assert (task.done, task.total, task.error) == (len(content), len(content), None)
    assert engine.models()[0].state == "loaded"
    assert (tmp_path / "weights" / "tiny.pth").read_bytes() == content


def test_a_load_that_fails_leaves_a_sentence_and_is_tried_again(engine: sc.Engine, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    sentence = (
        f"Missing couldn't be loaded: 127.0.0.1:9 is unreachable. Try again, or save missing.pth in {folder}."
    )
    with pytest.raises(sc.WeightsError) as raised:
        engine.classifier("missing")
    assert str(raised.value) == sentence
    assert engine.models()[1].state == "download"
    task = engine.load("missing")
    assert task.wait(LONG)
    assert (task.state, task.error) == (TaskState.FAILED, sentence)
    assert list(folder.iterdir()) == []
    torch.save(seeded(dtype=torch.float32).state_dict(), folder / "missing.pth")
    again = engine.load("missing")  # with another file there now
    assert again is not task
    assert again.wait(LONG)
    assert "checksum differs" in again.error


def test_models_added_later_are_offered_and_none_is_loaded_twice(spec: sc.ModelSpec) -> None:
    models = {"tiny": spec}
    engine = sc.Engine("cpu", models=models)
    first = engine.classifier("tiny")
    models["other"] = replace(spec, name="other")
    engine.classifier("other")
    assert engine.classifier("tiny") is first
    assert [model.state for model in engine.models()] == ["loaded", "loaded"]


def test_an_unknown_model_or_device_lists_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sc.Engine("cpu")
    asking: list[Callable[[], object]] = [
        lambda: engine.explain("resnet", photo()),
        lambda: engine.load("resnet"),
        lambda: engine.model_info("resnet"),
        lambda: engine.classifier("resnet"),
    ]
    for ask in asking:
        with pytest.raises(sc.UnknownNameError, match="unknown model 'resnet'; did you mean 'resnet50'"):
            ask()
    with pytest.raises(
        ValueError, match="device is 'cuda:99', which cannot be used here; choices: auto, cpu"
    ):
        sc.choose_device("cuda:99")
    monkeypatch.setenv("SALIENCY_DEVICE", "gpu")
    with pytest.raises(ValueError, match="SALIENCY_DEVICE is 'gpu'"):
        sc.choose_device()
    monkeypatch.setenv("SALIENCY_DEVICE", "cpu")
    assert sc.choose_device() == torch.device("cpu")


# ------------------------------------------------------------------------- searches, and models of one's own

OWN = "own:" + "0a" * 16
FOREIGN = "This model belongs to another session or was removed; upload it again."


def test_a_search_finds_every_model_of_the_catalogue_and_says_where_its_weights_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    engine = sc.Engine("cpu", weights_dir=tmp_path)
    assert engine.search("") == engine.models()
    found = engine.search("resnet50", 5)
    assert (found[0].name, found[0].state, found[0].details) == ("resnet50", "download", None)
    assert len(found) == 5
    assert engine.search("lite0 efficientnet")[0].state == "local"
    assert engine.search("no such network") == ()
    seeded = engine.listing("resnet18.random-3")
    assert (seeded.state, seeded.download_bytes, seeded.library) == ("random", None, "torchvision")
    assert seeded.details.parameters == 11_689_512
    with pytest.raises(sc.UnknownNameError, match="resnet5000"):
        engine.listing("resnet5000")


def test_a_search_among_given_models_takes_every_word(engine: sc.Engine) -> None:
    assert [found.name for found in engine.search("MISS ing")] == ["missing"]
    assert [found.name for found in engine.search("i", limit=1)] == ["tiny"]


def test_random_weights_are_said_with_the_model_and_with_every_explanation(spec: sc.ModelSpec) -> None:
    engine = sc.Engine("cpu", models={"tiny": spec, "random": replace(spec, name="random", seed=3)})
    assert [model.state for model in engine.models()] == ["local", "random"]
    random, trained = (engine.explain(request(model=name), photo()) for name in ("random", "tiny"))
    assert (random.random_weights, trained.random_weights) == (True, False)
    assert random.only("normgrad").random_weights
    assert engine.model_info("random").random
    assert not engine.model_info("tiny").random
    assert [model.state for model in engine.models()] == ["loaded", "random"]


def test_a_model_of_ones_own_is_explained_and_in_no_list(engine: sc.Engine, spec: sc.ModelSpec) -> None:
    engine.add_model(replace(spec, name=OWN, title="Mine"))
    found = engine.explain(request(model=OWN), photo())
    assert engine.submit(request(model=OWN), photo()).result is found
    assert (engine.model_info(OWN).title, engine.listing(OWN).state) == ("Mine", "loaded")
    assert [model.name for model in (*engine.models(), *engine.search(""))] == ["tiny", "missing"] * 2
    with pytest.raises(ArgumentError, match="a model is named 'mine'; the name of one's own begins with"):
        engine.add_model(replace(spec, name="mine"))


def test_nothing_is_left_of_a_model_that_was_removed(engine: sc.Engine, spec: sc.ModelSpec) -> None:
    engine.add_model(replace(spec, name=OWN))
    engine.explain(request(model=OWN), photo())
    engine.explain(request(), photo())
    engine.remove_model(OWN)
    engine.remove_model(OWN)
    engine.remove_model("tiny")  # which belongs to everybody
    assert (len(engine.cache), OWN in engine.loaded, "tiny" in engine.loaded) == (1, False, True)
    asking: list[Callable[[], object]] = [
        lambda: engine.explain(request(model=OWN), photo()),
        lambda: engine.load(OWN),
        lambda: engine.model_info(OWN),
        lambda: engine.listing(OWN),
    ]
    for ask in asking:
        with pytest.raises(sc.UnknownNameError) as raised:
            ask()
        assert str(raised.value) == FOREIGN
    assert engine.submit(request(model=OWN), photo()).error == FOREIGN


def test_a_model_that_is_removed_during_a_pass_leaves_nothing_either(
    engine: sc.Engine, spec: sc.ModelSpec
) -> None:
    engine.add_model(replace(spec, name=OWN))
    engine.classifier(OWN)
    Watched.before = lambda: engine.remove_model(OWN)
    assert engine.explain(request(model=OWN), photo()).has("normgrad", "act")
    assert (len(engine.cache), OWN in engine.loaded) == (0, False)


def test_the_least_recently_used_of_too_many_own_models_is_removed(
    engine: sc.Engine, spec: sc.ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MAX_OWN_MODELS", 2)
    first, second, third = (f"own:{letter * 32}" for letter in "abc")
    for name in (first, second):
        engine.add_model(replace(spec, name=name))
    engine.explain(request(model=second), photo())
    engine.explain(request(model=first), photo())
    engine.add_model(replace(spec, name=third))
    assert engine.load(first).ended
    with pytest.raises(sc.UnknownNameError, match="another session"):
        engine.load(second)
    assert second not in engine.loaded


def test_a_load_says_when_the_network_is_being_built(spec: sc.ModelSpec, gate: Gate, tmp_path: Path) -> None:
    size = (tmp_path / "tiny.pth").stat().st_size
    seen: list[tuple[int, int]] = []
    started = threading.Event()

    def build() -> Watched:
        assert started.wait(LONG)
        seen.append((task.done, task.total))
        return Watched()

    seeded = replace(spec, name="seeded", build=build, seed=0)
    engine = sc.Engine("cpu", models={"gated": replace(gate.spec, build=build), "seeded": seeded})
    task = engine.load("gated")
    assert gate.begun.wait(LONG)
    assert (task.done, task.total) == (0, 0)
    started.set()
    gate.open()
    assert task.value().name == "gated"
    assert seen == [(size, size)]
    started.clear()
    task = engine.load("seeded")
    started.set()
    assert task.value().random
    assert seen[-1] == (1, 1)


def test_a_model_too_large_for_the_machine_is_refused_in_a_sentence(spec: sc.ModelSpec) -> None:
    huge = replace(spec, name="huge", title="Huge", source=Download("http://127.0.0.1:9/x.pth", "", 10**15))
    engine = sc.Engine("cpu", models={"huge": huge})
    task = engine.load("huge")
    assert task.wait(LONG)
    assert task.error.startswith("Huge needs 1000000.0 GB of memory for its weights alone, and this machine")
    assert task.error.endswith("GB. Choose a smaller model.")


def test_a_model_of_the_folder_whose_files_have_changed_is_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models" / "squeeze"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SALIENCY_MODELS", str(folder.parent))
    network = torchvision.models.squeezenet1_1(num_classes=3)
    torch.save(network.state_dict(), folder / "squeeze.pth")
    (folder / "model.toml").write_text('architecture = "squeezenet1_1"\n[preprocess]\nsize = 64\n')
    engine, asked = sc.Engine("cpu"), request(model="folder:squeeze", target=1)
    before = engine.explain(asked, photo())
    assert engine.explain(asked, photo()) is before
    (folder / "labels.txt").write_text("ant\nbee\ncat\n")
    assert engine.model_info("folder:squeeze").labels == ("ant", "bee", "cat")
    assert engine.explain(asked, photo()).label == "bee"
