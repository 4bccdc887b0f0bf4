"""Every architecture with random weights: what is found in it, whether every map is finite, time and memory.

Each network is examined in a process of its own, which is stopped after ``SECONDS`` or when it reserves more
than ``ADDRESS_BYTES``: a network that is too large for this machine costs one line, not the table. Those with
more than ``MAX_PARAMETERS`` are not tried.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).parent.parent / "assets" / "samples" / "chelsea.png"
SECONDS, ADDRESS_BYTES, MAX_PARAMETERS = 120, 48 << 30, 300_000_000
SAMPLED, SEED = 60, 0


@dataclass(frozen=True)
class Found:
    """What examining one network gave."""

    name: str
    layers: int = 0
    """Default layers."""
    all_layers: int = 0
    maps: int = 0
    constant: int = 0
    """Maps with one value everywhere."""
    building: float = 0.0
    """Seconds for the network, its random weights and its layers."""
    plain: float = 0.0
    """Seconds of one bare forward and backward pass."""
    explaining: float = 0.0
    """Seconds of one explanation with every single-pass method at every default layer."""
    memory: int = 0
    """Largest resident memory of the process, bytes."""
    sentence: str = ""
    """Why it is refused."""
    too_large: str = ""
    """Why it was not examined here."""
    defect: str = ""
    """An error that is not for users."""


def curated() -> tuple[str, ...]:
    """The architectures that are offered first."""
    import saliency_core as sc

    return tuple(sc.MODELS)


def sampled(count: int = SAMPLED, seed: int = SEED) -> tuple[str, ...]:
    """A seeded sample of timm's architectures."""
    import timm

    names = random.Random(seed).sample(sorted(timm.list_models()), count)
    return tuple(f"timm:{name}" for name in names)


def examine(name: str) -> Found:
    """Build a network with random weights and explain a photo with it; in this process."""
    import torch

    import saliency_core as sc

    try:
        parameters = sc.MODELS[f"{name}.random"].details().parameters or 0
        if parameters > MAX_PARAMETERS:
            return Found(name, too_large=f"{parameters / 1e6:,.0f} million parameters")
        start = time.perf_counter()
        classifier = sc.load_classifier(name, random=0)
        building = time.perf_counter() - start
        image = sc.open_image(SAMPLE)
        explanation = sc.explain(classifier, image)
        start = time.perf_counter()
        sc.explain(classifier, image)
        explaining = time.perf_counter() - start
        batch = classifier.to_device(classifier.prepare(image)[0]).requires_grad_()
        start = time.perf_counter()
        torch.autograd.grad(classifier.scores(batch.clone())[0, explanation.target], batch)
        plain = time.perf_counter() - start
    except sc.SaliencyError as error:
        return Found(name, sentence=str(error))
    pairs = [
        (method, layer.name)
        for layer in explanation.layers
        for method in explanation.methods
        if explanation.has(method, layer.name)
    ]
    bad = [pair for pair in pairs if not np.isfinite(explanation.map(*pair)).all()]
    return Found(
        name,
        layers=len(explanation.layers),
        all_layers=len(classifier.layers),
        maps=len(pairs),
        constant=sum(explanation.constant(*pair) for pair in pairs),
        building=building,
        plain=plain,
        explaining=explaining,
        defect=f"not finite: {bad[:3]}" if bad else "",
    )


def _work(connection: Connection, name: str) -> None:
    """The process of one network."""
    from dataclasses import replace

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    try:
        found = examine(name)
    except MemoryError:
        found = Found(name, too_large="more memory than this benchmark allows")
    except BaseException as error:  # reported as a defect, whatever it is
        found = Found(name, defect=f"{type(error).__name__}: {str(error).splitlines()[:1]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    connection.send(replace(found, memory=peak))


def examined(names: Iterable[str]) -> Iterable[Found]:
    """Each network's findings, one after the other."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["timm", "saliency_core"])
    for name in names:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(sender, name), daemon=True)
        process.start()
        sender.close()
        try:
            ready = receiver.poll(SECONDS)
            found = receiver.recv() if ready else Found(name, too_large=f"not done within {SECONDS} s")
        except EOFError:
            found = Found(name, too_large="more memory than there is")
        process.kill()
        process.join()
        yield found


def table(names: Iterable[str]) -> str:
    """The findings as Markdown, with what could not be explained in sentences below."""
    lines = [
        "| model | default layers | all layers | maps | constant | load | forward + backward | explain "
        "| memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    others = []
    for found in examined(names):
        if found.sentence or found.defect or found.too_large:
            reason = f"**defect**: {found.defect}" if found.defect else found.sentence
            others.append(f"- `{found.name}`: {reason or f'not examined here, {found.too_large}'}")
            print(others[-1], flush=True)
            continue
        lines.append(
            f"| {found.name} | {found.layers} | {found.all_layers} | {found.maps} | {found.constant} "
            f"| {found.building:.1f} s | {found.plain:.2f} s | {found.explaining:.2f} s "
            f"| {found.memory / 2**30:.1f} GB |"
        )
        print(lines[-1], flush=True)
    return "\n".join([*lines, *(["", "The others:", "", *others] if others else [])])
