"""Which device computes."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import torch

from saliency_core.errors import ArgumentError
from saliency_core.memory import trim

CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
UNKNOWN_MEMORY = 8 << 30
"""Taken to be the machine's memory where the system does not say."""


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The device to compute on: CUDA, else MPS, else the CPU, unless one is named.

    The environment variable ``SALIENCY_DEVICE`` overrides ``"auto"``. Raises ``ArgumentError`` when the
    device does not exist here.
    """
    origin = "device"
    if isinstance(device, str) and device == "auto":
        device, origin = os.environ.get("SALIENCY_DEVICE", "").strip() or "auto", "SALIENCY_DEVICE"
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        found = ["cpu", *(["mps"] if _has_mps() else [])]
        found += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise ArgumentError(
            f"{origin} is {str(device)!r}, which cannot be used here; choices: auto, {', '.join(found)}"
        ) from error
    return chosen


def without_autocast(device: torch.device) -> torch.autocast:
    """A block in which the caller's autocast is off: networks and methods compute in their own dtype."""
    return torch.autocast(device.type, enabled=False)


def release_memory(device: torch.device) -> None:
    """Give the device's memory that no tensor uses back to the system; waits for what the device computes."""
    gc.collect()  # tensors that refer to themselves in a circle
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    trim()


def memory_bytes(device: torch.device) -> int:
    """The memory of the device, in bytes; that of the container where it has less than the machine."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [int(text) for file in CONTAINER_LIMITS if (text := _content(file)).isdecimal()]
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        machine = UNKNOWN_MEMORY
    return min([machine, *limits])


def _content(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
