"""Checkpoints of the Hugging Face hub, or of a mirror of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from saliency_core.errors import WeightsError
from saliency_core.models.weights import web
from saliency_core.models.weights.download import Stated, WebFile, check_digest, first_file
from saliency_core.models.weights.sources import DownloadProgress

ENDPOINT = "https://huggingface.co"
SHA256 = re.compile("[0-9a-f]{64}")
ALTERNATIVES = {
    "model.safetensors": ("model.safetensors", "pytorch_model.bin"),
    "pytorch_model.bin": ("model.safetensors", "pytorch_model.bin"),
    "open_clip_pytorch_model.bin": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
}
"""Files with the same weights, in the order in which timm looks for them."""


@dataclass(frozen=True)
class HubFile:
    """A checkpoint in a repository of the Hugging Face hub.

    It is used where it lies already: in the folder for weights under :attr:`file_name`, put there by hand or
    fetched earlier, or in the cache of huggingface_hub, where timm and transformers keep their files.
    Otherwise it is fetched into the folder for weights. These are honoured, also when they are set after
    the import: ``HF_ENDPOINT``, ``HF_TOKEN`` (or the token of ``hf auth login``), ``HF_HUB_OFFLINE``,
    ``HF_HUB_CACHE`` and ``HF_HOME``.

    Args:
        repo: the repository, ``"timm/vit_small_patch16_224.augreg_in21k_ft_in1k"``.
        filename: the file in it. Where the repository has no ``model.safetensors``, ``pytorch_model.bin`` is
            taken, as timm does.
        revision: branch, tag or commit; the main branch if None.
        download_bytes: size of the file, or an estimate of it: more than twice as much is refused.
    """

    repo: str
    filename: str = "model.safetensors"
    revision: str | None = None
    download_bytes: int | None = None

    @property
    def file_name(self) -> str:
        """The name in the folder for weights, ``timm--vit_small_patch16_224.augreg_in21k.safetensors``.

        Repository, revision if any, and the file unless it is the usual one, joined by ``--``.
        """
        return self._kept_name(self._names[0])

    def is_local(self, folder: Path) -> bool:
        """Whether the file lies in the folder for weights or in the cache of huggingface_hub."""
        return self._local(folder) is not None

    def path(self, folder: Path, progress: DownloadProgress | None = None) -> Path:
        """The file, fetched when it is not here. Raises ``WeightsError``."""
        return self._checked(folder) or self._fetch(folder, progress)

    @property
    def _names(self) -> tuple[str, ...]:
        return ALTERNATIVES.get(self.filename, (self.filename,))

    def _kept_name(self, filename: str) -> str:
        file = PurePosixPath(filename)
        parts = [*self.repo.split("/"), *([self.revision] if self.revision else ())]
        if filename not in ALTERNATIVES["model.safetensors"]:
            parts += file.with_suffix("").parts
        return "--".join(parts).replace("/", "--") + file.suffix

    def _local(self, folder: Path) -> Path | None:
        by_hand = first_file(folder / self._kept_name(name) for name in self._names)
        return by_hand or next(filter(None, map(self._cached, self._names)), None)

    def _checked(self, folder: Path) -> Path | None:
        local = self._local(folder)
        if local is not None:
            # The cache of huggingface_hub keeps a large file under its SHA-256 and links to it.
            blob = Path(os.path.realpath(local)).name
            check_digest(local, blob if SHA256.fullmatch(blob) else "")
        return local

    def _cached(self, filename: str) -> Path | None:
        cache = _cache_folder()
        if not os.path.isdir(cache / f"models--{self.repo.replace('/', '--')}"):  # noqa: PTH112 - as first_file
            return None  # a list of models asks for many of them: the import below takes longer than they do
        from huggingface_hub import try_to_load_from_cache

        try:
            found = try_to_load_from_cache(self.repo, filename, cache_dir=cache, revision=self.revision)
        except OSError:  # a cache that may not be read
            return None
        return Path(found) if isinstance(found, str) else None

    def _fetch(self, folder: Path, progress: DownloadProgress | None) -> Path:
        for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            if _is_set(variable):
                raise WeightsError(
                    f"{self.file_name} isn't on this machine, and {variable} forbids fetching it. "
                    f"{self._advice(folder).replace('Try again', 'Unset it')}"
                )
        endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        if not web.is_web_address(endpoint):
            raise WeightsError(
                f"{self.file_name} can't be fetched: HF_ENDPOINT is not an address of http or https. "
                f"{self._advice(folder).replace('Try again', 'Correct it')}"
            )
        missing: web.Refused | None = None
        for name in self._names:
            try:
                return self._file(name, endpoint, folder).fetch(
                    folder, progress, lambda: self._checked(folder)
                )
            except web.Refused as error:
                missing = missing or error
                if not _is_missing(error):
                    missing = error
                    break
        assert missing is not None
        raise WeightsError(f"{self._refusal(missing)}. {self._advice(folder)}") from missing

    def _file(self, filename: str, endpoint: str, folder: Path) -> WebFile:
        from huggingface_hub import hf_hub_url

        return WebFile(
            self._kept_name(filename),
            hf_hub_url(self.repo, filename, revision=self.revision, endpoint=endpoint),
            self.download_bytes,
            _stated,
            self._advice(folder),
            _headers,
        )

    def _advice(self, folder: Path) -> str:
        return f"Try again, or save {self._names[0]} of {self.repo} as {self.file_name} in {folder}."

    def _refusal(self, error: web.Refused) -> str:
        code = error.headers.get("X-Error-Code", "")
        if code == "GatedRepo":
            return f"{error.host} gives {self.repo} only to those who accepted its licence and set HF_TOKEN"
        if code == "RevisionNotFound":
            return f"{error.host} has no revision {self.revision} of {self.repo}"
        # The hub says 401 for a repository that is not there, too.
        if code == "RepoNotFound" or error.status == 401:
            return f"{error.host} has no repository {self.repo} that is public or that HF_TOKEN may read"
        if error.status == 404:
            return f"{error.host} has no {self._names[0]} in {self.repo}"
        return f"{error} for {self.file_name}"


def _is_missing(error: web.Refused) -> bool:
    """Whether the repository is there and the file is not."""
    return error.status == 404 and error.headers.get("X-Error-Code") in (None, "EntryNotFound")


def _headers() -> web.Headers:
    """The token, if there is one; not build_hf_headers, which asks the hub for more before it answers."""
    from huggingface_hub import get_token

    token = None if _is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") else get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _is_set(variable: str) -> bool:
    """Whether huggingface_hub reads an environment variable as true."""
    return os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE")


def _stated(reply: web.Reply) -> Stated:
    """Size and SHA-256 of a large file, as the hub states them before it redirects to where the file lies."""
    first = reply.answers[0].origin
    for answer in reply.answers:
        # Elsewhere an ETag is no checksum of the file, or one of another kind.
        if answer.origin == first and "X-Repo-Commit" in answer.headers:
            etag = answer.headers.get("X-Linked-Etag") or answer.headers.get("ETag") or ""
            found = SHA256.fullmatch(etag.removeprefix("W/").strip('"'))
            size = answer.headers.get("X-Linked-Size", "")
            return Stated(found[0] if found else "", int(size) if size.isdecimal() else None)
    return Stated()


def _cache_folder() -> Path:
    """The cache of huggingface_hub, from the environment as it is now; the library reads it at its import."""
    environ = os.environ
    caches = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or str(Path(caches) / "huggingface")
    chosen = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or str(Path(home) / "hub")
    return Path(os.path.expandvars(chosen)).expanduser()
