"""What a session has chosen, and what replaces it once another model is loaded."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pages.shared.address import Choice
from saliency_core.engine.request import ModelInfo
from saliency_core.viewer import schema

MODEL_FIELDS: schema.View = {"layer": None, "layers": (), "weights": None}
"""The fields of the view that mean something for one model only."""


class Selection:
    """The choice that the page shows and, while another model is loading, the next one.

    `coming` has another model than `shown`. Any other change meanwhile applies to both, but each keeps
    its own layers and weights, and methods that only one of them has.
    """

    def __init__(self, shown: Choice) -> None:
        self.shown = shown
        self.coming: Choice | None = None
        self._boxes: dict[str, schema.Value] = {}

    @property
    def latest(self) -> Choice:
        """What the session will show once the model is loaded."""
        return self.coming or self.shown

    @property
    def has_drawn_boxes(self) -> bool:
        """Whether any photo has other boxes than those of its objects."""
        return any(boxes != schema.OBJECTS for boxes in (self.shown.view["boxes"], *self._boxes.values()))

    def change(self, **changes: Any) -> None:
        """Change anything but the model. Every photo has boxes of its own."""
        before, photo = self.shown.photo, changes.get("photo", self.shown.photo)
        if photo != before:
            self._boxes[before] = self.shown.view["boxes"]
            self.change_view({"boxes": self._boxes.get(photo, schema.OBJECTS)})
        self.shown = replace(self.shown, **changes)
        if self.coming is not None:
            self.coming = replace(self.coming, **changes)

    def change_view(self, changes: Mapping[str, Any]) -> None:
        """Note what the viewer shows now.

        The browser names all fields, also those that nobody has changed: these stay as they are in `coming`.
        """
        before = self.shown.view
        self.change_shown_view(changes)
        if self.coming is not None:
            common = {
                name: value
                for name, value in changes.items()
                if name not in MODEL_FIELDS and value != before.get(name)
            }
            self.coming = replace(self.coming, view={**self.coming.view, **common})

    def change_shown_view(self, changes: Mapping[str, Any]) -> None:
        """Change the view of the model on the screen alone."""
        self.shown = replace(self.shown, view={**self.shown.view, **changes})

    def choose_model(self, model: str) -> None:
        """Change to this model once it is loaded; MODEL_FIELDS are reset."""
        if model == self.shown.model:
            self.coming = None
        elif self.coming is None or model != self.coming.model:
            self.coming = replace(self.shown, model=model, view={**self.shown.view, **MODEL_FIELDS})

    def forget_model(self, model: str, instead: str) -> None:
        """This model goes: show another one in its place at once, and do not wait for it."""
        if self.coming is not None and self.coming.model == model:
            self.coming = None
        if self.shown.model == model:
            self.shown = replace(self.shown, model=instead, view={**self.shown.view, **MODEL_FIELDS})
            if self.coming is not None and self.coming.model == instead:
                self.coming = None

    def open(self, choice: Choice) -> None:
        """Show another choice, its model once that is loaded."""
        if choice.model == self.shown.model:
            self.shown, self.coming = choice, None
        else:
            view = {**choice.view, **MODEL_FIELDS}
            self.shown, self.coming = replace(choice, model=self.shown.model, view=view), choice

    def arrive(self) -> bool:
        """The next model is loaded: show it. Returns whether there was one."""
        if self.coming is None:
            return False
        self.shown, self.coming = self.coming, None
        return True

    def give_up(self) -> None:
        """The next model could not be loaded: keep the one on the screen."""
        self.coming = None

    def restrict(self, info: ModelInfo) -> tuple[str, ...]:
        """Drop classes and layers that the model on the screen does not have; returns the extra layers."""
        self.shown = self.shown.within(len(info.labels))
        given = self.shown.extra_layers
        found = info.chosen(given)
        known = tuple(name for name in found if name in given and name not in info.default_layers)
        layer = self.shown.view["layer"]
        fitting = {"layers": known, "layer": layer if layer in found else None}
        self.shown = replace(self.shown, view={**self.shown.view, **fitting})
        return tuple(name for name in given if name not in found)
