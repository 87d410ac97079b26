"""Reports of ``lab scale``: what each format shows of a function of the user's. Each screen is a golden file."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab import reports
from lab.cell.targets.arms import name_of
from lab.judging.advice import all_advice
from lab.judging.call_code import common_code
from lab.reports.charts import charts, drawing, terminal
from lab.reports.charts.workers import points
from lab.reports.formats.screen import most_lines
from lab.reports.tables import scale
from lab.reports.tables.packages import package_tables
from lab.running.scaling import result_of
from lab.sessions import merging
from tests.reports.test_schema import check
from tests.support import own_code, scripts

Golden = Callable[[str, str], None]

KINDS = own_code.every_kind()


@pytest.mark.parametrize("name", KINDS)
def test_a_screen_is_as_reviewed(name: str, golden: Golden) -> None:
    golden(f"scale-{name}.txt", reports.render(KINDS[name], "screen"))


@pytest.mark.parametrize("width", [66, 60])
def test_a_narrow_screen_is_as_reviewed(width: int, golden: Golden) -> None:
    golden(f"scale-one-case-{width}.txt", reports.render(KINDS["one-case"], "screen", width))


@pytest.mark.parametrize("width", [80, 66, 60])
@pytest.mark.parametrize("name", KINDS)
def test_a_screen_fits_and_breaks_no_word_and_no_line_of_code(name: str, width: int) -> None:
    text = reports.render(KINDS[name], "screen", width)
    lines = text.splitlines()
    assert len(lines) <= most_lines(width)
    assert max(map(len, lines)) <= width
    codes = {advice.code for advice in all_advice(KINDS[name]) if advice.cell.startswith("cpu2") and advice.code}
    shown = {common_code(code) for code in codes if "\n".join(f"    {line}" for line in code.splitlines()) in text}
    assert shown == set(map(common_code, codes))


@pytest.mark.parametrize("name", KINDS)
def test_the_advice_is_a_line_that_begins_with_the_word(name: str) -> None:
    text = reports.render(KINDS[name], "screen")
    assert bool(re.search(r"^Advice: ", text, re.MULTILINE)) == bool(all_advice(KINDS[name]))
    assert not re.search(r"^Advice[^:]", text, re.MULTILINE)


@pytest.mark.parametrize("kind", ["thread", "fork", "forkserver", "spawn"])
def test_the_code_runs_as_it_stands(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = {(kind, 2): 1.95}
    (advice,) = all_advice(own_code.session(own_code.ran(2, (own_code.BUSY, own_code.said(best)))))
    assert advice.option
    assert advice.option.name == name_of(kind, 2)
    compile(advice.code, "advice", "exec")
    (tmp_path / "work.py").write_text("busy = str.upper")
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"items": "abc", "__name__": "__main__"}
    exec(advice.code, names)
    sys.modules.pop("work")
    assert names["results"] == ["A", "B", "C"]


def test_long_code_that_is_the_same_for_two_functions_stands_once_and_the_screen_has_room_for_it() -> None:
    case = own_code.BUSY._replace(setup="make", arguments={"n": 3})
    cases = [case, case._replace(label="work.py:other", name="other")]
    form = scripts.observe("form", {"kind": "asynchronous generator", "item": "beside"})
    messages = [form, *own_code.said({**own_code.HOLDS, ("fork", 2): 1.0, ("forkserver", 2): 1.0})]
    session = own_code.session(own_code.ran(2, *((each, messages) for each in cases)), cases=cases)
    text = reports.render(session, "screen")
    assert text.count("    async def collected(generator):") == 1
    assert text.count("Advice: for ") == 2
    assert len(text.splitlines()) <= most_lines(80)


def test_a_chart_has_lines_of_its_own_for_each_machine() -> None:
    sessions = []
    for number, gains in enumerate((own_code.HOLDS, own_code.FREE), 1):
        machine = replace(scripts.TWO_CPUS, host_cpus=tuple(range(2 * number)))
        sessions.append(replace(own_code.one_case(gains), id=str(number), machine=machine))
    joined = merging.join(sessions)
    (chart,) = charts(joined)
    assert [panel.title for panel in chart.panels] == [
        f"work.py:busy, CPython 3.13.5, machine {number}, 2 CPUs: calls per second" for number in (1, 2)
    ]
    assert len({(point.build, point.line, point.workers) for point in points(joined)}) == len(points(joined))
    svg = drawing.elements(chart)[0]
    assert "work.py:busy, 2 CPUs<" in svg
    assert all(f"CPython 3.13.5, machine {number}<" in svg for number in (1, 2)), "the styles of the lines"


def test_what_waits_is_not_measured_by_what_the_machine_delivered() -> None:
    text = reports.render(KINDS["waits"], "screen")
    assert "% of what the machine delivered" not in text


def test_builds_stand_side_by_side() -> None:
    text = reports.render(KINDS["builds"], "screen")
    (row,) = [line for line in text.splitlines() if line.startswith("2 threads")]
    assert re.search(r"\(1\.00 x\) .*\(1\.9\d x\)", row)


def test_a_function_that_fails_leaves_the_numbers_of_the_others() -> None:
    text = reports.render(KINDS["failed-case"], "screen")
    assert "work.py:busy, 2 CPUs" in text
    assert "work.py:crash, 2 CPUs" not in text
    assert "Failed      a cell of 2 CPUs: work.py:crash was killed by SIGSEGV." in text


def test_a_cell_that_nobody_could_run_did_not_fail() -> None:
    text = reports.render(KINDS["interrupted"], "screen")
    assert "Not tried   a cell of 2 CPUs: the run was interrupted." in text
    assert "Failed" not in text


@pytest.mark.parametrize("name", ["one-case", "waits", "builds", "many-builds", "cases", "many-cases"])
def test_every_chart_has_its_lines_in_every_form(name: str) -> None:
    drawn = charts(KINDS[name])
    assert len(drawn) == {"cases": 2, "many-cases": 3}.get(name, 1)
    for chart in drawn:
        lines = {row[2] for row in chart.table.rows}
        assert {"ideal", "threads", "fork", "forkserver", "spawn"} <= lines
        assert ("delivered" in lines) == ("delivered" in chart.reading)
        assert "1 worker makes" in chart.description
        wide, narrow = drawing.elements(chart)
        assert wide.count('class="mark"') == narrow.count('class="mark"') > 0
        text = terminal.text(chart, 80, colour=False)
        assert max(map(len, text.splitlines())) <= 80


def test_a_function_that_waits_is_not_held_against_what_the_machine_delivered() -> None:
    assert {point.line for point in points(KINDS["waits"])} == {"ideal", "threads", "fork", "forkserver", "spawn"}


def test_a_line_begins_with_one_worker_and_ends_with_the_most() -> None:
    by_line = {line: [point for point in points(KINDS["waits"]) if point.line == line] for line in ("threads", "ideal")}
    assert [point.workers for point in by_line["threads"]] == [1, 2, 4]
    assert by_line["ideal"][-1].rate.value == pytest.approx(4 * by_line["ideal"][0].rate.value)
    assert all(point.rate.low < point.rate.value < point.rate.high for point in by_line["threads"])


def test_noise_draws_nothing() -> None:
    assert charts(KINDS["undecided"]) == ()


def test_the_page_begins_with_the_advice_and_says_why() -> None:
    page = reports.render(KINDS["builds"], "html")
    advice = page.index("Advice: take 2 threads")
    assert advice < page.index("Why: the causes that were found") < page.index('id="charts"')
    assert "ThreadPoolExecutor(2)" in page[advice : page.index('id="lessons"')]
    assert "the function holds the GIL" in page
    assert "Refuted claims" not in page
    assert "Surprises<" not in page


def test_what_to_do_about_a_cause_is_said_only_where_it_was_found() -> None:
    advice = [each.advice for each in KINDS["one-case"].judgements if each.verdict == "refuted" and each.advice]
    assert advice
    text = terminal.findings(KINDS["one-case"], (), 200)
    assert not any(line in text for line in advice)


@pytest.mark.parametrize("form", reports.format_names())
@pytest.mark.parametrize("name", KINDS)
def test_every_format_says_something_of_every_session(name: str, form: str) -> None:
    text = reports.render(KINDS[name], form)
    assert text.strip() or (form, name) == ("transcript", "nothing-ran")
    assert "no surprise" not in text
    if form in ("screen", "table", "transcript"):
        assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("name", KINDS)
def test_the_document_has_every_number_with_its_workers(name: str) -> None:
    document = check(reports.render(KINDS[name], "json"))
    for number in document["quantities"]:
        assert number["workers"] >= 1
        assert number["executor"] in ("none", "thread", "fork", "forkserver", "spawn", "interpreter")
        assert number["of"].startswith(f"{number['workers']} ")
    assert (not document["quantities"]) == (name == "nothing-ran")


def test_a_row_of_csv_has_a_number_with_its_executor_and_its_workers() -> None:
    rows = [*csv.DictReader(io.StringIO(reports.render(KINDS["one-case"], "csv")))]
    numbers = [row for row in rows if row["number"]]
    assert len(numbers) == len(KINDS["one-case"].quantities)
    (gain,) = [row for row in numbers if (row["number"], row["executor"], row["workers"]) == ("speed-up", "fork", "2")]
    assert gain["cell"] == "cpu2"
    assert float(gain["low"]) <= float(gain["value"]) <= float(gain["high"])
    assert {row["number"] for row in rows if row["claim"]} == {""}


def test_pyperf_has_the_seconds_of_a_call() -> None:
    suite = json.loads(reports.render(KINDS["one-case"], "pyperf"))
    by_name = {each["metadata"]["name"]: each["runs"][0]["values"] for each in suite["benchmarks"]}
    assert by_name["work.py:busy/1 worker/2 CPUs"] == pytest.approx([0.001] * 5, rel=0.02)
    assert by_name["work.py:busy/2 processes (fork)/2 CPUs"] == pytest.approx([0.001 / 1.95] * 5, rel=0.02)
    assert json.loads(reports.render(KINDS["undecided"], "pyperf"))["benchmarks"] == []


def test_the_summary_and_the_log_of_a_server_begin_with_the_advice() -> None:
    summary = reports.render(KINDS["cases"], "summary")
    assert summary.startswith("## multicore-lab: advice for 3 functions\n\n- **bench\\_1** Advice: take")
    assert "### Why" in summary
    assert "<system-out>work.py:busy: Advice: take 2 processes" in reports.render(KINDS["one-case"], "junit")


def test_full_tables_have_slow_calls_memory_and_packages_and_the_screen_has_not() -> None:
    more = [scripts.observe("memory", {"fork": 12e6}), scripts.observe("packages", {"numpy": "2.4.6"})]
    session = own_code.session(own_code.ran(2, (own_code.BUSY, [*own_code.said(own_code.HOLDS), *more])))
    text = reports.render(session, "table")
    rows = [line.split("  ") for line in text.partition("time of a call, and memory")[2].splitlines()]
    assert [
        [part.strip() for part in row if part] for row in rows if row[0] in ("2 threads", "2 processes (fork)")
    ] == [
        ["2 threads", "996 µs", "1.1 ms", "1.3 ms", "-"],
        ["2 processes (fork)", "1 ms", "1.1 ms", "1.3 ms", "12 MB"],
    ]
    assert re.search(r"^numpy +2\.4\.6$", text, re.MULTILINE)
    for form in ("html", "markdown"):
        page = reports.render(session, form)
        assert all(word in page for word in ("p99", "12 MB", "numpy", "2.4.6")), form
    assert "p99" not in reports.render(session, "screen")


def test_packages_of_several_builds_stand_side_by_side() -> None:
    session = KINDS["builds"]
    loaded = scripts.observe("packages", {"numpy": "2.4.6"})
    (first, *_) = session.results[-1].records_of(own_code.BUSY.experiment)
    record = first._replace(kind="observation", data={**loaded[1], "experiment": own_code.BUSY.experiment})
    last = replace(session.results[-1], records=(*session.results[-1].records, record))
    (table,) = package_tables(replace(session, results=(*session.results[:-1], last)))
    assert table.head == ("package", last.cell.build)
    assert table.rows == (("numpy", "2.4.6"),)


def test_code_is_code_in_markdown() -> None:
    text = reports.render(KINDS["one-case"], "markdown")
    (block,) = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    compile(block, "markdown", "exec")
    assert "Refuted" not in text


def test_functions_whose_names_begin_alike_keep_their_own_causes() -> None:
    cases = [own_code.BUSY._replace(label=f"work.py:busy, n={n}") for n in ("1", "1.5")]
    session = own_code.session(
        own_code.ran(2, (cases[0], own_code.said(own_code.FREE)), (cases[1], own_code.said(own_code.HOLDS))),
        cases=cases,
    )
    (line,) = [line for line in scale.cause_lines(session) if "holds the GIL" in line]
    assert line.startswith("- for busy, n=1.5:")


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = reports.render(KINDS["cases"], "html")
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert not any(" " in each for each in ids)
    assert {*re.findall(r'href="#([^"]*)"', page)} <= {*ids}


def test_the_numbers_of_two_environments_have_their_workers_too() -> None:
    session = own_code.two_environments(["1 worker", "2 threads", "2 processes (spawn)"])
    rows = [row for row in csv.DictReader(io.StringIO(reports.render(session, "csv"))) if row["number"]]
    assert {(row["executor"], row["workers"]) for row in rows} == {("none", "1"), ("thread", "2"), ("spawn", "2")}
    assert "other / this" in {row["number"] for row in rows}
    assert "other / here" in reports.render(session, "screen")
    assert reports.render(session, "html")
    assert "1 worker: the other does 1.000 (1.000 to 1.000) times the calls" in result_of(session).advice
    assert "<th>other / this</th>" in result_of(session)._repr_html_()


def test_the_screen_of_many_environments_has_as_many_rows_as_fit_and_counts_the_others() -> None:
    session = own_code.two_environments([f"{number} threads" for number in range(2, 40)])
    text = reports.render(session, "screen")
    assert "2 threads" in text
    assert "more rows: lab report --terminal" in text
    assert len(text.splitlines()) <= 45
