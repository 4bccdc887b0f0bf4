"""The parts import one way only: pages -> saliency_core, and inside the core from left to right."""

import ast
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = [
    "errors",
    "registry",
    "devices",
    "memory",
    "images",
    "preprocess",
    "functions",
    "taps",
    "layers",
    "folding",
    "classifier",
    "weights",
    "models",
    "rules",
    "terms",
    "capture",
    "framework",
    "cams",
    "convolution",
    "baselines",
    "methods",
    "meta",
    "combine",
    "explain",
    "metrics",
    "jobs",
    "engine",
    "render",
]
FOREIGN = {"streamlit", "plotly", "pages", "app", "pandas"}


def imports(file: Path) -> set[str]:
    """Every module named in an import of the file, also inside functions."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = chain.from_iterable(
        (name.name for name in node.names) for node in nodes if isinstance(node, ast.Import)
    )
    sources = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    named = {f"{node.module}.{name.name}" for node in sources for name in node.names}
    return {*plain, *named}


MODULES = sorted(path.stem for path in (ROOT / "saliency_core").glob("*.py") if path.stem != "__init__")


def test_every_module_of_the_core_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_core_imports_only_what_stands_before_it(module: str) -> None:
    before = ORDER[: ORDER.index(module)]
    for name in imports(ROOT / "saliency_core" / f"{module}.py"):
        parts = name.split(".")
        assert parts[0] not in FOREIGN, f"{module} imports {name}"
        if parts[0] == "saliency_core":
            assert parts[1] in before, f"{module} imports {name}, which stands after it"


def test_importing_the_core_loads_no_user_interface() -> None:
    code = "import sys, saliency_core; print(sorted(sys.modules.keys() & {'streamlit', 'plotly', 'pages'}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_a_page_does_not_reach_into_another_page(page: Path) -> None:
    others = {f"pages.{path.stem}" for path in (ROOT / "pages").glob("*.py") if path.stem != "__init__"}
    assert not {name for name in imports(page) if any(name.startswith(other) for other in others)}
