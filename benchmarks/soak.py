"""Many explanations: memory, open files and threads must not grow once everything has been used.

``python -m benchmarks --soak`` sends them through an engine in this process, over changing photos, classes,
models, fits and steps, and through the app's server, in sessions that come and go. Most of those of the
engine are by small networks with random weights, of which only some fit into its memory. The slope is that of
a straight line through what was measured after a quarter of the explanations, when caches and pools are full.
Before each measurement of the engine, freed memory is returned to the system, as the server does when
sessions have ended.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from scipy import stats
from torch import nn

import saliency_core as sc
from benchmarks.load import Notes, Person, Use, coded_photo, use_of
from benchmarks.measure import Row
from pages.shared.departed import give_back_memory
from pages.shared.uploads import MAX_UPLOADS
from saliency_core.engine.request import ExplainRequest
from tools.serving import Server, running_server
from tools.session_client import Studio, opened

COUNT, POINTS, WARM = 2000, 40, 0.25
VISITS = 400
"""Explanations through the server."""
REAL, REAL_SHARE = (sc.DEFAULT_MODEL, f"{sc.DEFAULT_MODEL}.random"), 0.05
SMALL, CLASSES, SIDE = 16, 10, 96
CACHE_BYTES, MODEL_BYTES = 2 << 20, 30 << 20
"""Bounds so low that answers leave the cache, and models the memory, long before the warm-up ends."""
MAX_SLOPE, MAX_SERVER_SLOPE = 10.0, 40.0
"""MB per thousand explanations that are taken for noise."""
PHOTOS, SESSIONS = 50, 8
VISITORS, STAY = 8, 10.0
MANY, MANY_LARGE, MAX_UPLOADS_MB = 200, 64, 400
"""Uploads in one session, and megabytes by which the server may grow: the bound of decoded photos."""


@dataclass(frozen=True)
class Trend:
    """What a process used, measured from time to time over so many explanations."""

    title: str
    counts: tuple[int, ...]
    uses: tuple[Use, ...]
    limit: float
    """Of the slope."""

    @property
    def slope(self) -> tuple[float, float]:
        """MB per thousand explanations after the warm-up, and its standard error."""
        first = next(i for i, count in enumerate(self.counts) if count >= WARM * self.counts[-1])
        sizes = [use.bytes / 1e6 for use in self.uses[first:]]
        found = stats.linregress(self.counts[first:], sizes)
        return 1000 * float(found.slope), 1000 * float(found.stderr)

    def rows(self) -> Iterator[Row]:
        """Memory, files and threads for the table."""
        warm = next(i for i, count in enumerate(self.counts) if count >= WARM * self.counts[-1])
        begin, end = self.uses[warm], self.uses[-1]
        slope, error = self.slope
        yield Row(
            f"{self.title}, {self.counts[-1]:,} explanations: memory per 1,000 of them",
            f"{slope:+.1f} ± {error:.1f} MB ({begin.bytes / 1e6:,.0f} → {end.bytes / 1e6:,.0f} MB)",
            f"≤ {self.limit:.0f} MB",
            slope - 2 * error <= self.limit,  # networks that come and go move it up and down
        )
        for what, before, after in (
            ("open files", begin.files, end.files),
            ("threads", begin.threads, end.threads),
        ):
            yield Row(f"{self.title}: {what}", f"{before} → {after}", "no more", after <= before + 4)


def through_engine(count: int = COUNT, seed: int = 0) -> Trend:
    """Explanations of changing photos, classes, models, fits and steps by an engine in this process."""
    rng, images = random.Random(seed), [_photo(number) for number in range(PHOTOS)]
    small = {spec.name: spec for spec in map(_small, range(SMALL))}
    specs = {**small, sc.DEFAULT_MODEL: sc.MODELS[sc.DEFAULT_MODEL], REAL[1]: sc.MODELS[REAL[1]]}
    engine = sc.Engine("cpu", CACHE_BYTES, models=specs, model_bytes=MODEL_BYTES)
    process, start = psutil.Process(), time.monotonic()
    counts, uses = [], []
    for number in range(1, count + 1):
        index = rng.randrange(PHOTOS)
        request = ExplainRequest(
            photo=f"{index} {number // PHOTOS}",  # most of them are new
            model=rng.choice(REAL if rng.random() < REAL_SHARE else tuple(small)),
            target=rng.choice((None, rng.randrange(CLASSES))),
            fit=rng.choice(tuple(sc.FITS)),
            methods=("normgrad", "grad_cam"),
            variant=sc.MetaStep() if rng.random() < 0.2 else None,
        )
        engine.submit(request, images[index], session=rng.randrange(SESSIONS)).value()
        if number % max(count // POINTS, 1) == 0:
            give_back_memory()
            counts.append(number)
            uses.append(Use(process.memory_info().rss, process.num_threads(), process.num_fds()))
            _progress(number, count, uses[-1], start)
    return Trend("Engine", tuple(counts), tuple(uses), MAX_SLOPE)


def _photo(number: int) -> Image.Image:
    values = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    return Image.fromarray(values)


def _small(number: int) -> sc.ModelSpec:
    """A network of a megabyte with random weights."""
    return replace(
        sc.MODELS["resnet18"],
        name=f"small-{number}",
        title=f"Small network {number}",
        build=_build,
        labels=lambda: [f"class {index}" for index in range(CLASSES)],
        preprocess=sc.Preprocess(size=SIDE, resize=SIDE),
        default_layers=("3", "5"),
        presets={},
        library="",
        tag=None,
        seed=number,
        published=None,
    )


def _build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 128, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(128, 192, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(192, CLASSES),
    )


def _progress(done: int, count: int, use: Use, start: float) -> None:
    print(
        f"{done:,} of {count:,} after {time.monotonic() - start:.0f} s: {use.bytes / 1e6:,.0f} MB, "
        f"{use.threads} threads, {use.files} open files",
        file=sys.stderr,
        flush=True,
    )


def through_server(count: int = VISITS, seed: int = 0) -> Trend:
    """Explanations through the app's server, in sessions with own photos that come and go."""
    counts, uses = [], []
    notes, start = Notes(), time.monotonic()

    async def visit(address: str, first: int) -> None:
        people = [Person(first + index, address, notes, seed, looking=0.2) for index in range(VISITORS)]
        begin = time.monotonic()
        await asyncio.gather(*(each.use(begin, begin + STAY) for each in people))
        for each in people:
            await each.leave()

    with tempfile.TemporaryDirectory() as folder:
        env = {
            "SALIENCY_STATE": f"{folder}/state",
            "STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": "5",
        }
        with running_server(Path(folder) / "server.log", env) as server:
            for first in itertools.count(1, VISITORS):
                asyncio.run(visit(server.address, first))
                done = sum(map(len, notes.seconds.values()))
                counts.append(done)
                uses.append(use_of([server.pid]))
                _progress(done, count, uses[-1], start)
                if done >= count:
                    break
    if notes.errors or notes.foreign:
        raise RuntimeError(f"{len(notes.errors)} errors: {[*notes.errors, *notes.foreign][:5]}")
    return Trend("App", tuple(counts), tuple(uses), MAX_SERVER_SLOPE)


def uploads() -> Iterator[Row]:
    """Many photos in one session, one after the other, and many large files in another one."""
    photo = coded_photo(1, 1)
    for what, count, padding in (("photos", MANY, 0), ("photos of 20 MB", MANY_LARGE, 20_000_000)):
        with tempfile.TemporaryDirectory() as folder:
            env = {"SALIENCY_STATE": f"{folder}/state"}
            with running_server(Path(folder) / "server.log", env) as server:
                grown, left, seconds = asyncio.run(_upload(server, photo, count, padding))
        yield Row(
            f"App: {count} {what} into one session, {seconds / count:.1f} s each: memory",
            f"{grown / 1e6:+,.0f} MB",
            f"≤ {MAX_UPLOADS_MB} MB",
            grown <= MAX_UPLOADS_MB * 1e6,
        )
        yield Row(
            f"App: {count} {what} into one session: photos that stay, the newest",
            str(left),
            f"1 to {MAX_UPLOADS}",
            0 < left <= MAX_UPLOADS,
        )


async def _upload(server: Server, photo: bytes, count: int, padding: int) -> tuple[int, int, float]:
    """How the server's memory has grown, the photos in the strip at the end, and seconds."""
    async with opened(server.address) as tab:
        studio = Studio(tab)
        await studio.shows()
        await tab.settled()
        before, start = use_of([server.pid]), time.monotonic()
        for number in range(count):  # decoders ignore what follows a photo in its file
            await tab.upload(f"{number}.jpg", photo + bytes(padding) + number.to_bytes(2))
            await tab.ended()
        last = f"{count - 1}.jpg"
        names = await tab.until("last photo", lambda: _strip(studio) if last in _strip(studio) else None)
        return use_of([server.pid]).bytes - before.bytes, len(names), time.monotonic() - start


def _strip(studio: Studio) -> list[str]:
    return [each["name"] for each in studio.gallery()["uploads"]]


def rows() -> Iterator[Row]:
    """All rows of the table."""
    yield from through_engine().rows()
    yield from through_server().rows()
    yield from uploads()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure one part, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    part = parser.add_mutually_exclusive_group(required=True)
    part.add_argument("--engine", action="store_true", help="through an engine in this process")
    part.add_argument("--server", action="store_true", help="through the app's server")
    part.add_argument("--uploads", action="store_true", help="many uploads in one session")
    parser.add_argument("--count", type=int, help=f"explanations (default: {COUNT} or {VISITS})")
    options = parser.parse_args(arguments)
    if options.uploads:
        measured = [*uploads()]
    elif options.engine:
        measured = [*through_engine(options.count or COUNT).rows()]
    else:
        measured = [*through_server(options.count or VISITS).rows()]
    for row in measured:
        print(f"| {row.what} | {row.value} | {row.bound} | {row.mark} |")
    raise SystemExit(any(row.met is False for row in measured))


if __name__ == "__main__":
    main()
