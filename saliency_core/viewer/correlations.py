"""Rank correlations of two classes' maps as the mode "classes" of the viewer shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from saliency_core.explanation import Explanation
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.class_comparison import compare_classes


class Figure(Protocol):
    """A number, or None and the reason why there is none."""

    @property
    def value(self) -> float | None:
        """The number."""

    @property
    def reason(self) -> str:
        """Why there is none."""


@dataclass(frozen=True)
class Rho:
    """A rank correlation, or None and the reason why it is undefined."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Correlations:
    """Rank correlations layer by layer, for the rows of the table; None while they are being computed.

    `before` is without a meta step, `after` after the chosen one (None without one), `sweep` has the method
    in the panels after each step of the sweep. `remark` says why methods that modify backpropagation are not
    listed, or is empty.
    """

    before: Mapping[str, Sequence[Figure] | None]
    after: Mapping[str, Sequence[Figure] | None] | None = None
    sweep: Sequence[Sequence[Figure]] = ()
    remark: str = ""


def line(first: Explanation, second: Explanation, method: str) -> tuple[Rho, ...]:
    """ρ of a method's maps for two classes at every layer, or why there is none."""
    table = compare_classes(first.only((method,)), second.only((method,)))
    entry, found = METHODS[method], []
    for layer in table.layers:
        cell = table.cells.get((method, layer))
        if cell is None:
            found.append(Rho(None, f"{entry.title} has no map at {layer}. {entry.needs}".strip()))
        else:
            found.append(Rho(cell.correlation, cell.undefined or ""))
    return tuple(found)


def written(correlations: Correlations) -> dict[str, Any]:
    """The correlations as the browser gets them."""

    def figures(found: Sequence[Figure]) -> list[dict[str, Any]]:
        return [{"value": each.value, "reason": each.reason} for each in found]

    def rows(found: Mapping[str, Sequence[Figure] | None]) -> list[dict[str, Any]]:
        return [
            {"method": method, "figures": None if known is None else figures(known)}
            for method, known in found.items()
        ]

    return {
        "before": rows(correlations.before),
        "after": None if correlations.after is None else rows(correlations.after),
        "sweep": [figures(found) for found in correlations.sweep] or None,
        "remark": correlations.remark,
    }
