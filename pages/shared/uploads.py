"""The photos that one session has uploaded."""

from collections.abc import Iterator

from pages.shared.photos import PhotoFile

MAX_UPLOADS = 12
MAX_UPLOAD_BYTES = 160 << 20


class Uploads:
    """The uploaded files of a session, oldest first.

    At most `MAX_UPLOADS` of them with at most `MAX_UPLOAD_BYTES` together (the newest one always stays), and
    none twice.
    """

    def __init__(self) -> None:
        self._files: list[PhotoFile] = []
        self.round = 0
        """How many times files were taken from the uploader; its key, so that it is empty again."""

    def __iter__(self) -> Iterator[PhotoFile]:
        return iter(tuple(self._files))

    def __len__(self) -> int:
        return len(self._files)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(file.data) for file in self._files)

    def find(self, key: str) -> PhotoFile | None:
        """The file that an address calls `key`."""
        return next((file for file in self._files if file.key == key), None)

    def add(self, file: PhotoFile) -> list[str]:
        """Add a file as the newest; returns the names of those that had to be removed."""
        self._files = [each for each in self._files if each.digest != file.digest] + [file]
        gone: list[str] = []
        while len(self._files) > 1 and (len(self._files) > MAX_UPLOADS or self.size > MAX_UPLOAD_BYTES):
            gone.append(self._files.pop(0).name)
        return gone

    def remove(self, key: str) -> tuple[PhotoFile, PhotoFile | None] | None:
        """Remove a file; returns it with its neighbour, or None if there is no such file."""
        index = next((index for index, each in enumerate(self._files) if each.key == key), None)
        if index is None:
            return None
        removed = self._files.pop(index)
        return removed, self._files[min(index, len(self._files) - 1)] if self._files else None
