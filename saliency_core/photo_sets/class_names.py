"""Which classes of a network the classes of a data set are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

from saliency_core.errors import ArgumentError
from saliency_core.registry import name_tuple

TABLE: Final = Path(__file__).with_name("class_names.toml")
IMAGENET: Final = Path(__file__).with_name("imagenet_classes.txt")
"""For every class of ImageNet-1k its number in WordNet and its words there, as timm lists them."""
IMAGENET_CLASSES: Final = 1000
Entry = TypeVar("Entry")
_ENTRY: Final = re.compile(r"(\d+) (.+)")


@dataclass(frozen=True)
class TableEntry:
    """A class of Pascal VOC or COCO among those of ImageNet-1k."""

    indices: tuple[int, ...]
    """None if ImageNet has no such class."""
    labels: Mapping[int, str]
    """Those of the indices that the table writes out, as torchvision names them."""
    why: str


@dataclass(frozen=True)
class ClassMatch:
    """The classes of a data set among those of a network."""

    indices: Mapping[str, tuple[int, ...]]
    """Class of the data set -> indices of the network's classes, at least one."""
    reasons: Mapping[str, str]
    """Class of the data set -> how it was matched, in words."""
    unmatched: Mapping[str, str]
    """Class of the data set that the network does not have -> why, in a sentence."""

    def target(self, class_name: str, probabilities: Sequence[float]) -> int:
        """The index to explain on a photo for a class of the data set: of several the most probable there.

        Args:
            class_name: one of `indices`.
            probabilities: of all the network's classes on the photo; its scores serve as well.

        Raises:
            ArgumentError: a class that was not matched.

        >>> ClassMatch({"cat": (1, 2)}, {}, {}).target("cat", [0.7, 0.1, 0.2])
        2
        """
        if class_name not in self.indices:
            reason = self.unmatched.get(class_name, f"{class_name!r} is no class of the data set.")
            raise ArgumentError(f"no class of the network is explained for {class_name!r}: {reason}")
        return max(self.indices[class_name], key=lambda index: float(probabilities[index]))


def match_classes(class_names: Iterable[str], labels: Sequence[str]) -> ClassMatch:
    """Find the classes of a data set among a network's labels.

    A class is matched by the first of these that finds something; several indices are kept, because several
    labels may be one class of the data set:

    1. the table of this package, for a network with ImageNet's 1,000 classes, if at least half of the classes
       are Pascal VOC's or COCO's (their kite is a toy, ImageNet's a bird);
    2. labels of the same name: capitals, spaces, dashes and underscores do not count, nor does a plural;
       of a label such as "tabby, tabby cat" every part is a name;
    3. for ImageNet's 1,000 classes, WordNet's synonyms, or its number such as n02123045;
    4. the table, if it was not asked before.

    Args:
        class_names: of the data set.
        labels: of the network, one per class.

    >>> found = match_classes(["Tabby_Cats", "unicorn"], ["tench", "tabby, tabby cat"])
    >>> found.indices, found.unmatched
    ({'Tabby_Cats': (1,)}, {'unicorn': 'No label of the network is called unicorn.'})
    """
    asked = name_tuple(class_names, "class")
    imagenet = _is_imagenet(tuple(labels))
    table = imagenet_table() if imagenet else {}
    table_first = 2 * sum(_named(name, table) is not None for name in asked) >= len(asked)
    own = _by_name(enumerate(label.split(",") for label in labels))
    synonyms = _synonyms() if imagenet else {}
    indices: dict[str, tuple[int, ...]] = {}
    reasons: dict[str, str] = {}
    unmatched: dict[str, str] = {}
    for name in asked:
        entry = _named(name, table)
        same, synonym = _named(name, own), _named(name, synonyms)
        found: tuple[int, ...] = ()
        reason = f"No label of the network is called {name}."
        if entry is not None and (table_first or not (same or synonym)):
            found, reason = entry.indices, entry.why
        elif same is not None:
            found, reason = same, "the label has the same name"
        elif synonym is not None:
            found, reason = synonym, "a synonym of the label in WordNet"
        if found:
            indices[name], reasons[name] = found, reason
        else:
            unmatched[name] = reason if reason.endswith(".") else f"{reason}."
    return ClassMatch(indices, reasons, unmatched)


@lru_cache(1)
def imagenet_table() -> Mapping[str, TableEntry]:
    """The table ``class_names.toml``: a class of Pascal VOC or COCO, in plain letters -> its entry."""
    found: dict[str, TableEntry] = {}
    for each in tomllib.loads(TABLE.read_text(encoding="utf-8"))["class"]:
        indices: list[int] = []
        labels: dict[int, str] = {}
        for text in each["labels"]:
            ends = [_ENTRY.fullmatch(end) for end in text.split(" - ")]
            numbers = [int(end[1]) for end in ends if end]
            labels |= {int(end[1]): end[2] for end in ends if end}
            indices += range(numbers[0], numbers[-1] + 1)
        entry = TableEntry(tuple(indices), labels, each["why"])
        found |= {_plain(name): entry for name in each["names"]}
    return found


def _plain(name: str) -> str:
    """A name in small letters and digits alone."""
    return "".join(filter(str.isalnum, name.casefold()))


def _forms(name: str) -> tuple[str, ...]:
    """A name in plain letters, and what it may be the plural of, or the singular.

    >>> _forms("Tabbies"), _forms("Bus")
    (('tabbies', 'tabby', 'tabbie', 'tabbi', 'tabbiess'), ('bus', 'buss'))
    """
    plain = _plain(name)
    singular = [f"{plain[:-3]}y"] if plain.endswith("ies") else []
    singular += [plain[:-1]] if plain.endswith("s") else []
    singular += [plain[:-2]] if plain.endswith("es") else []
    return (plain, *(form for form in singular if len(form) >= 3), f"{plain}s")


def _by_name(names: Iterable[tuple[int, Iterable[str]]]) -> dict[str, tuple[int, ...]]:
    """Plain name -> the indices that have it."""
    found: dict[str, tuple[int, ...]] = {}
    for index, each in names:
        for plain in {_plain(name) for name in each} - {""}:
            found[plain] = (*found.get(plain, ()), index)
    return found


def _named(name: str, known: Mapping[str, Entry]) -> Entry | None:
    """What is known under a name or another form of it."""
    return next((known[form] for form in _forms(name) if form in known), None)


@lru_cache(1)
def _words() -> tuple[tuple[str, ...], ...]:
    """For every class of ImageNet-1k its number in WordNet and its words."""
    rows = (line.split(" ", 1) for line in IMAGENET.read_text(encoding="utf-8").splitlines())
    return tuple((number, *words.split(",")) for number, words in rows)


@lru_cache(1)
def _synonyms() -> dict[str, tuple[int, ...]]:
    return _by_name(enumerate(_words()))


@lru_cache(16)
def _is_imagenet(labels: tuple[str, ...]) -> bool:
    """Whether labels are those of ImageNet-1k, in its order: nine of ten have a word in common with it."""
    if len(labels) != IMAGENET_CLASSES:
        return False
    shared = sum(
        bool({_plain(word) for word in label.split(",")} & {_plain(word) for word in words})
        for label, words in zip(labels, _words(), strict=True)
    )
    return shared >= 0.9 * IMAGENET_CLASSES
