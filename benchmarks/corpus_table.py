"""What stored runs of ``lab selftest --scale`` come to, judged by the code of now. Prints.

    python benchmarks/corpus_table.py [--corpus benchmarks/corpus] RUN [RUN ...]

RUN is a folder with the sessions of one run; ``lab selftest`` says in its last line where it keeps them. Printed are,
for each run, the advices that are right, wrong and not decided, and for each function and each cause that is there, in
how many of the cells of all runs it was found. Wrong answers are printed in full, and then the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from lab.judging.known_answers import KnownFunction, count
from lab.model.session import Session
from lab.running.known_functions import STANDARD, Marked, load, marked
from lab.sessions.loading import load_session

#: The functions of a corpus by target, state and setup, which a session keeps.
Known = Mapping[tuple[str, str, str], KnownFunction]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--corpus", type=Path, action="append", default=[], help="more functions than the lab's own")
    options = parser.parse_args()
    corpora = [load(folder) for folder in (STANDARD, *options.corpus)]
    known = {(each.target, each.state, each.setup): each for corpus in corpora for each in corpus.functions}
    runs = {run.name: list(marked_in(run, known)) for run in options.runs}
    print(tabulate([_row(name, every) for name, every in runs.items()], headers=_HEAD), end="\n\n")
    together = [each for every in runs.values() for each in every]
    print(tabulate(_causes(together), headers=("function", "cause", "cells", "found", "open", "missed")))
    faults = [f"{each.function.name}: {fault}" for each in together for mark in each.marks for fault in mark.faults]
    print("", *faults, *(f"{each.function.name}: {each.failed}" for each in together if each.failed), sep="\n")
    sys.exit(bool(faults))


def marked_in(run: Path, known: Known) -> Iterator[Marked]:
    """What the lab says now of each function that was measured in a run."""
    for manifest in sorted(run.glob("*/session.json")):
        session = load_session(manifest.parent)
        if function := known.get(_key(session)):
            yield marked(function, session)


def _key(session: Session) -> tuple[str, str, str]:
    case = session.arguments["target"]["case"]
    return case["label"], case["state"], case["setup"]


_HEAD = ("run", "functions", "right", "wrong", "open", "open %", "causes found", "missed", "open", "invented")


def _row(name: str, every: Sequence[Marked]) -> list[object]:
    total = count([mark for each in every for mark in each.marks])
    cells = total.right + total.wrong + total.undecided
    advices = [total.right, total.wrong, total.undecided, round(100 * total.undecided / max(cells, 1), 1)]
    return [name, len(every), *advices, total.found, total.missed, total.unsure, total.invented]


def _causes(every: Sequence[Marked]) -> Iterator[list[object]]:
    """For each function and cause that is there: in how many cells it is, was found, was left open, and was missed."""
    counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for each in every:
        for mark in each.marks:
            for state, causes in (("found", mark.found), ("open", mark.unsure), ("missed", mark.missed)):
                counts[each.function.name].update((cause, state) for cause in causes)
    for name, counted in counts.items():
        for cause in dict.fromkeys(cause for cause, _ in counted):
            states = [counted[cause, state] for state in ("found", "open", "missed")]
            yield [name, cause, sum(states), *states]


if __name__ == "__main__":
    main()
