"""``lab selftest --scale``: measures functions whose right advice is known, and marks what the lab says of them."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lab
from lab import system
from lab.cell.experiments._internal.control import NEIGHBOURS, disturb
from lab.errors import UsageError
from lab.interrupts import StopFlag, signals_held
from lab.judging.advice import all_advice
from lab.judging.known_answers import Corpus, KnownFunction, Mark, corpus_of, count, kind_of_build, mark
from lab.model.session import Session
from lab.planning.request import Request
from lab.planning.targets import Target, parse_target
from lab.running import measurement
from lab.running.measurement import NewRun
from lab.running.own_code import located
from lab.sessions.folder import new_session_id

#: The functions that need the standard library only. They travel with the lab.
STANDARD = Path(lab.__file__).parent / "cell" / "targets" / "corpus"
DOCUMENT = "corpus.toml"


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A function that was measured once, or was skipped."""

    #: The function.
    function: KnownFunction
    #: Its marks, one for each cell.
    marks: tuple[Mark, ...] = ()
    #: Why it was not measured: a library that it needs is missing; empty where it was.
    skipped: str = ""
    #: Why it was not measured in every cell; empty where it was.
    failed: str = ""

    @property
    def complete(self) -> bool:
        """Whether it was measured in every cell."""
        return not self.skipped and not self.failed

    @property
    def words(self) -> str:
        """What became of it, in a few words."""
        if not self.complete:
            return f"{self.function.name}: {self.skipped or self.failed}"
        total = count(self.marks)
        return f"{self.function.name}: {total.right} right, {total.wrong} wrong, {total.undecided} undecided"


def load(folder: Path) -> Corpus:
    """The corpus in a folder. Raises UsageError where there is none."""
    try:
        document = tomllib.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{folder / DOCUMENT} cannot be read: {error}", f"name a folder with a {DOCUMENT} and its functions"
        ) from error
    return corpus_of(str(folder), document)


def chosen(corpora: Sequence[Corpus], words: Sequence[str]) -> list[tuple[Corpus, KnownFunction]]:
    """The functions whose names have one of these words; all without words. Raises UsageError where there is none."""
    every = [(corpus, function) for corpus in corpora for function in corpus.functions]
    those = [pair for pair in every if not words or any(word in pair[1].name for word in words)]
    if not those:
        names = ", ".join(dict.fromkeys(function.name.partition(",")[0] for _, function in every))
        raise UsageError(f"no function is called {' or '.join(words)}", f"there are {names}")
    return those


def measured(
    functions: Sequence[tuple[Corpus, KnownFunction]],
    request: Request,
    parent: Path,
    stop: StopFlag,
) -> Iterator[Marked]:
    """Measure each function as ``lab scale`` does, in a session of its own below ``parent``, and mark it."""
    for corpus, function in functions:
        if stop.requested:
            return
        file = function.target.partition(":")[0]
        if not Path(corpus.folder, file).is_file():
            yield Marked(function=function, skipped=f"there is no {file} in {corpus.folder}")
            continue
        try:
            session = _session(corpus, function, request, parent, stop)
        except UsageError as error:
            if any(f"No module named '{module}" in str(error) for module in function.needs):
                yield Marked(function=function, skipped=str(error).partition(". ")[0])
            else:  # it costs itself alone
                yield Marked(function=function, failed=str(error))
            continue
        if not stop.requested:
            yield marked(function, session)


@contextlib.contextmanager
def beside(neighbour: str) -> Iterator[None]:
    """A context in which a neighbour of that strength works on the last CPU of this machine.

    Raises UsageError on a system that cannot pin it.
    """
    share = NEIGHBOURS[neighbour]
    if not share:
        yield
        return
    if not system.HAS_AFFINITY:
        raise UsageError(f"a neighbour is pinned to a CPU, and {system.NAME} has no CPU affinity", "leave it out")
    cpu = max(system.usable_cpus())
    process = multiprocessing.get_context("spawn").Process(target=disturb, args=(cpu, share), daemon=True)
    with contextlib.ExitStack() as stack:
        with signals_held():  # a signal finds either no neighbour, or one that will be ended
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
        yield


def _session(corpus: Corpus, function: KnownFunction, request: Request, parent: Path, stop: StopFlag) -> Session:
    target = f"{corpus.folder}/{function.target}"
    case, project = located(parse_target([target], function.setup, function.state, is_statement=False), corpus.folder)
    case = case._replace(label=function.target)
    request = dataclasses.replace(request, target=Target(case=case, project=str(project)))
    began = time.time()
    start = NewRun(session_id=new_session_id(began), began=began, parent=parent, origin={})
    session, _ = measurement.measure(request, start, stop, lambda: None)
    return session


def marked(function: KnownFunction, session: Session) -> Marked:
    """The marks of a function, one for each cell that was measured and whose right answer is known."""
    results = {result.cell.id: result for result in session.results}
    marks = []
    for advice in all_advice(session):
        result = results[advice.cell]
        answer = function.answer(kind_of_build(result), result.cell.size)
        judgements = [each for each in session.judgements if each.cell == advice.cell]
        if answer:
            marks.append(mark(answer, advice, judgements, result.cell.size))
    failed = [f"{result.cell.id}: {result.reason}" for result in session.results if result.reason]
    if not marks and not failed:
        failed = ["no answer is known for these cells"]
    return Marked(function=function, marks=tuple(marks), failed="; ".join(failed))
