"""An evaluation on Ray: the same rows as in one process, also when a worker is killed."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch

import saliency_core as sc
from saliency_core.errors import UnavailableError
from saliency_core.evaluation import ray_run
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.ray_run import ray_computer
from saliency_core.evaluation.result import EvaluationResult
from saliency_core.evaluation.rows import arrow
from saliency_core.evaluation.run import Evaluation, EvaluationError, evaluate
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.progress import Cancelled
from tests import networks
from tests.conftest import RAY_CPUS
from tests.photo_set_files import StoredFiles, made_photo_set, small_photos
from tests.threads import until

PHOTOS = small_photos(24)
PLAN = EvaluationPlan(model="tiny", batch=4)
MIDDLE = list(PHOTOS)[13]


@pytest.fixture(scope="module")
def classifier() -> sc.Classifier:
    network = networks.seeded(classes=3, dtype=torch.float32)
    return networks.classifier(network, labels=["red", "green", "blue"], title="tiny")


@pytest.fixture(scope="module")
def local(classifier: sc.Classifier) -> EvaluationResult:
    return evaluate(classifier, made_photo_set(PHOTOS), PLAN)


class DeadlyFiles(StoredFiles):
    """Kills a process that reads the photo in the middle, unless it is the one that made this object."""

    def __init__(self, marks: Path, times: int) -> None:
        super().__init__(PHOTOS)
        self.marks, self.times, self.maker = marks, times, os.getpid()

    def read(self, name: str) -> bytes:
        if name == MIDDLE and os.getpid() != self.maker and len(self.killed) < self.times:
            (self.marks / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(name)

    @property
    def killed(self) -> list[str]:
        return [path.name for path in self.marks.iterdir()]


def deadly(marks: Path, times: int) -> tuple[PhotoSet, DeadlyFiles]:
    files = DeadlyFiles(marks, times)
    return replace(made_photo_set(PHOTOS), files=files), files


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:99999"])
def test_an_address_at_which_nobody_listens_is_refused_at_once(
    classifier: sc.Classifier, address: str
) -> None:
    with pytest.raises(UnavailableError, match="there is no Ray cluster at .*; give HOST:PORT as"):
        evaluate(classifier, made_photo_set(PHOTOS), PLAN, compute=ray_computer(address))


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_on_ray_gives_the_rows_of_a_run_in_one_process_to_the_last_digit(
    classifier: sc.Classifier, local: EvaluationResult
) -> None:
    found = evaluate(classifier, made_photo_set(PHOTOS), PLAN, compute=ray_computer())
    assert found.rows.equals(local.rows)
    assert found.rows.schema.equals(local.rows.schema)
    assert found.complete


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_that_is_killed_in_the_middle_is_replaced_and_no_photo_is_lost_or_counted_twice(
    classifier: sc.Classifier, local: EvaluationResult, tmp_path: Path
) -> None:
    photos, files = deadly(tmp_path, times=1)
    found = evaluate(classifier, photos, PLAN, compute=ray_computer())
    assert len(files.killed) == 1
    assert found.complete
    assert found.rows.equals(local.rows)


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_that_is_cancelled_gives_its_workers_back(classifier: sc.Classifier) -> None:
    def cancel(done: int, _total: int) -> None:
        if done:
            raise Cancelled

    plan = replace(PLAN, batch=1000)  # one batch, one worker
    with pytest.raises(Cancelled):
        evaluate(classifier, made_photo_set(PHOTOS), plan, progress=cancel, compute=ray_computer())
    until(lambda: ray.available_resources().get("CPU") == RAY_CPUS)


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_refuses_to_compute_with_other_versions_photos_or_weights(classifier: sc.Classifier) -> None:
    order = ray_run._order(Evaluation(classifier, made_photo_set(PHOTOS), PLAN), "cpu")
    photos = dict.fromkeys(order.photos, 0)
    wrong = {
        "has PyTorch .*, and the run was started with 1.0; install the same version": replace(
            order, versions={**order.versions, "PyTorch": "1.0"}
        ),
        "does not see the photo 'photo-00.png' of 'made' as it is where": replace(order, photos=photos),
        "with other weights": replace(order, network="0"),
    }
    for message, given in wrong.items():
        answer = ray_run._Worker(ray.put(given))(arrow().table({"batch": [0]}))
        (error,) = answer["error"].to_pylist()
        with pytest.raises(EvaluationError, match=message):
            raise pickle.loads(error)
