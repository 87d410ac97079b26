"""Exports: what other programs read. Each is read here by such a program: a schema's validator, csv, pyperf."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import xmlschema

from lab import reports
from lab.cell.claims.estimates import median
from lab.judging import speedups
from lab.model.cell import Record
from lab.model.session import Session, Verdict
from lab.reports.formats.csv import COLUMNS
from lab.reports.formats.summary import LONGEST_LIST, escaped
from lab.sessions import loading
from lab.text import markdown
from tests.support import scripts
from tests.support.paths import ROOT, TESTS
from tests.support.terminal import Lab

#: Texts that mean something to a format, or are forbidden in one.
HOSTILE = "=1+1|`a`\n<script>&amp;]]>\"'\x00\x08\x1b[31m\ud800\ufffe\u2028$x$ **b** ![](u) @all, end\u202e\x9b\r\n"


def hostile(session: Session) -> Session:
    """The session with such a text in every place that a user, an image or an engine fills."""
    results = tuple(
        dataclasses.replace(
            result,
            reason=result.reason and HOSTILE,
            cell=dataclasses.replace(result.cell, build=HOSTILE),
            outcome=result.outcome and dataclasses.replace(result.outcome, stderr_tail=HOSTILE),
        )
        for result in session.results
    )
    judgements = tuple(
        dataclasses.replace(judgement, reason=HOSTILE, statement=HOSTILE) for judgement in session.judgements
    )
    machine = dataclasses.replace(session.machine, image=HOSTILE, details={"engine_version": HOSTILE})
    return dataclasses.replace(session, results=results, judgements=judgements, machine=machine, notes=(HOSTILE,))


SESSIONS = {
    **scripts.every_kind(),
    "hostile": hostile(scripts.every_kind()["expected"]),
    "hostile, in trouble": hostile(scripts.every_kind()["error"]),
    "hostile surprises": hostile(scripts.every_kind()["surprise"]),
}
every_session = pytest.mark.parametrize("name", SESSIONS)


@pytest.mark.parametrize("form", ["html", "markdown", "screen", "summary", "table", "transcript"])
@pytest.mark.parametrize("name", [name for name in SESSIONS if name.startswith("hostile")])
def test_no_control_and_no_turn_of_direction_reaches_a_reader(form: str, name: str) -> None:
    text = reports.render(SESSIONS[name], form)
    assert {letter for letter in text if not letter.isprintable()} <= {"\n"}
    if form == "markdown":
        assert "<script>" not in text


@pytest.mark.parametrize("form", reports.format_names())
@pytest.mark.parametrize("name", [name for name in SESSIONS if name.startswith("hostile")])
def test_every_format_renders_a_session_with_hostile_texts(form: str, name: str) -> None:
    assert reports.render(SESSIONS[name], form).endswith("\n")


@pytest.mark.parametrize(
    ("form", "ending"),
    [("junit", "xml"), ("csv", "csv"), ("summary", "md"), ("pyperf", "json")],
    ids=lambda value: value,
)
@pytest.mark.parametrize("name", ["expected", "surprise", "noisy", "error", "interrupted"])
def test_an_export_is_as_reviewed(golden: Callable[[str, str], None], form: str, ending: str, name: str) -> None:
    session = dataclasses.replace(SESSIONS[name], lab_version="0.0.0")
    golden(f"{form}-{name}.{ending}", reports.render(session, form))


@functools.cache
def junit_schema(of: str) -> xmlschema.XMLSchema:
    """The rules of one of the two schemas that docs/formats.md names."""
    return xmlschema.XMLSchema(TESTS / "data" / f"junit-{of}.xsd")


both_schemas = pytest.mark.parametrize("of", ["jenkins", "ant"])


@pytest.mark.parametrize("form", reports.format_names())
@pytest.mark.parametrize("name", [name for name in SESSIONS if "hostile" in name])
def test_no_format_hands_out_what_cannot_be_shown(form: str, name: str) -> None:
    lines = reports.render(SESSIONS[name], form).split("\n")
    assert [line for line in lines if not line.isprintable()] == []


@pytest.mark.parametrize("form", ["markdown", "summary"])
def test_no_text_of_others_is_markup_in_markdown(form: str) -> None:
    text = reports.render(SESSIONS["hostile surprises"], form)
    assert "script" in text
    assert "<script" not in text
    assert "|`a`" not in text


class TestJUnit:
    @staticmethod
    def root(name: str) -> ElementTree.Element:
        return ElementTree.fromstring(reports.render(SESSIONS[name], "junit").encode())

    @both_schemas
    @every_session
    def test_it_is_valid_against_both_schemas(self, name: str, of: str) -> None:
        junit_schema(of).validate(reports.render(SESSIONS[name], "junit"))

    @every_session
    def test_a_skip_has_no_type(self, name: str) -> None:
        assert {key for skip in self.root(name).iter("skipped") for key in skip.keys()} <= {"message"}  # noqa: SIM118

    @every_session
    def test_every_claim_in_every_cell_is_one_case_with_a_name_of_its_own(self, name: str) -> None:
        suites = self.root(name).findall("testsuite")
        assert len(suites) == len(SESSIONS[name].results)
        cases = [(case.get("classname"), case.get("name")) for suite in suites for case in suite.iter("testcase")]
        assert len(cases) == len(set(cases)) == len(SESSIONS[name].judgements) + len(suites)

    @every_session
    def test_verdicts_become_passes_failures_errors_and_skips(self, name: str) -> None:
        wanted = Counter(
            "failure"
            if judgement.surprise
            else {Verdict.CONFIRMED: "pass", Verdict.REFUTED: "pass", Verdict.ERROR: "error"}.get(
                judgement.verdict, "skipped"
            )
            for judgement in SESSIONS[name].judgements
        )
        cases = [case for case in self.root(name).iter("testcase") if case.get("classname") != "cell"]
        assert Counter(case[0].tag if len(case) else "pass" for case in cases) == wanted

    @every_session
    def test_a_suite_counts_its_cases(self, name: str) -> None:
        for suite in self.root(name):
            tags = Counter(outcome.tag for case in suite.iter("testcase") for outcome in case)
            assert int(suite.get("tests", "")) == len(list(suite.iter("testcase")))
            counted = [int(suite.get(attribute, "")) for attribute in ("failures", "errors", "skipped")]
            assert counted == [tags["failure"], tags["error"], tags["skipped"]]

    @pytest.mark.parametrize(
        ("name", "verdict"), [("expected", "untestable"), ("noisy", "inconclusive")], ids=lambda value: str(value)
    )
    def test_a_skip_says_why(self, name: str, verdict: str) -> None:
        messages = [skip.get("message", "") for skip in self.root(name).iter("skipped")]
        reasons = [
            f"{judgement.verdict}: {judgement.reason}"
            for judgement in SESSIONS[name].judgements
            if judgement.verdict == verdict
        ]
        assert reasons
        assert {*reasons} <= {*messages}

    def test_a_cell_whose_limit_was_not_real_is_an_error_of_its_own(self) -> None:
        (error,) = self.root("tainted").iter("error")
        assert error.get("type") == "tainted"
        assert "affinity changed" in error.get("message", "")

    def test_the_times_of_the_cases_add_up_to_those_of_the_experiments(self) -> None:
        suite = self.root("expected")[0]
        assert sum(float(case.get("time", "")) for case in suite.iter("testcase")) == pytest.approx(1.5, abs=0.01)

    def test_a_suite_has_the_proof_of_its_limit(self) -> None:
        properties = {entry.get("name"): entry.get("value") for entry in self.root("expected")[1].iter("property")}
        assert properties["parallelism_cpus"] == "2"
        assert properties["rate_cpus"] == "2.0"
        assert properties["cpu_ids"] == "0 1"
        assert properties["python"] == "3.13.5"

    def test_what_xml_cannot_hold_is_replaced_and_all_else_comes_back(self) -> None:
        case = next(case for case in self.root("hostile surprises").iter("failure"))
        assert "=1+1|`a`\n<script>&amp;]]>\"'␀␈␛[31m��\n$x$" in str(case.text)

    @pytest.mark.parametrize(
        ("of", "good", "bad"),
        [
            ("ant", 'classname="pool"', ""),
            ("ant", 'tests="14"', 'tests="many"'),
            ("ant", 'time="0.000"', 'time="0,0"'),
            ("jenkins", 'time="0.000"', 'time="none"'),
            ("jenkins", "<skipped ", '<skipped type="untestable" '),
            ("jenkins", "<testcase ", '<testcase status="run" '),
        ],
    )
    def test_a_schema_refuses_what_a_server_would_stumble_over(self, of: str, good: str, bad: str) -> None:
        text = reports.render(SESSIONS["expected"], "junit")
        assert good in text
        assert not junit_schema(of).is_valid(text.replace(good, bad, 1))


BUILDS = {"3.13": scripts.python(), "3.13t": scripts.python(gil=False)}
SEVERAL = scripts.on_builds(BUILDS, (1, 2), {"pipe": scripts.pipe(), "gil": scripts.gil(2)})
PLACES = [("3.13", "multicore-lab-base:3.13"), ("3.13t", "multicore-lab-base:3.13t")]


class TestSeveralBuilds:
    """Each row, suite and benchmark says its own build, and the image of that."""

    def test_csv(self) -> None:
        rows = csv.DictReader(io.StringIO(reports.render(SEVERAL, "csv")))
        assert {(row["cell"].partition("-")[0], row["build"], row["image"]) for row in rows} == {
            (build, f"Python {build}", image) for build, image in PLACES
        }

    def test_junit(self) -> None:
        root = ElementTree.fromstring(reports.render(SEVERAL, "junit").encode())
        properties = [{entry.get("name"): entry.get("value") for entry in suite.iter("property")} for suite in root]
        assert [(suite["build"], suite["image"]) for suite in properties] == PLACES * 2
        names = [case.get("name") for case in root.iter("testcase") if case.get("classname") == "pipe"]
        assert names == [f"duplex [{build}-cpu{size}]" for size in (1, 2) for build in BUILDS]

    def test_pyperf(self) -> None:
        suite = json.loads(reports.render(SEVERAL, "pyperf"))
        metadata = [benchmark["metadata"] for benchmark in suite["benchmarks"]]
        assert {(entry["lab_build"], entry["lab_image"]) for entry in metadata} == {*PLACES}
        assert len({entry["name"] for entry in metadata}) == len(metadata)

    def test_summary(self) -> None:
        text = reports.render(SEVERAL, "summary")
        assert "| build | CPUs | threads |" in text
        assert [f"| {build} | {cpus} |" in text for build in BUILDS for cpus in ("1 CPU", "2 CPUs")] == [True] * 4
        assert "| claim | 3.13, 1 CPU | 3.13t, 1 CPU | 3.13, 2 CPUs | 3.13t, 2 CPUs |" in text


class TestCSV:
    @staticmethod
    def rows(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(reports.render(SESSIONS[name], "csv"), newline=""), strict=True))

    @every_session
    def test_it_has_a_row_for_every_claim_in_every_cell_and_always_the_same_columns(self, name: str) -> None:
        assert reports.render(SESSIONS[name], "csv").split("\n", 1)[0] == ",".join(COLUMNS)
        rows = self.rows(name)
        assert [(row["claim"], row["cell"]) for row in rows] == [
            (judgement.claim, judgement.cell) for judgement in SESSIONS[name].judgements
        ]
        assert all(None not in row and None not in row.values() for row in rows)

    def test_numbers_come_back_as_they_were(self) -> None:
        for row, judgement in zip(self.rows("surprise"), SESSIONS["surprise"].judgements, strict=True):
            assert (row["verdict"], row["surprise"]) == (judgement.verdict, str(judgement.surprise).lower())
            for name in ("value", "low", "high", "ceiling"):
                assert (float(row[name]) if row[name] else None) == getattr(judgement, name)

    @pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝"], ids=repr)
    def test_no_text_is_a_formula(self, first: str) -> None:
        session = SESSIONS["expected"]
        judgements = tuple(
            dataclasses.replace(judgement, reason=f"{first}HYPERLINK(0)") for judgement in session.judgements
        )
        text = reports.render(dataclasses.replace(session, judgements=judgements), "csv")
        assert {row["reason"] for row in csv.DictReader(io.StringIO(text, newline=""))} == {
            f"'{first.strip()}HYPERLINK(0)"
        }

    def test_a_negative_number_stays_a_number(self) -> None:
        session = SESSIONS["expected"]
        (first, *_) = session.judgements
        text = reports.render(dataclasses.replace(session, judgements=(dataclasses.replace(first, value=-1.5),)), "csv")
        assert next(csv.DictReader(io.StringIO(text)))["value"] == "-1.5"

    def test_every_column_is_documented(self) -> None:
        page = (ROOT / "docs" / "formats.md").read_text("utf-8")
        assert [name for name in COLUMNS if f"`{name}`" not in page] == []


class TestSummary:
    @every_session
    def test_a_table_has_as_many_columns_in_every_row(self, name: str) -> None:
        blocks = re.findall(r"(?:^\|.*\n)+", reports.render(SESSIONS[name], "summary"), re.MULTILINE)
        for block in blocks:
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1

    @every_session
    def test_the_chart_is_one_that_mermaid_reads(self, name: str) -> None:
        for chart in re.findall(r"```mermaid\n(.*?)\n```", reports.render(SESSIONS[name], "summary"), re.DOTALL):
            kind, title, across, up, *series = chart.splitlines()
            assert (kind, title) == ("xychart-beta", '    title "Speed-up by CPUs"')
            points = re.fullmatch(r'    x-axis "CPUs" \[("[\w =.,:+-]*"(?:, "[\w =.,:+-]*")*)\]', across)
            assert points
            assert re.fullmatch(r'    y-axis "speed-up" 0 --> [1-9]\d*', up)
            assert [line.split()[0] for line in series] == ["bar", "line", "line"]
            for line in series:
                values = json.loads(line[line.index("[") :])
                assert len(values) == len(points[1].split('", "'))

    def test_several_cells_have_a_chart_and_one_has_none(self) -> None:
        assert "```mermaid" in reports.render(SESSIONS["expected"], "summary")
        assert "```mermaid" not in reports.render(SESSIONS["surprise"], "summary")

    def test_what_surprised_comes_first_with_its_reason(self) -> None:
        text = reports.render(SESSIONS["surprise"], "summary")
        assert text.startswith("## multicore-lab: 2 surprises\n")
        assert "threads reached a speed-up of 1.90" in text[: text.index("| claim")]

    @pytest.mark.parametrize(
        ("name", "title"),
        [
            ("expected", "no surprise"),
            ("error", "1 cell not measured as requested, no surprise"),
            ("interrupted", "interrupted, no surprise"),
        ],
    )
    def test_the_title_says_how_it_went(self, name: str, title: str) -> None:
        assert reports.render(SESSIONS[name], "summary").startswith(f"## multicore-lab: {title}\n")

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a|b", r"a\|b"),
            ("`a`", r"\`a\`"),
            ("<b>&lt;", "&lt;b&gt;&amp;lt;"),
            ("two\nlines\r\n", "two lines"),
            ("\x1b[31mred", r"␛\[31mred"),
            ("@team", "&#64;team"),
            ("[x](y) *z* _w_ $m$ ~~s~~ #1", r"\[x\](y) \*z\* \_w\_ \$m\$ \~\~s\~\~ \#1"),
            ("x" * 400, "x" * 299 + "…"),
        ],
        ids=["pipe", "backticks", "HTML", "lines", "escape sequence", "mention", "markup", "long"],
    )
    def test_texts_are_shown_as_they_are(self, text: str, shown: str) -> None:
        assert escaped(text) == shown

    @pytest.mark.slow
    def test_many_long_surprises_stay_below_githubs_limit(self) -> None:
        session = SESSIONS["surprise"]
        (judgement,) = [judgement for judgement in session.judgements if judgement.claim == "gil.one-core"]
        many = tuple(
            dataclasses.replace(judgement, claim=f"gil.{'long' * 50}-{number}", reason="x" * 9999)
            for number in range(9000)
        )
        text = reports.render(dataclasses.replace(session, judgements=many), "summary")
        assert len(text.encode()) <= markdown.MOST_BYTES
        assert f"- and {len(many) - LONGEST_LIST} more" in text


def undisturbed(session: Session) -> Session:
    """The session as if nobody had disturbed a block: how many really count depends on who else uses the machine."""

    def freed(record: Record) -> Record:
        if record.kind != "sample":
            return record
        values = {name: {**block, "disturbed": None} for name, block in record.data["values"].items()}
        return record._replace(data={**record.data, "values": values})

    results = [dataclasses.replace(result, records=tuple(map(freed, result.records))) for result in session.results]
    return dataclasses.replace(session, results=tuple(results))


class TestPyperf:
    """pyperf itself reads it: https://pyperf.readthedocs.io/en/latest/cli.html."""

    @staticmethod
    def pyperf(*arguments: str | Path) -> str:
        """What pyperf prints; it must have nothing to say against it."""
        done = subprocess.run(
            [sys.executable, "-m", "pyperf", *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "WARNING" not in done.stdout
        assert "ERROR" not in done.stdout
        return done.stdout

    @pytest.fixture
    def export(self, tmp_path: Path) -> Callable[[str], Path]:
        def write(name: str) -> Path:
            path = tmp_path / f"{name}.json"
            path.write_text(reports.render(SESSIONS[name], "pyperf"))
            return path

        return write

    def test_show_names_every_way_of_working_in_every_cell(self, export: Callable[[str], Path]) -> None:
        text = self.pyperf("show", export("expected"))
        assert "gil/one process/1 CPU: Mean +- std dev: 99.4 us" in text
        assert "gil/processes/2 CPUs: Mean +- std dev: 51." in text
        assert len(text.splitlines()) == 12

    def test_stats_and_metadata_are_read(self, export: Callable[[str], Path]) -> None:
        path = export("expected")
        assert "Start date: 1970-01-01 00:00:00" in self.pyperf("stats", path)
        assert "python_version: 3.13.5" in self.pyperf("metadata", path)

    def test_check_finds_quiet_rounds_stable(self, export: Callable[[str], Path]) -> None:
        assert self.pyperf("check", export("expected")) == "All benchmarks seem to be stable\n"

    def test_compare_to_finds_the_threads_of_a_build_without_a_gil_faster(self, export: Callable[[str], Path]) -> None:
        text = self.pyperf("compare_to", export("expected"), export("without a GIL"))
        assert re.search(r"gil/threads/2 CPUs: .* 1.90x faster", text)

    def test_no_value_is_shorter_than_a_millisecond_for_all_of_its_loops(self) -> None:
        for benchmark in self.benchmarks("expected"):
            assert min(benchmark["runs"][0]["values"]) * benchmark["metadata"]["loops"] > 1e-3

    def test_disturbed_rounds_and_cells_that_were_not_measured_make_no_benchmark(self) -> None:
        assert self.benchmarks("noisy") == []
        assert self.benchmarks("tainted") == []

    def test_several_cells_of_one_limit_are_told_apart(self) -> None:
        session = SESSIONS["expected"]
        (_, two, _) = session.results
        again = dataclasses.replace(two, cell=dataclasses.replace(two.cell, id="cpu2-again"))
        double = dataclasses.replace(session, results=(two, again))
        names = [
            benchmark["metadata"]["name"] for benchmark in json.loads(reports.render(double, "pyperf"))["benchmarks"]
        ]
        assert len(names) == len(set(names)) == 14

    def test_a_run_without_what_it_needs_is_refused_before_it_begins(self, lab: Lab) -> None:
        code, out, err = lab.run("pipe", "--format", "pyperf", "--engine", "local")
        assert (code, out) == (2, "")
        assert err == "lab: --format pyperf reports what gil measures; name that experiment too\n"
        assert not lab.sessions.exists()

    @pytest.mark.slow
    def test_what_the_local_engine_measures_is_read(self, lab: Lab, tmp_path: Path) -> None:
        code, out, err = lab.run(
            "gil", "--cpus", "1", "--engine", "local", "--time-limit", "5", "--fail-on", "never", "--format", "pyperf"
        )
        assert code == 0, err
        assert json.loads(out)["version"] == "1.0"
        (folder,) = lab.sessions.iterdir()
        path = tmp_path / "measured.json"
        path.write_text(reports.render(undisturbed(loading.load_session(folder)), "pyperf"))
        names = [benchmark["metadata"]["name"] for benchmark in json.loads(path.read_text())["benchmarks"]]
        assert "gil/one process/1 CPU" in names
        # How stable it is depends on who else is here: pyperf may say so, and would be right.
        done = subprocess.run(
            [sys.executable, "-m", "pyperf", "show", "--quiet", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert all(f"{name}: Mean +- std dev: " in done.stdout for name in names)

    @staticmethod
    def benchmarks(name: str) -> list[dict[str, Any]]:
        benchmarks: list[dict[str, Any]] = json.loads(reports.render(SESSIONS[name], "pyperf"))["benchmarks"]
        return benchmarks


@pytest.mark.parametrize(("gil", "seconds"), [(True, 0.05), (False, 0.005)])
def test_threads_that_need_no_gil_had_shorter_blocks(gil: bool, seconds: float) -> None:
    cell = scripts.ran(2, {"gil": scripts.gil(2)}, python=scripts.python(gil=gil))
    (threads,) = [timing for timing in speedups.timings(cell) if timing.arm == "threads"]
    assert threads.loops * median(threads.values) == pytest.approx(seconds, rel=0.05)
