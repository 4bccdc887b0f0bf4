"""Randomise the network from the top: does the map notice that the network is broken?"""

from pages.shared import theme
from pages.shared.session import Scene, Session


def draw(current: Session, scene: Scene) -> None:
    """Draw the part of the page."""
    theme.hint("Replace the weights from the top and see which maps change.")
