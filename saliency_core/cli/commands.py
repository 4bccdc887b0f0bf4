"""The commands, and what happens when one of them fails or is interrupted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from saliency_core.cli import evaluate, serve
from saliency_core.errors import SaliencyError

WRONG, INTERRUPTED = 2, 130
"""Exit codes: something given cannot be used, and Ctrl+C (128 and the number of the signal)."""


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = argparse.ArgumentParser(
        prog="python -m saliency_core",
        description="Saliency methods from the command line.",
    )
    commands = found.add_subparsers(title="commands", metavar="COMMAND", required=True)
    evaluate.add(commands)
    serve.add(commands)
    return found


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code. Errors are sentences on the standard error."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except SaliencyError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    except KeyboardInterrupt:
        sys.stderr.write(f"\nStopped. {options.after_interrupt(options)}\n")
        return INTERRUPTED
