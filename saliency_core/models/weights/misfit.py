"""The error for weights that do not fit a network."""

from __future__ import annotations

from saliency_core.errors import WeightsError


class MisfitError(WeightsError):
    """Tensors that do not fit a network.

    Attributes:
        few: whether so few fit that it must be another architecture.
        reason: what does not fit, without advice.
        fitting: names of architectures that they fit.
    """

    def __init__(
        self, text: str, *, few: bool = False, reason: str = "", fitting: tuple[str, ...] = ()
    ) -> None:
        super().__init__(text)
        self.few, self.reason, self.fitting = few, reason or text, fitting
