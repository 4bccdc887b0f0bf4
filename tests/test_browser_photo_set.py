"""An own photo set as a person uses it: uploaded, evaluated, sorted, looked into."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pyarrow.parquet as parquet
from playwright.sync_api import Page, expect

from saliency_core.evaluation.summary import ItemScore, Summary, summarise, title_of
from tests.browser_helpers import complaints
from tests.photo_set_files import sample_photos, write_voc, zipped

MINUTES = 180_000  # milliseconds: many photos on a busy machine


def test_a_set_is_uploaded_evaluated_sorted_and_the_photos_behind_a_cell_are_seen(
    app_url: str, page: Page, tmp_path: Path
) -> None:
    trouble = complaints(page)
    page.goto(f"{app_url}/evaluate?part=photo-set&photo=coffee")
    uploader = page.locator("[class*=st-key-photo-set-zip] input[type=file]")
    other = tmp_path / "notes.txt"
    other.write_text("no photos")
    uploader.set_input_files(other)
    expect(page.get_by_text("notes.txt is not a zip file.")).to_be_visible()
    uploader.set_input_files(zipped(write_voc(tmp_path / "own", sample_photos())))
    expect(page.get_by_text(re.compile("Pascal VOC: 8 photos, 12 objects"))).to_be_visible()
    expect(page.get_by_text("notes.txt is not a zip file.")).to_have_count(0)
    page.get_by_role("button", name="Evaluate 8 photos").click()
    cells = page.get_by_test_id("score")
    expect(page.locator(".st-key-set-parquet")).to_be_visible(timeout=MINUTES)
    with page.expect_download() as download:
        page.get_by_role("button", name="All values as Parquet").click()
    assert download.value.suggested_filename == "normgrad-evaluation-own-zip.parquet"
    rows = parquet.read_table(io.BytesIO(Path(download.value.path()).read_bytes()))
    summary = summarise(rows, "pointing")
    # A column's name sorts by it, and the best rows come first.
    page.get_by_title("Sort by bn2").click()
    shares = [
        int(found[1])
        for text in cells.evaluate_all("all => all.map(cell => cell.ariaLabel)")
        if (found := re.search(r", bn2: (\d+)%", text))
    ]
    known = [summary.cell(method, "bn2").mean for method in summary.methods]
    assert shares == sorted((round(100 * mean) for mean in known), reverse=True)
    # A cell shows its photos; of Grad-CAM at an early layer some are misses.
    cell = ("grad_cam", "blocks.2")
    mean = round(100 * summary.cell(*cell).mean)
    page.get_by_role("button", name=re.compile(f"^Grad-CAM, blocks.2: {mean}%")).click()
    expect(page.get_by_role("heading", name=title_of(cell))).to_be_visible()
    expect(page.get_by_text("Misses", exact=True)).to_be_visible()
    pictures = page.locator(".ng-behind img")
    expect(pictures).to_have_count(
        sum(min(4, len(found)) for found in (hits(summary, cell, 1.0), hits(summary, cell, 0.0)))
    )
    assert pictures.evaluate_all("all => all.every(each => each.complete && each.naturalWidth > 100)")
    # What was asked for is there at once when the part is opened again.
    page.locator(".st-key-part").get_by_text("Point", exact=True).click()
    expect(page.get_by_test_id("normgrad-viewer")).to_be_visible()
    page.locator(".st-key-part").get_by_text("Photo set").click()
    expect(page.locator(".st-key-set-parquet")).to_be_visible()
    assert trouble == []


def hits(summary: Summary, cell: tuple[str, str], value: float) -> list[ItemScore]:
    """The items on which a cell has this value."""
    items = summary.best(*cell, 1000)
    assert all(item.value in (0.0, 1.0) for item in items)
    return [item for item in items if item.value == value]
