"""Experiments and claims: what is run, what it is about, and how evidence decides it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Literal, NamedTuple, Optional, Sequence

from lab.cell.claims.estimates import Estimate, estimate

if TYPE_CHECKING:
    from lab.cell.claims.recorder import Recorder

CONFIRMED = "confirmed"
REFUTED = "refuted"
INCONCLUSIVE = "inconclusive"
UNTESTABLE = "untestable"

#: The builds on which every experiment was run. What is expected of others rests on documents, or on these alone.
SEEN = "measured on 3.9, 3.11, 3.13, 3.14, 3.15, 3.13t"

#: In which direction a number gets better; ``None``: neither direction is better, or nobody knows.
Better = Optional[Literal["higher", "lower"]]

#: No interval is given for fewer values.
FEWEST_VALUES = 5


class Facts(NamedTuple):
    """What is known of a cell before anything is measured. Predicates and expectations may depend on it."""

    #: (major, minor).
    version: tuple[int, int]
    #: Whether the GIL is on.
    gil: bool
    #: P: the size of the affinity mask.
    cpus: int
    #: R: the smaller of P and the tightest quota, in CPUs.
    rate: float
    #: What ``os.cpu_count()`` says, which no limit changes.
    host_cpus: int
    #: The CPUs of the mask that share a physical core, a tuple for each such core.
    siblings: tuple[tuple[int, ...], ...] = ()
    #: How many kinds of core the CPUs belong to.
    kinds: int = 1
    #: The CPUs of the mask between which the scheduler moves nothing.
    isolated: tuple[int, ...] = ()
    #: The number of CPUs that Python was told to see (``-X cpu_count``).
    told_cpus: int | None = None
    #: The name of the implementation: ``CPython``, ``PyPy``.
    implementation: str = "CPython"


class Finding(NamedTuple):
    """What the evidence says of a claim: a verdict, a reason, and the number behind it, if there is a number."""

    #: The verdict.
    verdict: str
    #: A sentence that says why.
    reason: str
    #: The number that the verdict rests on, in ``unit``.
    value: float | None = None
    #: The lower end of the 95 % interval.
    low: float | None = None
    #: The upper end of the 95 % interval.
    high: float | None = None
    #: The unit of the numbers; empty for a ratio.
    unit: str = ""
    #: How many rounds count.
    accepted: int | None = None
    #: How many rounds were disturbed and do not count.
    rejected: int | None = None
    #: The most (for a time: the least) that the machine had to give.
    ceiling: float | None = None
    #: In which direction ``value`` gets better.
    better: Better = None
    #: The parts of ``reason`` where it has several: the result first, then what explains it.
    clauses: tuple[str, ...] = ()

    @property
    def result(self) -> str:
        """The reason without what explains it."""
        return self.clauses[0] if self.clauses else self.reason


class Tolerance(NamedTuple):
    """Where the value of a claim has to lie, in the unit of the value."""

    #: The least value; ``None`` means no lower bound.
    low: float | None
    #: The largest value; ``None`` means no upper bound.
    high: float | None
    #: Why the line is drawn there.
    why: str


class Figure(NamedTuple):
    """A number that an experiment has measured, for its own table."""

    #: What was measured, in a few words.
    what: str
    #: The estimate; ``None`` where there were too few rounds.
    found: Estimate | None
    #: The unit of the estimate.
    unit: str
    #: How many rounds count.
    accepted: int
    #: How many rounds were disturbed and do not count.
    rejected: int
    #: Whose number it is, where several things have the same number; each then has a row of its own.
    of: str = ""
    #: In which direction the number gets better.
    better: Better = None


#: One round of measurement: what each arm measured, by its name.
Round = Dict[str, Dict[str, Any]]


class Evidence:
    """All that an experiment observed in one cell."""

    def __init__(self, observations: Sequence[tuple[str, object]], samples: Sequence[tuple[str, Round]]) -> None:
        self._observations = list(observations)
        self._samples = list(samples)

    def all(self, name: str) -> list[Any]:
        """Every value observed under this name, in order."""
        return [value for key, value in self._observations if key == name]

    def last(self, name: str) -> Any:
        """The last value observed under this name. Raises LookupError when there is none."""
        values = self.all(name)
        if not values:
            raise self.lack_of(name)
        return values[-1]

    def lack_of(self, name: str) -> LookupError:
        """The error that nothing was observed under a name, with the names that there are."""
        names = dict.fromkeys([key for key, _ in self._observations] + [key for key, _ in self._samples])
        return LookupError("looked for %r; observed: %s" % (name, ", ".join(map(repr, names)) or "nothing"))

    def rounds(self, name: str) -> list[Round]:
        """Every round sampled under this name, in order."""
        return [sample for key, sample in self._samples if key == name]


class Claim(NamedTuple):
    """A statement and how to decide it."""

    #: The experiment's name, a dot, and a name of its own.
    id: str
    #: What is claimed, in a sentence.
    statement: str
    #: The predicate: from the evidence and the facts of the cell to a finding.
    judge: Callable[[Evidence, Facts], Finding]
    #: Gives the verdict that is true of such a cell, or ``None`` where nobody knows.
    expected: Callable[[Facts], str | None]
    #: The claim is untestable in a cell with fewer CPUs.
    least_cpus: int = 1
    #: Where the value has to lie, for a claim that rests on a number.
    tolerance: Tolerance | None = None
    #: What to do where the claim is refuted or a surprise; empty where a program need not change.
    advice: str = ""
    #: How the expectation is known, in a few words (see :func:`seen`).
    source: str = ""


class Experiment(NamedTuple):
    """What the file of an experiment defines under the name ``EXPERIMENT``."""

    #: The name on the command line.
    name: str
    #: What it is about, in one line.
    summary: str
    #: What is measured, and how.
    method: str
    #: What to look at in the result.
    watch: str
    #: The experiment itself.
    run: Callable[[Recorder], None]
    #: The claims that it decides.
    claims: Sequence[Claim]
    #: About how long it takes, in seconds; ``None`` means a share of the time limit.
    typical_seconds: float | None = None
    #: The share of the time limit that it usually takes where ``typical_seconds`` is ``None``.
    typical_share: float = 1.0
    #: Makes the rows of its own table from the evidence.
    figures: Callable[[Evidence], Sequence[Figure]] | None = None
    #: Whether a bare ``lab run`` leaves it out. Its name or ``lab run all`` runs it.
    extra: bool = False
    #: Whether it is about the number of CPUs itself, so that a bare ``lab run --quick`` runs it in small cells too.
    of_every_size: bool = False


def docs(page: str) -> str:
    """The address of a page of the language's documentation, of the newest version that is expected of."""
    return "https://docs.python.org/3.15/" + page


def seen(*documents: str) -> str:
    """A source: the builds on which the expectation was found true, and documents that say it of others."""
    return "; ".join((SEEN, *documents))


def always(verdict: str) -> Callable[[Facts], str | None]:
    """An expectation that is the same for every cell."""
    return lambda facts: verdict


def holds(name: str, confirmed: str, refuted: str) -> Callable[[Evidence, Facts], Finding]:
    """A predicate over one kind of yes-or-no observation: all yes confirms, all no refutes, anything else decides
    nothing; ``None`` is a try that could not tell. The two sentences are the reasons given.

    The predicate raises LookupError where nothing was observed under this name.
    """

    def judge(evidence: Evidence, facts: Facts) -> Finding:
        tries = evidence.all(name)
        seen = [bool(value) for value in tries if value is not None]
        if not tries:
            raise evidence.lack_of(name)
        if not seen:
            return Finding(INCONCLUSIVE, "no try could tell")
        if all(seen):
            return Finding(CONFIRMED, confirmed)
        if not any(seen):
            return Finding(REFUTED, refuted)
        return Finding(INCONCLUSIVE, "%d of %d tries said yes" % (sum(seen), len(seen)))

    return judge


def decide(interval: Estimate, low: float | None, high: float | None) -> str:
    """Equivalence: confirmed when the whole interval is inside the tolerance, refuted when it is wholly outside."""
    if interval.inside(low, high):
        return CONFIRMED
    return REFUTED if interval.outside(low, high) else INCONCLUSIVE


def undisturbed(rounds: Sequence[Round], *arms: str) -> list[Round]:
    """The rounds that hold all of these arms, none of them disturbed: the ones that count."""
    kept = list(rounds)
    for arm in arms:
        kept = [blocks for blocks in kept if arm in blocks and not blocks[arm]["disturbed"]]
    return kept


def disturbances(rounds: Sequence[Round], *arms: str) -> list[str]:
    """What disturbed these arms, the most frequent first."""
    causes = [blocks[arm]["disturbed"] for blocks in rounds for arm in arms if arm in blocks]
    seen = [cause for cause in causes if cause]
    return sorted(set(seen), key=seen.count, reverse=True)


def estimate_or_none(values: Sequence[float]) -> Estimate | None:
    """The estimate, or ``None`` when there are too few values for an interval."""
    return estimate(values) if len(values) >= FEWEST_VALUES else None
