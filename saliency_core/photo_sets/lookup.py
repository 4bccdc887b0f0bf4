"""Which file of a set an annotation means by a photo's name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from saliency_core.errors import ArgumentError
from saliency_core.photo_sets.sources import is_photo


class PhotoLookup:
    r"""The photos of a set, found by what annotations call them.

    A name may have folders in front that the set does not have, or have none; capitals do not count where
    nothing else decides, and a photo without its ending is found. Of photos with the same name the one that
    agrees in most of its folders is meant, then the one that lies nearest to the file of the annotations.

    >>> photos = PhotoLookup(["a/images/1.jpg", "b/images/1.jpg", "a/images/2.PNG"])
    >>> photos.find(r"C:\data\a\images\1.jpg"), photos.find("2"), photos.find("1.JPG", near="b/labels")
    ('a/images/1.jpg', 'a/images/2.PNG', 'b/images/1.jpg')
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(name for name in names if is_photo(name))
        self._files: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for name in self.names:
            last = name.rpartition("/")[2].casefold()
            self._files.setdefault(last, []).append(name)
            self._stems.setdefault(last.rpartition(".")[0], []).append(name)

    def find(self, wanted: str, near: str = "") -> str:
        """The photo that an annotation means.

        Args:
            wanted: the name, with folders or without.
            near: the folder in which the photo is expected, such as that of the annotations.

        Raises:
            ArgumentError: there is none, or there are several.
        """
        wanted = unicodedata.normalize("NFC", wanted.strip().replace("\\", "/"))
        last = wanted.rpartition("/")[2].casefold()
        found = self._files.get(last) or self._stems.get(last) or []
        if not found:
            raise ArgumentError(f"The photo {_short(wanted)} is not in the set.")
        if len(found) == 1:
            return found[0]
        ranked = sorted(((_likeness(name, wanted, near), name) for name in found), reverse=True)
        if ranked[0][0] == ranked[1][0]:
            raise ArgumentError(
                f"The set has {len(found)} photos called {_short(wanted)}, and it is not clear which one is "
                "meant; give its folder too."
            )
        return ranked[0][1]


def _likeness(name: str, wanted: str, near: str) -> tuple[int, int, bool]:
    """How well a photo fits: parts of the path from the end, parts in common with a folder, and capitals."""
    own, asked = name.casefold().split("/")[-2::-1], wanted.casefold().split("/")[-2::-1]
    folder, place = name.split("/")[:-1], near.split("/")
    return _shared(own, asked), _shared(folder, place), name.endswith(wanted)


def _shared(first: list[str], second: list[str]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _short(name: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f"{shown[:120]}…" if len(shown) > 120 else shown
