"""Films: every frame is the figure of what has changed, and files are animations of bounded size."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

import saliency_core as sc
from saliency_core.figures import film as films
from saliency_core.figures.film import TRACK, Film
from saliency_core.figures.panels import MARGIN
from saliency_core.progress import Cancelled
from saliency_core.viewer.payload import ClassComparison, SweepPoint
from tests.networks import classifier

PHOTO = Image.effect_noise((60, 40), 90).convert("RGB")
LAYERS = ["bn", "branch", "act"]


@pytest.fixture(scope="module")
def explanation() -> sc.Explanation:
    return sc.explain(classifier(), PHOTO, 2, LAYERS)


def read(data: bytes) -> list[Image.Image]:
    """The frames of an animation."""
    found = []
    with Image.open(io.BytesIO(data)) as file:
        assert file.info["loop"] == 0
        for index in range(file.n_frames):
            file.seek(index)
            found.append(file.convert("RGB"))
            found[-1].info = dict(file.info)
    return found


def assert_frame(frame: Image.Image, picture: sc.Picture) -> None:
    """The frame is this figure, below the line at the top."""
    expected = picture.image(1)
    expected = expected.crop((0, MARGIN // 2, *expected.size))
    part = frame.crop((0, TRACK + MARGIN // 2, expected.width, TRACK + MARGIN // 2 + expected.height))
    assert ImageChops.difference(part, expected).getbbox() is None


def test_a_film_over_depth_shows_every_layer_from_input_to_output(explanation: sc.Explanation) -> None:
    film = sc.film(explanation, left="gradient")
    frames = list(film.images())
    assert len(frames) == 3
    for frame, layer in zip(frames, LAYERS, strict=True):
        assert_frame(frame, sc.figure(explanation, "pair", left="gradient", layer=layer))
    assert film.seconds[-1] > film.seconds[0]
    chosen = sc.film(explanation, kind="panel", sweep=["act", explanation.layers[0]])
    for frame, layer in zip(chosen.images(), ["act", "bn"], strict=True):
        assert_frame(frame, sc.figure(explanation, "panel", layer=layer))
    names = ("grad_cam", "linear_approx", "normgrad")
    named = sc.film(explanation, sweep=["act", "bn"], methods=iter(names))
    for frame, layer in zip(named.images(), ["act", "bn"], strict=True):
        assert_frame(frame, sc.figure(explanation, "pair", methods=names, layer=layer))


def test_a_film_over_weights_moves_all_weight_from_the_first_layer_to_the_last(
    explanation: sc.Explanation,
) -> None:
    frames = list(sc.film(explanation, "weights", kind="panel", how="sum", steps=2).images())
    weights = [(1, 0, 0), (0.5, 0.5, 0), (0, 1, 0), (0, 0.5, 0.5), (0, 0, 1)]
    assert len(frames) == len(weights)
    for frame, each in zip(frames, weights, strict=True):
        assert_frame(frame, sc.figure(explanation, "panel", mixed=True, how="sum", weights=each))
    given = sc.film(explanation, "weights", kind="panel", sweep=[{"bn": 1}, (0, 0, 0)])
    assert_frame(next(given.images()), sc.figure(explanation, "panel", mixed=True, weights=(1, 0, 0)))


def test_a_film_over_epsilon_shows_the_network_after_every_step() -> None:
    steps = [sc.explain(classifier(), PHOTO, 2, LAYERS, meta=sc.MetaStep(lr)) for lr in (0, 0.01, 0.1)]
    film = sc.film(steps[0], "epsilon", kind="panel", sweep=steps, layer="act")
    for frame, step in zip(film.images(), steps, strict=True):
        assert_frame(frame, sc.figure(step, "panel", layer="act"))


def test_a_film_of_two_classes_goes_through_the_steps_of_both() -> None:
    sizes = (0.0, 0.01, 0.1)
    steps = [
        [sc.explain(classifier(), PHOTO, target, LAYERS, meta=sc.MetaStep(lr)) for target in (1, 3)]
        for lr in sizes
    ]
    sweep = tuple(SweepPoint(lr, *both) for lr, both in zip(sizes, steps, strict=True))
    first, second = (sc.explain(classifier(), PHOTO, target, LAYERS) for target in (1, 3))
    comparison = ClassComparison(second, "normgrad", first.subject.labels, sweep=sweep)
    film = sc.film(first, "epsilon", kind="classes", other=comparison, layer="act")
    for frame, lr in zip(film.images(), sizes, strict=True):
        view = {"layer": "act", "epsilon": lr}
        assert_frame(frame, sc.figure(first, "classes", other=comparison, **view))
    pairs = sc.film(first, "epsilon", kind="classes", sweep=steps, layer="act")
    for frame, (one, other) in zip(pairs.images(), steps, strict=True):
        assert_frame(frame, sc.figure(one, "classes", other=other, layer="act"))


@pytest.mark.parametrize(
    ("format", "scale", "dark"), [("gif", 1, False), ("gif", 1, True), ("webp", 2, True)]
)
def test_files_have_all_frames_at_even_sizes_in_time(
    explanation: sc.Explanation, tmp_path: Path, format: str, scale: int, dark: bool
) -> None:
    film = sc.film(explanation, kind="panel", dark=dark)
    file = film.save(tmp_path / f"Größe <b>.{format}", scale)
    frames, expected = read(file.read_bytes()), list(film.images(scale))
    assert len(frames) == 3
    for frame, image, seconds in zip(frames, expected, film.seconds, strict=True):
        assert frame.size == image.size
        assert frame.width % 2 == frame.height % 2 == 0
        assert frame.info["duration"] == round(1000 * seconds)
        error = np.asarray(ImageChops.difference(frame, image), float)
        assert error.mean() < 4
        paper = zip(frame.getpixel((2, 2)), image.getpixel((2, 2)), strict=True)
        assert all(abs(found - wanted) <= (format == "webp") for found, wanted in paper)
    assert read(film.to_bytes(format, scale))[0].tobytes() == frames[0].tobytes()


def test_figures_of_different_heights_make_frames_of_one_size() -> None:
    long_names = {"a" * 30: 1.0}
    network = classifier(presets={"Mine": long_names})
    steps = [
        sc.explain(network, PHOTO, 2, LAYERS, meta=each)
        for each in (None, sc.MetaStep(0.01), sc.MetaStep(0.02, ascend=True))
    ]
    film = sc.film(steps[0], "epsilon", kind="panel", sweep=steps)
    assert len({(each.width, each.height) for each in film.pictures}) == 1
    assert {each.size for each in film.images()} == {(film.pictures[0].width, film.pictures[0].height)}


def test_progress_is_said_frame_by_frame_and_can_stop_the_work(explanation: sc.Explanation) -> None:
    film, seen = sc.film(explanation, kind="panel"), []
    film.to_bytes("gif", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]

    def stop(done: int, total: int) -> None:
        raise Cancelled

    for format in ("gif", "webp"):
        with pytest.raises(Cancelled):
            film.to_bytes(format, progress=stop)


def test_a_notebook_gets_the_animation(explanation: sc.Explanation) -> None:
    bundle = sc.film(explanation, kind="panel")._repr_mimebundle_()
    assert bundle["image/gif"].startswith("R0lGODlh")
    assert bundle["text/plain"].startswith("<Film: 3 frames, ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("none",), "unknown kind of film 'none'; choices: depth, weights, epsilon"),
        (("depth", {"kind": "none"}), "unknown kind of figure 'none'"),
        (("depth", {"kind": "strip"}), "unknown figure for a film over depth 'strip'; choices: panel"),
        (("depth", {"sweep": ["act"]}), "would have 1 frame; expected 2 to 100"),
        (("depth", {"sweep": ["act", "none"]}), "unknown layer 'none'"),
        (("depth", {"sweep": 3}), "sweep is 3"),
        (("weights", {"steps": 0}), "steps is 0; expected a whole number"),
        (("weights", {"steps": 60}), "would have 121 frames"),
        (("weights", {"sweep": [(1, 2), (1, 2)]}), "2 weights were given for 3 layers"),
        (("epsilon",), "needs sweep, explanations after steps"),
        (("epsilon", {"sweep": [1, 2]}), "sweep"),
    ],
)
def test_what_cannot_be_filmed_is_refused_in_a_sentence(
    explanation: sc.Explanation, arguments: tuple, reason: str
) -> None:
    over, options = (*arguments, {})[:2]
    with pytest.raises(sc.SaliencyError, match=reason):
        sc.film(explanation, over, **options)


def test_files_that_cannot_be_written_are_refused_in_a_sentence(
    explanation: sc.Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film: Film = sc.film(explanation, kind="panel")
    with pytest.raises(sc.UnknownNameError, match="unknown format 'mp4'; choices: gif, webp"):
        film.save(tmp_path / "film.mp4")
    with pytest.raises(sc.ArgumentError, match="scale is 3; expected 1 or 2"):
        film.save(tmp_path / "film.gif", 3)
    with pytest.raises(sc.ArgumentError, match="could not be written: No such file"):
        film.save(tmp_path / "none" / "film.gif")
    monkeypatch.setattr(films, "MAX_PIXELS", 1_000_000)
    with pytest.raises(sc.ArgumentError, match=r"take fewer frames or scale=1"):
        film.save(tmp_path / "film.gif", 2)
    with pytest.raises(sc.ArgumentTypeError, match="expected an Explanation"):
        sc.film(None)
