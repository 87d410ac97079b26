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
    """What is known of a cell before anything is measured; predicates and expectations may depend on it.

    ``version`` is (major, minor); ``cpus`` the size of the affinity mask (P); ``rate`` the least of P and every quota
    (R), in CPUs; ``host_cpus`` what ``os.cpu_count()`` says, which no limit changes. ``siblings``: CPUs of the mask
    that share a physical core, a tuple for each such core; ``kinds``: of how many kinds its cores are;
    ``isolated``: its CPUs between which the scheduler moves nothing; ``told_cpus``: how many Python was told there are
    (``-X cpu_count``). ``implementation`` is what calls itself so: ``CPython``, ``PyPy``.
    """

    version: tuple[int, int]
    gil: bool
    cpus: int
    rate: float
    host_cpus: int
    siblings: tuple[tuple[int, ...], ...] = ()
    kinds: int = 1
    isolated: tuple[int, ...] = ()
    told_cpus: int | None = None
    implementation: str = "CPython"


class Finding(NamedTuple):
    """What the evidence says of a claim: a verdict, a sentence why, and the number that it rests on, if one.

    ``low`` and ``high`` are its 95 % interval, ``ceiling`` the most (for times: the least) that the machine had to
    give, all in ``unit``; ``accepted`` and ``rejected`` count rounds.
    """

    verdict: str
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    accepted: int | None = None
    rejected: int | None = None
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
    """Where a claim's value has to lie, in the value's unit (``None``: no bound), and why the line is drawn there."""

    low: float | None
    high: float | None
    why: str


class Figure(NamedTuple):
    """A number that an experiment has measured, for its table: what, its estimate (``None``: too few rounds), unit, and
    rounds accepted and rejected. ``of``: whose number it is, where many have the same ones: a row each, then."""

    what: str
    found: Estimate | None
    unit: str
    accepted: int
    rejected: int
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
            raise LookupError("nothing was observed under the name " + repr(name))
        return values[-1]

    def rounds(self, name: str) -> list[Round]:
        """Every round sampled under this name, in order."""
        return [sample for key, sample in self._samples if key == name]


class Claim(NamedTuple):
    """A statement and how to decide it.

    ``judge`` is the predicate: from the evidence and the cell's facts to a Finding. ``expected`` gives the verdict that
    is true of this kind of cell as far as is known, or ``None`` where it is not. ``least_cpus``: with fewer the claim
    is untestable. ``tolerance``: for a claim that rests on a number. ``advice``: what to do where the verdict is
    *refuted*, or not the expected one; empty where that changes nothing for a program. ``source``: how that
    expectation is known, in a few words (see :func:`seen`).
    """

    id: str
    statement: str
    judge: Callable[[Evidence, Facts], Finding]
    expected: Callable[[Facts], str | None]
    least_cpus: int = 1
    tolerance: Tolerance | None = None
    advice: str = ""
    source: str = ""


class Experiment(NamedTuple):
    """What one file in this folder defines, under the name ``EXPERIMENT``.

    ``run`` gets a Recorder (see :mod:`lab.cell.claims.recorder`); ``summary`` is one line; ``method`` says what is
    measured and how, ``watch`` what to look at in the result. ``typical_seconds`` is about how long it takes; ``None``:
    as long as it is given. ``figures``: the rows of its own table, from the evidence. ``extra``: not part of a bare
    ``lab run``; it runs by its name, or with ``lab run all``."""

    name: str
    summary: str
    method: str
    watch: str
    run: Callable[[Recorder], None]
    claims: Sequence[Claim]
    typical_seconds: float | None = None
    figures: Callable[[Evidence], Sequence[Figure]] | None = None
    extra: bool = False


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
    nothing; ``None`` is a try that could not tell. The two sentences are the reasons given."""

    def judge(evidence: Evidence, facts: Facts) -> Finding:
        tries = evidence.all(name)
        seen = [bool(value) for value in tries if value is not None]
        if not seen:
            return Finding(INCONCLUSIVE, "no try could tell" if tries else "nothing was observed")
        if all(seen):
            return Finding(CONFIRMED, confirmed)
        if not any(seen):
            return Finding(REFUTED, refuted)
        return Finding(INCONCLUSIVE, "%d of %d tries said yes" % (sum(seen), len(seen)))

    return judge


def decide(found: Estimate, low: float | None, high: float | None) -> str:
    """Equivalence: confirmed when the whole interval is inside the tolerance, refuted when it is wholly outside."""
    if found.inside(low, high):
        return CONFIRMED
    return REFUTED if found.outside(low, high) else INCONCLUSIVE


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
