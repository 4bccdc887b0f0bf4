"""A lecture hall: many sessions at once, with the real websocket protocol.

``python -m benchmarks --load`` starts the app in a process of its own, once
per number of sessions, and lets as many people as that use it: each uploads photos of its own, chooses
photos, classes, methods and layer weights, and looks at what appears for some seconds in between. What they
do is drawn from a seeded generator. Each photo has its session's number in colours, so that a photo or a map
of another session is noticed, and some maps are computed again here.

The sessions run in this process, which needs little of a processor; no browser is involved, so the time until
the viewer has drawn what arrived is not in the figures.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

import saliency_core as sc
from tools.serving import ROOT, START_SECONDS, Server, free_port, running_server
from tools.session_client import Component, SessionError, Studio, Tab, View

SAMPLES = ROOT / "assets" / "samples"
CODE = np.array([(45, 45, 50), (210, 70, 60), (70, 190, 90), (80, 100, 220)], float)
GRID, BITS = 4, 2  # blocks of a photo in a row, bits per block
WIDTH, HEIGHT = 1600, 1200
MAX_PHOTOS = 4  # own ones of a session
METHODS = ("normgrad", "normgrad_selective", "grad_cam", "linear_approx", "layer_cam", "gradient")
CHECKED, CHECKED_METHOD = 8, "normgrad"
TOLERANCE = 1e-4
"""Of a map computed again, as a share of its range."""
LOOKING = 5.0
"""Seconds that a person looks at what is shown, in the median."""
AFTER = 60.0
"""Seconds after the last session has left at which is measured what is left of them."""

SESSIONS, SECONDS = (1, 8, 32, 100), 120.0

CACHED, CLASS, PHOTO, OPTIONS, FIRST = (
    "cached",
    "another class",
    "a new photo",
    "methods, weights",
    "first view",
)


# -- photos that say whose they are --------------------------------------------------------------------------


def coded_photo(session: int, number: int) -> bytes:
    """A JPEG with these two numbers in its colours, and something to look at."""
    code = session << 16 | number
    digits = [code >> (BITS * i) & 3 for i in range(GRID * GRID)]
    blocks = CODE[np.array(digits).reshape(GRID, GRID)]
    rng = np.random.default_rng(code)
    small = np.repeat(np.repeat(blocks, 40, 0), 40, 1) + rng.normal(0, 25, (GRID * 40, GRID * 40, 1))
    image = Image.fromarray(small.clip(0, 255).astype(np.uint8)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()


def read_code(jpeg: bytes) -> tuple[int, int]:
    """The session's and the photo's number in a photo as it is shown."""
    with Image.open(io.BytesIO(jpeg)) as image:
        values = np.asarray(image.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX), float)
    digits = np.linalg.norm(values[:, :, None] - CODE, axis=3).argmin(axis=2).ravel()
    code = sum(int(digit) << (BITS * i) for i, digit in enumerate(digits))
    return code >> 16, code & 0xFFFF


# -- what is measured ----------------------------------------------------------------------------------------


@dataclass
class Notes:
    """What the sessions of one run noted."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """Photos or maps of somebody else."""
    seen: set[tuple[str, int | None]] = field(default_factory=set)
    """Photo and class that were explained, for whomever."""
    maps: dict[str, str] = field(default_factory=dict)
    """Digest of maps -> digest of the photo that they were shown with."""
    samples: list[Sample] = field(default_factory=list)
    received: int = 0
    runs: int = 0


@dataclass(frozen=True)
class Sample:
    """A map that a session was shown, to be computed again."""

    photo: bytes
    target: int
    layer: str
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Use:
    """What the server's processes use at one moment."""

    bytes: int
    threads: int
    files: int


def use_of(roots: Sequence[int]) -> Use:
    """The memory, threads and open files of processes and all that they have started."""
    size = threads = files = 0
    for process in _family(roots):
        with suppress(psutil.Error):
            size += process.memory_info().rss
            threads += process.num_threads()
            files += process.num_fds()
    return Use(size, threads, files)


def _family(roots: Sequence[int]) -> set[psutil.Process]:
    """Processes and all that they have started."""
    found: set[psutil.Process] = set()
    for root in roots:
        with suppress(psutil.Error):
            process = psutil.Process(root)
            found |= {process, *process.children(recursive=True)}
    return found


@contextmanager
def _cluster(folder: Path) -> Iterator[tuple[str, int]]:
    """The engine on Ray with two replicas, in processes of its own: its address, and the process."""
    port, log = free_port(), folder / "cluster.log"
    command = [sys.executable, "-m", "saliency_core", "serve", "--port", str(port), "--replicas", "2", "2"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Ready" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the engine on Ray did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    sessions: int
    notes: Notes
    before: Use
    peak: Use
    after: Use
    logged: tuple[str, ...]
    wrong: int
    """Maps that differ from those computed again."""

    @property
    def failed(self) -> bool:
        """Whether anything happened that must not."""
        return bool(self.notes.errors or self.notes.foreign or self.logged or self.wrong)


# -- a person ------------------------------------------------------------------------------------------------


class Person:
    """One session and what it does, drawn from a generator of its own."""

    def __init__(self, number: int, address: str, notes: Notes, seed: int, looking: float = LOOKING) -> None:
        self.number, self.notes, self.looking = number, notes, looking
        self.random = random.Random(f"{seed} {number}")
        self.tab = Tab(address, "compare")
        self.tab.on_arrival = self._check
        self.studio = Studio(self.tab)
        self.photos: dict[str, tuple[int, bytes]] = {}
        """Digest of an own photo -> its number and bytes."""
        self.shown = ""

    async def use(self, begin: float, end: float) -> None:
        """Arrive at `begin`, stay until `end` (seconds, monotonic)."""
        await asyncio.sleep(begin - time.monotonic())
        await self._try(FIRST, self._arrive())
        await self._try(PHOTO, self._upload())
        while True:
            pause = min(self.random.lognormvariate(0, 0.6) * self.looking, 25.0)
            if time.monotonic() + pause > end:
                break
            await asyncio.sleep(pause)
            actions = {
                self._class: 40,
                self._photo: 20,
                self._methods: 20,
                self._weights: 12,
                self._upload: 8,
            }
            (action,) = self.random.choices(list(actions), list(actions.values()))
            await self._try(action.__name__.strip("_"), action())
        await asyncio.sleep(max(end - time.monotonic(), 0))

    async def leave(self) -> None:
        """Close the tab."""
        self.notes.runs += self.tab.runs
        self.notes.received += self.tab.received
        self.notes.errors += [f"exception on the page: {each}" for each in self.tab.exceptions]
        with suppress(SessionError):
            await self.tab.leave()

    async def _try(self, what: str, action: Awaitable[None]) -> None:
        try:
            await action
        except SessionError as error:
            self.notes.errors.append(f"{what}: {error}")
            with suppress(SessionError):  # a browser reconnects by itself
                await self.tab.reconnect()
        shown = [text for text in self.tab.texts() if "ng-error" in text]
        self.notes.errors += [f"{what}, on the page: {_plain(text)}" for text in shown]

    async def _arrive(self) -> None:
        start = time.monotonic()
        await self.tab.connect()
        view = await self.studio.shows()
        self._note(FIRST, start, view)

    async def _upload(self) -> None:
        if len(self.photos) == MAX_PHOTOS:
            await self._class()
            return
        data = await asyncio.to_thread(coded_photo, self.number, len(self.photos))
        digest = hashlib.sha256(data).hexdigest()
        self.photos[digest] = (len(self.photos), data)
        start = time.monotonic()
        await self.tab.upload(f"photo {len(self.photos)}.jpg", data)
        self._note(PHOTO, start, await self.studio.shows(photo=digest))

    async def _class(self) -> None:
        before = self._view()
        target = self.random.choice([each["index"] for each in self.studio.classes()])
        if target == before.target:
            return
        kind = CACHED if (before.photo, target) in self.notes.seen else CLASS
        start = time.monotonic()
        await self.studio.choose_class(target)
        self._note(kind, start, await self.studio.shows(photo=before.photo, target=target))

    async def _photo(self) -> None:
        before = self._view().photo
        choice = self.random.choice([each for each in (*self.photos, *samples()) if each != before])
        kind = CACHED if (choice, None) in self.notes.seen else CLASS
        start = time.monotonic()
        key = samples().get(choice) or f"upload-{choice[:32]}"
        await self.studio.choose_photo(key)
        self._note(kind, start, await self.studio.shows(photo=choice))

    async def _methods(self) -> None:
        left, right = self.random.sample(METHODS, 2)
        await self._option(left=left, right=right)

    async def _weights(self) -> None:
        layers = self._view().layers
        await self._option(weights={layer: round(self.random.random(), 2) for layer in layers})

    async def _option(self, **fields: object) -> None:
        start = time.monotonic()
        await self.studio.change_view(**fields)
        await self.tab.ended()
        self.notes.seconds[OPTIONS].append(time.monotonic() - start)

    def _view(self) -> View:
        found = self.studio.view()
        if found is None:
            raise SessionError("there is no viewer on the page")
        return found

    def _note(self, kind: str, start: float, view: View) -> None:
        self.notes.seconds[kind].append(view.component.arrived - start)
        top = (view.photo, None)
        if kind in (PHOTO, FIRST) or top not in self.notes.seen:
            self.notes.seen.add(top)
        self.notes.seen.add((view.photo, view.target))
        own = self.photos.get(view.photo)
        wanted = own is not None and len(self.notes.samples) < CHECKED and self.random.random() < 0.2
        if own is not None and wanted and CHECKED_METHOD in view.methods:
            layer = self.random.choice(view.layers)
            values = view.map(CHECKED_METHOD, layer).copy()
            self.notes.samples.append(Sample(own[1], view.target, layer, values))

    def _check(self, component: Component) -> None:
        """Whether what arrives is this session's: the photo's digest, its colours, and the maps' digest."""
        if component.proto.component_name != "normgrad_viewer":
            return
        view = View(component)
        if view.photo not in samples():
            own = self.photos.get(view.photo)
            if own is None or (self.shown != view.photo and read_code(view.jpeg()) != (self.number, own[0])):
                self.notes.foreign.append(f"session {self.number} was shown {read_code(view.jpeg())}")
            self.shown = view.photo
        if self.notes.maps.setdefault(view.maps, view.photo) != view.photo:
            self.notes.foreign.append(f"session {self.number} was shown the maps of another photo")


def samples() -> dict[str, str]:
    """Digest -> name of the app's own photos."""
    if not _samples:
        for file in SAMPLES.iterdir():
            if file.suffix in (".jpg", ".png"):
                _samples[hashlib.sha256(file.read_bytes()).hexdigest()] = file.stem
    return _samples


_samples: dict[str, str] = {}


def _plain(text: str) -> str:
    return re.sub("<[^>]*>", " ", text).strip()


# -- a run ---------------------------------------------------------------------------------------------------


async def _sessions(
    address: str, roots: Sequence[int], count: int, seconds: float, notes: Notes, seed: int, kill: bool
) -> tuple[Use, Use, Use]:
    people = [Person(number, address, notes, seed) for number in range(1, count + 1)]
    before = peak = use_of(roots)

    async def watch() -> None:
        nonlocal peak
        while True:
            now = use_of(roots)
            peak = Use(*(max(pair) for pair in zip(_parts(peak), _parts(now), strict=True)))
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    start = time.monotonic()
    arriving = min(30.0, seconds / 4)  # all come within half a minute
    killing = asyncio.create_task(_kill_replica(roots, start + seconds / 2)) if kill else None
    await asyncio.gather(
        *(each.use(start + arriving * index / count, start + seconds) for index, each in enumerate(people))
    )
    if killing is not None:
        await killing
    await asyncio.gather(*(each.leave() for each in people))
    watching.cancel()
    people.clear()
    await asyncio.sleep(AFTER)
    return before, peak, use_of(roots)


def _parts(use: Use) -> tuple[int, int, int]:
    return use.bytes, use.threads, use.files


async def _kill_replica(roots: Sequence[int], at: float) -> None:
    """Kill one of the replicas at this moment; there must be one."""
    await asyncio.sleep(at - time.monotonic())
    for process in _family(roots):
        with suppress(psutil.Error):
            if any("ServeReplica" in part for part in process.cmdline()):
                process.kill()
                return
    raise RuntimeError("there is no replica to kill")


def measure(count: int, seconds: float, *, engine: str = "", kill: bool = False, seed: int = 0) -> Result:
    """Let this many sessions use an own server for so long, and look a minute later at what is left."""
    notes = Notes()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        log, env, roots = folder / "server.log", {"SALIENCY_STATE": f"{folder}/state"}, []
        if engine:
            env["SALIENCY_ENGINE"], pid = stack.enter_context(_cluster(folder))
            roots.append(pid)
        server = stack.enter_context(running_server(log, env))
        roots.append(server.pid)
        asyncio.run(_warm(server))
        used = asyncio.run(_sessions(server.address, roots, count, seconds, notes, seed, kill))
        logged = tuple(unexpected(log.read_text(errors="replace")))
    return Result(count, notes, *used, logged, wrong(notes.samples))


async def _warm(server: Server) -> None:
    """Wait until the model is loaded: how long that takes is not measured here."""
    tab = Tab(server.address, "compare")
    await tab.connect()
    await Studio(tab).shows(patience=180)
    await tab.leave()


def unexpected(log: str) -> Iterable[str]:
    """The lines of a log that tell of an error."""
    return (
        line
        for line in log.splitlines()
        if re.search(r"Traceback|\bERROR\b|\bError\b|Exception|WARNING", line)
    )


def wrong(taken: Sequence[Sample]) -> int:
    """How many maps are not those that this process computes for the same photo and class."""
    count, classifier = 0, sc.load_classifier()
    for each in taken:
        image = sc.open_image(each.photo)
        explanation = sc.explain(classifier, image, each.target, methods=(CHECKED_METHOD,))
        values = explanation.map(CHECKED_METHOD, each.layer)
        count += bool(np.abs(values - each.values).max() > TOLERANCE * max(float(np.ptp(values)), 1e-12))
    return count


# -- the table -----------------------------------------------------------------------------------------------

HEAD = (
    "sessions",
    "explanations",
    *(f"{kind}: p50 / p95" for kind in (FIRST, CACHED, CLASS, PHOTO, OPTIONS)),
    "memory: before / peak / after",
    "open files: before / peak / after",
    "errors",
    "of another session",
    "maps checked",
)


def line(result: Result) -> str:
    """One line of the table."""
    notes = result.notes
    times = [_percentiles(notes.seconds.get(kind, [])) for kind in (FIRST, CACHED, CLASS, PHOTO, OPTIONS)]
    count = sum(len(notes.seconds.get(kind, [])) for kind in (FIRST, CACHED, CLASS, PHOTO))
    used = (result.before, result.peak, result.after)
    cells = (
        str(result.sessions),
        str(count),
        *times,
        " / ".join(f"{use.bytes / 1e6:,.0f}" for use in used) + " MB",
        " / ".join(str(use.files) for use in used),
        str(len(notes.errors) + len(result.logged)),
        str(len(notes.foreign)),
        f"{len(notes.samples) - result.wrong} of {len(notes.samples)} the same",
    )
    return f"| {' | '.join(cells)} |"


def _percentiles(values: Sequence[float]) -> str:
    if not values:
        return "–"
    high = statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
    return f"{statistics.median(values):.2f} / {high:.2f} s"


def results(
    sessions: Sequence[int], seconds: float, *, engine: str = "", kill: bool = False
) -> Iterator[Result]:
    """A run for each number of sessions; its line and what went wrong also go to the standard error."""
    for count in sessions:
        result = measure(count, seconds, engine=engine, kill=kill)
        print(line(result), file=sys.stderr, flush=True)
        for each, times in _troubles(result).most_common(20):
            print(f"- {times} × {each[:300]}", file=sys.stderr, flush=True)
        yield result


def _troubles(result: Result) -> Counter[str]:
    errors = (re.sub(r"0x[0-9a-f]+|[0-9a-f]{8,}", "…", each) for each in result.notes.errors)
    return Counter([*errors, *result.notes.foreign, *result.logged])


def table(found: Iterable[Result], seconds: float) -> str:
    """The runs as a Markdown table, with the machine they were measured on."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD), *map(line, found)]
    machine = f"{os.cpu_count()} CPU cores, {psutil.virtual_memory().total / 1e9:.0f} GB of memory"
    versions = f"Python {platform.python_version()}, Streamlit {st.__version__}"
    return "\n".join([*lines, "", f"{seconds:g} s for each number of sessions. {versions}, {machine}."])
