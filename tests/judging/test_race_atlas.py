"""The table of the race atlas: in every report, within 80 columns, from records old and new."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from lab import reports
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.reports import tables
from lab.reports.formats import table as terminal
from lab.reports.tables import race_atlas
from lab.text.table import Table
from tests.reports.test_schema import check
from tests.support import scripts

OLD, NEW, FREE = ((3, 9, 2), True), ((3, 13, 5), True), ((3, 13, 5), False)


def session(sizes: tuple[int, ...] = (1, 2)) -> Session:
    """An atlas on four builds, of which two have the same bytecode."""
    everywhere = ("LOAD_GLOBAL", "LOAD_CONST", "BINARY_OP", "CALL", "STORE_GLOBAL")
    by_build = {
        "3.9": (OLD, scripts.atlas(("LOAD_GLOBAL", "BINARY_OP", "CALL", "STORE_GLOBAL"))),
        "3.11": (((3, 11, 2), True), scripts.atlas()),
        "3.13": (NEW, scripts.atlas(lost=3)),
        "3.13t": (FREE, scripts.atlas(everywhere)),
    }
    pythons = {label: scripts.python(version, gil=gil) for label, ((version, gil), _) in by_build.items()}
    empty = scripts.on_builds(pythons, sizes, {"race-atlas": []})
    results = [
        scripts.result(
            result.cell,
            scripts.stream(
                result.cell.id,
                result.cell.cpus,
                {"race-atlas": by_build[result.cell.build][1]},
                python=pythons[result.cell.build],
            ),
        )
        for result in empty.results
    ]
    return scripts.session(*results, experiments=("race-atlas",), machine=empty.machine)


SESSION = session()
ALONE = scripts.session(scripts.ran(2, {"race-atlas": scripts.atlas()}), experiments=("race-atlas",))


@pytest.mark.parametrize(("form", "ending"), [("table", "txt"), ("markdown", "md")])
def test_the_atlas_is_as_reviewed(golden: Callable[[str, str], None], form: str, ending: str) -> None:
    text = reports.render(SESSION, form)
    start = text.index("Race atlas")
    golden(f"atlas.{ending}", text[start : text.index("Claims", start)])


def test_there_is_a_table_for_each_limit_and_one_of_bytecode() -> None:
    titles = [table.title for table in race_atlas.race_atlas_tables(SESSION)]
    assert titles == ["Race atlas, 1 CPU", "Race atlas, 2 CPUs", "Race atlas: where another thread can run"]


def test_an_entry_has_the_share_and_the_hand_overs_and_its_column_the_build_the_gil_and_the_interval() -> None:
    table = race_atlas.race_atlas_tables(SESSION)[0]
    assert table.head[1:3] == ("3.9,\nGIL on,\n5 ms", "3.9,\nGIL on,\n200 µs")
    assert table.head[-1] == "3.13t,\nGIL off,\n200 µs"
    assert [row[:3] for row in table.rows] == [
        ("n += 1", "0 in 400", "0 in 400"),
        ("read, call, write", "4.2 % in 400", "42 % in 400"),
    ]


def test_builds_with_the_same_bytecode_share_a_line_and_places_are_marked() -> None:
    rows = race_atlas.race_atlas_tables(SESSION)[-1].rows
    assert rows[-4:] == (
        ("read, call, write", "", "x = n; n = f(x)"),
        ("", "3.9", "LOAD_GLOBAL* LOAD_GLOBAL* CALL* STORE_GLOBAL*"),
        ("", "3.11,\n3.13", "LOAD_GLOBAL LOAD_GLOBAL CALL* STORE_GLOBAL"),
        ("", "3.13t", "anywhere: without a GIL the other threads run at the same time"),
    )


def test_a_build_that_nobody_named_is_called_by_its_release() -> None:
    assert race_atlas.race_atlas_tables(ALONE)[0].head[1].startswith("3.13.5,\nGIL on,")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0"),
        (1e-9, "<0.01 %"),
        (0.0012, "0.12 %"),
        (0.042, "4.2 %"),
        (0.096, "9.6 %"),
        (0.42, "42 %"),
        (0.997, "100 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_is_short_and_none_only_where_it_is_none(share: float, text: str) -> None:
    assert race_atlas.percentage(share) == text


@pytest.mark.slow
def test_the_atlas_stands_in_each_report_instead_of_a_row_for_each_statement_at_each_interval() -> None:
    taken = ("sample", {"name": "round", "values": {"n += 1 @ 5 ms": {"made": 1, "lost": 0, "hand_overs": 1}}})
    measured = scripts.ran(2, {"race-atlas": [*scripts.atlas(), taken]})
    session = scripts.session(measured, experiments=("race-atlas",))
    assert any(quantity.what == "n += 1 @ 5 ms" for quantity in session.quantities)  # lab compare takes them
    for form in ("table", "markdown", "html"):
        text = reports.render(session, form)
        assert "42 % in 400" in text
        assert "LOAD_GLOBAL LOAD_GLOBAL CALL* STORE_GLOBAL" in re.sub(r"\\(.)", r"\1", text)  # Markdown escapes
        assert " @ 5 ms" not in text.partition('id="data"')[0]


def test_the_document_has_it_all_as_the_schema_says() -> None:
    document = check(reports.render(SESSION, "json"))
    assert len(document["atlas"]) == len(SESSION.results) * 2
    (entry,) = [
        entry
        for entry in document["atlas"]
        if (entry["cell"], entry["statement"]) == ("3.13-cpu2", "read, call, write")
    ]
    assert entry["bytecode"][2:] == [{"name": "CALL", "hand_over": True}, {"name": "STORE_GLOBAL", "hand_over": False}]
    assert entry["intervals"][1] == {
        "interval_seconds": 0.0002,
        "made": 1000,
        "lost": 3,
        "share": 0.003,
        "hand_overs": 400,
    }
    assert check(reports.render(scripts.every_kind()["expected"], "json"))["atlas"] == []


def changed(**changes: Any) -> Session:
    """The atlas in which every record was changed like that; a value of ``None`` takes it out."""
    values = ({**data["value"], **changes} for _, data in scripts.atlas())
    observations = [
        scripts.observe("atlas", {key: it for key, it in fields.items() if it is not None}) for fields in values
    ]
    return scripts.session(scripts.ran(2, {"race-atlas": observations}), experiments=("race-atlas",))


def test_records_of_older_sessions_are_read_by_their_names() -> None:
    former = {"made": "tries", "hand_overs": "handovers"}
    observations = [
        scripts.observe("atlas", {former.get(key, key): value for key, value in data["value"].items()})
        for _, data in scripts.atlas()
    ]
    old = scripts.session(scripts.ran(2, {"race-atlas": observations}), experiments=("race-atlas",))
    for form in ("table", "json"):
        assert reports.render(old, form) == reports.render(ALONE, form)


@pytest.mark.parametrize(
    "broken",
    [{"made": "many"}, {"lost": None}, {"hand_overs": -1}, {"interval_seconds": []}],
    ids=["no number", "none", "negative", "a list"],
)
def test_a_record_that_cannot_be_read_is_left_out(broken: dict[str, Any]) -> None:
    assert race_atlas.race_atlas_tables(changed(**broken)) == []
    assert check(reports.render(changed(**broken), "json"))["atlas"] == []


@pytest.mark.parametrize("bytecode", [7, ["CALL"], [[]], [["CALL"]]], ids=str)
def test_without_bytecode_that_can_be_read_the_numbers_are_there(bytecode: object) -> None:
    tables = race_atlas.race_atlas_tables(changed(bytecode=bytecode))
    assert tables[0].rows[0][1] == "0 in 400"
    assert tables[-1].rows[1] == ("", "3.13.5", "-")


def test_what_a_record_says_cannot_reach_the_terminal() -> None:
    assert "\x1b" not in reports.render(changed(statement="\x1b[31m", text="\x1b[31m"), "table")


def test_a_cell_whose_limit_was_not_real_is_left_out() -> None:
    tainted = scripts.ran(2, {"race-atlas": scripts.atlas()}, end=scripts.proof((0,)))
    assert tainted.status is Status.TAINTED
    assert race_atlas.race_atlas_tables(scripts.session(tainted, experiments=("race-atlas",))) == []
    gone = CellResult(cell=scripts.cell(1), status=Status.ERROR, reason="gone")
    assert race_atlas.race_atlas_tables(scripts.session(gone, experiments=("race-atlas",))) == []


# How a terminal fits it in.


def test_columns_of_one_build_stay_together_where_not_all_fit() -> None:
    head = ("statement", *(f"{build},\n{'x' * 11}" for build in ("3.9", "3.13", "3.15") for _ in range(3)))
    table = Table(title="", head=head, rows=(tuple("s" * 10 if not n else str(n) for n in range(10)),))
    pieces = list(terminal._fitting(table))
    builds = [[name.partition(",")[0] for name in table.head[1:]] for table in pieces]
    assert builds == [["3.9"] * 3, ["3.13"] * 3, ["3.15"] * 3]
    assert [number for table in pieces for number in table.rows[0][1:]] == [str(n) for n in range(1, 10)]


def test_a_table_that_fits_is_left_as_it_is() -> None:
    table = Table(title="", head=("a" * 20, "b" * 58), rows=())
    assert list(terminal._fitting(table)) == [table]


def test_text_in_the_last_column_is_broken_where_it_is_too_wide() -> None:
    words = " ".join(["LOAD_GLOBAL*"] * 12)
    (table,) = terminal._fitting(Table(title="", head=("a", "b"), rows=(("s" * 20, words),)))
    assert re.sub(r"\n", " ", table.rows[0][1]) == words
    assert max(map(len, table.rows[0][1].split("\n"))) <= 58


def test_the_document_is_that_of_the_session_which_a_report_is_made_of() -> None:
    assert json.loads(reports.render(SESSION, "json")) == reports.document(SESSION)
    assert [table.title for table in tables.all_tables(SESSION)][1:3] == ["Race atlas, 1 CPU", "Race atlas, 2 CPUs"]
