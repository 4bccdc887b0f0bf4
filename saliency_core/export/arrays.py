"""Explanations as NPZ files: raw maps with all that is needed to show them again, without the photo.

Every entry is an array of numbers or texts under a readable key, so that NumPy alone can read the file:

>>> with np.load("maps.npz") as file:  # doctest: +SKIP
...     values = file["maps/normgrad/blocks.4"]

======================  ================================================================================
key                     array
======================  ================================================================================
``maps/METHOD/LAYER``   the raw map, float32 (height, width)
``methods``             names (M,)
``layers``              names (L,), input to output
``layer_sizes``         (L, 3): channels, height, width
``input_size``          (3,): channels, height, width
``box``                 what the network saw, (4,): left, top, right, bottom in the photo's pixels
``probabilities``       float32 (classes,); ``probabilities_after`` those after a meta step
``labels``              names of the classes (classes,)
``target``, ``label``   index and name of the class explained; a function has no index
``energy``              (L,): share of the gradient energy left after averaging, NaN for a zero gradient
``meta_step``           (2,): size, and 1 for a step that unlearns; only with a step
======================  ================================================================================

``model_name``, ``model_title``, ``default_layers``, ``presets`` (JSON), ``fit``, ``photo`` (its name),
``random_weights``, ``seconds`` and ``software`` speak for themselves. The keys of a second explanation begin
with ``other/``.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from saliency_core.backprop.meta_step import MetaStep
from saliency_core.combine import MAX_SIDE, FloatMap
from saliency_core.errors import ArgumentError, ArgumentTypeError, SaliencyError
from saliency_core.explanation import Explanation, read_only
from saliency_core.explanation.subject import Subject
from saliency_core.files import file_path, write_file
from saliency_core.inputs.images import file_name
from saliency_core.inputs.preprocess import FITS, InputRegion
from saliency_core.methods.method import Domain
from saliency_core.methods.registry import METHODS
from saliency_core.models.layers import INPUT, Layer
from saliency_core.version import SOFTWARE

MAX_BYTES = 1 << 29
"""The most that a file may hold, unpacked: a hundred times what a network of the catalogue gives."""
MAX_ENTRIES = 1 << 16
_SUFFIX = ".npz"
_FORMAT = "explanation 1"
_OTHER = "other/"

Arrays = dict[str, NDArray[Any]]


def save_maps(
    path: str | os.PathLike[str] | BinaryIO,
    explanation: Explanation,
    other: Explanation | None = None,
    *,
    photo: str = "",
) -> None:
    """Write an explanation's maps, with all that is known of them, to an NPZ file; see this module for keys.

    The photo itself is not part of the file. The same explanation gives the same bytes.

    Args:
        path: a name that ends in ``.npz``, or a binary file.
        explanation: what to write.
        other: a second one, as of another class; its keys begin with ``other/``.
        photo: the name of the photo, to be kept in the file; that of the file it was opened from if empty.

    Raises:
        ArgumentTypeError: not an explanation, a path, or the name of a photo.
        ArgumentError: a name with another ending, or a file that cannot be written.
    """
    for each in (explanation,) if other is None else (explanation, other):
        if not isinstance(each, Explanation):
            raise ArgumentTypeError(f"the maps of {each!r} were to be saved; expected an Explanation")
    if not isinstance(photo, str):
        raise ArgumentTypeError(f"photo is {photo!r}; expected the name of the photo")
    arrays = _arrays(explanation, photo)
    if other is not None:
        arrays |= {f"{_OTHER}{key}": values for key, values in _arrays(other, photo).items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    if hasattr(path, "write"):
        try:
            path.write(buffer.getvalue())
        except (OSError, TypeError, ValueError) as error:  # for reading only, for texts, or closed
            raise ArgumentError(f"{path!r} does not take the maps: {error}") from error
        return
    file = file_path(path)
    if file.suffix.lower() != _SUFFIX:
        raise ArgumentError(f"the maps were to be saved as {file.name!r}; the name must end in .npz")
    write_file(file, buffer.getvalue())


def load_maps(path: str | os.PathLike[str] | BinaryIO, *, other: bool = False) -> Explanation:
    """The explanation that :func:`save_maps` wrote, without its photo.

    Files may come from anywhere: nothing in them is executed, at most 512 MiB are unpacked, and what does
    not fit together is refused. A function of the class scores keeps its name alone.

    Args:
        path: the file's name, or a binary file that can seek.
        other: the second explanation of the file, instead of the first.

    Raises:
        ArgumentError: no such file, one that is damaged or not of this kind, or no second explanation.
    """
    named = isinstance(path, str | os.PathLike)
    name = Path(path).name if named else "the file"  # type: ignore[arg-type]
    try:
        arrays = _read(path)
        if other and not any(key.startswith(_OTHER) for key in arrays):
            raise ArgumentError("it has the maps of one explanation, and the other one was asked for")
        return _explanation(_Entries(arrays, _OTHER if other else ""))
    except FileNotFoundError as error:
        raise ArgumentError(f"there is no file {name!r}; check its name and folder") from error
    except SaliencyError as error:
        raise ArgumentError(f"{name} cannot be used: {error}") from error
    except MemoryError as error:
        raise ArgumentError(f"{name} needs more memory than there is") from error
    except Exception as error:  # whatever zipfile, zlib and NumPy run into means the same to its owner
        raise ArgumentError(
            f"{name} is damaged or not a file of maps; expected an NPZ file that save_maps wrote"
        ) from error


# -- writing -------------------------------------------------------------------------------------------------


def _photo_name(explanation: Explanation) -> str:
    image = explanation.subject.image
    return "" if image is None else file_name(image)


def _arrays(explanation: Explanation, photo: str) -> Arrays:
    """The entries of one explanation."""
    e, subject, step = explanation, explanation.subject, explanation.meta
    energies = [e.energy(layer) for layer in e.layers]
    arrays: Arrays = {
        "format": _text(_FORMAT),
        "software": _text(SOFTWARE),
        "photo": _text(photo or _photo_name(explanation)),
        "fit": _text(subject.fit),
        "model_name": _text(subject.name),
        "model_title": _text(subject.title),
        "presets": _text(json.dumps({title: dict(each) for title, each in subject.presets.items()})),
        "default_layers": _texts(subject.default_layers),
        "random_weights": np.array(e.random_weights),
        "seconds": np.array(e.seconds),
        "label": _text(e.label),
        "labels": _texts(subject.labels),
        "probabilities": e.probabilities,
        "input_size": np.array((e.channels, *e.size)),
        "layers": _texts([layer.name for layer in e.layers]),
        "layer_sizes": np.array([(layer.channels, layer.height, layer.width) for layer in e.layers]),
        "energy": np.array([math.nan if share is None else share for share in energies]),
        "methods": _texts(e.methods),
    }
    if e.target is not None:
        arrays["target"] = np.array(e.target)
    if e.box is not None:
        arrays["box"] = np.array(e.box, np.float64)
    if step is not None:
        arrays["meta_step"] = np.array((step.lr, step.ascend), np.float64)
    if e.probabilities_after is not None:
        arrays["probabilities_after"] = e.probabilities_after
    for method in e.methods:
        arrays |= {f"maps/{method}/{each.name}": e.map(method, each) for each in e.layers_of(method)}
    return arrays


def _text(text: str) -> NDArray[np.str_]:
    return np.array(text, np.str_)


def _texts(texts: tuple[str, ...] | list[str]) -> NDArray[np.str_]:
    return np.array(texts, np.str_)


# -- reading -------------------------------------------------------------------------------------------------


def _read(path: str | os.PathLike[str] | BinaryIO) -> Arrays:
    """All arrays of a file, by their keys.

    Not with ``numpy.load``, which believes what a file says of its sizes and asks for that much memory.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_BYTES:
            raise ArgumentError(f"it holds more than {MAX_BYTES >> 20} MiB, which no explanation needs")
        found = {}
        for entry in entries:
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ArgumentError("it is compressed in a way that no NPZ file is")
            with archive.open(entry) as file:
                # One byte more than the entry says that it has: the end is reached and its checksum tested.
                found[entry.filename.removesuffix(".npy")] = _array(file.read(entry.file_size + 1))
        return found


def _array(data: bytes) -> NDArray[Any]:
    """One array in NumPy's format, of numbers or texts."""
    file = io.BytesIO(data)
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read_header(file)
    if dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise ArgumentError(f"it has entries of the type {dtype}; expected numbers and texts")
    rest = data[file.tell() :]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(rest):
        raise ArgumentError("the size of an entry is not what its header says")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if by_columns else "C")


@dataclass(frozen=True)
class _Entries:
    """The arrays of one explanation; what is missing or misshapen is said with its key."""

    arrays: Mapping[str, NDArray[Any]]
    prefix: str

    def has(self, key: str) -> bool:
        return self.prefix + key in self.arrays

    def numbers(self, key: str, *shape: int | None, finite: bool = True) -> NDArray[np.float64]:
        """Numbers of this shape, None for any length."""
        found = self._of_kind(key, "biuf", shape).astype(np.float64)
        if finite and not np.isfinite(found).all():
            raise ArgumentError(f"{key!r} contains NaN or infinity")
        return found

    def whole(self, key: str, *shape: int | None, least: int = 1) -> list[Any]:
        """Whole numbers of this shape, none below `least`."""
        found = self._of_kind(key, "iu", shape)
        if found.size and (found.min() < least or found.max() >= 1 << 31):
            raise ArgumentError(f"{key!r} has a number outside its limits")
        return [found.item()] if not shape else found.tolist()

    def floats(self, key: str, *shape: int | None) -> FloatMap:
        """Float32 numbers of this shape, read-only."""
        found = self.numbers(key, *shape)
        with np.errstate(over="ignore"):
            values = found.astype(np.float32)
        if not np.isfinite(values).all():
            raise ArgumentError(f"{key!r} has numbers that are too large")
        return read_only(values)

    def text(self, key: str) -> str:
        return str(self._of_kind(key, "U", ()).item())

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._of_kind(key, "U", (None,)).tolist())

    def flag(self, key: str) -> bool:
        return bool(self._of_kind(key, "b", ()).item())

    def maps(self) -> dict[tuple[str, str], str]:
        """(method, layer) -> the key of the map."""
        start = f"{self.prefix}maps/"
        keys = [key.removeprefix(self.prefix) for key in self.arrays if key.startswith(start)]
        parts = [(key, *key.removeprefix("maps/").partition("/")) for key in keys]
        return {(method, layer): key for key, method, _, layer in parts}

    def _of_kind(self, key: str, kinds: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        if not self.has(key):
            raise ArgumentError(f"it has no {key!r}; expected an NPZ file that save_maps wrote")
        found = self.arrays[self.prefix + key]
        fits = len(found.shape) == len(shape) and all(
            wanted in (None, side) for wanted, side in zip(shape, found.shape, strict=True)
        )
        if found.dtype.kind not in kinds or not fits:
            raise ArgumentError(f"{key!r} is of the type {found.dtype} and the shape {found.shape}")
        return found


def _explanation(entries: _Entries) -> Explanation:
    """The explanation, after checking that its parts fit together."""
    if entries.text("format") != _FORMAT:
        raise ArgumentError(f"it was written by {entries.text('software')!r}, whose format is not known here")
    layers = _layers(entries)
    labels, methods = entries.texts("labels"), entries.texts("methods")
    channels, height, width = entries.whole("input_size", 3)
    if max(height, width) > MAX_SIDE:
        raise ArgumentError(f"'input_size' is {(height, width)}; at most {MAX_SIDE} pixels a side")
    probabilities = entries.floats("probabilities", len(labels))
    step = _step(entries)
    target = entries.whole("target", least=0)[0] if entries.has("target") else None
    if target is not None and target >= len(labels):
        raise ArgumentError(f"'target' is {target}, and there are {len(labels)} classes")
    for method in methods:
        METHODS[method]
    fit = entries.text("fit")
    FITS[fit]
    energy = entries.numbers("energy", len(layers), finite=False)
    if ((energy < 0) | (energy > 1 + 1e-6)).any():  # NaN: the gradient is zero
        raise ArgumentError("'energy' has shares outside 0 to 1")
    return Explanation(
        target=target,
        function=None,
        label=entries.text("label"),
        probabilities=probabilities,
        layers=layers,
        methods=methods,
        box=_box(entries),
        size=(height, width),
        channels=channels,
        seconds=entries.numbers("seconds").item(),
        meta=step,
        probabilities_after=None if step is None else entries.floats("probabilities_after", len(labels)),
        random_weights=entries.flag("random_weights"),
        subject=Subject(
            image=None,
            fit=fit,
            name=entries.text("model_name"),
            title=entries.text("model_title"),
            labels=labels,
            default_layers=entries.texts("default_layers"),
            presets=_presets(entries),
        ),
        _maps=_maps(entries, methods, layers),
        _energy={layer.name: share for layer, share in zip(layers, energy.tolist(), strict=True)},
    )


def _layers(entries: _Entries) -> tuple[Layer, ...]:
    names = entries.texts("layers")
    if len(set(names)) != len(names) or not names:
        raise ArgumentError("'layers' names no layer, or one of them twice")
    sizes = entries.whole("layer_sizes", len(names), 3)
    return tuple(Layer(name, *size) for name, size in zip(names, sizes, strict=True))


def _step(entries: _Entries) -> MetaStep | None:
    if not entries.has("meta_step"):
        return None
    size, ascend = entries.numbers("meta_step", 2).tolist()
    return MetaStep(size, ascend=bool(ascend))


def _box(entries: _Entries) -> InputRegion | None:
    if not entries.has("box"):
        return None
    left, top, right, bottom = entries.numbers("box", 4).tolist()
    if not (left < right and top < bottom):
        raise ArgumentError(f"'box' is {(left, top, right, bottom)}, which has no area")
    return left, top, right, bottom


def _presets(entries: _Entries) -> dict[str, dict[str, float]]:
    found = json.loads(entries.text("presets"))
    return {str(title): {str(name): float(each[name]) for name in each} for title, each in found.items()}


def _maps(
    entries: _Entries, methods: tuple[str, ...], layers: tuple[Layer, ...]
) -> dict[tuple[str, str], FloatMap]:
    """The maps, each of the size of its layer; methods at the input may have any."""
    sizes = {layer.name: (layer.height, layer.width) for layer in layers}
    found: dict[tuple[str, str], FloatMap] = {}
    for (method, layer), key in entries.maps().items():
        if method not in methods:
            raise ArgumentError(f"{key!r} is of a method that 'methods' does not name")
        at_the_input = METHODS[method].domain is Domain.INPUT
        if layer != INPUT if at_the_input else layer not in sizes:
            raise ArgumentError(f"{key!r} is of a layer that 'layers' does not name")
        values = entries.floats(key, *((None, None) if at_the_input else sizes[layer]))
        if not 0 < max(values.shape) <= MAX_SIDE or not values.size:
            raise ArgumentError(f"{key!r} is {values.shape[0]} × {values.shape[1]}")
        found[method, layer] = values
    without = next((name for name in methods if not any(key[0] == name for key in found)), None)
    if without is not None or not methods:
        raise ArgumentError(f"it has no map of {without!r}" if methods else "it has no maps")
    return found
