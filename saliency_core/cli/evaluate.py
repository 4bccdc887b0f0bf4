"""``evaluate``: metrics of every method at every layer over a photo set."""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from saliency_core.cli.columns import in_columns
from saliency_core.errors import UnavailableError
from saliency_core.evaluation.measures import GROUPS, MEASURES
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.result import EvaluationResult
from saliency_core.evaluation.rows import EXTRA
from saliency_core.evaluation.run import BatchComputer, evaluate
from saliency_core.evaluation.summary import CellScore, Summary, summarise
from saliency_core.inputs.preprocess import FITS
from saliency_core.methods.registry import METHODS
from saliency_core.metrics.perturbation_curve import BASELINES
from saliency_core.models.catalogue.default import DEFAULT_MODEL
from saliency_core.models.catalogue.loading import load_classifier
from saliency_core.photo_sets.reading import READERS, read_photo_set
from saliency_core.progress import ProgressCallback

LISTED = 20
"""How many of the items that were left out are listed one by one."""

EXAMPLES = """\
examples:
  python -m saliency_core evaluate VOC2007 --model resnet50 --out voc.parquet
  python -m saliency_core evaluate photos.zip --methods normgrad grad_cam --metrics insertion_deletion
  python -m saliency_core evaluate imagenet/val --metrics grid2 grid3 --limit 2000 --out grids.parquet
  python -m saliency_core evaluate coco --out coco.parquet --ray auto

A run with --out that was interrupted goes on where it was when the same command is given again.
"""


def add(commands: Any) -> None:
    """Add the command to those of the command line."""
    command: argparse.ArgumentParser = commands.add_parser(
        "evaluate",
        help="metrics of every method at every layer over a photo set",
        description=textwrap.fill(
            "Measure on a photo set whether the maps of saliency methods point at the objects (pointing "
            "game, energy inside, grid pointing game) and whether the network needs the pixels that they "
            "mark (insertion, deletion), for every method at every layer and for mixed maps.",
            100,
        ),
        epilog=EXAMPLES + "\n" + _names(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "photos",
        metavar="DATA",
        help="a folder or a zip file: Pascal VOC, COCO, YOLO, a CSV of boxes, or folders by class",
    )
    command.add_argument("--kind", choices=tuple(READERS), help="what DATA is; found out if not given")
    command.add_argument("--limit", type=int, metavar="N", help="only the first N photos of the set")
    network = command.add_argument_group("network")
    network.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME", help="of the catalogue (default: %(default)s)"
    )
    network.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)"
    )
    network.add_argument(
        "--fit", choices=tuple(FITS), default="crop", help="how photos are fitted (default: %(default)s)"
    )
    network.add_argument(
        "--batch", type=int, default=16, metavar="N", help="photos in one pass (default: %(default)s)"
    )
    maps = command.add_argument_group(
        "maps", "names separated by spaces or commas; mixes, whose names have spaces, by commas"
    )
    maps.add_argument(
        "--methods",
        nargs="+",
        action=Names,
        metavar="NAME",
        help="default: every single-pass method, see below",
    )
    maps.add_argument(
        "--layers", nargs="+", action=Names, metavar="NAME", help="default: the stages of the network"
    )
    maps.add_argument(
        "--mixes",
        type=names,
        metavar="NAMES",
        help='mixed maps of the layers, such as "uniform product,linear sum"; "none" for none (default: '
        "uniform sum and product, and with the weights published for the network)",
    )
    metrics = command.add_argument_group("metrics")
    metrics.add_argument(
        "--metrics",
        nargs="+",
        action=Names,
        metavar="NAME",
        help="see below (default: pointing,energy; grid2 for photos without boxes)",
    )
    metrics.add_argument(
        "--tolerance",
        type=float,
        default=15.0,
        metavar="PIXELS",
        help="of the pointing game, in the photo's pixels (default: %(default)g)",
    )
    metrics.add_argument(
        "--baseline",
        choices=tuple(BASELINES),
        default="blur",
        help="what takes the place of deleted pixels; the areas depend on it (default: %(default)s)",
    )
    metrics.add_argument(
        "--steps", type=int, default=32, metavar="N", help="of insertion and deletion (default: %(default)s)"
    )
    metrics.add_argument(
        "--confidence",
        type=float,
        default=0.5,
        metavar="P",
        help="probability that a photo of a grid needs (default: %(default)g)",
    )
    metrics.add_argument("--seed", type=int, default=0, metavar="N", help="of grids and the random order")
    results = command.add_argument_group("results")
    results.add_argument(
        "--out", metavar="FILE", help="a Parquet file for all rows; without it only the table is printed"
    )
    again = results.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on with what is in FILE (what happens anyway)"
    )
    again.add_argument("--restart", action="store_true", help="remove what is in FILE and start anew")
    results.add_argument("--quiet", action="store_true", help="no progress bar")
    results.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="compute the batches on a Ray cluster: auto finds or starts one here (extra: ray)",
    )
    command.set_defaults(run=run, after_interrupt=after_interrupt)


class Names(argparse.Action):
    """Names after an option, separated by spaces or commas."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keep the names that were given."""
        given = [values] if isinstance(values, str) else list(values or ())
        setattr(namespace, self.dest, names(",".join(given)))


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas; "none" for no name.

    >>> names("normgrad, grad_cam"), names("none")
    (('normgrad', 'grad_cam'), ())
    """
    if text.strip() == "none":
        return ()
    return tuple(name for each in text.split(",") if (name := each.strip()))


def run(options: argparse.Namespace) -> int:
    """Evaluate, and print the tables and what was left out; returns the exit code.

    Raises:
        SaliencyError: something given cannot be used.
    """
    plan = EvaluationPlan(
        model=options.model,
        methods=options.methods,
        layers=options.layers,
        mixes=options.mixes,
        metrics=options.metrics,
        fit=options.fit,
        batch=options.batch,
        tolerance=options.tolerance,
        baseline=options.baseline,
        steps=options.steps,
        confidence=options.confidence,
        seed=options.seed,
        limit=options.limit,
    )
    with contextlib.closing(read_photo_set(options.photos, options.kind)) as photo_set:
        classifier = load_classifier(options.model, options.device)
        with progress_bar(hidden=options.quiet) as progress:
            result = evaluate(
                classifier,
                photo_set,
                plan,
                out=options.out,
                restart=options.restart,
                progress=progress,
                compute=_computer(options.ray),
            )
    sys.stdout.write("\n".join(report(result, shutil.get_terminal_size((120, 24)).columns)) + "\n")
    return 0


def after_interrupt(options: argparse.Namespace) -> str:
    """What is left of a run that was interrupted."""
    if options.out is None:
        return "Nothing was kept; with --out FILE a run can be continued."
    return f"What is done is kept beside {options.out!r}; the same command goes on from there."


def report(result: EvaluationResult, width: int) -> Iterator[str]:
    """The tables of all metrics, then what was left out, as lines of at most ``width`` characters.

    Args:
        result: of :func:`evaluate`.
        width: in characters; a table that is wider is printed in pieces.
    """
    counts = result.counts
    measured = set(result.rows["metric"].unique().to_pylist())
    yield ""
    yield (
        f"{result.identity.model_title} on {result.identity.set_name}: {counts['photos']:,} photos, "
        f"{counts['evaluated']:,} of {counts['items']:,} items evaluated"
    )
    for name in result.plan.metrics or ():
        if name not in measured:
            continue
        yield ""
        yield from _table(summarise(result.rows, name), width)
    yield from _left_out(result)


def _table(summary: Summary, width: int) -> Iterator[str]:
    """A metric: a line per method, best one first, a column per layer and mix, in percent."""
    measure = summary.metric
    better = "higher" if measure.higher_is_better else "lower"
    yield f"{measure.title}, % (95 % interval); {better} is better"
    best = {
        method: max(
            (
                each.mean if measure.higher_is_better else -each.mean
                for layer in summary.layers
                if (each := summary.cell(method, layer)) is not None and each.mean is not None
            ),
            default=-math.inf,
        )
        for method in summary.methods
    }
    methods = sorted(summary.methods, key=lambda method: -best[method])
    cells = [[_cell(summary.cell(method, layer)) for layer in summary.layers] for method in methods]
    yield from in_columns(["", *summary.layers], methods, cells, width)
    yield from summary.remarks()
    if undefined := sum(each.undefined for each in summary.cells()):
        yield f"Undefined: {undefined:,} maps, see the column “undefined”."


def _cell(score: CellScore | None) -> str:
    if score is None or score.mean is None:
        return "–"
    mean = f"{100 * score.mean:.1f}"
    if score.low is None or score.high is None:
        return mean
    return f"{mean} ({100 * score.low:.0f}–{100 * score.high:.0f})"


def _left_out(result: EvaluationResult) -> Iterator[str]:
    """What was left out of the set, of its classes, and of the items."""
    identity = result.identity
    found = [f"{file}: {sentence}" if file else sentence for file, sentence in identity.problems]
    found += [f"{photo}: {reason}" for photo, reason in _by_photo(result.left_out)]
    for title, lines in (("Left out", found), ("Not asked for", list(identity.remarks))):
        if lines:
            yield ""
            yield f"{title}: {len(lines):,}"
            yield from (f"  {line}" for line in lines[:LISTED])
            if len(lines) > LISTED:
                yield f"  … and {len(lines) - LISTED:,} more"


def _by_photo(items: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    """A photo and a reason, once for all of its classes."""
    yield from dict.fromkeys((photo, reason) for photo, _, reason in items)


@contextlib.contextmanager
def progress_bar(*, hidden: bool) -> Iterator[ProgressCallback]:
    """A callback that draws a progress bar on the standard error, if that is a terminal.

    Raises:
        UnavailableError: tqdm is not installed.
    """
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise UnavailableError(
            f"the progress bar needs tqdm, which is not installed; install it with: pip install "
            f"normgrad-studio[{EXTRA}], or pass --quiet"
        ) from error
    with tqdm(unit="item", dynamic_ncols=True, disable=True if hidden else None) as bar:

        def report(done: int, total: int) -> None:
            if bar.total is None:
                bar.reset(total)
                bar.initial = done  # what was done before does not count for the speed
            bar.update(done - bar.n)

        yield report


def _computer(address: str | None) -> BatchComputer | None:
    """What computes the batches: a Ray cluster, or this process if no address is given."""
    if address is None:
        return None
    from saliency_core.evaluation.ray_run import ray_computer

    return ray_computer(address)


def _names() -> str:
    """The names of metrics and methods, for the end of the help."""
    lines = ["metrics:"]
    lines += [f"  {name:<20} {measure.title}" for name, measure in MEASURES.items()]
    lines += [f"  {name:<20} {' and '.join(each)}" for name, each in GROUPS.items()]
    families: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        families.setdefault(method.family, []).append(name)
    lines += ["", "methods:"]
    for family, members in families.items():
        listed = textwrap.wrap(", ".join(members), 100, initial_indent="    ", subsequent_indent="    ")
        lines += [f"  {family}", *listed]
    return "\n".join(lines)
