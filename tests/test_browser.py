"""The app as a person uses it: a real server, a real Chromium, real photos."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import saliency_core as sc
from pages.shared.method_lists import NAMED
from saliency_core.combine import resize
from tests.browser_helpers import (
    NO_MIRROR,
    PANEL_SIZE,
    SAMPLES,
    assert_drawn,
    assert_map_drawn,
    complaints,
    drag,
    photo_file,
    sent_messages,
    upload,
    view,
    viewer,
)
from tools.layout_shift import QUIET

MAP_COVERS = """expected => {
  const root = document.querySelector('[data-testid=normgrad-viewer]') ?? [...document.querySelectorAll('*')]
    .map(e => e.shadowRoot?.querySelector('[data-testid=normgrad-viewer]')).find(Boolean);
  const photo = root.querySelector('img.photo').getBoundingClientRect();
  const map = root.querySelector('[data-testid=map-left]').getBoundingClientRect();
  const shares = [(map.left - photo.left) / photo.width, (map.top - photo.top) / photo.height,
    (map.right - photo.left) / photo.width, (map.bottom - photo.top) / photo.height];
  return shares.every((share, i) => Math.abs(share - expected[i]) < 0.003);
}"""
"""Whether the map in the left panel covers this part of the photo: left, top, right, bottom as shares."""


@pytest.fixture(scope="module")
def classifier() -> sc.Classifier:
    return sc.load_classifier()


def test_a_failed_download_is_told_with_its_server_and_the_network_before_stays(
    app_url: str, page: Page
) -> None:
    trouble = complaints(page)
    page.goto(f"{app_url}/mix")
    viewer(page)
    page.get_by_test_id("change-model").click()
    page.get_by_test_id("model-search").fill("resnet18")
    page.get_by_role("option").first.click()
    page.get_by_test_id("use-model").click()
    note = page.locator(".st-key-tray").get_by_test_id("note")
    expect(note).to_contain_text(NO_MIRROR)
    expect(note).to_contain_text("EfficientNet-Lite0")
    expect(page.get_by_test_id("caption-left")).to_contain_text(re.compile("NormGrad"))
    page.get_by_role("button", name="Dismiss").click()
    expect(note).to_have_count(0)
    expect(page.get_by_test_id("model-card")).to_contain_text("EfficientNet-Lite0")
    assert trouble == []


def test_the_first_view_says_what_each_map_shows_and_follows_the_depth_without_moving(
    app_url: str, page: Page
) -> None:
    page.goto(app_url)
    expect(page.get_by_test_id("caption-left")).to_contain_text(
        re.compile(r"NormGrad · blocks\.4 · .*ladybug \d+")
    )
    expect(page.get_by_test_id("caption-right")).to_contain_text("Grad-CAM")
    expect(page).to_have_title(re.compile("Compare · NormGrad Studio"))
    finding, depth = page.get_by_test_id("finding"), page.get_by_test_id("depth")
    of_boxes = page.get_by_text("Where a dashed box marks the object")
    expect(of_boxes).to_be_visible()
    expect(finding).to_contain_text(re.compile(r"^At stage 5 of 8, .* it has lost the object\."))
    depth.focus()  # which scrolls it into view
    top = depth.bounding_box()["y"]
    page.keyboard.press("End")
    expect(finding).to_contain_text(
        re.compile(r"^At stage 8 of 8, .* of the Grad-CAM map lies .* times what chance would give\.")
    )
    assert depth.bounding_box()["y"] == top
    page.get_by_test_id("class").filter(has_text="leaf beetle").click()
    expect(page.get_by_test_id("caption-left")).to_contain_text("leaf beetle")
    expect(finding).not_to_contain_text("box")
    expect(of_boxes).to_be_hidden()


def test_upload_class_and_weight_give_the_mix_of_combine(
    app_url: str, page: Page, tmp_path: Path, classifier: sc.Classifier
) -> None:
    file = photo_file(tmp_path / "my espresso.png")
    page.goto(f"{app_url}/mix")
    viewer(page)
    upload(page, file)
    expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
    page.get_by_role("button", name=re.compile("^cup ")).click()
    expect(page.get_by_test_id("caption-left")).to_contain_text(re.compile("cup [0-9.]+"))
    drag(page, page.get_by_test_id("weight-blocks.1"), 0.25)
    drag(page, page.get_by_test_id("weight-bn2"), 0.6)
    shown = view(page)
    weights = [shown["weights"][name] for name in classifier.default_layers]
    assert weights != [1.0] * 8
    explanation = sc.explain(classifier, sc.open_image(file), "cup")
    for side in ("left", "right"):
        maps = [explanation.map(shown[side], name) for name in classifier.default_layers]
        assert_drawn(page, side, sc.combine(maps, weights, "product", size=(448, 448)))
    page.get_by_role("radio", name="Sum").check()
    maps = [explanation.map("normgrad", name) for name in classifier.default_layers]
    expect(page.get_by_test_id("caption-left")).to_contain_text("sum")
    assert_drawn(page, "left", sc.combine(maps, weights, "sum", size=(448, 448)))


def test_every_method_is_drawn_as_its_resized_map(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    methods = (*NAMED, "bias_max")
    explanation = sc.explain(classifier, sc.open_image(SAMPLES / "chelsea.png"), methods=methods)
    page.goto(f"{app_url}/compare?left=eigen_cam&layer=blocks.5&photo=chelsea")
    viewer(page)
    for method in methods:
        page.get_by_test_id("method-left").select_option(method)
        title = re.escape(sc.METHODS[method].title)
        of_class = "tiger cat" if sc.METHODS[method].class_specific else "the same for every class"
        expect(page.get_by_test_id("caption-left")).to_have_text(re.compile(f"^{title} · .* · {of_class}"))
        expect(page.get_by_test_id("stage-left")).to_have_attribute("data-state", "map")
        assert_map_drawn(page, "left", explanation, method, "blocks.5")


def test_dragging_scrubbing_hovering_and_zooming_send_nothing_and_the_release_one_message(
    app_url: str, page: Page
) -> None:
    sent = sent_messages(page)
    page.goto(f"{app_url}/mix?photo=coffee")
    viewer(page)
    page.wait_for_load_state("networkidle")
    before = len(sent)
    drag(page, page.get_by_test_id("weight-blocks.4"), 0.3, release=False)
    stage = page.get_by_test_id("stage-left")
    stage.hover(position={"x": 60, "y": 60}, force=True)
    assert len(sent) == before
    page.mouse.up()
    page.wait_for_url(re.compile("weights="))
    assert len(sent) == before + 1
    page.get_by_test_id("zoom-in").click()
    stage.hover(position={"x": 120, "y": 90})
    expect(page.get_by_test_id("readout")).to_contain_text("px")
    assert len(sent) == before + 1


def test_a_link_a_page_change_and_a_reload_keep_the_view(app_url: str, page: Page) -> None:
    page.goto(
        f"{app_url}/mix?photo=cat-above-coffee&class=967&fit=stretch&left=gradient&right=linear_approx"
        "&layer=blocks.2&weights=0,0,0,0.5,1,1,0.25,1&how=sum&colormap=viridis"
    )
    expected = {"left": "gradient", "right": "linear_approx", "how": "sum", "colormap": "viridis"}

    def assert_kept() -> None:
        expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
        shown = view(page)
        assert expected.items() <= shown.items()
        assert list(shown["weights"].values()) == [0, 0, 0, 0.5, 1, 1, 0.25, 1]
        assert shown["layer"] == "blocks.2"

    assert_kept()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    expect(page.get_by_test_id("depth")).to_be_visible()
    assert_kept()
    page.wait_for_url(re.compile("photo=cat-above-coffee.*class=967|class=967.*photo=cat-above-coffee"))
    page.reload()
    assert_kept()
    page.get_by_role("link", name="Mix layers").click()
    expect(page.get_by_test_id("weight-bn2")).to_be_visible()
    assert_kept()


def test_a_link_with_nonsense_opens_the_defaults(app_url: str, page: Page) -> None:
    page.goto(
        f"{app_url}/compare?model=gpt&class=99999&photo=../../etc/passwd&left=<b>&layer=nowhere&weights=a,b&fit=1"
    )
    assert view(page)["left"] == "normgrad"
    expect(page.get_by_test_id("caption-left")).to_contain_text("ladybug")


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no usable photos, each wrong in its own way."""
    good = photo_file(folder / "good.jpg").read_bytes()
    content = {
        "cut short.jpg": good[: len(good) // 3],
        "text.jpg": b"This is no photo at all.",
        "nothing.png": b"",
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    Image.new("L", (1, 20_000)).save(folder / "strip.png")
    Image.new("1", (8_000, 6_000)).save(folder / "huge.png")
    Image.new("1", (30_000, 30_000)).save(folder / "bomb.png")
    return {name: folder / name for name in (*content, "strip.png", "huge.png", "bomb.png")}


def test_bad_files_get_one_sentence_each_and_the_previous_photo_stays(
    app_url: str, page: Page, tmp_path: Path
) -> None:
    files = bad_files(tmp_path)
    page.goto(f"{app_url}/compare?photo=camera")
    expect(page.get_by_test_id("caption-left")).to_contain_text("tripod")
    for name, file in files.items():
        upload(page, file)
        note = page.get_by_test_id("note").filter(has_text=name)
        expect(note).to_be_visible()
        text = note.inner_text()
        assert "Traceback" not in text
        assert "/" not in text.replace(name, "").replace("and/or", "")
        expect(page.get_by_test_id("caption-left")).to_contain_text("tripod")
    upload(page, photo_file(tmp_path / "fine.png"), files["text.jpg"])
    expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")


def test_the_map_lies_exactly_on_what_the_network_saw_for_every_fit(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    image = sc.open_image(SAMPLES / "rocket.jpg")
    page.goto(f"{app_url}/compare?photo=rocket")
    viewer(page)
    for index, fit in enumerate(sc.FITS):
        page.locator(".st-key-fit button").nth(index).click()
        left, top, right, bottom = classifier.prepare(image, fit)[1]
        # As shares of the photo; the maps come with the next explanation.
        expected = [left / image.width, top / image.height, right / image.width, bottom / image.height]
        page.wait_for_function(MAP_COVERS, arg=expected)


def test_a_phone_shows_two_panels_without_scrolling_sideways_and_follows_its_theme(
    app_url: str, page: Page
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for slug, theme in (("compare", "light"), ("mix", "dark")):
        page.emulate_media(color_scheme=theme)
        page.goto(f"{app_url}/{slug}")
        viewer(page)
        assert page.evaluate("document.scrollingElement.scrollWidth") == 390
        assert page.get_by_test_id("stage-left").bounding_box()["width"] >= 150
        background = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 19, 24)"}[theme]
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", background)


def test_colours_follow_the_sign_and_are_shared_only_where_units_agree(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    methods = ("normgrad", "grad_cam", "hires_cam", "linear_approx")
    explanation = sc.explain(classifier, sc.open_image(SAMPLES / "chelsea.png"), methods=methods)
    page.goto(f"{app_url}/compare?photo=chelsea&layer=blocks.5&scale=shared&colormap=coolwarm")
    viewer(page)
    scale, shared = page.get_by_test_id("scale"), page.get_by_role("radio", name="Shared")
    left, right = (page.get_by_test_id(f"colorbar-{side}") for side in ("left", "right"))
    expect(shared).to_be_disabled()
    expect(scale).to_have_accessible_description(re.compile("NormGrad measures .*, Grad-CAM the class score"))
    assert_map_drawn(page, "left", explanation, "normgrad", "blocks.5")
    assert_map_drawn(page, "right", explanation, "grad_cam", "blocks.5")
    expect(left).to_contain_text(sc.METHODS["normgrad"].bright)
    page.get_by_test_id("method-left").select_option("hires_cam")
    expect(shared).to_be_checked()
    expect(left.locator(".bound.high")).to_have_text(right.locator(".bound.high").inner_text())
    expect(left).not_to_contain_text("−")  # no negative end where values cannot be negative
    page.get_by_test_id("method-left").select_option("linear_approx")
    expect(shared).to_be_disabled()
    expect(scale).to_have_accessible_description(re.compile("Linear approximation has a sign"))
    for text in ("evidence against it", "ends at the 99th percentile", "evidence for the class"):
        expect(left).to_contain_text(text)
    page.get_by_label("Fade low values").uncheck()
    page.wait_for_url(re.compile("fade=0"))
    values = resize(explanation.map("linear_approx", "blocks.5"), PANEL_SIZE)
    assert_drawn(page, "left", values, signed=True, fade=False)


def test_photos_of_other_shapes_and_longer_captions_move_nothing(app_url: str, page: Page) -> None:
    tops: list[list[float]] = []
    for address in ("photo=rocket&left=eigen_cam", "photo=astronaut&left=linear_approx&layer=bn2"):
        page.goto(f"{app_url}/compare?{address}")
        viewer(page)
        tops.append([])
        for width, height in ((390, 844), (1280, 800)):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(QUIET, polling=50)
            depth, top = page.get_by_test_id("depth").bounding_box(), page.get_by_test_id("stage-left")
            tops[-1].append(depth["y"] - top.bounding_box()["y"])
    assert tops[0] == tops[1]


def test_the_depth_scrubber_and_the_strip_work_by_keyboard(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/compare?layer=blocks.3")
    assert view(page)["layer"] == "blocks.3"
    page.get_by_test_id("depth").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("caption-right")).to_contain_text("blocks.4")
    page.keyboard.press("Home")
    expect(page.get_by_test_id("caption-left")).to_contain_text("blocks.0")
    page.get_by_test_id("thumb-right-bn2").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("caption-left")).to_contain_text("bn2")
    page.get_by_test_id("stage-left").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("readout")).to_contain_text("px")


def test_a_map_without_information_says_why(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/compare?left=gradient&layer=bn2")
    viewer(page)
    expect(page.get_by_test_id("note-left")).to_contain_text("same everywhere")
    expect(page.get_by_test_id("map-left")).to_be_hidden()
    expect(page.get_by_test_id("map-right")).to_be_visible()
