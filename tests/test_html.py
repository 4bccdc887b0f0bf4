"""The page that holds photo, maps and viewer: what is in it, what is not, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.viewer import html, schema
from saliency_core.viewer.payload import ClassComparison, SweepPoint
from saliency_core.viewer.quantised import quantise, restored
from tests.networks import classifier, seeded

SAMPLES = Path(__file__).parents[1] / "assets" / "samples"
HOSTILE = "</script><img src=x onerror=alert(1)> & \"quotes\" 'and' \udcff a\u202emark"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def small() -> sc.Classifier:
    return classifier(seeded(dtype=torch.float32), labels=["ant", "bee", "cat", "dog", "eel"])


@pytest.fixture(scope="module")
def explanation(small: sc.Classifier, photo: Image.Image) -> sc.Explanation:
    return sc.explain(small, photo, "eel")


@pytest.fixture(scope="module")
def ladybird() -> sc.Explanation:
    return sc.explain(sc.load_classifier(), sc.open_image(SAMPLES / "ladybird.jpg"))


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the texts of those that have one."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and data.strip():
            self.texts.append((self.found[-1][0], data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def text(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def contents(page: str) -> dict:
    return json.loads(Elements(page).text("script")[0])


def decoded(page: str) -> list[list[np.ndarray]]:
    """The maps of every explanation of a page, flat, read as the file format says, number by number."""
    found = contents(page)
    bits, planes = found["maps"]["bits"], found["maps"]["planes"]
    numbers = np.frombuffer(base64.b64decode(found["maps"]["data"]), f"<u{bits // 8}")
    maps, at = [], 0
    for plane in planes:
        part = numbers[at : at + plane["size"]]
        maps.append(np.array([plane["low"] + plane["step"] * int(number) for number in part]))
        at += plane["size"]
    assert at == len(numbers)
    return [[maps[index] for index in entry["maps"]] for entry in found["entries"]]


@pytest.mark.parametrize("bits", [8, 16])
def test_maps_are_rounded_to_equal_steps_between_their_extremes(bits: int) -> None:
    random = np.random.default_rng(0)
    maps = [
        random.normal(size=(5, 7)).astype(np.float32),
        (1e-20 * random.random((3, 3))).astype(np.float32),
        np.array([[-3e38, 3e38]], np.float32),
        np.full((2, 2), 0.1, np.float32),
    ]
    found = quantise(maps, bits)  # type: ignore[arg-type]
    assert len(found.data) == sum(each.size for each in maps) * bits // 8
    worst = 0.0
    for plane, back in zip(maps, restored(found), strict=True):
        values = [float(value) for value in plane.ravel()]
        low, high = min(values), max(values)
        steps = 2**bits - 1
        for value, got in zip(values, back, strict=True):
            number = round((value - low) / (high - low) * steps) if high > low else 0
            expected = low + number * (high - low) / steps
            assert got == pytest.approx(expected, rel=1e-6, abs=1e-6 * (high - low))
            if high > low:
                worst = max(worst, abs(float(got) - value) / (high - low))
        assert (back.min(), back.max()) == (plane.min(), plane.max())
    assert found.error == pytest.approx(worst, rel=1e-3)
    assert found.error <= 1.001 / (2 * (2**bits - 1))


def test_the_first_methods_of_the_embedded_network_take_less_than_3_mb_with_16_bits(
    ladybird: sc.Explanation, tmp_path: Path
) -> None:
    file = tmp_path / "ladybird.html"
    sc.save_html(file, ladybird)
    found = html.quantised_maps(html.entries([ladybird]))
    assert file.stat().st_size < 3e6
    assert found.bits == 16
    assert found.error <= 1 / 255
    entry = contents(file.read_text(encoding="utf-8"))["entries"][0]
    assert [tab["name"] for tab in entry["tabs"]] == ["compare", "mix", "framework"]
    assert set(entry["meta"]["maps"]) == set(ladybird.methods)


def test_the_maps_in_the_page_are_those_of_the_explanation_but_for_the_rounding(
    explanation: sc.Explanation,
) -> None:
    page = html.page(html.entries([explanation]))
    meta = contents(page)["entries"][0]["meta"]
    flat = np.concatenate(decoded(page)[0])
    for name in explanation.methods:
        for layer, offset in zip(explanation.layers, meta["maps"][name]["offsets"], strict=True):
            values = explanation.map(name, layer).ravel()
            difference = np.abs(flat[offset : offset + values.size] - values).max()
            assert difference <= (values.max() - values.min()) / 65535


def test_many_maps_are_kept_with_8_bits(explanation: sc.Explanation) -> None:
    page = html.page(html.entries([explanation]), fine_bytes=100)
    assert contents(page)["maps"]["bits"] == 8
    assert re.search(r"rounded to 8 bits, by at most 0\.2% of a map’s range", page)


def test_texts_from_outside_are_only_texts(explanation: sc.Explanation, tmp_path: Path) -> None:
    named = replace(explanation, label=HOSTILE, subject=replace(explanation.subject, title=HOSTILE))
    entry = html.entries([named])[0]
    page = html.page(
        [replace(entry, photo=replace(entry.photo, name=HOSTILE))],
        title=HOSTILE,
        caption=HOSTILE,
        address='https://example.org/?"><script>alert(1)</script>',
    )
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    plain = HOSTILE.replace("\udcff", " ").replace("\u202e", " ")
    elements = Elements(page)
    assert (elements.text("h1"), elements.text("title")) == ([plain], [plain])
    assert len(elements.named("script")) == 2
    assert elements.named("img") == []
    assert len(elements.named("a")) == 1
    assert contents(page)["entries"][0]["meta"]["label"] == plain


def test_an_address_with_half_of_a_character_is_a_link(explanation: sc.Explanation) -> None:
    page = html.page(html.entries([explanation]), address="http://example.org/\ud800")
    assert Elements(page).named("a")[0]["href"] == "http://example.org/?"
    page.encode()


def test_the_page_allows_its_own_script_and_style_and_nothing_else(explanation: sc.Explanation) -> None:
    elements = Elements(html.page(html.entries([explanation]), address="https://example.org/compare"))
    policies = [each["content"] or "" for each in elements.named("meta") if "http-equiv" in each]
    assert len(policies) == 1
    rules = dict(rule.split(" ", 1) for rule in policies[0].split("; "))

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    (style,) = elements.text("style")
    assert rules == {
        "default-src": "'none'",
        "script-src": digest(elements.text("script")[1]),
        "style-src": digest(style),
        "img-src": "data: blob:",
        "font-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    for name, attributes in elements.found:
        assert not [each for each in attributes if each == "style" or each.startswith("on")], name
        links = [attributes[each] or "" for each in ("src", "href") if each in attributes]
        assert all(name == "a" or link.startswith("data:") for link in links), name
    assert "http" not in re.sub(r"data:[^)]*", "", style)


def test_a_large_photo_is_a_smaller_copy_and_the_page_says_so(small: sc.Classifier) -> None:
    entry = html.entries([sc.explain(small, Image.new("RGB", (8000, 5000), "orange"), "bee")])[0]
    assert (entry.photo.width, entry.photo.height) == (1280, 800)
    shown = contents(html.page([entry]))["entries"][0]
    assert shown["remark"] == "The photo is a smaller copy, 1280 × 800 of 8000 × 5000 pixels."


def test_the_names_of_photos_make_the_title(
    explanation: sc.Explanation, small: sc.Classifier, tmp_path: Path
) -> None:
    file = tmp_path / "käfer & co #1.png"
    assert explanation.subject.image is not None
    explanation.subject.image.save(file)

    def title(*shown: sc.Explanation, **photo: object) -> str:
        return Elements(html.page(html.entries(shown, **photo))).text("h1")[0]  # type: ignore[arg-type]

    assert title(explanation) == "Saliency maps of a photo"
    assert title(explanation, photo=file) == "Saliency maps of käfer & co #1.png"
    with Image.open(file) as opened:
        assert title(sc.explain(small, opened)) == "Saliency maps of käfer & co #1.png"


def test_two_classes_of_one_photo_share_their_maps_and_can_be_compared(
    small: sc.Classifier, photo: Image.Image
) -> None:
    ant, bee = sc.explain_classes(small, photo, ["ant", "bee"])
    both = contents(html.page(html.entries([ant, bee])))
    assert [entry["title"] for entry in both["entries"]] == ["ant", "bee"]
    assert all("classes" in [tab["name"] for tab in entry["tabs"]] for entry in both["entries"])
    assert len(both["maps"]["planes"]) <= 2 * len(ant.methods) * len(ant.layers)
    assert len(both["photos"]) == 1
    alone = contents(html.page(html.entries([ant, bee], "classes"), mode="classes"))["entries"]
    assert len(alone) == 1
    meta, updates = alone[0]["meta"], alone[0]["updates"]
    assert (meta["label"], meta["comparison"]["label"]) == ("ant", "bee")
    assert meta["comparison"]["classes"] is None, "no other class can be computed in a file"
    table = sc.compare_classes(ant, bee)
    rows = {row["method"]: row["figures"] for row in updates["correlations"]["before"]}
    for method in ("normgrad", "grad_cam"):
        values = [figure["value"] for figure in rows[method]]
        assert values == [table.cells[method, layer.name].correlation for layer in ant.layers]


def test_the_meta_steps_of_the_app_are_in_the_file(small: sc.Classifier, photo: Image.Image) -> None:
    def both(meta: sc.MetaStep | None) -> tuple[sc.Explanation, ...]:
        return sc.explain_classes(small, photo, ["ant", "bee"], meta=meta)

    first, second = both(None)
    steps = tuple(SweepPoint(size, *both(sc.MetaStep(size) if size else None)) for size in (0.0, 0.01))
    comparison = ClassComparison(second, "normgrad", small.labels, (), steps)
    entry = replace(html.entries([first])[0], comparison=comparison)
    shown = contents(html.page([entry], mode="classes", view={**schema.DEFAULTS, "epsilon": 0.01}))
    (found,) = shown["entries"]
    assert [step["epsilon"] for step in found["meta"]["comparison"]["sweep"]["steps"]] == [0.0, 0.01]
    lines = found["updates"]["correlations"]["sweep"]
    assert [len(line) for line in lines] == [len(first.layers)] * 2, "nothing waits for what never comes"
    assert found["updates"]["asked"] == {"classes": [0, 1], "step": 0.01, "ascend": False}


def test_methods_that_are_not_in_the_file_say_so(small: sc.Classifier, photo: Image.Image) -> None:
    few = sc.explain(small, photo, "ant", methods=["normgrad", "grad_cam"])
    entry = contents(html.page(html.entries([few])))["entries"][0]
    assert [tab["name"] for tab in entry["tabs"]] == ["compare", "mix"]
    assert entry["meta"]["unavailable"]["rise"] == "RISE is not in this file."
    assert "normgrad" not in entry["meta"]["unavailable"]


def test_a_view_is_given_by_the_names_of_its_fields(explanation: sc.Explanation) -> None:
    layers = [layer.name for layer in explanation.layers]
    view = html.checked_view({"left": "gradient", "layer": layers[1], "weights": (0.25, 1)}, [explanation])
    sent = contents(html.page(html.entries([explanation]), view=view))["entries"][0]["meta"]["view"]
    assert (sent["left"], sent["layer"], sent["weights"]) == (
        "gradient",
        layers[1],
        {layers[0]: 0.25, layers[1]: 1},
    )
    by_name = html.checked_view({"weights": {layers[0]: 0.25, layers[1]: 1}}, [explanation])
    assert by_name["weights"] == (0.25, 1.0)
    for wrong, words in (
        ({"depth": 1}, "unknown field of the view 'depth'"),
        ({"layer": "nowhere"}, "unknown layer 'nowhere'; choices: "),
        ({"opacity": 2}, "opacity is 2"),
        ({"weights": (1, 2, 3)}, "3 weights were given for 2 layers"),
    ):
        with pytest.raises(sc.SaliencyError, match=re.escape(words)):
            html.checked_view(wrong, [explanation])


def test_what_cannot_be_shown_is_refused_in_a_sentence(
    explanation: sc.Explanation, small: sc.Classifier, photo: Image.Image, tmp_path: Path
) -> None:
    def refused(words: str, *shown: object, path: str = "page.html", **arguments: object) -> None:
        with pytest.raises(sc.SaliencyError, match=re.escape(words)):
            sc.save_html(tmp_path / path, *shown, **arguments)  # type: ignore[arg-type]

    ant, bee, cat = sc.explain_classes(small, photo, ["ant", "bee", "cat"])
    darker = sc.explain(small, Image.new("RGB", (80, 40), "orange"), "bee")
    refused("the name must end in .html", ant, path="page.pdf")
    refused("there is no explanation to show")
    refused("expected an Explanation", "ant")
    refused("does not have its photo; pass it: photo=", ant.without_image())
    refused("pass the photo that was explained", ant.without_image(), photo=Image.new("RGB", (20, 20)))
    refused("expected an image, the name of its file, or None", ant, photo=3)
    refused("is a function of the class scores", sc.explain(small, photo, lambda scores: scores[:, 0]))
    refused("unknown mode 'all'", ant, mode="all")
    refused("1 was given", ant, mode="classes")
    refused("3 were given", ant, bee, cat, mode="classes")
    refused("both of these are for 'ant'", ant, ant, mode="classes")
    refused("different photos or networks", ant, darker, mode="classes")
    refused("does not have grad_cam, linear_approx", sc.explain(small, photo, methods="normgrad"), mode="why")
    refused("a link that begins with http:// or https://", ant, address="javascript:alert(1)")
    refused("a link that begins with http:// or https://", ant, address="http://[::1")
    refused("could not be written", ant, path="nowhere/page.html")
    assert list(tmp_path.iterdir()) == []
