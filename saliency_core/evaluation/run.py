"""Runs a plan over a photo set, batch by batch, and keeps what is done."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from saliency_core.errors import ArgumentError, ArgumentTypeError, SaliencyError
from saliency_core.evaluation.grids import grid_rows
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.reading import Prepared, read_batch
from saliency_core.evaluation.result import EvaluationResult
from saliency_core.evaluation.rows import arrow, table
from saliency_core.evaluation.scoring import pair_rows
from saliency_core.evaluation.store import Identity, Store, read_rows
from saliency_core.evaluation.workload import Batch, has_objects, workload
from saliency_core.inputs.preprocess import Preprocess
from saliency_core.models.catalogue.loading import load_classifier
from saliency_core.models.classifier import Classifier
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.progress import NO_LOCK, Lock, ProgressCallback, no_progress

if TYPE_CHECKING:
    import pyarrow


class EvaluationError(SaliencyError, RuntimeError):
    """Batches that were lost, came twice, or came back with other rows than asked for."""


class Evaluation:
    """A plan for one network and one photo set, with everything that a batch needs.

    Its batches can be computed in any order, by any process that has an equal network and the same photos:
    their rows do not depend on where that is.

    Args:
        classifier: the network.
        photo_set: the photos.
        plan: what is evaluated; what it leaves open is chosen for this network.

    Attributes:
        plan: the plan, with nothing left open.
        workload: the items in fixed batches.

    Raises:
        ArgumentError: no photo can be evaluated; and as for :meth:`EvaluationPlan.resolved`.
    """

    def __init__(self, classifier: Classifier, photo_set: PhotoSet, plan: EvaluationPlan) -> None:
        self.classifier, self.photo_set = classifier, photo_set
        self.plan = plan.resolved(classifier, boxes=has_objects(photo_set, classifier.labels))
        self.workload = workload(photo_set, classifier.labels, self.plan)
        if not self.workload.batches:
            reasons = " ".join(self.workload.remarks[:3]) or "There is no photo in it."
            raise ArgumentError(f"nothing in {photo_set.name!r} can be evaluated. {reasons}")

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.workload.batches)

    def read(self, batch_index: int) -> Prepared:
        """The first step of a batch, which does not run the network."""
        return read_batch(self.classifier, self.photo_set, self.plan, self.workload.batches[batch_index])

    def rows(
        self, batch_index: int, prepared: Prepared | None = None, *, lock: Lock = NO_LOCK
    ) -> pyarrow.Table:
        """The rows of a batch in the order of its items, with the columns of :func:`rows.schema`.

        Args:
            batch_index: from 0.
            prepared: what :meth:`read` gave for this batch, if it was called before.
            lock: entered for every batch of passes.
        """
        batch = self.workload.batches[batch_index]
        prepared = self.read(batch_index) if prepared is None else prepared
        if batch.cells is None:
            found = pair_rows(self.classifier, self.plan, prepared.subjects, lock)
        else:
            found = grid_rows(self.classifier, self.plan, prepared.subjects, batch.cells, lock)
        return table(sorted([*prepared.left_out, *found], key=lambda row: row.item))

    def identity(self) -> Identity:
        """What the rows belong to. The photos of a folder are read once for it."""
        return Identity(
            plan=self.plan,
            photos=self.photo_set.digest,
            network=network_digest(self.classifier),
            set_name=self.photo_set.name,
            model_title=self.classifier.title,
            remarks=self.workload.remarks,
            problems=tuple((each.file, each.sentence) for each in self.photo_set.problems),
            items=self.workload.count,
            batches=len(self),
        )


def evaluate_batch(
    classifier: Classifier, photo_set: PhotoSet, plan: EvaluationPlan, batch_index: int
) -> pyarrow.Table:
    """The rows of one batch; for several of them see :class:`Evaluation`, which finds the items only once."""
    return Evaluation(classifier, photo_set, plan).rows(batch_index)


def evaluate(
    classifier: Classifier | str,
    photo_set: PhotoSet,
    plan: EvaluationPlan | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    restart: bool = False,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    keep: Callable[[pyarrow.Table], None] | None = None,
    compute: BatchComputer | None = None,
) -> EvaluationResult:
    """Evaluate methods on a photo set.

    Photos are held for two batches at a time: while the maps of one are computed and scored, the next one's
    are read. A photo that cannot be used is listed with the reason, and the others are evaluated.

    Args:
        classifier: the network, or its name in the catalogue.
        photo_set: see :func:`read_photo_set`.
        plan: what is evaluated; the pointing game and the energy inside, or the grid pointing game for a set
            without boxes, for all single-pass methods, if None.
        out: a Parquet file for the results. What is done is kept beside it while the run goes on, and a run
            that was cancelled or interrupted is continued; a finished one is read.
        restart: remove results that are there instead of continuing them.
        progress: called with (items done, items in all) after every batch; what it raises, such as
            ``Cancelled``, ends the run, and batches that are done are kept if there is ``out``.
        lock: entered for every batch of passes.
        keep: called with the rows of every batch, also of those that were done before.
        compute: what computes the batches, in any order; this process if None.

    Raises:
        ArgumentError: nothing can be evaluated; or ``out`` has results of something else.
        UnavailableError: pyarrow is not installed; or a method is not defined for the network.
    """
    arrow()
    if not isinstance(photo_set, PhotoSet):
        raise ArgumentTypeError(
            f"photo_set is a {type(photo_set).__name__}; expected a PhotoSet (see read_photo_set)"
        )
    plan = EvaluationPlan() if plan is None else plan
    if isinstance(classifier, str):
        classifier = load_classifier(classifier)
    work = Evaluation(classifier, photo_set, plan)
    identity = work.identity()
    sizes = [len(batch.items) for batch in work.workload.batches]
    store = None if out is None else Store(out, identity)
    with nullcontext() if store is None else store.opened(restart=restart):
        if store is not None and store.finished:
            rows = read_rows(store.file)
            if keep is not None:
                keep(rows)
            progress(sum(sizes), sum(sizes))
            return EvaluationResult(rows, identity)
        kept: dict[int, pyarrow.Table] = {}
        done = 0
        for index in sorted(store.done()) if store is not None else ():
            done += sizes[index]
            if keep is not None and store is not None:
                keep(store.read(index))
        progress(done, sum(sizes))
        finished = frozenset() if store is None else store.done()
        waiting = [index for index in range(len(work)) if index not in finished]
        missing = set(waiting)
        with closing((compute or here)(work, waiting, lock)) as computed:
            for index, rows in computed:
                _check(index, rows, work.workload.batches[index], missing)
                missing.remove(index)
                if store is None:
                    kept[index] = rows
                else:
                    store.write(index, rows)
                if keep is not None:
                    keep(rows)
                done += sizes[index]
                progress(done, sum(sizes))
        if missing:
            raise EvaluationError(
                f"the batches {sorted(missing)} of {len(work)} did not come back; run it again"
            )
        if store is None:
            tables = [kept[index] for index in sorted(kept)]
            return EvaluationResult(arrow().concat_tables(tables).unify_dictionaries(), identity)
        store.merge()
    return EvaluationResult(read_rows(store.file), identity)


def _check(index: int, rows: pyarrow.Table, batch: Batch, missing: Collection[int]) -> None:
    """Refuse a batch that came twice, or whose rows are not those of its items."""
    found, expected = set(rows["item"].unique().to_pylist()), {item.number for item in batch.items}
    if index not in missing:
        raise EvaluationError(f"batch {index} came back a second time, so its photos would be counted twice")
    if found != expected:
        raise EvaluationError(
            f"batch {index} came back with the items {sorted(found)}; expected {sorted(expected)}"
        )


Computed = Generator[tuple[int, "pyarrow.Table"], None, None]
"""Batches with their indices as they are done; closed when no more are wanted."""
BatchComputer = Callable[[Evaluation, Sequence[int], Lock], Computed]
"""Computes batches, in any order: called with the evaluation, the indices of the batches and a lock."""


def here(work: Evaluation, batches: Sequence[int], lock: Lock = NO_LOCK) -> Computed:
    """A :data:`BatchComputer` of this process, which reads the next batch's photos meanwhile."""
    coming: deque[Future[Prepared]] = deque()
    with ThreadPoolExecutor(1, "photos") as reader:
        for index, following in zip(batches, [*batches[1:], None], strict=True):
            prepared = coming.popleft().result() if coming else work.read(index)
            if following is not None:
                coming.append(reader.submit(work.read, following))
            yield index, work.rows(index, prepared, lock=lock)


def network_digest(classifier: Classifier) -> str:
    """A text that differs for networks with other weights, labels, presets or preprocessing.

    A transform that is no :class:`Preprocess` is not looked into.
    """
    found = hashlib.blake2b(digest_size=16)
    preprocess = classifier.preprocess if isinstance(classifier.preprocess, Preprocess) else None
    presets = {title: sorted(weights.items()) for title, weights in classifier.presets.items()}
    given = (classifier.title, tuple(classifier.labels), classifier.multi_label, presets, preprocess)
    found.update(repr(given).encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(classifier.module.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def _bytes(tensor: torch.Tensor) -> Any:
    """A tensor's values in memory order of its shape, in any dtype."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
