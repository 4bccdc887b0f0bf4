"""What several engines say of themselves, as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from saliency_core.engine.status import EngineStatus, Histogram, ModelStatus, QueueStatus, StoreStatus


def together(
    replicas: Sequence[EngineStatus],
    stores: tuple[StoreStatus, ...] = (),
    queues: tuple[QueueStatus, ...] = (),
    refused: int = 0,
    dropped: int = 0,
) -> EngineStatus:
    """The replicas' status, summed, with the stores and queues of the process that asks them."""
    devices = Counter(each.device for each in replicas)
    return EngineStatus(
        kind="ray",
        device=", ".join(f"{count} × {device}" for device, count in devices.items()) or "no replica",
        models=_models(model for each in replicas for model in each.models),
        stores=stores + _stores(store for each in replicas for store in each.stores),
        queues=queues + _queues(queue for each in replicas for queue in each.queues),
        waited=_histogram([each.waited for each in replicas]),
        computed=_histogram([each.computed for each in replicas]),
        refused=refused + sum(each.refused for each in replicas),
        dropped=dropped + sum(each.dropped for each in replicas),
        errors=tuple(
            sorted((error for each in replicas for error in each.errors), key=lambda error: error.time)
        ),
    )


def _models(models: Iterable[ModelStatus]) -> tuple[ModelStatus, ...]:
    found: dict[str, ModelStatus] = {}
    for each in models:
        sum_ = found.get(each.name, ModelStatus(each.name, 0, 0))
        found[each.name] = ModelStatus(each.name, sum_.bytes + each.bytes, sum_.users + each.users)
    return tuple(found.values())


def _stores(stores: Iterable[StoreStatus]) -> tuple[StoreStatus, ...]:
    found: dict[str, StoreStatus] = {}
    for each in stores:
        name = f"{each.name} of the replicas"
        sum_ = found.get(name, StoreStatus(name, 0, 0, 0))
        found[name] = StoreStatus(
            name,
            sum_.entries + each.entries,
            sum_.size + each.size,
            sum_.max_size + each.max_size,
            sum_.hits + each.hits,
            sum_.misses + each.misses,
            each.counted,
        )
    return tuple(found.values())


def _queues(queues: Iterable[QueueStatus]) -> tuple[QueueStatus, ...]:
    found: dict[str, QueueStatus] = {}
    for each in queues:
        name = f"{each.name} of the replicas"
        sum_ = found.get(name, QueueStatus(name, 0, 0, 0))
        found[name] = QueueStatus(
            name,
            sum_.waiting + each.waiting,
            sum_.running + each.running,
            sum_.max_waiting + each.max_waiting,
        )
    return tuple(found.values())


def _histogram(parts: Sequence[Histogram]) -> Histogram:
    """The sum of histograms with the same bounds."""
    bounds = parts[0].bounds if parts else ()
    counts = tuple(map(sum, zip(*(each.counts for each in parts), strict=True)))
    return Histogram(bounds, counts or (0,), sum(each.sum for each in parts))
