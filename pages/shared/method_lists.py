"""Groups of methods that pages treat alike."""

import saliency_core as sc
from saliency_core.viewer.methods import is_plain_cell

MANY_PASSES = frozenset(name for name, method in sc.METHODS.items() if isinstance(method.kind, sc.MultiPass))
"""Take long; not computed after a meta step."""

AT_THE_INPUT = frozenset(name for name, method in sc.METHODS.items() if method.domain is sc.Domain.INPUT)
"""Have one map, of the input, and none of layers."""

AT_CONVOLUTIONS = tuple(
    name for name, method in sc.METHODS.items() if method.domain is sc.Domain.CONVOLUTIONS
)
"""Have maps at layers that are convolutions or linear, and none at others."""

NAMED = tuple(
    name
    for name, method in sc.METHODS.items()
    if isinstance(method.kind, sc.SharedPass)
    and method.domain is sc.Domain.LAYERS
    and not is_plain_cell(method)
)
"""Come with the shared pass at every layer and have their own name."""

MODIFIED = tuple(name for name, method in sc.METHODS.items() if isinstance(method.kind, sc.ExtraBackward))
"""Take one more backward pass, with another backward rule."""

EXTRA_PASSES = tuple(
    name for name, method in sc.METHODS.items() if not isinstance(method.kind, sc.SharedPass)
)
"""Do not come with the shared pass."""

CELLS = tuple(name for name, method in sc.METHODS.items() if is_plain_cell(method))
"""The cells of the framework without their own name."""
