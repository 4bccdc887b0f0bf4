"""The parts import one way only: pages -> saliency_core, and inside the core from left to right."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

from tools.without_torch import ABSENT

ROOT = Path(__file__).parent.parent
# A module or package of the core imports only what stands before it.
ORDER = [
    "version",
    "deferred",
    "errors",
    "files",
    "memory",
    "texts",
    "registry",
    "progress",
    "inputs",
    "photo_sets",
    "models",
    "backprop",
    "methods",
    "combine",
    "explanation",
    "explain",
    "metrics",
    "render",
    "engine",
    "viewer",
    "figures",
    "export",
    "evaluation",
    "cli",
    "__main__",
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


CORE = ROOT / "saliency_core"
FILES = sorted(path for path in CORE.rglob("*.py") if path != CORE / "__init__.py")


def room(file: Path) -> str:
    """The part of the core that a file belongs to: its package, or its own name at the top level."""
    return file.relative_to(CORE).parts[0].removesuffix(".py")


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_part_of_the_core_has_its_position_in_the_order() -> None:
    assert sorted(ORDER) == sorted({room(file) for file in FILES})


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_a_part_of_the_core_imports_only_what_stands_before_it(file: Path) -> None:
    allowed = ORDER[: ORDER.index(room(file)) + 1]
    for name in imports(file):
        parts = name.split(".")
        assert parts[0] not in FOREIGN, f"{module_name(file)} imports {name}"
        if parts[0] == "saliency_core":
            assert parts[1] in allowed, f"{module_name(file)} imports {name}, which stands after it"


def test_no_modules_of_the_core_import_each_other_in_a_circle() -> None:
    names = {module_name(file) for file in FILES}
    graph = {
        module_name(file): {
            candidate
            for name in imports(file)
            for candidate in (name, name.rpartition(".")[0])
            if candidate in names and candidate != module_name(file)
        }
        for file in FILES
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_importing_the_core_and_listing_its_models_loads_no_user_interface_and_no_slow_library() -> None:
    """The list is shown before anything else, and the libraries take seconds."""
    slow = {"captum", "timm", "torchvision", "matplotlib", "pyarrow", "pandas", "ray"}
    absent = {"streamlit", "plotly", "pages", *slow}
    code = (
        "import sys, saliency_core as sc; sc.Engine('cpu').models(); "
        f"print(sorted(sys.modules.keys() & {absent}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PAGES = ROOT / "pages"
PAGE_FILES = sorted(path for path in PAGES.rglob("*.py") if path != PAGES / "__init__.py")


def imported_at_once(file: Path) -> set[str]:
    """Every module named in an import that runs when the file is imported."""
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(file.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes += ast.iter_child_nodes(node)
    return found


def test_the_pages_and_what_they_import_do_not_import_pytorch() -> None:
    """A web process whose networks run elsewhere has none; what computes is named with `deferred`."""
    files = {module_name(file): file for file in (*FILES, *PAGE_FILES)}
    reached = dict.fromkeys(map(module_name, PAGE_FILES), "the app")
    waiting = [*reached]
    while waiting:
        importer = waiting.pop()
        for name in imported_at_once(files[importer]):
            assert name.partition(".")[0] not in ABSENT, (
                f"{importer} imports {name}, and is itself imported by {reached[importer]}"
            )
            for part in {name, name.rpartition(".")[0]} & files.keys() - reached.keys():
                reached[part] = importer
                waiting.append(part)
    assert "saliency_core.explanation" in reached


@pytest.mark.parametrize("file", PAGE_FILES, ids=module_name)
def test_a_page_imports_only_what_is_shared_and_what_is_its_own(file: Path) -> None:
    own = file.relative_to(PAGES).parts[0].removesuffix(".py")
    for name in imports(file):
        parts = name.split(".")
        assert parts[0] not in ABSENT, f"{module_name(file)} imports {name}; it is for the engine"
        if parts[0] == "pages":
            assert parts[1] in (own, "shared"), f"{module_name(file)} imports {name}"
