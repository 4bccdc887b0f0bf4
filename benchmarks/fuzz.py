"""Change valid files and addresses at random, and see that each is opened or refused in a sentence.

``python -m benchmarks.fuzz --cases 10000 --seed 0`` prints the outcomes by kind, and exits with 1 if a case
raised anything but a ``SaliencyError``, took more than two seconds of CPU, or raised the peak of the memory
by more than 700 MB. ``--first 123 --cases 1`` runs case 123 alone: a case depends on its number and the seed
only.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import fuzz_samples
from benchmarks.fuzz_samples import nonsense
from pages.shared import address
from saliency_core.errors import SaliencyError
from saliency_core.inputs.images import image_size, open_image
from saliency_core.models.catalogue.label_files import read_labels
from saliency_core.models.weights.checkpoint import checkpoint_shapes, read_checkpoint
from saliency_core.photo_sets.reading import read_photo_set
from saliency_core.viewer import schema

MAX_SECONDS: Final = 2.0
MAX_MEGABYTES: Final = 700
"""As for the files of `hostile_files`."""

Random = np.random.Generator
_TOKENS: Final = (
    *(
        b"\0" * 4,
        b"\xff" * 4,
        b"\x7f\xff\xff\xff",
        b"\x80\0\0\0",
        b"\1\0\0\0",
        b"\0\0\0\1",
        b"\xff\xd8\xff\xda",
    ),
    *(
        b"1e999",
        b"-1",
        b"NaN",
        b"9" * 400,
        b"[" * 3000,
        b'{"a":' * 3000,
        b"<a>" * 3000,
        b"&lt;",
        b"\xe2\x80\xae",
    ),
    *(
        b"../../",
        b"null",
        b'""',
        b"\r\n",
        b"\xed\xa0\x80",
        b"PK\5\6",
        b"IDAT",
        b"<!DOCTYPE a>",
        b"cos\nsystem\n",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    kind: str
    case: int
    result: str
    """``"opened"``, ``"refused"``, or what went wrong."""
    seconds: float
    megabytes: float
    trace: str = ""

    @property
    def failure(self) -> str:
        """Why the case is a failure; "" if it is none."""
        if self.result not in ("opened", "refused"):
            return self.result
        if self.seconds > MAX_SECONDS:
            return f"{self.seconds:.1f} s of CPU"
        return f"{self.megabytes:.0f} MB more" if self.megabytes > MAX_MEGABYTES else ""


# -- changes -------------------------------------------------------------------------------------------------


def changed(data: bytes, rng: Random, others: Iterable[bytes] = ()) -> bytes:
    """One to four changes: bits, bytes, pieces left out, moved, repeated, or taken from other files."""
    made = data
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        made = _once(made, rng, tuple(others))
    return made[: 8 << 20]


def _once(data: bytes, rng: Random, others: tuple[bytes, ...]) -> bytes:
    if not data:
        return _token(rng)
    # Half of the changes are near the beginning, where most of the structure is.
    most = len(data) if rng.integers(2) else min(len(data), 256)
    at, length = int(rng.integers(most)), int(2 ** rng.integers(0, 12))
    head, piece, tail = data[:at], data[at : at + length], data[at + length :]
    match rng.integers(8):
        case 0:
            return head
        case 1:
            return head + bytes((data[at] ^ 1 << int(rng.integers(8)),)) + data[at + 1 :]
        case 2:
            return head + rng.bytes(4) + data[at + 4 :]
        case 3:
            token = _token(rng)
            return head + token + data[at + (len(token) if rng.integers(2) else 0) :]
        case 4:
            return head + tail
        case 5:
            return head + piece * int(rng.choice([2, 3, 100])) + tail
        case 6:
            to = int(rng.integers(len(head + tail) + 1))
            return (head + tail)[:to] + piece + (head + tail)[to:]
        case _:
            other = others[rng.integers(len(others))] if others else data
            begin = int(rng.integers(len(other)))
            return head + other[begin : begin + length] + tail


def _token(rng: Random) -> bytes:
    return _TOKENS[rng.integers(len(_TOKENS))]


def _chosen(samples: tuple[bytes, ...], rng: Random) -> bytes:
    return changed(samples[rng.integers(len(samples))], rng, samples)


# -- kinds of cases ------------------------------------------------------------------------------------------


def _image(rng: Random, folder: Path) -> None:
    data = _chosen(fuzz_samples.images(), rng)
    with suppress(SaliencyError):
        image_size(data)
    if open_image(data).mode != "RGB":
        raise AssertionError("no RGB image")


def _checkpoint(rng: Random, folder: Path) -> None:
    file = folder / "net.pth"
    file.write_bytes(_chosen(fuzz_samples.checkpoints(), rng))
    shapes = checkpoint_shapes(file)
    if {name: each.shape for name, each in read_checkpoint(file).items()} != {
        name: each.shape for name, each in shapes.items()
    }:
        raise AssertionError("the tensors have other shapes than was told")


def _labels(rng: Random, folder: Path) -> None:
    if not all(read_labels(_chosen(fuzz_samples.LABELS, rng))):
        raise AssertionError("an empty name")


def _photo_set(rng: Random, folder: Path) -> None:
    sets = fuzz_samples.photo_sets()
    files = dict(sets[rng.integers(len(sets))])
    if rng.integers(4):
        name = list(files)[rng.integers(len(files))]
        files[name] = changed(files[name], rng, [each for found in sets for each in found.values()])
        data = fuzz_samples.zipped(files)
    else:
        data = changed(fuzz_samples.zipped(files), rng)
    with closing(read_photo_set(data)) as found:
        for record in found.records:
            with suppress(SaliencyError):
                found.open(record)


def _address(rng: Random, folder: Path) -> None:
    names = [
        *schema.VIEW,
        *(name for row in address.FRAME for name in (row.name, row.alias) if name),
        "other",
    ]
    query = {str(rng.choice(names)): nonsense(rng) for _ in range(rng.integers(1, 8))}
    choice = address.read(query)
    address.unusable(query)
    written = address.write(choice)
    if address.write(address.read(written)) != written:
        raise AssertionError("an address that is written is read as another")
    for each in schema.VIEW.values():
        value = nonsense(rng)
        reported: object = [value, [value], {value: value}, 10**400, float("nan"), None][rng.integers(6)]
        each.kind.from_browser(reported, ("layer1", "layer2"))


KINDS: Final[dict[str, Callable[[Random, Path], None]]] = {
    "photo": _image,
    "checkpoint": _checkpoint,
    "labels": _labels,
    "photo set": _photo_set,
    "address": _address,
}


# -- running -------------------------------------------------------------------------------------------------


def run(cases: Iterable[int], seed: int, folder: Path) -> Iterator[Outcome]:
    """The outcomes of cases, one after the other."""
    names = list(KINDS)
    address.read({"model": "timm:resnet18"})  # the list of all models is made once, in some seconds
    for case in cases:
        kind = names[case % len(names)]
        result, trace, before = "opened", "", _peak_megabytes()
        start = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                KINDS[kind](np.random.default_rng([seed, case]), folder)
        except SaliencyError as error:
            text = str(error)
            result = "refused" if text and text.isprintable() else f"an error with the text {text!r}"
        except Exception as error:
            result, trace = f"{type(error).__name__}: {error}"[:200], traceback.format_exc()
        yield Outcome(kind, case, result, time.process_time() - start, _peak_megabytes() - before, trace)


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Read the command line, run the cases and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    slowest = dict.fromkeys(KINDS, (0.0, 0))
    start, failures = time.process_time(), 0
    with tempfile.TemporaryDirectory() as folder:
        numbers = range(options.first, options.first + options.cases)
        for outcome in run(numbers, options.seed, Path(folder)):
            slowest[outcome.kind] = max(slowest[outcome.kind], (outcome.seconds, outcome.case))
            counts[outcome.kind]["failed" if outcome.failure else outcome.result] += 1
            if outcome.failure:
                failures += 1
                print(f"case {outcome.case} ({outcome.kind}): {outcome.failure}")
                print(f"  python -m benchmarks.fuzz --seed {options.seed} --first {outcome.case} --cases 1")
                print(outcome.trace, flush=True)
    print(
        "| kind | opened | refused | failed | slowest, CPU s | its case |",
        "|---|---|---|---|---|---|",
        sep="\n",
    )
    for kind, count in counts.items():
        seconds, case = slowest[kind]
        outcomes = " | ".join(str(count[each]) for each in ("opened", "refused", "failed"))
        print(f"| {kind} | {outcomes} | {seconds:.2f} | {case} |")
    print(f"{options.cases} cases in {time.process_time() - start:.0f} s of CPU, {failures} failures.")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
