"""Results on disk: one Parquet file, and while a run is under way one part beside it per batch.

A part is there completely or not at all: it is written under another name and then renamed. What the parts
belong to (plan, photos, network) is written down beside them, and another run does not continue them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from saliency_core.errors import ArgumentError
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.rows import arrow, schema
from saliency_core.files import file_path

if TYPE_CHECKING:
    import pyarrow

KEY = b"normgrad_studio_evaluation"
_PART = re.compile(r"part-(\d{6,})\.parquet")


@dataclass(frozen=True)
class Identity:
    """What results belong to. Results with equal identities have equal rows."""

    plan: EvaluationPlan
    photos: str
    """The digest of the photo set."""
    network: str
    """See :func:`saliency_core.evaluation.run.network_digest`."""
    set_name: str = ""
    model_title: str = ""
    remarks: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    """Of the set: file and sentence."""
    items: int = 0
    batches: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What has to be equal."""
        return self.plan.digest, self.photos, self.network

    def as_json(self) -> str:
        """All fields and the key, see :meth:`from_json`."""
        return json.dumps(
            {
                "digest": self.plan.digest,
                "plan": json.loads(self.plan.as_json()),
                "photos": self.photos,
                "network": self.network,
                "set_name": self.set_name,
                "model_title": self.model_title,
                "remarks": self.remarks,
                "problems": self.problems,
                "items": self.items,
                "batches": self.batches,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Identity | None:
        """From what :meth:`as_json` gave; None where it is of another version, or something else."""
        try:
            given = json.loads(text)
            found = cls(
                plan=EvaluationPlan.from_json(json.dumps(given["plan"])),
                photos=str(given["photos"]),
                network=str(given["network"]),
                set_name=str(given["set_name"]),
                model_title=str(given["model_title"]),
                remarks=tuple(map(str, given["remarks"])),
                problems=tuple((str(file), str(sentence)) for file, sentence in given["problems"]),
                items=int(given["items"]),
                batches=int(given["batches"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return found if given.get("digest") == found.plan.digest else None

    def difference(self, other: Identity | None) -> str:
        """What is otherwise in other results, in words."""
        if other is None:
            return "of another version of this program"
        if found := other.plan.differences(self.plan):
            return f"of another plan: {'; '.join(found)}"
        return (
            "of other photos"
            if other.photos != self.photos
            else "of a network with other weights, labels or preprocessing"
        )


class Store:
    """The file of results, and the folder of its parts, ``FILE.parts``.

    Args:
        file: where the results are to be, ``results.parquet``.
        identity: what they belong to.

    Raises:
        ArgumentTypeError: not a path.
        ArgumentError: the path has no name of a file.
    """

    def __init__(self, file: str | os.PathLike[str], identity: Identity) -> None:
        self.file = file_path(file)
        if not self.file.name or "\0" in self.file.name:
            raise ArgumentError(f"no file can be called {os.fspath(file)!r}; choose another name")
        self.identity = identity
        self.folder = self.file.with_name(f"{self.file.name}.parts")
        self._note = self.folder / "run.json"

    @contextlib.contextmanager
    def opened(self, *, restart: bool = False) -> Iterator[None]:
        """Check that what is there may be continued; nobody else writes to it inside the ``with`` block.

        Args:
            restart: remove what is there instead.

        Raises:
            ArgumentError: the results or parts there belong to something else; the folder cannot be written
                to; or another run writes to it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.folder / "lock").acquire(timeout=0):
                try:
                    if restart:
                        self._remove()
                    self._check()
                    for path in self._parts().values():
                        if not _is_parquet(path):  # lost with the machine's power, so computed again
                            path.unlink()
                    if not self.finished and not self._note.exists():
                        _write(self._note, self.identity.as_json().encode())
                    yield
                finally:
                    self._tidy()
        except filelock.Timeout:
            raise ArgumentError(
                f"another run is writing to {self.file.name!r}; wait for it, or choose another file"
            ) from None
        except OSError as error:
            raise ArgumentError(
                f"{self.file.name!r} could not be written: {error.strerror or error}"
            ) from error

    def _check(self) -> None:
        kept: Identity | None
        if self.file.exists():
            if not _has_key(self.file):
                raise ArgumentError(
                    f"{self.file.name!r} exists and is not a file of results; choose another file"
                )
            kept = identity_of(self.file)
        elif self._note.exists():
            kept = Identity.from_json(self._note.read_bytes())
        else:
            return
        if kept is None or kept.key != self.identity.key:
            raise ArgumentError(
                f"{self.file.name!r} has results {self.identity.difference(kept)}. They are not continued "
                "with this run; choose another file, or start anew, which removes them"
            )

    def _remove(self) -> None:
        if self.file.exists() and not _has_key(self.file):
            raise ArgumentError(
                f"{self.file.name!r} exists and is not a file of results, so it is not removed; choose "
                "another file"
            )
        for path in [*self._parts().values(), self._note, self.file]:
            path.unlink(missing_ok=True)

    def _parts(self) -> dict[int, Path]:
        paths = self.folder.iterdir() if self.folder.exists() else ()
        found = {int(match.group(1)): path for path in paths if (match := _PART.fullmatch(path.name))}
        return dict(sorted(found.items()))

    @property
    def finished(self) -> bool:
        """Whether the file with all results is there."""
        return self.file.exists()

    def done(self) -> frozenset[int]:
        """The batches of which there are parts."""
        return frozenset(self._parts())

    def write(self, batch: int, rows: pyarrow.Table) -> None:
        """Keep the rows of a batch."""
        path = self.folder / f"part-{batch:06d}.parquet"
        temporary = path.with_suffix(".tmp")
        arrow().parquet.write_table(rows, temporary, compression="zstd")
        temporary.replace(path)

    def read(self, batch: int) -> pyarrow.Table:
        """The rows of a batch that is done."""
        return _read(self.folder / f"part-{batch:06d}.parquet")

    def merge(self) -> None:
        """Make the one file of all parts, in the order of the batches, and remove them.

        Part after part is read and written, so that memory does not grow with their number.
        """
        parts, pa = self._parts(), arrow()
        temporary = self.file.with_name(f"{self.file.name}.tmp")
        fields = schema().with_metadata({KEY: self.identity.as_json().encode()})
        with pa.parquet.ParquetWriter(temporary, fields, compression="zstd") as writer:
            for batch in sorted(parts):
                writer.write_table(_read(parts[batch]).replace_schema_metadata(fields.metadata))
        temporary.replace(self.file)
        for path in [*parts.values(), self._note]:
            path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove the folder if no part is in it; what is foreign in it stays."""
        if not self._parts():
            self._note.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (self.folder / "lock").unlink(missing_ok=True)
                self.folder.rmdir()


def identity_of(file: str | os.PathLike[str]) -> Identity | None:
    """What a file of results belongs to; None if it is not one.

    Raises:
        ArgumentTypeError: not a path.
        UnavailableError: pyarrow is not installed.
    """
    return Identity.from_json(_metadata(file_path(file)).get(KEY, b""))


def read_rows(file: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pyarrow.Table:
    """The rows of a file of results, or some of their columns, without reading the others."""
    return _read(file_path(file), columns)


def _is_parquet(file: Path) -> bool:
    try:
        arrow().parquet.read_metadata(file)
    except arrow().ArrowInvalid:
        return False
    return True


def _has_key(file: Path) -> bool:
    return KEY in _metadata(file)


def _metadata(file: Path) -> Mapping[bytes, bytes]:
    """What a Parquet file says of itself; nothing if it is none."""
    pa = arrow()
    try:
        return pa.parquet.read_schema(file).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return {}


def _read(path: Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """A file's rows, with the texts stored once each, as they were written."""
    fields = schema()
    found = arrow().parquet.read_table(path, columns=None if columns is None else list(columns))
    kept = [field for field in fields if field.name in found.column_names]
    return found.select([field.name for field in kept]).cast(arrow().schema(kept)).unify_dictionaries()


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
