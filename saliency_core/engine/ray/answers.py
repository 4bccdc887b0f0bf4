"""The answers that all replicas and web processes share: a bounded store in a process of its own.

It knows neither networks nor maps: keys are texts, and answers are bytes. When its process is lost, Ray
starts it again, empty: what was in it is computed anew.
"""

from __future__ import annotations

import pickle
from typing import Any

from saliency_core.engine.cache import SharedCache
from saliency_core.engine.ray.connection import imported
from saliency_core.engine.ray.messages import Answered
from saliency_core.engine.status import StoreStatus

NAME = "normgrad-studio-answers"
NAMESPACE = "normgrad-studio"
STORE_BYTES = 512 << 20
MAX_MEANT = 4096
"""Requests for the most likely class of which the request with that class is remembered."""
WAIT_SECONDS = 2.0
"""How long the store is waited for: it answers in milliseconds, or has been lost."""

Key = tuple[str, str]
"""The model, and the request as a text."""


class Store:
    """The store itself, in its own process."""

    def __init__(self, max_bytes: int) -> None:
        self._answers: SharedCache[Key, bytes] = SharedCache(max_bytes, len)
        self._meant: SharedCache[Key, Key] = SharedCache(MAX_MEANT)
        self._weights: dict[str, str] = {}
        self._hits = self._misses = 0

    def peek(self, key: Key) -> tuple[str, bytes] | None:
        """The weights that an answer was computed with and the answer, if it is kept."""
        found = self._answers.peek(self._meant.peek(key) or key)
        self._hits += found is not None
        self._misses += found is None
        return None if found is None else (self._weights[key[0]], found)

    def keep(self, key: Key, meant: Key, weights: str, answer: bytes) -> None:
        """Keep an answer under what is `meant`; `key` is what was asked, which may leave the class open.

        A model that has other weights than before has none of its old answers any more.
        """
        model = key[0]
        if self._weights.get(model, weights) != weights:
            self.forget(model)
        self._weights[model] = weights
        self._answers.put(meant, answer)
        if key != meant:
            self._meant.put(key, meant)

    def forget(self, model: str) -> None:
        """Forget the answers of a model."""
        self._weights.pop(model, None)
        self._answers.drop_where(lambda key: key[0] == model)
        self._meant.drop_where(lambda key: key[0] == model)

    def status(self) -> StoreStatus:
        """What it holds."""
        held = self._answers
        return StoreStatus("shared answers", len(held), held.size, held.max_size, self._hits, self._misses)


class Answers:
    """The store as replicas and web processes see it. While it is not there, it has no answers."""

    def __init__(self, max_bytes: int = STORE_BYTES) -> None:
        self._ray = imported("serve")
        options = {"name": NAME, "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True}
        self._actor = (
            self._ray.remote(Store).options(**options, num_cpus=0, max_restarts=-1).remote(max_bytes)
        )

    def peek(self, model: str, request: Any) -> Answered | None:
        """The answer to a request, if it is kept."""
        found = self._asked("peek", (model, repr(request)))
        return None if found is None else Answered(pickle.loads(found[1]), found[0])

    def keep(self, model: str, request: Any, meant: Any, weights: str, answer: Any) -> None:
        """Keep an answer; does not wait."""
        self._actor.keep.remote(
            (model, repr(request)),
            (model, repr(meant)),
            weights,
            pickle.dumps(answer, pickle.HIGHEST_PROTOCOL),
        )

    def forget(self, model: str) -> None:
        """Forget the answers of a model; does not wait."""
        self._actor.forget.remote(model)

    def status(self) -> StoreStatus | None:
        """What the store holds."""
        return self._asked("status")  # type: ignore[no-any-return]

    def _asked(self, method: str, *arguments: Any) -> Any:
        try:
            return self._ray.get(getattr(self._actor, method).remote(*arguments), timeout=WAIT_SECONDS)
        except (self._ray.exceptions.RayError, TimeoutError):
            return None
