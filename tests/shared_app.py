"""One server for all processes of a test run: the first that needs it starts it, the last one stops it.

Each test looks at what the server printed while it ran. Tests of several processes run at the same time, so
an unexpected error is told with the names of all tests that it may belong to.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.browser_helpers import NO_MIRROR, UNEXPECTED_ERROR
from tools.serving import ROOT, app_command, free_port, healthy, wait_until_healthy

STOP_SECONDS = 10
IN_BACKGROUND = '"$@" > "$0" 2>&1 & echo $!'
"""The server outlives the process that starts it, which may have its last test before others have theirs."""


@dataclass(frozen=True)
class SharedApp:
    """The server of a test run: what it prints, and a list of the tests that use it."""

    url: str
    log: Path
    tests: Path

    @contextmanager
    def used_by(self, test: str) -> Iterator[None]:
        """Fail if the server prints an error that is not meant for users while the test runs."""
        start = self._note("begins", test)
        yield
        end = self._note("ends", test)
        with self.log.open("rb") as log:
            log.seek(start)
            printed = log.read(end - start).decode(errors="replace")
        assert UNEXPECTED_ERROR not in printed, (
            f"the server met an unexpected error while {self._running(start, end)} ran:\n{printed[-20_000:]}"
        )

    def _note(self, event: str, test: str) -> int:
        """Write down where the log ends as a test begins or ends."""
        at = self.log.stat().st_size
        with self.tests.open("a", encoding="utf-8") as tests:
            tests.write(f"{at} {event} {test}\n")
        return at

    def _running(self, start: int, end: int) -> str:
        """The names of the tests that ran while this part of the log was written."""
        found: dict[str, None] = {}
        for line in self.tests.read_text(encoding="utf-8").splitlines():
            at, event, test = line.split(" ", 2)
            if event == "begins" and int(at) < end:
                found[test] = None
            elif event == "ends" and int(at) <= start:
                found.pop(test, None)
        return " and ".join(found)


@contextmanager
def shared_app(folder: Path) -> Iterator[SharedApp]:
    """The server of the test run whose folder this is; it has no weights but those of the app."""
    log, server = folder / "server.log", folder / "server.json"
    with (folder / "server-users").open("a") as users:
        with _alone(folder):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not server.exists():
                server.write_text(json.dumps(_start(log, folder / "weights")), encoding="utf-8")
            known = json.loads(server.read_text(encoding="utf-8"))
        yield SharedApp(f"http://127.0.0.1:{known['port']}", log, folder / "server-tests.txt")
        with _alone(folder), suppress(BlockingIOError):  # which says that others still use it
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            server.unlink()
            _stop(**known)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process of the run starts or stops the server meanwhile."""
    with (folder / "server-lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(log: Path, weights: Path) -> dict[str, int]:
    port = free_port()
    environment = {
        "SALIENCY_MIRROR": f"http://{NO_MIRROR}",
        "SALIENCY_WEIGHTS": str(weights),
        "TORCH_HOME": str(weights),
    }
    command = ["sh", "-c", IN_BACKGROUND, str(log), *app_command(port)]
    started = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    pid = int(started.stdout)
    try:
        wait_until_healthy(port, log, ended=lambda: not _runs(pid))
    except RuntimeError:
        _stop(pid, port)
        raise
    return {"pid": pid, "port": port}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _stop(pid: int, port: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while healthy(port):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.05)
