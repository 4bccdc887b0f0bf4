"""The rows of an evaluation, and what is to be said of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saliency_core.errors import ArgumentError
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.rows import arrow
from saliency_core.evaluation.store import Identity, identity_of, read_rows

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """The rows of a plan over a photo set, and what is to be said of them."""

    rows: pyarrow.Table
    """See :mod:`saliency_core.evaluation.rows`."""
    identity: Identity
    """What they belong to: plan, names, remarks, and the problems of the set."""

    @property
    def plan(self) -> EvaluationPlan:
        """What was evaluated, with nothing left open."""
        return self.identity.plan

    @property
    def nbytes(self) -> int:
        """Memory held by the rows, in bytes."""
        return int(self.rows.nbytes)

    @property
    def complete(self) -> bool:
        """Whether every item has its rows, or the reason why it has none."""
        return len(self.rows["item"].unique()) == self.identity.items

    @property
    def left_out(self) -> list[tuple[str, str, str]]:
        """Photo, class and reason of every item that was left out."""
        compute = arrow().compute
        missing = self.rows.filter(compute.is_valid(self.rows["left_out"]))
        columns = (missing[name].to_pylist() for name in ("photo", "class_name", "left_out"))
        return list(zip(*columns, strict=True))

    @property
    def counts(self) -> dict[str, int]:
        """How many items there are, were ``evaluated`` and were ``left_out``; photos with a number; rows."""
        compute = arrow().compute
        valued = self.rows.filter(compute.is_null(self.rows["left_out"]))
        return {
            "items": self.identity.items,
            "evaluated": len(valued["item"].unique()),
            "left_out": len(self.rows) - len(valued),
            "photos": len(valued["photo"].unique()),
            "rows": len(valued),
        }


def open_results(file: str | os.PathLike[str]) -> EvaluationResult:
    """The results in a file that :func:`evaluate` wrote.

    Raises:
        ArgumentError: another file.
    """
    identity = identity_of(file)
    if identity is None:
        raise ArgumentError(
            f"{os.fspath(file)!r} has no results of an evaluation, or those of another version"
        )
    return EvaluationResult(read_rows(file), identity)
