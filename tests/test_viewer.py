"""What is sent to the browser, what it reports, and how the viewer's modules become one script."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.engine.request import ModelInfo
from saliency_core.viewer import bundle, payload, schema
from tests.networks import classifier, seeded

LABELS = ("ant", "bee", "cat", "dog", "<b>eel</b>")


@pytest.fixture
def photo() -> payload.DisplayPhoto:
    return payload.DisplayPhoto("d" * 64, b"jpeg", 40, 20, (80, 40), "bird.png")


@pytest.fixture
def explanation() -> sc.Explanation:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8))
    clf = classifier(seeded(dtype=torch.float32), labels=list(LABELS))
    return sc.explain(clf, image, 4)


def content(
    photo: payload.DisplayPhoto,
    explanation: sc.Explanation,
    methods: tuple[str, ...] | None = None,
    comparison: payload.ClassComparison | None = None,
    model: payload.Model = sc.MODELS["resnet18"],
) -> payload.Content:
    return payload.content(photo, explanation, model, methods or explanation.methods, comparison)


def send(photo: payload.DisplayPhoto, explanation: sc.Explanation, **changes: object) -> payload.Payload:
    arguments = {"mode": "compare", "view": {}}
    return payload.payload(content(photo, explanation), **{**arguments, **changes})


def test_every_map_can_be_found_at_its_offset(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    sent = send(photo, explanation)
    flat = sent.maps
    assert list(sent.meta["maps"]) == list(explanation.methods)
    for name, maps in sent.meta["maps"].items():
        assert maps["input"] is None
        for layer, offset in zip(explanation.layers, maps["offsets"], strict=True):
            plane = explanation.map(name, layer.name)
            np.testing.assert_array_equal(flat[offset : offset + plane.size], plane.ravel())


def test_two_panels_need_no_cells_but_those_they_show_and_the_table_needs_all(
    explanation: sc.Explanation,
) -> None:
    def cells(mode: str, **view: object) -> set[str]:
        sent = payload.needed_methods(mode, explanation, view)
        return {name for name in sent if sc.METHODS[name].family == "Framework cells"}

    assert cells("compare") == cells("mix") == set()
    assert cells("mix", left="bias_max", right="grad_cam") == {"bias_max"}
    assert {"normgrad", "grad_cam"} < set(payload.needed_methods("compare", explanation, {}))
    assert payload.needed_methods("framework", explanation, {}) == explanation.methods
    assert payload.needed_methods("why", explanation, {"left": "gradient"}) == payload.AVERAGING_METHODS
    assert len(cells("framework")) == 15


def test_only_the_requested_maps_are_sent(photo: payload.DisplayPhoto, explanation: sc.Explanation) -> None:
    sent = content(photo, explanation, ("grad_cam", "normgrad"))
    assert list(sent.meta["maps"]) == ["grad_cam", "normgrad"]
    size = sum(layer.height * layer.width for layer in explanation.layers)
    assert sent.maps.size == 2 * size
    assert [entry["name"] for entry in send(photo, explanation).meta["methods"]] == list(sc.METHODS)


def test_a_map_of_the_input_stands_for_every_layer(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    more = replace(
        explanation,
        methods=(*explanation.methods, "rise"),
        _maps={**explanation._maps, ("rise", "input"): plane},
    )
    sent = send(photo, more)
    at = sent.meta["maps"]["rise"]["input"]
    assert (at["height"], at["width"], at["reason"]) == (3, 4, None)
    flat = sent.maps
    np.testing.assert_array_equal(flat[at["offset"] : at["offset"] + 12], plane.ravel())


def test_a_method_that_exists_at_some_layers_says_so_at_the_others(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    second = explanation.layers[1].name
    maps = {key: values for key, values in explanation._maps.items() if key != ("normgrad", second)}
    whole = send(photo, explanation).meta["maps"]["normgrad"]
    sent = send(photo, replace(explanation, _maps=maps)).meta["maps"]["normgrad"]
    assert sent["offsets"] == [whole["offsets"][0], None]
    assert sent["reasons"][0] is None
    assert sent["reasons"][1].startswith(f"NormGrad has no map at {second}")


def test_the_same_photo_under_another_name_is_another_content(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    """What one session calls its file must not be shown to another one that has the same photo."""
    first, second = (
        payload.identity(replace(photo, name=name), explanation, sc.MODELS["resnet18"], explanation.methods)
        for name in ("mine.png", "yours.png")
    )
    assert first[0] != second[0]


def test_joined_explanations_with_the_same_maps_have_the_same_identity(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    def key(shown: sc.Explanation) -> tuple[object, ...]:
        return payload.identity(photo, shown, sc.MODELS["resnet18"], shown.methods)[0]

    assert key(explanation.joined(explanation)) == key(explanation.joined(explanation))
    copied = replace(explanation, _maps={key: plane.copy() for key, plane in explanation._maps.items()})
    assert key(copied) != key(explanation)


def test_every_method_is_sent_with_its_description_source_and_cost(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    reason = "Guided backprop needs ReLU. This network uses SiLU."
    meta = send(photo, explanation, unavailable={"guided_backprop": reason}).meta
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
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    assert send(photo, explanation).meta["table"] is None
    table = send(photo, explanation, mode="framework").meta["table"]
    assert [len(row) for row in table["cells"]] == [4] * 5
    assert table["cells"][2][1] == "normgrad"
    assert len({name for row in table["cells"] for name in row}) == 20
    for entry in (*table["extracts"], *table["aggregates"]):
        assert entry["formula"].startswith("<math")


def test_the_colour_tables_are_those_of_render(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    sent = send(photo, explanation)
    tables = sent.luts.reshape(-1, 256, 3)
    names = [entry["name"] for entry in sent.meta["colormaps"]]
    assert names == list(sc.render.COLORMAPS)
    for name, table in zip(names, tables, strict=True):
        np.testing.assert_array_equal(table, sc.render.COLORMAPS[name].table)


def test_the_input_region_is_given_in_the_pixels_of_the_jpeg(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    assert explanation.box == pytest.approx((20, 0, 60, 40))
    assert send(photo, explanation).meta["box"] == pytest.approx([10, 0, 30, 20])


def test_the_boxes_of_objects_are_fractions_of_the_input_region_and_clipped_to_it(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    assert explanation.box == pytest.approx((20, 0, 60, 40))
    objects = tuple(
        payload.PhotoObject(index, f"class {index}", box)
        for index, box in enumerate([(30, 10, 50, 40), (0, 20, 40, 60), (61, 0, 80, 40)])
    )
    sent = send(replace(photo, objects=objects), explanation)
    assert [each["index"] for each in sent.meta["objects"]] == [0, 1]
    boxes = [each["box"] for each in sent.meta["objects"]]
    np.testing.assert_allclose(boxes, [[0.25, 0.25, 0.75, 1], [0, 0.5, 0.5, 1]])


def test_random_weights_are_sent_with_the_maps(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    random = replace(explanation, random_weights=True)
    first, second = send(photo, explanation).meta, send(photo, random).meta
    assert (first["random"], second["random"]) == (False, True)
    assert first["keys"]["maps"] != second["keys"]["maps"]


def test_inputs_and_maps_need_not_be_square(photo: payload.DisplayPhoto) -> None:
    clf = sc.Classifier(seeded(dtype=torch.float32), preprocess=sc.Preprocess(size=(24, 40), resize=24))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8))
    sent = send(photo, sc.explain(clf, image, 1)).meta
    left, top, right, bottom = sent["box"]
    assert (right - left) / (bottom - top) == pytest.approx(40 / 24)
    assert sent["inputSize"] == [3, 24, 40]
    sizes = [(layer["height"], layer["width"]) for layer in sent["layers"]]
    assert sizes == [(12, 20), (6, 10)]
    first, second = sent["maps"]["normgrad"]["offsets"]
    assert second - first == 12 * 20


def test_the_number_of_classes_makes_nothing_larger_but_the_list_to_choose_from(
    photo: payload.DisplayPhoto,
) -> None:
    labels = [f"class number {index}" for index in range(21_841)]
    clf = classifier(seeded(classes=21_841, dtype=torch.float32), labels=labels)
    first, second = sc.explain_classes(clf, torch.zeros(1, 3, 24, 24), ["class number 20000", 3])
    sent = send(photo, first).meta
    assert (sent["target"], sent["label"]) == (20_000, "class number 20000")
    assert len(json.dumps(dict(sent))) < 80_000
    compared = content(photo, first, ("normgrad",), payload.ClassComparison(second, "normgrad", clf.labels))
    listed = json.dumps(compared.meta["comparison"])
    assert len(listed) < 45 * len(labels)
    assert compared.meta["comparison"]["classes"][20_000][0] == "class number 20000"


def test_a_rerun_sends_the_same_bytes(photo: payload.DisplayPhoto, explanation: sc.Explanation) -> None:
    first, second = send(photo, explanation), send(replace(photo), explanation)
    assert json.dumps(dict(first.meta)) == json.dumps(dict(second.meta))
    np.testing.assert_array_equal(first.maps, second.maps)
    assert first.photo == second.photo


def test_another_class_or_photo_has_another_key(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    keys = send(photo, explanation).meta["keys"]
    other = replace(explanation, label="bee", target=1)
    assert send(photo, other).meta["keys"]["maps"] != keys["maps"]
    assert send(photo, other).meta["keys"]["photo"] == keys["photo"]
    assert send(replace(photo, digest="e" * 64), explanation).meta["keys"]["photo"] != keys["photo"]


def test_published_presets_are_offered_where_their_layers_are(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    layers = [layer.name for layer in explanation.layers]
    model = replace(sc.MODELS["resnet18"], presets={"Mine": {layers[1]: 1.0}, "Other": {"layer9": 1.0}})
    presets = content(photo, explanation, model=model).meta["presets"]
    assert list(presets) == ["Uniform", "Linear", "Mine"]
    assert presets["Linear"] == {layers[0]: 0.5, layers[1]: 1.0}


def test_a_constant_map_is_sent_with_its_reason(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    dead = replace(explanation, _maps={key: np.zeros_like(v) for key, v in explanation._maps.items()})
    for name, maps in send(photo, dead).meta["maps"].items():
        assert maps["reasons"] == [sc.METHODS[name].empty] * 2


def test_a_second_class_is_sent_with_its_maps_and_the_maps_after_each_step(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    changed = {key: plane + 1 for key, plane in explanation._maps.items()}
    other = replace(explanation, target=2, label="cat", _maps=changed)
    sweep = (payload.SweepPoint(0.0, explanation, other), payload.SweepPoint(0.0025, other, explanation))
    comparison = payload.ClassComparison(other, "normgrad", LABELS, (), sweep, ascend=True)
    sent = content(photo, explanation, comparison=comparison)
    second = sent.meta["comparison"]
    assert (second["label"], second["sweep"]["method"], second["sweep"]["ascend"]) == (
        "cat",
        "normgrad",
        True,
    )

    def check(maps: dict, source: sc.Explanation, method: str) -> None:
        for layer, offset in zip(source.layers, maps["offsets"], strict=True):
            plane = source.map(method, layer.name)
            np.testing.assert_array_equal(sent.maps[offset : offset + plane.size], plane.ravel())

    for method in explanation.methods:
        check(second["maps"][method], other, method)
    for point, step in zip(sweep, second["sweep"]["steps"], strict=True):
        assert step["epsilon"] == point.epsilon
        check(step["maps"][0], point.first, "normgrad")
        check(step["maps"][1], point.second, "normgrad")
    assert content(photo, explanation).meta["comparison"] is None
    assert [label for label, _ in second["classes"]] == list(LABELS)
    np.testing.assert_allclose([each for _, each in second["classes"]], explanation.probabilities, atol=1e-6)
    fewer = content(photo, explanation, comparison=payload.ClassComparison(other, "normgrad", LABELS))
    assert fewer.meta["comparison"]["sweep"] is None
    assert fewer.meta["keys"]["maps"] != sent.meta["keys"]["maps"]


def test_probabilities_after_a_meta_step_are_sent_beside_those_before_it(photo: payload.DisplayPhoto) -> None:
    image, clf = Image.new("RGB", (80, 40), "orange"), classifier(seeded(dtype=torch.float32))
    before, after = sc.explain(clf, image, 1), sc.explain(clf, image, 1, meta=sc.MetaStep(0.1))
    other = sc.explain(clf, image, 2)
    sweep = (payload.SweepPoint(0.0, before, other), payload.SweepPoint(0.1, after, other))
    comparison = payload.ClassComparison(other, "normgrad", clf.labels, (), sweep)
    meta = content(photo, before, comparison=comparison).meta
    assert (meta["probability"], meta["probability_after"]) == (before.probabilities[1], None)
    assert after.probabilities_after is not None
    steps = [step["probabilities"][0] for step in meta["comparison"]["sweep"]["steps"]]
    assert steps == [before.probabilities[1], after.probabilities_after[1]]
    stepped = content(photo, after).meta
    assert (stepped["probability"], stepped["probability_after"]) == tuple(steps)


def test_classes_of_different_photos_are_refused(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    other = replace(explanation, box=(0.0, 0.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="different photos"):
        content(photo, explanation, comparison=payload.ClassComparison(other, "normgrad", LABELS))


def test_an_unknown_mode_is_refused(photo: payload.DisplayPhoto, explanation: sc.Explanation) -> None:
    with pytest.raises(ValueError, match="unknown mode 'show'; choices: compare, mix, framework, classes"):
        send(photo, explanation, mode="show")


ENTRIES = ("hosts/streamlit.js", "hosts/streamlit-updates.js", "hosts/page.js")


def test_the_modules_join_to_one_script_without_imports() -> None:
    for entry in ENTRIES:
        script = bundle.bundle(entry).script
        assert script.count("export default") == (entry != "hosts/page.js")
        assert not [line for line in script.splitlines() if line.startswith("import")]


def test_every_module_is_used_and_every_sheet_belongs_to_a_module() -> None:
    used = {module for entry in ENTRIES for module in bundle.join(bundle.WEB, entry)}
    present = {file.relative_to(bundle.WEB).as_posix() for file in bundle.WEB.rglob("*.js")}
    assert present - used == {"modes/mode.js"}, "only the interface of modes has types alone"
    style = "\n".join(bundle.bundle(entry).style for entry in ENTRIES)
    for sheet in bundle.WEB.rglob("*.css"):
        assert sheet.read_text() in style, f"{sheet.name} belongs to no module"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"main.js": 'import { a } from "./b.js";\n', "b.js": 'import { c } from "./main.js";\n'}, "circle"),
        ({"main.js": 'import { a } from "./b.js";\n', "b.js": "const a = 1;\n"}, "'a', which b.js does not"),
        ({"main.js": 'import a from "./b.js";\n', "b.js": ""}, "not of the form"),
        ({"main.js": "const a = 1;\nexport { a };\n"}, "something else than a declaration"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        bundle.join(tmp_path, "main.js")


def test_modules_in_folders_may_have_private_names_in_common(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "b.js").write_text("const one = 1;\nexport const b = one;\n")
    (tmp_path / "main.js").write_text(
        'import { b } from "./parts/b.js";\nconst one = b;\nexport default one;\n'
    )
    assert list(bundle.join(tmp_path, "main.js")) == ["parts/b.js", "main.js"]


# -- the schema of the view ----------------------------------------------------------------------------------

LAYERS = ("layer1", "layer2")
FULL_VIEW: schema.View = {
    "left": "gradient",
    "right": "bias_max",
    "layer": "layer2",
    "layers": ("input", "layer2.0.conv1"),
    "weights": (0.25, 1.0),
    "how": "sum",
    "opacity": 0.25,
    "fade": False,
    "colormap": "viridis",
    "scale": "shared",
    "tab": "layers",
    "mixed": True,
    "difference": "second",
    "figures": "change",
    "cells": True,
    "modified": True,
    "part": "randomise",
    "baseline": "mean",
    "boxes": (10.0, 20.0, 50.5, 60.0, 0.0, 0.0, 8.0, 9.0),
    "sort": "layer1",
    "present": True,
    "epsilon": 0.006,
}


def test_every_field_is_in_the_test_and_differs_from_its_default() -> None:
    assert list(FULL_VIEW) == list(schema.VIEW)
    assert all(value != schema.DEFAULTS[name] for name, value in FULL_VIEW.items())


def test_an_address_reopens_the_view() -> None:
    query = schema.write(FULL_VIEW)
    assert query["weights"] == "0.25_1"
    assert query["layers"] == "input~layer2.0.conv1"
    assert urlencode(query).count("%") == 0, "an address stays readable"
    assert schema.read(query) == {**FULL_VIEW, "epsilon": 0.0}, "the step is part of what is explained"
    assert schema.write(schema.DEFAULTS) == {}
    assert schema.read({}) == schema.DEFAULTS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("left", "<b>"),
        ("layer", "a/b"),
        ("layer", "x" * 81),
        ("layers", ""),
        ("layers", "a~b c"),
        ("layers", "a~a"),
        ("weights", "1_nan"),
        ("weights", "1_-1"),
        ("weights", ""),
        ("weights", "_".join("1" * 65)),
        ("how", "mean"),
        ("opacity", "2"),
        ("opacity", "inf"),
        ("mixed", "yes"),
        ("fade", "no"),
        ("colormap", "coolwarm"),  # of maps with a sign, which have no choice
        ("tab", ""),
        ("part", "nowhere"),
        ("baseline", "white"),
        ("boxes", "1_2_3"),
        ("boxes", "5_0_1_9"),
        ("boxes", "~".join(["0_0_1_1"] * 21)),
        ("sort", "a b"),
    ],
)
def test_an_unusable_value_of_the_address_counts_as_the_default(name: str, text: str) -> None:
    assert schema.read({name: text}) == schema.DEFAULTS


def test_the_browser_gets_and_reports_the_same_view() -> None:
    sent = schema.for_browser(FULL_VIEW, LAYERS)
    own = {name for name, each in schema.VIEW.items() if not each.browser}  # of the page around the viewer
    assert set(sent) == set(schema.VIEW) - own
    reported = json.loads(json.dumps(sent))
    assert schema.from_browser(reported, LAYERS) == {
        name: value for name, value in FULL_VIEW.items() if name not in own
    }


def test_what_does_not_fit_the_layers_is_not_sent() -> None:
    sent = schema.for_browser(FULL_VIEW, ("other",))
    assert "layer" not in sent
    assert "weights" not in sent


def test_equal_weights_need_no_address() -> None:
    reported = {"weights": {"layer1": 0.5, "layer2": 0.5}}
    assert schema.from_browser(reported, LAYERS) == {"weights": ()}
    nothing = {"weights": {"layer1": 0, "layer2": 0}}
    assert schema.from_browser(nothing, LAYERS) == {"weights": (0.0, 0.0)}


def test_weights_are_carried_over_to_other_layers() -> None:
    def carried(weights: schema.Value, before: str, after: str) -> tuple[float, ...]:
        return schema.carried_weights(weights, before, after)

    assert carried((), "ab", "iab") == ()
    assert carried((1.0, 0.5), "ab", "iab") == (0.0, 1.0, 0.5)
    assert carried((0.0, 1.0, 0.5), "iab", "ab") == (1.0, 0.5)
    assert carried((0.25, 1.0, 1.0), "iab", "ab") == ()
    assert carried((0.25, 1.0, 1.0), "iab", "abz") == (), (
        "as in the browser: the new layer is like the others"
    )
    assert carried((0.0, 0.0), "ab", "iab") == (0.0, 0.0, 0.0)
    assert carried((1.0, 0.5), "abc", "iabc") == ()
    assert carried(None, "ab", "iab") == ()


def test_the_browser_gets_all_layers_of_the_network_with_their_stages_and_convolutions(
    photo: payload.DisplayPhoto, explanation: sc.Explanation
) -> None:
    clf = classifier(seeded())
    names = [layer.name for layer in explanation.layers]
    convolutions = frozenset({"conv", "down"})
    info = ModelInfo(
        "tiny", "Tiny", (), clf.layers, (names[-1],), {}, {}, None, convolutions, frozenset({"conv"})
    )
    sent = payload.payload(
        payload.content(photo, explanation, info, explanation.methods, stages=info.default_layers),
        mode="compare",
        view={},
        network=info,
    ).meta
    assert [each["name"] for each in sent["allLayers"]] == ["input", *(layer.name for layer in clf.layers)]
    first, *others = sent["allLayers"]
    assert (first["channels"], first["height"], first["width"]) == (explanation.channels, *explanation.size)
    assert {each["name"]: each["kind"] for each in others if each["kind"]} == {
        "conv": "linear layer",
        "down": "convolution",
    }
    assert {each["name"]: each["stage"] for each in others if each["stage"]} == {names[-1]: 1}
    assert [layer["stage"] for layer in sent["layers"]] == [None] * (len(names) - 1) + [1]
    assert sent["defaults"]["layer"] == names[-1], "a stage, not a layer that was added"
    remark = {each["name"]: each["domain"] for each in sent["methods"]}["normgrad_proper"]
    assert remark == "needs a convolution or linear layer: add one with Layers"
    assert send(photo, explanation).meta["allLayers"] is None


@pytest.mark.parametrize("value", [[], {}, "x", 10**400, -1, True, {"layer1": 10**400, "layer2": "1"}])
def test_a_hostile_report_changes_nothing_and_is_logged(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    names = [
        name
        for name in schema.VIEW
        if not (value is True and isinstance(schema.VIEW[name].kind, schema.Flag))
    ]
    for name in names:
        fits = (name in ("layer", "sort") and value == "x") or (name in ("layers", "boxes") and value == [])
        if schema.VIEW[name].browser and not fits:
            caplog.clear()
            assert schema.from_browser({name: value}, LAYERS) == {}
            assert name in caplog.text
    caplog.clear()
    assert schema.from_browser(value, LAYERS) == {} or isinstance(value, dict)


def test_the_browser_learns_all_fields_that_it_has() -> None:
    described = json.loads(json.dumps(schema.describe()))
    assert [field["name"] for field in described] == [
        name for name, field in schema.VIEW.items() if field.browser
    ]
