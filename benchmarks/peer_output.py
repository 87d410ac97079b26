"""What the tools of :mod:`benchmarks.peer_tools` print, read: times in seconds, or an answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.questions import PROCESSES, Answer, Question, Says, at_least
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
    numbers = _numbers(document)
    of = {"threads": "2 threads", "processes": "2 processes (fork)"}[workers]
    speed_up = numbers.get((of, "speed-up"), {})
    value, judged, least = speed_up.get("value"), speed_up, question.least or 0
    delivered = None
    if question is PROCESSES:
        judged, least = numbers.get((of, "of delivered"), {}), least / 2
        delivered = value / judged["value"] if value and judged.get("value") else None
    low, high = judged.get("low"), judged.get("high")
    says = Says.UNDECIDED if low is None or high is None else at_least(least, low, high)
    return Answer(value=value, says=says, seconds=seconds, delivered=delivered)


def of_lab_against(document: Mapping[str, Any], seconds: float) -> Answer:
    """The answer in the JSON document of ``lab scale --against``, by the rule of its table."""
    numbers = _numbers(document)
    ratio = numbers.get(("one worker", RATIO), {"value": None})
    if ratio["value"] is None:
        return Answer(value=None, says=Says.UNDECIDED, seconds=seconds)
    says = Says.YES if ratio["high"] < 1 - SLIGHT else Says.FASTER if ratio["low"] > 1 + SLIGHT else Says.UNDECIDED
    return Answer(value=1 / ratio["value"], says=says, seconds=seconds)


def _numbers(document: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The numbers of the lab's JSON document, by whose and which they are."""
    return {(each["of"], each["what"]): each for each in document["quantities"]}
