"""Tables with a column for each build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lab import reports
from lab.model.session import Judgement, Session, Verdict
from lab.reports import tables as summary
from lab.reports.tables import claims, columns, highlights
from lab.text.table import Table
from tests.support import scripts

FREE = scripts.python(gil=False)
PATHS = {
    "/home/somebody/a/rather/long/path/to/a/python/that/they/built/python3.13": scripts.python(),
    "/opt/another/python3.13": scripts.python(),
    "/opt/free/python3.13t": FREE,
}
SIX = {f"3.{minor}": scripts.python((3, minor, 0)) for minor in (9, 11, 13, 14, 15)} | {"3.13t": FREE}
TWELVE = {f"3.{minor}": scripts.python((3, minor, 0)) for minor in range(9, 16)} | {
    f"3.{minor}+cpu_count={count}": scripts.python((3, minor, 0)) for minor in (13, 14) for count in (1, 2, 30)
}


def of(pythons: dict[str, dict[str, object]], sizes: Sequence[int] = (1, 2)) -> Session:
    """Everything that has a table, on these builds."""
    messages = {**scripts.everything(2), "switching": scripts.switching()}
    return scripts.on_builds(pythons, sizes, messages)


def found(session: Session, title: str) -> list[Table]:
    return [table for table in summary.all_tables(session) if table.title.startswith(title)]


@pytest.mark.parametrize("pythons", [SIX, TWELVE, PATHS], ids=["six", "twelve", "paths"])
def test_tables_of_several_builds_stay_within_80_columns(pythons: dict[str, dict[str, object]]) -> None:
    text = reports.render(of(pythons), "table")
    assert [line for line in text.splitlines() if len(line) > 80 and " " in line.strip()] == []


@pytest.mark.parametrize("title", ["Limits", "Pool()", "Cores", "Switching", "Numbers", "Claims, 1", "Claims, 2"])
@pytest.mark.parametrize("pythons", [SIX, TWELVE], ids=["six", "twelve"])
def test_every_build_has_one_column_in_every_table(pythons: dict[str, dict[str, object]], title: str) -> None:
    tables = found(of(pythons), title)
    heads = [head.replace("\n", "") for table in tables for head in table.head if head.startswith("3.")]
    assert heads == list(pythons)
    assert len({tuple(row[0] for row in table.rows) for table in tables}) == 1


def test_six_builds_stand_beside_each_other() -> None:
    (table,) = found(of(SIX), "Cores")
    assert table.head[2:] == ("3.9", "3.11", "3.13", "3.14", "3.15", "3.13t")
    (first,) = [row for row in table.rows if row[0] == "threads: speed-up"]
    assert first[1] == "1"
    assert all(cell.split("\n")[0].startswith("1.0") for cell in first[2:])
    assert all(cell.count("\n") == 2 for cell in first[2:]), "the interval stands below"


def test_a_figure_has_a_row_for_each_limit() -> None:
    (table,) = found(of(SIX), "Limits")
    rows = [(row[0], row[1]) for row in table.rows]
    assert rows[:4] == [("asked for", "1"), ("", "2"), ("engine says", "1"), ("", "2")]


def test_a_path_is_called_by_its_version_and_told_once() -> None:
    session = of(PATHS)
    assert list(columns.build_names(session).values()) == ["3.13 (1)", "3.13 (2)", "3.13t"]
    text = reports.render(session, "table")
    unbroken = "".join(text.partition("Limits")[2].split())
    assert all(unbroken.count(path) == 1 for path in PATHS if path != "/opt/free/python3.13t")
    assert "3.13t: /opt/free/python3.13t" in text


def test_a_single_build_has_nothing_to_be_read_across() -> None:
    assert not columns.has_builds(of({"3.13": scripts.python()}))
    assert found(of({"3.13": scripts.python()}), "Cores")[0].head[0] == "CPUs"


def test_a_single_build_that_is_a_path_stays_within_80_columns() -> None:
    (path, python), *_ = PATHS.items()
    lines = reports.render(of({path: python}), "table").splitlines()
    assert [line for line in lines if len(line) > 80 and line.strip() != path] == []


def test_a_session_of_several_builds_without_a_claim_has_no_table_of_them() -> None:
    assert columns.build_tables(of(SIX), "nothing", {}) == []


def surprised(expected: Sequence[Verdict]) -> Session:
    """A claim that is refuted in two cells where that was expected otherwise, for one reason."""
    session = scripts.on_builds(SIX, (1,))
    made = [
        Judgement(
            claim="x.y",
            statement="it is so",
            cell=result.cell.id,
            verdict=Verdict.REFUTED,
            expected=verdict,
            reason="it is not",
        )
        for result, verdict in zip(session.results, expected, strict=False)
    ]
    return replace(session, judgements=tuple(made))


def test_what_was_expected_is_said_where_it_was() -> None:
    session = surprised((Verdict.CONFIRMED, Verdict.UNTESTABLE, Verdict.CONFIRMED))
    assert claims.verdict_sentences(session) == (
        "Surprises (marked !):",
        "- x.y: “it is so”",
        "    at 1 on 3.9, 3.13 (expected: confirmed): it is not",
        "    at 1 on 3.11 (expected: untestable): it is not",
    )


def test_a_lesson_has_one_expectation() -> None:
    session = surprised((Verdict.CONFIRMED, Verdict.UNTESTABLE, Verdict.CONFIRMED))
    taught = highlights.surprises(session)
    assert [surprise.expected for surprise in taught] == [Verdict.CONFIRMED, Verdict.UNTESTABLE]
    assert [len(surprise.places[0][1]) for surprise in taught] == [2, 1]
