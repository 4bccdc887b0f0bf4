"""The status as Prometheus reads it, at the address that `SALIENCY_METRICS` names; off unless it is set."""

import os
import re
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pages.shared.registry import PAGES
from pages.shared.status import ServerStatus
from saliency_core.engine.status import EngineStatus, Histogram, ModelStatus
from saliency_core.errors import ArgumentError

SETTING = "SALIENCY_METRICS"
CONTENT_TYPE = CONTENT_TYPE_LATEST
_TAKEN = {
    *(entry.slug for entry in PAGES),
    *("_stcore", "media", "component", "static", "assets", "models", "share", "status"),
}


def address() -> str | None:
    """The address at which the metrics are served; None if nowhere.

    Raises:
        ArgumentError: the setting is no address, or one at which there is something else.
    """
    given = os.environ.get(SETTING, "").strip()
    if not given:
        return None
    if not re.fullmatch(r"(/[A-Za-z0-9_-]+)+", given) or given.split("/")[1] in _TAKEN:
        raise ArgumentError(
            f"{SETTING} is “{given}”. Expected an address of this server at which nothing else is, such "
            "as /metrics."
        )
    return given


class _Status(Collector):
    def __init__(self, status: ServerStatus) -> None:
        self.status = status

    def collect(self) -> Iterator[Metric]:
        found = self.status
        for name, text, value in (
            ("sessions", "Open browser tabs.", found.sessions),
            ("sessions_max", "Browser tabs that may be open at once.", found.max_sessions),
            ("uploads", "Uploaded photos that are kept, of all web processes.", found.uploads),
            ("uploads_bytes", "Bytes of uploaded photos that are kept.", found.upload_bytes),
            ("uploads_bytes_max", "Bytes that uploaded photos may take.", found.max_upload_bytes),
            ("memory_bytes", "Resident memory of this web process.", found.memory),
            ("threads", "Threads of this web process.", found.threads),
            ("open_files", "Open files and connections of this web process.", found.files),
            ("engine_up", "Whether the engine answers.", found.engine is not None),
        ):
            yield GaugeMetricFamily(f"normgrad_{name}", text, value=float(value))
        if found.engine is not None:
            yield from _engine(found.engine)


def _engine(engine: EngineStatus) -> Iterator[Metric]:
    yield _gauge(
        "model_bytes", "Bytes of a network in memory.", "model", _summed(engine, lambda model: model.bytes)
    )
    yield _gauge(
        "model_users",
        "Computations that use a network now.",
        "model",
        _summed(engine, lambda model: model.users),
    )
    stores, queues = engine.stores, engine.queues
    yield _gauge(
        "store_entries", "Entries of a store.", "store", {each.name: each.entries for each in stores}
    )
    for name, text, sizes in (
        ("store_size", "Size of a store", {each.name: each.size for each in stores}),
        ("store_size_max", "Bound of a store", {each.name: each.max_size for each in stores}),
    ):
        yield _gauge(name, f"{text}, in bytes or, where entries are counted, in entries.", "store", sizes)
    yield _counter("store_hits", "Answers found.", "store", {each.name: each.hits for each in stores})
    yield _counter("store_misses", "Answers not found.", "store", {each.name: each.misses for each in stores})
    yield _gauge("queue_waiting", "Tasks that wait.", "queue", {each.name: each.waiting for each in queues})
    yield _gauge("queue_running", "Tasks that run.", "queue", {each.name: each.running for each in queues})
    yield _gauge(
        "queue_waiting_max", "Tasks that may wait.", "queue", {each.name: each.max_waiting for each in queues}
    )
    yield CounterMetricFamily("normgrad_refused", "Requests answered with “busy”.", value=engine.refused)
    yield CounterMetricFamily(
        "normgrad_dropped", "Requests that nobody wanted any more when their turn came.", value=engine.dropped
    )
    yield _histogram("waited_seconds", "Seconds that an explanation waited.", engine.waited)
    yield _histogram("computed_seconds", "Seconds that an explanation was computed.", engine.computed)


def _summed(engine: EngineStatus, value: Callable[[ModelStatus], int]) -> dict[str, int]:
    """A number by model; those of sessions' own networks, which share a name, together."""
    found: dict[str, int] = {}
    for model in engine.models:
        found[model.name] = found.get(model.name, 0) + value(model)
    return found


def _gauge(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(f"normgrad_{name}", text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"normgrad_{name}", text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _histogram(name: str, text: str, seconds: Histogram) -> Metric:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*seconds.bounds, float("inf")), seconds.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
    return HistogramMetricFamily(f"normgrad_{name}", text, buckets=buckets, sum_value=seconds.sum)


def text(status: ServerStatus) -> bytes:
    """The status in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Status(status))
    return generate_latest(registry)
