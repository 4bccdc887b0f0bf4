"""Every page's script, run by Streamlit's own test runner, with the background tasks waited for."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
from streamlit.testing.v1 import AppTest

import saliency_core as sc
from pages.classes import photo_set
from pages.classes import texts as class_texts
from pages.shared import components, formats, method_lists, models, pairs, photos, sidebar, viewer_panel
from pages.shared.address import UNLEARN, Choice
from pages.shared.engine import shared_engine
from pages.shared.figure import Figure
from pages.shared.formats import rho
from pages.shared.registry import PAGES, PAGES_FOLDER, ROOT, PageEntry, entry_of
from pages.shared.scene import request_of
from pages.shared.session import GONE, UNUSABLE, Session
from pages.shared.theme import WAY_OUT
from pages.why import figures, texts
from pages.why.figures import LayerFigures
from saliency_core import errors
from saliency_core.engine import local
from saliency_core.engine.failures import user_message
from saliency_core.engine.queue import TaskQueue
from saliency_core.engine.request import ExplainRequest, ModelInfo
from saliency_core.engine.tasks import Task
from saliency_core.errors import BusyError
from saliency_core.progress import ProgressCallback
from saliency_core.viewer import payload
from saliency_core.viewer.payload import AVERAGING_METHODS
from tests.page_runs import SECONDS, button, session_of, settle, texts_of, visit

SMALL = "timm:test_resnet.random"
"""A network with the classes of ImageNet, for tests that compute much and ask for no particular network."""
COMPOSED = {"photo": "cat-above-coffee", "class": "967", "b": "285"}


@pytest.fixture(scope="module", autouse=True)
def explanation() -> sc.Explanation:
    """The explanation of the first view; the model is loaded with it, once for all tests."""
    photo = photos.default_photo()
    return shared_engine().explain(request_of(Choice(), photo.file.digest), photo.image)


def settle_with(app: AppTest, model: str) -> Session:
    """The session once the page shows this model."""
    for _ in range(5):  # a task may end between a run and the look at what is running
        settle(app, long=True)
        scene = session_of(app).scene
        if scene is not None and scene.model.name == model:
            break
    return session_of(app)


def notes_of(app: AppTest) -> str:
    return " ".join(re.findall(r'<div class="ng-note.*?</div>', texts_of(app)))


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


def test_the_frame_shows_what_is_known_of_the_model_and_its_classes(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards: list[dict[str, str]] = []
    classes: list[dict[str, object]] = []
    monkeypatch.setattr(components, "model_picker", lambda card, **_: cards.append(card))
    monkeypatch.setattr(components, "class_list", lambda _, **given: classes.append(given))
    settle(app)
    settle(app)
    assert cards[-1]["title"] == "EfficientNet-Lite0"
    assert cards[-1]["facts"].startswith("4.65 M parameters · ")
    assert cards[-1]["state"] == models.HERE
    assert len(classes[-1]["labels"]) == 1000
    assert not app.exception


def test_a_link_to_a_photo_that_is_gone_says_so_at_once(app: AppTest) -> None:
    app.query_params["photo"] = photos.upload_key("0" * 64)
    app.run()
    assert GONE in notes_of(app)


def test_after_a_reload_the_photo_of_the_address_is_in_the_strip_at_once(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = photos.receive("mine.png", photos.sample_files()["coffee"].read_bytes())
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
    assert '<h2 class="ng-section">Model</h2>' in texts_of(app)


def test_a_class_that_the_model_does_not_have_is_left_out_of_a_link_with_a_note(app: AppTest) -> None:
    visit(app, "compare", **{"class": "1000", "fit": "<b>"})
    assert session_of(app).choice.target is None
    assert UNUSABLE.format(names="fit, class") in notes_of(app)
    assert "<b>" not in notes_of(app)
    assert "class" not in app.query_params


def test_a_model_that_cannot_be_loaded_leaves_the_sidebar_and_the_address_with_the_one_on_the_screen(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = sc.Engine.load

    def refused(_: ProgressCallback) -> None:
        raise sc.WeightsError("The host is away.")

    queue, tried = TaskQueue(workers=1), []

    def start(engine: sc.Engine, name: str) -> Task[ModelInfo]:
        if name == Choice().model:
            return load(engine, name)
        tried.append(name)
        return queue.submit(("load", len(tried)), refused)

    monkeypatch.setattr(sc.Engine, "load", start)
    visit(app, "compare", model="vgg16")
    assert "The host is away." in notes_of(app)
    assert session_of(app).latest.model == Choice().model
    assert "model" not in app.query_params
    button(app, "retry-").click()
    settle(app)
    assert tried == ["vgg16", "vgg16"]
    session_of(app).choose_model("vgg16")
    settle(app)
    assert tried == ["vgg16"] * 3
    assert "The host is away." in notes_of(app)
    assert session_of(app).latest.model == Choice().model
    queue.close(SECONDS)


def test_a_busy_server_says_for_how_long_and_one_can_try_again(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, busy = sc.Engine.submit, "The server is busy for about 12 seconds."
    refused: list[ExplainRequest] = []

    def start(
        engine: sc.Engine, asked: ExplainRequest, image: object, **options: object
    ) -> Task[sc.Explanation]:
        if refused:
            return submit(engine, asked, image, **options)
        refused.append(asked)
        return Task.refused(asked, BusyError(busy, 12))

    monkeypatch.setattr(sc.Engine, "submit", start)
    visit(app, "compare", **{"class": "7"})
    assert busy in notes_of(app)
    button(app, "try-again").click()
    settle(app)
    assert busy not in notes_of(app)
    assert session_of(app).scene.explanation.target == 7


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
        self,
        engine: sc.Engine,
        request: ExplainRequest,
        image: object,
        *,
        title: str = "",
        session: str | None = None,
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
            return SUBMIT(engine, request, image, title=title, session=session)
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


def test_a_network_without_classes_ranks_its_features_and_shows_no_percentages(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[payload.Content] = []
    content = payload.content

    def record(*given: object, **named: object) -> payload.Content:
        sent.append(content(*given, **named))
        return sent[-1]

    monkeypatch.setattr(payload, "content", record)
    listed: list[list[dict[str, object]]] = []
    show = components.class_list

    def note(classes: list[dict[str, object]], **named: object) -> None:
        listed.append(classes)
        show(classes, **named)

    monkeypatch.setattr(components, "class_list", note)
    model = "timm:vit_tiny_patch16_dinov3_qkvb.random"
    visit(app, "compare", model=model)
    settle_with(app, model)
    assert sidebar.NO_CLASSES in texts_of(app)
    assert sent[-1].meta["probability"] is None
    assert [each["share"] for each in listed[-1]] == ["1st", "2nd", "3rd", "4th", "5th"]
    assert not any(each["probability"] for each in listed[-1])
    rows = {row["term"]: row["text"] for row in models.describe(models.look_up(model))["rows"]}
    assert rows["Features"] == "192"
    assert "Classes" not in rows


@pytest.mark.parametrize("classes", [1, 2])
def test_the_classes_page_says_that_it_needs_two_classes(app: AppTest, tmp_path: Path, classes: int) -> None:
    visit(app, "classes")
    current = session_of(app)
    file = tmp_path / "mine.safetensors"
    network = timm.create_model("test_vit", num_classes=classes)
    safetensors.torch.save_file(network.state_dict(), file)
    upload = current.own.receive(file.name)
    upload.write(file.read_bytes())
    upload.end()
    current.own.keep(upload)
    name = current.own.add(upload.id, "timm:test_vit", None)
    current.choose_model(name)
    settle_with(app, name)
    assert not app.exception
    assert current.scene.model.name == name
    assert (class_texts.SINGLE_CLASS in texts_of(app)) == (classes == 1)
    assert [each.value for each in app.header] == (["Meta-saliency"] if classes == 2 else [])
    current.remove_model(name)


def test_a_link_to_another_model_keeps_its_method_and_layers_while_that_model_loads(app: AppTest) -> None:
    visit(app, "compare", model="timm:test_vit.random-5", left="attention_rollout", layers="blocks.0.norm2")
    current = settle_with(app, "timm:test_vit.random-5")
    assert (current.methods[0], current.choice.extra_layers) == ("attention_rollout", ("blocks.0.norm2",))
    assert current.choice.model == current.scene.model.name == "timm:test_vit.random-5"
    (block,) = current.scene.model.left_out
    assert "its class token alone" in current.scene.model.left_out[block]
    assert notes_of(app) == ""


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


# -- the article on Grad-CAM ---------------------------------------------------------------------------------


def charts_of(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def words_of(app: AppTest) -> str:
    return " ".join(element.value for element in (*app.markdown, *app.caption))


def test_the_article_charts_the_published_figures(app: AppTest) -> None:
    visit(app, "why")
    file = json.loads((ROOT / "saliency_core" / "evaluation" / "pointing_game_voc07.json").read_text())
    keys = {"Grad-CAM": "grad_cam", "Linear approx.": "linear_approx", "NormGrad": "norm_grad"}
    keys |= {"Selective": "norm_grad_selective", "Gradient": "gradient"}
    for chart, network in zip(charts_of(app), ("vgg16", "resnet50"), strict=True):
        accuracy = file["pointing_accuracy"][network]
        for trace in chart["data"]:
            assert trace["customdata"] == list(accuracy["grad_cam"])
            expected = [100 * value for value in accuracy[keys[trace["name"]]].values()]
            assert trace["y"] == pytest.approx(expected)
    for methods in file["pointing_accuracy"].values():
        for by_layer in methods.values():
            for value in by_layer.values():
                assert f"<td>{100 * value:.2f}%</td>" in texts_of(app)
    assert any(file["source"] in caption.value for caption in app.caption)


def test_the_article_follows_the_meta_step_and_its_table_has_the_numbers_of_the_core(app: AppTest) -> None:
    image = sc.open_image(photos.sample_files()["cat-above-coffee"])
    expected = sc.explain(sc.load_classifier(), image, 967, methods=AVERAGING_METHODS, meta=sc.MetaStep())
    visit(app, "why", photo="cat-above-coffee", meta="0.0025", **{"class": "967"})
    assert "after a meta step (ε = 0.0025)" in words_of(app)
    for layer in expected.layers:
        shares = [sc.energy_inside(expected.map(each, layer), [(0, 0.5, 1, 1)]) for each in AVERAGING_METHODS]
        cells = [formats.exact_percent(share) for share in (expected.energy(layer), *shares)]
        assert row_of(app, texts.TABLE, layer.name) == cells


def test_without_a_box_the_article_says_why_and_its_table_has_the_energy_alone(app: AppTest) -> None:
    visit(app, "why", photo="cat-above-coffee", **{"class": "504"})
    assert "Choose “Egyptian cat” or “espresso”" in words_of(app)
    assert len(row_of(app, texts.TABLE, "bn2")) == 1
    app.file_uploader[0].upload("mine.png", photos.sample_files()["coffee"].read_bytes())
    settle(app)
    assert texts.OWN_PHOTO in words_of(app)


def test_a_layer_without_gradient_has_gaps_with_reasons_and_no_zeros(explanation: sc.Explanation) -> None:
    class Dead:
        layers = explanation.layers[:1]

        def has(self, method: str, layer: str) -> bool:
            return method != "linear_approx"

        def map(self, method: str, layer: str) -> np.ndarray:
            return np.zeros((2, 2), np.float32)

        def energy(self, layer: str) -> None:
            return None

    found = figures.photo_figures(Dead(), [(0, 0, 0.5, 1)])
    assert found.area == 0.5
    table = texts.layer_table(found)
    assert table.rows == [[explanation.layers[0].name, *(4 * [None])]]
    assert len(table.remarks) == 4
    assert "“cat” has no gradient" in texts.averaging(found, "cat")
    assert "no positive value" in texts.inside(found)


def layer_of(name: str, energy: float | None, *inside: float | None, locations: int = 49) -> LayerFigures:
    shares = dict(zip(AVERAGING_METHODS, map(Figure, inside), strict=False))
    return LayerFigures(name, locations, Figure(energy), shares)


def figures_of(*layers: LayerFigures, area: float | None = None) -> figures.PhotoFigures:
    return figures.PhotoFigures(layers, area)


def test_the_article_says_that_averaging_loses_nothing_only_where_that_is_so() -> None:
    early = layer_of("a", 0.02)
    words = texts.averaging(figures_of(early, layer_of("b", 1.0)), "cat")
    assert "At **a** averaging leaves **2%**" in words
    assert f"**b**, {texts.LOSES_NOTHING}" in words
    words = texts.averaging(figures_of(early, layer_of("b", 0.4)), "cat")
    assert "**40%**" in words
    assert texts.LOSES_NOTHING not in words
    assert "no gradient" in texts.averaging(figures_of(early, layer_of("b", None)), "cat")
    words = texts.averaging(figures_of(early, layer_of("b", 1.0, locations=1)), "cat")
    assert "single location" in words
    assert texts.LOSES_NOTHING not in words
    assert "**a**" not in texts.averaging(figures_of(layer_of("a", 1.0), layer_of("b", 1.0)), "cat")


def test_the_article_calls_it_no_great_loss_where_averaging_keeps_most_of_the_energy_at_every_layer() -> None:
    kept = figures_of(layer_of("a", 0.97), layer_of("b", 0.89), layer_of("c", 0.95))
    words = texts.averaging(kept, "cat")
    assert words.startswith(f"{texts.LOSES_LITTLE}: at **b**, where it loses most, **89%**")
    assert "At the last layer shown, **c**, **95%**" in words
    assert "much the same at every location there" in words
    assert "what all of them share" not in words
    assert texts.averaging(figures_of(layer_of("a", 0.97), layer_of("b", 0.92)), "cat").count("**b**") == 1
    words = texts.averaging(figures_of(layer_of("a", 0.7), layer_of("b", 0.5)), "cat")
    assert texts.LOSES_LITTLE not in words
    assert "**50%** of the gradient’s energy is left: the gradient differs even there" in words


def test_the_article_counts_the_layers_where_a_map_has_less_than_chance_inside_the_box() -> None:
    lost = figures_of(layer_of("a", 0.1, 0.2, 0.3, 0.6), layer_of("b", 1.0, 0.9, 0.9, 0.5), area=0.4)
    words = texts.inside(lost)
    assert "**1 of 2 layers**; least at **a**, **20%**" in words
    assert "does so at 1 layer, NormGrad at none." in words
    assert "**90%** of Grad-CAM’s energy lies inside the box and **50%** of NormGrad’s: " in words


def test_the_article_claims_no_failure_where_grad_cam_has_more_than_chance_inside_the_box() -> None:
    kept = figures_of(layer_of("a", 0.1, 0.5, 0.3, 0.6), layer_of("b", 0.5, 0.9, 0.9, 0.5), area=0.4)
    words = texts.inside(kept)
    assert "at **none of 2 layers**; least at **a**, **50%**. The linear" in words
    assert "does so at 1 layer, NormGrad at none." in words
    assert "whatever the class" not in words  # the gradient at the last layer is not the same everywhere
    some = figures_of(layer_of("a", 0.1, None, 0.3, 0.6), layer_of("b", 0.5, 0.9, 0.9, 0.5), area=0.4)
    assert "at **none of 1 layer**; least at **b**, **90%**. At 1 layer it has no" in texts.inside(some)
    full = figures_of(layer_of("a", 0.1, 1.0, 1.0, 1.0), area=1.0)
    assert "say little here" in texts.inside(full)


# -- layers that are added -----------------------------------------------------------------------------------


def test_layers_of_an_address_are_explained_on_every_page_and_unknown_ones_named(app: AppTest) -> None:
    visit(app, "compare", photo="chelsea", layers="conv_head~nowhere~input", left="normgrad_proper")
    assert "“nowhere”" in notes_of(app)
    app.switch_page(str(entry_of("why").path))
    scene = session_of(settle(app)).scene
    assert scene.layers == ("input", *sc.load_classifier().default_layers[:-1], "conv_head", "bn2")
    assert app.query_params["layers"] == "input~conv_head"
    assert session_of(app).methods[0] == "normgrad_proper"
    expected = sc.explain(
        sc.load_classifier(), scene.image, scene.request.target, ["conv_head"], ["normgrad_proper"]
    )
    np.testing.assert_allclose(
        scene.explanation.map("normgrad_proper", "conv_head"),
        expected.map("normgrad_proper", "conv_head"),
        rtol=1e-5,
    )
    for slug in ("why", "classes"):
        app.switch_page(str(entry_of(slug).path))
        settle(app)
        assert not app.exception
        assert session_of(app).failure is None


def test_a_method_of_convolutions_leaves_with_the_last_of_them(app: AppTest) -> None:
    visit(app, "compare", photo="chelsea", layers="conv_head", left="normgrad_proper")
    assert session_of(app).methods[0] == "normgrad_proper"
    session_of(app).see_view({"layers": ()})
    settle(app)
    settle(app)
    assert session_of(app).methods[0] == "normgrad"
    assert viewer_panel.ADD_CONVOLUTION in notes_of(app)


# -- class sensitivity ---------------------------------------------------------------------------------------


def row_of(app: AppTest, table: str, method: str) -> list[str]:
    """A method's cells in the table with this title."""
    body = texts_of(app).split(f"<summary>{table}</summary>")[1].split("</table>")[0]
    row = body.split(f'<th scope="row">{method}</th>')[1].split("</tr>")[0]
    return re.findall("<td>(.*?)</td>", row)


def test_the_page_of_classes_says_what_the_numbers_of_the_core_say(app: AppTest) -> None:
    image = sc.open_image(photos.sample_files()["cat-above-coffee"])
    table = sc.class_sensitivity_table(sc.load_classifier(), image, [967, 285], methods=["normgrad"])
    visit(app, "classes", **COMPOSED)
    assert not app.exception
    said = " ".join(element.value for element in app.markdown)
    assert f"NormGrad has ρ = {rho(table.correlation('normgrad', 'bn2'))} at bn2" in said


def line_of(*values: float | None) -> tuple[Figure, ...]:
    return tuple(Figure(value, "" if value is not None else "Constant.") for value in values)


def test_the_remarks_on_the_correlations_follow_the_numbers() -> None:
    lines = {
        "normgrad": line_of(0.8, 1.0),
        "eigen_cam": line_of(1.0, 1.0),
        "grad_cam": line_of(-0.76, None),
    }
    layers = ("blocks.0", "bn2")
    pooled = " ".join(class_texts.remarks(lines, layers, 1.0))
    assert "NormGrad has ρ = 1.00 at bn2.** The global average pooling" in pooled
    assert "Eigen-CAM has ρ = 1.00 at every layer" in pooled
    assert "Grad-CAM at blocks.0, ρ = −0.76" in pooled
    assert "Grad-CAM (bn2)" in pooled
    lines |= {"normgrad": line_of(0.8, 0.71), "eigen_cam": line_of(1.0, 0.4)}
    other = " ".join(class_texts.remarks(lines, layers, 0.4))
    assert "NormGrad has ρ = 0.71 at bn2.**" in other
    assert "pooling" not in other
    assert "Eigen-CAM" not in other
    assert class_texts.remarks({}, layers, None) == []


def test_a_photo_of_two_objects_begins_with_them_until_classes_are_chosen(app: AppTest) -> None:
    visit(app, "classes", photo="cat-above-coffee")
    session = session_of(app)
    scene = session.scene
    assert pairs.compared(session.choice, scene) == (285, 967)
    assert (session.view["left"], session.view["layer"]) == ("grad_cam", "bn2")
    assert session.address() == {"photo": "cat-above-coffee"}
    order = [int(index) for index in scene.explanation.probabilities.argsort()[::-1]]
    chosen = replace(session.choice, target=872)
    assert pairs.compared(chosen, scene) == (872, order[-1])
    assert pairs.compared(replace(chosen, other=872), scene) == (872, order[-1])
    assert pairs.replaced((1, 2), 0, 2) == (2, 1)
    assert pairs.replaced((1, 2), 1, 5) == (1, 5)
    session.choose_photo("coffee")
    settle(app)
    assert (session.view["left"], session.view["layer"]) == ("normgrad", None)
    assert pairs.compared(session.choice, session.scene)[0] == session.scene.explanation.target


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


def test_the_means_over_the_uploaded_photos_and_their_change_by_the_step_are_those_of_the_core(
    app: AppTest,
) -> None:
    files = [photos.sample_files()[name] for name in ("coffee", "camera")]
    app.query_params.update(meta="0.0025", model=SMALL)
    settle(app)
    for file in files:
        app.file_uploader[0].upload(file.name, file.read_bytes())
    settle(app)
    app.switch_page(str(entry_of("classes").path))
    settle(app, long=True)  # with the other sizes of the step, which the photos would wait for
    button(app, "class-set").click()
    app.run()
    (asked,) = (entry for entry in session_of(app).tasks if entry.title.endswith("over 2 photos"))
    assert asked.task.wait(SECONDS)
    settle(app)
    layer = session_of(app).scene.layers[-2]
    before, after = (
        sc.class_sensitivity_over(
            sc.load_classifier(SMALL),
            [sc.open_image(file) for file in files],
            methods=["normgrad"],
            layers=[layer],
            meta=meta,
        )["normgrad", layer]
        for meta in (None, sc.MetaStep())
    )
    assert session_of(app).scene.model.name == SMALL
    column = session_of(app).scene.layers.index(layer)
    for title, value in (
        (photo_set.MEANS, rho(after.mean)),
        (photo_set.CHANGES, formats.signed(after.mean - before.mean)),
    ):
        cells = row_of(app, title.format(count=2), "NormGrad")
        assert cells[column].startswith(f"{value} [")
