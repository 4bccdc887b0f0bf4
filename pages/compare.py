"""Compare: two methods side by side at one depth, and the strip of all layers."""

from pages.shared import page, viewer_panel
from pages.shared.session import Scene, Session


def body(current: Session, scene: Scene) -> None:
    viewer_panel.two_methods(current, scene, "compare")


page.show(body)
