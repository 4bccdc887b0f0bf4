"""A number that may be missing, with the reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A number, or None and the reason why there is none."""

    value: float | None
    reason: str = ""
