"""Evaluations of maps, asked of an engine as requests: computed once, followed while they are under way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.engine.perturbation import Perturbation
from saliency_core.engine.photo_evaluations import (
    MapChoice,
    PerturbationRequest,
    PhotoEvaluation,
    RandomisationRequest,
)
from saliency_core.engine.request import ExplainRequest, image_digest
from saliency_core.engine.tasks import TaskState
from saliency_core.errors import ArgumentError, ArgumentTypeError
from tests.networks import SIDE, tiny_spec
from tests.threads import LONG

STEPS = 4
METHODS = ("normgrad", "gradient")
MAPS = tuple(MapChoice(name, "branch") for name in METHODS)


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))


@pytest.fixture
def engine(tmp_path: Path) -> sc.Engine:
    return sc.Engine("cpu", models={"tiny": tiny_spec(tmp_path)})


@pytest.fixture
def asked(photo: Image.Image) -> ExplainRequest:
    return ExplainRequest(image_digest(photo), "tiny", 1)


def answer(engine: sc.Engine, request: PhotoEvaluation[Perturbation], photo: Image.Image) -> Perturbation:
    task = engine.submit_evaluation(request, photo, title="Evaluation")
    assert task.wait(LONG)
    return task.value()


def test_the_pictures_at_a_step_are_those_that_the_curve_is_of(
    engine: sc.Engine, asked: ExplainRequest, photo: Image.Image
) -> None:
    request = PerturbationRequest(asked, MAPS, "black", STEPS)
    found = answer(engine, request, photo)
    assert found.levels.shape == (3, SIDE, SIDE)
    assert len(found.curves) == 3
    clf = engine.classifier("tiny")
    original, _ = clf.prepare(photo)
    removed, _ = clf.prepare(Image.new("RGB", photo.size))
    for levels, curve in zip(found.levels, found.curves, strict=True):
        for step in range(STEPS + 1):
            mask = (levels < step)[None, None]
            assert mask.sum() == round(SIDE * SIDE * step / STEPS)
            for values, (inside, outside) in (
                (curve.deletion, (removed, original)),
                (curve.insertion, (original, removed)),
            ):
                picture = outside.clone()
                picture[:, :, mask[0, 0]] = inside[:, :, mask[0, 0]]
                expected = clf.probabilities(clf.scores(picture))[0, 1].item()
                assert values[step] == pytest.approx(expected, abs=1e-5)
    values = engine.explain(asked, photo).resized("normgrad", "branch", (SIDE, SIDE))
    first = found.levels[0] == 0
    assert values[first].min() >= values[~first].max(), "the strongest pixels go first"


def test_equal_evaluations_are_computed_once_and_others_are_not_mixed_up_with_them(
    engine: sc.Engine, asked: ExplainRequest, photo: Image.Image
) -> None:
    request = PerturbationRequest(asked, MAPS, steps=STEPS)
    first = answer(engine, request, photo)
    again = engine.submit_evaluation(replace(request), photo)
    assert again.state is TaskState.DONE
    assert again.value() is first
    other = answer(engine, replace(request, baseline="black"), photo)
    assert not np.array_equal(other.curves[0].deletion, first.curves[0].deletion)
    assert np.array_equal(other.levels, first.levels)
    assert engine.partial_evaluation(request) is None


def test_an_evaluation_under_way_tells_the_steps_known_so_far(
    engine: sc.Engine, asked: ExplainRequest, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Perturbation] = []
    request = PerturbationRequest(asked, MAPS, steps=STEPS)
    note = engine._partial.__class__.__setitem__

    class Noted(dict[object, Perturbation]):
        def __setitem__(self, key: object, value: Perturbation) -> None:
            note(self, key, value)
            found = engine.partial_evaluation(request)
            assert found is value
            seen.append(found)

    monkeypatch.setattr(engine, "_partial", Noted())
    done = answer(engine, request, photo)
    known = [sum(int(np.isfinite(each.deletion).sum()) for each in found.curves) for found in seen]
    assert known == sorted(known)
    assert known[0] < known[-1] <= 3 * (STEPS + 1)
    assert np.array_equal(seen[0].levels, done.levels), "the pictures are known from the beginning"


def test_a_mixed_map_is_the_one_that_combine_gives_of_the_layers_that_have_a_weight(
    engine: sc.Engine, asked: ExplainRequest, photo: Image.Image
) -> None:
    explanation = engine.explain(asked, photo)
    choice = MapChoice("normgrad", None, (("branch", 1.0), ("act", 0.5)), "sum")
    maps = [explanation.map("normgrad", layer) for layer in ("branch", "act")]
    expected = sc.combine(maps, weights=[1.0, 0.5], how="sum", size=(SIDE, SIDE))
    assert np.array_equal(choice.of(explanation), expected)
    one = replace(choice, weights=(("branch", 0.0), ("act", 2.0)))
    assert np.array_equal(one.of(explanation), sc.combine(maps[1:], weights=[1.0], size=(SIDE, SIDE)))
    with pytest.raises(ArgumentError, match="nothing to mix of NormGrad"):
        replace(choice, weights=(("branch", 0.0), ("act", 0.0))).of(explanation)


def test_an_evaluation_of_no_class_no_map_or_a_changed_network_is_refused(asked: ExplainRequest) -> None:
    with pytest.raises(ArgumentTypeError, match="expected a request with its class"):
        RandomisationRequest(replace(asked, target=None))
    with pytest.raises(ArgumentError, match="without a meta step"):
        RandomisationRequest(replace(asked, variant=sc.MetaStep(0.1)))
    with pytest.raises(ArgumentError, match="expected at least one map"):
        PerturbationRequest(asked)
    with pytest.raises(ArgumentError, match="from 1 to 255 steps"):
        PerturbationRequest(asked, MAPS, steps=256)


def test_randomised_networks_are_answered_from_the_cache_and_leave_the_loaded_one_as_it_was(
    engine: sc.Engine, asked: ExplainRequest, photo: Image.Image
) -> None:
    request = RandomisationRequest(replace(asked, methods=METHODS))
    state = {name: each.clone() for name, each in engine.classifier("tiny").module.state_dict().items()}
    before = engine.explain(asked, photo).map("normgrad", "branch")
    task = engine.submit_evaluation(request, photo)
    assert task.wait(LONG)
    found = task.value()
    assert np.array_equal(found.trained.map("normgrad", "branch"), before)
    assert not np.array_equal(found.explanations[-1].map("normgrad", "branch"), before)
    assert {each.target for each in (found.trained, *found.explanations)} == {1}
    assert engine.submit_evaluation(request, photo).value() is found
    after = engine.classifier("tiny").module.state_dict()
    assert all(bool((after[name] == each).all()) for name, each in state.items())


def test_an_evaluation_of_a_model_that_does_not_exist_is_refused_in_a_sentence(
    engine: sc.Engine, asked: ExplainRequest, photo: Image.Image
) -> None:
    task = engine.submit_evaluation(RandomisationRequest(replace(asked, model="none")), photo)
    assert task.state is TaskState.FAILED
    assert "none" in (task.error or "")
