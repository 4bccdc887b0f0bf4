"""Figures, films, pages and files of maps asked for with what they cannot be made of: always one sentence."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.viewer.schema import VIEW
from tests.networks import classifier

WRONG: list[Any] = [
    3,
    b"x",
    ["x"],
    {"x": "y"},
    object(),
    np.array([1, 2, 3]),
    10**400,
    Image.new("L", (1, 1)),
]
NAMES = ["none/a", "zero\0", "half\ud800", "x" * 300]


@pytest.fixture(scope="module")
def explanation() -> sc.Explanation:
    return sc.explain(classifier(), Image.effect_noise((60, 40), 90).convert("RGB"), 2, ["bn", "act"])


def refused(made: Callable[[], object]) -> None:
    with pytest.raises(sc.SaliencyError):
        made()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", WRONG, ids=lambda each: type(each).__name__)
def test_a_value_of_another_type_is_refused_in_a_sentence(explanation: sc.Explanation, wrong: Any) -> None:
    for name in VIEW:
        if name != "layers":  # those that an explanation does not have may be computed later
            refused(lambda name=name: sc.figure(explanation, **{name: wrong}))  # type: ignore[misc]
    for name in ("title", "caption", "address", "mode"):
        refused(lambda name=name: sc.save_html("page.html", explanation, **{name: wrong}))  # type: ignore[misc]
    refused(lambda: sc.figure(explanation, dark=wrong))
    refused(lambda: sc.film(explanation, sweep=[wrong, wrong]))
    refused(lambda: sc.save_html(wrong, explanation))
    refused(lambda: sc.save_maps(wrong, explanation))
    refused(lambda: sc.save_maps("maps.npz", explanation, photo=wrong))
    refused(lambda: sc.load_maps(wrong))
    figure, film = sc.figure(explanation, "panel"), sc.film(explanation, kind="panel")
    for made in (figure, film):
        refused(lambda made=made: made.save(wrong))  # type: ignore[misc]
        refused(lambda made=made: made.to_bytes(wrong))  # type: ignore[misc]
        refused(lambda made=made: made.to_bytes(scale=wrong))  # type: ignore[misc]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_no_file_can_have_is_refused_in_a_sentence(
    explanation: sc.Explanation, name: str
) -> None:
    refused(lambda: sc.save_html(f"{name}.html", explanation))
    refused(lambda: sc.save_maps(f"{name}.npz", explanation))
    refused(lambda: sc.load_maps(f"{name}.npz"))
    refused(lambda: sc.figure(explanation, "panel").save(f"{name}.png", 1))
    refused(lambda: sc.film(explanation, kind="panel").save(f"{name}.gif"))


def test_a_file_object_that_takes_no_bytes_is_refused_in_a_sentence(explanation: sc.Explanation) -> None:
    closed = io.BytesIO()
    closed.close()
    for file in (io.StringIO(), closed):
        refused(lambda file=file: sc.save_maps(file, explanation))  # type: ignore[misc, arg-type]
