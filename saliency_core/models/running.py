"""Running networks that other people wrote: whatever they raise becomes one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch

from saliency_core.errors import NetworkError, SaliencyError, first_line

CHECKPOINTING = (
    "it uses activation checkpointing in a way that fails while layers are recorded; switch checkpointing off"
)


@contextlib.contextmanager
def network_errors(shape: Sequence[int], direction: str = "forward") -> Iterator[None]:
    """Turn what the network raises inside the block into a ``NetworkError``; lack of memory is passed on.

    Args:
        shape: that of the network's inputs.
        direction: of the pass, ``"forward"`` or ``"backward"``.
    """
    try:
        yield
    except (SaliencyError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        inside_checkpoint = type(error).__name__ == "CheckpointError" or "torch.utils.checkpoint" in str(
            error
        )
        reason = CHECKPOINTING if inside_checkpoint else first_line(error)
        raise NetworkError(
            f"the network failed in the {direction} pass for inputs of shape {tuple(shape)}: {reason}"
        ) from error


def logits_of(output: object) -> object:
    """The class scores in what a network returned.

    A tensor stands for itself. Of an object or a mapping with ``logits`` (Hugging Face's outputs) they are
    those; of a tuple or list (GoogLeNet's and Inception's with auxiliary classifiers), its first entry.

    >>> logits_of({"loss": None, "logits": 1}), logits_of((2, 3))
    (1, 2)
    """
    if isinstance(output, Mapping):
        return output.get("logits", output)
    if not isinstance(output, torch.Tensor) and hasattr(output, "logits"):
        return output.logits
    if isinstance(output, tuple | list) and output:
        return logits_of(output[0])
    return output
