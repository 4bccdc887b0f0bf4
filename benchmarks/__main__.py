"""Run every benchmark and print the table; ``--readme`` also puts it into the README."""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import torch

from benchmarks import core, viewer
from benchmarks.measure import Row

README = Path(__file__).parent.parent / "README.md"
MARKS = ("<!-- benchmarks -->\n", "<!-- /benchmarks -->")


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
    options = parser.parse_args()
    rows = list(chain(core.rows(options.runs), () if options.core else viewer.rows()))
    text = table(rows)
    print(text)
    if options.readme:
        pattern = re.compile("(?<=" + re.escape(MARKS[0]) + ").*?(?=" + re.escape(MARKS[1]) + ")", re.DOTALL)
        README.write_text(pattern.sub(lambda _: text + "\n", README.read_text()))
    raise SystemExit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
