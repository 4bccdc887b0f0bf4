"""Photos: the samples of the repository, and a bounded store of decoded photos that all sessions share."""

import base64
import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st
from PIL import Image, ImageOps

import saliency_core as sc
from pages.shared.registry import ASSETS

SAMPLES_FOLDER = ASSETS / "samples"
SAMPLE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
SAMPLE_ORDER = ("chelsea", "coffee", "camera", "rocket", "astronaut")  # the others follow by alphabet
STORE_BYTES = 400 * 2**20
THUMB_SIDE = 112  # pixels: twice what the strip shows, for sharp screens
UPLOAD_MARK = "upload-"
DIGEST_IN_ADDRESS = 32  # hexadecimal digits, 128 bits: nobody guesses another person's photo


@dataclass(frozen=True)
class Photo:
    """A decoded photo: `digest` is the file's sha256, `display` a JPEG for the screen, `thumb` a data URI."""

    name: str
    digest: str
    data: bytes
    image: Image.Image
    display: bytes
    display_size: tuple[int, int]
    thumb: str

    @property
    def cost(self) -> int:
        """The bytes that this photo holds in memory, about."""
        return len(self.data) + 3 * self.image.width * self.image.height + len(self.display) + len(self.thumb)


def upload_key(digest: str) -> str:
    """The name of an uploaded photo in the address."""
    return UPLOAD_MARK + digest[:DIGEST_IN_ADDRESS]


def is_upload_key(key: str) -> bool:
    """Whether `key` names an uploaded photo (a sample otherwise)."""
    return key.startswith(UPLOAD_MARK)


def decode(name: str, data: bytes) -> Photo:
    """The photo in the bytes of a file called `name`. Raises sc.ImageError when there is none to be shown."""
    image = sc.open_image(data)
    display, size = sc.render.display_jpeg(image)
    return Photo(name, hashlib.sha256(data).hexdigest(), data, image, display, size, _thumb(image))


def _thumb(image: Image.Image) -> str:
    buffer = io.BytesIO()
    ImageOps.fit(image, (THUMB_SIDE, THUMB_SIDE)).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


class PhotoStore:
    """Decoded photos by digest, least recently used first out once `limit` bytes are held. Thread-safe."""

    def __init__(self, limit: int = STORE_BYTES) -> None:
        self.limit = limit
        self._held: OrderedDict[str, Photo] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: str, name: str, data: bytes) -> Photo:
        """The photo of `digest`, decoded again from `data` if it had to go."""
        with self._lock:
            photo = self._held.get(digest)
            if photo is not None:
                self._held.move_to_end(digest)
                return photo
        return self.put(decode(name, data))

    def put(self, photo: Photo) -> Photo:
        """Keep `photo`, and let the least recently used go beyond the limit; it is returned in any case."""
        with self._lock:
            self._held[photo.digest] = photo
            self._held.move_to_end(photo.digest)
            held = sum(each.cost for each in self._held.values())
            while held > self.limit and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                held -= dropped.cost
        return photo

    def drop(self, digest: str) -> None:
        """Let a photo go, if it is held."""
        with self._lock:
            self._held.pop(digest, None)

    def find(self, key: str) -> Photo | None:
        """The held photo that an address calls `key`, if it is still here."""
        with self._lock:
            return next((photo for digest, photo in self._held.items() if upload_key(digest) == key), None)


@st.cache_resource(show_spinner=False)
def photo_store() -> PhotoStore:
    """The store of uploaded photos of all sessions."""
    return PhotoStore()


@cache
def sample_files() -> dict[str, Path]:
    """The sample photos by name, the default one first."""
    files = (path for path in SAMPLES_FOLDER.iterdir() if path.suffix.lower() in SAMPLE_SUFFIXES)
    found = {path.stem: path for path in sorted(files)}
    return {name: found[name] for name in (*SAMPLE_ORDER, *found) if name in found}


def default_sample() -> str:
    """The name of the sample that the first view shows."""
    return next(iter(sample_files()))


@cache
def sample(name: str) -> Photo:
    """The sample called `name`; samples stay decoded for good, there are few and they are small."""
    return decode(sample_title(name), sample_files()[name].read_bytes())


def sample_title(name: str) -> str:
    """What the strip calls a sample."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def default_photo() -> Photo:
    """The photo of the first view."""
    return sample(default_sample())
