"""Does the maximum of each map lie on the object, and how much of its energy?"""

from pages.shared import theme, viewer_panel
from pages.shared.session import Scene, Session


def draw(current: Session, scene: Scene) -> None:
    """Draw the viewer with all maps that there are, computing those of the method shown."""
    theme.hint("Draw boxes on the photo and see which maps point at the object.")
    viewer_panel.one_method(current, scene, "point")
