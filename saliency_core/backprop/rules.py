"""The backward rules: which functions each replaces, and whose ordinary backward pass it accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from saliency_core.deferred import deferred

if TYPE_CHECKING:
    from saliency_core.backprop import function_modes, signals
    from saliency_core.backprop.function_modes import Function, ReplacedFunctions
    from saliency_core.backprop.signals import Replacement, RuleState
else:
    function_modes = deferred("saliency_core.backprop.function_modes")
    signals = deferred("saliency_core.backprop.signals")


@dataclass(frozen=True, eq=False)
class BackwardRule:
    """A backward rule: the functions it replaces, and those whose ordinary backward pass it accepts."""

    name: str
    replaced: Callable[[], Mapping[str, Replacement]] = field(repr=False)
    """Gives the replacements."""
    accepted: Mapping[str, int] = field(repr=False)
    """Autograd node -> the largest number of its arguments that may depend on the image."""
    contrastive: bool = False
    """Whether the class is contrasted with the others at the input of the last linear layer."""
    needs_class: bool = False
    """Whether the signal starts as the probability 1 of a class, and so not from a function of the scores."""

    @property
    def replacements(self) -> Mapping[str, Replacement]:
        """By name of the function."""
        return self.replaced()

    def active(self, state: RuleState) -> ReplacedFunctions:
        """The context in which a forward pass follows the rule."""
        return function_modes.ReplacedFunctions(self.bound(state))

    def bound(self, state: RuleState) -> dict[str, Function]:
        """The replacements, for one forward pass."""
        return {name: partial(replacement, state) for name, replacement in self.replacements.items()}


ANY = 1_000_000


def _nodes(names: str, arguments: int) -> dict[str, int]:
    return {f"{name}Backward": arguments for name in names.split()}


_REPLACED = _nodes("_ReluSignal _LinearSignal _UnchangedSignal", 1)

MOVES = _nodes(
    "Alias AsStrided Cat ChannelShuffle Clone ConstantPadNd Diagonal Expand Flip Gather "
    "Im2Col Index IndexSelect Permute PixelShuffle PixelUnshuffle ReflectionPad1D ReflectionPad2D Repeat "
    "ReplicationPad1D ReplicationPad2D ReshapeAlias Roll Select Slice Split SplitWithSizes Squeeze Stack T "
    "ToCopy Transpose Unbind Unfold UnsafeSplit UnsafeView Unsqueeze View",
    ANY,
) | dict.fromkeys(("CopyBackwards", "CopySlices"), ANY)
"""Values are moved, copied or selected."""

_MAXIMA = _nodes("AdaptiveMaxPool2D AdaptiveMaxPool3D Amax Max MaxPool2DWithIndices MaxPool3DWithIndices", 1)

_LINEAR = _nodes("Add Sub Rsub Neg", ANY) | _nodes(
    "AdaptiveAvgPool2D AdaptiveAvgPool3D Addmm AvgPool2D AvgPool3D Baddbmm Bmm Convolution CudnnBatchNorm "
    "Div Mean MiopenBatchNorm Mm Mul Mv NativeBatchNorm Sum UpsampleBicubic2D UpsampleBilinear2D "
    "UpsampleNearest1D UpsampleNearest2D",
    1,
)

_RELU_RULE = _REPLACED | MOVES | _MAXIMA | _LINEAR

_EXCITATION_RULE = (
    _REPLACED
    | MOVES
    | _MAXIMA
    | _nodes("_SumSignal", 2)
    # A constant that is added or subtracted is a bias: ignored.
    | _nodes("Add Sub", 1)
)

DECONVNET = BackwardRule("deconvnet", signals.deconvnet, _RELU_RULE)

GUIDED = BackwardRule("guided", signals.guided, _RELU_RULE)

EXCITATION = BackwardRule("excitation", signals.excitation, _EXCITATION_RULE, needs_class=True)

CONTRASTIVE = BackwardRule(
    "contrastive", signals.excitation, _EXCITATION_RULE, contrastive=True, needs_class=True
)
