"""What `pip install .` installs, and what the lock files pin."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.without_torch import ABSENT

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "saliency_core"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
USER_INTERFACE = {"streamlit", "plotly", "pandas", "pyarrow", "starlette"}
LOCKS = {
    "requirements.txt": ("app",),
    "requirements-dev.txt": ("app", "dev"),
    "requirements-web.txt": ("app", "ray"),
}
WITHOUT = {"requirements-web.txt": {canonicalize_name(name) for name in ABSENT}}
"""What a lock file leaves out, though it is declared."""


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for: the core's dependencies and those of the extras."""
    texts = [*PROJECT["dependencies"]]
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    found: list[Requirement] = []
    for requirement in map(Requirement, texts):
        own = requirement.name == PROJECT["name"]  # an extra that takes up another one
        found += declared(*requirement.extras) if own else [requirement]
    return found


def names(requirements: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def source_files(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder.parent).as_posix() for path in files}


def build_wheel(source: Path) -> Path:
    """The wheel that the build backend makes, as it does for pip, which takes a second itself."""
    backend = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    code = f"import {backend['build-backend']} as backend; backend.build_wheel('.')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=source, capture_output=True)
    (wheel,) = source.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the package's wheel was unpacked, as an installation would."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(PACKAGE, source / "saliency_core", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    wheel = build_wheel(source)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_contains_every_file_of_the_package_and_no_other_package(installed: Path) -> None:
    packages = [path for path in installed.iterdir() if path.suffix != ".dist-info"]
    assert [path.name for path in packages] == ["saliency_core"]
    assert source_files(installed / "saliency_core") == source_files(PACKAGE)


def test_web_modules_and_their_styles_would_be_in_the_wheel_at_any_depth(tmp_path: Path) -> None:
    source = tmp_path / "source"
    deep = source / "saliency_core" / "viewer" / "web" / "modes" / "deep"
    deep.mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", source)
    for name in ("README.md", "LICENSE", "saliency_core/__init__.py", "saliency_core/viewer/__init__.py"):
        (source / name).touch()
    (deep / "mode.js").touch()
    (deep / "mode.css").touch()
    wheel = build_wheel(source)
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    assert {f"saliency_core/viewer/web/modes/deep/mode.{suffix}" for suffix in ("js", "css")} <= found


def test_the_installed_package_is_imported_without_a_user_interface(installed: Path) -> None:
    code = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({sorted(USER_INTERFACE)}))  # None: importing it raises ImportError
sys.path.insert(0, {str(installed)!r})
import saliency_core as sc
assert sc.__file__.startswith({str(installed)!r}), sc.__file__
for module in pkgutil.walk_packages(sc.__path__, "saliency_core."):
    if not module.name.startswith("saliency_core.engine.ray."):  # Ray Serve brings a web framework of its own
        importlib.import_module(module.name)
assert len(sc.render.COLORMAPS["magma"].table) == 256
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=installed.parent
    )
    assert done.returncode == 0, done.stderr


def test_the_metadata_asks_for_the_core_alone_outside_the_extras(installed: Path) -> None:
    (folder,) = installed.glob("*.dist-info")
    found = metadata.PathDistribution(folder)
    required = [Requirement(text) for text in found.requires or ()]
    unconditional = names(requirement for requirement in required if requirement.marker is None)
    assert unconditional == names(declared())
    assert not unconditional & USER_INTERFACE
    assert set(found.metadata.get_all("Provides-Extra")) == {"app", "dev", "evaluate", "ray"}


def test_the_core_accepts_newer_versions_of_what_it_depends_on() -> None:
    for requirement in declared():
        assert [clause.operator for clause in requirement.specifier] == [">="], str(requirement)


def third_party_imports(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    own = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in modules:
                top = module.partition(".")[0]
                if top not in sys.stdlib_module_names | own:
                    yield file, top


@pytest.mark.parametrize(
    ("extras", "files"),
    [
        (("evaluate", "ray"), sorted(PACKAGE.rglob("*.py"))),
        (("app",), [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]),
    ],
    ids=["core", "app"],
)
def test_every_package_that_is_imported_is_declared(extras: tuple[str, ...], files: list[Path]) -> None:
    owners = metadata.packages_distributions()
    allowed = names(declared(*extras))
    for file, module in third_party_imports(files):
        distributions = {canonicalize_name(owner) for owner in owners.get(module, [module])}
        assert distributions & allowed, f"{file.relative_to(ROOT)} imports {module}, which is not declared"


def pins(lock: str) -> dict[str, Requirement]:
    """Name -> its one line in a lock file."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len(names(found)) == len(found)
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def version(pin: Requirement) -> str:
    (clause,) = pin.specifier
    assert clause.operator == "==", str(pin)
    assert "*" not in clause.version, str(pin)
    return clause.version


def needed(requirements: Iterable[Requirement]) -> set[str]:
    """The requirements' names, with all that they need in turn, as the installed packages say."""
    found: set[tuple[str, str]] = set()
    queue = list(requirements)
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                texts = metadata.requires(name) or ()
            except metadata.PackageNotFoundError:
                continue  # not installed here: its line in the lock is still looked for
            further = map(Requirement, texts)
            queue += [each for each in further if not each.marker or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_all_that_is_needed_within_the_declared_ranges(lock: str) -> None:
    locked, absent = pins(lock), WITHOUT.get(lock, set())
    wanted = [each for each in declared(*LOCKS[lock]) if canonicalize_name(each.name) not in absent]
    for requirement in wanted:
        pinned = version(locked[canonicalize_name(requirement.name)])
        assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"
    assert needed(wanted) <= locked.keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_index_and_no_local_version(lock: str) -> None:
    for pin in pins(lock).values():
        assert pin.url is None
        assert "+" not in version(pin), "a local version is on no public index"
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-web.txt"])
def test_the_checks_run_with_the_versions_of_the_app(lock: str) -> None:
    app, checks = pins(lock), pins("requirements-dev.txt")
    assert {name: version(pin) for name, pin in app.items()} == {name: version(checks[name]) for name in app}


def test_a_web_process_installs_neither_pytorch_nor_what_comes_with_it() -> None:
    with_torch = pins("requirements.txt").keys() - pins("requirements-web.txt").keys()
    assert WITHOUT["requirements-web.txt"] <= with_torch
    assert not [
        name for name in pins("requirements-web.txt") if name.startswith(("nvidia", "cuda", "triton"))
    ]


def test_set_up_installs_only_when_a_lock_file_changed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    locks = [tmp_path / name for name in ("requirements.txt", "requirements-dev.txt")]
    for lock in locks:
        lock.write_text("# nothing\n")

    def set_up(lock: Path) -> str:
        command = [tmp_path / ".ci" / "setup", lock.name]
        alone = {**os.environ, "PIP_NO_INDEX": "1"}  # nothing is listed, so nothing has to be fetched
        return subprocess.run(command, check=True, capture_output=True, text=True, env=alone).stdout

    app, checks = locks
    assert "Installing requirements-dev.txt" in set_up(checks)
    assert set_up(checks) == set_up(app) == ""
    app.write_text("# something else\n")
    assert "Installing requirements.txt" in set_up(app)
    assert set_up(app) == ""
