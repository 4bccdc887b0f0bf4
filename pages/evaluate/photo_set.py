"""The same questions over a set of photos."""

from pages.shared import theme
from pages.shared.session import Scene, Session


def draw(current: Session, scene: Scene) -> None:
    """Draw the part of the page."""
    theme.hint("Evaluate every method at every layer over a set of photos.")
