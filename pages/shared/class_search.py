"""The search of a model's classes, answered by the server: of tens of thousands the browser sees a few."""

from functools import lru_cache

from saliency_core.engine.cache import SharedCache

MAX_HITS = 50
MAX_MODELS = 64
"""Models whose labels are kept for searches; the least recently shown goes first."""

_offered: SharedCache[str, tuple[str, ...]] = SharedCache(MAX_MODELS, lambda _: 1)


def offer(model: str, labels: tuple[str, ...]) -> None:
    """Let the classes of this model be searched: a page shows it."""
    if _offered.peek(model) is not labels:
        _offered.put(model, labels)


def search(model: str, query: str) -> list[tuple[int, str]] | None:
    """The classes whose labels have all words of the query, the best first; None for a model on no page.

    A label that begins with the query comes before one with a word that does, and that before the others. A
    number also finds the class with this index.
    """
    labels = _offered.peek(model)
    if labels is None:
        return None
    words = query.lower().split()
    whole = " ".join(words)
    hits: list[tuple[int, int]] = []
    for index, label in enumerate(_lowered(labels)):
        if whole == str(index):
            hits.append((0, index))
        elif all(word in label for word in words):
            hits.append((1 if label.startswith(whole) else 2 if f" {whole}" in label else 3, index))
    return [(index, labels[index]) for _, index in sorted(hits)[:MAX_HITS]]


@lru_cache(8)
def _lowered(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label.lower() for label in labels)
