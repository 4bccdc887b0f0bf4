"""The engine on Ray Serve: the answers of the engine of one process, also when replicas are lost."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

import saliency_core as sc
from pages.shared.engine import SETTING, cluster_address
from saliency_core.cli.commands import main
from saliency_core.engine.checkpoints import CheckpointModel
from saliency_core.engine.evaluations import EvaluationRequest, Helpers
from saliency_core.engine.local import Engine
from saliency_core.engine.photo_evaluations import MapChoice, PerturbationRequest
from saliency_core.engine.priorities import Priority
from saliency_core.engine.ray import deployment
from saliency_core.engine.ray.answers import NAME, NAMESPACE
from saliency_core.engine.ray.client import BUSY, LOST, RayEngine
from saliency_core.engine.ray.replica import _Held
from saliency_core.engine.ray.scale import Scale
from saliency_core.engine.request import ExplainRequest, image_digest
from saliency_core.engine.status import StoreStatus
from saliency_core.engine.tasks import TaskState
from saliency_core.errors import (
    ArgumentError,
    BusyError,
    SaliencyError,
    UnavailableError,
    UnknownNameError,
    WeightsError,
)
from saliency_core.models.classifier import Classifier
from saliency_core.progress import Cancelled
from tests import networks
from tests.threads import until

ONGOING, QUEUED = 3, 2
SCALE = Scale(2, 2, "cpu", threads=1, cpus=0.1, ongoing=ONGOING, queued=QUEUED)
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 32, 3), np.uint8))
REQUEST = ExplainRequest(image_digest(PHOTO), "tiny")
NAMES = ("tiny", "small", "little")

OTHER_PROCESS = """
import hashlib, sys
from PIL import Image
from saliency_core.engine.ray.client import RayEngine
from saliency_core.engine.request import ExplainRequest, image_digest

engine = RayEngine(sys.argv[1])
image = Image.open(sys.argv[2])
found = engine.explain(ExplainRequest(image_digest(image), "tiny", target=3), image)
print(hashlib.sha256(found.map("normgrad", "act").tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, sc.ModelSpec]:
    """Three small networks."""
    spec = networks.tiny_spec(tmp_path_factory.mktemp("weights"))
    return {name: replace(spec, name=name, title=name.title()) for name in NAMES}


@pytest.fixture(scope="module")
def engine(ray_cluster: None, models: dict[str, sc.ModelSpec]) -> Iterator[RayEngine]:
    """A client of two replicas."""
    deployment.deploy(ray, SCALE, models)
    yield RayEngine()
    deployment.remove(ray)
    ray.serve.shutdown()


@pytest.fixture(scope="module")
def local(models: dict[str, sc.ModelSpec]) -> Engine:
    return Engine("cpu", models=models)


@dataclass(frozen=True, eq=False)
class Sum:
    """An answer."""

    value: int
    process: int
    nbytes: int = 16


@dataclass(frozen=True)
class Steps(EvaluationRequest[Sum]):
    """An evaluation in steps, each of which waits for a file; it notes when it is stopped."""

    folder: Path
    number: int = 0

    @property
    def model(self) -> str:
        return "tiny"

    def compute(self, classifier: Classifier, image: Image.Image | None, helpers: Helpers[Sum]) -> Sum:
        try:
            for step in range(1, 4):
                self.tell("begun")
                until(lambda step=step: self.reached(step, helpers))  # type: ignore[misc]
                helpers.partial(Sum(step, os.getpid()))
                helpers.progress(step, 3)
        except Cancelled:
            self.tell("stopped")
            raise
        return Sum(3, os.getpid())

    def reached(self, step: int, helpers: Helpers[Sum]) -> bool:
        helpers.progress(step - 1, 3)
        return (self.folder / str(step)).exists()

    def tell(self, what: str) -> None:
        (self.folder / f"{what}-{self.number}").touch()

    def told(self, what: str) -> bool:
        return (self.folder / f"{what}-{self.number}").exists()

    def let(self, *steps: int) -> None:
        for step in steps:
            (self.folder / str(step)).touch()


@dataclass(frozen=True)
class Deadly(EvaluationRequest[Sum]):
    """An evaluation that kills the process that computes it, a number of times."""

    folder: Path
    times: int

    @property
    def model(self) -> str:
        return "tiny"

    def compute(self, classifier: Classifier, image: Image.Image | None, helpers: Helpers[Sum]) -> Sum:
        if len(self.killed) < self.times:
            (self.folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Sum(len(self.killed), os.getpid())

    @property
    def killed(self) -> list[Path]:
        return list(self.folder.iterdir())


def maps(found: sc.Explanation) -> dict[tuple[str, str], NDArray[Any]]:
    return {
        (method, layer.name): found.map(method, layer)
        for method in found.methods
        for layer in found.layers_of(method)
    }


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("local", None),
        ("ray", "auto"),
        ("10.0.0.1:6379", "10.0.0.1:6379"),
        ("ray://head:6379", "head:6379"),
    ],
)
def test_the_setting_names_the_engine(
    monkeypatch: pytest.MonkeyPatch, text: str, address: str | None
) -> None:
    monkeypatch.setenv(SETTING, text)
    assert cluster_address() == address


@pytest.mark.parametrize("text", ["Ray", "ray://", "head", "head:", "ray://head:6379/1", ":1"])
def test_a_setting_that_names_no_engine_is_refused_with_the_choices(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(SETTING, text)
    with pytest.raises(ArgumentError, match="SALIENCY_ENGINE is .*; expected local, ray or an address"):
        cluster_address()


def test_the_scale_fits_the_machines_of_the_cluster() -> None:
    def fitting(*machines: dict[str, int], **options: Any) -> Scale:
        class Cluster:
            """Stands for the module: Ray knows no other machines here."""

            @staticmethod
            def nodes() -> list[dict[str, Any]]:
                return [{"Alive": True, "Resources": each} for each in machines]

        return Scale.fitting(Cluster, **options)

    small, large = {"CPU": 2}, {"CPU": 16}
    assert fitting(small) == Scale(1, 1, "cpu", threads=2, cpus=2)
    assert fitting(small, replicas=(2, 2)) == Scale(2, 2, "cpu", threads=1, cpus=1)
    assert fitting(small, replicas=(1, 4)) == Scale(1, 4, "cpu", threads=1, cpus=0.5)
    assert fitting(small, large) == Scale(1, 4, "cpu", threads=4, cpus=4)
    assert fitting(large | {"GPU": 4}) == Scale(1, 4, "cuda", threads=4, cpus=4, ongoing=32)
    assert fitting(large | {"GPU": 4}, device="cpu").device == "cpu"
    for options, message in {
        ("cuda", None): "no machine of the cluster has a GPU",
        ("tpu", None): "expected auto, cpu or cuda",
        ("cpu", (2, 1)): "expected 1 or more, the fewest first",
        ("cpu", (0, 1)): "expected 1 or more, the fewest first",
    }.items():
        with pytest.raises(ArgumentError, match=message):
            fitting(small, device=options[0], replicas=options[1])


def test_a_network_that_leaves_the_list_of_a_replica_leaves_its_memory(local: Engine) -> None:
    local.explain(REQUEST, PHOTO)
    assert "tiny" in local.loaded
    held = _Held(local, "tiny")
    del held
    assert "tiny" not in local.loaded
    assert local.submit(REQUEST, PHOTO).state is TaskState.DONE  # the answer is kept


def test_answers_are_those_of_the_engine_of_one_process_to_the_last_bit(
    engine: RayEngine, local: Engine
) -> None:
    for request in (
        REQUEST,
        replace(REQUEST, target=2, fit="pad", variant=sc.MetaStep(lr=0.01)),
        replace(REQUEST, model="small", target=1, methods=("normgrad", "occlusion")),
    ):
        found, expected = engine.submit(request, PHOTO).value(), local.explain(request, PHOTO)
        assert found.target == expected.target
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
        for key, values in maps(expected).items():
            np.testing.assert_array_equal(maps(found)[key], values, strict=True)
    asked = PerturbationRequest(replace(REQUEST, target=2), maps=(MapChoice("normgrad", "act"),), steps=4)
    curves = engine.submit_evaluation(asked, PHOTO).value().curves
    for found, expected in zip(curves, local.submit_evaluation(asked, PHOTO).value().curves, strict=True):
        np.testing.assert_array_equal(found.deletion, expected.deletion)
    assert engine.model_info("tiny") == local.model_info("tiny")
    assert [each.name for each in engine.models()] == list(NAMES)
    assert engine.listing("small").details == local.listing("small").details
    assert [each.name for each in engine.search("LITT")] == ["little"]


@pytest.mark.usefixtures("engine")
def test_ray_listens_on_this_machine_only() -> None:
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    assert host == "127.0.0.1"
    outside = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in outside - {host}:
        with pytest.raises(OSError):  # noqa: PT011 - the system says it in its own words
            socket.create_connection((address, int(port)), 1)


def test_a_cached_answer_is_there_at_once(engine: RayEngine) -> None:
    found = engine.explain(REQUEST, PHOTO)
    assert engine.submit(REQUEST, PHOTO).result is found
    assert engine.submit(replace(REQUEST, target=found.target), PHOTO).result is found


def test_errors_keep_their_kind_and_their_sentence(engine: RayEngine, local: Engine) -> None:
    for wrong in (
        replace(REQUEST, model="unknown"),
        replace(REQUEST, target=99),
        replace(REQUEST, layers=("nowhere",)),
        replace(REQUEST, methods=("no_method",)),
        replace(REQUEST, fit="wide"),
    ):
        with pytest.raises(SaliencyError) as expected:
            local.explain(wrong, PHOTO)
        task = engine.submit(wrong, PHOTO)
        with pytest.raises(type(expected.value)) as found:
            task.value()
        assert (type(found.value), str(found.value), task.error) == (
            type(expected.value),
            str(expected.value),
            str(expected.value),
        )


def test_progress_partial_answers_and_the_end_arrive_as_they_happen(
    engine: RayEngine, tmp_path: Path
) -> None:
    request = Steps(tmp_path)
    task = engine.submit_evaluation(request)
    assert engine.submit_evaluation(request) is task
    for step in (1, 2):
        request.let(step)
        until(lambda step=step: (task.done, task.total) == (step, 3))  # type: ignore[misc]
        until(lambda step=step: getattr(engine.partial_evaluation(request), "value", 0) == step)  # type: ignore[misc]
    request.let(3)
    assert task.value().value == 3
    assert engine.partial_evaluation(request) is None


def test_cancelling_stops_the_computation_in_the_replica(engine: RayEngine, tmp_path: Path) -> None:
    request = Steps(tmp_path)
    task = engine.submit_evaluation(request)
    until(lambda: request.told("begun"))
    task.cancel()
    until(lambda: request.told("stopped"))
    with pytest.raises(Cancelled):
        task.value()


def test_requests_that_find_all_replicas_and_the_queue_full_are_refused_with_a_sentence(
    engine: RayEngine, tmp_path: Path
) -> None:
    requests = [Steps(tmp_path, number) for number in range(SCALE.max_replicas * ONGOING + QUEUED + 2)]
    tasks = [engine.submit_evaluation(each, priority=Priority.SCREEN) for each in requests]
    until(lambda: any(task.ended for task in tasks))
    requests[0].let(1, 2, 3)
    for task in tasks:
        task.wait()
    refused = [task for task in tasks if task.state is TaskState.FAILED]
    assert {task.error for task in refused} == {BUSY}
    with pytest.raises(BusyError):
        refused[0].value()
    assert {task.value().value for task in tasks if task not in refused} == {3}


def test_each_network_is_loaded_by_one_replica_and_requests_for_it_go_there(engine: RayEngine) -> None:
    for name in NAMES:
        engine.load(name).value()
    router = engine._handle._router._asyncio_router._request_router  # what Ray Serve knows by now
    until(lambda: set(NAMES) <= router._multiplexed_model_id_to_replica_ids.keys())
    before = {each.name: each.bytes for each in engine.status().models}
    for target in range(4):
        for name in NAMES:
            engine.explain(replace(REQUEST, model=name, target=target), PHOTO)
    assert {each.name: each.bytes for each in engine.status().models} == before
    assert set(before) == set(NAMES)


def test_a_model_of_ones_own_is_known_to_the_replicas_as_long_as_it_is_offered(
    engine: RayEngine, tmp_path: Path
) -> None:
    file = tmp_path / "mine.pth"
    torch.save(timm.create_model("test_resnet", num_classes=3).state_dict(), file)
    wrong = tmp_path / "photo.pth"
    wrong.write_bytes(b"GIF89a")
    mine = CheckpointModel("own:mine", "Mine", file, "timm:test_resnet")
    with pytest.raises(WeightsError, match="photo.pth"):
        engine.describe_checkpoint(wrong)
    with pytest.raises(ArgumentError, match="the name of one's own begins with 'own:'"):
        engine.add_model(replace(mine, name="mine"))
    with pytest.raises(UnknownNameError, match="belongs to another session or was removed"):
        engine.title("own:mine")
    engine.add_model(mine)
    assert engine.load("own:mine").value().labels == engine.model_info("own:mine").labels
    assert {engine.listing("own:mine").title, engine.title("own:mine")} == {"Mine"}
    request = replace(REQUEST, model="own:mine", target=1, methods=("normgrad",))
    assert engine.explain(request, PHOTO).target == 1
    engine.remove_model("own:mine")
    for ask in (lambda: engine.explain(request, PHOTO), lambda: engine.listing("own:mine")):
        with pytest.raises(UnknownNameError, match="belongs to another session or was removed"):
            ask()


def test_another_web_process_finds_the_answer_of_the_first(engine: RayEngine, tmp_path: Path) -> None:
    expected = engine.explain(replace(REQUEST, target=3), PHOTO)
    PHOTO.save(tmp_path / "photo.png")
    before = shared(engine)
    other = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, ray.get_runtime_context().gcs_address, tmp_path / "photo.png"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == hashlib.sha256(expected.map("normgrad", "act").tobytes()).hexdigest()
    after = shared(engine)
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 0)


def test_without_the_shared_answers_everything_is_computed_anew(engine: RayEngine) -> None:
    store = ray.get_actor(NAME, NAMESPACE)
    assert shared(engine).entries
    ray.kill(store, no_restart=False)
    request = replace(REQUEST, target=4)
    assert engine.explain(request, PHOTO).target == 4
    until(lambda: any(each.name == "shared answers" for each in engine.status().stores))
    assert shared(engine).hits == 0


def test_a_replica_that_is_killed_is_replaced_and_nobody_notices(engine: RayEngine, tmp_path: Path) -> None:
    deadly = Deadly(tmp_path, times=1)
    task = engine.submit_evaluation(deadly)
    assert task.value().value == 1
    (killed,) = deadly.killed
    assert task.value().process != int(killed.name)
    until(lambda: engine.status().device == "2 × cpu")


def test_a_computation_that_kills_one_replica_after_the_other_ends_with_a_sentence(
    engine: RayEngine, tmp_path: Path
) -> None:
    deadly = Deadly(tmp_path, times=99)
    with pytest.raises(UnavailableError) as error:
        engine.submit_evaluation(deadly).value()
    assert str(error.value) == LOST
    assert len(deadly.killed) == 2
    assert engine.explain(replace(REQUEST, target=0), PHOTO).target == 0


def test_the_command_starts_the_replicas_runs_another_command_and_ends_them(
    engine: RayEngine, tmp_path: Path
) -> None:
    address = ray.get_runtime_context().gcs_address
    told = tmp_path / "told"
    program = f"import os; open({str(told)!r}, 'w').write(os.environ['{SETTING}']); raise SystemExit(7)"
    arguments = ["serve", "--address", address, "--replicas", "1", "4", "--", sys.executable, "-c", program]
    assert main(arguments) == 7
    assert told.read_text() == address
    assert deployment.handle(ray) is None
    assert ray.is_initialized()  # as it was before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "{taken}"], "Ray cannot listen on 127.0.0.1:.*: Address already in use; take another"),
        (["--port", "70000"], "Ray cannot listen on 127.0.0.1:70000: .*; take another --port"),
        (["--host", "192.0.2.77"], "Ray cannot listen on 192.0.2.77:6379: Cannot assign requested address"),
        (["--address", "127.0.0.1:1"], "there is no Ray cluster at '127.0.0.1:1': Connection refused"),
    ],
)
def test_what_the_command_cannot_use_is_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [each.format(taken=taken.getsockname()[1]) for each in arguments]
        assert main(["serve", *given]) == 2
    assert re.match(message, capsys.readouterr().err)


def shared(engine: RayEngine) -> StoreStatus:
    return next(each for each in engine.status().stores if each.name == "shared answers")
