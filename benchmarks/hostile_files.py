"""Open files made to keep a decoder busy, each in a process of its own, and print what it took.

``python -m benchmarks.hostile_files`` exits with 1 if one took more than two seconds of CPU, or more memory
than the largest ordinary photo does. Needs a system with ``fork``.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import hostile_images
from saliency_core.inputs.images import ImageError, open_image

MAX_SECONDS = 2.0
MAX_MEGABYTES = 700
"""A photo of 40 megapixels with transparency takes nearly as much: its pixels, those as RGB, and its file."""
_KILL_SECONDS, _KILL_BYTES = 120, 12 << 30


@dataclass(frozen=True)
class Cost:
    """What opening a file took."""

    seconds: float
    megabytes: float
    outcome: str

    @property
    def met(self) -> bool:
        """Whether it stayed within the bounds."""
        return self.seconds <= MAX_SECONDS and self.megabytes <= MAX_MEGABYTES


def cost(file: Path) -> Cost:
    """Open a photo in a process of its own, so that its memory is its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_open, args=(file, there))
    process.start()
    there.close()
    try:
        result: Cost = here.recv()
    except EOFError:
        result = Cost(float("inf"), float("inf"), "killed")
    process.join()
    return result


def _open(file: Path, answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_KILL_SECONDS, _KILL_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_KILL_BYTES, _KILL_BYTES))
    before, start = _peak_kilobytes(), time.process_time()
    try:
        image = open_image(file)
        outcome = f"opened, {image.width} × {image.height}"
    except ImageError as error:
        outcome = f"refused: {error}"
    seconds = time.process_time() - start
    answer.send(Cost(seconds, (_peak_kilobytes() - before) / 1024, outcome))


def _peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Print a table."""
    met = True
    print("| file | bytes | CPU seconds | peak MB | outcome | |", "|---|---|---|---|---|---|", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        for what, make in hostile_images.files().items():
            path.write_bytes(make())
            found = cost(path)
            met &= found.met
            mark = "" if found.met else "**over the bound**"
            print(
                f"| {what} | {path.stat().st_size:,} | {found.seconds:.2f} | {found.megabytes:.0f} "
                f"| {found.outcome} | {mark} |",
                flush=True,
            )
    sys.exit(not met)


if __name__ == "__main__":
    main()
