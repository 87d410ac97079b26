"""Functions whose right advice is known, and how right the lab's advice on them is. Pure.

A corpus is a folder with files of functions and a document, ``corpus.toml``. It names each function, and the answers
that are right for it: by kind of build and number of CPUs, the executors, the number of workers, and the causes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.cell.targets.causes import all_causes
from lab.errors import UsageError
from lab.judging.advice import Advice
from lab.model.cell import CellResult
from lab.model.session import Judgement, Verdict

#: The kinds of builds that differ in their right answers: with a GIL, without one, and with a GIL in each interpreter.
GIL, FREE_THREADED, INTERPRETERS = "gil", "free-threaded", "interpreters"
BUILDS = (GIL, FREE_THREADED, INTERPRETERS)
#: What can be advised: a plain loop, or workers of these kinds. The start method of a process is open.
EXECUTORS = ("none", "thread", "process", "interpreter")
#: The sizes of cells for which answers are known.
SIZES = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is right for a function, on some builds and in cells of some sizes."""

    #: The kinds of builds that it holds for.
    builds: tuple[str, ...] = BUILDS
    #: The sizes of the cells that it holds for.
    cpus: tuple[int, ...] = SIZES
    #: The executors of which each is a right answer.
    executors: tuple[str, ...]
    #: The right number of workers: the smallest that is not worse than any other. A plain loop always has one.
    workers: int
    #: The causes that have to be found.
    found: tuple[str, ...] = ()
    #: The causes that may be found; every other one may not.
    possible: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KnownFunction:
    """A function whose right answers are known."""

    #: The target, as the command line has it, below the folder of its corpus.
    target: str
    #: How its answers are known.
    source: str
    #: Its answers; the first that fits counts.
    answers: tuple[Answer, ...]
    #: The modules that it needs beyond the standard library.
    needs: tuple[str, ...] = ()
    #: The function that makes its argument; empty where it takes none.
    setup: str = ""
    #: Whether threads share the argument, or each has its own: ``shared``, ``own`` or ``both``.
    state: str = "both"

    @property
    def name(self) -> str:
        """The function in a table, with what is done with its argument."""
        return self.target.partition(":")[2] + (f" {self.state}" if self.setup and self.state != "both" else "")

    def answer(self, build: str, cpus: int) -> Answer | None:
        """The answer for this kind of build and size of cell; ``None`` where none is known."""
        return next((each for each in self.answers if build in each.builds and cpus in each.cpus), None)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How right the lab was about one function in one cell."""

    #: Whether the advice was right; ``None``: it was not decided.
    right: bool | None
    #: The causes that had to be found and were.
    found: tuple[str, ...] = ()
    #: The causes that had to be found and were excluded.
    missed: tuple[str, ...] = ()
    #: The causes that had to be found, and of which the lab was not sure.
    unsure: tuple[str, ...] = ()
    #: The causes that were found and are not there.
    invented: tuple[str, ...] = ()
    #: What is wrong, a sentence each.
    faults: tuple[str, ...] = ()

    @property
    def wrong(self) -> int:
        """How many wrong things the lab said."""
        return (self.right is False) + len(self.missed) + len(self.invented)


def kind_of_build(result: CellResult) -> str:
    """The kind of build that ran a cell."""
    if not result.python.get("gil_enabled", True):
        return FREE_THREADED
    return INTERPRETERS if tuple(result.python["version"][:2]) >= (3, 14) else GIL


def mark(answer: Answer, advice: Advice, judgements: Iterable[Judgement], cpus: int) -> Mark:
    """Compare what the lab says of a function in one cell with the right answer."""
    verdicts = {judgement.claim.rpartition(".")[2]: judgement for judgement in judgements}
    there = {name for name, judgement in verdicts.items() if judgement.verdict is Verdict.CONFIRMED}
    due = [name for name in answer.found if all_causes()[name].least_cpus <= cpus]
    invented = sorted(there - {*answer.found, *answer.possible})
    missed = [name for name in due if name in verdicts and verdicts[name].verdict is Verdict.REFUTED]
    right = None if advice.option is None else _is_right(answer, advice)
    faults = [f"{advice.sentence} {_in_words(answer)}"] if right is False else []
    faults += [f"{name} is not there: {verdicts[name].reason}" for name in invented]
    faults += [f"{name} is there, but was excluded: {verdicts[name].reason}" for name in missed]
    return Mark(
        right=right,
        found=tuple(name for name in due if name in there),
        missed=tuple(missed),
        unsure=tuple(name for name in due if name not in there and name not in missed),
        invented=tuple(invented),
        faults=tuple(faults),
    )


def _is_right(answer: Answer, advice: Advice) -> bool:
    assert advice.option
    executor = {"": "none", "thread": "thread", "interpreter": "interpreter"}.get(advice.option.executor, "process")
    return executor in answer.executors and (executor == "none" or advice.option.workers == answer.workers)


def _in_words(answer: Answer) -> str:
    if answer.executors == ("none",):
        return "Right is a plain loop."
    return f"Right is {answer.workers} of: {', '.join(answer.executors)}."


@dataclass(frozen=True, kw_only=True)
class Count:
    """The marks of several cells, counted."""

    #: How many advices were right.
    right: int = 0
    #: How many were wrong.
    wrong: int = 0
    #: How many were not decided.
    undecided: int = 0
    #: How many causes that are there were found.
    found: int = 0
    #: How many were excluded although they are there.
    missed: int = 0
    #: Of how many that are there the lab was not sure.
    unsure: int = 0
    #: How many were found that are not there.
    invented: int = 0

    @property
    def faults(self) -> int:
        """How many wrong things the lab said."""
        return self.wrong + self.missed + self.invented

    @property
    def columns(self) -> tuple[int, ...]:
        """The counts in the order of a table."""
        return (self.right, self.wrong, self.undecided, self.found, self.missed, self.unsure, self.invented)


def count(marks: Sequence[Mark]) -> Count:
    """Count these marks."""
    return Count(
        right=sum(each.right is True for each in marks),
        wrong=sum(each.right is False for each in marks),
        undecided=sum(each.right is None for each in marks),
        found=sum(len(each.found) for each in marks),
        missed=sum(len(each.missed) for each in marks),
        unsure=sum(len(each.unsure) for each in marks),
        invented=sum(len(each.invented) for each in marks),
    )


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Functions of one folder."""

    #: The folder that their targets are relative to.
    folder: str
    #: The functions.
    functions: tuple[KnownFunction, ...] = field(default_factory=tuple)


def corpus_of(folder: str, document: Mapping[str, Any]) -> Corpus:
    """The corpus that a document describes. Raises UsageError where it has no valid form.

    ``[kinds]`` has lists of answers that several functions have. A function names its kind, and adds the causes that
    are its own. ``targets`` are several functions of which all this is true.
    """
    try:
        kinds = document.get("kinds", {})
        functions = tuple(
            _function({**entry, "target": target}, kinds)
            for entry in document["function"]
            for target in entry.get("targets", [entry.get("target")])
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"corpus.toml in {folder} has no valid form: {reason}", "see lab/cell/targets/corpus/corpus.toml"
        ) from error
    return Corpus(folder=folder, functions=functions)


def _function(entry: Mapping[str, Any], kinds: Mapping[str, Any]) -> KnownFunction:
    fields = {name: value for name, value in entry.items() if name != "targets"}
    answers = fields.pop("answers", None) or kinds[fields.pop("kind")]
    more = {name: tuple(fields.pop(name, ())) for name in ("found", "possible")}
    needs = tuple(fields.pop("needs", ()))
    return KnownFunction(**fields, needs=needs, answers=tuple(_answer(each, more) for each in answers))


def _answer(stored: Mapping[str, Any], more: Mapping[str, tuple[str, ...]]) -> Answer:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    causes: dict[str, Any] = {name: (*values.pop(name, ()), *added) for name, added in more.items()}
    answer = Answer(**values, **causes)
    named = {
        "builds": (answer.builds, BUILDS),
        "executors": (answer.executors, EXECUTORS),
        "cpus": (answer.cpus, SIZES),
    }
    named["causes"] = ((*answer.found, *answer.possible), tuple(all_causes()))
    for what, (given, known) in named.items():
        if unknown := set(given) - set(known):
            raise ValueError(f"{what} {', '.join(map(str, unknown))}: known are {', '.join(map(str, known))}")
    return answer
