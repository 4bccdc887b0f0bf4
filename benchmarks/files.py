"""The files that are made of an explanation: how large they are, and how long they take."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import saliency_core as sc
from benchmarks.measure import Row, seconds

PHOTO = Path(__file__).parent.parent / "assets" / "samples" / "chelsea.png"


def rows() -> Iterator[Row]:
    """One row per kind of file, of the default network's first methods on a sample photo."""
    e = sc.explain(sc.load_classifier(), sc.open_image(PHOTO))
    film = sc.film(e)

    def arrays() -> bytes:
        file = io.BytesIO()
        sc.save_maps(file, e)
        return file.getvalue()

    maps = len(e.methods) * len(e.layers)
    made: dict[str, Callable[[], bytes]] = {
        f"NPZ, {maps} maps": arrays,
        "figure of two methods, PNG at 2×": lambda: sc.figure(e).to_bytes("png", 2),
        "figure of two methods, SVG": lambda: sc.figure(e).to_bytes("svg"),
        "figure of two methods, PDF": lambda: sc.figure(e).to_bytes("pdf"),
        f"film over depth, {len(film.pictures)} frames, GIF": lambda: film.to_bytes("gif"),
        f"film over depth, {len(film.pictures)} frames, WebP": lambda: film.to_bytes("webp"),
    }
    for title, make in made.items():
        size = len(make()) / 1e3  # the first time loads what it needs
        yield Row(f"File: {title}", f"{size:,.0f} kB in {seconds(make):.2f} s")
