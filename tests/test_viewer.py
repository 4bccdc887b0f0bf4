"""What is sent to the browser, and how the viewer's modules become one script."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from pages.shared import viewer
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
    assert list(sent["meta"]["maps"]) == list(explanation.methods)
    for name, maps in sent["meta"]["maps"].items():
        assert maps["input"] is None
        for layer, offset in zip(explanation.layers, maps["offsets"], strict=True):
            plane = explanation.map(name, layer.name)
            np.testing.assert_array_equal(flat[offset : offset + plane.size], plane.ravel())


def test_two_panels_need_no_cells_but_those_they_show_and_the_table_needs_all(
    explanation: sc.Explanation,
) -> None:
    def cells(mode: str, **view: object) -> set[str]:
        sent = viewer._sent_methods(mode, explanation, view)
        return {name for name in sent if sc.METHODS[name].family == "Framework cells"}

    assert cells("compare") == cells("mix") == set()
    assert cells("mix", left="bias_max", right="grad_cam") == {"bias_max"}
    assert {"normgrad", "grad_cam"} < set(viewer._sent_methods("compare", explanation, {}))
    assert viewer._sent_methods("framework", explanation, {}) == explanation.methods
    assert len(cells("framework")) == 15


def test_only_the_maps_asked_for_travel(photo: viewer.DisplayPhoto, explanation: sc.Explanation) -> None:
    sent = send(photo, explanation, methods=("grad_cam", "normgrad"))
    assert list(sent["meta"]["maps"]) == ["grad_cam", "normgrad"]
    size = sum(layer.height * layer.width for layer in explanation.layers)
    assert sent["maps"].num_rows == 2 * size
    assert [entry["name"] for entry in sent["meta"]["methods"]] == list(sc.METHODS)


def test_a_map_of_the_input_stands_for_every_layer(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    more = replace(
        explanation,
        methods=(*explanation.methods, "rise"),
        _maps={**explanation._maps, ("rise", "input"): plane},
    )
    sent = send(photo, more)
    at = sent["meta"]["maps"]["rise"]["input"]
    assert (at["height"], at["width"], at["reason"]) == (3, 4, None)
    flat = sent["maps"]["v"].to_numpy()
    np.testing.assert_array_equal(flat[at["offset"] : at["offset"] + 12], plane.ravel())


def test_a_method_that_exists_at_some_layers_says_so_at_the_others(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    second = explanation.layers[1].name
    maps = {key: values for key, values in explanation._maps.items() if key != ("normgrad", second)}
    sent = send(photo, replace(explanation, _maps=maps))["meta"]["maps"]["normgrad"]
    assert sent["offsets"] == [0, None]
    assert sent["reasons"][0] is None
    assert sent["reasons"][1].startswith(f"NormGrad has no map at {second}")


def test_joined_explanations_with_the_same_maps_are_built_once(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    first = send(photo, explanation.joined(explanation))
    second = send(photo, explanation.joined(explanation))
    assert first["maps"] is second["maps"]


def test_every_method_travels_with_what_one_needs_to_judge_it(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    reason = "Guided backprop needs ReLU. This network uses SiLU."
    meta = send(photo, explanation, unavailable={"guided_backprop": reason})["meta"]
    for entry in meta["methods"]:
        method = sc.METHODS[entry["name"]]
        assert entry["formula"].startswith("<math")
        assert "\\" not in entry["formula"], "all of the LaTeX is understood"
        assert entry["family"] == method.family
        assert (entry["cost"] is None) == (isinstance(method.kind, sc.SharedPass))
        assert entry["costText"] == method.cost_text
        assert entry["url"] == method.url
    assert meta["unavailable"] == {"guided_backprop": reason}


def test_the_table_names_the_method_of_every_cell(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    assert send(photo, explanation)["meta"]["table"] is None
    table = send(photo, explanation, mode="framework")["meta"]["table"]
    assert [len(row) for row in table["cells"]] == [4] * 5
    assert table["cells"][2][1] == "normgrad"
    assert len({name for row in table["cells"] for name in row}) == 20
    for entry in (*table["extracts"], *table["aggregates"]):
        assert entry["formula"].startswith("<math")


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
    for name, maps in send(photo, dead)["meta"]["maps"].items():
        assert maps["reasons"] == [sc.METHODS[name].empty] * 2


def test_a_second_class_travels_with_its_maps_and_the_maps_after_each_step(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    changed = {place: plane + 1 for place, plane in explanation._maps.items()}
    other = replace(explanation, target=2, label="cat", _maps=changed)
    rungs = (viewer.Rung(0.0, explanation, other), viewer.Rung(0.0025, other, explanation))
    contrast = viewer.Contrast(other, "normgrad", rungs, ascend=True)
    sent = send(photo, explanation, mode="classes", contrast=contrast)
    flat, told = sent["maps"]["v"].to_numpy(), sent["meta"]["contrast"]
    assert (told["label"], told["ladder"]["method"], told["ladder"]["ascend"]) == ("cat", "normgrad", True)

    def check(maps: dict, source: sc.Explanation, method: str) -> None:
        for layer, offset in zip(source.layers, maps["offsets"], strict=True):
            plane = source.map(method, layer.name)
            np.testing.assert_array_equal(flat[offset : offset + plane.size], plane.ravel())

    for method in explanation.methods:
        check(told["maps"][method], other, method)
    for rung, step in zip(rungs, told["ladder"]["steps"], strict=True):
        assert step["lr"] == rung.size
        check(step["maps"][0], rung.first, "normgrad")
        check(step["maps"][1], rung.second, "normgrad")
    assert send(photo, explanation)["meta"]["contrast"] is None
    fewer = send(photo, explanation, mode="classes", contrast=viewer.Contrast(other, "normgrad"))
    assert fewer["meta"]["contrast"]["ladder"] is None
    assert fewer["meta"]["keys"]["maps"] != sent["meta"]["keys"]["maps"]


def test_classes_of_different_photos_are_refused(
    photo: viewer.DisplayPhoto, explanation: sc.Explanation
) -> None:
    other = replace(explanation, box=(0.0, 0.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="different photos"):
        send(photo, explanation, mode="classes", contrast=viewer.Contrast(other, "normgrad"))


def test_an_unknown_mode_is_refused(photo: viewer.DisplayPhoto, explanation: sc.Explanation) -> None:
    with pytest.raises(ValueError, match="mode is 'show'; expected one of 'compare', 'mix', 'framework'"):
        send(photo, explanation, mode="show")


def test_the_modules_join_to_one_script_without_imports() -> None:
    scripts = [viewer.join_modules(viewer.SOURCES, entry) for entry in (viewer.ENTRY, viewer.STATUS_ENTRY)]
    for script in scripts:
        assert script.count("export default") == 1
        assert not [line for line in script.splitlines() if line.startswith("import")]
    for module in viewer.SOURCES.glob("*.js"):
        assert module.read_text().splitlines()[0] in "".join(scripts), f"{module.name} is used by no module"


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
