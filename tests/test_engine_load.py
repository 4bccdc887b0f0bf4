"""One engine for many sessions: what is dropped, refused, computed together, counted, and short of memory.

The networks run on ``SALIENCY_DEVICE``, or the CPU.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor

import saliency_core as sc
from pages.shared.tasks import Tasks
from saliency_core.engine import local
from saliency_core.engine.batches import in_batches, within_memory
from saliency_core.engine.queue import TaskQueue
from saliency_core.engine.request import ExplainRequest, image_digest
from saliency_core.engine.tasks import Task, TaskState
from saliency_core.methods.passes import Passes, batch_limit
from saliency_core.models.weights.sources import Embedded
from saliency_core.progress import NO_LOCK, no_progress
from tests.networks import InPlaceNet, batch, classifier, tiny_spec
from tests.threads import LONG, until

DEVICE = os.environ.get("SALIENCY_DEVICE", "").strip() or "cpu"
METHODS = ("normgrad", "grad_cam", "gradient", "excitation_backprop")


class Counting(InPlaceNet):
    """Notes how many images each pass has, and lacks memory for more than `room` of them."""

    passes: ClassVar[list[int]] = []
    room = 10**6

    def forward(self, images: Tensor) -> Tensor:
        Counting.passes.append(len(images))
        if len(images) > Counting.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(images)


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    yield
    Counting.passes, Counting.room = [], 10**6


@pytest.fixture
def spec(tmp_path: Path) -> sc.ModelSpec:
    return tiny_spec(tmp_path, Counting)


def engine_of(spec: sc.ModelSpec, *others: sc.ModelSpec, size: int = 1) -> sc.Engine:
    """An engine with the model loaded and no pass counted."""
    engine = sc.Engine(DEVICE, models={each.name: each for each in (spec, *others)}, batch=size)
    engine.classifier(spec.name)
    Counting.passes.clear()
    return engine


def photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))


def request(seed: int, **fields: object) -> ExplainRequest:
    return ExplainRequest(
        **{"photo": image_digest(photo(seed)), "model": "tiny", "methods": METHODS} | fields
    )


def ended(task: Task[sc.Explanation]) -> Task[sc.Explanation]:
    assert task.wait(LONG)
    return task


def alike(one: sc.Explanation, other: sc.Explanation) -> None:
    """The same up to rounding: maps to 1e-4 of their largest value, and nearly the same ranks."""
    assert (one.target, one.label, one.methods) == (other.target, other.label, other.methods)
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
    for method in one.methods:
        for layer in one.layers_of(method):
            mine, others = one.map(method, layer), other.map(method, layer)
            np.testing.assert_allclose(mine, others, atol=1e-4 * np.abs(others).max(), rtol=0)
            if np.ptp(others) > 0:
                assert spearmanr(mine.ravel(), others.ravel()).statistic >= 0.9999


# ---------------------------------------------------------------------------------------------- dropped


def test_of_twenty_choices_in_a_second_only_the_running_and_the_last_are_computed(
    spec: sc.ModelSpec,
) -> None:
    engine = engine_of(spec)
    session = Tasks(patience=0)

    def choose(seed: int) -> None:
        """One run of the script, interrupted by the next choice before its end."""
        asked = request(seed, target=1, methods=("grad_cam",))
        session.begin()
        session.result(
            asked,
            lambda: engine.submit(asked, photo(seed), session=session.session),
            title="",
            slot="scene",
        )

    with engine._passes:  # a pass is running
        choose(0)
        until(lambda: engine._passes.waiting == 1)
        for seed in range(1, 20):
            choose(seed)
        (last,) = session
    assert ended(last.task).result.target == 1
    until(lambda: not any(queue.waiting or queue.running for queue in engine.status().queues))
    assert len(Counting.passes) <= 2
    assert engine.status().dropped >= 18


def test_a_session_that_leaves_in_mid_run_keeps_no_lock_and_no_thread(spec: sc.ModelSpec) -> None:
    engine = engine_of(spec)
    before = threading.active_count()
    session = Tasks(patience=0)
    with engine._passes:
        for seed, methods in enumerate([("grad_cam",), ("grad_cam",), ("smoothgrad",), ("rise",)]):
            asked = request(seed, target=1, methods=methods)
            session.result(asked, lambda a=asked, s=seed: engine.submit(a, photo(s)), title="", long=True)
        until(lambda: engine._passes.waiting == 4)
        del session
        gc.collect()
    until(lambda: threading.active_count() <= before)
    assert not Counting.passes
    with engine._passes:  # it is free
        assert engine._passes.waiting == 0
    assert ended(engine.submit(request(0, target=1), photo(0))).error is None


# ---------------------------------------------------------------------------------------------- together


def answered(engine: sc.Engine, requests: list[ExplainRequest]) -> list[sc.Explanation]:
    """The answers to requests that all waited before the first pass: one per thread, the others together."""
    tasks: list[Task[sc.Explanation]] = []
    threads = engine._queues[local.Priority.SCREEN].workers
    with engine._passes:
        for seed, each in enumerate(requests):
            tasks.append(engine.submit(each, photo(seed), session=seed))
            until(lambda: engine._passes.waiting == min(len(tasks), threads))
    return [ended(task).value() for task in tasks]


def test_requests_that_wait_together_are_one_batch_with_the_results_of_single_ones(
    spec: sc.ModelSpec,
) -> None:
    requests = [request(seed, target=None if seed % 3 == 0 else seed % 5) for seed in range(10)]
    together = answered(engine_of(spec, size=16), requests)
    # Two had a thread of their own; the other eight are one batch, for the pass and for the rule's.
    assert sorted(Counting.passes) == [1, 1, 1, 1, 8, 8]
    single = engine_of(spec)
    for seed, found in enumerate(together):
        alike(found, single.explain(requests[seed], photo(seed)))


def test_different_classes_of_one_photo_are_one_batch(spec: sc.ModelSpec) -> None:
    engine, asked = engine_of(spec, size=16), ("normgrad", "grad_cam")
    with engine._passes:
        tasks = [
            engine.submit(request(0, target=target, methods=asked), photo(0)) for target in (0, 1, 2, 3, 4)
        ]
        until(lambda: engine._passes.waiting == 2)
    single = engine_of(spec)
    for target, task in enumerate(tasks):
        alike(ended(task).value(), single.explain(request(0, target=target, methods=asked), photo(0)))


def test_on_the_cpu_a_result_is_exactly_that_of_a_single_request(spec: sc.ModelSpec) -> None:
    if DEVICE != "cpu":
        pytest.skip("other devices take batches")
    engine = sc.Engine("cpu", models={"tiny": spec})
    assert engine.batch == 1
    requests = [request(seed, target=1) for seed in range(6)]
    engine.classifier("tiny")
    Counting.passes.clear()
    found = answered(engine, requests)
    assert set(Counting.passes) == {1}
    for seed, each in enumerate(found):
        alone = sc.explain(engine.classifier("tiny"), photo(seed), 1, methods=METHODS)
        for method in METHODS:
            for layer in alone.layers_of(method):
                np.testing.assert_array_equal(each.map(method, layer), alone.map(method, layer))


def test_a_request_that_fails_in_a_batch_fails_alone(spec: sc.ModelSpec) -> None:
    requests = [request(seed, target=9 if seed == 5 else 1) for seed in range(8)]
    engine = engine_of(spec, size=16)
    with engine._passes:
        tasks = [engine.submit(each, photo(seed)) for seed, each in enumerate(requests)]
        until(lambda: engine._passes.waiting == 2)
    errors = [ended(task).error for task in tasks]
    assert errors[5] == "target is 9; expected an index from 0 to 4"
    assert [error for number, error in enumerate(errors) if number != 5] == [None] * 7


def test_meta_steps_and_many_pass_methods_take_their_passes_one_by_one(spec: sc.ModelSpec) -> None:
    engine, single = engine_of(spec, size=16), engine_of(spec)
    requests = [request(seed, target=1, variant=sc.MetaStep(0.01)) for seed in range(4)]
    for seed, found in enumerate(answered(engine, requests)):
        alone = single.explain(requests[seed], photo(seed))
        np.testing.assert_array_equal(found.map("normgrad", "act"), alone.map("normgrad", "act"))


def test_an_answer_of_a_batch_is_known_from_then_on(spec: sc.ModelSpec) -> None:
    engine = engine_of(spec, size=16)
    requests = [request(seed) for seed in range(5)]
    found = answered(engine, requests)
    passes = len(Counting.passes)
    assert [engine.submit(each, photo(seed)).result for seed, each in enumerate(requests)] == found
    assert len(Counting.passes) == passes


# ------------------------------------------------------------------------------------ too little memory


def test_without_memory_for_a_batch_smaller_ones_give_the_same_answers(spec: sc.ModelSpec) -> None:
    requests = [request(seed, target=seed % 5) for seed in range(10)]
    engine = engine_of(spec, size=16)
    Counting.room = 2
    found = answered(engine, requests)
    assert {4, 8} < set(Counting.passes)  # tried
    assert [each.target for each in found] == [seed % 5 for seed in range(10)]
    Counting.room = 10**6
    single = engine_of(spec)
    for seed, each in enumerate(found):
        alike(each, single.explain(requests[seed], photo(seed)))


def test_without_memory_many_pass_methods_send_fewer_copies_at_once(spec: sc.ModelSpec) -> None:
    asked = request(0, target=1, methods=("rise",), options=(("rise", (("masks", 20),)),))
    with_room = engine_of(spec).explain(asked, photo(0))
    engine = engine_of(spec)
    Counting.room = 2
    found = ended(engine.submit(asked, photo(0))).value()
    np.testing.assert_allclose(found.map("rise"), with_room.map("rise"), rtol=1e-5)
    assert max(size for size in Counting.passes if size <= 2) == 1


def test_without_memory_for_one_photo_there_is_a_sentence_and_the_next_request_is_answered(
    spec: sc.ModelSpec, caplog: pytest.LogCaptureFixture
) -> None:
    if DEVICE != "cpu":
        pytest.skip("there the CPU answers")
    engine = engine_of(spec)
    Counting.room = 0
    with caplog.at_level(logging.ERROR):
        task = ended(engine.submit(request(0, target=1), photo(0), title="Explaining secret.jpg"))
    assert task.error is not None
    assert task.error.startswith("There was not enough memory. Try a smaller photo or model (error ")
    last = engine.status().errors[-1]
    assert (last.kind, last.context) == ("OutOfMemoryError", "An explanation by tiny")
    assert last.id in task.error
    Counting.room = 10**6
    assert ended(engine.submit(request(0, target=1), photo(0))).error is None


def test_without_memory_on_the_device_the_network_runs_on_the_cpu() -> None:
    """As far as a machine without a second device can show it: two networks with equal weights."""
    device, host = classifier(Counting().double()), classifier()
    host.module.load_state_dict(device.module.state_dict())
    expected = sc.explain(host, batch(), 1)
    Counting.room = 0
    tried: list[sc.Classifier] = []

    def attempt(on: sc.Classifier) -> Callable[[], sc.Explanation]:
        def run() -> sc.Explanation:
            tried.append(on)
            return sc.explain(on, batch(), 1)

        return run

    found = within_memory([attempt(device), attempt(host)], device.device)
    assert tried == [device, host]
    np.testing.assert_array_equal(found.map("normgrad", "act"), expected.map("normgrad", "act"))
    with pytest.raises(torch.OutOfMemoryError):
        within_memory([attempt(device)], device.device)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a device beside the CPU: SALIENCY_DEVICE=cuda")
def test_what_the_device_has_no_memory_for_is_answered_on_the_cpu(tmp_path: Path) -> None:
    class OnHost(InPlaceNet):
        def forward(self, images: Tensor) -> Tensor:
            if len(Counting.passes) and images.device.type != "cpu":
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(images)

    engine = engine_of(tiny_spec(tmp_path, OnHost))
    expected = engine.explain(request(0, target=1), photo(0))
    Counting.passes.append(0)
    alike(engine.explain(request(0, target=1, layers=("act", "branch")), photo(0)), expected)


def test_batches_are_halved_until_there_is_memory() -> None:
    sizes: list[int] = []

    def together(some: tuple[int, ...]) -> list[int]:
        sizes.append(len(some))
        if len(some) > 2:
            raise torch.OutOfMemoryError
        return [-each for each in some]

    found = in_batches(tuple(range(7)), together, lambda item: -item, torch.device("cpu"))
    assert found == [0, -1, -2, -3, -4, -5, -6]
    assert sizes == [7, 4, 2, 2, 3, 2]


def test_a_limit_on_batches_holds_inside_its_block_alone() -> None:
    clf = classifier()

    def sizes() -> tuple[int, int]:
        passes = Passes(clf, batch(), 0, 10, no_progress, NO_LOCK)
        return passes.forward_batch, passes.gradient_batch

    usual = sizes()
    with batch_limit(2):
        assert sizes() == (2, 2)
    assert sizes() == usual


# ---------------------------------------------------------------------------------------------- counted


def test_every_explanation_is_one_line_of_the_log_without_photo_or_file_name(
    spec: sc.ModelSpec, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_of(spec)
    asked = request(0, target=1)
    with caplog.at_level(logging.INFO, logger="saliency_core.engine"):
        ended(engine.submit(asked, photo(0), title="Explaining secret.jpg", session="secret session"))
        engine.submit(asked, photo(0), title="Explaining secret.jpg")
        engine.explain(asked, photo(0))
    lines = [record.getMessage() for record in caplog.records if record.name == "saliency_core.engine"]
    assert len(lines) == 3
    assert all(line.startswith("explained model=tiny waited=") for line in lines)
    assert [line.rpartition("hit=")[2].split()[0] for line in lines] == ["no", "yes", "yes"]
    assert not any("secret" in line or asked.photo[:8] in line for line in lines)


def test_the_status_counts_hits_waits_and_what_was_refused(
    spec: sc.ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SESSION_SCREEN", 2)
    engine = engine_of(spec)
    for seed in range(3):
        engine.explain(request(seed, target=1), photo(seed))
    engine.explain(request(0, target=1), photo(0))
    with engine._passes:
        tasks = [engine.submit(request(seed), photo(seed), session="A") for seed in range(5, 8)]
        status = engine.status()
    assert "2 computations waiting already" in str(ended(tasks[2]).error)
    assert status.refused == 1
    stores = {store.name: store for store in status.stores}
    assert (stores["answers"].hits, stores["answers"].misses, stores["answers"].entries) == (1, 3, 3)
    assert 0 < stores["answers"].size <= stores["answers"].max_size
    assert (status.kind, status.device) == ("local", str(engine.device))
    assert [model.name for model in status.models] == ["tiny"]
    assert status.models[0].bytes == stores["models"].size > 0
    assert sum(status.waited.counts) == sum(status.computed.counts) == 3
    assert status.computed.sum > 0
    queues = {queue.name: queue for queue in status.queues}
    assert queues["screen"].waiting + queues["screen"].running == 2
    assert all(store.size <= store.max_size for store in status.stores)
    assert all(ended(task).error is None for task in tasks[:2])


def test_time_spent_waiting_for_the_device_is_not_counted_as_computing(
    spec: sc.ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(spec)
    seconds: list[tuple[float, float]] = []
    monkeypatch.setattr(
        engine._counters, "explained", lambda model, waited, computed, _=1: seconds.append((waited, computed))
    )
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    with engine._passes:
        task = engine.submit(request(0, target=1, methods=("grad_cam",)), photo(0))
        until(lambda: engine._passes.waiting == 1)
        clock[0] = 100.0
    ended(task)
    ((waited, computed),) = seconds
    assert waited >= 100.0
    assert computed == 0.0


def test_models_whose_source_does_not_answer_keep_no_other_waiting(spec: sc.ModelSpec) -> None:
    answer = threading.Event()

    def hang() -> str:
        assert answer.wait(LONG)
        raise sc.WeightsError("the mirror gave up")

    hanging = [
        replace(spec, name=f"hanging{number}", source=Embedded(hang))
        for number in range(local.LOADING_THREADS - 1)
    ]
    engine = sc.Engine(DEVICE, models={each.name: each for each in (*hanging, spec)})
    stuck = [engine.load(each.name) for each in hanging]
    until(lambda: all(task.state is TaskState.RUNNING for task in stuck))
    assert engine.load("tiny").wait(LONG)
    assert ended(engine.submit(request(0, target=1), photo(0))).error is None
    answer.set()
    assert all("the mirror gave up" in str(ended(task).error) for task in stuck)


def test_a_model_that_an_answer_needs_is_loaded_though_the_session_that_chose_it_leaves(
    spec: sc.ModelSpec,
) -> None:
    begun, go = threading.Event(), threading.Event()

    def fetch() -> str:
        begun.set()
        assert go.wait(LONG)
        return str(spec.source.path(Path()))

    slow = replace(spec, name="slow", source=Embedded(fetch))
    engine, left = sc.Engine(DEVICE, models={"slow": slow}), Tasks(patience=0)
    left.result("load", lambda: engine.load("slow"), title="")
    assert begun.wait(LONG)
    task = engine.submit(request(0, model="slow", target=1), photo(0))
    del left
    gc.collect()
    go.set()
    assert ended(task).error is None


def test_a_batch_smaller_than_one_is_refused(spec: sc.ModelSpec) -> None:
    with pytest.raises(sc.ArgumentError, match="batch is 0; expected 1 or more"):
        sc.Engine(DEVICE, models={"tiny": spec}, batch=0)


def test_a_task_without_a_session_is_bounded_by_the_queue_alone() -> None:
    queue = TaskQueue(workers=1, max_waiting=5, per_session=1)
    go = threading.Event()
    tasks = [queue.submit(number, lambda _: go.wait(LONG)) for number in range(5)]
    go.set()
    assert all(task.value() for task in tasks)
