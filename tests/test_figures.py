"""Figures: one picture for the viewer and the files."""

from __future__ import annotations

import io
import json
import math
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

import saliency_core as sc
from saliency_core import render
from saliency_core.combine import resize
from saliency_core.figures.compose import color_table, scale_of
from saliency_core.figures.maps import Scene, View, map_of, raw_map
from saliency_core.figures.panels import Stage
from saliency_core.figures.sheet import Raster, Text
from saliency_core.figures.steps import Classes, position_of
from saliency_core.viewer import formats
from saliency_core.viewer.payload import ClassComparison, SweepPoint
from tests.networks import classifier

CLASSES = ["cat", "dog", "fish", "bird", "horse"]


def photo(width: int = 60, height: int = 40) -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def both() -> tuple[sc.Explanation, sc.Explanation]:
    first, second = sc.explain_classes(classifier(labels=CLASSES), photo(), ["dog", "cat"])
    return first, second


@pytest.fixture(scope="module")
def explanation(both: tuple[sc.Explanation, sc.Explanation]) -> sc.Explanation:
    return both[0]


def test_a_composed_picture_is_the_definition_pixel_by_pixel() -> None:
    """Table, fade and opacity are applied by hand, in float64."""
    values = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    grey = Image.new("RGB", (20, 24), (90, 120, 150))
    for diverging in (False, True):
        drawn = sc.compose(grey, (0, 0, 20, 24), values, diverging=diverging, opacity=0.7, size=(6, 5))
        low, high = values.min(), values.max()
        if diverging:
            high = np.sort(np.abs(values), axis=None)[math.ceil(0.99 * values.size) - 1]
            low = -high
        table = sc.render.COLORMAPS["coolwarm" if diverging else "magma"].table
        under = round(0.2126 * 90 + 0.7152 * 120 + 0.0722 * 150)
        for at in np.ndindex(values.shape):
            level = min(max(math.floor(255 * (float(values[at]) - low) / (high - low) + 0.5), 0), 255)
            share = abs(2 * level / 255 - 1) if diverging else level / 255
            alpha = 0.7 * round(255 * share) / 255
            assert drawn[at] == pytest.approx(under + alpha * (table[level] - float(under)), abs=0.51)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_png_has_the_size_of_the_figure_times_its_scale(explanation: sc.Explanation, scale: int) -> None:
    picture = sc.figure(explanation, "panel")
    image = Image.open(io.BytesIO(picture.to_bytes("png", scale)))
    assert image.size == (scale * picture.width, scale * picture.height)


@pytest.mark.parametrize("kind", sc.FIGURES)
def test_every_kind_is_saved_as_svg_with_text_and_gives_the_same_bytes_again(
    both: tuple[sc.Explanation, sc.Explanation], kind: str, tmp_path: Path
) -> None:
    saved = sc.figure(both[0], kind, other=both[1]).save(tmp_path / "figure.svg").read_bytes()
    assert saved == sc.figure(both[0], kind, other=both[1]).to_bytes("svg")
    nodes = ElementTree.fromstring(saved).iter("{http://www.w3.org/2000/svg}text")
    assert [node.text for node in nodes] == texts(sc.figure(both[0], kind, other=both[1]))
    # Machines without the font would write wider lines, over one another.
    assert saved.count(b'@font-face { font-family: "Inter"') == 1


def test_png_and_pdf_give_the_same_bytes_again(explanation: sc.Explanation) -> None:
    for suffix in ("png", "pdf"):
        one, other = (sc.figure(explanation, "panel").to_bytes(suffix, 1) for _ in range(2))
        assert one == other


def test_an_unknown_kind_format_scale_method_or_field_names_the_choices(explanation: sc.Explanation) -> None:
    with pytest.raises(sc.UnknownNameError, match="unknown kind of figure 'pear'; did you mean 'pair'"):
        sc.figure(explanation, "pear")
    with pytest.raises(sc.UnknownNameError, match="choices: png, svg, pdf"):
        sc.figure(explanation).to_bytes("jpg")
    with pytest.raises(sc.ArgumentError, match="expected 1, 2 or 4"):
        sc.figure(explanation).image(3)
    with pytest.raises(sc.UnknownNameError, match="unknown method 'gradcam'; did you mean 'grad_cam'"):
        sc.figure(explanation, left="gradcam")
    with pytest.raises(sc.UnknownNameError, match="unknown field of the view 'colourmap'; did you mean"):
        sc.figure(explanation, colourmap="viridis")


def test_an_explanation_without_its_photo_asks_for_it(explanation: sc.Explanation) -> None:
    with pytest.raises(sc.ArgumentError, match="pass photo="):
        sc.figure(explanation.without_image())
    given = sc.figure(explanation.without_image(), photo=photo())
    assert np.array_equal(given.image(1), sc.figure(explanation).image(1))


def test_faded_colours_are_clear_at_their_low_end_and_in_the_middle_of_diverging_ones() -> None:
    assert color_table("magma", diverging=False, fade=True)[[0, 255], 3].tolist() == [0, 255]
    assert color_table("magma", diverging=True, fade=True)[[0, 127, 255], 3].tolist() == [255, 1, 255]
    assert (color_table("magma", diverging=False, fade=False)[:, 3] == 255).all()


def texts(picture: sc.Picture) -> list[str]:
    """What it says, line by line."""
    return [item.text for item in picture.items if isinstance(item, Text)]


def test_the_panels_of_a_png_are_composed_pixel_by_pixel(explanation: sc.Explanation) -> None:
    picture = sc.figure(explanation, "panel", layer="act", opacity=1.0)
    panel = next(item for item in picture.items if isinstance(item, Raster))
    stage = Stage.around(Scene.of(explanation, None), panel.width)
    for scale in (1, 2, 4):
        left, top = scale * panel.x, scale * panel.y
        size = scale * panel.height, scale * panel.width
        drawn = np.asarray(picture.image(scale))[top : top + size[0], left : left + size[1]]
        values = resize(explanation.map("normgrad", "act"), (448, 448))
        composed = sc.compose(
            photo(),
            explanation.box,
            values,
            scale=scale_of(values, False),
            opacity=1.0,
            size=size,
            shown=stage.shown,
        )
        same = (drawn == composed).all(axis=2)
        assert same.mean() > 0.97  # all but the line around the region
        assert same[size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4].all()


def test_numbers_at_the_colour_bars_are_the_ends_of_the_scales(explanation: sc.Explanation) -> None:
    own = texts(sc.figure(explanation, left="grad_cam", right="hires_cam", layer="branch"))
    shared = texts(sc.figure(explanation, left="grad_cam", right="hires_cam", layer="branch", scale="shared"))
    maps = [resize(explanation.map(name, "branch"), (448, 448)) for name in ("grad_cam", "hires_cam")]
    ends = [formats.number(float(end)) for values in maps for end in (values.min(), values.max())]
    assert set(ends) <= set(own)
    together = {formats.number(float(min(map(np.min, maps)))), formats.number(float(max(map(np.max, maps))))}
    assert together <= set(shared)


def test_methods_with_different_units_keep_their_own_scales(explanation: sc.Explanation) -> None:
    views = ({"scale": "shared"}, {"scale": "panel"})
    one, other = (sc.figure(explanation, **view).to_bytes("png", 1) for view in views)
    assert one == other


def test_a_mixed_panel_is_the_map_of_combine(explanation: sc.Explanation) -> None:
    weights = {"branch": 1, "act": 3}
    view = View.of({"weights": weights, "how": "sum", "mixed": True}, explanation)
    maps = [explanation.map("normgrad", layer) for layer in weights]
    drawn = map_of(explanation, "normgrad", view)
    assert np.array_equal(drawn.values, sc.combine(maps, [1, 3], "sum", (448, 448)))
    assert "sum of 2 layers · dog" in " ".join(
        texts(sc.figure(explanation, mixed=True, how="sum", weights=weights))
    )


def test_the_difference_of_two_classes_is_that_of_their_maps_from_0_to_1(
    both: tuple[sc.Explanation, sc.Explanation],
) -> None:
    maps = [each.resized("grad_cam", "branch", (448, 448)) for each in both]
    reach = np.sort(np.abs(maps[0] - maps[1]), axis=None)[math.ceil(0.99 * 448 * 448) - 1]
    said = texts(sc.figure(both[0], "classes", other=both[1], left="grad_cam", layer="branch"))
    assert formats.number(float(reach)) in said
    table = sc.compare_classes(*both)
    assert f"ρ = {formats.rho(table.correlation('grad_cam', 'branch'))}" in said


def test_the_heat_map_has_the_numbers_of_the_table(both: tuple[sc.Explanation, sc.Explanation]) -> None:
    said = texts(sc.figure(both[0], "heat_map", other=both[1]))
    table = sc.compare_classes(*both)
    for layer in table.layers:
        value = table.correlation("grad_cam", layer)
        assert ("–" if value is None else formats.rho(value)) in said
    assert {"A  dog " + formats.percent(both[0].probability)} <= {text[: text.find("%") + 1] for text in said}


def test_two_classes_are_asked_for_where_there_is_one(both: tuple[sc.Explanation, sc.Explanation]) -> None:
    with pytest.raises(sc.ArgumentError, match="pass the explanation of the second one, other="):
        sc.figure(both[0], "heat_map")
    with pytest.raises(sc.ArgumentError, match="different layers or on different photos"):
        sc.figure(
            both[0], "classes", other=sc.explain(classifier(labels=CLASSES), photo(), layers=["branch"])
        )


def test_after_meta_steps_maps_and_probabilities_lie_between_those_computed() -> None:
    network = classifier(labels=CLASSES)
    points = []
    for size in (0.0, 0.01, 0.1):
        step = None if size == 0 else sc.MetaStep(lr=size)
        points.append(SweepPoint(size, *sc.explain_classes(network, photo(), ["dog", "cat"], meta=step)))
    classes = Classes(points[0].first, points[0].second, tuple(points), "normgrad")
    method = sc.METHODS["normgrad"]
    assert position_of([0, 0.01, 0.1], 0.005) == pytest.approx(0.5)
    assert position_of([0, 0.01, 0.1], 10**-1.5) == pytest.approx(1.5)
    values, _ = classes.map(1, method, "act", 10**-1.5)
    middle = (points[1].second.map("normgrad", "act") + points[2].second.map("normgrad", "act")) / 2
    assert values == pytest.approx(middle, rel=1e-4)
    ends = [points[i].second.probability_after for i in (1, 2)]
    assert classes.probabilities(1, 10**-1.5)[1] == pytest.approx(sum(ends) / 2)
    comparison = ClassComparison(points[0].second, "normgrad", tuple(CLASSES), sweep=tuple(points))
    said = texts(sc.figure(points[0].first, "classes", other=comparison, epsilon=0.1, difference="second"))
    assert "less after" in said
    assert any("ε = 0.1" in text for text in said)


def test_odd_names_are_cut_and_escaped_and_change_no_size(explanation: sc.Explanation) -> None:
    odd = photo()
    odd.filename = "/x/" + "a$b$ <i>&\x00\u202e猫 " * 60 + ".jpg"
    given = sc.figure(explanation, photo=odd)
    plain = sc.figure(explanation)
    assert (given.width, given.height) == (plain.width, plain.height)
    line = next(text for text in texts(given) if text.startswith("a$b$ <i>&"))
    assert "□" in line
    assert "\u202e" not in given.title + "".join(texts(given))
    assert line.index("…") < line.index("NormGrad Studio")


def test_a_map_with_nothing_to_see_says_why_and_has_no_colour_bar(explanation: sc.Explanation) -> None:
    said = texts(sc.figure(explanation, "panel", left="gradient", layer=explanation.layers[-1].name))
    reason = raw_map(explanation, sc.METHODS["gradient"], explanation.layers[-1].name)[1]
    assert reason
    assert " ".join(said).count(reason.split()[-1]) == 1
    assert sc.METHODS["gradient"].bright not in said


def test_random_weights_are_marked_on_every_picture(both: tuple[sc.Explanation, sc.Explanation]) -> None:
    first, second = (replace(each, random_weights=True) for each in both)
    for kind in sc.FIGURES:
        assert any("random weights" in text for text in texts(sc.figure(first, kind, other=second)))


def test_many_layers_go_on_in_a_second_band() -> None:
    network = classifier(labels=CLASSES)
    few = sc.explain(network, photo(), methods=["normgrad", "grad_cam"])
    many = replace(few, layers=few.layers * 7)
    assert texts(sc.figure(many, "strip")).count("Energy kept") == 2


def test_a_strip_has_a_row_for_every_method_asked_for(explanation: sc.Explanation) -> None:
    names = ("grad_cam", "linear_approx", "normgrad")
    drawn = sc.figure(explanation, "strip", methods=names)
    assert drawn.title.startswith("Grad-CAM, Linear approximation and NormGrad, every layer")
    assert "Grad-CAM Linear approximation NormGrad" in " ".join(texts(drawn))
    layers = len(explanation.layers)
    assert sum(isinstance(item, Raster) for item in drawn.items) == 3 * layers
    with pytest.raises(sc.UnknownNameError, match="did you mean 'grad_cam'"):
        sc.figure(explanation, "strip", methods=["gradcam"])
    with pytest.raises(sc.ArgumentError, match="methods= is for 'pair', 'strip'"):
        sc.figure(explanation, "panel", methods=names)


def test_more_than_three_methods_side_by_side_go_on_in_a_second_row(explanation: sc.Explanation) -> None:
    names = ("grad_cam", "linear_approx", "normgrad", "gradient")
    three, four = (sc.figure(explanation, "pair", methods=names[:count]) for count in (3, 4))
    for name in names[:3]:
        assert sc.METHODS[name].title in texts(three)
    assert three.title.startswith("Grad-CAM, Linear approximation and NormGrad, ")
    assert four.width == three.width
    assert four.height > 1.8 * (three.height - 60)


def test_what_colours_mean_is_said_below_small_maps_with_a_sign(explanation: sc.Explanation) -> None:
    def said(*names: str) -> bool:
        below = texts(sc.figure(explanation, "strip", methods=names))
        return "Maps with a sign: red above zero, blue below." in below

    signed = [name for name in explanation.methods if sc.METHODS[name].signed]
    assert said("normgrad", signed[0])
    assert not said("normgrad", "gradient")
    table = render.COLORMAPS["coolwarm"].table.astype(int)
    assert table[-1][0] > 2 * table[-1][2]
    assert table[0][2] > 2 * table[0][0]


def test_the_text_of_a_pdf_can_be_read_and_its_fonts_are_inside(explanation: sc.Explanation) -> None:
    page = PdfReader(io.BytesIO(sc.figure(explanation).to_bytes("pdf"))).pages[0]
    text = page.extract_text()
    for words in ("NormGrad", "Grad-CAM", "strong influence on weights"):
        assert words in text
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]
    assert {font["/Subtype"] for font in fonts} <= {"/TrueType", "/Type0"}


def test_numbers_are_written_as_the_browser_writes_them(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None, "there is no node; `make node` installs it"
    rng = np.random.default_rng(3)
    values = [float(value) for value in rng.choice([-1, 1], 400) * 10.0 ** rng.uniform(-9, 7, 400)]
    values += [0, 0.001, 9999, 9999.6, 2.125, 0.0995, 0.09951, 0.9995, 1, 0.00009]
    module = (Path(sc.__file__).parent / "viewer/web/core/format.js").as_uri()
    script = tmp_path / "numbers.mjs"
    script.write_text(
        f"import {{number, percent}} from {json.dumps(module)};"
        f"const values = {json.dumps(values)};"
        "console.log(JSON.stringify([values.map(number), values.map((v) => percent(Math.abs(v)))]));"
    )
    done = subprocess.run([node, str(script)], capture_output=True, text=True, check=True)
    numbers, percents = json.loads(done.stdout)
    assert [formats.number(value) for value in values] == numbers
    assert [formats.percent(abs(value)) for value in values] == percents


def test_weights_and_layers_that_do_not_exist_are_refused_with_the_choices(
    explanation: sc.Explanation,
) -> None:
    with pytest.raises(sc.UnknownNameError, match="unknown layer 'block9'"):
        sc.figure(explanation, layer="block9")
    with pytest.raises(sc.UnknownNameError, match="unknown colormap 'magm'; did you mean 'magma'"):
        sc.figure(explanation, colormap="magm")
    with pytest.raises(sc.ArgumentError, match="expected one each"):
        sc.figure(explanation, mixed=True, weights=[1])
    with pytest.raises(sc.ArgumentError, match="expected a number from 0 to 1"):
        sc.figure(explanation, opacity=2)
    with pytest.raises(sc.UnknownNameError, match="'rise' was not computed; name it when you explain"):
        sc.figure(explanation, left="rise")


def test_figures_made_in_many_threads_are_the_same(explanation: sc.Explanation) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: sc.figure(explanation, "panel").to_bytes("svg"), range(8)))
    assert len(set(made)) == 1
