"""What the runs of a program took under each limit: all of its runs together, and its turns in pairs. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.cell.claims.claim import estimate_or_none
from lab.cell.claims.estimates import Estimate, median
from lab.cell.programs.program import AGAINST, PREFIX, Program, from_stored
from lab.cell.targets.choice import KNOWN, SLIGHT
from lab.judging.verdicts import evidence_of, finish_of
from lab.model.cell import Cell, CellResult, Status
from lab.model.session import Quantity, Session

#: What a run recorded, by the names of :class:`lab.cell.programs.run.Run`.
Run = Mapping[str, Any]

#: What the numbers of a program are called.
WALL, CPU, SPEED_UP, MEMORY = "wall time", "CPU time", "speed-up", "peak memory"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A program under one limit."""

    #: The program.
    program: Program
    #: The cells of this limit, in the order of their turns.
    results: tuple[CellResult, ...]
    #: The runs that ended well, in the order in which they were made.
    runs: tuple[Run, ...]
    #: The runs that did not end well.
    failures: tuple[Run, ...]
    #: How much faster it was than under the smallest limit, turn by turn; ``None``: not known, or that is this one.
    speed_up: Estimate | None = None
    #: The CPUs of this limit over those of the smallest.
    more_cpus: float = 1.0

    @property
    def cell(self) -> CellResult:
        """The first turn, which stands for the limit."""
        return self.results[0]

    @property
    def rate(self) -> float:
        """How many CPUs the limit allows."""
        return _rate(self.results)

    def values(self, name: str) -> tuple[float, ...]:
        """A value of each run that has it."""
        return tuple(run[name] for run in self.runs if run.get(name) is not None)

    def middle(self, name: str) -> float | None:
        """The median of a value; ``None`` where no run has it."""
        values = self.values(name)
        return median(values) if values else None

    def most(self, name: str) -> float | None:
        """The largest value; ``None`` where no run has it."""
        return max(self.values(name), default=None)

    def interval(self, name: str) -> Estimate | None:
        """The median with its interval; ``None`` where there are too few runs."""
        return estimate_or_none(self.values(name))

    @property
    def machine(self) -> str:
        """The name of the machine; empty where the session has only one."""
        return self.cell.cell.machine

    @property
    def cores(self) -> tuple[float, ...]:
        """For each run the CPU time over the wall time."""
        return tuple(run["cpu"] / run["wall"] for run in self.runs if run["wall"] > 0)

    @property
    def peaks(self) -> tuple[float, ...]:
        """Peak memory in bytes: of each turn where every control group tells it, else also that of each process tree.

        A group tells only the peak of its whole life. So a run that sets no new one has none of its own.
        """
        turns = [[run for run in runs_of(self.program, result) if not run.get("failed")] for result in self.results]
        known = [[run["group_memory"] for run in turn if run.get("group_memory")] for turn in turns if turn]
        of_groups = tuple(max(sizes) for sizes in known if sizes)
        return of_groups if all(known) else (*of_groups, *self.values("tree_memory"))

    @property
    def memory(self) -> float | None:
        """The most memory of a run, in bytes: that of the control group where it is known, else of the process tree."""
        return max(self.values("group_memory") or self.values("tree_memory"), default=None)

    @property
    def throttled(self) -> float | None:
        """In which share of its periods the quota stopped it; ``None`` where nobody counts that."""
        periods, stopped = self.values("periods"), self.values("throttled_periods")
        if not stopped:
            return None
        return sum(stopped) / sum(periods) if sum(periods) else 0.0

    @property
    def stops(self) -> tuple[float, ...]:
        """For each run the share of its periods in which the quota stopped it; none where nobody counts that."""
        counted = [(run.get("throttled_periods"), run.get("periods")) for run in self.runs]
        return tuple(stopped / periods if periods else 0.0 for stopped, periods in counted if stopped is not None)

    @property
    def efficiency(self) -> float | None:
        """The speed-up over what so many CPUs would give."""
        return None if self.speed_up is None else self.speed_up.value / self.more_cpus

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the wall times, as of a sample."""
        walls = self.values("wall")
        return statistics.stdev(walls) if len(walls) > 1 else None


def programs_of(session: Session) -> tuple[Program, ...]:
    """The programs that a session ran; none in a session of another kind."""
    workload = session.arguments.get("workload") or {}
    return tuple(map(from_stored, workload.get("programs") or ()))


def is_of_programs(session: Session) -> bool:
    """Whether a session ran programs of the user's."""
    return bool(session.arguments.get("workload"))


def limits_of(results: Iterable[CellResult]) -> tuple[tuple[CellResult, ...], ...]:
    """The cells of each limit, turn by turn; the limits in ascending order."""
    grouped: dict[object, list[CellResult]] = {}
    for result in results:
        cell = result.cell
        grouped.setdefault((cell.limit, cell.build, cell.machine, cell.cpus), []).append(result)
    groups = (tuple(sorted(group, key=lambda result: result.cell.turn)) for group in grouped.values())
    return tuple(sorted(groups, key=lambda group: (_rate(group), group[0].cell.size)))


def turns_of(session: Session, result: CellResult) -> tuple[CellResult, ...]:
    """All turns of the limit of a cell; in a session of another kind the cell alone."""
    if not is_of_programs(session):
        return (result,)
    return next(group for group in limits_of(session.results) if result in group)


def _rate(group: Sequence[CellResult]) -> float:
    cell = group[0].cell
    return float(cell.size if cell.quota_cpus is None else min(cell.quota_cpus, cell.size))


def measured(session: Session) -> tuple[Measured, ...]:
    """Every program under every limit, program by program, the smallest limit first.

    A speed-up is over the smallest limit on the same machine. In a joined session a program may not be run in every
    cell: it has no row for the others.
    """
    groups = limits_of(session.results)
    rows = []
    for program in programs_of(session):
        each = [_under(program, group) for group in groups if _is_run_in(program, group[0].cell)]
        bases: dict[str, Measured] = {}
        for row in each:
            if row.runs:
                bases.setdefault(row.machine, row)
        rows += [_beside(row, bases.get(row.machine)) for row in each]
    return tuple(rows)


def _is_run_in(program: Program, cell: Cell) -> bool:
    return not cell.experiments or program.experiment in cell.experiments


def _under(program: Program, group: tuple[CellResult, ...]) -> Measured:
    runs = [run for result in group for run in runs_of(program, result)]
    return Measured(
        program=program,
        results=group,
        runs=tuple(run for run in runs if not run.get("failed")),
        failures=tuple(run for run in runs if run.get("failed")),
    )


def runs_of(program: Program, result: CellResult) -> tuple[Run, ...]:
    """The runs of a program in one cell whose limit held."""
    if result.status is Status.TAINTED or not result.proof:
        return ()
    rounds = evidence_of(program.experiment, result).rounds("run")
    return tuple(blocks["program"] for blocks in rounds if "program" in blocks)


def _beside(row: Measured, base: Measured | None) -> Measured:
    """A row with its speed-up over the base: in each turn, the median of the base over its own."""
    if base is None or row is base or not row.runs:
        return row
    then, now = _walls_by_turn(base), _walls_by_turn(row)
    ratios = [then[turn] / now[turn] for turn in sorted(then.keys() & now.keys())]
    speed_up = estimate_or_none(ratios) or _point(ratios)
    return replace(row, speed_up=speed_up, more_cpus=row.rate / base.rate)


def _point(ratios: Sequence[float]) -> Estimate | None:
    """The median without an interval: there are too few turns."""
    return Estimate(median(ratios), 0.0, float("inf"), len(ratios)) if ratios else None


def _walls_by_turn(row: Measured) -> dict[int, float]:
    walls = {}
    for result in row.results:
        of_turn = [run["wall"] for run in runs_of(row.program, result) if not run.get("failed")]
        if of_turn:
            walls[result.cell.turn] = median(of_turn)
    return walls


def against_of(program: Program) -> str:
    """What a program is the other version of: the label that ``--against`` gave; empty: it is the user's own."""
    return program.parameters.get(AGAINST, "")


def slower_than_other(session: Session, row: Measured) -> Estimate | None:
    """How many times as long a program took as the other version that took turns with it under the same limit.

    ``None``: there is no other version, or there are no turns of both. With few turns there is no interval: it is
    from 0 to infinity.
    """
    for other in measured(session):
        is_version = (
            other.program.words == row.program.words
            and against_of(other.program)
            and {**other.program.parameters, AGAINST: ""} == {**row.program.parameters, AGAINST: ""}
        )
        if is_version and other.cell.cell.id == row.cell.cell.id and other.runs:
            return _beside(other, row).speed_up
    return None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which limit is the sensible one for a program."""

    #: The program.
    program: Program
    #: The smallest limit that is not worse than the best; ``None``: not decided.
    row: Measured | None
    #: Every limit that has runs and no failure, the smallest first. A speed-up is over the first of them.
    rows: tuple[Measured, ...]


def choices(session: Session) -> tuple[Choice, ...]:
    """The sensible limit of each program on each machine where it ran under several."""
    rows = measured(session)
    machines = dict.fromkeys(row.machine for row in rows)
    found = []
    for program in programs_of(session):
        own = [row for row in rows if row.program is program or row.program == program]
        for machine in machines:
            ran = [row for row in own if row.runs and not row.failures and row.machine == machine]
            if len(ran) > 1:
                base = replace(ran[0], speed_up=None, more_cpus=1.0)
                compared = (base, *(_beside(row, base) for row in ran[1:]))
                found.append(Choice(program=program, row=_sensible(compared), rows=compared))
    return tuple(found)


def _sensible(rows: Sequence[Measured]) -> Measured | None:
    """The smallest limit under which the program is known to be as fast as under any larger one, or nearly."""
    for number, row in enumerate(rows):
        gains = [_beside(larger, row).speed_up for larger in rows[number + 1 :]]
        known = [gain for gain in gains if gain is not None]
        if all(gain.low <= SLIGHT for gain in known):
            return row if len(known) == len(gains) and all(gain.high <= KNOWN for gain in known) else None
    raise AssertionError("no limit is larger than the largest")


def failed(session: Session) -> bool:
    """Whether a run of any program failed."""
    return any(row.failures for row in measured(session))


def why_failed(session: Session) -> str:
    """How runs ended that failed, and which option says otherwise: the reason of an exit code."""
    failures = [run for row in measured(session) for run in row.failures]
    if any(run["late"] for run in failures):
        return "a command did not end before its deadline (--deadline gives it more seconds)"
    if any(run["signal"] for run in failures):
        return "a command was killed by a signal"
    return "a command failed (--ignore-failure counts its exit code as a success)"


def troubles(session: Session) -> tuple[tuple[Measured, str], ...]:
    """The programs and limits whose cells could not be measured for a reason of the program's, each with the reason."""
    found = []
    for row in measured(session):
        for result in row.results:
            finish = finish_of(row.program.experiment, result)
            if finish and finish["outcome"] != "ok":
                found.append((row, str(finish["reason"])))
                break
    return tuple(found)


#: The numbers of a row: what, its unit, the direction in which it gets better, and its values.
_NUMBERS: tuple[tuple[str, str, str | None, Callable[[Measured], Sequence[float]]], ...] = (
    (WALL, "s", "lower", lambda row: row.values("wall")),
    (CPU, "s", "lower", lambda row: row.values("cpu")),
    ("cores used", "CPUs", None, lambda row: row.cores),
    (MEMORY, "bytes", "lower", lambda row: row.peaks),
    ("processes", "", None, lambda row: row.values("processes")),
    ("threads", "", None, lambda row: row.values("threads")),
    ("waited for a CPU", "s", "lower", lambda row: row.values("pressure")),
    ("throttled", "s", "lower", lambda row: row.values("throttled_seconds")),
)


def quantities(rows: Sequence[Measured]) -> tuple[Quantity, ...]:
    """The numbers of every row, in the first cell of its limit."""
    return tuple(quantity for row in rows for quantity in _quantities_of(row))


def _quantities_of(row: Measured) -> Iterable[Quantity]:
    for what, unit, better, values_of in _NUMBERS:
        values = values_of(row)
        if values:
            yield _quantity(row, what, unit, better, estimate_or_none(values), median(values), len(values))
    if row.speed_up:
        known = row.speed_up if row.speed_up.low > 0 else None
        yield _quantity(row, SPEED_UP, "", "higher", known, row.speed_up.value, row.speed_up.size)


def _quantity(
    row: Measured, what: str, unit: str, better: Any, estimate: Estimate | None, value: float, count: int
) -> Quantity:
    return Quantity(
        experiment=row.program.experiment,
        title=f"{row.program.experiment.removeprefix(PREFIX)}: what its runs took",
        cell=row.cell.cell.id,
        what=what,
        value=value,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        unit=unit,
        accepted=count,
        rejected=len(row.failures),
        better=better,
    )
