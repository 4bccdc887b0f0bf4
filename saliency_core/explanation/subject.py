"""What an explanation is of: the photo, and what is to be said of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from saliency_core.models.catalogue.labels import are_features

if TYPE_CHECKING:
    from saliency_core.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Subject:
    """The photo and the network that were explained, for those who show the explanation."""

    image: Image.Image | None
    """The photo; None for a prepared tensor, and in answers of an engine, which keeps no photos."""
    fit: str
    """How the photo was fitted to the input: ``"crop"``, ``"stretch"`` or ``"pad"``."""
    name: str
    """The name under which :func:`load_classifier` loads the network; empty for a module of one's own."""
    title: str
    """What to call the network."""
    labels: tuple[str, ...]
    """The names of all classes, by their index."""
    default_layers: tuple[str, ...]
    """The stages of the network, input to output."""
    presets: Mapping[str, Mapping[str, float]]
    """Published layer weights: title -> layer -> weight."""

    @property
    def features(self) -> bool:
        """Whether the network has no classes, so that its output features take their place."""
        return are_features(self.labels)

    @classmethod
    def of(cls, classifier: Classifier, image: Image.Image | None, fit: str) -> Subject:
        """A photo and this network."""
        return cls(
            image=image,
            fit=fit,
            name=classifier.name,
            title=classifier.title,
            labels=classifier.labels,
            default_layers=classifier.default_layers,
            presets=classifier.presets,
        )

    def without_image(self) -> Subject:
        """The same without the photo, for those who keep explanations but no photos."""
        return replace(self, image=None)
