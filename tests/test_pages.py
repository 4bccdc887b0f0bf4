"""Every page's script, run by Streamlit's own test runner, with the background tasks waited for."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from streamlit.testing.v1 import AppTest

import saliency_core as sc
from pages.classes import texts as class_texts
from pages.shared import components, method_lists, photos, sidebar, viewer_panel
from pages.shared.address import UNLEARN, Choice
from pages.shared.engine import shared_engine
from pages.shared.figure import Figure
from pages.shared.formats import rho
from pages.shared.registry import PAGES, PAGES_FOLDER, ROOT, PageEntry, entry_of
from pages.shared.scene import request_of
from pages.shared.session import GONE, Session
from pages.shared.theme import WAY_OUT
from pages.why import figures, texts
from saliency_core import errors
from saliency_core.engine import local
from saliency_core.engine.failures import user_message
from saliency_core.engine.request import ExplainRequest, ModelInfo
from saliency_core.engine.tasks import Task, TaskQueue
from saliency_core.progress import ProgressCallback

MAIN = str(PAGES_FOLDER / "shared" / "main.py")
SECONDS = 120.0
"""After which a wait has failed."""
COMPOSED = {"photo": "cat-above-coffee", "class": "967", "b": "285"}


@pytest.fixture(scope="module", autouse=True)
def explanation() -> sc.Explanation:
    """The explanation of the first view; the model is loaded with it, once for all tests."""
    photo = photos.default_photo()
    return shared_engine().explain(request_of(Choice(), photo.file.digest), photo.image)


@pytest.fixture
def app() -> Iterator[AppTest]:
    app = AppTest.from_file(MAIN, default_timeout=SECONDS)
    yield app
    for entry in session_of(app).tasks:
        entry.task.cancel()


def session_of(app: AppTest) -> Session:
    return app.session_state["studio"]


def settle(app: AppTest, *, long: bool = False) -> AppTest:
    """Run the app as its tray would: again whenever a task has ended, long ones only if asked for."""
    app.run()
    while waiting := [entry for entry in session_of(app).tasks if entry.running and (long or not entry.long)]:
        assert waiting[0].task.wait(SECONDS)
        app.run()
    return app


def visit(app: AppTest, slug: str, **query: str) -> AppTest:
    """The page at an address, complete."""
    app.query_params.update(query)
    if slug != "compare":
        app.run()  # the pages are known after a first run
        app.switch_page(str(entry_of(slug).path))
    return settle(app)


def texts_of(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def notes_of(app: AppTest) -> str:
    return " ".join(re.findall(r'<div class="ng-note.*?</div>', texts_of(app)))


def button(app: AppTest, key: str) -> object:
    return next(each for each in app.button if (each.key or "").startswith(key))


# -- pages ---------------------------------------------------------------------------------------------------


def test_every_page_of_the_folder_is_registered_once() -> None:
    files = {path.stem for path in PAGES_FOLDER.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in PAGES_FOLDER.glob("*/page.py")} - {"shared"}
    assert sorted(entry.slug for entry in PAGES) == sorted(files | folders)
    assert all(entry.path.exists() for entry in PAGES)


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.slug)
def test_a_page_runs_without_an_exception(app: AppTest, entry: PageEntry) -> None:
    visit(app, entry.slug)
    assert not app.exception
    assert entry.title in texts_of(app)
    assert notes_of(app) == ""
    assert 'class="ng-skeleton' not in texts_of(app)


def test_the_frame_offers_models_classes_and_fits(app: AppTest) -> None:
    settle(app)
    model, classes = app.sidebar.selectbox
    assert len(model.options) == len(sc.MODELS)
    assert len(classes.options) >= 1000
    assert not app.exception


def test_a_link_to_a_photo_that_is_gone_says_so_at_once(app: AppTest) -> None:
    app.query_params["photo"] = photos.upload_key("0" * 64)
    app.run()
    assert GONE in notes_of(app)


def test_after_a_reload_the_photo_of_the_address_is_in_the_strip_at_once(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = photos.receive("mine.png", photos.sample_files()["coffee"].read_bytes())
    photos.open_upload(file)
    strips: list[list[str]] = []
    monkeypatch.setattr(
        components, "gallery", lambda uploads, **_: strips.append([each["key"] for each in uploads])
    )
    app.query_params["photo"] = file.key
    app.run()
    assert strips[0] == [file.key]


def test_a_late_click_on_the_direction_of_a_step_that_was_switched_off_changes_nothing(
    app: AppTest,
) -> None:
    visit(app, "compare", meta="0.0025")
    session_of(app).choose_step(None)
    next(each for each in app.get("button_group") if each.key == "meta-direction").set_value(UNLEARN)
    settle(app)
    assert notes_of(app) == ""
    assert not app.exception
    assert session_of(app).choice.step is None


# -- what a visitor sees of errors ---------------------------------------------------------------------------

FAMILY = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.SaliencyError)
]


@pytest.mark.parametrize("error", FAMILY, ids=lambda error: error.__name__)
def test_the_text_of_every_error_of_the_package_is_shown_as_it_reads(error: type[Exception]) -> None:
    assert user_message(error("The photo is <b>too</b> small."), "x") == "The photo is <b>too</b> small."


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(local, "explain", fail)


def test_an_expected_error_is_shown_escaped_with_a_way_out(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, sc.NonFiniteError("the weights <b>overflow</b>"))
    visit(app, "compare", **{"class": "11"})
    assert not app.exception
    assert "the weights &lt;b&gt;overflow&lt;/b&gt;" in notes_of(app)
    assert WAY_OUT in notes_of(app)
    assert 'class="ng-skeleton' not in texts_of(app)
    assert 'class="ng-list"' not in texts_of(app)
    assert sidebar.CLASSES_LATER in texts_of(app)


def test_an_unexpected_error_is_logged_and_shown_as_an_id(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_with(monkeypatch, RuntimeError("out of memory at 0x7f"))
    with caplog.at_level(logging.ERROR):
        visit(app, "compare", **{"class": "12"})
    shown = re.search(r"error (\w{8})", notes_of(app))
    assert shown
    assert "0x7f" not in texts_of(app)
    record = next(each for each in caplog.records if shown[1] in each.getMessage())
    assert "out of memory at 0x7f" in str(record.exc_info[1])


def test_after_a_failure_trying_again_shows_the_maps(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fail_with(patch, sc.NonFiniteError("the weights are broken"))
        visit(app, "compare", **{"class": "13"})
    settle(app)
    assert "the weights are broken" in notes_of(app)  # nothing starts again by itself
    button(app, "try-again").click()
    settle(app)
    assert notes_of(app) == ""
    assert session_of(app).scene.explanation.target == 13


def test_an_error_in_the_body_of_a_page_leaves_the_frame_and_shows_an_id(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect at 0x7f")

    monkeypatch.setattr(viewer_panel, "viewer", fail)
    settle(app)
    assert not app.exception
    assert re.search(r"error \w{8}", notes_of(app))
    assert "0x7f" not in texts_of(app)
    assert len(app.sidebar.selectbox) == 2


def test_a_class_that_the_model_does_not_have_counts_as_none(app: AppTest) -> None:
    visit(app, "compare", **{"class": "1000"})
    assert session_of(app).choice.target is None
    assert notes_of(app) == ""


# -- background tasks ----------------------------------------------------------------------------------------


class Gate:
    """Replaces the engine for many-pass methods: they end when the test says so."""

    def __init__(self) -> None:
        self.queue = TaskQueue(workers=4)
        self.opened = threading.Event()
        self.reported = threading.Event()
        self.error: Exception | None = None
        self.tasks: list[Task[sc.Explanation]] = []

    def submit(
        self, engine: sc.Engine, request: ExplainRequest, image: object, *, title: str = ""
    ) -> Task[sc.Explanation]:
        def run(progress: ProgressCallback) -> sc.Explanation:
            progress(25, 100)
            self.reported.set()
            while not self.opened.wait(0.01):
                progress(25, 100)
            if self.error is not None:
                raise self.error
            return engine.explain(replace(request, methods=None), image)

        if not request.methods or request.methods[0] not in method_lists.MANY_PASSES:
            return SUBMIT(engine, request, image, title=title)
        task = self.queue.submit(request, run, title=title, total=100)
        if task not in self.tasks:
            self.tasks.append(task)
        return task


SUBMIT = sc.Engine.submit


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(
        sc.Engine, "submit", lambda engine, *args, **options: gate.submit(engine, *args, **options)
    )
    yield gate
    gate.queue.close(SECONDS)


def test_a_many_pass_method_is_listed_and_continues_through_page_and_photo_changes(
    app: AppTest, gate: Gate
) -> None:
    visit(app, "compare", left="occlusion")
    assert gate.reported.wait(SECONDS)
    app.run()
    name = photos.sample_title(photos.default_sample())
    assert f"Occlusion · {name}" in texts_of(app)
    assert 'aria-valuenow="25"' in texts_of(app)
    for slug in ("mix", "why", "compare"):
        app.switch_page(str(entry_of(slug).path))
        settle(app)
        assert f"Occlusion · {name}" in texts_of(app)
    session_of(app).choose_photo("coffee")
    settle(app)
    assert len(gate.tasks) == 2  # the method is still chosen, and this is another photo
    assert f"Occlusion · {name}" in texts_of(app)
    assert "Occlusion · Coffee" in texts_of(app)
    assert not any(task.ended for task in gate.tasks)
    assert not app.exception


def test_a_cancelled_method_leaves_its_panel_with_the_reason(app: AppTest, gate: Gate) -> None:
    visit(app, "compare", right="rise")
    button(app, "cancel-").click()
    settle(app)
    assert gate.tasks[0].wait(SECONDS)
    assert session_of(app).methods == ("normgrad", "grad_cam")
    assert "RISE ·" not in texts_of(app)
    assert "RISE" in notes_of(app)


def test_a_failed_method_says_so_and_can_be_tried_again_or_dismissed(app: AppTest, gate: Gate) -> None:
    gate.error = sc.NonFiniteError("The network overflows.")
    gate.opened.set()
    visit(app, "compare", left="smoothgrad")
    settle(app, long=True)
    assert "The network overflows." in notes_of(app)
    assert len(gate.tasks) == 1
    gate.opened.clear()
    button(app, "retry-").click()
    app.run()
    assert len(gate.tasks) == 2
    assert "The network overflows." not in notes_of(app)
    gate.opened.set()
    settle(app, long=True)
    button(app, "dismiss-").click()
    settle(app)
    assert "The network overflows." not in notes_of(app)
    assert session_of(app).methods == ("normgrad", "grad_cam")


def test_a_method_that_the_model_does_not_have_is_replaced_with_the_reason(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = shared_engine().model_info(Choice().model)
    without = replace(info, unavailable={"guided_backprop": "Defined for ReLU only."})

    def load(_: sc.Engine, name: str) -> Task[ModelInfo]:
        return Task.finished(name, without)

    monkeypatch.setattr(sc.Engine, "load", load)
    visit(app, "compare", left="guided_backprop")
    assert "Defined for ReLU only." in notes_of(app)
    assert session_of(app).methods == ("normgrad", "grad_cam")


def test_a_many_pass_method_is_replaced_under_a_meta_step(app: AppTest) -> None:
    visit(app, "compare", left="rise", meta="0.0025")
    assert not app.exception
    assert viewer_panel.AFTER_STEP in notes_of(app)
    assert session_of(app).methods == ("normgrad", "grad_cam")


def test_a_method_of_one_extra_pass_joins_the_maps(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[sc.Explanation] = []
    viewer = viewer_panel.viewer

    def record(**arguments: object) -> object:
        shown.append(arguments["explanation"])
        return viewer(**arguments)

    monkeypatch.setattr(viewer_panel, "viewer", record)
    visit(app, "compare", left="deconvnet")
    assert shown[-1].has("deconvnet", "blocks.4")
    assert shown[-1].has("normgrad", "blocks.4")


def test_uploads_are_decoded_in_tasks_and_a_bad_one_gets_one_sentence(app: AppTest) -> None:
    settle(app)
    good = photos.sample_files()["coffee"]
    app.file_uploader[0].upload("mine.png", good.read_bytes()).upload("bad.png", b"This is no photo.")
    settle(app)
    assert [file.name for file in session_of(app).uploads] == ["mine.png"]
    assert session_of(app).scene.photo.name == "mine.png"
    assert "bad.png: " in notes_of(app)


def test_the_page_without_steps_explains_the_network_as_it_is(app: AppTest) -> None:
    visit(app, "why", meta="0.0025")
    assert session_of(app).scene.request.variant is None
    assert "Meta step" not in texts_of(app)
    assert session_of(app).choice.variant == sc.MetaStep()


# -- the article on Grad-CAM ---------------------------------------------------------------------------------


def charts_of(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_the_article_charts_the_energy_the_correlations_and_the_published_figures(
    app: AppTest, explanation: sc.Explanation
) -> None:
    visit(app, "why")
    averaging, agreement, *published = charts_of(app)
    names = [layer.name for layer in explanation.layers]
    energies = [100 * explanation.energy(name) for name in names]
    assert averaging["data"][0]["y"] == pytest.approx(energies, rel=1e-6)
    lines = {trace["name"]: trace["y"] for trace in agreement["data"]}
    assert averaging["data"][1]["y"] == lines["Grad-CAM"]
    for title, method in (("Grad-CAM", "grad_cam"), ("Gradient", "gradient"), ("NormGrad", "normgrad")):
        for name, shown in zip(names, lines[title], strict=True):
            reference = np.maximum(explanation.map("linear_approx", name), 0).ravel()
            if explanation.constant(method, name):
                assert shown is None
            else:
                expected = stats.spearmanr(explanation.map(method, name).ravel(), reference).statistic
                assert shown == pytest.approx(expected, abs=1e-6)
    assert lines["Grad-CAM"][-1] == pytest.approx(1, abs=1e-3)
    assert lines["Gradient"][-1] is None
    assert f"{names[-1]}, Gradient: {sc.METHODS['gradient'].empty}" in texts_of(app)

    file = json.loads((ROOT / "assets" / "data" / "pointing_game_voc07.json").read_text())
    keys = {"Grad-CAM": "grad_cam", "Linear approx.": "linear_approx", "NormGrad": "norm_grad"}
    keys |= {"Selective": "norm_grad_selective", "Gradient": "gradient"}
    for chart, network in zip(published, ("vgg16", "resnet50"), strict=True):
        accuracy = file["pointing_accuracy"][network]
        assert chart["layout"]["xaxis"]["ticktext"] == list(accuracy["grad_cam"])
        for trace in chart["data"]:
            expected = [100 * value for value in accuracy[keys[trace["name"]]].values()]
            assert trace["y"] == pytest.approx(expected)
    for methods in file["pointing_accuracy"].values():
        for by_layer in methods.values():
            for value in by_layer.values():
                assert f"<td>{100 * value:.2f}%</td>" in texts_of(app)
    assert any(file["source"] in caption.value for caption in app.caption)


def test_a_layer_without_gradient_has_gaps_with_reasons_and_no_zeros(explanation: sc.Explanation) -> None:
    class Dead:
        layers = explanation.layers[:1]

        def map(self, method: str, layer: str) -> np.ndarray:
            return np.zeros((2, 2), np.float32)

        def energy(self, layer: str) -> None:
            return None

        def constant(self, method: str, layer: str) -> bool:
            return True

    (layer,) = figures.layer_figures(Dead())
    assert layer.energy.value is None
    assert layer.energy.reason
    assert all(figure.value is None and figure.reason for figure in layer.correlations.values())


def layer_of(name: str, energy: float | None, correlation: float | None) -> figures.LayerFigures:
    agreement = Figure(correlation, "" if correlation is not None else "Nothing there.")
    return figures.LayerFigures(name, Figure(energy), dict.fromkeys(figures.COMPARED, agreement))


def test_the_article_distinguishes_networks_with_global_pooling_from_those_without() -> None:
    early, pooled = layer_of("a", 0.02, -0.1), layer_of("b", 1.0, 1.0)
    words = texts.averaging([early, pooled], "cat").replace("\u00a0", " ")
    assert texts.LOSES_NOTHING in words
    assert "At **a**, **2%** is left, and ρ = −0.10." in words
    words = texts.averaging([early, layer_of("b", 0.4, 0.7)], "cat").replace("\u00a0", " ")
    assert "**40%**" in words
    assert "ρ = 0.70" in words
    assert texts.LOSES_NOTHING not in words
    words = texts.averaging([early, layer_of("b", None, None)], "cat")
    assert "no gradient of “cat” at **b**" in words


# -- class sensitivity ---------------------------------------------------------------------------------------


def row_of(app: AppTest, table: str, method: str) -> list[str]:
    """A method's cells in the table with this title."""
    body = texts_of(app).split(f"<summary>{table}</summary>")[1].split("</table>")[0]
    row = body.split(f'<th scope="row">{method}</th>')[1].split("</tr>")[0]
    return re.findall("<td>(.*?)</td>", row)


@pytest.mark.parametrize("meta", [None, sc.MetaStep(0.006)])
def test_the_page_of_classes_shows_the_numbers_of_the_core(app: AppTest, meta: sc.MetaStep | None) -> None:
    image = sc.open_image(photos.sample_files()["cat-above-coffee"])
    classifier = sc.load_classifier()
    table = sc.class_sensitivity_table(classifier, image, [967, 285], methods=["normgrad"], meta=meta)
    step = {} if meta is None else {"meta": f"{meta.lr:g}"}
    visit(app, "classes", **COMPOSED, **step)
    assert not app.exception
    written = [rho(table.correlation("normgrad", layer)) for layer in table.layers]
    assert row_of(app, class_texts.MAP_TABLE, "NormGrad") == written


def test_the_switches_of_the_page_of_classes_are_part_of_the_address(app: AppTest) -> None:
    visit(app, "classes", **COMPOSED, cells="1")
    assert app.toggle(key="class-cells").value
    assert len(row_of(app, class_texts.MAP_TABLE, sc.METHODS["bias_max"].title)) == 8
    app.toggle(key="class-cells").set_value(False)
    settle(app)
    assert "cells" not in app.query_params


def test_the_rest_of_the_sweep_can_be_cancelled_and_asked_for_again(app: AppTest) -> None:
    visit(app, "classes", **COMPOSED, meta="0.0025", fit="pad")
    assert class_texts.DECLINED not in notes_of(app)
    (sweep,) = session_of(app).tasks
    button(app, "cancel-").click()
    settle(app)
    assert class_texts.DECLINED in notes_of(app)
    assert sweep.task.wait(SECONDS)
    button(app, "class-sweep").click()
    settle(app)
    assert class_texts.DECLINED not in notes_of(app)
    assert len(session_of(app).tasks) == 1


def test_the_mean_over_the_uploaded_photos_is_that_of_the_core(app: AppTest) -> None:
    files = [photos.sample_files()[name] for name in ("coffee", "camera")]
    settle(app)
    for file in files:
        app.file_uploader[0].upload(file.name, file.read_bytes())
    settle(app)
    app.switch_page(str(entry_of("classes").path))
    settle(app)
    button(app, "class-set").click()
    settle(app, long=True)
    expected = sc.class_sensitivity_over(
        sc.load_classifier(),
        [sc.open_image(file) for file in files],
        methods=["normgrad"],
        layers=["blocks.5"],
    )["normgrad", "blocks.5"]
    assert expected is not None
    cells = row_of(app, "Mean and 95% interval over 2 photos", "NormGrad")
    layers = session_of(app).scene.layers
    assert cells[layers.index("blocks.5")].startswith(f"{rho(expected.mean)} [")


def send_title(app: AppTest, key: str, title: str) -> AppTest:
    """Send the title of an option that a widget had before, as a browser does that has not been updated."""
    states = app._tree.get_widget_states()
    widget = next(each for each in app.selectbox if each.key == key)
    state = next((each for each in states.widgets if each.id == widget.id), None) or states.widgets.add()
    state.id, state.string_value = widget.id, title
    return app._run(states)


@pytest.mark.parametrize("key", ["class", "model", "class-a", "class-b"])
def test_the_title_of_an_option_that_has_changed_in_the_meantime_is_not_taken_for_a_choice(
    app: AppTest, key: str
) -> None:
    visit(app, "classes", **COMPOSED)
    before = session_of(app).choice
    send_title(app, key, "tiger cat · 1.2%")
    settle(app)
    assert session_of(app).choice == before
    assert "Something went wrong" not in texts_of(app)
