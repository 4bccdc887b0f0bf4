"""An evaluation on Ray Data: the same batches, computed by several processes or machines.

Every worker holds the network, on a GPU of its own if the cluster has any, and is handed one batch after the
other. Ray starts a lost worker again, and repeats the batch that it was at. A batch has all its rows or none,
and every one is checked to come back exactly once (:func:`saliency_core.evaluation.run.evaluate`). Items,
batches and the number of threads are those of a run in one process: so the rows are equal to the last digit
on machines of the same kind.

What Ray cannot promise:

- Another processor, a GPU instead of a CPU, or another version of PyTorch rounds differently: between them,
  rows are equal within rounding only. Where the two largest values of a map are nearly equal, its maximum may
  be elsewhere.
- The process that starts the run is not replaced. If it is lost, the run is continued from the file of
  results when it is started again; without a file it starts anew.
- A batch on which workers are lost again and again, such as one that does not fit into their memory, ends the
  run after :data:`RETRIES` repetitions. What is done is kept in the file of results.
- The package and its dependencies must be installed on every machine, in the same versions, and a folder of
  photos must have the same path on all of them. Before a worker computes anything, versions, weights and a
  few photos are compared.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import platform
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from saliency_core.engine.ray.connection import AUTO, connect, imported
from saliency_core.errors import SaliencyError, first_line
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.rows import arrow
from saliency_core.evaluation.run import BatchComputer, Computed, Evaluation, EvaluationError, network_digest
from saliency_core.models.classifier import Classifier
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.progress import NO_LOCK, Lock
from saliency_core.version import VERSION

if TYPE_CHECKING:
    import pyarrow

RETRIES = 3
"""How often a batch is repeated after its worker was lost."""
COMPARED_PHOTOS = 3


def ray_computer(address: str = AUTO) -> BatchComputer:
    """Has the batches of an evaluation computed on Ray: ``evaluate(..., compute=ray_computer())``.

    Args:
        address: of a Ray cluster, ``"10.0.0.1:6379"``. ``"auto"`` takes the one that this machine belongs to,
            and starts Ray on this machine alone if there is none. A process that is already connected to Ray
            stays so.

    Raises:
        UnavailableError: Ray is not installed; or, when the evaluation starts, no cluster is at the address.
        EvaluationError: when the evaluation runs: workers were lost again and again, the network cannot be
            sent to them, or one of them has another version or does not see the photos.
    """
    ray = _ray()

    def compute(work: Evaluation, batches: Sequence[int], _lock: Lock = NO_LOCK) -> Computed:
        return _computed(ray, work, batches, address)

    return compute


@dataclass(frozen=True)
class _Order:
    """What a worker needs to compute batches, and what it must find equal."""

    module: nn.Module
    """On the CPU, without hooks."""
    options: dict[str, Any]
    """The other arguments of the classifier."""
    photo_set: PhotoSet
    plan: EvaluationPlan
    threads: int
    device: str
    versions: dict[str, str]
    network: str
    photos: dict[str, int]
    """The checksums of a few photos."""


class _Worker:
    """Computes batches in a process of Ray. It examines the network when its first batch comes."""

    def __init__(self, order: Any) -> None:
        import ray

        self._order: _Order = ray.get(order)
        self._work: Evaluation | None = None

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """A row with the number of the batch and its rows as an Arrow stream, or an error instead of them."""
        (index,) = batch["batch"].to_pylist()
        rows, error = b"", b""
        try:
            if self._work is None:
                self._work = _evaluation(self._order)
            rows = _written(self._work.rows(index))
        except SaliencyError as found:
            error = pickle.dumps(found)
        return arrow().table({"batch": [index], "rows": [rows], "error": [error]})


def _computed(ray: Any, work: Evaluation, batches: Sequence[int], address: str) -> Computed:
    """Batches with their indices, as they come in."""
    if not batches:
        return
    with _connected(ray, address), _quiet():
        workers, cpus, gpus = _resources(ray, len(batches))
        order = _put(ray, _order(work, "cuda" if gpus else "cpu"))
        with warnings.catch_warnings(category=ray.util.annotations.RayDeprecationWarning, action="ignore"):
            # The warning is of the last two arguments, which have no other names in this version of Ray.
            rows = ray.data.from_items(
                [{"batch": index} for index in batches], override_num_blocks=len(batches)
            ).map_batches(
                _Worker,
                batch_size=1,
                batch_format="pyarrow",
                fn_constructor_args=(order,),
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
                num_cpus=cpus,
                num_gpus=gpus,
                max_restarts=-1,
                max_task_retries=RETRIES,
            )
        rows.context.enable_progress_bars = False
        rows.context.print_on_execution_start = False
        rows.context.max_consecutive_actor_init_deaths = RETRIES
        try:
            for found in rows.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0):
                (error,) = found["error"].to_pylist()
                if error:
                    raise pickle.loads(error)
                yield found["batch"][0].as_py(), _read(found["rows"][0].as_buffer())
        except ray.exceptions.RayError as error:
            raise EvaluationError(
                f"Ray could not finish the evaluation: {first_line(error)} If the workers’ memory is too "
                "small, take a smaller batch. What is done is kept where there is a file of results"
            ) from error


def _ray() -> Any:
    ray = imported("data")
    with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):  # of its own settings
        ray.data.DataContext.get_current()
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to Ray, closed again if it was opened here."""
    opened = connect(ray, address)
    try:
        yield
    finally:
        if opened:
            ray.shutdown()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray Data writes its messages to its own files only: what matters arrives as an exception."""
    consoles = [
        handler
        for handler in logging.getLogger("ray.data").handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    levels = [handler.level for handler in consoles]
    for handler in consoles:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(consoles, levels, strict=True):
            handler.setLevel(level)


def _resources(ray: Any, batches: int) -> tuple[int, int, int]:
    """How many workers there are, and how many CPUs and GPUs each of them has.

    A worker takes as many CPUs as this process uses threads, or all of a machine that has fewer: it has the
    same number of threads, so that it rounds alike.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = min(torch.get_num_threads(), max(int(each.get("CPU", 0)) for each in machines))
    gpus = (
        0
        if os.environ.get("SALIENCY_DEVICE", "").strip() == "cpu"
        else sum(int(each.get("GPU", 0)) for each in machines)
    )
    workers = gpus or sum(int(each.get("CPU", 0)) // max(cpus, 1) for each in machines)
    return max(1, min(workers, batches)), cpus, int(gpus > 0)


def _order(work: Evaluation, device: str) -> _Order:
    module, options = work.classifier.parts()
    records, files = work.photo_set.records, work.photo_set.files
    step = max(1, (len(records) - 1) // (COMPARED_PHOTOS - 1))
    return _Order(
        module.cpu(),
        options,
        work.photo_set,
        work.plan,
        torch.get_num_threads(),
        device,
        _versions(),
        network_digest(work.classifier),
        {record.name: files.checksum(record.name) for record in records[::step]},
    )


def _put(ray: Any, order: _Order) -> Any:
    try:
        return ray.put(order)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise EvaluationError(
            f"the network {order.options['title']!r} or the photo set cannot be sent to other processes: "
            f"{first_line(error)}"
        ) from error


def _versions() -> dict[str, str]:
    """What must be the same on all machines."""
    return {"Python": platform.python_version(), "PyTorch": torch.__version__, "normgrad-studio": VERSION}


def _evaluation(order: _Order) -> Evaluation:
    """The evaluation as the process that started the run has it, in a worker.

    Raises:
        EvaluationError: this machine has other versions or photos, or the network changed on the way.
    """
    host = platform.node()
    for name, version in _versions().items():
        if version != order.versions[name]:
            raise EvaluationError(
                f"the machine {host!r} has {name} {version}, and the run was started with "
                f"{order.versions[name]}; install the same version everywhere"
            )
    for name, checksum in order.photos.items():
        if _checksum(order.photo_set, name) != checksum:
            raise EvaluationError(
                f"the machine {host!r} does not see the photo {name!r} of {order.photo_set.name!r} as it is "
                "where the run was started; every machine must see the same files under the same path"
            )
    torch.set_num_threads(order.threads)
    module = order.module.to(order.device)  # the first GPU that a worker of Ray sees is its own
    work = Evaluation(Classifier(module, **order.options), order.photo_set, order.plan)
    if network_digest(work.classifier) != order.network:
        raise EvaluationError(f"the network came to the machine {host!r} with other weights; run it again")
    return work


def _checksum(photo_set: PhotoSet, name: str) -> int | None:
    try:
        return photo_set.files.checksum(name)
    except (SaliencyError, OSError, KeyError):
        return None


def _written(rows: pyarrow.Table) -> bytes:
    """A table as an Arrow stream: its columns with their types, whatever Ray makes of columns."""
    sink = arrow().BufferOutputStream()
    with arrow().ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def _read(stream: Any) -> pyarrow.Table:
    return arrow().ipc.open_stream(stream).read_all()
