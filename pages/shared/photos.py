"""Photos: the samples of the repository, and a bounded store of decoded photos that all sessions share."""

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import streamlit as st
from PIL import Image, ImageOps

import saliency_core as sc
from pages.shared.registry import ASSETS
from saliency_core.engine.cache import SharedCache
from saliency_core.viewer.payload import DisplayPhoto, PhotoObject

SAMPLES_FOLDER = ASSETS / "samples"
SAMPLE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
SAMPLE_ORDER = ("ladybird", "chelsea", "coffee", "camera", "rocket", "astronaut")
"""The first is the photo of the first view, chosen by measurement (docs/first-view.md); the others follow
alphabetically."""
SAMPLE_TITLES = {"chelsea": "Cat"}
STORE_BYTES = 400 << 20  # decoded photos
FILE_BYTES = 512 << 20  # uploaded files, as they were sent
THUMB_SIDE = 112  # pixels: twice what the strip shows, for sharp screens
UPLOAD_PREFIX = "upload-"
DIGEST_IN_ADDRESS = 32  # hexadecimal digits, 128 bits: another person's photo cannot be guessed


@dataclass(frozen=True)
class PhotoFile:
    """What a session holds of a photo's file: its name, SHA-256 digest, size in bytes, and a thumbnail.

    The thumbnail is a data URI; it is empty until the file has been decoded.
    """

    name: str
    digest: str
    size: int
    thumb: str = ""

    @property
    def key(self) -> str:
        """The name of an uploaded photo in the address."""
        return upload_key(self.digest)


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file with its bytes, as the store that all sessions share keeps it."""

    file: PhotoFile
    data: bytes

    @property
    def cost(self) -> int:
        """The memory that it holds, in bytes, approximately."""
        return len(self.data) + len(self.file.thumb)


@dataclass(frozen=True)
class Photo:
    """A decoded photo, for the network (`image`) and for the browser (`shown`)."""

    file: PhotoFile
    image: Image.Image
    shown: DisplayPhoto

    @property
    def cost(self) -> int:
        """The memory that it holds, in bytes, approximately."""
        pixels = 3 * self.image.width * self.image.height
        return pixels + len(self.shown.jpeg) + len(self.file.thumb)


def upload_key(digest: str) -> str:
    """The name of an uploaded photo in the address."""
    return UPLOAD_PREFIX + digest[:DIGEST_IN_ADDRESS]


def digest_of(data: bytes) -> str:
    """The SHA-256 digest of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def decode(name: str, data: bytes) -> Photo:
    """Decode the bytes of a file called `name`. Raises sc.ImageError if it is not a usable photo."""
    image = sc.open_image(data)
    jpeg, (width, height) = sc.render.display_jpeg(image)
    file = PhotoFile(name, digest_of(data), len(data), _thumb(image))
    return Photo(file, image, DisplayPhoto(file.digest, jpeg, width, height, image.size, name))


def _thumb(image: Image.Image) -> str:
    buffer = io.BytesIO()
    ImageOps.fit(image, (THUMB_SIDE, THUMB_SIDE)).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@st.cache_resource(show_spinner=False)
def photo_store() -> SharedCache[str, Photo]:
    """The decoded uploads of all sessions by digest, the least recently used ones dropped first."""
    return SharedCache(STORE_BYTES, lambda photo: photo.cost)


@st.cache_resource(show_spinner=False)
def file_store() -> SharedCache[str, StoredFile]:
    """The uploaded files of all sessions by digest, the least recently used ones dropped first."""
    return SharedCache(FILE_BYTES, lambda stored: stored.cost)


def receive(name: str, data: bytes) -> PhotoFile:
    """Keep the bytes of an upload, and return what a session holds of it."""
    digest = digest_of(data)
    known = file_store().peek(digest)
    if known is not None:
        return replace(known.file, name=name)
    file = PhotoFile(name, digest, len(data))
    file_store().put(digest, StoredFile(file, data))
    return file


def find_upload(key: str) -> PhotoFile | None:
    """The uploaded file whose key in the address is `key`, if its bytes are still on the server."""
    stored = file_store().find(lambda digest: upload_key(digest) == key)
    return None if stored is None else stored.file


def on_server(file: PhotoFile) -> bool:
    """Whether the bytes of an upload are still here; counts as a use."""
    return file_store().peek(file.digest) is not None


def open_upload(file: PhotoFile) -> Photo:
    """The decoded photo of an upload. Raises sc.ImageError if it is not a usable photo, or is gone."""

    def opened() -> Photo:
        stored = file_store().peek(file.digest)
        if stored is None:
            raise sc.ImageError("The photo is no longer on the server. Upload it again.")
        photo = decode(file.name, stored.data)
        file_store().put(file.digest, StoredFile(photo.file, stored.data))
        return photo

    return photo_store().get(file.digest, opened)


def forget(file: PhotoFile) -> None:
    """Remove an upload from the server, decoded and as it was sent."""
    photo_store().drop(file.digest)
    file_store().drop(file.digest)


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
def sample_objects() -> Mapping[str, tuple[PhotoObject, ...]]:
    """Sample -> the objects on it whose location is known."""
    listed = json.loads((SAMPLES_FOLDER / "objects.json").read_text(encoding="utf-8"))
    return {
        file.rpartition(".")[0]: tuple(
            PhotoObject(each["index"], each["label"], tuple(each["box"])) for each in objects
        )
        for file, objects in listed.items()
    }


@cache
def sample(name: str) -> Photo:
    """The sample called `name`; samples stay decoded, there are few and they are small."""
    photo = decode(sample_title(name), sample_files()[name].read_bytes())
    return replace(photo, shown=replace(photo.shown, objects=sample_objects().get(name, ())))


def with_objects_of(photo: DisplayPhoto, labels: Sequence[str]) -> DisplayPhoto:
    """The photo with those of its objects for which a network has a class, by the network's own numbers.

    Networks of other data sets have other classes under the same number.
    """
    found = [replace(each, index=labels.index(each.label)) for each in photo.objects if each.label in labels]
    return replace(photo, objects=tuple(found))


def sample_title(name: str) -> str:
    """The title of a sample in the strip."""
    return SAMPLE_TITLES.get(name) or name.replace("_", " ").replace("-", " ").capitalize()


def default_photo() -> Photo:
    """The photo of the first view."""
    return sample(default_sample())
