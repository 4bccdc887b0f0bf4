"""All models by name: a curated list first, then everything that torchvision and timm have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from saliency_core.errors import UnknownNameError
from saliency_core.models.catalogue import timm_models, torchvision_models
from saliency_core.models.catalogue.curated import CURATED, DEFAULT_MODEL
from saliency_core.models.catalogue.folder import folder_model
from saliency_core.models.catalogue.names import ModelName, parse_name
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.registry import Registry

__all__ = ["DEFAULT_MODEL", "MODELS", "Catalogue", "ModelHit"]

LIBRARIES: Mapping[str, Callable[[ModelName], ModelSpec]] = {
    "": torchvision_models.model_spec,
    "timm": timm_models.model_spec,
}
"""Prefix of a name -> what makes its entry, or raises ``UnknownNameError``."""
RESOLVED = 512
"""Entries that are kept for names outside the curated list."""


@dataclass(frozen=True)
class ModelHit:
    """A model that a search found."""

    name: str
    title: str
    library: str
    tag: str | None
    """Which weights the name stands for; None where there is no choice."""


class Catalogue(Registry[ModelSpec]):
    """The models by name.

    It iterates over the curated entries; looking up takes any name of :class:`ModelName` but those of
    uploaded checkpoints, and raises ``UnknownNameError`` with near matches for others.

    >>> MODELS["resnet50.IMAGENET1K_V2"].title
    'ResNet-50 (IMAGENET1K_V2)'
    >>> MODELS["resnet18.random-3"].title
    'ResNet-18, random weights'
    """

    def __init__(self) -> None:
        super().__init__("model")
        self._resolved = lru_cache(RESOLVED)(self._resolve)

    def __getitem__(self, name: str) -> ModelSpec:
        if isinstance(name, str) and name in self._entries:
            return self._entries[name]
        if not isinstance(name, str):
            return super().__getitem__(name)
        if name.startswith("folder:"):  # not kept here: its files may change
            return folder_model(parse_name(name))
        return self._resolved(name)

    def _resolve(self, text: str) -> ModelSpec:
        name = parse_name(text)
        if name.prefix not in LIBRARIES:
            raise UnknownNameError(f"unknown model {text!r}; it is not part of this catalogue")
        entry = self._entries.get(name.base)
        if entry is None:
            spec = LIBRARIES[name.prefix](name)
        elif name.tag is None:
            spec = entry
        else:
            spec = replace(
                LIBRARIES[name.prefix](name),
                title=f"{entry.title} ({name.tag})",
                reference=entry.reference,
                default_layers=entry.default_layers,
            )
        if name.seed is not None:
            spec = replace(
                spec,
                title=f"{spec.title}, random weights",
                summary=f"The same network before any training, seed {name.seed}.",
                seed=name.seed,
                presets={},
            )
        return replace(spec, name=text)

    def search(self, query: str, limit: int = 50) -> tuple[ModelHit, ...]:
        """The models in whose name or title every word of the query occurs, the best first.

        First those whose name or title is the query, then those that begin with it, then the others, each in
        the order curated, torchvision, timm. An empty query gives the curated models. No model is built.
        """
        words = query.lower().split()
        if not words:
            return tuple(_hit(spec) for spec in self.values())[:limit]
        whole = " ".join(words)
        ranked: list[tuple[int, int]] = []
        for position, found in enumerate(self._index):
            if all(word in found.text or _squeezed(word) in found.squeezed for word in words):
                ranked.append((found.rank(whole), position))
        ranked.sort()
        return tuple(self._index[position].hit for _, position in ranked[:limit])

    @cached_property
    def _index(self) -> tuple[_Found, ...]:
        return tuple(_Found.of(hit) for hit in self._hits())

    def _hits(self) -> Iterator[ModelHit]:
        for spec in self.values():
            yield _hit(spec)
        for library, pairs, default, prefix in (
            ("torchvision", torchvision_models.pairs(), torchvision_models.default_tag, ""),
            ("timm", timm_models.pairs(), timm_models.default_tag, "timm"),
        ):
            for architecture, tag in pairs:
                name = ModelName(prefix, architecture)
                entry = self._entries.get(name.base)
                chosen = default(architecture)
                if entry is not None:
                    published = entry.published and entry.name
                    chosen = published or chosen
                if tag is None:
                    yield ModelHit(
                        str(replace(name, seed=0)), f"{architecture}, random weights", library, None
                    )
                elif tag != chosen:
                    yield ModelHit(str(replace(name, tag=tag)), architecture, library, tag)
                elif entry is None:
                    yield ModelHit(str(name), architecture, library, tag)


@dataclass(frozen=True)
class _Found:
    """What a search compares with."""

    hit: ModelHit
    starts: tuple[str, ...]
    text: str
    squeezed: str

    @classmethod
    def of(cls, hit: ModelHit) -> _Found:
        starts = (hit.name.lower(), hit.name.lower().rpartition(":")[2], hit.title.lower())
        text = " ".join((*starts, hit.library, (hit.tag or "").lower()))
        return cls(hit, starts, text, _squeezed(text))

    def rank(self, query: str) -> int:
        if query in self.starts:
            return 0
        return 1 if any(start.startswith(query) for start in self.starts) else 2


def _hit(spec: ModelSpec) -> ModelHit:
    return ModelHit(spec.name, spec.title, spec.library, None)


def _squeezed(text: str) -> str:
    """Without what people leave out or write otherwise: ``"ViT-B/16"`` is ``"vitb16"``."""
    return re.sub(r"[^a-z0-9]", "", text)


MODELS = Catalogue()
for _spec in CURATED:
    MODELS.add(_spec.name, _spec)
