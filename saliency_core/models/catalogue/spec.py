"""What is known of a network before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue.details import ModelDetails
from saliency_core.models.initialisation import skeleton
from saliency_core.models.weights.sources import Embedded, WeightSource


@dataclass(frozen=True)
class ModelSpec:
    """A network: how it is built, where its weights come from, how it wants its photos, its classes."""

    name: str
    title: str
    summary: str
    """One sentence for the list of models."""
    build: Callable[[], nn.Module]
    source: WeightSource
    labels: Callable[[], list[str]]
    preprocess: Preprocess
    reference: str
    default_layers: tuple[str, ...] | None = None
    """The stages explained by default, input to output; found in the network if None."""
    presets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Published layer weights: title -> layer -> weight."""
    by_position: bool = False
    """Whether the checkpoint has the same tensors in the same order under other names."""
    library: str = ""
    """``"torchvision"``, ``"timm"``, or empty: a model of one's own or of a folder."""
    tag: str | None = None
    """Which of the library's published weights; None where there is no choice."""
    seed: int | None = None
    """The seed of random weights, or None; with one, ``source`` is never asked."""
    load: Callable[[nn.Module, Path], None] | None = None
    """Puts the file into the network as the library does; by the tensors' names if None."""
    published: Callable[[], ModelDetails] | None = None
    """What the library says; counted in the network if None."""

    @property
    def random(self) -> bool:
        """Whether the weights are random."""
        return self.seed is not None

    @property
    def embedded(self) -> bool:
        """Whether the weights are part of the installation."""
        return isinstance(self.source, Embedded)

    @property
    def download_bytes(self) -> int | None:
        """Size of the download, None when nothing is fetched or the size is not known."""
        return None if self.random else self.source.download_bytes

    def details(self) -> ModelDetails:
        """What is published about the model. Where nothing is, the network is built once without memory."""
        return self._details

    @cached_property
    def _details(self) -> ModelDetails:
        details = self._counted() if self.published is None else self.published()
        if self.random:
            return replace(details, top1=None, licence=None, download_bytes=None)
        return details

    def _counted(self) -> ModelDetails:
        parameters = sum(parameter.numel() for parameter in skeleton(self.build).parameters())
        return ModelDetails(
            parameters=parameters,
            top1=None,
            licence=None,
            classes=len(self.labels()),
            dataset=None,
            input_size=(self.preprocess.channels, *self.preprocess.input_size),
            download_bytes=self.download_bytes,
            tags=(),
            url=None,
        )
