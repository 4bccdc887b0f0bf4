"""Large tensors in huge pages, where the operating system has them.

Ordinary pages are mapped and zeroed one by one when they are first written, which for large tensors takes as
long as the arithmetic on them.
"""

from __future__ import annotations

import mmap

import torch
from torch import Tensor


def large_empty(like: Tensor) -> Tensor:
    """As ``torch.empty_like``, in huge pages if possible; worth it for hundreds of megabytes on the CPU."""
    if like.device.type != "cpu" or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty_like(like)
    try:
        pages = mmap.mmap(-1, like.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # a kernel without huge pages
        return torch.empty_like(like)
    return torch.frombuffer(pages, dtype=like.dtype).view(like.shape)
