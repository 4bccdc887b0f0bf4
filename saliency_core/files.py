"""Files that a user asks for: what cannot be a path, or cannot be written, is said in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

from saliency_core.errors import ArgumentError, ArgumentTypeError


def file_path(given: object) -> Path:
    """The path that a user gave.

    Raises:
        ArgumentTypeError: no path.
    """
    if not isinstance(given, str | os.PathLike):
        raise ArgumentTypeError(f"path is {given!r}; expected the path of a file")
    return Path(given)


def write_file(file: Path, data: bytes) -> None:
    """Write a file.

    Raises:
        ArgumentError: the system refuses it, or no file can have this name.
    """
    try:
        file.write_bytes(data)
    except OSError as error:
        raise ArgumentError(f"{file.name!r} could not be written: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte, or half of a character
        raise ArgumentError(f"no file can be called {file.name!r}; choose another name") from error
