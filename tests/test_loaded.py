"""How many models stay in memory: the bound, those in use, and what is still right after one had to go."""

import gc
import random
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.engine import local
from saliency_core.engine.loaded import LoadedModel, LoadedModels, digest_of, size_of
from saliency_core.engine.request import ExplainRequest, image_digest
from saliency_core.errors import ArgumentError
from saliency_core.models.weights.sources import Embedded
from tests.networks import SIDE, InPlaceNet, classifier, seeded
from tests.threads import LONG, until

NAMES = ("a", "b", "c", "d")
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))


class Builds:
    """Loads small classifiers by name, and knows which of them are still in memory."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._alive: dict[str, list[weakref.ref[sc.Classifier]]] = {}

    def __call__(self, name: str) -> Callable[[], sc.Classifier]:
        def build() -> sc.Classifier:
            self.count[name] += 1
            return self.watched(name, classifier(seeded(ord(name))))

        return build

    def watched(self, name: str, found: sc.Classifier) -> sc.Classifier:
        """The classifier; from now on it is known whether it is in memory."""
        self._alive.setdefault(name, []).append(weakref.ref(found))
        return found

    def alive(self, name: str) -> int:
        """How many copies of a model are in memory."""
        return sum(each() is not None for each in tuple(self._alive.get(name, ())))


SIZE = size_of(classifier(seeded(ord("a"))))


@pytest.fixture
def builds() -> Builds:
    return Builds()


def touch(models: LoadedModels, builds: Builds, *names: str) -> None:
    for name in names:
        models.use(name, builds(name), lambda *_: None)


def present(models: LoadedModels) -> str:
    return "".join(name for name in NAMES if name in models)


def test_the_least_recently_used_model_goes_first_and_the_last_one_last(builds: Builds) -> None:
    models = LoadedModels(3 * SIZE)
    touch(models, builds, "a", "b", "c", "a", "d")
    assert present(models) == "acd"
    assert models.size == 3 * SIZE
    default_last = LoadedModels(3 * SIZE, last="a")
    touch(default_last, builds, *"abcbcd")
    assert present(default_last) == "acd"
    assert builds.alive("b") == 0


def test_a_model_in_use_never_goes_and_counts(builds: Builds) -> None:
    models = LoadedModels(2 * SIZE)

    def while_in_use(_: LoadedModel, mine: sc.Classifier) -> None:
        touch(models, builds, "b", "c", "d")
        assert present(models) == "ad"
        assert models.peek("a")[1] is mine

    models.use("a", builds("a"), while_in_use)
    assert (present(models), models.size) == ("ad", 2 * SIZE)
    assert builds.count["a"] == 1


def test_room_is_made_before_a_model_is_loaded_whose_size_is_known(builds: Builds) -> None:
    models = LoadedModels(2 * SIZE)
    touch(models, builds, "a", "b")
    seen: list[str] = []

    def build() -> sc.Classifier:
        seen.append(present(models))
        assert models.size == 2 * SIZE
        return builds("c")()

    models.use("c", build, lambda *_: None, SIZE)
    assert seen == ["b"]


def test_room_is_made_after_a_model_is_loaded_whose_size_was_not_known(builds: Builds) -> None:
    models = LoadedModels(2 * SIZE)
    touch(models, builds, "a", "b")
    assert models.use("c", builds("c"), lambda *_: present(models)) == "bc"


def test_a_model_beyond_the_bound_goes_as_soon_as_another_is_used(builds: Builds) -> None:
    models = LoadedModels(SIZE // 2)

    def while_in_use(*_: object) -> tuple[int, int]:
        touch(models, builds, "b")
        return builds.alive("a"), builds.alive("b")

    assert models.use("a", builds("a"), while_in_use) == (1, 0)


def test_a_model_beyond_the_bound_stays_as_long_as_it_is_the_only_one(builds: Builds) -> None:
    models = LoadedModels(SIZE // 2)
    touch(models, builds, "a", "a")
    assert (builds.count["a"], present(models)) == (1, "a")
    touch(models, builds, "b")
    assert (builds.alive("a"), present(models)) == (0, "b")


def test_a_model_that_somebody_holds_counts_and_is_not_loaded_again(builds: Builds) -> None:
    models = LoadedModels(SIZE)
    held = models.use("a", builds("a"), lambda _, found: found)
    touch(models, builds, "b")
    assert models.size == 2 * SIZE
    assert models.use("a", builds("a"), lambda _, found: found) is held
    assert builds.count["a"] == 1
    touch(models, builds, "c")
    del held
    assert (models.size, present(models)) == (SIZE, "c")


def test_a_removed_model_is_loaded_again_though_somebody_holds_it(builds: Builds) -> None:
    models = LoadedModels(10 * SIZE)
    held = models.use("a", builds("a"), lambda _, found: found)
    models.remove("a")
    models.remove("never loaded")
    assert ("a" in models, models.size) == (False, SIZE)
    assert models.use("a", builds("a"), lambda _, found: found) is not held


def test_a_network_that_refers_to_itself_leaves_the_memory_too(builds: Builds) -> None:
    def build() -> sc.Classifier:
        found = builds("a")()
        object.__setattr__(found.module.conv, "circle", [found])
        found.module.conv.circle.append(found.module.conv.circle)
        return found

    models = LoadedModels(SIZE)
    gc.disable()
    try:
        models.use("a", build, lambda *_: None)
        touch(models, builds, "b")
        assert (models.size, builds.alive("a")) == (SIZE, 0)
    finally:
        gc.enable()


def test_after_a_failure_the_next_who_asks_loads_it(builds: Builds) -> None:
    models = LoadedModels(SIZE)

    def fail() -> sc.Classifier:
        raise sc.WeightsError("no connection")

    with pytest.raises(sc.WeightsError):
        models.use("a", fail, lambda *_: None, SIZE)
    assert models.size == 0
    touch(models, builds, "a")
    with pytest.raises(ZeroDivisionError):
        models.use("a", fail, lambda *_: 1 / 0)
    touch(models, builds, "b")
    assert present(models) == "b"  # the work that failed uses it no longer


def test_shared_weights_count_once_and_labels_count() -> None:
    tied = seeded()
    tied.branch.weight = tied.conv.weight = torch.nn.Parameter(torch.zeros(8, 8, 3, 3, dtype=torch.float64))
    tied.conv = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1).double()
    plain = size_of(classifier())
    twin = seeded()
    twin.register_buffer("view", twin.branch.weight.detach()[0])
    assert size_of(classifier(twin)) == plain
    twin.register_buffer("own", torch.zeros(1000))
    assert size_of(classifier(twin)) == plain + 4000
    assert size_of(classifier(labels=["x" * 1000, *"bcde"])) > plain + 900


def test_equal_models_have_equal_digests_and_others_do_not() -> None:
    digest = digest_of(classifier())
    assert digest_of(classifier()) == digest
    changed = seeded()
    with torch.no_grad():
        changed.head.bias[0] += 1e-6
    others = [
        classifier(changed),
        classifier(seeded(1)),
        classifier(labels=list("abcde")),
        sc.Classifier(seeded(), preprocess=sc.Preprocess(size=SIDE, resize=SIDE, mean=(0.0, 0.0, 0.0))),
    ]
    assert len({digest, *map(digest_of, others)}) == 5


def test_a_bound_that_is_no_number_of_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="-1 bytes; expected 0 or more"):
        LoadedModels(-1)
    monkeypatch.setenv("SALIENCY_MODEL_BYTES", "4 GB")
    with pytest.raises(ArgumentError, match="SALIENCY_MODEL_BYTES is '4 GB'; expected a number of bytes"):
        sc.Engine("cpu")
    monkeypatch.setenv("SALIENCY_MODEL_BYTES", " 5000 ")
    assert sc.Engine("cpu").loaded.max_bytes == 5000
    assert sc.Engine("cpu", model_bytes=7).loaded.max_bytes == 7
    monkeypatch.delenv("SALIENCY_MODEL_BYTES")
    assert 1 << 28 < sc.Engine("cpu").loaded.max_bytes < 1 << 44


# --------------------------------------------------------------------------------------------- the engine


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, sc.ModelSpec]:
    """Models whose weights lie in files, and differ."""
    for name in NAMES:
        torch.save(seeded(ord(name), dtype=torch.float32).state_dict(), tmp_path / f"{name}.pth")
    return {
        name: replace(
            sc.MODELS["resnet18"],
            name=name,
            title=name.upper(),
            build=InPlaceNet,
            source=Embedded(lambda name=name: str(tmp_path / f"{name}.pth")),
            labels=lambda: list("vwxyz"),
            preprocess=sc.Preprocess(size=SIDE, resize=SIDE),
            default_layers=("branch", "act"),
        )
        for name in NAMES
    }


def request(model: str, target: int | None = None) -> ExplainRequest:
    methods = ("normgrad", "grad_cam")
    return ExplainRequest(photo=image_digest(PHOTO), model=model, target=target, methods=methods)


def test_answers_stay_valid_when_a_model_had_to_go(specs: dict[str, sc.ModelSpec]) -> None:
    engine = sc.Engine("cpu", models=specs, model_bytes=0)
    first, named = engine.explain(request("a"), PHOTO), engine.explain(request("a", 3), PHOTO)
    info = engine.model_info("a")
    engine.explain(request("b"), PHOTO)
    assert ("a" in engine.loaded, "b" in engine.loaded) == (False, True)
    assert engine.explain(request("a"), PHOTO) is first
    assert engine.submit(request("a", first.target), PHOTO).result is first
    assert engine.load("a").result is info
    assert "a" not in engine.loaded  # nothing of this needs the network
    engine.explain(request("a", 1), PHOTO)
    assert "a" in engine.loaded
    assert engine.explain(request("a", 3), PHOTO) is named


def test_weights_changed_in_place_are_not_mistaken_for_those_loaded_again(
    specs: dict[str, sc.ModelSpec],
) -> None:
    engine = sc.Engine("cpu", models=specs, model_bytes=0)
    before = engine.explain(request("a", 3), PHOTO)
    found = engine.classifier("a")
    with torch.no_grad():
        found.module.head.bias += torch.arange(5.0)
    changed = engine.explain(request("a", 3), PHOTO)
    assert not np.array_equal(changed.probabilities, before.probabilities)
    engine.explain(request("b"), PHOTO)
    assert engine.explain(request("a", 3), PHOTO) is changed  # as somebody holds it
    del found
    engine.explain(request("b", 1), PHOTO)
    assert engine.explain(request("a", 3), PHOTO) is before


def test_other_weights_in_the_file_are_another_model(specs: dict[str, sc.ModelSpec], tmp_path: Path) -> None:
    engine = sc.Engine("cpu", models=specs, model_bytes=0)
    before = engine.explain(request("a", 3), PHOTO)
    engine.explain(request("b"), PHOTO)
    torch.save(seeded(99, dtype=torch.float32).state_dict(), tmp_path / "a.pth")
    engine.explain(request("a", 1), PHOTO)  # loads it again
    after = engine.explain(request("a", 3), PHOTO)
    assert not np.array_equal(after.probabilities, before.probabilities)


def test_threads_that_ask_in_any_order_get_the_same_answers_from_one_copy_of_each_model(
    specs: dict[str, sc.ModelSpec], builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = sc.Engine("cpu", models=specs)
    expected = {
        (name, target): plain.explain(request(name, target), PHOTO).map("normgrad", "act")
        for name in NAMES
        for target in range(5)
    }
    bound = int(1.5 * plain.loaded.size / len(NAMES))
    asked: Counter[str] = Counter()
    lock, wrong = threading.Lock(), []
    build = local.build_classifier

    def watched(spec: sc.ModelSpec, *arguments: object, **options: object) -> sc.Classifier:
        if builds.alive(spec.name):
            wrong.append(f"two copies of {spec.name}")
        found = builds.watched(spec.name, build(spec, *arguments, **options))
        builds.count[spec.name] += 1
        return found

    monkeypatch.setattr(local, "build_classifier", watched)
    engine = sc.Engine("cpu", models=specs, model_bytes=bound, cache_bytes=20_000)
    size = plain.loaded.size / len(NAMES)

    def session(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(40):
            name, target = choice.choice(NAMES), choice.randrange(5)
            with lock:
                asked[name] += 1
            ask = engine.explain if choice.random() < 0.5 else lambda *given: engine.submit(*given).value()
            found = ask(request(name, target), PHOTO).map("normgrad", "act")
            with lock:
                in_use = sum(count > 0 for count in asked.values())
                alive = sum(map(builds.alive, NAMES))
                asked[name] -= 1
            if not np.array_equal(found, expected[name, target]):
                wrong.append(f"another answer for {name}")
            if alive * size > bound + in_use * size:
                wrong.append(f"{alive} models in memory, {in_use} in use")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(session, seed) for seed in range(4)]:
            done.result(LONG)
    assert not wrong
    assert sum(builds.count.values()) > len(NAMES)  # some had to go and come back
    until(lambda: engine.loaded.size <= bound)
    assert sum(map(builds.alive, NAMES)) == 1
