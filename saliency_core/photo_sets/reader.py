"""What a reader is: an entry of the registry ``READERS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saliency_core.photo_sets.draft import Found
from saliency_core.photo_sets.sources import Report, SetFiles


@dataclass(frozen=True)
class Reader:
    """Reads the photo sets of one kind."""

    title: str
    """The name of the format."""
    sought: str
    """What it looks for in a set, for the sentence when nothing is found."""
    recognises: Callable[[SetFiles], bool]
    """Whether a set is of this kind, from a look at a few of its files; raises nothing."""
    read: Callable[[SetFiles, Report], Found]
    """Reads a set. What can't be used goes to the report; raises ArgumentError where nothing is left."""
