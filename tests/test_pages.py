"""Every page's script, run by Streamlit's own test runner; and the address that reopens a view."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from streamlit.testing.v1 import AppTest

import saliency_core as sc
from pages.shared import article, cards, figures, jobs, photos, stage, state
from pages.shared.registry import PAGES, ROOT

MAIN = str(ROOT / "pages" / "frame" / "main.py")


@pytest.fixture
def app() -> Iterator[AppTest]:
    return AppTest.from_file(MAIN, default_timeout=60)


def texts(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def test_every_page_of_the_folder_is_registered_once() -> None:
    files = {path.stem for path in (ROOT / "pages").glob("*.py")} - {"__init__"}
    assert sorted(entry.slug for entry in PAGES) == sorted(files)


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.slug)
def test_a_page_runs_without_an_exception(app: AppTest, entry: object) -> None:
    app.switch_page(str(entry.path))
    app.run()
    assert not app.exception
    assert entry.title in texts(app)
    assert "Something went wrong" not in texts(app)


def test_the_frame_offers_models_classes_and_fits(app: AppTest) -> None:
    app.run()
    model, classes = app.sidebar.selectbox
    assert len(model.options) == len(sc.MODELS)
    assert len(classes.options) >= 1000
    assert not app.exception


def test_a_broken_engine_shows_a_sentence_and_no_traceback(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory at 0x7f")

    monkeypatch.setattr(sc.Engine, "explain", fail)
    app.run()
    assert not app.exception
    assert "Something went wrong" in texts(app)
    assert "0x7f" not in texts(app)


def test_a_first_explanation_that_fails_leaves_no_skeleton(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise sc.NonFiniteError("the weights are broken")

    monkeypatch.setattr(sc.Engine, "explain", fail)
    app.run()
    assert "the weights are broken" in texts(app)
    assert '<i class="ng-bone' not in texts(app)
    assert "The most likely classes appear here" in texts(app)


CHOICES = [
    state.Choice(),
    state.Choice(model="vgg16", photo="coffee", target=967, fit="pad"),
    state.Choice(
        view=state.View(
            left="gradient",
            right="linear_approx",
            layer="layer1.0.conv2",
            weights=(0.0, 0.25, 1.0),
            how="sum",
            opacity=0.35,
            colormap="jet",
            scale="shared",
            mixed=True,
        )
    ),
    state.Choice(a=967, b=285, meta=sc.MetaStep()),
    state.Choice(meta=sc.MetaStep(0.006, ascend=True)),
    state.Choice(meta=sc.MetaStep(0.0)),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_an_address_reopens_the_view_it_was_written_for(choice: state.Choice) -> None:
    assert state.from_address(state.to_address(choice)) == choice


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "gpt"),
        ("photo", "../../etc/passwd"),
        ("photo", "upload-xyz"),
        ("class", "1000"),
        ("class", "-1"),
        ("class", "٣"),
        ("fit", "fill"),
        ("left", "<script>"),
        ("layer", "a b"),
        ("weights", "1_x"),
        ("weights", "nan_1"),
        ("weights", "-1_1"),
        ("weights", "_".join("1" * 1000)),
        ("how", "mean"),
        ("opacity", "1.5"),
        ("opacity", "inf"),
        ("colormap", "rainbow"),
        ("scale", "both"),
        ("mixed", "yes"),
        ("a", "1000"),
        ("b", "cat"),
        ("meta", "0.2"),
        ("meta", "--0.01"),
        ("meta", "nan"),
        ("meta", "on"),
    ],
)
def test_an_unusable_value_in_an_address_counts_as_its_default(key: str, value: str) -> None:
    assert state.from_address({key: value}) == state.Choice()


def test_another_photo_starts_at_its_most_likely_class_and_another_model_keeps_the_class() -> None:
    session = state.Session(state.Choice(target=285))
    session.choose_model("resnet18")
    session.arrive()
    assert (session.choice.model, session.choice.target) == ("resnet18", 285)
    session.choose_photo("coffee")
    assert session.choice.target is None


def test_another_model_starts_with_layers_of_its_own() -> None:
    view = state.View(layer="blocks.3", weights=(1.0, 0.5), left="gradient")
    session = state.Session(state.Choice(view=view))
    session.choose_model("vgg16")
    assert session.choice.view == view
    before = session.revision
    session.arrive()
    assert session.choice.view == replace(view, layer=None, weights=None)
    assert session.revision > before


def test_a_model_that_does_not_come_leaves_everything_as_it_was() -> None:
    choice = state.Choice(target=3, view=state.View(layer="blocks.3"))
    session = state.Session(choice)
    session.choose_model("vgg16")
    session.give_up()
    session.arrive()
    assert session.choice == choice


def test_what_the_browser_reports_is_what_it_gets_back() -> None:
    view = state.View(left="rise", right="bias_norm", layer="b", weights=(0.0, 1.0), mixed=True, opacity=0.5)
    given = state.view_for_browser(view, ("a", "b"))
    assert given["mixed"] is True
    assert state.view_from_browser(given, ("a", "b")) == view
    assert state.view_from_browser({**given, "mixed": False}, ("a", "b")).mixed is False


def test_a_page_with_methods_of_its_own_leaves_those_of_the_others() -> None:
    session = state.Session(state.Choice(view=state.View(left="rise")))
    session.enter("why")
    session.use_pair(("grad_cam", "linear_approx"))
    session.see_view(state.View(left="gradient", right="normgrad", layer="a"))
    assert session.methods == ("gradient", "normgrad")
    assert session.choice.view == state.View(left="rise", layer="a")
    session.enter("compare")
    assert session.methods == ("rise", "grad_cam")


def test_a_method_that_has_to_go_gives_way_to_the_one_before_it_or_to_the_default() -> None:
    session = state.Session(state.Choice(view=state.View(left="rise", right="rise")))
    session.settled = ("gradient", "rise")
    revision = session.revision
    session.replace_method("rise", "RISE is not shown.")
    assert session.methods == ("gradient", "grad_cam")
    assert session.revision > revision
    assert session.remarks == ["RISE is not shown."]
    session.see_view(session.view)
    assert session.remarks == ["RISE is not shown."]
    session.see_view(state.View(left="eigen_cam"))
    assert session.remarks == []


def uploaded(color: str) -> photos.Photo:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(file, "PNG")
    return photos.photo_store().put(photos.decode(f"{color}.png", file.getvalue()))


def test_a_removed_photo_is_forgotten_and_its_neighbour_shown() -> None:
    session = state.Session(state.Choice())
    keys = []
    for color in ("red", "green", "blue"):
        photo = uploaded(color)
        session.add_upload(photo.name, photo)
        keys.append(photos.upload_key(photo.digest))
    session.remove_upload(keys[0])
    assert session.choice.photo == keys[2]
    session.remove_upload(keys[2])
    assert session.choice.photo == keys[1]
    session.remove_upload(keys[1])
    assert session.choice.photo == photos.default_sample()
    assert session.uploads == []
    assert all(photos.photo_store().find(key) is None for key in keys)
    session.remove_upload("chelsea")
    assert session.choice.photo == photos.default_sample()


# -- methods that take more than the shared pass -------------------------------------------------------------


@dataclass
class Fake:
    """A computation that ends when told to."""

    done: bool = False
    error: str | None = None
    result: sc.Explanation | None = None
    waiting: bool = False
    fraction: float = 0.25
    seconds_left: float | None = 12.0
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """The jobs that the engine was asked for; none of them computes anything."""
    found: list[Fake] = []

    def start(*_: object, **__: object) -> Fake:
        found.append(Fake())
        return found[-1]

    monkeypatch.setattr(sc.Engine, "start_job", start)
    return found


def button(app: AppTest, label: str) -> object:
    return next(each for each in app.button if each.label == label)


def shown_session(app: AppTest) -> state.Session:
    return app.session_state["studio"]


def test_a_method_of_many_passes_gets_a_card_and_goes_on_through_everything(
    app: AppTest, started: list[Fake]
) -> None:
    app.query_params["left"] = "occlusion"
    app.run()
    assert "Occlusion · Chelsea" in texts(app)
    assert "25 % · about 15 s left" in texts(app)
    for address in ("mix", "why", "compare"):
        app.switch_page(str(ROOT / "pages" / f"{address}.py")).run()
        assert "Occlusion · Chelsea" in texts(app)
    shown_session(app).choose_photo("coffee")
    app.run()
    assert len(started) == 2  # the method is still chosen, and this is another photo
    assert "Occlusion · Chelsea" in texts(app)
    assert "Occlusion · Coffee" in texts(app)
    assert not any(job.cancelled for job in started)
    assert not app.exception


def test_a_cancelled_method_gives_its_panel_back(app: AppTest, started: list[Fake]) -> None:
    app.query_params["right"] = "rise"
    app.run()
    button(app, "Cancel").click()
    app.run()
    assert started[0].cancelled
    assert shown_session(app).methods == ("normgrad", "grad_cam")
    assert "RISE ·" not in texts(app)


def test_a_failed_method_says_so_and_can_be_tried_again(app: AppTest, started: list[Fake]) -> None:
    app.query_params["left"] = "smoothgrad"
    app.run()
    started[0].done, started[0].error = True, "The network overflows."
    app.run()
    assert "SmoothGrad · Chelsea, tiger cat: The network overflows." in texts(app)
    assert len(started) == 1
    button(app, "Try again").click()
    app.run()
    assert len(started) == 2
    assert "The network overflows." not in texts(app)
    assert "25 % · about 15 s left" in texts(app)


def test_a_method_that_the_model_does_not_have_gives_way_with_the_reason(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_: sc.Classifier, name: str) -> str | None:
        return "Defined for ReLU only." if name == "guided_backprop" else None

    monkeypatch.setattr(sc, "unavailable", unavailable)
    stage.unavailable_methods.cache_clear()
    app.query_params["left"] = "guided_backprop"
    app.run()
    stage.unavailable_methods.cache_clear()
    assert "Guided backprop is not shown. Defined for ReLU only." in texts(app)
    assert shown_session(app).methods == ("normgrad", "grad_cam")


def test_an_extra_pass_is_joined_and_gives_the_same_object_until_more_is_added(app: AppTest) -> None:
    app.query_params["left"] = "guided_backprop"
    app.run()
    errands, scene = shown_session(app).errands, shown_session(app).scene
    errand = next(iter(errands))
    errand.work.future.result(timeout=60)
    joined = errands.join(scene.explanation, errand.subject)
    assert joined.has("guided_backprop", "blocks.4")
    assert joined.has("normgrad", "blocks.4")
    assert errands.join(scene.explanation, errand.subject) is joined
    app.run()
    assert errands.join(scene.explanation, errand.subject) is joined


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(sc.NonFiniteError("It overflows."), "It overflows."), (MemoryError("0x7f"), jobs.TROUBLE)],
)
def test_an_extra_pass_that_fails_ends_in_a_sentence(error: Exception, sentence: str) -> None:
    def fail() -> sc.Explanation:
        raise error

    extra = jobs.ExtraPass(fail)
    extra.future.result(timeout=10)
    assert (extra.done, extra.error, extra.result) == (True, sentence, None)


def test_a_session_ends_the_oldest_job_that_nobody_looks_at() -> None:
    errands = jobs.Errands()
    subjects = [jobs.Subject("model", photo, "crop", 0) for photo in "abcde"]
    for subject in subjects:
        errands.ask(subject, sc.METHODS["rise"], "", Fake)
        errands.tidy(subject, ["rise"])
    assert [errand.subject.photo for errand in errands] == ["c", "d", "e"]


def test_a_job_that_another_session_has_ended_begins_anew() -> None:
    errands, subject = jobs.Errands(), jobs.Subject("model", "a", "crop", 0)
    errand = errands.ask(subject, sc.METHODS["rise"], "", Fake)
    first = errand.work
    first.done = True
    assert errands.ask(subject, sc.METHODS["rise"], "", Fake) is errand
    assert errand.work is not first
    assert errand.running


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "estimating the time left"),
        (0.2, "nearly done"),
        (3.2, "4 s left"),
        (61, "about 65 s left"),
        (150, "about 3 min left"),
    ],
)
def test_the_time_left_is_told_in_quiet_steps(seconds: float | None, words: str) -> None:
    assert cards.time_left(seconds) == words


# -- the article on Grad-CAM ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample_explanation() -> sc.Explanation:
    return sc.explain(sc.load_classifier(), photos.default_photo().image)


def charts_of(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_the_article_charts_the_energy_and_the_correlations_of_the_photo(
    app: AppTest, sample_explanation: sc.Explanation
) -> None:
    app.switch_page(str(ROOT / "pages" / "why.py")).run()
    averaging, agreement = charts_of(app)[:2]
    names = [layer.name for layer in sample_explanation.layers]
    energies = [100 * sample_explanation.energy(name) for name in names]
    assert averaging["data"][0]["y"] == pytest.approx(energies, rel=1e-6)
    lines = {trace["name"]: trace["y"] for trace in agreement["data"]}
    assert averaging["data"][1]["y"] == lines["Grad-CAM"]
    for title, method in (("Grad-CAM", "grad_cam"), ("Gradient", "gradient"), ("NormGrad", "normgrad")):
        for name, shown in zip(names, lines[title], strict=True):
            reference = np.maximum(sample_explanation.map("linear_approx", name), 0).ravel()
            if sample_explanation.constant(method, name):
                assert shown is None
            else:
                expected = stats.spearmanr(sample_explanation.map(method, name).ravel(), reference).statistic
                assert shown == pytest.approx(expected, abs=1e-6)
    assert lines["Grad-CAM"][-1] == pytest.approx(1, abs=1e-3)
    assert lines["Gradient"][-1] is None
    assert "bn2, Gradient: The gradient is the same everywhere" in texts(app)


def test_a_layer_without_gradient_has_gaps_with_reasons_and_no_zeros(
    sample_explanation: sc.Explanation,
) -> None:
    def nothing(method: str, layer: str) -> np.ndarray:
        return np.zeros((2, 2), np.float32)

    class Dead:
        layers = sample_explanation.layers[:1]
        map = staticmethod(nothing)

        def energy(self, layer: str) -> None:
            return None

        def constant(self, method: str, layer: str) -> bool:
            return True

    (layer,) = figures.layer_figures(Dead())
    assert layer.energy == figures.Figure(None, "The gradient is zero at every place of this layer.")
    assert all(figure.value is None and figure.reason for figure in layer.correlations.values())


def layer_of(name: str, energy: float | None, correlation: float | None) -> figures.LayerFigures:
    agreement = figures.Figure(correlation, "" if correlation is not None else "Nothing there.")
    return figures.LayerFigures(name, figures.Figure(energy), dict.fromkeys(figures.COMPARED, agreement))


def test_the_article_tells_networks_with_global_pooling_from_those_without() -> None:
    early, pooled = layer_of("a", 0.02, -0.1), layer_of("b", 1.0, 1.0)
    words = article._averaging_words([early, pooled], "cat").replace("\u00a0", " ")
    assert "averaging loses nothing: the global average pooling" in words
    assert "At **a**, **2 %** is left, and ρ = −0.10." in words
    words = article._averaging_words([early, layer_of("b", 0.4, 0.7)], "cat").replace("\u00a0", " ")
    assert "**40 %** of the gradient’s energy survives (ρ = 0.70): this network weighs every place" in words
    assert "global" not in words
    words = article._averaging_words([early, layer_of("b", None, None)], "cat")
    assert "no gradient of “cat” at **b**" in words


def test_the_published_figures_are_those_of_the_file(app: AppTest) -> None:
    published = json.loads((ROOT / "assets" / "data" / "pointing_game_voc07.json").read_text())
    app.switch_page(str(ROOT / "pages" / "why.py")).run()
    keys = {"Grad-CAM": "grad_cam", "Linear approx.": "linear_approx", "NormGrad": "norm_grad"}
    keys |= {"Selective": "norm_grad_selective", "Gradient": "gradient"}
    for chart, network in zip(charts_of(app)[2:], ("vgg16", "resnet50"), strict=True):
        accuracy = published["pointing_accuracy"][network]
        assert chart["layout"]["xaxis"]["ticktext"] == list(accuracy["grad_cam"])
        for trace in chart["data"]:
            expected = [100 * value for value in accuracy[keys[trace["name"]]].values()]
            assert trace["y"] == pytest.approx(expected)
    for methods in published["pointing_accuracy"].values():
        for by_layer in methods.values():
            for value in by_layer.values():
                assert f"<td>{100 * value:.2f}\u00a0%</td>" in texts(app)
    assert any(published["source"] in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.0, "100 %"),
        (0.9997, "100 %"),
        (0.344, "34 %"),
        (0.0256, "2.6 %"),
        (0.0003, "0.03 %"),
        (0, "< 0.01 %"),
    ],
)
def test_shares_keep_enough_digits_to_tell_little_from_nothing(share: float, words: str) -> None:
    assert figures.percent(share).replace("\u00a0", " ") == words


def test_correlations_are_written_without_a_negative_zero() -> None:
    assert [figures.rho(value) for value in (0.214, -0.003, -0.5, 1.0)] == ["0.21", "0.00", "−0.50", "1.00"]


def test_pages_are_short() -> None:
    for path in (ROOT / "pages").glob("*.py"):
        assert len(Path(path).read_text().splitlines()) < 80, path.name


def test_another_photo_begins_with_classes_of_its_own_and_keeps_the_step() -> None:
    step = sc.MetaStep(0.006)
    session = state.Session(state.Choice(target=3, a=967, b=285, meta=step))
    session.choose_photo("coffee")
    choice = session.choice
    assert (choice.target, choice.a, choice.b, choice.meta) == (None, None, None, step)


def test_a_class_of_the_sidebar_becomes_the_first_of_the_two() -> None:
    session = state.Session(state.Choice(a=967, b=285))
    session.choose_class(872)
    assert (session.choice.target, session.choice.a, session.choice.b) == (872, None, 285)


def test_the_browser_takes_over_a_step_from_the_sidebar_but_not_its_own() -> None:
    session = state.Session(state.Choice())
    revision = session.revision
    session.choose_meta(sc.MetaStep())
    assert session.revision == revision + 1
    session.choose_meta(sc.MetaStep(0.04), told=False)
    assert (session.revision, session.choice.meta) == (revision + 1, sc.MetaStep(0.04))


@pytest.fixture(scope="module")
def classifier() -> sc.Classifier:
    return sc.load_classifier()


@pytest.mark.parametrize("meta", [None, sc.MetaStep(0.006)])
def test_the_page_of_classes_tells_the_numbers_of_the_core(
    app: AppTest, classifier: sc.Classifier, meta: sc.MetaStep | None
) -> None:
    image = sc.open_image(ROOT / "assets" / "samples" / "cat-above-coffee.jpg")
    table = sc.class_sensitivity_table(classifier, image, [967, 285], methods=["normgrad"], meta=meta)
    app.query_params.update({"photo": "cat-above-coffee", "a": "967", "b": "285"})
    if meta is not None:
        app.query_params["meta"] = f"{meta.lr:g}"
    app.switch_page(str(ROOT / "pages" / "classes.py"))
    app.run()
    assert not app.exception
    written = "".join(
        f"<td>{figures.rho(table.correlation('normgrad', layer))}</td>" for layer in table.layers
    )
    assert f'<tr><th scope="row">NormGrad</th>{written}</tr>' in texts(app)


def test_a_method_of_many_passes_gives_way_to_a_meta_step(app: AppTest) -> None:
    app.query_params.update({"left": "rise", "meta": "0.0025"})
    app.run()
    assert not app.exception
    assert "RISE is not shown. It takes many passes" in texts(app)
    assert shown_session(app).methods == ("normgrad", "grad_cam")


def test_the_page_without_steps_explains_the_network_as_it_is(app: AppTest) -> None:
    app.query_params["meta"] = "0.0025"
    app.switch_page(str(ROOT / "pages" / "why.py"))
    app.run()
    assert shown_session(app).scene.meta is None
    assert "Meta step" not in texts(app)
    assert shown_session(app).choice.meta == sc.MetaStep()
