"""Mix layers: one weight per layer, and two mixed maps that follow."""

from pages.shared import page, viewer_panel
from pages.shared.session import Scene, Session


def body(current: Session, scene: Scene) -> None:
    viewer_panel.two_methods(current, scene, "mix")


page.show(body)
