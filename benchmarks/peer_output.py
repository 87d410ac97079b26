"""What the tools of :mod:`benchmarks.peer_tools` print, read: times in seconds, or an answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.questions import PROCESSES, Answer, Question, Says, at_least
from lab.cell.targets.figures import BASE
from lab.reports.tables.environments import RATIO, SLIGHT


def of_pyperf(document: Mapping[str, Any]) -> dict[str, list[float]]:
    """The values of each benchmark in a file of pyperf, in seconds."""
    return {
        str((benchmark.get("metadata") or document["metadata"])["name"]): [
            value for run in benchmark["runs"] for value in run.get("values", ())
        ]
        for benchmark in document["benchmarks"]
    }


def of_compare_to(text: str) -> Says:
    """What ``pyperf compare_to`` says of two versions."""
    if match := re.search(r": \d+\.\d+x (slower|faster)", text):
        return Says.YES if match[1] == "slower" else Says.FASTER
    return Says.UNDECIDED


def of_pytest(document: Mapping[str, Any]) -> dict[str, list[float]]:
    """The rounds of each benchmark in a file of pytest-benchmark, by its workers, in seconds."""
    return {benchmark["params"]["workers"]: benchmark["stats"]["data"] for benchmark in document["benchmarks"]}


def of_lab(document: Mapping[str, Any], workers: str, question: Question, seconds: float) -> Answer:
    """The answer in the JSON document of ``lab scale``. What processes gain is judged against what was delivered."""
    of = {"threads": "2 threads", "processes": "2 processes (fork)"}[workers]
    speed_up = _number(document, of, "speed-up")
    least = question.least or 0
    alone = _says(speed_up, least)
    if question is not PROCESSES:
        return Answer(value=speed_up["value"], says=alone, seconds=seconds)
    share = _number(document, of, "of delivered")
    delivered = speed_up["value"] / share["value"] if speed_up["value"] and share["value"] else None
    says = _says(share, least / 2)
    return Answer(value=speed_up["value"], says=says, seconds=seconds, delivered=delivered, alone=alone)


def _says(number: Mapping[str, Any], least: float) -> Says:
    """The answer of a number with an interval; undecided where too few rounds were undisturbed."""
    low, high = number["low"], number["high"]
    return Says.UNDECIDED if low is None or high is None else at_least(least, low, high)


def of_lab_against(document: Mapping[str, Any], seconds: float) -> Answer:
    """The answer in the JSON document of ``lab scale --against``, by the rule of its table."""
    ratio = _number(document, BASE, RATIO)
    if ratio["value"] is None:
        return Answer(value=None, says=Says.UNDECIDED, seconds=seconds)
    says = Says.YES if ratio["high"] < 1 - SLIGHT else Says.FASTER if ratio["low"] > 1 + SLIGHT else Says.UNDECIDED
    return Answer(value=1 / ratio["value"], says=says, seconds=seconds)


def _number(document: Mapping[str, Any], of: str, what: str) -> Mapping[str, Any]:
    """A number of the lab's JSON document; its value is ``None`` where too few rounds were undisturbed.

    Raises LookupError where there is no such number: the lab calls it differently, or has not measured it.
    """
    numbers: list[Mapping[str, Any]] = document["quantities"]
    for number in numbers:
        if (number["of"], number["what"]) == (of, what):
            return number
    raise LookupError(f"the document of lab scale has no {what!r} of {of!r}")
