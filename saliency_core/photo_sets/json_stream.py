"""A large JSON file read one element at a time: of 450 MB only the element at hand is in memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, Final, NoReturn

from saliency_core.errors import ArgumentError

CHUNK: Final = 1 << 18
MAX_VALUE: Final = 1 << 22
"""Letters of one element; the longest of COCO, the outline of a crowd, has 60,000."""
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


class JsonStream:
    """Reads an object ``{"key": [element, …], …}`` from a file, every element of its lists by itself.

    >>> import io
    >>> list(JsonStream(io.BytesIO(b'{"a": [1, {"b": 2}], "c": 3}')))
    [('a', 1), ('a', {'b': 2}), ('c', 3)]
    """

    def __init__(self, file: BinaryIO, most: int = 1 << 30) -> None:
        self._file, self._left = file, most
        self._most = most
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self._ended = "", 0, False

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """(key, element) for every element of a list, (key, value) for any other value.

        Raises:
            ArgumentError: the file is not JSON, no object, larger than ``most`` bytes, or has an element
                longer than :data:`MAX_VALUE`; also in the middle.
        """
        self._expect("{")
        if self._peek() == "}":
            return
        while True:
            key = self._value()
            if not isinstance(key, str):
                self._fail("a key is no text")
            self._expect(":")
            if self._peek() == "[":
                for element in self._elements():
                    yield key, element
            else:
                yield key, self._value()
            if self._separator("}"):
                return

    def _elements(self) -> Iterator[object]:
        self._expect("[")
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self._value()
            if self._separator("]"):
                return

    def _separator(self, end: str) -> bool:
        """Whether the list or object ends here; else a comma is taken."""
        found = self._peek()
        if found not in (",", end):
            self._fail(f"expected , or {end}")
        self._at += 1
        return found == end

    def _expect(self, letter: str) -> None:
        if self._peek() != letter:
            self._fail(f"expected {letter}")
        self._at += 1

    def _peek(self) -> str:
        """The next letter that is no space; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> object:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                self._fail("it is nested too deeply")
            except json.JSONDecodeError as error:
                if not self._more():
                    self._fail(error.msg)
                continue
            except ValueError:
                self._fail("a number has too many digits")
            if end == len(self._text) and self._more():
                continue  # a number may go on
            self._at = end
            return value

    def _more(self) -> bool:
        """Read on; whether there was anything."""
        if self._ended:
            return False
        rest = len(self._text) - self._at
        if rest > MAX_VALUE:
            self._fail(f"one element has more than {MAX_VALUE:,} letters")
        # As much again as is waiting, so that a long element is not tried again for every chunk.
        data = self._file.read(max(CHUNK, rest))
        self._left -= len(data)
        if self._left < 0:
            raise ArgumentError(f"The file is larger than {self._most >> 20} MB, the most that is read.")
        self._ended = not data
        try:
            fresh = self._decode.decode(data, final=self._ended)
        except UnicodeDecodeError:
            self._fail("it is not in UTF-8")
        self._text, self._at = self._text[self._at :] + fresh, 0
        return not self._ended

    def _fail(self, reason: str) -> NoReturn:
        raise ArgumentError(f"The file is not JSON that can be read: {reason}.")
