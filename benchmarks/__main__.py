"""Measure, print the table, and exit with 1 if a bound is not met.

``--classes`` computes the table of class sensitivity instead, ``--first-view`` how much of each map lies on
the object, ``--layout-shift`` how far pages jump, ``--sweep`` what every curated architecture and a sample of
timm's give, ``--precision`` what bfloat16 does to the maps, ``--ray`` what the engine on Ray costs,
``--load`` what many sessions at once get and use, ``--soak`` whether memory grows in the long run;
``--write`` also puts the table that was printed into its document in docs/.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import torch

from benchmarks import (
    classes,
    core,
    evaluation,
    files,
    first_view,
    layout,
    load,
    page,
    precision,
    soak,
    sweep,
    viewer,
)
from benchmarks.measure import Row

DOCS = Path(__file__).parent.parent / "docs"
DOCUMENT, FIRST_VIEW, SWEEP = DOCS / "benchmarks.md", DOCS / "first-view.md", DOCS / "architectures.md"
RAY = DOCS / "ray.md"


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table, with the machine they were measured on."""
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{torch.get_num_threads()} CPU threads"
    )
    lines = ["| measured | value | bound | |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.value} | {row.bound} | {row.mark} |" for row in rows]
    versions = f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, {device}"
    return "\n".join([*lines, "", f"{versions}. Medians; ratios are taken pair by pair in one run."])


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="counted runs per figure (default: 15)")
    parser.add_argument("--write", action="store_true", help="replace the table in its document")
    parser.add_argument("--core", action="store_true", help="only what needs no browser")
    parser.add_argument("--classes", action="store_true", help="class sensitivity on the sample photos")
    parser.add_argument("--first-view", action="store_true", help="shares of the maps on the objects")
    parser.add_argument("--layout-shift", action="store_true", help="how far the content of pages jumps")
    parser.add_argument("--sweep", action="store_true", help="every architecture with random weights")
    parser.add_argument("--ray", action="store_true", help="the engine on Ray beside that of one process")
    parser.add_argument("--precision", action="store_true", help="maps in bfloat16 beside those in float32")
    parser.add_argument("--load", action="store_true", help="many sessions at once")
    parser.add_argument(
        "--sessions", type=int, nargs="+", default=load.SESSIONS, help="with --load: how many, run by run"
    )
    parser.add_argument(
        "--seconds", type=float, default=load.SECONDS, help="with --load: how long they stay (default: 120)"
    )
    parser.add_argument(
        "--engine", choices=("", "ray"), default="", help="with --load: the engine on Ray, not in the app"
    )
    parser.add_argument(
        "--kill-replica", action="store_true", help="with --load --engine ray: one, in the middle"
    )
    parser.add_argument(
        "--soak", action="store_true", help="thousands of explanations; uploads by the hundred"
    )
    options = parser.parse_args()
    if options.load:
        runs = [
            *load.results(options.sessions, options.seconds, engine=options.engine, kill=options.kill_replica)
        ]
        name = "load-ray" if options.engine else "load"
        show(name, load.table(runs, options.seconds), write=options.write)
        raise SystemExit(any(run.failed for run in runs))
    if options.soak:
        checked = [*soak.rows()]
        show("soak", table(checked), write=options.write)
        raise SystemExit(any(row.met is False for row in checked))
    if options.classes:
        show("classes", classes.table(), write=options.write)
        return
    if options.first_view:
        show("shares", first_view.table(), FIRST_VIEW, write=options.write)
        return
    if options.layout_shift:
        show("layout-shift", layout.table(), write=options.write)
        return
    if options.precision:
        show("precision", precision.table(), write=options.write)
        return
    if options.sweep:
        show("curated", sweep.table(sweep.curated()), SWEEP, write=options.write)
        show("sampled", sweep.table(sweep.sampled()), SWEEP, write=options.write)
        return
    if options.ray:
        from benchmarks import cluster  # Ray is an extra

        show("ray", table(cluster.rows(options.runs)), RAY, write=options.write)
        return
    of_core = chain(
        core.rows(options.runs), evaluation.rows(options.runs), page.rows(options.runs), files.rows()
    )
    rows = [*of_core, *(() if options.core else viewer.rows())]
    show("benchmarks", table(rows), write=options.write)
    raise SystemExit(any(row.met is False for row in rows))


def show(name: str, text: str, document: Path = DOCUMENT, *, write: bool) -> None:
    """Print a table and, on request, put it between its marks in the document."""
    print(text)
    if write:
        document.write_text(replaced(document.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def replaced(document: str, name: str, text: str) -> str:
    """The document with ``text`` between the marks ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: The document does not have these marks exactly once.
    """
    pattern = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
    document, count = pattern.subn(lambda _: text + "\n", document)
    if count != 1:
        raise ValueError(f"the document has {count} passages between the marks of {name!r}; it must have one")
    return document


if __name__ == "__main__":
    main()
