"""The saved page and the output of a notebook: their sizes, the time they take, and the rounding of maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import saliency_core as sc
from benchmarks.measure import Row, median_seconds
from saliency_core.viewer import html

PHOTO = Path(__file__).parents[1] / "assets" / "samples" / "ladybird.jpg"
MAX_PAGE, MAX_OUTPUT = 3.0, 1.5  # MB
MAX_ERROR = 1 / 255


def rows(runs: int) -> Iterator[Row]:
    """The first methods of the embedded network on a sample photo."""
    explanation = sc.explain(sc.load_classifier(), sc.open_image(PHOTO))
    shown = html.entries([explanation])
    size = len(html.page(shown).encode()) / 1e6
    yield Row(
        "Page: all first methods of EfficientNet-Lite0",
        f"{size:.2f} MB",
        f"≤ {MAX_PAGE} MB",
        size <= MAX_PAGE,
    )
    error = html.quantised_maps(shown).error
    yield Row(
        "Page: largest rounding of a value, as a share of its map's range",
        f"{error:.1e}",
        f"≤ {MAX_ERROR:.1e}",
        error <= MAX_ERROR,
    )
    taken = median_seconds(lambda: html.page(html.entries([explanation])), runs)
    yield Row("Page: made from an explanation", f"{1000 * taken:.0f} ms")
    for mode in ("compare", "framework"):
        output = len(sc.show(explanation, mode=mode)._repr_html_()) / 1e6
        yield Row(
            f"Notebook: output of the mode {mode}",
            f"{output:.2f} MB",
            f"≤ {MAX_OUTPUT} MB",
            output <= MAX_OUTPUT,
        )
