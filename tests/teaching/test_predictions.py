"""Predictions: what is asked, what an answer may be, how it is judged; and the questions at a real terminal."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import reports
from lab.cell.claims.estimates import Estimate
from lab.errors import UsageError
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.planning import cells as planner
from lab.reports import tables
from lab.reports.tables import predictions as prediction_table
from lab.teaching import predictions
from lab.teaching.predictions import Predictable, Prediction
from tests.support import scripts
from tests.support.screen import Screen
from tests.support.terminal import Lab

WORKERS = Predictable(of="pool.default-size", what="Pool(): workers", ask="How many?", whole=True)
THREADS = Predictable(of="cores.threads", what="threads: speed-up", ask="How fast?", least_cpus=2)


def test_a_number_is_asked_for_in_each_cell_that_can_have_it() -> None:
    cells = planner.plan(planner.parse_sizes("1,2,4"), (0, 1))
    quick = tuple(dataclasses.replace(cell, experiments=("pool",)) for cell in cells)
    assert {number for _, number in predictions.questions((WORKERS, THREADS), quick)} == {WORKERS}
    asked = [(cell.id, question.of) for cell, question in predictions.questions((WORKERS, THREADS), cells)]
    assert asked == [
        ("cpu1", "pool.default-size"),
        ("cpu2", "pool.default-size"),
        ("cpu2", "cores.threads"),
    ]


@pytest.mark.parametrize(
    ("text", "whole", "value"), [("2\n", True, 2), (" 1.5 ", False, 1.5), ("1,5", False, 1.5), ("2", False, 2)]
)
def test_an_answer_is_a_number(text: str, whole: bool, value: float) -> None:
    assert predictions.parse_number(text, whole=whole) == value


@pytest.mark.parametrize(
    ("text", "whole"), [("two", True), ("1.5", True), ("0", False), ("-1", False), ("nan", False), ("inf", True)]
)
def test_what_is_no_number_is_told_what_one_looks_like(text: str, whole: bool) -> None:
    with pytest.raises(UsageError, match=rf"'{text}': give .*, such as"):
        predictions.parse_number(text, whole=whole)


@pytest.mark.parametrize(
    ("value", "whole", "estimate", "words"),
    [
        pytest.param(2, True, Estimate(2, 2, 2, 1), "right", id="the same count"),
        pytest.param(2, True, Estimate(8, 8, 8, 1), "off by 6", id="another count"),
        pytest.param(100, True, Estimate(101, 101, 101, 1), "off by 1", id="a near count is another count"),
        pytest.param(1.9, False, Estimate(1.85, 1.8, 1.92, 9), "right", id="within the interval"),
        pytest.param(2, False, Estimate(1.88, 1.85, 1.91, 9), "right", id="the interval comes near"),
        pytest.param(2, False, Estimate(1.01, 1.0, 1.02, 9), "off by 0.99", id="far away"),
        pytest.param(1, False, Estimate(1.9, 1.8, 2.0, 9), "off by 0.90", id="far below"),
    ],
)
def test_a_prediction_is_right_or_off_by_so_much(value: float, whole: bool, estimate: Estimate, words: str) -> None:
    prediction = Prediction(of="x.y", what="x", cell="cpu2", value=value, whole=whole)
    assert prediction_table.judge_prediction(prediction, estimate) == words


@given(share=st.floats(0, 1), low=st.floats(0.01, 100), width=st.floats(0, 10))
def test_a_prediction_inside_the_interval_is_never_off(share: float, low: float, width: float) -> None:
    prediction = Prediction(of="x.y", what="x", cell="cpu2", value=low + share * width)
    assert prediction_table.judge_prediction(prediction, Estimate(low, low, low + width, 9)) == "right"


def predicted(*made: Prediction) -> Session:
    """A session with two cells in which all is as expected and one that is lacking, started with these predictions."""
    lacking = CellResult(cell=scripts.cell(4), status=Status.UNAVAILABLE, reason=scripts.cell(4).reason)
    cells = [scripts.ran(size, scripts.everything(size)) for size in (1, 2)]
    session = scripts.session(*cells, lacking, experiments=("pool", "pipe", "gil"))
    arguments = {**session.arguments, "predictions": predictions.stored(made)} if made else session.arguments
    return dataclasses.replace(session, arguments=arguments)


MADE = (
    Prediction(of="pool.default-size", what="Pool(): workers", cell="cpu1", value=2, whole=True),
    Prediction(of="pool.default-size", what="Pool(): workers", cell="cpu2", value=2, whole=True),
    Prediction(of="cores.threads", what="threads: speed-up", cell="cpu2", value=2),
    Prediction(of="cores.threads", what="threads: speed-up", cell="cpu4", value=4),
)


def test_predictions_stand_beside_what_was_measured() -> None:
    rows = prediction_table.prediction_rows(predicted(*MADE))
    assert [(prediction.cell, texts[0], texts[1], texts[3]) for prediction, texts in rows] == [
        ("cpu1", "2", "1", "off by 1"),
        ("cpu2", "2", "2", "right"),
        ("cpu2", "2.00", "1.00", "off by 1.00"),
        ("cpu4", "4.00", "?", "not measured"),
    ]


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_reports_show_predictions_only_where_there_are_any(form: str) -> None:
    assert "Prediction beside measurement" in reports.render(predicted(*MADE), form)
    assert "Prediction beside measurement" not in reports.render(predicted(), form)


def test_numbers_stand_in_the_order_in_which_they_were_asked_for() -> None:
    (table,) = [
        table for table in tables.all_tables(predicted(*MADE)) if table.title == "Prediction beside measurement"
    ]
    assert [row[:2] for row in table.rows] == [
        ("Pool(): workers", "1"),
        ("", "2"),
        ("threads: speed-up", "2"),
        ("", "4"),
    ]


def test_the_table_of_predictions_stays_within_80_columns() -> None:
    assert max(map(len, reports.render(predicted(*MADE), "table").splitlines())) <= 80


def test_the_json_document_holds_the_predictions() -> None:
    document = json.loads(reports.render(predicted(*MADE), "json"))
    assert document["session"]["arguments"]["predictions"][0]["value"] == 2


def test_without_a_terminal_there_is_nobody_to_ask(lab: Lab) -> None:
    code, out, err = lab.run("pool", "--predict", "--engine", "local")
    assert (code, out) == (2, "")
    assert "--predict needs a terminal" in err
    assert not lab.sessions.exists()


def lab_run(sessions: Path, *arguments: str) -> Screen:
    """``lab run`` at a terminal."""
    words = [sys.executable, "-m", "lab", "run", *arguments, "--engine", "local", "--output", str(sessions)]
    return Screen(words)


@pytest.mark.slow
def test_at_a_terminal_it_asks_again_until_it_gets_a_number_then_measures(
    tmp_path: Path, screens: list[Screen]
) -> None:
    screens.append(screen := lab_run(tmp_path, "pool", "--cpus", "1", "--predict"))
    screen.wait_for("How many workers does Pool() start?")
    screen.type("some\n")
    screen.wait_for("'some': give a whole number, such as 2")
    screen.wait_for("How many workers does Pool() start?")
    screen.type("77\n")
    code, out = screen.end()
    assert code == 0
    assert "How many" not in out  # questions are not results
    assert re.search(r"Pool\(\): workers +1 +77 +\d+ +exact +off by \d+", out)
    (manifest,) = tmp_path.glob("*/session.json")
    stored = json.loads(manifest.read_text())["arguments"]["predictions"]
    assert [(prediction["of"], prediction["cell"], prediction["value"]) for prediction in stored] == [
        ("pool.default-size", "cpu1", 77)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["\n", "\x04"], ids=["an empty line", "Ctrl-D"])
def test_whoever_predicts_nothing_gets_the_measurement_all_the_same(
    tmp_path: Path, screens: list[Screen], typed: str
) -> None:
    screens.append(screen := lab_run(tmp_path, "pool", "--cpus", "1", "--predict"))
    screen.wait_for("How many workers does Pool() start?")
    screen.type(typed)
    code, out = screen.end()
    assert code == 0
    assert "Prediction beside" not in out


@pytest.mark.slow
def test_ctrl_c_at_a_question_ends_the_lab_before_anything_is_measured(tmp_path: Path, screens: list[Screen]) -> None:
    screens.append(screen := lab_run(tmp_path, "pool", "--cpus", "1", "--predict"))
    screen.wait_for("How many workers does Pool() start?")
    screen.process.send_signal(signal.SIGINT)
    screen.wait_for("interrupted before anything was measured")
    assert screen.end() == (130, "")
    assert not list(tmp_path.iterdir())


def test_experiments_with_nothing_to_predict_are_told_so_at_once(tmp_path: Path, screens: list[Screen]) -> None:
    screens.append(screen := lab_run(tmp_path, "pipe", "--predict"))
    screen.wait_for("there is nothing to predict in pipe; try: lab run gil pool")
    assert screen.end() == (2, "")
