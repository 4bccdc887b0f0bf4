"""Framework: the paper's extract × aggregate table as live maps, and all named methods at all layers."""

from pages.shared import method_lists, page, viewer_panel
from pages.shared.session import Scene, Session


def body(current: Session, scene: Scene) -> None:
    reasons = viewer_panel.unavailable(scene)
    extra = [name for name in method_lists.EXTRA_PASSES if name not in reasons]
    # Asked for with the viewer's button, for this photo and class alone; a task that is cancelled stays so.
    asked: set[str] = current.remember("missing rows", scene.explanation, set)
    explanation, pending = viewer_panel.with_methods(
        current, scene, [name for name in extra if name in asked], on_drop=asked.discard
    )
    viewer_panel.draw(
        current,
        scene,
        "framework",
        explanation,
        pending=pending,
        unavailable=reasons,
        on_compute=lambda: asked.update(extra),
    )


page.show(body)
