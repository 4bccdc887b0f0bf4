"""The engine on Ray beside the engine of one process: what the way to a replica and back costs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import torch

import saliency_core as sc
from benchmarks.measure import Row, seconds
from saliency_core.engine.ray.client import RayEngine
from saliency_core.engine.ray.connection import imported, start
from saliency_core.engine.ray.scale import Scale
from saliency_core.engine.request import ExplainRequest, image_digest

SAMPLE = "assets/samples/chelsea.png"
OVERHEAD_MS = 10.0
SHARED_MS = 20.0
CACHED_MS = 1.0


def rows(runs: int) -> Iterator[Row]:
    """An answer that is computed, one that another web process has asked for, and one that this one has."""
    ray = imported("serve")
    start(ray)
    scale = replace(Scale.fitting(ray, (1, 1), "cpu"), threads=torch.get_num_threads())
    remote, local = RayEngine(scale=scale), sc.Engine("cpu")
    image = sc.open_image(SAMPLE)
    request = ExplainRequest(image_digest(image), sc.DEFAULT_MODEL)
    targets = count()
    here, there, shared, cached = [], [], [], []
    for number in range(runs + 3):
        asked = replace(request, target=next(targets))
        one = seconds(lambda asked=asked: local.submit(asked, image).value())  # type: ignore[misc]
        other = seconds(lambda asked=asked: remote.submit(asked, image).value())  # type: ignore[misc]
        again = seconds(lambda asked=asked: remote.submit(asked, image).value())  # type: ignore[misc]
        remote.cache.drop_where(lambda _: True)  # as in a web process that has just started
        from_store = seconds(lambda asked=asked: remote.submit(asked, image).value())  # type: ignore[misc]
        if number >= 3:
            here.append(one)
            there.append(other)
            shared.append(from_store)
            cached.append(again)
    ray.serve.shutdown()
    ray.shutdown()
    one, other = statistics.median(here) * 1e3, statistics.median(there) * 1e3
    over = statistics.median(b - a for a, b in zip(here, there, strict=True)) * 1e3
    yield Row("Ray: an explanation that is computed here, without Ray", f"{one:.0f} ms")
    yield Row("Ray: an explanation that a replica computes", f"{other:.0f} ms")
    what = "Ray: what the replica adds, pair by pair"
    yield Row(what, f"{over:.1f} ms", f"< {OVERHEAD_MS:g} ms", over < OVERHEAD_MS)
    ms = statistics.median(shared) * 1e3
    what = "Ray: an explanation that another web process has asked for"
    yield Row(what, f"{ms:.1f} ms", f"< {SHARED_MS:g} ms", ms < SHARED_MS)
    ms = statistics.median(cached) * 1e3
    yield Row("Ray: the same one again", f"{ms:.2f} ms", f"< {CACHED_MS:g} ms", ms < CACHED_MS)
