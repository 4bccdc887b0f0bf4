"""What a checkpoint holds, found out before a tensor is built or a name in it is looked up.

Checkpoints are untrusted. A pickle is a program: here its instructions are followed on plain data alone (the
names in it stay text, nothing is imported and nothing is called), and it is refused when it asks for anything
but tensors in plain containers, or for more numbers than the file holds. What passes is then read by
PyTorch's own restricted reader; see :mod:`saliency_core.models.weights.checkpoint`.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import struct
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

import torch

from saliency_core.errors import SaliencyError

MAX_PICKLE_BYTES: Final = 4 << 20
"""The instructions of a checkpoint, without its numbers; those of the largest networks take 1 MB."""
MAX_INSTRUCTIONS: Final = 1_000_000
"""Those of a ResNet-50 with its optimiser are 27,000; a million take about two seconds."""
MAX_HEADER_BYTES: Final = 8 << 20
MAX_ENTRIES: Final = 20_000
MAX_DIRECTORY_BYTES: Final = 4 << 20
MAX_DIMENSIONS: Final = 16
MAX_NAME: Final = 100
MAX_EXPANSION: Final = 4
"""How many times the bytes of the file its entries and tensors may take: weights hardly compress, and a few
tensors may be parts of one another."""
SLACK_BYTES: Final = 1 << 20
"""Added to that bound, for the smallest files."""

ZIP_START: Final = b"PK\x03\x04"
LEGACY_START: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The magic number with which ``torch.save`` began its files before version 1.6."""

STORAGES: Final = {
    f"{module}.{name}Storage": dtype
    for module in ("torch", "torch.cuda")
    for name, dtype in (
        ("Float", torch.float32),
        ("Double", torch.float64),
        ("Half", torch.float16),
        ("BFloat16", torch.bfloat16),
        ("Long", torch.int64),
        ("Int", torch.int32),
        ("Short", torch.int16),
        ("Char", torch.int8),
        ("Byte", torch.uint8),
        ("Bool", torch.bool),
        ("ComplexFloat", torch.complex64),
        ("ComplexDouble", torch.complex128),
    )
}
SAFETENSORS_DTYPES: Final = {
    "F32": torch.float32,
    "F64": torch.float64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}
IGNORED: Final = frozenset(
    {
        "argparse.Namespace",
        "numpy.dtype",
        "numpy.ndarray",
        *(
            f"numpy.{core}.multiarray.{name}"
            for core in ("core", "_core")
            for name in ("scalar", "_reconstruct")
        ),
        *(
            f"{module}.{name}"
            for module in ("pathlib", "pathlib._local")
            for name in ("PosixPath", "WindowsPath")
        ),
    }
)
"""Settings and scores that training scripts save beside the weights. An empty object takes their place, so
they are neither imported nor built."""
TENSORS: Final = frozenset({"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"})
PARAMETER: Final = "torch._utils._rebuild_parameter"
PLAIN: Final = frozenset(
    {"collections.Counter", "builtins.set", "torch.Size", "torch.device", "_codecs.encode"}
)
"""What is harmless with plain arguments, and holds no tensor."""
ORDERED: Final = "collections.OrderedDict"
NUMBERS: Final = frozenset(f"{dtype}" for dtype in STORAGES.values())
UNUSABLE: Final = {
    "torch._utils._rebuild_qtensor": "quantised tensors",
    "torch._utils._rebuild_sparse_tensor": "sparse tensors",
    "torch._utils._rebuild_meta_tensor_no_storage": "tensors without values (of the device 'meta')",
    "torch._utils._rebuild_tensor_v3": "numbers of a rare type (such as float8)",
}


class RefusedError(SaliencyError):
    """Why a file is not read; the text goes behind "NAME is not a checkpoint that can be read safely"."""


@dataclass(frozen=True)
class Stored:
    """A tensor of a file: its shape and the type of its numbers."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Inspection:
    """What a file holds: its containers, with a :class:`Stored` for every tensor."""

    kind: str
    """``"zip"``, ``"legacy"`` or ``"safetensors"``."""
    content: object
    ignored: frozenset[str] = frozenset()
    """The names of :data:`IGNORED` that it mentions."""


def inspect(file: IO[bytes]) -> Inspection:
    """What a checkpoint holds, told by its content whatever its name.

    Raises:
        RefusedError: a file of another kind, a damaged one, or one that asks for more than tensors.
        Exception: a parser's own error for a damaged file.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(len(LEGACY_START))
    file.seek(0)
    if not start:
        raise RefusedError("it is empty")
    if start.startswith(ZIP_START):
        return _inspect_zip(file, size)
    if start == LEGACY_START:
        return _inspect_legacy(file, size)
    if len(start) > 8 and start[8:9] == b"{":
        return Inspection("safetensors", _safetensors_header(file, size))
    raise RefusedError("expected a state dict that torch.save or safetensors wrote")


# -- zip archives ------------------------------------------------------------------------------------------


def _inspect_zip(file: IO[bytes], size: int) -> Inspection:
    if _directory_bytes(file, size) > MAX_DIRECTORY_BYTES:
        raise RefusedError("its archive lists too many files")
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        if len(entries) > MAX_ENTRIES or len(sizes) < len(entries):
            raise RefusedError(f"its archive lists {len(entries)} files, too many or some of them twice")
        if sum(sizes.values()) > MAX_EXPANSION * size + SLACK_BYTES:
            raise RefusedError(
                f"its archive of {_amount(size)} would expand to {_amount(sum(sizes.values()))}"
            )
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
            raise RefusedError("its archive is compressed in a way that torch.save does not use")
        programs = [name for name in sizes if name.endswith("/data.pkl") and name.count("/") == 1]
        if any(name.endswith("/constants.pkl") for name in sizes):
            raise RefusedError(
                "it is a TorchScript program; save the state_dict() of the module it was made from"
            )
        if len(programs) != 1:
            raise RefusedError("expected a state dict that torch.save or safetensors wrote")
        if sizes[programs[0]] > MAX_PICKLE_BYTES:
            raise RefusedError("its description of the tensors is too long")
        folder = programs[0].removesuffix("data.pkl")
        records = {
            name.removeprefix(f"{folder}data/"): size
            for name, size in sizes.items()
            if name.startswith(f"{folder}data/")
        }
        with archive.open(programs[0]) as program:
            # No more than is asked for is expanded, whatever the archive says of its size.
            reader = _Reader(io.BytesIO(program.read(MAX_PICKLE_BYTES)), records)
        content = reader.run()
    reader.check(size)
    return Inspection("zip", content, frozenset(reader.ignored))


def _directory_bytes(file: IO[bytes], size: int) -> int:
    """The length of the archive's directory, before anything is made of it."""
    start = max(0, size - (1 << 16) - 128)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise RefusedError("it is incomplete")
    length: int = struct.unpack_from("<L", tail, end + 12)[0]
    if end >= 20 and tail.startswith(b"PK\x06\x07", end - 20):
        file.seek(struct.unpack_from("<Q", tail, end - 12)[0])
        record = file.read(56)
        if not record.startswith(b"PK\x06\x06"):
            raise _DamagedError
        length = struct.unpack_from("<Q", record, 40)[0]
        file.seek(0)
    return length


# -- the files of torch.save before version 1.6 --------------------------------------------------------------


def _inspect_legacy(file: IO[bytes], size: int) -> Inspection:
    """Magic number, version, machine, content, keys of the storages: five pickles, then the numbers."""
    data = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    file.seek(0)
    for _ in range(3):
        _Reader(data, None).run()
    reader = _Reader(data, None)
    content = reader.run()
    _Reader(data, None).run()
    needed = sum(8 + storage.numel * storage.dtype.itemsize for storage in reader.storages.values())
    if data.tell() + needed > size:
        raise RefusedError("it is incomplete")
    reader.check(size)
    return Inspection("legacy", content, frozenset(reader.ignored))


# -- pickles -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Global:
    """A name that a pickle mentions."""

    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    numel: int


class _Opaque:
    """A harmless value without tensors."""


class _Ordered(dict[Any, Any]):
    """An ``OrderedDict``."""


class _DamagedError(Exception):
    """Instructions that ``torch.save`` does not write."""


@dataclass
class _Reader:
    """Follows the instructions of one pickle on plain data.

    ``records`` gives the bytes that an archive has for each storage; None where they follow the pickle.
    """

    data: IO[bytes]
    records: Mapping[str, int] | None
    storages: dict[str, _Storage] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    tensor_bytes: int = 0
    copied: int = 0
    """Elements and characters that calls have made new objects of."""
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def check(self, file_bytes: int) -> None:
        """Whether the tensors are no larger than their file: one row may be repeated without end."""
        if self.tensor_bytes > MAX_EXPANSION * file_bytes + SLACK_BYTES:
            raise RefusedError(
                f"its tensors would take {_amount(self.tensor_bytes)}, far more than the file's "
                f"{_amount(file_bytes)}"
            )

    def run(self) -> object:
        """The object that the pickle describes."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.data)):
            if count > MAX_INSTRUCTIONS:
                raise RefusedError("its description of the tensors is too long")
            if opcode.name == "STOP":
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise _DamagedError

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO":
                if argument != 2:
                    raise RefusedError(
                        f"it was saved with pickle protocol {argument}; save it without pickle_protocol"
                    )
            case "MARK":
                self.marks.append(stack)
                self.stack = []
            case "GLOBAL":
                stack.append(self._named(*argument.split(" ", 1)))
            case "NONE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(argument)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_SET":
                stack.append({"T": (), "L": [], "D": {}, "S": _Opaque()}[name[6]])
            case "TUPLE":
                items = self._items()
                self.stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "APPEND":
                item = stack.pop()
                _typed(stack[-1], list).append(item)
            case "APPENDS":
                items = self._items()
                _typed(self.stack[-1], list).extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _typed(stack[-1], dict)[_key(key)] = value
            case "SETITEMS":
                items = self._items()
                target = _typed(self.stack[-1], dict)
                target.update(zip(map(_key, items[::2]), items[1::2], strict=True))
            case "BINPERSID":
                stack.append(self._storage(_typed(stack.pop(), tuple)))
            case "REDUCE" | "NEWOBJ":
                arguments, function = _typed(stack.pop(), tuple), _typed(stack.pop(), _Global)
                if name == "NEWOBJ" and function.name not in IGNORED:
                    raise RefusedError(_foreign(function.name))
                stack.append(self._called(function.name, arguments))
            case "BUILD":
                state, built = stack.pop(), stack[-1]
                if isinstance(built, _Ordered):
                    if not set(_typed(state, dict)) <= {"_metadata"}:
                        raise _DamagedError
                else:
                    _typed(built, _Opaque)
            case _:
                raise _DamagedError

    def _items(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _named(self, module: str, name: str) -> _Global:
        # Pickles of torch.save have the names of Python 2.
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        name = f"{module}.{name}"
        if name in UNUSABLE:
            raise RefusedError(
                f"it holds {UNUSABLE[name]}; save the network's state_dict() with ordinary ones"
            )
        if name in IGNORED:
            self.ignored.add(name)
        elif name not in TENSORS | PLAIN | NUMBERS | STORAGES.keys() | {PARAMETER, ORDERED}:
            raise RefusedError(_foreign(name))
        return _Global(name)

    def _called(self, name: str, arguments: tuple[Any, ...]) -> object:
        # One long list may be the argument of any number of calls.
        self.copied += sum(len(each) for each in arguments if isinstance(each, list | tuple | dict | str))
        if self.copied > MAX_PICKLE_BYTES:
            raise RefusedError("its description of the tensors is too long")
        if name in TENSORS:
            return self._tensor(*arguments)
        if name == PARAMETER:
            return _typed(arguments[0], Stored)
        if name == ORDERED:
            pairs = (
                [] if not arguments else [_typed(tuple(pair), tuple) for pair in _typed(arguments[0], list)]
            )
            return _Ordered((_key(key), value) for key, value in pairs)
        if name in PLAIN:
            for argument in arguments:
                for each in argument if isinstance(argument, list | tuple | dict) else (argument,):
                    _key(each)
            if name == "_codecs.encode" and arguments[1:] != ("latin1",):
                raise _DamagedError
            return _Opaque()
        if name in IGNORED:
            return _Opaque()
        raise RefusedError(_foreign(name))

    def _storage(self, identity: tuple[Any, ...]) -> _Storage:
        kind, of, key, _, numel, *view = identity
        dtype = STORAGES[_typed(of, _Global).name]
        if kind != "storage" or type(numel) is not int or numel < 0 or not isinstance(key, str):
            raise _DamagedError
        storage = _Storage(dtype, numel)
        if self.records is not None and numel * dtype.itemsize > self.records[key]:
            raise RefusedError("it is incomplete")
        if self.storages.setdefault(key, storage) != storage:
            raise _DamagedError
        if view and view[0] is not None:
            _, offset, numel = view[0]
            if min(offset, numel) < 0 or offset + numel > storage.numel:
                raise _DamagedError
            return _Storage(dtype, numel)
        return storage

    def _tensor(
        self,
        storage: _Storage,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        requires_grad: object = False,
        hooks: object = None,
        metadata: object = None,
    ) -> Stored:
        _typed(storage, _Storage)
        if hooks or metadata or len(shape) > MAX_DIMENSIONS:
            raise _DamagedError
        if not all(type(each) is int and each >= 0 for each in (offset, *shape, *strides)):
            raise _DamagedError
        last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
        numel = math.prod(shape)
        if numel and last >= storage.numel:
            raise _DamagedError
        self.tensor_bytes += numel * storage.dtype.itemsize
        return Stored(tuple(shape), storage.dtype)


def _typed(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise _DamagedError
    return value


def _key(key: Any) -> Any:
    """A key of a dictionary: no tuples, whose hash can take for ever when they are nested."""
    if not isinstance(key, str | int | float | bytes | None):
        raise _DamagedError
    return key


def _foreign(name: str) -> str:
    shown = name.removeprefix("builtins.")
    if not name.isprintable() or len(name) > MAX_NAME:
        shown = "an object"
    return (
        f"it holds {shown}, which is no tensor and might run code when it is read; save the network's "
        "state_dict() alone, or as .safetensors"
    )


# -- safetensors ---------------------------------------------------------------------------------------------


def _safetensors_header(file: IO[bytes], size: int) -> dict[str, Stored]:
    length = struct.unpack("<Q", file.read(8))[0]
    if 8 + length > size:
        raise RefusedError("it is incomplete")
    if length > MAX_HEADER_BYTES:
        raise RefusedError(
            f"its header takes {_amount(length)}; at most {_amount(MAX_HEADER_BYTES)} are read"
        )
    header = json.loads(file.read(length))
    file.seek(0)
    return dict(_safetensors(header, size - 8 - length))


def _safetensors(header: dict[str, Any], size: int) -> Iterator[tuple[str, Stored]]:
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in SAFETENSORS_DTYPES:
            raise RefusedError(f"it holds numbers of the type {str(entry['dtype'])[:20]}; save them as F32")
        stored = Stored(tuple(entry["shape"]), SAFETENSORS_DTYPES[entry["dtype"]])
        begin, end = entry["data_offsets"]
        if len(stored.shape) > MAX_DIMENSIONS:
            raise _DamagedError
        if not all(type(side) is int and side >= 0 for side in (begin, *stored.shape)):
            raise _DamagedError
        if end - begin != math.prod(stored.shape) * stored.dtype.itemsize:
            raise _DamagedError
        if end > size:
            raise RefusedError("it is incomplete")
        yield name, stored


def _amount(count: int) -> str:
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count} bytes"
