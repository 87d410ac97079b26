"""Questions about speed whose true answers are known, the answers of tools, and how often these are right."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

#: What a tool that only gives numbers takes for a difference: half of the 5 % that the slower version takes longer.
HALF = 0.025


class Says(StrEnum):
    """What a tool answers."""

    YES = "yes"
    NO = "no"
    FASTER = "no, it is faster"
    UNDECIDED = "undecided"


class Mark(StrEnum):
    """What an answer is worth."""

    RIGHT = "right"
    UNDECIDED = "undecided"
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with its true answer, which is known by the construction of what is measured."""

    #: The question, as a table shows it.
    text: str
    #: The true number, as a table shows it.
    truth: str
    #: The true answer.
    answer: Says
    #: The least speed-up for a yes; ``None``: the question is whether one version is slower than another.
    least: float | None = None

    def mark(self, says: Says) -> Mark:
        """What this answer is worth. Who cannot tell two versions apart is right where they are the same."""
        if says is self.answer or (says, self.answer, self.least) == (Says.UNDECIDED, Says.NO, None):
            return Mark.RIGHT
        return Mark.UNDECIDED if says is Says.UNDECIDED else Mark.WRONG


WAITING = Question(
    text="two threads that wait: at least 1.8 times as much as one?", truth="2", answer=Says.YES, least=1.8
)
THREADS = Question(
    text="two threads in Python code: at least 1.2 times as much?", truth="1 (GIL)", answer=Says.NO, least=1.2
)
PROCESSES = Question(
    text="two processes in Python code: at least 1.8 times as much?", truth="delivered", answer=Says.YES, least=1.8
)
SLOWER = Question(text="a version with 5 % more work: slower?", truth="1.05", answer=Says.YES)
SAME = Question(text="the same version again: slower?", truth="1", answer=Says.NO)

QUESTIONS = (WAITING, THREADS, PROCESSES, SLOWER, SAME)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tool says to a question once."""

    #: The speed-up, or how much longer the second version takes than the first; ``None``: it gives no number.
    value: float | None
    #: Its answer.
    says: Says
    #: How long it took to answer, in seconds. Questions that one measurement answers share its time.
    seconds: float
    #: How many times the work of one worker the machine delivered to two processes; ``None``: it does not say.
    delivered: float | None = None
    #: What it would say by the number alone, whatever the machine delivered; ``None``: the same.
    alone: Says | None = None


def at_least(bound: float, low: float, high: float) -> Says:
    """The answer of a tool that gives a range. A tool that gives one number has it as both ends."""
    return Says.YES if low >= bound else Says.NO if high < bound else Says.UNDECIDED


def is_slower(ratio: float) -> Says:
    """The answer of a tool that gives only a number, the time of the second version over that of the first."""
    return Says.YES if ratio > 1 + HALF else Says.FASTER if ratio < 1 - HALF else Says.NO


def ratio_with_deviation(numerator: Sequence[float], denominator: Sequence[float]) -> tuple[float, float]:
    """The ratio of the means of two samples, and its standard deviation, propagated as hyperfine does for its summary.

    Source: ``src/benchmark/relative_speed.rs`` of hyperfine.
    """
    means = [statistics.fmean(values) for values in (numerator, denominator)]
    ratio = means[0] / means[1]
    parts = [
        (statistics.stdev(values) / mean if len(values) > 1 else 0.0) ** 2
        for values, mean in zip((numerator, denominator), means, strict=True)
    ]
    return ratio, ratio * sum(parts) ** 0.5


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much the answers of several runs differ."""

    #: The median of the numbers; ``None``: there is no number.
    middle: float | None
    #: The relative standard deviation of the numbers; ``None``: there are fewer than two.
    deviation: float | None
    #: The least and the largest number.
    ends: tuple[float, float] | None

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Spread:
        """The spread of these answers."""
        values = [answer.value for answer in answers if answer.value is not None]
        if not values:
            return cls(middle=None, deviation=None, ends=None)
        deviation = statistics.stdev(values) / statistics.fmean(values) if len(values) > 1 else None
        return cls(middle=statistics.median(values), deviation=deviation, ends=(min(values), max(values)))


def row(question: Question, tool: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    """The row of a tool in the table of a question."""
    spread = Spread.of(answers)
    marks = [question.mark(answer.says) for answer in answers]
    return (
        tool,
        "-" if spread.middle is None else f"{spread.middle:.3f}",
        "-" if spread.deviation is None else f"{spread.deviation:.1%}",
        "-" if spread.ends is None else f"{spread.ends[0]:.3f} to {spread.ends[1]:.3f}",
        *(str(marks.count(mark)) for mark in Mark),
        f"{statistics.fmean(answer.seconds for answer in answers):.1f} s",
    )


HEAD = ("tool", "median", "deviation", "range", "right", "undecided", "wrong", "time")
