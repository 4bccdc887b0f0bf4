"""The Python that is shown for a view gives what is shown, and a formatter would leave it as it is."""

import functools
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import saliency_core as sc
from saliency_core.combine import is_constant, resize
from saliency_core.export.code import Checkpoint, code
from saliency_core.export.source import call, mapping, number, sequence, statement, text
from saliency_core.methods.registry import SINGLE_PASS
from saliency_core.viewer.payload import AVERAGING_METHODS

NETWORK = "timm:test_resnet.random-3"
ODD = 'Größe “1” & it\'s "<b>" \\ 猫.png'
LABELLED = [f"label {index}" for index in range(1000)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with a photo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sc, "load_classifier", functools.cache(sc.load_classifier))
    noise = np.random.default_rng(0).integers(0, 255, (7, 9, 3), np.uint8)
    Image.fromarray(noise).resize((220, 180)).save(ODD)
    return tmp_path


def explained(name: str = NETWORK, **options: Any) -> sc.Explanation:
    parts = name.partition(".random-")
    classifier = sc.load_classifier(parts[0], random=int(parts[2]) if parts[2] else None)
    return sc.explain(classifier, sc.open_image(ODD), **options)


def run(lines: str) -> dict[str, Any]:
    """Run code and return its variables, after a look at its form."""
    form = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    formatted = subprocess.run(form, input=lines, encoding="utf-8", check=True, capture_output=True)
    assert formatted.stdout == lines
    variables: dict[str, Any] = {}
    exec(compile(lines, "view.py", "exec"), variables)
    return variables


def ran(mode: str, explanation: sc.Explanation, view: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    return run(code(mode, explanation, view, photo=ODD, **options))


def test_compare_gives_both_maps_of_the_layer() -> None:
    e = explained(target=3)
    view = {"left": "gradient", "right": "grad_cam", "layer": e.layers[1].name, "opacity": 0.5, "fade": False}
    view |= {"scale": "shared", "colormap": "viridis", "tab": "layers", "difference": "first"}
    found = ran("compare", e, view)
    np.testing.assert_array_equal(found["left"], e.map("gradient", e.layers[1]))
    np.testing.assert_array_equal(found["right"], e.map("grad_cam", e.layers[1]))
    assert Path("compare.png").read_bytes() == sc.figure(e, **view).to_bytes()


def test_a_view_of_defaults_is_short() -> None:
    e = explained("tf_efficientnet_lite0")
    lines = code("compare", e, {}, photo="cat.png", sample=True)
    assert (
        lines
        == f"""import saliency_core as sc

# The photo must lie beside this script.
# The samples are in the folder assets/samples of NormGrad Studio.
image = sc.open_image("cat.png")
classifier = sc.load_classifier("tf_efficientnet_lite0")
explanation = sc.explain(classifier, image, "{e.label}")

layer = "blocks.4"
left = explanation.map("normgrad", layer)
right = explanation.map("grad_cam", layer)

picture = sc.figure(explanation, layer=layer)
picture.save("compare.png")
"""
    )


def test_more_layers_a_step_a_fit_and_methods_with_their_own_pass_are_reproduced() -> None:
    clf = sc.load_classifier("timm:test_resnet", random=3)
    layers = [*clf.default_layers, "layer4.0.downsample.1"]
    methods = ["guided_backprop", "normgrad_proper", "linear_approx"]
    step = sc.MetaStep(0.01, ascend=True)
    e = explained(target=7, layers=layers, methods=methods, fit="pad", meta=step)
    layer = next(each for each in e.layers if e.has("normgrad_proper", each) and e.has(methods[0], each))
    found = ran("compare", e, {"left": methods[0], "right": methods[1], "layer": layer.name})
    np.testing.assert_array_equal(found["left"], e.map(methods[0], layer))
    np.testing.assert_array_equal(found["right"], e.map(methods[1], layer))
    assert found["explanation"].probability_after == e.probability_after


def test_a_method_that_is_still_being_computed_and_one_without_a_map_here_are_no_error() -> None:
    e = explained(methods=["normgrad_proper"], layers=["layer1", "layer1.0.conv1"])
    found = ran("compare", e, {"left": "normgrad_proper", "right": "guided_backprop", "layer": "layer1"})
    assert "left" not in found
    later = explained(methods=["guided_backprop"])
    np.testing.assert_array_equal(found["right"], later.map("guided_backprop", "layer1"))


def test_a_map_of_the_input_needs_no_layer() -> None:
    e = explained(methods=["occlusion"])
    found = ran("compare", e, {"left": "occlusion", "right": "occlusion"})
    np.testing.assert_array_equal(found["left"], e.map("occlusion"))
    found = ran("mix", e, {"left": "occlusion", "right": "normgrad"})
    np.testing.assert_array_equal(found["left"], e.map("occlusion"))
    assert found["right"].shape == (448, 448)


@pytest.mark.parametrize("how", ["product", "sum"])
@pytest.mark.parametrize("weights", [(), (0.25, 0, 1.0, 0, 0.5)])
def test_mix_gives_both_mixed_maps(how: str, weights: tuple[float, ...]) -> None:
    e = explained(target="great white shark")
    weights = weights[: len(e.layers)]
    found = ran("mix", e, {"left": "normgrad", "right": "gradient", "weights": weights, "how": how})
    for side, method in (("left", "normgrad"), ("right", "gradient")):
        maps = [e.map(method, layer) for layer in e.layers]
        expected = sc.combine(maps, weights or None, how, (448, 448))
        np.testing.assert_allclose(found[side], expected, atol=1e-6)
        assert not is_constant(expected)
    drawn = sc.figure(e, right="gradient", mixed=True, weights=weights, how=how)
    assert Path("mix.png").read_bytes() == drawn.to_bytes()
    assert ("weights" in found) == bool(weights)


def test_mix_leaves_out_the_layers_where_a_method_has_no_map() -> None:
    layers = ["layer1", "layer1.0.conv1", "layer2.0.conv1"]
    e = explained(methods=["normgrad", "normgrad_proper"], layers=layers)
    view = {"left": "normgrad", "right": "normgrad_proper"}
    for weights in ((), (1.0, 0.5, 0.25)):
        found = ran("mix", e, {**view, "weights": weights})
        maps = [e.map("normgrad_proper", layer) for layer in layers[1:]]
        expected = sc.combine(maps, weights[1:] or None, size=(448, 448))
        np.testing.assert_allclose(found["right"], expected, atol=1e-6)
    assert "left" not in ran("mix", e, {**view, "weights": (0.0, 0.0, 0.0)})


def test_framework_gives_every_cell_at_the_layer_or_mixed() -> None:
    e = explained(target=3)
    found = ran("framework", e, {"layer": e.layers[0].name})["cells"]
    assert len(found) == sum(method.cell is not None for method in sc.METHODS.values())
    for cell, values in found.items():
        np.testing.assert_array_equal(values, e.map(sc.cell_method(*cell).name, e.layers[0]))
    mixed = ran("framework", e, {"mixed": True})["cells"]
    maps = [e.map("normgrad", layer) for layer in e.layers]
    np.testing.assert_allclose(mixed["conv1x1", "norm"], sc.combine(maps, size=(448, 448)), atol=1e-6)


def test_framework_gives_all_methods_at_all_layers_also_those_with_their_own_pass() -> None:
    e = explained(target=3, methods=[*SINGLE_PASS, "guided_backprop", "occlusion"])
    found = ran("framework", e, {"tab": "layers"})["maps"]
    assert {method for method, _ in found} == set(e.methods)
    for (method, layer), values in found.items():
        np.testing.assert_array_equal(values, e.map(method, layer))


def shown(explanation: sc.Explanation, method: str, layer: str) -> np.ndarray:
    """A map as the panels of the page on classes have it."""
    if not sc.METHODS[method].signed:
        return explanation.resized(method, layer, (448, 448))
    values = resize(explanation.map(method, layer), (448, 448))
    ordered = np.sort(abs(values), axis=None)
    return values / ordered[int(np.ceil(0.99 * values.size)) - 1]


@pytest.mark.parametrize("method", ["grad_cam", "linear_approx", "guided_backprop"])
@pytest.mark.parametrize("difference", ["classes", "first", "second"])
def test_classes_gives_both_maps_and_what_the_third_panel_subtracts(method: str, difference: str) -> None:
    methods = None if method in SINGLE_PASS else [method]
    before = [explained(target=target, methods=methods) for target in (3, 8)]
    step = sc.MetaStep(ascend=True)
    after = [explained(target=target, methods=methods, meta=step) for target in (3, 8)]
    view = {"left": method, "layer": "layer1", "difference": difference, "epsilon": step.lr}
    found = ran("classes", before[0], view, other=before[1], ascend=True)
    a, b = (shown(each, method, "layer1") for each in after)
    subtracted = {
        "classes": lambda: a - b,
        "first": lambda: a - shown(before[0], method, "layer1"),
        "second": lambda: b - shown(before[1], method, "layer1"),
    }
    np.testing.assert_allclose(found["a"], a, atol=1e-6)
    np.testing.assert_allclose(found["b"], b, atol=1e-6)
    np.testing.assert_allclose(found["difference"], subtracted[difference](), atol=1e-6)
    expected = sc.rank_correlation(*(resize(each.map(method, "layer1"), each.size) for each in after))
    assert found["rho"] == pytest.approx(expected)
    if difference == "classes":
        drawn = sc.figure(after[0], "classes", other=after[1], left=method, layer="layer1")
        assert Path("classes.png").read_bytes() == drawn.to_bytes()


def test_classes_without_a_step_subtracts_the_classes() -> None:
    first, second = explained(target=3), explained(target=8)
    found = ran("classes", first, {"left": "grad_cam", "difference": "first"}, other=second)
    np.testing.assert_array_equal(found["difference"], found["a"] - found["b"])
    with pytest.raises(sc.ArgumentError, match="pass the second one as other"):
        code("classes", first, {}, photo=ODD)


def test_why_gives_three_methods_at_every_layer_and_what_averaging_keeps() -> None:
    e = explained()
    found = ran("why", e, {})
    assert set(found["maps"]) == {(name, layer.name) for name in AVERAGING_METHODS for layer in e.layers}
    for (method, layer), values in found["maps"].items():
        np.testing.assert_array_equal(values, e.map(method, layer))
    assert found["kept"] == {layer.name: e.energy(layer) for layer in e.layers}
    drawn = sc.figure(e, "strip", methods=AVERAGING_METHODS)
    assert Path("why.png").read_bytes() == drawn.to_bytes()


def test_a_checkpoint_of_ones_own_is_loaded_from_its_file() -> None:
    network = sc.load_classifier("timm:test_resnet", random=5).module
    torch.save(network.state_dict(), 'own "net\'s".pth')
    Path("names.txt").write_text("\n".join(LABELLED))
    own = sc.load_checkpoint('own "net\'s".pth', "timm:test_resnet", "names.txt")
    e = sc.explain(own, sc.open_image(ODD), 9)
    checkpoint = Checkpoint('own "net\'s".pth', "timm:test_resnet", "names.txt")
    found = ran("compare", e, {}, checkpoint=checkpoint)
    assert found["explanation"].label == "label 9"
    layer = found["layer"]
    np.testing.assert_array_equal(found["left"], e.map("normgrad", layer))


def test_an_uploaded_network_needs_its_checkpoint_and_one_of_a_folder_its_variable() -> None:
    network = sc.load_classifier("timm:test_resnet", random=5).module

    def lines(name: str) -> str:
        clf = sc.Classifier(network, name=name)
        return code("compare", sc.explain(clf, sc.open_image(ODD), 1), {}, photo=ODD)

    with pytest.raises(sc.ArgumentError, match="pass its file and architecture as checkpoint"):
        lines(f"own:{'0' * 32}")
    assert "SALIENCY_MODELS of the environment" in lines("folder:birds")
    assert 'sc.load_classifier("folder:birds")' in lines("folder:birds")


def test_a_label_that_two_classes_have_is_replaced_by_the_index() -> None:
    network = sc.load_classifier("timm:test_resnet", random=5).module
    clf = sc.Classifier(network, labels=["same"] * 2 + LABELLED[2:])
    lines = code("compare", sc.explain(clf, sc.open_image(ODD), 1), {}, photo=ODD)
    assert "sc.explain(classifier, image, 1)" in lines
    assert "# network: your own torch.nn.Module\nclassifier = sc.Classifier(network)\n" in lines


def test_a_function_and_an_unknown_mode_are_refused_in_a_sentence() -> None:
    def shark(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, 2]

    with pytest.raises(sc.ArgumentError, match="'shark' is a function .* explain a class"):
        code("compare", explained(target=shark), {}, photo=ODD)
    with pytest.raises(sc.ArgumentError, match="unknown mode 'none'"):
        code("none", explained(), {}, photo=ODD)


TEXTS = [ODD, "", "'", '"', "\"'", "a\\b\n\t\x7f\u200b\ud800", "é" * 60, "x" * 90, "猫" * 40, "'''\"\"\"{}%"]


def test_texts_are_read_as_they_were_and_formatted_as_a_formatter_would() -> None:
    lines = [statement(f"a{index}", call("str", text(each))) for index, each in enumerate(TEXTS)]
    lines += [statement(f"b{index}", sequence([text(each)] * 3)) for index, each in enumerate(TEXTS)]
    lines += [statement("c", mapping({text(each): number(0.1) for each in TEXTS}))]
    lines += [statement("d", call("dict", a=sequence([text("x" * 30)] * 4), b=call("dict", c="1")))]
    found = run("\n".join(lines) + "\n")
    for index, each in enumerate(TEXTS):
        assert (found[f"a{index}"], found[f"b{index}"]) == (each, [each] * 3)
    assert list(found["c"]) == TEXTS
    assert found["d"] == {"a": ["x" * 30] * 4, "b": {"c": 1}}
