"""Evaluation of photo sets: its time beside the bare network, and its memory over many photos."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import saliency_core as sc
from benchmarks.measure import Row, ratio
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.run import Evaluation, here
from saliency_core.photo_sets.model import Annotation, PhotoRecord, PhotoSet

NETWORKS = ("resnet50", "tf_efficientnet_lite0")
BOUND_FOR = ("resnet50",)
"""The paper's network. The other one passes in a third of the time, and scoring takes the same for both."""
BATCH, CLASS = 16, 282
TABLE_RATIO, SLOPE_KB = 1.5, 20.0
MANY = 1000
SIDE = 64


class Repeated:
    """The files of a set with any number of photos, which are one and the same."""

    def __init__(self, size: tuple[int, int]) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        self.data = file.getvalue()

    def read(self, name: str) -> bytes:
        return self.data

    def checksum(self, name: str) -> int:
        return 0

    def close(self) -> None:
        pass


def photo_set(count: int, class_name: str, size: tuple[int, int] = (500, 375)) -> PhotoSet:
    """Photos of the size of Pascal VOC's, with one object in the middle each."""
    box = (size[0] / 4, size[1] / 4, size[0] * 3 / 4, size[1] * 3 / 4)
    records = tuple(
        PhotoRecord(f"{number:04}.jpg", (Annotation(class_name, box),), width=size[0], height=size[1])
        for number in range(count)
    )
    return PhotoSet("noise", "voc", records, (class_name,), Repeated(size))


def rows(runs: int) -> Iterator[Row]:
    """The full table of two networks with random weights, then memory."""
    for name in NETWORKS:
        yield full_table(name, max(runs // 3, 3))
    yield memory()


def full_table(name: str, runs: int) -> Row:
    """Reading, explaining and scoring a batch, as a multiple of the bare network's two passes of 16."""
    classifier = sc.load_classifier(name, random=0)
    network = sc.MODELS[name].build().eval().requires_grad_(False).to(classifier.device)
    network.load_state_dict(classifier.module.state_dict())
    label = classifier.labels[CLASS]
    # In the middle of a run, where the next batch is read meanwhile: three batches of which one is timed.
    work = Evaluation(classifier, photo_set(3 * BATCH, label), EvaluationPlan(batch=BATCH))
    batches = chain.from_iterable(here(work, [0, 1, 2]) for _ in iter(int, 1))
    inputs = torch.cat([subject.photo.x for subject in work.read(0).subjects]).to(classifier.device)
    maps = work.rows(0).num_rows // BATCH // len(work.plan.metrics or ())
    quotient, ours, theirs = ratio(lambda: next(batches), partial(bare, network, inputs), runs)
    title = sc.MODELS[name].title
    what = (
        f"{title}: evaluation, {maps} maps and mixes × pointing game and energy / bare forward + backward, "
        f"batches of {BATCH}"
    )
    value = f"{quotient:.2f} ({BATCH / ours:.1f} / {BATCH / theirs:.1f} photos per second)"
    if name not in BOUND_FOR:
        return Row(what, value)
    return Row(what, value, f"≤ {TABLE_RATIO}", quotient <= TABLE_RATIO)


def bare(network: nn.Module, x: Tensor) -> None:
    """One forward and one backward pass of a batch from a class logit to the input."""
    inputs = x.clone().requires_grad_()
    torch.autograd.grad(network(inputs)[:, CLASS].sum(), inputs)


def memory() -> Row:
    """How much the peak of the memory still grows per photo, in a process that does nothing else."""
    code = "from benchmarks.evaluation import growth; print(growth())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slope = float(done.stdout) / 1e3
    what = f"Evaluation of {MANY:,} photos of 1000 × 750: growth of the peak of the memory per photo"
    return Row(what, f"{slope:.1f} kB", f"≤ {SLOPE_KB:g} kB", slope <= SLOPE_KB)


def growth() -> float:
    """Bytes by which the peak of this process's memory grows per photo, after the first tenth of them.

    The rows are not kept, as in a run that writes them to a file; the network is a small one.
    """
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip
    labels = ["one", "two", "three", "four"]
    classifier = sc.Classifier(module, preprocess=sc.Preprocess(size=SIDE, resize=SIDE), labels=labels)
    photos = photo_set(MANY, "one", size=(1000, 750))
    work = Evaluation(classifier, photos, EvaluationPlan(batch=BATCH))
    indices = list(range(len(work)))
    tenth = len(indices) // 10
    for _ in here(work, indices[:tenth]):
        pass
    before = peak_bytes()
    for _ in here(work, indices[tenth:]):
        pass
    return (peak_bytes() - before) / (MANY * (len(indices) - tenth) / len(indices))


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
