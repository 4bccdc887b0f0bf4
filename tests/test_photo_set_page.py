"""The part of the page Evaluate that is about photo sets: the samples, the server's, and uploaded ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import saliency_core as sc
from pages.evaluate import own_sets, photo_set, set_options, set_results, sets
from pages.shared import components
from saliency_core.evaluation.summary import summarise
from tests.page_runs import button, session_of, settle, texts_of, visit
from tests.photo_set_files import WRITERS, sample_photos, zipped
from tests.test_evaluation_summary import CAM, rows, table

METHODS = ("normgrad", "grad_cam")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The tables of scores that were drawn."""
    drawn: list[dict[str, object]] = []
    show = components.score_table

    def note(label: str, rows: object, columns: object, scores: object, **named: object) -> None:
        drawn.append({"label": label, "rows": rows, "columns": columns, "scores": scores, **named})
        show(label, rows, columns, scores, **named)

    monkeypatch.setattr(components, "score_table", note)
    return drawn


@pytest.fixture
def room() -> Iterator[None]:
    """Nothing stays in the room of uploaded sets."""
    yield
    assert own_sets.room.taken == 0


def opened(app: AppTest) -> AppTest:
    app.session_state[set_options._OPTIONS] = set_options.Options(methods=METHODS)
    return visit(app, "evaluate", part="photo-set")


def evaluated(app: AppTest) -> AppTest:
    button(app, "set-evaluate").click()
    return settle(app, long=True)


def test_the_samples_are_evaluated_and_the_table_has_the_means_of_the_result(
    app: AppTest,
    tables: list[dict[str, object]],
) -> None:
    opened(app)
    assert "8 photos, 12 objects, 8 classes." in texts_of(app)
    assert button(app, "set-evaluate").label == "Evaluate 8 photos"
    evaluated(app)
    asked = app.session_state[photo_set._ASKED][-1]
    from pages.shared.engine import shared_engine

    result = shared_engine().submit_evaluation(asked).value()
    summary = summarise(result.rows, "pointing")
    shown = tables[-1]
    assert [row["name"] for row in shown["rows"]] == list(METHODS)
    first = shown["scores"][0][0]
    cell = summary.cell("normgrad", shown["columns"][0]["name"])
    assert first["text"] == f"{100 * cell.mean:.0f}%"
    assert first["interval"] == f"{100 * cell.low:.0f}–{100 * cell.high:.0f}"
    best = max(each.mean for each in summary.cells())
    assert {score["best"] for line in shown["scores"] for score in line if score["rank"] == best} == {True}
    assert "uniform product" in {column["name"] for column in shown["columns"]}
    assert "ng-behind" in texts_of(app)
    # The same choice again is answered at once.
    app.session_state[set_options._OPTIONS] = set_options.Options(methods=("gradient",))
    settle(app)
    assert button(app, "set-evaluate").label == "Evaluate 8 photos"
    app.session_state[set_options._OPTIONS] = set_options.Options(methods=METHODS)
    settle(app)
    assert tables[-1]["scores"] == shown["scores"]


def test_metrics_that_were_all_taken_away_stay_away(app: AppTest) -> None:
    app.session_state[set_options._OPTIONS] = set_options.Options(metrics=())
    visit(app, "evaluate", part="photo-set")
    assert "Choose at least one metric and one method." in texts_of(app)
    assert not [each for each in app.button if each.key == "set-evaluate"]


def test_insertion_and_deletion_are_not_measured_for_many_methods(app: AppTest) -> None:
    app.session_state[set_options._OPTIONS] = set_options.Options(metrics=("insertion",))
    visit(app, "evaluate", part="photo-set")
    assert "Choose at most 4 methods" in texts_of(app)
    assert not [each for each in app.button if each.key == "set-evaluate"]


@pytest.mark.parametrize("kind", ["voc", "folders"])
def test_an_uploaded_set_is_read_and_says_what_is_in_it(
    app: AppTest,
    tmp_path: Path,
    room: None,
    kind: str,
) -> None:
    own = own_sets.OwnSets()
    file = zipped(WRITERS[kind](tmp_path / kind, sample_photos()))
    added = own.add(file.name, file.read_bytes())
    opened(app)
    current = session_of(app)
    current.tasks.begin()
    app.session_state[sets._CHOSEN] = added.key
    try:
        read = sets.read_photo_set(added.path)
        assert read.kind == kind
        assert len(read.records) == len(sample_photos())
    finally:
        own.close()


def test_what_is_no_zip_file_is_refused_and_the_same_file_is_kept_once(tmp_path: Path, room: None) -> None:
    own = own_sets.OwnSets()
    with pytest.raises(sc.ArgumentError, match=re.escape("photos.rar is not a zip file")):
        own.add("photos.rar", b"Rar!")
    first = own.add("a.zip", b"PK first")
    assert own.add("b.zip", b"PK first") is first
    others = [own.add(f"{number}.zip", b"PK %d" % number) for number in range(own_sets.MAX_SETS)]
    assert list(own) == others
    assert not first.path.exists()
    own.close()
    assert not others[0].path.exists()


def test_a_set_without_photos_is_refused_under_the_name_that_was_uploaded(tmp_path: Path, room: None) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.txt").write_text("nothing else")
    own = own_sets.OwnSets()
    added = own.add("holidays.zip", zipped(tmp_path / "set").read_bytes())
    with pytest.raises(sc.ArgumentError, match=re.escape("There is no photo in holidays.zip.")):
        added.read()
    own.close()


def test_the_misses_of_a_few_photos_are_shown_beside_the_hits() -> None:
    values = [1.0, 0.0, 0.0]
    summary = summarise(table(rows(values)), "pointing")
    hits, misses = set_results.behind(summary, "", CAM)
    assert [item.value for item in hits] == [1.0]
    assert [item.value for item in misses] == [0.0, 0.0]


def test_a_set_that_finds_no_room_is_refused(monkeypatch: pytest.MonkeyPatch, room: None) -> None:
    monkeypatch.setattr(own_sets.room, "most", 10)
    own = own_sets.OwnSets()
    with pytest.raises(sc.ArgumentError, match="no room for another photo set"):
        own.add("a.zip", b"PK of eleven")
    assert not list(own)
