"""From a name in its parts to the entry of a library's model."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from saliency_core.errors import UnknownNameError
from saliency_core.models.catalogue import timm_models, torchvision_models
from saliency_core.models.catalogue.curated import CURATED
from saliency_core.models.catalogue.names import ModelName
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.registry import unknown


class Library(Protocol):
    """What a module offers that describes a library's models."""

    LIBRARY: str
    PREFIX: str

    def tags(self) -> Mapping[str, tuple[str, ...]]:
        """Architecture -> the tags of its published weights, the default one first."""

    def model_spec(self, architecture: str, tag: str | None) -> ModelSpec:
        """The entry of an architecture and its weights; the default ones if None."""


LIBRARIES: Mapping[str, Library] = {"": torchvision_models, "timm": timm_models}
"""By the prefix of a name."""
_CURATED = {spec.name: spec for spec in CURATED}


def library_spec(name: ModelName) -> ModelSpec:
    """The entry of any model of a library, or of the curated list.

    Raises:
        UnknownNameError: no such architecture or weights, with near matches; or an architecture without
            published weights where random ones are not meant.
    """
    spec = architecture_spec(name)
    if name.seed is None:
        if name.base not in _CURATED and spec.tag is None:
            raise UnknownNameError(
                f"{spec.library} has no published weights for {name.architecture}; choose "
                f"'{name.base}.random' for random ones"
            )
        return spec
    return replace(
        spec,
        title=f"{spec.title}, random weights",
        summary=f"The network before any training, with weights drawn from the seed {name.seed}.",
        seed=name.seed,
        presets={},
    )


def architecture_spec(name: ModelName) -> ModelSpec:
    """The entry of an architecture, also where it has no published weights; the seed does not matter.

    Raises:
        UnknownNameError: no such architecture or weights, with near matches.
    """
    curated = _CURATED.get(name.base)
    if curated is not None and name.tag in (None, curated.tag):
        return curated
    library = LIBRARIES.get(name.prefix)
    if library is None:
        raise UnknownNameError(f"unknown model {str(name)!r}; it is not part of this catalogue")
    tags = library.tags().get(name.architecture)
    if tags is None:
        raise UnknownNameError(_unknown(name))
    if name.tag is not None and name.tag not in tags:
        raise UnknownNameError(unknown("model", name.trained, tuple(f"{name.base}.{tag}" for tag in tags)))
    spec = library.model_spec(name.architecture, name.tag)
    if curated is None:
        return spec
    return replace(
        spec,
        title=f"{curated.title} ({name.tag})",
        reference=curated.reference,
        default_layers=curated.default_layers,
    )


def _unknown(name: ModelName) -> str:
    """The sentence for an architecture that no library has, with the nearest names of all."""
    bases = [
        str(ModelName(library.PREFIX, architecture))
        for library in LIBRARIES.values()
        for architecture in library.tags()
    ]
    bases = [*(base for base in _CURATED if base not in bases), *bases]
    same = [base for base in bases if base.rpartition(":")[2] == name.architecture]
    near = same or difflib.get_close_matches(name.base, bases, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"unknown model {str(name)!r}; {hint}search the catalogue for a part of the name"
