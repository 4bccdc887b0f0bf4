"""Insertion and deletion: does the network need the pixels that a map marks?"""

from pages.shared import theme
from pages.shared.session import Scene, Session


def draw(current: Session, scene: Scene) -> None:
    """Draw the part of the page."""
    theme.hint("Remove the pixels that a map marks first, and see how fast the class goes.")
