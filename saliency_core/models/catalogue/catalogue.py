"""All models by name: a curated list first, then everything that torchvision and timm have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from saliency_core.models.catalogue.curated import CURATED
from saliency_core.models.catalogue.default import DEFAULT_MODEL
from saliency_core.models.catalogue.folder import folder_model
from saliency_core.models.catalogue.libraries import LIBRARIES, library_spec
from saliency_core.models.catalogue.names import ModelName, parse_name
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.registry import Registry

__all__ = ["DEFAULT_MODEL", "MODELS", "Catalogue", "ModelHit"]


_PREFIXES = re.compile(r"^(?:hf[-_]hub:)?timm/")
"""What stands before timm's names elsewhere."""

MAX_NAME = 100
MAX_COMPARED = 3000
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
        if isinstance(name, str):
            if name.startswith("folder:"):  # not kept here: its files may change
                return folder_model(parse_name(name))
            return self._entries[name] if name in self._entries else self._resolved(name)
        return super().__getitem__(name)

    def _resolve(self, text: str) -> ModelSpec:
        return replace(library_spec(parse_name(text)), name=text)

    def search(self, query: str, limit: int = 50) -> tuple[ModelHit, ...]:
        """The models in whose name or title every word of the query occurs, the best first.

        First those whose name or title is the query, with or without the weights' tag; then those that begin
        with it, then the others. Of these first the ones that have most words of the query as a part of their
        own, so that ``a1`` finds ``a1_in1k`` before ``a1h_in1k``; then in the order curated, torchvision,
        timm. Names may begin as on the Hugging Face hub, with ``timm/``. An empty query gives the
        curated models. No model is built.
        """
        words = _PREFIXES.sub("", query.lower().strip()).split()
        if not words:
            return tuple(_hit(spec) for spec in self.values())[:limit]
        whole = " ".join(words)
        ranked: list[tuple[int, int, int]] = []
        for position, found in enumerate(self._index):
            if all(map(found.has, words)):
                ranked.append((found.rank(whole), -found.parts_among(words), position))
        ranked.sort()
        return tuple(self._index[position].hit for *_, position in ranked[:limit])

    def near(self, name: str, most: int = 3) -> tuple[str, ...]:
        """Names like one that no model has, the likeliest first."""
        core = name[:MAX_NAME].lower().rpartition(":")[2]
        # Enough to compare with: what is misspelt at its very beginning has no similar names.
        hits = [hit.name for hit in self.search(core[:2], MAX_COMPARED)]
        cores = {each.rpartition(":")[2].lower(): each for each in reversed(hits)}
        return tuple(cores[found] for found in difflib.get_close_matches(core, cores, most))

    @cached_property
    def _index(self) -> tuple[_Found, ...]:
        return tuple(_Found.of(hit) for hit in self._hits())

    def _hits(self) -> Iterator[ModelHit]:
        """Every architecture, and behind it those of its published weights that are not its default."""
        for spec in self.values():
            yield _hit(spec)
        for library in LIBRARIES.values():
            for architecture, tags in library.tags().items():
                name = ModelName(library.PREFIX, architecture)
                curated = self._entries.get(name.base)
                default = next(iter(tags), None) if curated is None else curated.tag
                if not tags:
                    random = replace(name, seed=0)
                    yield ModelHit(str(random), f"{architecture}, random weights", library.LIBRARY, None)
                elif curated is None:
                    yield ModelHit(str(name), architecture, library.LIBRARY, default)
                for tag in tags:
                    if tag != default:
                        yield ModelHit(str(replace(name, tag=tag)), architecture, library.LIBRARY, tag)


@dataclass(frozen=True)
class _Found:
    """What a search compares with."""

    hit: ModelHit
    starts: tuple[str, ...]
    text: str
    squeezed: str
    parts: frozenset[str]

    @classmethod
    def of(cls, hit: ModelHit) -> _Found:
        name, tag = hit.name.lower(), (hit.tag or "").lower()
        names = (name, f"{name}.{tag}") if tag and not name.endswith(f".{tag}") else (name,)
        starts = (*names, *(each.rpartition(":")[2] for each in names), hit.title.lower())
        text = " ".join((*starts, hit.library))
        return cls(hit, starts, text, _squeezed(text), frozenset(re.split(r"[^a-z0-9]+", text)))

    def has(self, word: str) -> bool:
        squeezed = _squeezed(word)
        return word in self.text or (bool(squeezed) and squeezed in self.squeezed)

    def parts_among(self, words: list[str]) -> int:
        return sum(word in self.parts for word in words)

    def rank(self, query: str) -> int:
        if query in self.starts:
            return 0
        beginning = _squeezed(query)
        return 1 if any(_squeezed(start).startswith(beginning) for start in self.starts) else 2


def _hit(spec: ModelSpec) -> ModelHit:
    return ModelHit(spec.name, spec.title, spec.library, spec.tag)


def _squeezed(text: str) -> str:
    """Without what people leave out or write otherwise: ``"ViT-B/16"`` is ``"vitb16"``."""
    return re.sub(r"[^a-z0-9]", "", text)


MODELS = Catalogue()
for _spec in CURATED:
    MODELS.add(_spec.name, _spec)
