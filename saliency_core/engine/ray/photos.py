"""The photos that a web process has handed to Ray: each is sent once, not with every request."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from saliency_core.engine.cache import SharedCache

PHOTO_BYTES = 256 << 20


class Photos:
    """References to the pixels of photos in Ray's object store, by digest; the least recently used goes.

    A computation under way keeps its photo.
    """

    def __init__(self, ray: Any, max_bytes: int = PHOTO_BYTES) -> None:
        self._ray = ray
        self._references: SharedCache[str, tuple[Any, int]] = SharedCache(max_bytes, lambda kept: kept[1])

    def reference(self, digest: str, image: Image.Image) -> Any:
        """The reference to a photo, which is put into the object store if it is not there."""
        return self._references.get(digest, lambda: self._put(image))[0]

    def _put(self, image: Image.Image) -> tuple[Any, int]:
        pixels = np.asarray(image.convert("RGB"))
        return self._ray.put(pixels), pixels.nbytes
