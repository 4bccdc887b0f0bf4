"""The result: every method's map at every layer for one photo, network and class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saliency_core.backprop.meta_step import MetaStep
from saliency_core.combine import FloatMap, checked_size, is_constant, normalise, resize
from saliency_core.deferred import deferred
from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from saliency_core.explanation.subject import Subject
from saliency_core.inputs.preprocess import InputRegion
from saliency_core.methods.registry import METHODS
from saliency_core.models.layers import INPUT, Layer, layer_name
from saliency_core.registry import chosen_names, unknown

if TYPE_CHECKING:
    from saliency_core.models.targets import ScoreFunction

notebook = deferred("saliency_core.viewer.notebook")
"""The viewer stands after this package and imports it, so it is not imported here."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Every method's map at every layer for one photo, network and class. Immutable, compared by identity."""

    target: int | None
    """Index of the class explained; None for a function of the class scores."""
    function: ScoreFunction | None
    """What is explained instead of a class; None for a class."""
    label: str
    """The class's label, or the function's name."""
    probabilities: NDArray[np.float32]
    """Of all classes, (classes,), before the meta step if there was one: the softmax of the class scores, or
    the sigmoid of each in multi-label networks and those with one output."""
    layers: tuple[Layer, ...]
    methods: tuple[str, ...]
    box: InputRegion | None
    """What the network saw: (left, top, right, bottom) in the photo's pixels; all of a prepared tensor.
    None where a transform of one's own does not tell: maps then belong on the network's input alone."""
    size: tuple[int, int]
    """(height, width) of the network's input."""
    channels: int
    """Channels of the network's input."""
    seconds: float
    """Time taken by all passes and maps; of a batch, its time divided by the number of images."""
    meta: MetaStep | None
    """The gradient step taken before explaining."""
    probabilities_after: NDArray[np.float32] | None
    """The same of the network after the meta step, (classes,); None without a step."""
    random_weights: bool
    """Whether the network's weights are random: to be said with every picture of these maps."""
    subject: Subject
    """The photo and what is to be said of the network, for those who show the maps."""
    _maps: Mapping[tuple[str, str], FloatMap] = field(repr=False)
    _energy: Mapping[str, float] = field(repr=False)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """As another process sent it: what comes out of a pickle could be written to."""
        self.__dict__.update(state)
        for values in (self.probabilities, self.probabilities_after, *self._maps.values()):
            if values is not None:
                read_only(values)

    def has(self, method: str, layer: str | Layer) -> bool:
        """Whether there is a map of this method at this layer."""
        return (method, layer_name(layer)) in self._maps

    def layers_of(self, method: str) -> tuple[Layer, ...]:
        """The layers at which this method has a map: all that were asked for, or the input alone.

        Raises:
            UnknownNameError: a method that is not in this explanation, with the choices.
        """
        self._check_method(method)
        found = tuple(layer for layer in self.layers if (method, layer.name) in self._maps)
        return found or (Layer(INPUT, self.channels, *self.size),)

    def map(self, method: str, layer: str | Layer | None = None) -> FloatMap:
        """The raw map, float32 (height, width) of the layer, read-only.

        The maps of methods at the input have the input's size, those of attention one value per patch.

        Args:
            method: one of ``methods``.
            layer: one of ``layers``, or its name; not needed where the method has a single map, as at the
                input.

        Raises:
            UnknownNameError: no map of this name, with the choices.
            ArgumentError: no layer for a method with maps at several.
        """
        if layer is None:
            found = self.layers_of(method)
            if len(found) > 1:
                choices = ", ".join(each.name for each in found)
                raise ArgumentError(f"{method!r} has a map at every layer; pass one of them: {choices}")
            layer = found[0]
        name = layer_name(layer)
        try:
            return self._maps[method, name]
        except (KeyError, TypeError):
            names = tuple(each.name for each in self.layers_of(method))
            raise UnknownNameError(unknown("layer", name, names)) from None

    @property
    def probability(self) -> float | None:
        """Of the class explained, before the meta step if there was one; None for a function."""
        return None if self.target is None else float(self.probabilities[self.target])

    @property
    def probability_after(self) -> float | None:
        """The same after the meta step; None without a step, and for a function."""
        if self.target is None or self.probabilities_after is None:
            return None
        return float(self.probabilities_after[self.target])

    def resized(
        self, method: str, layer: str | Layer | None = None, size: tuple[int, int] | None = None
    ) -> FloatMap:
        """The map resized to (height, width), bilinear, then min-max normalised to [0, 1].

        Args:
            method, layer: as for :meth:`map`.
            size: that of the network's input if None.

        Raises:
            UnknownNameError: no map of this name, with the choices.
            ArgumentError, ArgumentTypeError: not a size.
        """
        values, size = self.map(method, layer), checked_size(self.size if size is None else size)
        return np.zeros(size, np.float32) if is_constant(values) else normalise(resize(values, size))

    def constant(self, method: str, layer: str | Layer | None = None) -> bool:
        """Whether the map has the same value at every location, so that there is nothing to see."""
        return is_constant(self.map(method, layer))

    def _check_method(self, method: str) -> None:
        if method in METHODS and method not in self.methods:
            raise UnknownNameError(
                f"{method!r} was not computed; name it when you explain: methods=[..., {method!r}]"
            )
        if method not in self.methods:
            raise UnknownNameError(unknown("method", method, self.methods))

    def energy(self, layer: str | Layer) -> float | None:
        """Share of the gradient energy left after averaging over all locations; None for a zero gradient.

        See :func:`saliency_core.methods.gradient.surviving_energy`.
        """
        name, names = layer_name(layer), tuple(each.name for each in self.layers)
        if name not in names:
            raise UnknownNameError(unknown("layer", name, names))
        share = self._energy[name]
        return None if math.isnan(share) else min(share, 1.0)

    def joined(self, other: Explanation) -> Explanation:
        """This explanation with the methods of another one of the same photo, class and layers too.

        Raises:
            ArgumentTypeError: not an explanation.
            ArgumentError: the two explain something else.
        """
        if not isinstance(other, Explanation):
            raise ArgumentTypeError(
                f"an explanation was to be joined with {other!r}; expected an Explanation"
            )
        same_photo = self.probabilities.shape == other.probabilities.shape and np.allclose(
            self.probabilities, other.probabilities, atol=1e-4
        )
        mine, others = (
            (each.target, each.function, each.layers, each.box, each.size, each.meta)
            for each in (self, other)
        )
        if not same_photo or mine != others:
            raise ArgumentError(
                "these explanations are of different photos, classes, layers or meta steps and cannot be "
                "joined; explain both with the same arguments"
            )
        return replace(
            self,
            methods=tuple(dict.fromkeys((*self.methods, *other.methods))),
            _maps={**self._maps, **other._maps},
        )

    def only(self, methods: str | Iterable[str]) -> Explanation:
        """This explanation with some of its methods, whose maps alone it holds.

        Raises:
            UnknownNameError: a method that is not in this explanation, with the choices.
            ArgumentError: no method.
        """
        names = chosen_names(methods, "method")
        for name in names:
            if name not in self.methods:
                raise UnknownNameError(unknown("method", name, self.methods))
        # Copies: a view would keep the memory of all the other maps.
        kept = {key: read_only(values.copy()) for key, values in self._maps.items() if key[0] in names}
        return replace(self, methods=names, _maps=kept)

    def without_image(self) -> Explanation:
        """This explanation without its photo, for those who keep explanations but no photos."""
        return replace(self, subject=self.subject.without_image())

    def __repr__(self) -> str:
        network = f"{self.subject.title} with random weights" if self.random_weights else self.subject.title
        step = "" if self.meta is None else f", {self.meta}"
        return (
            f"Explanation({self.label!r} by {network}: {len(self.methods)} methods at {len(self.layers)} "
            f"layers{step})"
        )

    def _repr_html_(self) -> str | None:
        """The viewer, for notebooks; None where there is no photo to draw it on."""
        found: str | None = notebook.explanation_html(self)
        return found

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, without that of the photo."""
        after = 0 if self.probabilities_after is None else self.probabilities_after.nbytes
        return self.probabilities.nbytes + after + sum(values.nbytes for values in self._maps.values())


def read_only(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array itself, from now on read-only."""
    values.flags.writeable = False
    return values
