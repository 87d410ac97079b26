"""The lab beside other tools: the same questions with known answers, on the same CPUs, in turns. Prints.

    python benchmarks/peers.py [--runs 10] [--quick] [--neighbour half] [--cpython FILE] [--tool NAME ...]

The questions: how much more do two threads, or two processes, do than one worker, for a function that waits and for a
loop in Python? Is a version with 5 % more work slower, and is the same version? The true answers are known by
construction. What waits is done twice as often by two threads. Of two threads in Python code the GIL lets one run.
Two processes that share nothing do what the machine delivers.

Each tool answers with its own way to decide, and with settings that its documentation recommends; the last table names
them. All run on the same two CPUs, in an order that changes. The tables have, for each question and tool, the spread
of its numbers over the runs, how often its answer was right, undecided or wrong, and the time that it took to answer.
Tools that are not here are named, with how to install them.

No run begins when it would probably end after ``--minutes``. With a neighbour, which keeps the last CPU busy for half
of the time, a tool that only takes times says what the machine gave, and cannot know what the program could do.
docs/comparisons.md says more about the settings, and has the tables of a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.passes import in_turn
from benchmarks.peer_project import Project
from benchmarks.peer_tools import TOOLS, Tool
from benchmarks.questions import HEAD, PROCESSES, QUESTIONS, Answer, Mark, Question, Spread, row
from lab.cell.experiments._internal.control import NEIGHBOURS
from lab.running.known_functions import beside

#: The answers of each tool to each question.
Answers = Mapping[Question, Mapping[str, Sequence[Answer]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help="default: 10, with --quick 2")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, to try it")
    parser.add_argument("--minutes", type=float, default=15.0, help="default: 15")
    parser.add_argument("--neighbour", choices=tuple(NEIGHBOURS), default="idle", help="default: idle")
    parser.add_argument("--cpython", type=Path, metavar="FILE", help="CPython's ftscalingbench.py")
    parser.add_argument("--level", choices=("quick", "default", "thorough"), default="quick", help="of the lab")
    names = [tool.name for tool in TOOLS]
    parser.add_argument("--tool", action="append", choices=names, help="only this tool; repeat it for several")
    options = parser.parse_args()
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        parser.error("the truth is known for a Python with a GIL; start this with another Python")
    if options.cpython and not options.cpython.is_file():
        parser.error(f"--cpython: there is no file {options.cpython}; name CPython's ftscalingbench.py")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        parser.error("this needs 2 CPUs")
    os.sched_setaffinity(0, cpus[:2])
    with tempfile.TemporaryDirectory() as folder:
        project = Project(
            folder=Path(folder),
            cpus=(cpus[0], cpus[1]),
            is_quick=options.quick,
            level=options.level,
            cpython=options.cpython,
        )
        project.write()
        tools = [tool for tool in TOOLS if tool.is_here(project) and tool.name in (options.tool or names)]
        if not tools:
            parser.error(f"not here: {_left_out(project)}")
        with beside(options.neighbour):
            runs, answers = asked(project, tools, options.runs or (2 if options.quick else 10), options.minutes)
    python = sys.version.split()[0]
    print(f"{runs} runs on the CPUs {cpus[0]} and {cpus[1]}, CPython {python}, neighbour: {options.neighbour}.")
    print(f"Level of the lab: {options.level}.")
    print(f"Not here: {_left_out(project) or 'none'}.")
    if options.quick:
        print("With --quick the tools repeat less often than the settings below say.")
    print()
    print(report(tools, answers))


def _left_out(project: Project) -> str:
    """The tools that are not here, with how to install them."""
    return "; ".join(f"{tool.name} ({tool.install})" for tool in TOOLS if not tool.is_here(project))


def asked(project: Project, tools: Sequence[Tool], runs: int, minutes: float) -> tuple[int, Answers]:
    """How many runs there were, and what the tools answered."""
    answers: dict[Question, dict[str, list[Answer]]] = {
        question: {tool.name: [] for tool in tools} for question in QUESTIONS
    }
    began = time.monotonic()
    for number in range(runs):
        if number and (time.monotonic() - began) * (number + 1) / number > 60 * minutes:
            return number, answers
        for tool in in_turn(tools, number):
            print(f"run {number + 1} of {runs}: {tool.name}", file=sys.stderr)
            for question, answer in tool.answers(project).items():
                answers[question][tool.name].append(answer)
    return runs, answers


def report(tools: Sequence[Tool], answers: Answers) -> str:
    """The tables: one for each question, the sums, and the settings."""
    answers = {question: _with_alone(given) for question, given in answers.items()}
    tables = [
        f"{question.text} Truth: {question.truth}\n\n"
        + _table([row(question, name, each) for name, each in given.items() if each], HEAD)
        for question, given in answers.items()
    ]
    known = {
        name: [answer for answer in given if answer.delivered and answer.value]
        for name, given in answers[PROCESSES].items()
    }
    tables += [_delivered(name, given) for name, given in known.items() if given]
    sums = [_sums(name, answers) for name in dict.fromkeys(name for given in answers.values() for name in given)]
    tables.append(_table(sums, ("tool", "questions", *Mark, "time for all")))
    settings = [(tool.name, tool.settings, tool.decides, *tool.limits) for tool in tools]
    tables.append(_table(settings, ("tool", "settings", "decides by", "CPU set", "quota", "proof of the limit")))
    return "\n\n".join(tables)


def _delivered(name: str, given: Sequence[Answer]) -> str:
    """What the machine delivered to two processes, and how much of that they reached."""
    delivered = statistics.median(answer.delivered or 0.0 for answer in given)
    reached = Spread.of([replace(each, value=(each.value or 0.0) / (each.delivered or 1.0)) for each in given])
    text = f"{name}: the machine delivered {delivered:.2f} times the work of one process"
    if reached.deviation is None or reached.ends is None:
        return text
    low, high = reached.ends
    return (
        f"{text}. Of that, the processes reached {reached.middle:.1%} (deviation {reached.deviation:.1%},"
        f" {low:.1%} to {high:.1%})."
    )


def _with_alone(given: Mapping[str, Sequence[Answer]]) -> Mapping[str, Sequence[Answer]]:
    """The answers of each tool, and below a tool that knows what the machine delivered those without it."""
    more: dict[str, Sequence[Answer]] = {}
    for name, each in given.items():
        more[name] = each
        if any(answer.alone for answer in each):
            more[f"{name}, by times alone"] = [
                replace(answer, says=answer.alone or answer.says, delivered=None) for answer in each
            ]
    return more


def _sums(name: str, answers: Answers) -> tuple[str, ...]:
    """How often a tool was right, undecided and wrong, of how many questions, and how long they took, in seconds."""
    own = {question: given[name] for question, given in answers.items() if given.get(name)}
    marks = [question.mark(each.says) for question, given in own.items() for each in given]
    seconds = sum(statistics.fmean(each.seconds for each in given) for given in own.values())
    return name, str(len(own)), *(str(marks.count(mark)) for mark in Mark), f"{seconds:.1f} s"


def _table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main()
