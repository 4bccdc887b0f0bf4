"""The evaluation of a photo set, asked of an engine: followed, cancelled, continued, kept within bounds."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.engine.tasks import TaskState
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.request import PhotoSetRequest, forget_oldest
from saliency_core.evaluation.result import EvaluationResult
from saliency_core.evaluation.run import evaluate
from saliency_core.photo_sets.reading import read_photo_set

SAMPLES = Path(__file__).parents[1] / "assets" / "samples"
PLAN = EvaluationPlan(model=sc.DEFAULT_MODEL, methods=("normgrad", "grad_cam"), layers=("blocks.4",), batch=2)


@pytest.fixture(scope="module")
def engine() -> sc.Engine:
    return sc.Engine("cpu")


def request(folder: Path | None, plan: EvaluationPlan = PLAN) -> PhotoSetRequest:
    return PhotoSetRequest(plan, "samples", read_photo_set(SAMPLES, "csv"), folder)


def test_a_set_is_evaluated_by_an_engine_as_by_the_function(engine: sc.Engine, tmp_path: Path) -> None:
    found = engine.submit_evaluation(request(tmp_path)).value()
    assert found.rows.equals(evaluate(sc.load_classifier(), read_photo_set(SAMPLES, "csv"), PLAN).rows)
    assert engine.submit_evaluation(request(None)).result is found  # the set's key is equal, so it is known


def test_a_run_that_is_cancelled_can_be_followed_and_is_continued_where_it_was(
    engine: sc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = EvaluationPlan(
        model=sc.DEFAULT_MODEL, methods=("normgrad",), layers=("blocks.5",), mixes=(), batch=2
    )
    asked = request(tmp_path, plan)
    enough, go_on = threading.Event(), threading.Event()
    opened: list[str] = []
    read = type(asked.photo_set.files).read

    def slowly(files: object, name: str) -> bytes:
        opened.append(name)
        if len(opened) == 5:
            enough.set()
            assert go_on.wait(60)
        return read(files, name)

    monkeypatch.setattr(type(asked.photo_set.files), "read", slowly)
    task = engine.submit_evaluation(asked)
    assert enough.wait(60)
    while engine.partial_evaluation(asked) is None:
        assert not task.wait(0.01)
    known = engine.partial_evaluation(asked)
    assert isinstance(known, EvaluationResult)
    assert not known.complete
    task.cancel()
    go_on.set()
    assert task.wait(60)
    assert task.state is TaskState.CANCELLED
    assert engine.partial_evaluation(asked) is None
    before, opened[:] = list(opened), []
    found = engine.submit_evaluation(asked).value()
    assert found.complete
    assert len(opened) < len(asked.photo_set.records)  # those that were done are not read again
    assert before
    assert found.rows.equals(evaluate(sc.load_classifier(), asked.photo_set, plan).rows)


def test_an_evaluation_with_a_photo_s_methods_needs_the_photo(engine: sc.Engine) -> None:
    class Asking(PhotoSetRequest):
        def compute(self, classifier: sc.Classifier, image: Image.Image | None, helpers: object) -> object:
            return helpers.explain(None)  # type: ignore[attr-defined]

    task = engine.submit_evaluation(Asking(PLAN, "asking", read_photo_set(SAMPLES, "csv")))
    with pytest.raises(sc.ArgumentError, match="no photo was sent with this evaluation"):
        task.value()


def test_a_folder_keeps_the_newest_results_complete_or_not(tmp_path: Path) -> None:
    for number in range(4):
        place = tmp_path / f"{number}.parquet{'.parts' if number % 2 else ''}"
        if number % 2:
            place.mkdir()
        else:
            place.touch()
        os.utime(place, (number, number))
    forget_oldest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.parquet", "3.parquet.parts"]
