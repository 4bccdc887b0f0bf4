"""Does the maximum of each map lie on the object, and how much of its energy?"""

from pages.shared import theme, viewer_panel
from pages.shared.session import Scene, Session


def draw(current: Session, scene: Scene) -> None:
    """Draw the part of the page."""
    theme.hint("Draw boxes on the photo and see which maps point at the object.")
    viewer_panel.two_methods(current, scene, "compare")
