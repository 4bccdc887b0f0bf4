"""How the names of models begin that are not in the catalogue, for every engine."""

from __future__ import annotations

OWN = "own:"
"""A model that one session has brought."""
FOLDER = "folder:"
"""A model in the server's folder, whose files may change."""
FOREIGN = "This model belongs to another session or was removed; upload it again."
MAX_OWN_MODELS = 64
