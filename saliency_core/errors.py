"""The errors of the package. Every one has a user-facing text: what was given, what is wrong, what to do.

A host (the app, a notebook, a command line) shows the text of a :class:`SaliencyError` as it reads and
nothing else: any other exception is a defect, to be logged.
"""

from __future__ import annotations


class SaliencyError(Exception):
    """Base of all errors whose text is user-facing."""


class ArgumentError(SaliencyError, ValueError):
    """An argument with a value that cannot be used."""


class ArgumentTypeError(SaliencyError, TypeError):
    """An argument of a type that cannot be used."""


class UnknownNameError(SaliencyError, ValueError, KeyError):
    """A name that is not in a registry."""

    __str__ = ValueError.__str__  # a KeyError would show the message's repr


class ImageError(SaliencyError, ValueError):
    """A file that is not a usable photo."""


class NetworkError(SaliencyError, ValueError):
    """A network that cannot be explained."""


class LayerError(SaliencyError, ValueError):
    """A layer that does not exist, or at which nothing can be captured."""


class TargetError(SaliencyError, ValueError):
    """A class that the network does not have."""


class UnavailableError(SaliencyError, ValueError):
    """A method that is not defined for this network or layer."""


class NonFiniteError(SaliencyError, ValueError):
    """A network whose output, gradient or map contains NaN or infinity."""


class WeightsError(SaliencyError, OSError):
    """Weights that could not be fetched, or are not what they should be."""


class BusyError(SaliencyError, RuntimeError):
    """A computation that was not accepted because too many are waiting.

    ``seconds``: about how long it takes until one is accepted again; None where that is not known.
    """

    def __init__(self, message: str, seconds: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
