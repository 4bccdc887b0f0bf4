"""Run the benchmarks and print their table; ``--readme`` also puts it into the README.

``--classes`` gives the table of class sensitivity instead.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import torch

from benchmarks import classes, core, viewer
from benchmarks.measure import Row

README = Path(__file__).parent.parent / "README.md"


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
    """Measure, print, and fail if a bound is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="counted runs per figure")
    parser.add_argument("--readme", action="store_true", help="replace the table in README.md")
    parser.add_argument("--core", action="store_true", help="only what needs no browser")
    parser.add_argument("--classes", action="store_true", help="class sensitivity on the bundled photos")
    options = parser.parse_args()
    if options.classes:
        _show(classes.table(), "classes", options.readme)
        return
    rows = list(chain(core.rows(options.runs), () if options.core else viewer.rows()))
    _show(table(rows), "benchmarks", options.readme)
    raise SystemExit(any(row.met is False for row in rows))


def _show(text: str, name: str, readme: bool) -> None:
    """Print a table and, if asked, put it between its marks in the README."""
    print(text)
    if readme:
        pattern = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        README.write_text(pattern.sub(lambda _: text + "\n", README.read_text()))


if __name__ == "__main__":
    main()
