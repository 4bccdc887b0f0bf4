"""Streamlit's host of the viewer: what a browser reports, also a hostile one."""

from __future__ import annotations

import json
import logging
import re
import tomllib
from pathlib import Path

import pytest
from streamlit.components.v2.bidi_component.serialization import (
    BidiComponentSerde,
    deserialize_trigger_list,
)
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import WStates

from pages.shared import component_state, theme, viewer_host
from saliency_core.viewer.bundle import WEB

ROOT = Path(__file__).parents[1]
LAYERS = ("layer1", "layer2")
HOSTILE = ["", "no JSON", "{", "[" * 100_000, json.dumps({"view": None})[:-1], '{"a":' * 40 + "1" + "}" * 40]


def read(value_type: str, text: str) -> object:
    """What Streamlit makes of the text that a browser has sent as a component's state."""
    states = WStates()
    deserializer = BidiComponentSerde().deserialize
    if value_type == "json_trigger_value":
        deserializer = deserialize_trigger_list
    states.set_widget_metadata(
        WidgetMetadata("id", deserializer, json.dumps, value_type=value_type)  # type: ignore[arg-type]
    )
    states.set_widget_from_proto(WidgetState(id="id", **{value_type: text}))
    return states["id"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("value_type", ["json_value", "json_trigger_value"])
def test_a_state_that_cannot_be_read_counts_as_none_and_is_logged(
    value_type: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    component_state.guard()
    with caplog.at_level(logging.WARNING):
        assert not read(value_type, text)
    assert "ignored the state of a component" in caplog.text


@pytest.mark.parametrize("value_type", ["json_value", "json_trigger_value"])
def test_a_state_of_another_kind_than_the_components_counts_as_none(value_type: str) -> None:
    component_state.guard()
    for wrong in (
        {"int_value": 5},
        {"string_value": "{}"},
        {"json_value": "1"},
        {"json_trigger_value": "[1]"},
    ):
        states = WStates()
        deserializer = BidiComponentSerde().deserialize
        if value_type == "json_trigger_value":
            deserializer = deserialize_trigger_list
        states.set_widget_metadata(
            WidgetMetadata("id", deserializer, json.dumps, value_type=value_type)  # type: ignore[arg-type]
        )
        states.set_widget_from_proto(WidgetState(id="id", **wrong))
        assert bool(states["id"]) == (wrong == {"json_trigger_value": "[1]"} and value_type in wrong)
        assert states.widget_metadata["id"].value_type == value_type


def test_a_proper_state_passes_the_guard() -> None:
    component_state.guard()
    state = {"view": {"left": "normgrad", "weights": {"layer1": 0.5}}}
    assert read("json_value", json.dumps(state)) == state
    events = [{"event": "open", "value": {"method": "normgrad", "layer": "layer1"}}]
    assert read("json_trigger_value", json.dumps(events)) == events


def test_a_request_to_open_a_method_is_read_without_trust() -> None:
    def request(raw: object) -> viewer_host.OpenRequest | None:
        return viewer_host.open_request(raw, LAYERS)

    assert request({"method": "normgrad", "layer": "layer2"}) == viewer_host.OpenRequest("normgrad", "layer2")
    assert request({"method": "normgrad", "layer": "layer9"}) == viewer_host.OpenRequest("normgrad", None)
    for raw in (None, "normgrad", [], {}, {"method": "<b>"}, {"method": ["normgrad"], "layer": {}}):
        assert request(raw) is None


def test_a_request_for_classes_or_a_step_is_read_without_trust() -> None:
    def request(raw: object) -> viewer_host.ClassRequest | None:
        return viewer_host.class_request(raw, 10)

    assert request({"classes": [3, 9]}) == (3, 9)
    assert request({"step": None, "ascend": False}) == viewer_host.StepRequest(None, False)
    assert request({"step": 0.006, "ascend": True}) == viewer_host.StepRequest(0.006, True)
    for raw in (
        None,
        [3, 9],
        {},
        {"classes": [3]},
        {"classes": [3, 10]},
        {"classes": [-1, 3]},
        {"classes": [True, 3]},
        {"classes": ["3", 4]},
        {"step": "0.1", "ascend": True},
        {"step": 1e9, "ascend": True},
        {"step": 0.1},
        {"ascend": True},
    ):
        assert request(raw) is None


def test_every_colour_of_the_style_sheets_is_defined() -> None:
    sheets = [ROOT / "assets" / "app.css", *(ROOT / "pages" / "shared").rglob("*.css")]
    styles = [theme.palette(), *(sheet.read_text(encoding="utf-8") for sheet in sheets)]
    used = {name for style in styles for name in re.findall(r"var\((--ng-[a-z-]+)", style)}
    defined = {name for style in styles for name in re.findall(r"(--ng-[a-z-]+):", style)}
    assert used <= defined
    assert "--ng-accent: light-dark(#3b5bdb, #8da2fb);" in theme.palette()


def test_on_a_page_without_a_theme_the_viewer_has_the_colours_of_the_light_one() -> None:
    light = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]["light"]
    fallbacks = re.findall(r"var\(--st-([a-z-]+), (#[0-9a-f]{6})\)", (WEB / "theme.css").read_text())
    named = {re.sub(r"-([a-z])", lambda match: match[1].upper(), name): color for name, color in fallbacks}
    assert named == {name: light[name] for name in named}
    assert len(named) == 5
