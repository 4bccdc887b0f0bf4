"""Several computations as one batch, and what happens when the device has not enough memory for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch

from saliency_core.models.devices import release_memory
from saliency_core.progress import Cancelled

Item = TypeVar("Item")
Result = TypeVar("Result")

GPU_BATCH = 16
"""Requests that run as one batch at most, on a device that is faster for several."""


def usual_batch(device: torch.device) -> int:
    """How many requests run as one batch: on the CPU each runs by itself and gives exactly its own result."""
    return 1 if device.type == "cpu" else GPU_BATCH


def in_batches(
    items: Sequence[Item],
    together: Callable[[Sequence[Item]], Sequence[Result]],
    alone: Callable[[Item], Result],
    device: torch.device,
) -> list[Result | Exception]:
    """A result or an error for each item: of all together, or of parts where that is not possible.

    Without enough memory the batch is halved. An error that one item causes is its own: the others are
    computed as if it had not been there.

    Args:
        items: what is computed.
        together: the results of several items, in their order.
        alone: the result of one.
        device: the device whose memory is given back before a smaller batch is tried.
    """
    if len(items) == 1:
        try:
            return [alone(items[0])]
        except Cancelled:
            raise
        except Exception as error:
            return [error]
    try:
        return list(together(items))
    except torch.OutOfMemoryError:
        parts = (len(items) + 1) // 2
    except Cancelled:
        raise
    except Exception:
        parts = 1
    release_memory(device)
    found: list[Result | Exception] = []
    for start in range(0, len(items), parts):
        found += in_batches(items[start : start + parts], together, alone, device)
    return found


def within_memory(attempts: Iterable[Callable[[], Result]], device: torch.device) -> Result:
    """The result of the first attempt for which there is enough memory, each needing less than the last.

    Raises:
        torch.OutOfMemoryError: for none of them.
    """
    shortage: torch.OutOfMemoryError | None = None
    for attempt in attempts:
        try:
            return attempt()
        except torch.OutOfMemoryError as error:
            shortage = error.with_traceback(None)  # which would keep the tensors of the attempt
        release_memory(device)
    raise shortage or torch.OutOfMemoryError("no attempt was made")
