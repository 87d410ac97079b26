"""Reports: every format there is renders every session there can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import tabulate

from lab import reports
from lab.judging import proofs
from lab.model.cell import CellResult, Status
from lab.model.session import Judgement
from lab.reports import tables as summary
from lab.reports.tables import claims as claim_tables
from tests.support import scripts

SESSIONS = scripts.every_kind()


@pytest.mark.parametrize("form", reports.format_names())
@pytest.mark.parametrize("name", SESSIONS)
def test_every_format_renders_every_session(form: str, name: str) -> None:
    text = reports.render(SESSIONS[name], form)
    assert text == "" or text.endswith("\n")
    assert not text.endswith("\n\n\n")
    text.encode()


@pytest.mark.parametrize("form", ["table", "transcript"])
@pytest.mark.parametrize("name", SESSIONS)
def test_what_is_for_a_terminal_stays_within_80_columns(form: str, name: str) -> None:
    for line in reports.render(SESSIONS[name], form).splitlines():
        assert len(line) <= 80, line


def test_a_long_title_of_an_experiment_stays_within_80_columns() -> None:
    session = scripts.session(scripts.ran(2, {"switching": scripts.switching()}), experiments=("switching",))
    long = "an experiment whose summary takes all of the hundred characters that a summary may have, to the last"
    titled = dataclasses.replace(
        session, quantities=tuple(dataclasses.replace(quantity, title=long) for quantity in session.quantities)
    )
    assert max(map(len, reports.render(titled, "table").splitlines())) <= 80


def test_a_report_is_the_same_whichever_was_rendered_before(monkeypatch: pytest.MonkeyPatch) -> None:
    session = SESSIONS["local"]
    alone = {}
    for form in reports.format_names():
        monkeypatch.setattr(tabulate, "MIN_PADDING", 2)  # as it is when nothing has been rendered yet
        alone[form] = reports.render(session, form)
    assert {form: reports.render(session, form) for form in reversed(reports.format_names())} == alone


def test_a_transcript_with_long_names_and_numbers_stays_within_80_columns() -> None:
    text = "a story that goes on and on, " * 10
    event = scripts.tell(text, 12345.678, pid=4194303, thread="a thread with quite a long name", cpu=255)
    session = scripts.session(scripts.ran(1, {"pipe": [*scripts.pipe(), event]}))
    for line in reports.render(session, "transcript").splitlines():
        assert len(line) <= 80, line


def test_a_size_that_the_machine_lacks_stays_in_every_table_with_the_reason() -> None:
    session = SESSIONS["expected"]
    tables = summary.all_tables(session)
    assert len(tables) == 5
    for table in tables:
        shown = [*table.head, *(row[0] for row in table.rows)]
        assert any(text.startswith("4") for text in shown), table.title
        assert any("untestable" in cell for row in table.rows for cell in row), table.title
    assert "needs 4 CPUs, this machine has 2" in reports.render(session, "table")


def test_every_table_says_who_pinned_the_cells() -> None:
    by_engine = reports.render(SESSIONS["expected"], "table")
    assert by_engine.count("pinned by: engine") == 5
    assert "pinned by: worker" in reports.render(SESSIONS["local"], "table")


def test_surprises_are_marked_and_explained_each_in_one_sentence() -> None:
    text = reports.render(SESSIONS["surprise"], "table")
    assert "refuted!" in text
    assert "Surprises" in text
    assert "(expected: confirmed)" in " ".join(text.split())
    assert "threads reached a speed-up of 1.9" in text


def test_every_refutation_is_explained() -> None:
    text = reports.render(SESSIONS["expected"], "table")
    assert "the exception of an apply_async() task reaches the parent" in " ".join(text.split())
    assert "only get() or an error_callback shows it" in text


def test_the_reason_of_a_cell_that_did_not_run_is_not_repeated_for_each_of_its_claims() -> None:
    text = " ".join(reports.render(SESSIONS["nothing ran"], "table").split())
    assert text.count("no space left on device") <= 2


def test_notes_are_shown() -> None:
    for form in ("table", "markdown", "json"):
        assert "note: the disk is full" in reports.render(SESSIONS["interrupted"], form)


def test_more_cells_than_fit_beside_each_other_go_below_each_other() -> None:
    cells = [scripts.ran(size, {"pipe": scripts.pipe()}, 8) for size in range(1, 9)]
    session = scripts.session(*cells, machine=scripts.machine(8))
    claims = claim_tables.claims_tables(session)
    assert [len(table.head) - 1 for table in claims] == [3, 3, 2]


class Counted(tuple[Judgement, ...]):
    """Judgements that count how often somebody goes through them."""

    passes = 0

    def __iter__(self) -> Iterator[Judgement]:
        self.passes += 1
        return super().__iter__()


def test_the_judgements_are_not_searched_again_for_each_cell() -> None:
    cells = [scripts.ran(size, {"pipe": scripts.pipe()}, 24) for size in range(1, 25)]
    passes = []
    for count in (6, 24):
        session = scripts.session(*cells[:count], machine=scripts.machine(24))
        judgements = Counted(session.judgements)
        claim_tables.claims_tables(dataclasses.replace(session, judgements=judgements))
        passes.append(judgements.passes)
    assert passes[0] == passes[1]


def test_a_markdown_table_has_as_many_columns_in_every_row() -> None:
    for session in SESSIONS.values():
        rows = [line.count("|") for line in reports.render(session, "markdown").splitlines() if line.startswith("|")]
        blocks = [line.count("|") for line in reports.render(session, "markdown").splitlines() if line.startswith("|-")]
        assert set(rows) == set(blocks)


def test_a_cell_never_started_has_no_rate() -> None:
    assert proofs.rate_of(CellResult(cell=scripts.cell(1), status=Status.ERROR, reason="gone")) is None
    assert proofs.rate_of(scripts.ran(2, {"pipe": scripts.pipe()})) == 2.0
