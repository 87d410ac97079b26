"""The report for CI servers: JUnit XML, a suite for each cell, a case for each claim.

The report uses only what two schemas have in common: Jenkins (junit-10.xsd of the xUnit plugin) and Apache Ant
(JUnit.xsd by Windy Road). In neither schema may a case have properties, so the properties of a cell stand in its suite.
"""

from __future__ import annotations

import datetime
from collections import Counter
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from lab.judging.advice import all_advice
from lab.judging.verdicts import finish_of
from lab.messages import printable
from lab.model.cell import CellResult, Status
from lab.model.session import Judgement, Session, Verdict
from lab.reports.tables import cell_fields
from lab.text import names, units


def render(session: Session) -> str:
    """The whole session as an XML document."""
    root = Element("testsuites")
    for number, result in enumerate(session.results):
        root.append(_suite(session, result, number))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(session: Session, result: CellResult, number: int) -> Element:
    judgements = [judgement for judgement in session.judgements if judgement.cell == result.cell.id]
    cases = [_limit_case(result), *_cases(result, judgements)]
    outcomes = Counter(outcome.tag for case in cases for outcome in case)
    name = ", ".join(filter(None, (result.cell.id, names.python_words(result.python))))
    suite = Element(
        "testsuite",
        {
            "name": _clean(name),
            "package": "multicore-lab",
            "id": str(number),
            "hostname": "localhost",  # the real name is nobody's business
            "timestamp": f"{datetime.datetime.fromtimestamp(session.began, datetime.UTC):%Y-%m-%dT%H:%M:%S}",
            "time": _seconds(result.wall_seconds),
            "tests": str(len(cases)),
            "failures": str(outcomes["failure"]),
            "errors": str(outcomes["error"]),
            "skipped": str(outcomes["skipped"]),
        },
    )
    properties = SubElement(suite, "properties")
    for key, value in cell_fields.fields_of_cell(session, result).items():
        if value is not None:
            SubElement(properties, "property", name=key, value=_clean(f"{value}"))
    suite.extend(cases)
    advice = [f"{each.case.label}: {each.sentence}" for each in all_advice(session) if each.cell == result.cell.id]
    SubElement(suite, "system-out").text = _clean("\n".join([*advice, *map(_story, judgements)]))
    SubElement(suite, "system-err").text = _clean(result.outcome.stderr_tail if result.outcome else "")
    return suite


def _limit_case(result: CellResult) -> Element:
    """A case that says whether the cell ran under the requested limit. All other cases of the suite depend on it."""
    case = _case("cell", "limit-proven", result, 0.0)
    reason = result.reason or "no reason is known"
    if result.status in (Status.ERROR, Status.TAINTED):
        _outcome(case, "error", result.status.value, reason)
    elif result.status is not Status.MEASURED:
        _outcome(case, "skipped", result.status.value, f"{result.status}: {reason}")
    return case


def _cases(result: CellResult, judgements: list[Judgement]) -> list[Element]:
    """A case for each claim. Its time is an equal share of the time of its experiment, so that the times add up."""
    claims = Counter(judgement.claim.rpartition(".")[0] for judgement in judgements)
    cases = []
    for judgement in judgements:
        experiment, _, claim = judgement.claim.rpartition(".")
        finish = finish_of(experiment, result)
        spent = float(finish["seconds"]) / claims[experiment] if finish else 0.0
        case = _case(experiment, claim, result, spent)
        if judgement.surprise:
            _outcome(
                case,
                "failure",
                "surprise",
                f"expected {judgement.expected}, but the verdict is {judgement.verdict}: {judgement.reason}",
                judgement,
            )
        elif judgement.verdict is Verdict.ERROR:
            _outcome(case, "error", "error", judgement.reason, judgement)
        elif not judgement.verdict.decisive:
            _outcome(case, "skipped", judgement.verdict.value, f"{judgement.verdict}: {judgement.reason}")
        cases.append(case)
    return cases


def _case(group: str, name: str, result: CellResult, seconds: float) -> Element:
    # Servers follow a case by class and name from run to run; some servers merge cases that share both.
    unique = f"{name} [{result.cell.id}]"
    return Element("testcase", {"classname": _clean(group), "name": _clean(unique), "time": _seconds(seconds)})


def _outcome(case: Element, tag: str, kind: str, message: str, judgement: Judgement | None = None) -> None:
    # In earlier schemas for Jenkins a skip has no type; its message begins with the verdict.
    kinds = {} if tag == "skipped" else {"type": kind}
    outcome = SubElement(case, tag, {**kinds, "message": _clean(message)})
    if judgement:
        outcome.text = _clean(_story(judgement))


def _story(judgement: Judgement) -> str:
    """A claim with its evidence, for a person who reads the log."""
    lines = [f"{judgement.claim}: {judgement.verdict}: “{judgement.statement}”: {judgement.reason}"]
    if judgement.value is not None:
        measured = f"  measured {units.quantity(judgement.value, judgement.unit)}"
        if judgement.low is not None and judgement.high is not None and judgement.low < judgement.high:
            measured += f", 95 %: {units.interval(judgement.low, judgement.high, judgement.unit)}"
        lines.append(measured)
    return "\n".join(lines)


def _seconds(seconds: float) -> str:
    return f"{max(seconds, 0):.3f}"


def _clean(text: str) -> str:
    """The text with signs for what XML cannot hold, or a server's log should not: both are what cannot be shown."""
    return "\n".join(printable(line) for line in text.splitlines())
