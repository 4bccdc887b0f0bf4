"""Texts that come from outside: names of files, photos, classes and networks."""

from __future__ import annotations

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs")
"""Control characters, marks that change the direction of what follows, and halves of characters."""


def one_line(text: str) -> str:
    r"""A text on one line: a space stands for every character that cannot be seen.

    >>> one_line("a\u202ecat\nand a dog")
    'a cat and a dog'
    """
    seen = (" " if each.isspace() or unicodedata.category(each) in _UNSEEN else each for each in text)
    return unicodedata.normalize("NFC", "".join(seen)).strip()
