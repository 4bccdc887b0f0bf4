"""A bound for what the files of all sessions take on the disk."""

import threading
from collections.abc import Callable


class Room:
    """The bytes that files of one kind take, of all sessions together.

    Args:
        most: bytes.
        refusal: makes the error that is raised where there is no room.
    """

    def __init__(self, most: int, refusal: Callable[[], Exception]) -> None:
        self.most = most
        self._refusal = refusal
        self.taken = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Note that so much is about to be written. Raises the refusal if there is no room for it."""
        with self._lock:
            if self.taken + size > self.most:
                raise self._refusal()
            self.taken += size

    def give(self, size: int) -> None:
        """Note that so much has been removed."""
        with self._lock:
            self.taken -= size
