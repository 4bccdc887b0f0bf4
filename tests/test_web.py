"""The viewer's plain JavaScript functions, run by Node: by themselves, and against saliency_core."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np

import saliency_core as sc
from pages.shared import formats
from saliency_core.combine import is_constant, normalise, resize
from saliency_core.viewer import schema
from saliency_core.viewer.methods import methods
from saliency_core.viewer.payload import MODES
from tests.test_viewer import FULL_VIEW, LAYERS

ROOT = Path(__file__).parents[1]
SIZE = 24
SHARES = (0, 1e-5, 0.0003, 0.004, 0.0256, 0.0994, 0.0996, 0.344, 0.996, 1)


def test_the_browser_functions_do_what_their_tests_and_saliency_core_say(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "Node is not installed: .ci/node installs it"
    reference = tmp_path / "reference.json"
    cases = {
        "resized": resized(),
        "mixed": mixed(),
        "painted": painted(),
        "reaches": reaches(),
        "modes": MODES,
        "at once": [method["name"] for method in methods() if not method["passes"]],
        "view": view(),
        "inside": inside(),
        "scored": scored(),
        "percents": [[share, formats.percent(share)] for share in SHARES],
    }
    reference.write_text(json.dumps(cases))
    files = sorted(str(file) for file in (ROOT / "tests" / "web").glob("*.test.js"))
    done = subprocess.run(
        [node, "--test", *files],
        cwd=ROOT,
        env={**os.environ, "VIEWER_REFERENCE": str(reference)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# skipped 0" in done.stdout, "the comparison with saliency_core was not run"


def resized() -> list[dict[str, object]]:
    """Maps of several sizes with what `resize` and `normalise` make of them, 1 × 1 and constant ones too."""
    random = np.random.default_rng(0)
    shapes = [(1, 1), (1, 5), (7, 7), (14, 9), (40, 56)]
    found = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    found.append(np.full((3, 4), 2, np.float32))
    return [
        {
            "values": plane.ravel().tolist(),
            "height": plane.shape[0],
            "width": plane.shape[1],
            "size": SIZE,
            "resized": resize(plane, (SIZE, SIZE)).ravel().tolist(),
            "normalised": (
                np.zeros(SIZE * SIZE) if is_constant(plane) else normalise(resize(plane, (SIZE, SIZE)))
            )
            .ravel()
            .tolist(),
        }
        for plane in found
    ]


def mixed() -> list[dict[str, object]]:
    """Products and sums of three layers, with zero weights and a constant layer."""
    random = np.random.default_rng(1)
    planes = [random.normal(size=(size, size)).astype(np.float32) for size in (28, 14, 7)]
    constant = [planes[0], np.ones((14, 14), np.float32), planes[2]]
    sparse = [np.maximum(plane, 0) for plane in planes]
    cases = itertools.product(
        (planes, constant, sparse), ([1, 1, 1], [0, 0.25, 1], [0.01, 3, 0]), ("product", "sum")
    )
    return [
        {
            "layers": [
                {
                    "name": f"layer{index}",
                    "height": plane.shape[0],
                    "width": plane.shape[1],
                    "reason": "constant" if is_constant(plane) else None,
                }
                for index, plane in enumerate(maps)
            ],
            "values": np.concatenate([plane.ravel() for plane in maps]).tolist(),
            "weights": {f"layer{index}": weight for index, weight in enumerate(weights)},
            "how": how,
            "size": SIZE,
            "mixed": sc.combine(maps, weights, how, size=(SIZE, SIZE)).ravel().tolist(),
        }
        for maps, weights, how in cases
        if any(weight and not is_constant(plane) for plane, weight in zip(maps, weights, strict=True))
    ]


def inside() -> list[dict[str, object]]:
    """Maps and boxes with the share of the map's energy inside them."""
    random = np.random.default_rng(3)
    boxes = ([(0.1, 0.2, 0.63, 0.9)], [(0, 0, 0.5, 0.5), (0.25, 0.25, 1, 0.75)], [(0, 0, 1, 1)])
    planes = [random.normal(size=(SIZE, SIZE)).astype(np.float32), -np.ones((SIZE, SIZE), np.float32)]
    return [
        {
            "values": plane.ravel().tolist(),
            "size": SIZE,
            "boxes": case,
            "share": sc.energy_inside(plane, case, (SIZE, SIZE)),
        }
        for plane, case in itertools.product(planes, boxes)
    ]


def scored() -> list[dict[str, object]]:
    """Maps of several sizes and boxes with what a slow definition makes of them: ties, signs, boxes cut off.

    The map is resized as a whole, in exact arithmetic for the values that are whole numbers, and every pixel
    of the photo is asked how far it is from the maximum.
    """
    random = np.random.default_rng(5)
    shapes = [(1, 1), (7, 7), (14, 9), (40, 56), (24, 24)]
    planes = [random.normal(size=shape) for shape in shapes] + [np.abs(random.normal(size=(7, 7)))]
    planes += [random.integers(0, 3, shape).astype(float) for shape in ((7, 7), (5, 3), (14, 14))]
    photo, region = (60, 45), (7.5, -2.0, 52.5, 43.0)
    boxes: list[list[tuple[float, float, float, float]]] = [
        [(12, 8, 30, 21)],
        [(0, 0, 9, 45)],  # cut by the region
        [(10, 5, 30, 25), (20, 15, 44, 40), (20.5, 15.25, 22, 16)],  # overlapping
        [(0, 0, 5, 5)],  # outside the region
    ]
    cases = []
    for plane, given, size in itertools.product(planes, boxes, ((SIZE, SIZE), (20, 28))):
        values = plane.astype(np.float32)
        row, column = slow_maximum(values, size)
        point = (
            int(np.floor(region[0] + (column + 0.5) / size[1] * (region[2] - region[0]))),
            int(np.floor(region[1] + (row + 0.5) / size[0] * (region[3] - region[1]))),
        )
        seen = slow_pixels(given, region, photo)
        distances = [np.hypot(x - point[0], y - point[1]) for y, x in zip(*np.nonzero(seen), strict=True)]
        fractions = [
            (
                (left - region[0]) / (region[2] - region[0]),
                (top - region[1]) / (region[3] - region[1]),
                (right - region[0]) / (region[2] - region[0]),
                (bottom - region[1]) / (region[3] - region[1]),
            )
            for left, top, right, bottom in given
        ]
        cases.append(
            {
                "values": values.ravel().tolist(),
                "height": values.shape[0],
                "width": values.shape[1],
                "size": {"rows": size[0], "columns": size[1]},
                "photo": photo,
                "region": region,
                "boxes": given,
                "place": [row, column],
                "point": point,
                "distance": min(distances, default=None),
                "share": sc.energy_inside(values, fractions, size) if seen.any() else None,
            }
        )
    return cases


def slow_maximum(values: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """The first largest pixel in row order of the whole resized map, its fractions exact."""

    def along(cells: int, pixels: int) -> list[tuple[int, int, Fraction]]:
        at = [
            max(Fraction(2 * i + 1, 2) * cells / pixels - Fraction(1, 2), Fraction(0)) for i in range(pixels)
        ]
        low = [min(int(each), cells - 1) for each in at]
        return [(each, min(each + 1, cells - 1), at[i] - each) for i, each in enumerate(low)]

    exact = [[Fraction(float(each)) for each in line] for line in values]
    rows, columns = along(values.shape[0], size[0]), along(values.shape[1], size[1])
    best: tuple[Fraction, int, int] | None = None
    for y, (top, bottom, down) in enumerate(rows):
        line = [a + down * (b - a) for a, b in zip(exact[top], exact[bottom], strict=True)]
        for x, (left, right, across) in enumerate(columns):
            value = line[left] + across * (line[right] - line[left])
            if best is None or value > best[0]:
                best = (value, y, x)
    assert best is not None
    return best[1:]


def slow_pixels(
    boxes: list[tuple[float, float, float, float]],
    region: tuple[float, float, float, float],
    photo: tuple[int, int],
) -> np.ndarray:
    """The photo's pixels (H, W) that a box touches and the network sees."""
    y, x = np.indices(photo[::-1])
    seen = (x + 1 > region[0]) & (x < region[2]) & (y + 1 > region[1]) & (y < region[3])
    touched = np.zeros_like(seen)
    for left, top, right, bottom in boxes:
        touched |= (x + 1 > left) & (x < right) & (y + 1 > top) & (y < bottom)
    return touched & seen


def painted() -> list[dict[str, object]]:
    """Values with the colours of the colour tables, on plain and diverging scales."""
    cases = []
    for entry in sc.render.COLORMAPS.values():
        diverging = entry.kind == "diverging"
        low, high = (-1.0, 1.0) if diverging else (0.0, 1.0)
        # Drawn at random, so that none lies halfway between two levels.
        values = np.random.default_rng(2).uniform(low, high, 50).astype(np.float32)
        values[:2] = low, high
        unit = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
        pixels = entry.table[np.floor(unit * 255 + 0.5).astype(int)]
        cases.append(
            {
                "values": values.tolist(),
                "table": np.asarray(entry.table).ravel().tolist(),
                "diverging": diverging,
                "pixels": pixels.ravel().tolist(),
            }
        )
    return cases


def reaches() -> list[dict[str, object]]:
    """Signed maps, one of them with a heavy tail, with the 99th percentile of their absolute values."""
    random = np.random.default_rng(4)
    planes = [random.normal(size=size) for size in (1, 99, 100, 101, 5000)] + [random.standard_cauchy(5000)]
    planes.append(1e-30 * random.normal(size=300))
    singles = [plane.astype(np.float32) for plane in planes]
    return [
        {
            "values": plane.tolist(),
            "reach": float(np.percentile(np.abs(plane), 99, method="inverted_cdf")),
        }
        for plane in singles
    ]


def view() -> dict[str, object]:
    """The schema as the browser gets it, and a view that differs from the defaults in every field."""
    described = schema.describe()
    return {
        "described": described,
        "defaults": {field["name"]: field["default"] for field in described},
        "given": schema.for_browser(FULL_VIEW, LAYERS),
        "layers": LAYERS,
        "methods": list(sc.METHODS),
    }
