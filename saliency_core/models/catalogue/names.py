"""The grammar of models' names: which library, which architecture, which weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from saliency_core.errors import ArgumentError, UnknownNameError

LIBRARIES, PREFIXES = ("", "timm"), ("timm", "folder", "own")
MAX_SEED = 999_999_999
_SEEDED = re.compile(r"(?P<base>.+)\.random(?:-(?P<seed>0|[1-9][0-9]{0,8}))?", re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TAG = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"[0-9a-f]{32}")
GRAMMAR = (
    "expected an architecture such as 'resnet50' or 'timm:vit_small_patch16_224', with '.TAG' for other "
    "weights or '.random-SEED' for random ones"
)


@dataclass(frozen=True)
class ModelName:
    """A model's name in its parts.

    ``resnet50`` and ``resnet50.IMAGENET1K_V2`` are torchvision's, ``timm:NAME`` and ``timm:NAME.TAG`` timm's;
    ``.random`` or ``.random-SEED`` behind either stands for random weights. ``folder:SUBFOLDER`` is a model
    of ``SALIENCY_MODELS``, ``own:KEY`` a checkpoint that was uploaded.

    >>> parse_name("timm:resnet18.a1_in1k.random-7")
    ModelName(prefix='timm', architecture='resnet18', tag='a1_in1k', seed=7)
    >>> str(parse_name("resnet50.random-0"))
    'resnet50.random'
    """

    prefix: str
    """``""``, ``"timm"``, ``"folder"`` or ``"own"``."""
    architecture: str
    """The library's name of the architecture; the sub-folder; the key."""
    tag: str | None = None
    """Which of the published weights; None: the default."""
    seed: int | None = None
    """The seed of random weights; None: trained ones."""

    @property
    def base(self) -> str:
        """The name of the architecture alone, with its library."""
        return f"{self.prefix}:{self.architecture}" if self.prefix else self.architecture

    @property
    def trained(self) -> str:
        """The name without random weights."""
        return self.base if self.tag is None else f"{self.base}.{self.tag}"

    def __str__(self) -> str:
        if self.seed is None:
            return self.trained
        return f"{self.trained}.random" + (f"-{self.seed}" if self.seed else "")


def parse_name(name: str) -> ModelName:
    """The parts of a name, whether or not such a model exists.

    Raises:
        UnknownNameError: not a name of this grammar.
    """
    prefix, colon, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not colon:
        prefix, rest = "", prefix
    elif prefix not in PREFIXES:
        raise UnknownNameError(f"unknown model {name!r}; {GRAMMAR}")
    if prefix == "folder" and rest:
        return ModelName(prefix, rest)
    if prefix == "own" and _KEY.fullmatch(rest):
        return ModelName(prefix, rest)
    seed = None
    if prefix in LIBRARIES:
        if seeded := _SEEDED.fullmatch(rest):
            rest, seed = seeded["base"], int(seeded["seed"] or 0)
        architecture, dot, tag = rest.partition(".")
        if _WORD.fullmatch(architecture) and (_TAG.fullmatch(tag) if dot else True):
            return ModelName(prefix, architecture, tag if dot else None, seed)
    raise UnknownNameError(f"unknown model {name!r}; {GRAMMAR}")


def seeded_name(name: str, seed: int) -> str:
    """The name of the same network with random weights.

    >>> seeded_name("timm:resnet18.a1_in1k", 7)
    'timm:resnet18.a1_in1k.random-7'

    Raises:
        UnknownNameError: not a name of this grammar.
        ArgumentError: no whole number from 0 to 999,999,999; or a network of one's own, which has the
            weights of its file.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise ArgumentError(f"random is {seed!r}; expected a seed, a whole number from 0 to {MAX_SEED:,}")
    parsed = parse_name(name)
    if parsed.prefix not in LIBRARIES:
        raise ArgumentError(f"{name!r} has the weights of its file; random ones need a network of a library")
    return str(replace(parsed, seed=seed))
