"""The errors of the package: each message says what was given, what was expected and the choices."""

from __future__ import annotations


class UnknownNameError(ValueError, KeyError):
    """A name that is not in a registry."""

    __str__ = ValueError.__str__  # a KeyError would show the message's repr


class LayerError(ValueError):
    """A layer that does not exist, or at which nothing can be captured."""


class TargetError(ValueError):
    """A class that the network does not have."""


class UnavailableError(ValueError):
    """A method that is not defined for this network or layer."""


class NonFiniteError(ValueError):
    """A network whose output, gradient or map contains NaN or infinity."""


class WeightsError(OSError):
    """Weights that could not be fetched, or are not what they should be."""
