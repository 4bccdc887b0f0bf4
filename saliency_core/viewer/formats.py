"""Numbers and names as text: the same rules as the browser's, in ``web/core/format.js``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from saliency_core.backprop.meta_step import MetaStep
from saliency_core.models.layers import Layer

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """Three significant digits, powers of ten beyond 0.001 … 9999, a true minus sign."""
    if value == 0:
        return "0"
    size, sign = abs(value), "−" if value < 0 else ""
    rounded = _rounded(size, 3)
    if 1e-3 <= size < 1e4:
        return sign + _plain(rounded)
    power = rounded.adjusted()
    return f"{sign}{_plain(rounded.scaleb(-power))} × 10{str(power).translate(_SUPERSCRIPT)}"


def percent(share: float) -> str:
    """A share or a probability: two significant digits below 10%, whole percents above.

    Tiny shares are never written as 0.
    """
    value = 100 * share
    if value == 0:
        return "0%"
    if 0 < value < 0.01:
        return "<0.01%"
    if value < 9.95:
        return f"{_plain(_rounded(value, 2))}%"
    return f"{_plain(Decimal(value).quantize(Decimal(1), ROUND_HALF_UP))}%"


def change(before: float, after: float | None) -> str:
    """A probability, or its change by a meta step: "94% → 99%"."""
    return percent(before) if after is None else f"{percent(before)} → {percent(after)}"


def class_text(label: str, before: float | None, after: float | None = None) -> str:
    """A class with its probability; the name alone where the network has no classes."""
    return label if before is None else f"{label} {change(before, after)}"


def rho(value: float) -> str:
    """A correlation with two decimals and a true minus."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def signed(value: float) -> str:
    """A change with two decimals and its sign."""
    text = rho(value)
    return text if text.startswith("−") or text == "0.00" else f"+{text}"


def epsilon(size: float) -> str:
    """The size of a meta step."""
    return f"{size:.2g}"


def after_step(step: MetaStep | None) -> str:
    """The caption's words on the meta step; empty if there is none."""
    if step is None or step.lr == 0:
        return ""
    return f"after {'unlearning' if step.ascend else 'a meta step'} (ε = {epsilon(step.lr)})"


def layer_size(size: Layer | tuple[int, int]) -> str:
    """The (height, width) of a layer: "14 × 14"."""
    height, width = (size.height, size.width) if isinstance(size, Layer) else size
    return f"{height} × {width}"


def layer_title(name: str, stages: Sequence[str]) -> str:
    """What a layer is called first: its stage, or its own name if it is none."""
    return f"Stage {stages.index(name) + 1}" if name in stages else name


def _rounded(value: float, digits: int) -> Decimal:
    """To so many significant digits, halves away from zero, as the browser rounds."""
    exact = Decimal(value)
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_HALF_UP)


def _plain(value: Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    return f"{value.normalize():f}"
