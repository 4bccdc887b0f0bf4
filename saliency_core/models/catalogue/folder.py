"""Models from a folder, ``SALIENCY_MODELS``: a sub-folder each, with weights, labels, a small TOML file."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from saliency_core.errors import ArgumentError, SaliencyError, UnknownNameError
from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue.checkpoint_model import architecture_spec, own_model
from saliency_core.models.catalogue.names import ModelName
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.registry import unknown

MAX_MODELS: Final = 200
MAX_FILES: Final = 100
"""Files of a sub-folder that are looked at."""
MAX_TOML_BYTES: Final = 1 << 16
DESCRIPTION: Final = "model.toml"
EXAMPLE: Final = 'a line such as architecture = "resnet50"'
WEIGHTS: Final = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
LABELS: Final = ("labels.txt", "labels.json", "config.json")

TEXTS: Final = ("architecture", "title", "summary", "licence", "reference")
FITTED: Final = ("size", "resize", "mean", "std", "interpolation", "crop_mode")


@dataclass(frozen=True)
class FolderProblem:
    """A sub-folder that gives no model, and why, in a sentence."""

    name: str
    """The name that the model would have, ``folder:SUBFOLDER``."""
    title: str
    text: str


def models_folder() -> Path | None:
    """The folder ``SALIENCY_MODELS``, None if it is not set."""
    chosen = os.environ.get("SALIENCY_MODELS", "").strip()
    return Path(chosen) if chosen else None


def folder_models(folder: Path | None = None) -> tuple[ModelSpec | FolderProblem, ...]:
    """The models of a folder, by name, ``SALIENCY_MODELS`` if None; for a sub-folder without one its problem.

    A sub-folder holds

    - the weights: one file ``.safetensors``, ``.pth``, ``.pt``, ``.bin`` or ``.ckpt``; of several,
      ``model.safetensors``;
    - ``model.toml``: ``architecture`` (a name of the catalogue) and, if wanted, ``title``, ``summary``,
      ``licence``, ``reference``, ``default_layers`` and a table ``[preprocess]`` with ``size``, ``resize``,
      ``mean``, ``std``, ``interpolation``, ``crop_mode``;
    - if wanted the labels: ``labels.txt``, ``labels.json``, or a ``config.json`` with ``id2label``.

    Weights are read when the model is loaded, the other files only when one of them has changed. Nothing
    outside the folder is read, also not through links; at most :data:`MAX_MODELS` sub-folders are.
    """
    folder = models_folder() if folder is None else folder
    if folder is None:
        return ()
    try:
        root, names = _sub_folders(folder)
    except ArgumentError as error:
        return (FolderProblem("folder:", str(folder), str(error)),)
    found = [_model(root, name) for name in names[:MAX_MODELS]]
    if len(names) > MAX_MODELS:
        text = f"The folder of models has {len(names)} sub-folders; the first {MAX_MODELS} are listed."
        found.append(FolderProblem("folder:", str(folder), text))
    return tuple(found)


def folder_model(name: ModelName) -> ModelSpec:
    """The model of a name ``folder:SUBFOLDER``.

    Raises:
        UnknownNameError: no such sub-folder, or one that gives no model, in a sentence.
    """
    folder = models_folder()
    if folder is None:
        raise UnknownNameError(f"unknown model '{name}'; SALIENCY_MODELS, the folder of models, is not set")
    try:
        root, names = _sub_folders(folder)
    except ArgumentError as error:
        raise UnknownNameError(str(error)) from error
    if name.architecture not in names:
        raise UnknownNameError(unknown("model", str(name), tuple(f"folder:{each}" for each in names)))
    found = _model(root, name.architecture)
    if isinstance(found, FolderProblem):
        raise UnknownNameError(found.text)
    return found


def _sub_folders(folder: Path) -> tuple[Path, list[str]]:
    """The folder without links, and the names of its sub-folders."""
    try:
        root = folder.resolve(strict=True)
        with os.scandir(root) as entries:
            return root, sorted(each.name for each in entries if each.is_dir() and each.name[0] != ".")
    except (OSError, RuntimeError) as error:  # links in a circle
        reason = getattr(error, "strerror", None) or "it leads nowhere"
        raise ArgumentError(
            f"The folder of models, {folder}, can't be read: {reason}. Check SALIENCY_MODELS."
        ) from error


def _model(root: Path, name: str) -> ModelSpec | FolderProblem:
    folder = root / name
    try:
        signature = tuple(
            (file.name, str(path), status.st_mtime_ns, status.st_size, status.st_ino)
            for file in sorted(_files(folder), key=lambda file: file.name)
            for path in (_inside(root, Path(file.path)),)
            for status in (_ordinary(path),)
        )
        return _read(folder, signature)
    except SaliencyError as error:
        return _problem(name, str(error))
    except OSError as error:
        return _problem(name, f"it can't be read: {error.strerror or 'unknown error'}.")


def _files(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(_inside(folder.parent, folder)) as entries:
        wanted = [file for file in entries if file.name in (DESCRIPTION, *LABELS) or _is_weights(file.name)]
    if len(wanted) > MAX_FILES:
        raise ArgumentError(f"it holds {len(wanted)} files of weights; expected one.")
    return wanted


def _is_weights(name: str) -> bool:
    return name.lower().endswith(WEIGHTS) and not name.startswith(".")


def _inside(root: Path, path: Path) -> Path:
    """The path without links. Raises ``ArgumentError`` if it leads out of the folder of models."""
    try:
        whole = path.resolve(strict=True)
    except RuntimeError as error:  # links in a circle
        raise ArgumentError(f"{path.name} is a link that leads nowhere.") from error
    if not whole.is_relative_to(root):
        raise ArgumentError(f"{path.name} is a link out of the folder of models, which is not followed.")
    return whole


def _ordinary(path: Path) -> os.stat_result:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise ArgumentError(f"{path.name} is not an ordinary file.")
    return status


@lru_cache(2 * MAX_MODELS)
def _read(folder: Path, signature: tuple[tuple[str, str, int, int, int], ...]) -> ModelSpec | FolderProblem:
    """The model of a sub-folder whose files have not changed since: ``signature`` says how they are."""
    paths = {name: Path(path) for name, path, *_ in signature}
    try:
        return _spec(folder.name, paths)
    except SaliencyError as error:
        return _problem(folder.name, str(error))


def _problem(name: str, text: str) -> FolderProblem:
    return FolderProblem(f"folder:{name}", _shown(name), f"{_shown(name)} is not a model: {text}")


def _shown(name: str) -> str:
    return re.sub(r"[^\w. -]", "_", name)


def _spec(name: str, paths: Mapping[str, Path]) -> ModelSpec:
    if DESCRIPTION not in paths:
        raise ArgumentError(f"it has no {DESCRIPTION}; it needs one with {EXAMPLE}.")
    said = _described(paths[DESCRIPTION])
    weights = [each for each in paths if _is_weights(each)]
    usual = [each for each in weights if each == "model.safetensors"] or weights
    if len(usual) != 1:
        held = f"it holds {', '.join(weights)}" if weights else "it has no weights"
        raise ArgumentError(f"{held}; expected model.safetensors, or one file {', '.join(WEIGHTS[:3])}.")
    architecture = architecture_spec(said["architecture"])
    labels = next((paths[each] for each in LABELS if each in paths and _has_labels(paths[each])), None)
    own = own_model(
        paths[usual[0]], architecture, labels, _preprocess(said, architecture), said.get("licence")
    )
    spec = own.spec(
        f"folder:{name}",
        said.get("title", name),
        said.get("summary", f"{architecture.title}, from the folder of models."),
    )
    layers = said.get("default_layers")
    return replace(
        spec,
        reference=said.get("reference", spec.reference),
        default_layers=spec.default_layers if layers is None else tuple(layers),
    )


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(MAX_TOML_BYTES + 1)
    if len(data) > MAX_TOML_BYTES:
        raise ArgumentError(f"its {DESCRIPTION} is larger than {MAX_TOML_BYTES >> 10} kB.")
    try:
        said = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"its {DESCRIPTION} is not valid TOML: {_reason(error)}.") from error
    known = (*TEXTS, "default_layers", "preprocess")
    for key in said:
        if key not in known:
            raise ArgumentError(f"its {DESCRIPTION}: {unknown('entry', key, known)}.")
    for key in TEXTS:
        if not isinstance(said.get(key, ""), str):
            raise ArgumentError(f"its {DESCRIPTION} has {key} = {said[key]!r}; expected a text in quotes.")
    if "architecture" not in said:
        raise ArgumentError(f"its {DESCRIPTION} has no architecture; expected {EXAMPLE}.")
    layers = said.get("default_layers", [])
    if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
        raise ArgumentError(f"its {DESCRIPTION} has default_layers = {layers!r}; expected a list of names.")
    return said


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split())[:200]


def _preprocess(said: Mapping[str, Any], architecture: ModelSpec) -> Preprocess:
    """The architecture's preprocessing with what the table says in its place."""
    table = said.get("preprocess", {})
    if not isinstance(table, dict):
        raise ArgumentError(f"its {DESCRIPTION} has preprocess = {table!r}; expected a table [preprocess].")
    for key in table:
        if key not in FITTED:
            raise ArgumentError(f"its {DESCRIPTION}: {unknown('entry of [preprocess]', key, FITTED)}.")
    changed: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    if "size" in changed:
        changed.setdefault("resize", None)  # that of another size would not fit
    try:
        return replace(architecture.preprocess, **changed)
    except SaliencyError as error:
        raise ArgumentError(f"the table [preprocess] of its {DESCRIPTION}: {error}.") from error


def _has_labels(path: Path) -> bool:
    """Whether the file is there for labels: a ``config.json`` may have none."""
    if path.name != "config.json":
        return True
    with path.open("rb") as file:
        data = file.read(1 << 22)
    return any(key in data for key in (b'"id2label"', b'"label2id"', b'"label_names"'))
