"""Two thousand explanations: memory, open files and threads must not grow once everything has been used.

``python -m benchmarks.soak`` sends them through an engine in this process, over changing photos, classes,
models and steps, and through the app's server, in sessions that come and go. The slope is that of a straight
line through what was measured after a quarter of them, when caches and pools are filled.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import io
import itertools
import random
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

import saliency_core as sc
from benchmarks.load import Notes, Person, Use, use_of
from benchmarks.measure import Row
from saliency_core.engine.request import ExplainRequest
from tools.serving import running_server

COUNT, POINTS, WARM = 2000, 40, 0.25
MODELS = (sc.DEFAULT_MODEL, f"{sc.DEFAULT_MODEL}.random")
CACHE_BYTES = 64 << 20
"""Small, so that it is full after a quarter of the explanations."""
MAX_SLOPE = 40.0
"""MB per thousand explanations that are taken for noise."""
SIDE, PHOTOS = 160, 50
VISITORS, STAY = 8, 10.0


@dataclass(frozen=True)
class Trend:
    """What a process used, measured from time to time over so many explanations."""

    title: str
    counts: tuple[int, ...]
    uses: tuple[Use, ...]

    @property
    def slope(self) -> float:
        """MB per thousand explanations after the warm-up."""
        first = next(i for i, count in enumerate(self.counts) if count >= WARM * self.counts[-1])
        sizes = [use.bytes / 1e6 for use in self.uses[first:]]
        return 1000 * float(np.polyfit(self.counts[first:], sizes, 1)[0])

    def rows(self) -> Iterator[Row]:
        """Memory, files and threads for the table."""
        warm = next(i for i, count in enumerate(self.counts) if count >= WARM * self.counts[-1])
        begin, end = self.uses[warm], self.uses[-1]
        yield Row(
            f"{self.title}, {self.counts[-1]:,} explanations: memory per 1,000 of them",
            f"{self.slope:+.1f} MB ({begin.bytes / 1e6:,.0f} → {end.bytes / 1e6:,.0f} MB)",
            f"≤ {MAX_SLOPE:.0f} MB",
            self.slope <= MAX_SLOPE,
        )
        for what, before, after in (
            ("open files", begin.files, end.files),
            ("threads", begin.threads, end.threads),
        ):
            yield Row(f"{self.title}: {what}", f"{before} → {after}", "no more", after <= before + 4)


def through_engine(count: int = COUNT, seed: int = 0) -> Trend:
    """Explanations of changing photos, classes, models and steps by an engine in this process."""
    rng, images = random.Random(seed), [_photo(number) for number in range(PHOTOS)]
    engine = sc.Engine(cache_bytes=CACHE_BYTES)
    process = psutil.Process()
    counts, uses = [], []
    for number in range(1, count + 1):
        digest, image = rng.choice(images)
        request = ExplainRequest(
            photo=f"{digest}{number // PHOTOS}",  # most of them are new
            model=MODELS[rng.random() < 0.2],
            target=rng.choice((None, rng.randrange(1000))),
            fit=rng.choice(tuple(sc.FITS)),
            methods=("normgrad", "grad_cam"),
        )
        engine.explain(request, image)
        if number % (count // POINTS or 1) == 0:
            gc.collect()
            counts.append(number)
            uses.append(Use(process.memory_info().rss, threading.active_count(), process.num_fds()))
    return Trend("Engine", tuple(counts), tuple(uses))


def _photo(number: int) -> tuple[str, Image.Image]:
    values = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return hashlib.sha256(file.getvalue()).hexdigest(), sc.open_image(file.getvalue())


def through_server(count: int = COUNT, seed: int = 0) -> Trend:
    """The same number through the app's server, in sessions with own photos that come and go."""
    counts, uses = [], []
    notes = Notes()

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
                uses.append(use_of(server))
                print(f"{done:,} of {count:,}: {uses[-1]}", flush=True)
                if done >= count:
                    break
    if notes.errors or notes.foreign:
        raise RuntimeError(f"{len(notes.errors)} errors: {[*notes.errors, *notes.foreign][:5]}")
    return Trend("App", tuple(counts), tuple(uses))


def rows(count: int = COUNT) -> Iterable[Row]:
    """The rows of both for the table."""
    return itertools.chain(through_engine(count).rows(), through_server(count).rows())


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help=f"explanations (default: {COUNT})")
    parser.add_argument("--engine", action="store_true", help="only through the engine")
    parser.add_argument("--server", action="store_true", help="only through the app's server")
    options = parser.parse_args(arguments)
    both = options.engine == options.server
    measured = [
        *(through_engine(options.count).rows() if both or options.engine else ()),
        *(through_server(options.count).rows() if both or options.server else ()),
    ]
    for row in measured:
        print(f"| {row.what} | {row.value} | {row.bound} | {row.mark} |")
    raise SystemExit(any(row.met is False for row in measured))


if __name__ == "__main__":
    main()
