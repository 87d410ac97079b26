"""What came of gates, in each form: a screen, Markdown, XML that both schemas take, JSON."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
import xmlschema

from lab.judging.gates import Sessions, judge
from lab.model.gates import Gate, Goal, Kind, Result
from lab.reports import gates as report
from tests.support import own_code
from tests.support.paths import TESTS

SESSION = own_code.one_case(own_code.HOLDS)
GOAL = Goal(
    name="parse",
    command="scale",
    words=("--", "work.py:busy"),
    gates=(
        Gate(kind=Kind.SPEED_UP, executor="threads", least=1.7),
        Gate(kind=Kind.SPEED_UP, executor="processes", least=1.7),
        Gate(kind=Kind.SPEED_UP, executor="processes", least=1.95),
        Gate(kind=Kind.SPEED_UP, executor="interpreters", least=1.7),
    ),
)
SESSIONS = {"parse": Sessions(plain=SESSION)}
RESULTS: tuple[Result, ...] = judge(GOAL, SESSIONS["parse"])


def test_the_screen_has_a_line_for_each_gate_and_the_counts() -> None:
    text = report.render("screen", [GOAL], RESULTS, SESSIONS, 80)
    lines = text.splitlines()
    assert lines[0] == "parse: lab scale work.py:busy"
    assert [line[2:].split(" ")[1] for line in lines if line.startswith("  ") and line[2] in "●✖◐–"] == [
        "failed", "met", "inconclusive", "untestable",
    ]  # fmt: skip
    assert lines[-1] == "4 gates: 1 met, 1 untestable, 1 inconclusive, 1 failed"
    assert max(map(len, lines)) <= 80


def test_the_summary_has_the_worst_first_a_chart_and_the_session() -> None:
    text = report.render("summary", [GOAL], RESULTS, SESSIONS)
    assert text.startswith("## multicore-lab: 4 gates: ")
    rows = [line for line in text.splitlines() if line.startswith("| speed")]
    assert [row.rpartition(" | ")[2].rstrip(" |") for row in rows] == [
        "✖ failed", "◐ inconclusive", "– untestable", "● met",
    ]  # fmt: skip
    assert text.partition("<details>")[0].count("```mermaid") == 1
    assert "<details><summary>parse: session scripted</summary>" in text


@pytest.mark.parametrize("schema", ["junit-jenkins.xsd", "junit-ant.xsd"])
def test_the_xml_is_valid(schema: str) -> None:
    text = report.render("junit", [GOAL], RESULTS, SESSIONS)
    xmlschema.XMLSchema(str(TESTS / "data" / schema)).validate(text)
    [suite] = ElementTree.fromstring(text)
    counts = {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")}
    assert suite.get("timestamp") == "1970-01-01T00:00:00", "the session of this test began at 0"
    assert float(suite.get("time") or 0) == SESSION.wall_seconds > 0
    assert sum(float(case.get("time") or 0) for case in suite.iter("testcase")) == SESSION.wall_seconds
    assert counts == {"tests": "4", "failures": "1", "skipped": "2", "errors": "0"}


def test_the_document_has_the_numbers() -> None:
    document = json.loads(report.render("json", [GOAL], RESULTS, SESSIONS))
    assert document["outcomes"] == {"met": 1, "failed": 1, "inconclusive": 1, "untestable": 1}
    [target] = document["targets"]
    assert target["sessions"] == ["scripted"]
    first = target["gates"][0]
    assert first["low"] <= first["value"] <= first["high"] < first["limit"] == 1.7


def test_no_text_of_others_gets_out_raw() -> None:
    bad = Goal(name="parse", command="scale", words=("--", "work\x1b[2J.py:<script>"), gates=GOAL.gates)
    for form in ("screen", "summary", "junit"):
        text = report.render(form, [bad], RESULTS, SESSIONS)
        assert "\x1b" not in text
    assert "no target has a gate" in report.render("screen", [bad], (), SESSIONS)
