"""Framework: the paper's extract × aggregate table as live maps, and all named methods at all layers."""

from pages.shared import page, viewer_panel
from pages.shared.session import Scene, Session


def body(current: Session, scene: Scene) -> None:
    reasons = viewer_panel.unavailable(scene)
    viewer_panel.draw(current, scene, "framework", scene.explanation, unavailable=reasons)


page.show(body)
