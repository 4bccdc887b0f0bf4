"""The command line: what it prints, what it keeps, and how it says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from saliency_core.cli import evaluate as command
from saliency_core.cli.commands import INTERRUPTED, WRONG, main
from saliency_core.evaluation.result import open_results
from tests.photo_set_files import write_voc, zipped
from tests.test_evaluation import network, small_photos

ROOT = Path(__file__).parent.parent


@pytest.fixture
def voc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip file of six photos, one of them damaged, and a small network for every name."""
    monkeypatch.setattr(command, "load_classifier", lambda name, device: network())
    folder = write_voc(tmp_path / "shapes", small_photos(6))
    (folder / "JPEGImages" / "photo-03.png").write_bytes(b"\x89PNG and nothing else")
    return zipped(folder)


def run(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


def test_the_tables_have_every_method_and_layer_and_what_was_left_out_is_listed(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.parquet"
    assert run(voc, "--methods", "normgrad,grad_cam", "--fit", "pad", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "InPlaceNet on shapes.zip: 5 photos, 7 of 9 items evaluated" in printed
    assert "Pointing game, % (95 % interval); higher is better" in printed
    assert "Energy inside, % (95 % interval); higher is better" in printed
    for name in ("normgrad", "grad_cam", "uniform product", *network().default_layers):
        assert name in printed
    assert "Left out: 1\n  JPEGImages/photo-03.png: The PNG file is damaged or incomplete" in printed
    assert open_results(out).counts["evaluated"] == 7
    assert run(voc, "--methods", "normgrad,grad_cam", "--fit", "pad", "--out", out) == 0
    assert capsys.readouterr().out == printed


def test_insertion_and_deletion_have_a_random_order_beside_the_methods(
    voc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--layers", "down", "--mixes", "none", "--steps", "4", "--limit", "2")
    assert run(voc, "--methods", "normgrad", "--metrics", "insertion_deletion", *options) == 0
    printed = capsys.readouterr().out
    assert "Insertion, % (95 % interval); higher is better" in printed
    assert "Deletion, % (95 % interval); lower is better" in printed
    assert printed.count("\nrandom") == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--methods", "gradcam"), "unknown method 'gradcam'; did you mean 'grad_cam'"),
        (("--metrics", "insertion_deletion"), "insertion and deletion take about 64 passes"),
        (("--layers", "layer9"), "unknown layer 'layer9'"),
        (("--batch", "0"), "batch is 0"),
    ],
)
def test_what_cannot_be_is_a_sentence_on_the_standard_error_and_exit_code_2(
    voc: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(voc, *arguments) == WRONG == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(sentence)
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_an_interrupted_run_says_that_it_can_be_continued_and_is(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.parquet"
    options = (voc, "--methods", "normgrad", "--fit", "pad", "--batch", 2, "--out", out)
    assert run(*options, "--quiet") == 0
    expected = open_results(out).rows.to_pylist()
    begun = command.evaluate

    def interrupted(*given: object, progress: object, **named: object) -> object:
        def stop(done: int, total: int) -> None:
            if done >= 4:
                raise KeyboardInterrupt

        return begun(*given, progress=stop, **named)

    with monkeypatch.context() as patched:
        patched.setattr(command, "evaluate", interrupted)
        assert run(*options, "--restart") == INTERRUPTED
    assert "the same command goes on from there" in capsys.readouterr().err
    assert len(list(Path(f"{out}.parts").glob("part-*.parquet"))) == 2
    assert run(*options) == 0
    assert open_results(out).rows.to_pylist() == expected


def test_the_module_runs_as_a_program_and_its_help_lists_metrics_and_methods(tmp_path: Path) -> None:
    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "saliency_core", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    help_text = program("evaluate", "--help")
    assert help_text.returncode == 0
    for name in ("DATA", "--out FILE", "--ray", "insertion_deletion", "grid2", "normgrad_selective"):
        assert name in help_text.stdout
    missing = program("evaluate", str(tmp_path / "nothing"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("There is no folder or zip file")
