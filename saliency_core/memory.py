"""Gives memory that nobody uses any more back to the system."""

from __future__ import annotations

import ctypes
import sys


def trim() -> None:
    """Return freed memory to the system where the C library keeps it and can: glibc on Linux.

    It keeps what temporary tensors and decoded photos took, some hundred megabytes; giving them back takes
    some hundredths of a second.
    """
    if sys.platform == "linux":
        give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if give_back is not None:
            give_back(0)
