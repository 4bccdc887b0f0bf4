"""Starts the app on a free port and finds a Chromium to open it in."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 60
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Server:
    """A running app: where it answers, and its process."""

    address: str
    pid: int


def find_chromium() -> str:
    """The path of a Chromium that runs; raises ``RuntimeError`` with what to do when there is none."""
    found = subprocess.run([ROOT / ".ci" / "browser", "--find"], capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(found.stderr.strip())
    return found.stdout.strip()


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running_app(log: Path, env: dict[str, str] | None = None, port: int | None = None) -> Iterator[str]:
    """Run the app in its own process until the context ends; yields its address once it answers.

    ``env`` is added to the environment of the process; what it prints goes to the file ``log``. Without
    ``port`` it is a free one.
    """
    with running_server(log, env, port) as server:
        yield server.address


@contextmanager
def running_server(log: Path, env: dict[str, str] | None = None, port: int | None = None) -> Iterator[Server]:
    """The same, with the process."""
    port = port or free_port()
    with running_process(log, env or {}, port) as process:
        yield Server(f"http://127.0.0.1:{port}", process.pid)


@contextmanager
def running_process(log: Path, env: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The same, for who wants to end the process in another way."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            app_command(port), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )
    try:
        wait_until_healthy(port, log, ended=lambda: process.poll() is not None)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def app_command(port: int) -> list[str]:
    """The command that runs the app at a port, from the folder `ROOT`."""
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.address", "127.0.0.1"]
    return [*command, "--server.port", str(port), "--server.headless", "true"]


def wait_until_healthy(port: int, log: Path, ended: Callable[[], bool]) -> None:
    """Wait until the app answers; raises ``RuntimeError`` with its log if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not healthy(port):
        if ended():
            raise RuntimeError(f"the app has ended:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the app was not healthy after {START_SECONDS} s:\n{_tail(log)}")
        time.sleep(0.1)


def healthy(port: int) -> bool:
    """Whether the app answers at a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().read() == b"ok"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]
