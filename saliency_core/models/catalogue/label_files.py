"""The names of a network's classes from a text or JSON file."""

from __future__ import annotations

import codecs
import json
import os
import re
from pathlib import Path
from typing import Any, Final

from saliency_core.errors import ArgumentError
from saliency_core.texts import one_line

MAX_BYTES: Final = 4 << 20
"""The labels of ImageNet-21k take 1 MB."""
MAX_LENGTH: Final = 200
"""Characters of a name that are kept."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NUMBERED: Final = re.compile(r"\s*(?P<index>[0-9]{1,7})\s*[\s,;:=]\s*(?P<name>\S.*)")


def read_labels(source: str | os.PathLike[str] | bytes, name: str | None = None) -> tuple[str, ...]:
    """The names of the classes, in the order of the network's outputs.

    - Text: one name per line, empty lines skipped. Where the lines begin with the numbers 0, 1, … of the
      classes, in any order, and a space, tab, comma, colon, semicolon or equals sign, those give the order.
    - JSON: a list of names; an object from number to name or from name to number; the same under
      ``id2label``, ``label2id`` or ``label_names``, as in a ``config.json`` of the Hugging Face hub. A name
      may be a list such as ``["n01440764", "tench"]``, of which the last is taken.

    The text is UTF-8, UTF-16 or UTF-32 with a byte order mark, else UTF-8, else Windows-1252. Control
    characters become spaces, long names are cut, an empty one becomes ``"class 7"``. Names may repeat.

    Args:
        source: a path, or the file's bytes.
        name: what the file is called in errors.

    Raises:
        ArgumentError: a file that cannot be read, is too large, or gives no such names.

    >>> read_labels(b'{"cat": 1, "dog": 0}')
    ('dog', 'cat')
    """
    shown = name or ("The labels" if isinstance(source, bytes) else Path(source).name)
    text = _decoded(_bytes(source, shown), shown)
    if text.lstrip().startswith(("{", "[")):
        try:
            names = _from_json(json.loads(text), shown)
        except (ValueError, RecursionError) as error:
            if isinstance(error, ArgumentError):
                raise
            raise ArgumentError(f"{shown} begins like JSON, but is not valid JSON.") from error
    else:
        names = _from_lines(text)
    if not names:
        raise ArgumentError(f"{shown} holds no names; expected one per line, or a list in JSON.")
    return tuple(_clean(each) or f"class {index}" for index, each in enumerate(names))


def _bytes(source: str | os.PathLike[str] | bytes, shown: str) -> bytes:
    if not isinstance(source, bytes):
        try:
            with Path(source).open("rb") as file:
                source = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ArgumentError(f"{shown} can't be read: {error.strerror or 'unknown error'}.") from error
    if len(source) > MAX_BYTES:
        raise ArgumentError(f"{shown} is larger than {MAX_BYTES >> 20} MB; expected one name per class.")
    return source


def _decoded(data: bytes, shown: str) -> str:
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    for each in (encoding,) if encoding else ("utf-8", "cp1252"):
        try:
            text = data.decode(each)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ArgumentError(f"{shown} is not a text file; expected one name per line, or JSON.")


def _from_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    found = {int(match["index"]): match["name"] for match in numbered if match}
    if len(found) == len(lines) and set(found) == set(range(len(lines))):
        return [found[index] for index in range(len(lines))]
    return lines


def _from_json(content: Any, shown: str) -> list[str]:
    if isinstance(content, dict):
        for key in ("id2label", "label_names", "label2id"):
            if isinstance(content.get(key), dict | list):
                content = content[key]
                break
    if isinstance(content, list):
        return [_name(each, shown) for each in content]
    if isinstance(content, dict) and content:
        if not all(_is_index(key) for key in content):
            if not all(_is_index(value) for value in content.values()):
                raise _no_labels(shown)
            content = {value: key for key, value in content.items()}
        named = {int(key): _name(value, shown) for key, value in content.items()}
        if set(named) != set(range(len(named))):
            low, high = min(named), max(named)
            raise ArgumentError(
                f"{shown} names {len(named)} classes with numbers from {low} to {high}; expected each number "
                f"from 0 to {len(named) - 1} once."
            )
        return [named[index] for index in range(len(named))]
    raise _no_labels(shown)


def _is_index(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and len(value) < 8
    return type(value) is int and 0 <= value < 10**7


def _name(value: Any, shown: str) -> str:
    if isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, str):
        return value
    if type(value) is int or type(value) is float:
        return str(value)
    raise _no_labels(shown)


def _no_labels(shown: str) -> ArgumentError:
    return ArgumentError(
        f'{shown} holds no names of classes; expected a list, {{"0": "cat", …}}, {{"cat": 0, …}}, or a '
        "config.json with id2label."
    )


def _clean(name: str) -> str:
    whole = " ".join(one_line(name).split())
    return whole if len(whole) <= MAX_LENGTH else f"{whole[: MAX_LENGTH - 1]}…"
