"""What an entry of the registry of methods consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real
from typing import TYPE_CHECKING

from saliency_core.deferred import deferred
from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from saliency_core.methods.cells import AGGREGATES, EXTRACTS
from saliency_core.methods.multi_pass.counts import OptionValues
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress
from saliency_core.registry import unknown

if TYPE_CHECKING:
    from torch import Tensor

    from saliency_core.backprop.attention import Attention
    from saliency_core.backprop.capture import LayerCapture
    from saliency_core.backprop.rules import BackwardRule
    from saliency_core.methods import passes
    from saliency_core.methods.passes import Passes
    from saliency_core.models import devices
    from saliency_core.models.classifier import Classifier
    from saliency_core.models.targets import Target
else:
    devices = deferred("saliency_core.models.devices")
    passes = deferred("saliency_core.methods.passes")

USUAL_SIZE = (224, 224)
"""(height, width) of an input for which a number of passes is stated."""

MapFunction = Callable[["LayerCapture"], "Tensor"]
"""A layer's x and g, (N, C, H, W) each -> maps, (N, H, W)."""


class Domain(StrEnum):
    """Where a method has maps."""

    LAYERS = "layers"
    """At every layer, the input included."""
    CONVOLUTIONS = "convolutions"
    """At layers that are convolutions, or linear at every location."""
    INPUT = "input"
    """At the network's input alone."""


@dataclass(frozen=True)
class Option:
    """A number that a many-pass method takes."""

    name: str
    title: str
    default: float
    low: float
    high: float
    summary: str
    """One sentence: what it is, with its unit, and what a larger value does."""
    integer: bool = False

    @property
    def range_text(self) -> str:
        """The values accepted, in words."""
        return f"{'a whole number' if self.integer else 'a number'} from {self.low:g} to {self.high:g}"

    def checked(self, value: object) -> float:
        """The value, if it can be used.

        Raises:
            ArgumentTypeError: not a number, or not a whole one where that is needed.
            ArgumentError: outside the limits, or not finite.
        """
        number: float
        if isinstance(value, Integral) and not isinstance(value, bool):
            number = int(value)
        elif isinstance(value, Real) and not isinstance(value, bool) and not self.integer:
            number = float(value)
        else:
            raise ArgumentTypeError(f"option {self.name!r} is {value!r}; expected {self.range_text}")
        if not self.low <= number <= self.high:  # NaN fails, too
            raise ArgumentError(f"option {self.name!r} is {value!r}; expected {self.range_text}")
        return number


@dataclass(frozen=True)
class SharedPass:
    """A function of the x and g that one forward and one backward pass give for all such methods."""

    compute: MapFunction


@dataclass(frozen=True)
class ExtraBackward:
    """A function of x and the signal of another backward rule: one more pass, for all layers."""

    compute: MapFunction
    rule: BackwardRule


@dataclass(frozen=True)
class AttentionPass:
    """A function of a transformer's attention: one more pass, which gives one map of the input."""

    compute: Callable[[Attention], Tensor]
    """The map at the patches, (h, w)."""
    gradients: bool
    """Whether it needs the gradients of a class score: a backward pass too."""


@dataclass(frozen=True)
class MultiPass:
    """A method that runs the network many times on changed copies of the image."""

    compute: Callable[[Passes, OptionValues], Tensor]
    """The map at the input, (H, W), from the passes it asks for."""
    options: tuple[Option, ...]
    passes: Callable[[OptionValues, tuple[int, int]], int]
    """How many images go through the network, from the options and the input's (height, width)."""

    def values(self, given: Mapping[str, object] | None = None) -> dict[str, float]:
        """A value for every option: the ones given, checked, and the defaults.

        Raises:
            UnknownNameError: an option that does not exist, with the choices.
            ArgumentTypeError: a value that is not a number.
            ArgumentError: a value outside the option's limits.
        """
        known = {option.name: option for option in self.options}
        for name in given or {}:
            if name not in known:
                raise UnknownNameError(unknown("option", name, tuple(known)))
        found = {name: option.default for name, option in known.items()}
        return found | {name: known[name].checked(value) for name, value in (given or {}).items()}

    def run(
        self,
        classifier: Classifier,
        x: Tensor,
        target: Target,
        options: Mapping[str, object] | None = None,
        *,
        progress: ProgressCallback = no_progress,
        lock: Lock = NO_LOCK,
    ) -> Tensor:
        """The map of one prepared image, float32 (H, W).

        The same image, class and options always give the same map. The network keeps its mode, its hooks and
        its gradients, and other threads may explain with it meanwhile.

        Args:
            x: (1, C, H, W).
            target: a class, or a function of the class scores.
            options: values for some of the options; the defaults for the others.
            progress: called with (passes done, passes in all) after every batch; may raise ``Cancelled``.
            lock: entered for every batch of passes.

        Raises:
            ArgumentError: not one prepared image, or an option as :meth:`values` says.
            TargetError: a class that the network does not have, or a function without a value or gradient.
            NonFiniteError: scores or gradients contain NaN or infinity.
        """
        values = self.values(options)
        if x.ndim != 4 or len(x) != 1:
            raise ArgumentError(f"x has shape {tuple(x.shape)}; expected one prepared image (1, C, H, W)")
        total = self.passes(values, (x.shape[2], x.shape[3]))
        return passes.counted_map(self.compute, values, classifier, x, target, total, progress, lock)


@dataclass(frozen=True)
class Method:
    """A saliency method and what a reader needs to judge it.

    Called with a :class:`LayerCapture` it gives the raw maps (N, H, W).
    """

    name: str
    title: str
    family: str
    summary: str
    """One sentence: what a bright location means."""
    formula: str
    """LaTeX, at one location ``u``."""
    reference: str
    url: str
    empty: str
    """Why a map can be constant, as a sentence."""
    kind: SharedPass | ExtraBackward | AttentionPass | MultiPass
    bright: str
    """What a bright location means, in a few words beside a colour bar; of a signed map, its positive end."""
    unit: str
    """What the values measure, as a noun. Maps of methods with the same unit can share a colour scale."""
    domain: Domain = Domain.LAYERS
    signed: bool = False
    """Whether negative values occur and mean something: evidence against the class."""
    dark: str = ""
    """What the negative end of a signed map means, in a few words; empty for other maps."""
    class_specific: bool = True
    """Whether a map depends on the class that is explained, by other ways than the network's weights."""
    cell: tuple[str, str] | None = None
    """(extract, aggregate) of a cell of the framework."""
    needs: str = ""
    """What kind of network or layer it is defined for, as a sentence; empty if for all."""
    domain_text: str = ""
    """``needs`` in a few words, for a label."""
    short_title: str = ""
    """The title for narrow columns and axes; the title itself if none is given."""

    def __post_init__(self) -> None:
        if not self.short_title:
            object.__setattr__(self, "short_title", self.title)

    @property
    def options(self) -> tuple[Option, ...]:
        """What ``explain(options={name: {option: value}})`` takes for it; none but for many-pass methods."""
        return self.kind.options if isinstance(self.kind, MultiPass) else ()

    @property
    def rule(self) -> BackwardRule | None:
        """The backward rule that replaces the gradient, if there is one."""
        return self.kind.rule if isinstance(self.kind, ExtraBackward) else None

    @property
    def passes(self) -> int:
        """Passes that a many-pass method takes with default options on an input of 224 × 224; else 0."""
        return self.kind.passes(self.kind.values(), USUAL_SIZE) if isinstance(self.kind, MultiPass) else 0

    @property
    def cost_text(self) -> str:
        """What it costs beside the shared pass, in words."""
        if isinstance(self.kind, MultiPass):
            return f"about {self.passes:,} passes"
        return "no extra cost" if isinstance(self.kind, SharedPass) else "one extra pass"

    @property
    def cell_text(self) -> str:
        """The titles of its cell's extract and aggregate; empty if it is not a cell."""
        if self.cell is None:
            return ""
        extract, aggregate = self.cell
        return f"{EXTRACTS[extract].title} × {AGGREGATES[aggregate].title}"

    def __call__(self, layer: LayerCapture) -> Tensor:
        """The raw maps at the layer's resolution: x and g, (N, C, H, W) each -> (N, H, W).

        Computed in the dtype of x and g, also inside ``torch.autocast``.

        Raises:
            ArgumentError: a method of the input alone, which needs the network itself.
        """
        with devices.without_autocast(layer.activation.device):
            return self.compute(layer)

    @property
    def compute(self) -> Callable[[LayerCapture], Tensor]:
        """The function of one layer alone, which leaves autocast to its caller.

        Raises:
            ArgumentError: a method of the input alone, which needs the network itself.
        """
        if isinstance(self.kind, AttentionPass | MultiPass):
            raise ArgumentError(
                f"{self.title} is not a function of one layer; use explain(methods=[{self.name!r}])"
            )
        return self.kind.compute
