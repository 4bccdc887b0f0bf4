"""Tables as CSV: what a program reads back is what the table has, and no text becomes a formula."""

import csv
import io

import numpy as np
import pytest

import saliency_core as sc
from saliency_core.export.tables import Table, classes_table, correlations_table, layers_table, maps_table
from tests.networks import batch, classifier


@pytest.fixture(scope="module")
def explanation() -> sc.Explanation:
    clf = classifier(labels=["ant", "bee, wasp", '"c"', "=1+1", "猫\n"])
    return sc.explain(clf, batch(), 2, ["bn", "branch", "act"], meta=sc.MetaStep())


def read(table: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.csv().decode("utf-8-sig"), newline="")))


def test_texts_come_back_with_quotes_commas_and_line_breaks_and_missing_values_are_empty() -> None:
    rows = [("a, b", 'say "c"', None), ("two\r\nlines", "größe 猫", 0.1 + 0.2)]
    table = Table("T", "t", ("x", "y", "z"), rows)
    assert read(table) == [
        ["x", "y", "z"],
        ["a, b", 'say "c"', ""],
        ["two\r\nlines", "größe 猫", "0.30000000000000004"],
    ]
    assert table.csv().startswith(b"\xef\xbb\xbfx,y,z\r\n")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_begins_like_a_formula_is_no_formula_and_a_negative_number_stays_one(text: str) -> None:
    table = Table("T", "t", (text,), [(text,), (-1.5,)])
    assert read(table) == [[f"'{text}"], [f"'{text}"], ["-1.5"]]


def test_a_name_that_no_file_can_hold_is_written_with_question_marks() -> None:
    assert read(Table("T", "t", ("\ud800",), [])) == [["?"]]


def test_layers_have_their_stage_size_and_energy(explanation: sc.Explanation) -> None:
    head, first, *_, last = read(layers_table(explanation))
    assert head == ["Layer", "Stage", "Channels", "Height", "Width", "Energy kept"]
    assert first == ["bn", "", "8", "12", "12", str(explanation.energy("bn"))]
    assert last[:5] == ["act", "2", "12", "6", "6"]


def test_maps_have_their_extremes_and_their_energy_inside_the_boxes(explanation: sc.Explanation) -> None:
    box = (0.0, 0.0, 0.5, 1.0)
    head, *rows = read(maps_table(explanation, [box]))
    assert len(rows) == 3 * len(explanation.methods)
    row = dict(zip(head, next(row for row in rows if row[1:3] == ["linear_approx", "branch"]), strict=True))
    values = explanation.map("linear_approx", "branch")
    assert float(row["Minimum"]) == values.min()
    assert float(row["Maximum"]) == values.max()
    assert float(row["Mean"]) == pytest.approx(values.mean())
    assert float(row["Energy inside the boxes"]) == sc.energy_inside(values, [box])
    assert "Energy inside the boxes" not in read(maps_table(explanation))[0]


def test_classes_are_in_the_order_of_their_probability_before_and_after_the_step(
    explanation: sc.Explanation,
) -> None:
    head, *rows = read(classes_table(explanation))
    assert head == ["Index", "Class", "Probability", "Probability after the meta step"]
    order = [int(row[0]) for row in rows]
    assert order == np.argsort(explanation.probabilities)[::-1].tolist()
    assert [float(row[2]) for row in rows] == explanation.probabilities[order].tolist()
    assert {row[1] for row in rows} == {"ant", "bee, wasp", '"c"', "'=1+1", "猫\n"}


def test_correlations_have_a_row_per_method_and_say_where_they_are_undefined() -> None:
    compared = sc.class_sensitivity_table(classifier(), batch(), [1, 2])
    table = correlations_table(compared)
    head, *rows = read(table)
    assert head == ["Method", "branch", "act"]
    assert len(rows) == len(compared.methods)
    values = dict(zip(compared.methods, rows, strict=True))
    assert float(values["normgrad"][1]) == compared.correlation("normgrad", "branch")
    undefined = [key for key, cell in compared.cells.items() if cell.undefined]
    assert len(table.remarks) == len(undefined)
