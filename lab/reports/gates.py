"""What came of gates, as text: for a terminal, a pull request, a CI server, and programs."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from lab.messages import printable
from lab.model.gates import Goal, Outcome, Result
from lab.reports import render as render_session
from lab.text import markdown, mermaid, units
from lab.text.table import fit_sentence

if TYPE_CHECKING:
    from lab.judging.gates import Sessions

#: The version of the JSON document.
SCHEMA = 1

#: Outcomes as shapes and words, so that nobody has to tell colours apart.
_MARKS = {
    Outcome.MET: "● met",
    Outcome.FAILED: "✖ failed",
    Outcome.INCONCLUSIVE: "◐ inconclusive",
    Outcome.UNTESTABLE: "– untestable",
}
#: What the lines of a gate begin with, after its first line.
_INDENT = " " * 18
#: The worst outcome first: that is what a reader looks for.
_ORDER = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.UNTESTABLE, Outcome.MET)

#: The most bars of a chart.
_MOST_BARS = 12


def render(
    form: str, goals: Sequence[Goal], results: Sequence[Result], sessions: Mapping[str, Sessions], width: int = 80
) -> str:
    """The results in one of the forms ``screen``, ``summary``, ``json`` and ``junit``."""
    if form == "summary":
        return _plain(_summary(goals, results, sessions))
    if form == "json":
        return json.dumps(_document(goals, results, sessions), indent=2) + "\n"
    if form == "junit":
        return _junit(goals, results, sessions)
    return _plain(_screen(goals, results, sessions, width))


def _plain(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def totals(results: Sequence[Result]) -> str:
    """How many gates there are of each outcome: ``3 gates: 2 met, 1 failed``."""
    counts = Counter(result.outcome for result in results)
    parts = [f"{counts[outcome]} {outcome}" for outcome in reversed(_ORDER) if counts[outcome]]
    return f"{units.counted(len(results), 'gate')}: {', '.join(parts) or 'no target has a gate'}"


def _screen(goals: Sequence[Goal], results: Sequence[Result], sessions: Mapping[str, Sessions], width: int) -> str:
    lines = []
    for goal in goals:
        lines.append(f"{goal.name}: lab {goal.command} {goal.target}")
        own = [result for result in results if result.goal == goal.name]
        for result in own:
            first, *more = fit_sentence(_sentence(result), width - len(_INDENT)).splitlines()
            lines += [f"  {_MARKS[result.outcome]:<15} {first}", *(f"{_INDENT}{line}" for line in more)]
        if not own:
            lines.append(
                f"  {'it has no gate; its session is kept' if goal.name in sessions else 'it was not measured'}"
            )
    return "\n".join([*lines, "", totals(results)]) + "\n"


def _sentence(result: Result) -> str:
    where = f" ({result.cell})" if result.cell else ""
    measured = f"{result.measured}, " if result.measured else ""
    why = f"; {result.reason}" if result.reason else ""
    return f"{result.subject}{where}: {measured}to be {result.bound}{why}"


def _summary(goals: Sequence[Goal], results: Sequence[Result], sessions: Mapping[str, Sessions]) -> str:
    ordered = sorted(results, key=lambda result: _ORDER.index(result.outcome))
    head = ("gate", "cell", "measured", "to be", "outcome")
    rows = [
        (*map(markdown.escaped, (each.subject, each.cell, _measured(each), each.bound)), _MARKS[each.outcome])
        for each in ordered
    ]
    parts = [f"## multicore-lab: {markdown.escaped(totals(results))}"]
    parts += [markdown.table(head, rows)] if rows else []
    parts += _chart(results)
    short = "\n\n".join(parts) + "\n"
    for goal in goals:
        each = sessions.get(goal.name)
        for session in each.all if each else ():
            title = f"<details><summary>{markdown.escaped(goal.name)}: session {session.id}</summary>"
            text = render_session(session, "summary").replace("## multicore-lab: ", "### ", 1)
            parts.append(f"{title}\n\n{text}\n</details>")
    long = "\n\n".join(parts) + "\n"
    return long if len(long.encode()) <= markdown.MOST_BYTES else short


def _measured(result: Result) -> str:
    return "; ".join(filter(None, (result.measured, result.reason))) or "-"


def _chart(results: Sequence[Result]) -> list[str]:
    """A chart by mermaid: how long the code takes against the other version, else the speed-ups beside their bounds."""
    drawn = [result for result in results if result.value is not None and result.limit is not None]
    slower = [result for result in drawn if result.gate.against or result.gate.base]
    shown = (slower or drawn)[:_MOST_BARS]
    if not shown:
        return []
    title = "Time against the other version (1: as long)" if slower else "Measured, and what is asked for"
    labels = [f"{result.subject}, {result.cell}" for result in shown]
    values, limits = ([float(getattr(result, name) or 0) for result in shown] for name in ("value", "limit"))
    return ["Bars: measured. Line: the bound.", mermaid.bars(title, labels, values, limits, horizontal=True)]


def _document(goals: Sequence[Goal], results: Sequence[Result], sessions: Mapping[str, Sessions]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "outcomes": {outcome.value: sum(result.outcome is outcome for result in results) for outcome in Outcome},
        "targets": [
            {
                "name": goal.name,
                "command": ["lab", goal.command, *goal.words],
                "sessions": [session.id for session in (sessions[goal.name].all if goal.name in sessions else ())],
                "gates": [_gate(result) for result in results if result.goal == goal.name],
            }
            for goal in goals
        ],
    }


def _gate(result: Result) -> dict[str, Any]:
    return {
        "kind": result.gate.kind.value,
        "line": result.gate.line,
        "subject": result.subject,
        "cell": result.cell,
        "bound": result.bound,
        "value": result.value,
        "low": result.low,
        "high": result.high,
        "limit": result.limit,
        "measured": result.measured,
        "outcome": result.outcome.value,
        "reason": result.reason,
    }


def _junit(goals: Sequence[Goal], results: Sequence[Result], sessions: Mapping[str, Sessions]) -> str:
    root = Element("testsuites")
    for number, goal in enumerate(goals):
        own = [result for result in results if result.goal == goal.name]
        counts = Counter(result.outcome for result in own)
        measured = sessions[goal.name].all if goal.name in sessions else ()
        began = datetime.datetime.fromtimestamp(min((each.began for each in measured), default=0.0), datetime.UTC)
        seconds = sum(each.wall_seconds for each in measured)
        suite = SubElement(
            root,
            "testsuite",
            {
                "name": printable(goal.name),
                "package": "multicore-lab",
                "id": str(number),
                "hostname": "localhost",  # the real name is nobody's business
                "timestamp": f"{began:%Y-%m-%dT%H:%M:%S}",
                "time": f"{seconds:.3f}",
                "tests": str(len(own)),
                "failures": str(counts[Outcome.FAILED]),
                "errors": "0",
                "skipped": str(counts[Outcome.INCONCLUSIVE] + counts[Outcome.UNTESTABLE]),
            },
        )
        SubElement(suite, "properties")
        for result in own:
            suite.append(_case(goal, result, seconds / len(own)))  # so that the times add up
        SubElement(suite, "system-out").text = printable("; ".join(result.sentence for result in own))
        SubElement(suite, "system-err").text = ""
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(goal: Goal, result: Result, seconds: float) -> Element:
    name = f"{result.subject} [{result.cell}] {result.bound}"
    case = Element("testcase", {"classname": printable(goal.name), "name": printable(name), "time": f"{seconds:.3f}"})
    if result.outcome is Outcome.FAILED:
        SubElement(case, "failure", {"type": "gate", "message": printable(result.sentence)})
    elif result.outcome is not Outcome.MET:
        SubElement(case, "skipped", {"message": printable(result.sentence)})
    return case
