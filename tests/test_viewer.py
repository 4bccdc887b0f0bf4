"""What is sent to the browser, and how the viewer's modules become one script."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from pages.frame import viewer
from tests.networks import classifier, seeded


@pytest.fixture
def photo() -> viewer.DisplayPhoto:
    return viewer.DisplayPhoto("d" * 64, b"jpeg", 40, 20, (80, 40), "bird.png")


@pytest.fixture
def explanation() -> sc.Explanation:
    import torch

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8))
    clf = classifier(seeded(dtype=torch.float32), labels=["ant", "bee", "cat", "dog", "<b>eel</b>"])
    return sc.explain(clf, image, 4)


def send(photo: viewer.DisplayPhoto, explanation: sc.Explanation, **changes: object) -> dict:
    arguments = {"mode": "compare", "view": {}, "revision": 1, "model": sc.MODELS["resnet18"], **changes}
    return viewer.payload(photo=photo, explanation=explanation, **arguments)


def test_every_map_can_be_found_at_its_offset(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    sent = send(photo, explanation)
    flat = sent["maps"]["v"].to_numpy()
    for method in sent["meta"]["methods"]:
        for layer, offset in zip(explanation.layers, method["offsets"], strict=True):
            plane = explanation.map(method["name"], layer.name)
            np.testing.assert_array_equal(flat[offset : offset + plane.size], plane.ravel())


def test_the_colour_tables_are_those_of_render(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    sent = send(photo, explanation)
    tables = sent["luts"]["rgb"].to_numpy().reshape(-1, 256, 3)
    names = [entry["name"] for entry in sent["meta"]["colormaps"]]
    assert names == list(sc.render.COLORMAPS)
    for name, table in zip(names, tables, strict=True):
        np.testing.assert_array_equal(table, sc.render.COLORMAPS[name].table)


def test_the_box_is_told_in_the_pixels_of_the_jpeg(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    assert explanation.box == pytest.approx((20, 0, 60, 40))
    assert send(photo, explanation)["meta"]["box"] == pytest.approx([10, 0, 30, 20])


def test_a_rerun_sends_the_same_bytes(photo: viewer.DisplayPhoto, explanation: sc.Explanation) -> None:
    first, second = send(photo, explanation), send(replace(photo), explanation)
    assert first["meta"] == second["meta"]
    assert first["maps"] is second["maps"]
    assert first["photo"] is second["photo"]


def test_another_class_has_another_key_and_another_photo_too(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    keys = send(photo, explanation)["meta"]["keys"]
    other = replace(explanation, label="bee", target=1)
    assert send(photo, other)["meta"]["keys"]["maps"] != keys["maps"]
    assert send(photo, other)["meta"]["keys"]["photo"] == keys["photo"]
    assert send(replace(photo, digest="e" * 64), explanation)["meta"]["keys"]["photo"] != keys["photo"]


def test_published_presets_are_offered_where_their_layers_are(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    layers = [layer.name for layer in explanation.layers]
    model = replace(sc.MODELS["resnet18"], presets={"Mine": {layers[1]: 1.0}, "Other": {"layer9": 1.0}})
    presets = send(photo, explanation, model=model)["meta"]["presets"]
    assert list(presets) == ["Uniform", "Linear", "Mine"]
    assert presets["Linear"] == {layers[0]: 0.5, layers[1]: 1.0}


def test_a_constant_map_travels_with_its_reason(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    dead = replace(explanation, _maps={key: np.zeros_like(v) for key, v in explanation._maps.items()})
    for method in send(photo, dead)["meta"]["methods"]:
        assert method["constant"] == [sc.METHODS[method["name"]].empty] * 2


def test_an_unknown_mode_is_refused(photo: viewer.DisplayPhoto, explanation: sc.Explanation) -> None:
    with pytest.raises(ValueError, match="mode is 'show'; expected 'compare' or 'mix'"):
        send(photo, explanation, mode="show")


def test_the_modules_join_to_one_script_without_imports() -> None:
    script = viewer.join_modules(viewer.SOURCES, viewer.ENTRY)
    assert script.count("export default") == 1
    assert "import " not in "".join(line for line in script.splitlines() if line.startswith("import"))
    for module in viewer.SOURCES.glob("*.js"):
        assert module.read_text().splitlines()[0] in script, f"{module.name} is used by no other module"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"main.js": 'import { a } from "./b.js";\n', "b.js": 'import { c } from "./main.js";\n'}, "circle"),
        ({"main.js": 'import { a } from "./b.js";\n', "b.js": "const b = 1;\n"}, "'a', which b.js does not"),
        (
            {"main.js": 'import { a } from "./b.js";\nconst a = 2;\n', "b.js": "export const a = 1;\n"},
            "declared in b.js and again in main.js",
        ),
        ({"main.js": 'import a from "./b.js";\n', "b.js": ""}, "not of the form"),
    ],
)
def test_modules_that_would_clash_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        viewer.join_modules(tmp_path, "main.js")
