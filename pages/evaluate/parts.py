"""The parts of the page Evaluate, in the order of their tabs."""

from collections.abc import Callable
from dataclasses import dataclass

from pages.evaluate import insertion_deletion, photo_set, point, randomise
from pages.shared.session import Scene, Session


@dataclass(frozen=True)
class Part:
    """A part of the page: its name on the tab, and what draws it."""

    title: str
    draw: Callable[[Session, Scene], None]


PARTS = {
    "point": Part("Point", point.draw),
    "insertion-deletion": Part("Insertion and deletion", insertion_deletion.draw),
    "randomise": Part("Randomise", randomise.draw),
    "photo-set": Part("Photo set", photo_set.draw),
}
"""The values of the view's field `part`."""
