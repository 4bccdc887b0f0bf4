"""The evaluation of a photo set as a request that an engine answers in the background."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from saliency_core.deferred import deferred
from saliency_core.engine.evaluations import EvaluationRequest, Helpers
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.result import EvaluationResult
from saliency_core.evaluation.rows import arrow
from saliency_core.photo_sets.model import PhotoSet

if TYPE_CHECKING:
    import pyarrow

    from saliency_core.evaluation import run
    from saliency_core.models.classifier import Classifier
else:
    run = deferred("saliency_core.evaluation.run")

MAX_KEPT = 32
"""Results, complete or not, that a folder keeps; the ones that were written to first go first."""


@dataclass(frozen=True)
class PhotoSetRequest(EvaluationRequest[EvaluationResult]):
    """A plan for a photo set.

    Two requests are equal if their plans are, and the keys of their sets; the sets themselves are not
    compared. With a `folder`, what is done is kept there: the request that was cancelled is continued when it
    is asked for again.
    """

    plan: EvaluationPlan
    key: str
    """Identifies the photos and their annotations."""
    photo_set: PhotoSet = field(compare=False, repr=False)
    folder: Path | None = field(default=None, compare=False)

    @property
    def model(self) -> str:
        """The name of the network."""
        return self.plan.model

    def compute(
        self, classifier: Classifier, image: Image.Image | None, helpers: Helpers[EvaluationResult]
    ) -> EvaluationResult:
        """The result; on the way, as far as it is known, whenever a tenth more of it is."""
        identity = run.Evaluation(classifier, self.photo_set, self.plan).identity()
        parts: list[pyarrow.Table] = []
        told = 0

        def keep(rows: pyarrow.Table) -> None:
            nonlocal told
            parts.append(rows)
            known = sum(map(len, parts))
            if known >= 1.1 * told:
                told = known
                helpers.partial(EvaluationResult(arrow().concat_tables(parts).unify_dictionaries(), identity))

        found = run.evaluate(
            classifier,
            self.photo_set,
            self.plan,
            out=None if self.folder is None else self._file(self.folder),
            progress=helpers.progress,
            lock=helpers.lock,
            keep=keep,
        )
        if self.folder is not None:
            forget_oldest(self.folder, MAX_KEPT)
        return found

    def _file(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        text = f"{self.plan.digest} {self.key}"
        return folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.parquet"


def forget_oldest(folder: Path, most: int) -> None:
    """Remove what was written to first until at most so many results, complete or not, are left."""
    names = {path.name.removesuffix(".parts") for path in folder.iterdir()}

    def written(name: str) -> float:
        paths = (folder / name, folder / f"{name}.parts")
        return max(path.stat().st_mtime for path in paths if path.exists())

    for name in sorted(names, key=written)[: max(len(names) - most, 0)]:
        (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / f"{name}.parts", ignore_errors=True)
