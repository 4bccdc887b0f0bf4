"""One ordered registry type for models, methods, presets and colour maps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError

Entry = TypeVar("Entry")

FEW = 2000
"""Up to here all choices are compared letter by letter; of 20,000 labels that takes a second."""


class Registry(Mapping[str, Entry], Generic[Entry]):
    """An ordered mapping from a name to its entry; an entry is added once and never replaced.

    >>> colours = Registry("colour")
    >>> colours.add("red", 0xFF0000)
    16711680
    >>> colours
    <Registry: red>
    >>> colours["rad"]
    Traceback (most recent call last):
    ...
    saliency_core.errors.UnknownNameError: unknown colour 'rad'; did you mean 'red'? choices: red
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> Entry:
        """Add one entry and return it; raises ``ArgumentError`` when the name is taken."""
        if name in self._entries:
            raise ArgumentError(f"{self.kind} {name!r} is registered already; choose another name")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise UnknownNameError(unknown(self.kind, name, tuple(self._entries))) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {_shown(tuple(self._entries))}>"


def listed(given: object, what: str, of: str) -> tuple[Any, ...]:
    """The elements of a collection that a user gave.

    Raises:
        ArgumentTypeError: it has none, such as a number; ``of`` says what was expected.
    """
    try:
        return tuple(given)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentTypeError(f"{what} is {given!r}; expected {of}") from None


def name_tuple(given: object, kind: str) -> tuple[str, ...]:
    """Names that a user gave, without repetitions; a single one may stand for itself.

    Raises:
        ArgumentTypeError: not names.
    """
    names = (given,) if isinstance(given, str) else listed(given, f"{kind}s", f"names of {kind}s, or None")
    for name in names:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{kind} is {name!r}; expected the name of a {kind}")
    return tuple(dict.fromkeys(names))


def unknown(kind: str, given: object, choices: tuple[str, ...], most: int = 30) -> str:
    """The sentence for a name that does not exist, with the nearest one and the choices."""
    near = _nearest(str(given), choices)
    hint = f"did you mean {near!r}? " if near else ""
    return f"unknown {kind} {given!r}; {hint}choices: {_shown(choices, most)}"


def _shown(names: tuple[str, ...], most: int = 30) -> str:
    """The first of these names, and how many there are if that is not all."""
    first = ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
    return first or "none"


def _nearest(given: str, choices: tuple[str, ...]) -> str | None:
    """The choice most like a name; of many choices one that contains it, or begins alike."""
    if len(choices) > FEW and given:
        wanted = given.casefold()
        inside = next((choice for choice in choices if wanted in choice.casefold()), None)
        if inside is not None:
            return inside
        choices = tuple(choice for choice in choices if choice[:1].casefold() == wanted[0])
    return next(iter(difflib.get_close_matches(given, choices, n=1)), None)


def chosen_names(given: str | Iterable[str], kind: str) -> tuple[str, ...]:
    """Names without repetitions, at least one; a single one may stand for itself."""
    names = name_tuple(given, kind)
    if not names:
        raise ArgumentError(f"no {kind} was asked for; name at least one, or pass None for all of them")
    return names
