"""Every page's script, run by Streamlit's own test runner; and the address that reopens a view."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import saliency_core as sc
from pages.frame import state
from pages.frame.registry import PAGES, ROOT

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
        )
    ),
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


def test_pages_are_short() -> None:
    for path in (ROOT / "pages").glob("*.py"):
        assert len(Path(path).read_text().splitlines()) < 80, path.name
