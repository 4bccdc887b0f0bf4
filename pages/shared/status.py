"""What the operator may see of this web process and its engine: no photo, no file name, no session's name."""

import resource
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from pages.shared import photos
from pages.shared.connections import LiveSessions
from pages.shared.engine import shared_engine
from pages.shared.models import OWN_PREFIX
from saliency_core.engine.status import EngineStatus, Histogram, ModelStatus

OWN = "a session’s own network"
_started = time.time()


@dataclass(frozen=True)
class ServerStatus:
    """This web process and its engine at one moment; `engine` is None where it does not answer.

    `uploads` are photos that lie on the disk or in memory, `memory` and `peak` bytes of this process.
    """

    now: float
    uptime: float
    sessions: int
    max_sessions: int
    uploads: int
    upload_bytes: int
    max_upload_bytes: int
    memory: int
    peak: int
    threads: int
    files: int
    engine: EngineStatus | None


def now(live: LiveSessions, max_sessions: int) -> ServerStatus:
    """The status at this moment."""
    uploads, upload_bytes = photos.upload_files().usage()
    time_now = time.time()
    return ServerStatus(
        now=time_now,
        uptime=time_now - _started,
        sessions=len(live),
        max_sessions=max_sessions,
        uploads=uploads,
        upload_bytes=upload_bytes,
        max_upload_bytes=photos.upload_files().max_bytes,
        memory=_memory(),
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        threads=threading.active_count(),
        files=_open_files(),
        engine=engine_status(),
    )


def engine_status() -> EngineStatus | None:
    """What the engine says, with sessions' own networks without their names; None if it does not answer."""
    try:
        found = shared_engine().status()
    except Exception:  # of an engine on other machines, which has libraries of its own
        return None
    return replace(found, models=tuple(_anonymous(model) for model in found.models))


def _anonymous(model: ModelStatus) -> ModelStatus:
    """Whoever knows the name of a session's own network could use it."""
    return replace(model, name=OWN) if model.name.startswith(OWN_PREFIX) else model


def _memory() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):  # not on Linux
        return 0
    return pages * resource.getpagesize()


def _open_files() -> int:
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 0


def quantile(seconds: Histogram, share: float) -> float | None:
    """An upper bound of the seconds that this share of the answers took at most; infinite beyond the bounds.

    None if there was no answer.
    """
    total = sum(seconds.counts)
    if not total:
        return None
    counted = 0
    for bound, count in zip(seconds.bounds, seconds.counts, strict=False):
        counted += count
        if counted >= share * total:
            return bound
    return float("inf")
