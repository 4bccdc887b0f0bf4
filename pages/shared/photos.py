"""Photos: the samples of the repository, and the bounded stores of uploads that all sessions share."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import streamlit as st
from PIL import Image, ImageOps

import saliency_core as sc
from pages.shared import state_folder
from pages.shared.registry import ASSETS
from pages.shared.upload_files import STEM, UploadFacts, UploadFiles
from saliency_core.engine.cache import SharedCache
from saliency_core.viewer.payload import DisplayPhoto, PhotoObject

SAMPLES_FOLDER = ASSETS / "samples"
SAMPLE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
SAMPLE_ORDER = ("ladybird", "chelsea", "coffee", "camera", "rocket", "astronaut")
"""The first is the photo of the first view, chosen by measurement (docs/first-view.md); the others follow
alphabetically."""
SAMPLE_TITLES = {"chelsea": "Cat"}
STORE_BYTES = 400 << 20  # decoded photos
FILE_BYTES = 2 << 30  # uploaded files on the disk, as they were sent
FILE_AGE = 24 * 3600.0  # seconds since a file's last use
MEMORY_BYTES = 256 << 20  # uploaded files that the disk did not take
THUMB_SIDE = 112  # pixels: twice what the strip shows, for sharp screens
UPLOAD_PREFIX = "upload-"
DIGEST_IN_ADDRESS = STEM  # hexadecimal digits, 128 bits: another person's photo cannot be guessed
UPLOAD_KEY = re.compile(f"{UPLOAD_PREFIX}[0-9a-f]{{{DIGEST_IN_ADDRESS}}}")


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
def upload_files() -> UploadFiles:
    """The uploaded files of all sessions by digest, those used longest ago dropped first."""
    return UploadFiles(state_folder.shared(), FILE_BYTES, FILE_AGE, MEMORY_BYTES)


def receive(name: str, data: bytes) -> tuple[PhotoFile, bool]:
    """Keep the bytes of an upload; what a session holds of it, and whether they are on the disk."""
    digest = digest_of(data)
    known = upload_files().find(digest)
    facts = UploadFacts(name, digest, len(data)) if known is None else replace(known, name=name)
    if known is not None and upload_files().use(digest):
        return _file(facts), True
    return _file(facts), upload_files().put(facts, data)


def _file(facts: UploadFacts) -> PhotoFile:
    return PhotoFile(facts.name, facts.digest, facts.size, facts.thumb)


def find_upload(key: str) -> PhotoFile | None:
    """The uploaded file whose key in the address is `key`, if its bytes are still on the server."""
    found = upload_files().find(key.removeprefix(UPLOAD_PREFIX)) if UPLOAD_KEY.fullmatch(key) else None
    return None if found is None else _file(found)


def on_server(file: PhotoFile) -> bool:
    """Whether the bytes of an upload are still here; counts as a use."""
    return upload_files().use(file.digest)


def open_upload(file: PhotoFile) -> Photo:
    """The decoded photo of an upload. Raises sc.ImageError if it is not a usable photo, or is gone."""

    def opened() -> Photo:
        data = upload_files().read(file.digest)
        if data is None:
            raise sc.ImageError("The photo is no longer on the server. Upload it again.")
        photo = decode(file.name, data)
        upload_files().note_thumb(UploadFacts(**vars(photo.file)))
        return photo

    return photo_store().get(file.digest, opened)


def forget(file: PhotoFile) -> None:
    """Remove an upload from the server, decoded and as it was sent."""
    photo_store().drop(file.digest)
    upload_files().drop(file.digest)


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
