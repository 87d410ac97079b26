"""Verdicts while the cells still run: the same as at the end, or none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lab.cell.experiments import load
from lab.judging.verdicts import judge_claims
from lab.model.cell import CellResult, Record, Status
from lab.running.early_verdicts import EarlyVerdicts
from lab.sessions.loading import load_session
from tests.support import scripts

STORED = Path(__file__).parents[1] / "data" / "stored"
EXPERIMENTS = ("pool", "pipe", "gil")


def measured(size: int = 2, **script: Any) -> CellResult:
    """A cell whose three experiments say what is expected of them."""
    return scripts.ran(size, scripts.everything(size), **script)


def heard(result: CellResult, records: Iterable[Record] | None = None) -> EarlyVerdicts:
    """What is known when these records of a cell have come, or all of them."""
    early = EarlyVerdicts(sorted({*EXPERIMENTS, *result.by_experiment}))
    early.cell_begins(result.cell)
    for record in result.records if records is None else records:
        early.record(record)
    return early


def test_a_line_for_each_experiment_that_has_ended_and_the_cell_is_final_when_it_has_ended_too() -> None:
    result = measured()
    early = EarlyVerdicts(EXPERIMENTS)
    early.cell_begins(result.cell)
    came: list[tuple[str, ...]] = []
    for record in result.records:
        if early.record(record):
            assert record.kind == "finish"
            came.append(early.lines)
    rows = ["  pool  6 confirmed, 1 refuted", "  pipe  1 confirmed", "  gil   4 confirmed, 1 refuted"]
    assert came == [("2 CPUs (0-1), so far", *rows[: count + 1]) for count in range(3)]
    early.cell_ends(result)
    assert early.lines == ("2 CPUs (0-1)", *rows)


def test_a_surprise_is_named() -> None:
    surprising = scripts.ran(1, {"pool": scripts.pool(8)})
    (_, row) = heard(surprising).lines
    assert "; not as expected: pool." in row


@pytest.mark.parametrize("folder", sorted(STORED.glob("*/*")), ids=lambda folder: folder.parent.name)
def test_the_verdicts_of_stored_sessions_are_those_at_the_end(folder: Path) -> None:
    session = load_session(folder)
    compared = 0
    for result in session.results:
        early = heard(result)
        before = {judgement.claim: judgement for judgement in early.judgements}
        names = {name for name in result.by_experiment if any(claim.id in before for claim in load(name).claims)}
        at_end = judge_claims([load(name) for name in sorted(names)], [result])
        early.cell_ends(result)
        if result.status is Status.MEASURED:
            assert before == {judgement.claim: judgement for judgement in at_end}
            compared += len(before)
        elif result.status is Status.TAINTED:
            assert early.lines == ()
    assert compared


def test_the_verdicts_of_a_cell_whose_limit_was_not_real_are_taken_back() -> None:
    result = measured(end=scripts.proof((0,)))
    assert result.status is Status.TAINTED
    early = heard(result)
    assert early.lines[0] == "2 CPUs (0-1), so far"
    early.cell_ends(result)
    assert (early.lines, early.judgements) == ((), ())


def test_after_a_gap_in_the_records_nothing_is_said_before_the_end() -> None:
    result = measured()
    at = next(number for number, record in enumerate(result.records) if record.kind == "sample")
    early = heard(result, (*result.records[:at], *result.records[at + 1 :]))
    assert {judgement.claim.partition(".")[0] for judgement in early.judgements} == {"pool", "pipe"}


def test_an_experiment_that_goes_on_after_its_end_is_judged_at_the_end() -> None:
    result = measured()
    ended = next(number for number, record in enumerate(result.records) if record.kind == "finish")
    late = result.records[ended - 1]._replace(seq=ended + 1)
    assert heard(result, (*result.records[: ended + 1], late)).lines == ()


def test_records_of_another_form_and_of_cells_that_did_not_begin_do_no_harm() -> None:
    result = measured()
    start = result.records[0]._replace(data={"python": {}, "proof": {"affinity": [0]}})
    assert heard(result, (start, *result.records[1:])).lines == ()
    early = EarlyVerdicts(EXPERIMENTS)
    assert not any(early.record(record) for record in result.records)
    early.cell_ends(result)
    assert early.lines == ()
