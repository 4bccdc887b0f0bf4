"""Whose turn comes first where many computations wait for one device."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """What a computation is for; the smaller number goes first."""

    SCREEN = 0
    """What a session is looking at."""
    SWEEP = 1
    """Many explanations of one kind: every class, a photo set, a film."""
    MANY_PASSES = 2
    """Methods that run the network hundreds of times for one map."""
