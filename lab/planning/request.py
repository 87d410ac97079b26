"""What a run is asked to do: made once, from a command line or from a stored session, and never changed. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lab.cell import experiments
from lab.cell.programs.program import Program
from lab.cell.targets.case import Case, from_stored
from lab.cell.worker.job import SEEDS
from lab.errors import UsageError
from lab.model.allocation import Allocation
from lab.model.cell import Cell
from lab.model.machine import Machine
from lab.planning import cells as planner
from lab.planning import packing
from lab.planning.programs import Workload, workload_from_stored
from lab.planning.quotas import parse_quotas, under_quotas
from lab.planning.targets import Target, target_from_stored

#: Level -> (most seconds that one experiment measures, half-width of the interval at which it stops sooner).
LEVELS: Mapping[str, tuple[float, float]] = {"quick": (4.0, 0.15), "default": (10.0, 0.05), "thorough": (60.0, 0.02)}

#: The same for each function of the user's.
SCALE_LEVELS: Mapping[str, tuple[float, float]] = {
    "quick": (1.0, 0.1),
    "default": (4.0, 0.03),
    "thorough": (30.0, 0.01),
}
#: The same where two environments are compared: a difference of some percent takes longer to tell than a speed-up.
AGAINST_LEVELS: Mapping[str, tuple[float, float]] = {
    "quick": (6.0, 0.1),
    "default": (16.0, 0.03),
    "thorough": (60.0, 0.01),
}

#: The sizes of the cells where neither ``--cpus`` nor ``--quota`` is given.
DEFAULT_SIZES = "1,2,4,all"

#: Stands for every experiment, the extra ones too.
EVERY = "all"

#: The narrowest half-width that can be asked for. No interval gets narrower on a machine that does anything else.
NARROWEST = 0.001


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run, on which cells, how precisely, and on which engine."""

    #: The names of the experiments, in the order to run them.
    experiments: tuple[str, ...]
    #: Most seconds of measuring, for each experiment in each cell.
    seconds: float
    #: Half-width of an interval, as a share of its value, at which measuring stops sooner.
    width: float
    #: The level that ``seconds`` and ``width`` come from: quick, default or thorough.
    level: str = "default"
    #: Sizes or CPU ids as ``--cpus`` names them. ``None`` means the default sizes, or the quota alone where one is set.
    cpus: str | None = None
    #: Quotas as ``--quota`` names them.
    quota: str | None = None
    #: Whether cores are filled thread by thread.
    smt: bool = False
    #: How many cells may run at the same time: a number or ``auto``.
    jobs: str = "auto"
    #: ``auto``, ``docker``, ``local`` or ``slurm``.
    engine: str = "auto"
    #: What is asked of the site (slurm).
    allocation: Allocation = field(default_factory=Allocation)
    #: The host whose engine runs the cells, as ``--host`` names it; empty: the engine of the environment.
    host: str = ""
    #: Whether the host gets its images from the engine of the environment. It is not kept: a resumed run finds them.
    send_image: bool = False
    #: The image of the cells.
    image: str | None = None
    #: The builds of Python, as the user wrote them.
    pythons: tuple[str, ...] = ()
    #: The label of a build -> the image that it has to have, where that is known.
    images: Mapping[str, str] = field(default_factory=dict)
    #: The name of an experiment in a file of the user's -> the path of the file.
    own: Mapping[str, str] = field(default_factory=dict)
    #: The seed of everything that is done in random order.
    seed: int = 1
    #: The name that the participant gave the session; empty: none.
    label: str = ""
    #: The user's own code that is measured, instead of experiments of the lab.
    target: Target | None = None
    #: The cases of the target, once they are known.
    cases: tuple[Case, ...] = ()
    #: The label of a function of the target that cannot be measured -> the reason.
    left_out: Mapping[str, str] = field(default_factory=dict)
    #: The programs of the user's that are run, instead of experiments of the lab.
    workload: Workload | None = None

    def check(self) -> None:
        """Raise UsageError for a value that cannot be used, before any engine is asked."""
        planner.parse_sizes(self._sizes)
        parse_quotas(self.quota if self.quota is not None else "none")
        packing.parse_most_at_once(self.jobs)
        check_seconds(self.seconds)
        check_width(self.width)
        check_seed(self.seed)

    @property
    def command(self) -> str:
        """The command that makes such a request: ``run``, ``scale`` or ``exec``."""
        return "exec" if self.workload else "scale" if self.target else "run"

    def cases_in(self, cell: Cell) -> tuple[Case | Program, ...]:
        """The functions or the programs of the user's that a cell has to measure."""
        return self.workload.in_turn(cell.turn) if self.workload else self.cases

    def experiments_in(self, cell: Cell) -> tuple[str, ...]:
        """The names of the experiments of a cell, in the order to run them."""
        if self.workload:
            return tuple(case.experiment for case in self.cases_in(cell))
        return cell.experiments or self.experiments

    @property
    def most_at_once(self) -> int | None:
        """The largest number of cells that may run at the same time; ``None`` means any number."""
        return packing.parse_most_at_once(self.jobs)

    def cells(self, machine: Machine) -> tuple[Cell, ...]:
        """The cells that are asked for, on this machine. Raises UsageError for CPU ids that cannot be used."""
        topology = machine.cpu_topology
        cells = planner.plan(planner.parse_sizes(self._sizes), topology, smt=self.smt)
        quotas = parse_quotas(self.quota or "none")
        unpinned = self._quota_alone and topology.usable == topology.allowed  # else a CPU set keeps off isolated CPUs
        under = under_quotas(cells, quotas, unpinned, machine.no_quota)
        across = planner.across(under, [facts.label for facts in machine.named_builds])
        if self.workload:
            return self.workload.cells(across, self.seed)
        if self.level == "quick" and self.experiments == chosen_experiments(()):
            return planner.narrowed(across, experiments.of_every_size())
        return across

    def explicit(self, cells: Sequence[Cell]) -> frozenset[str]:
        """The ids of the cells whose CPUs the user has named."""
        sizes = planner.parse_sizes(self.cpus) if self.cpus is not None else ()
        named = {size for size in sizes if isinstance(size, tuple)}
        return frozenset(cell.id for cell in cells if cell.cpus in named)

    def arguments(self, machine: Machine) -> dict[str, Any]:
        """The request as the manifest keeps it, with the engine and the image that ``machine`` really has."""
        return {
            "experiments": list(self.experiments),
            "cpus": self.cpus,
            "quota": self.quota,
            "python": list(self.pythons) or None,
            "level": self.level,
            "seconds": self.seconds,
            "width": self.width,
            "smt": self.smt,
            "jobs": self.jobs,
            "engine": machine.engine,
            "image": None if self.pythons else machine.image,
            "seed": self.seed,
            **({"allocation": self.allocation.to_stored()} if self.allocation.to_stored() else {}),
            **(
                {"target": self.target.to_stored(), "cases": [case.to_stored() for case in self.cases]}
                if self.target
                else {}
            ),
            **({"host": self.host} if self.host else {}),
            **({"label": self.label} if self.label else {}),
            **({"own": dict(self.own)} if self.own else {}),
            **({"left_out": dict(self.left_out)} if self.left_out else {}),
            **({"workload": self.workload.to_stored()} if self.workload else {}),
        }

    def with_cases(self, cases: Sequence[Case], left_out: Mapping[str, str]) -> Request:
        """The same request, once the cases of its target are known."""
        names = tuple(case.experiment for case in cases)
        return replace(self, experiments=names, cases=tuple(cases), left_out=left_out)

    def own_costs(self, cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
        """The experiment of a function of the user's -> the id of a cell -> about how many seconds it takes there."""
        available = [cell for cell in cells if cell.available]
        return {
            case.experiment: {cell.id: case.usual_seconds(cell.size, self.seconds) for cell in available}
            for case in self.cases
        }

    @property
    def _quota_alone(self) -> bool:
        return self.quota is not None and self.cpus is None

    @property
    def _sizes(self) -> str:
        if self.cpus is not None:
            return self.cpus
        return planner.ALL if self._quota_alone else DEFAULT_SIZES


def from_arguments(arguments: Mapping[str, Any]) -> Request:
    """The request that a manifest keeps. A version of the lab that kept fewer arguments had the defaults.

    Raises UsageError for an experiment that this version does not have.
    """
    level = arguments.get("level") or "default"
    seconds, width = LEVELS[level]
    names = ("cpus", "quota", "smt", "jobs", "engine", "host", "image", "images", "seed", "label", "own")
    target, workload = arguments.get("target"), arguments.get("workload")
    is_own = target or workload
    return Request(
        experiments=tuple(arguments["experiments"]) if is_own else chosen_experiments(arguments["experiments"]),
        workload=workload_from_stored(workload) if workload else None,
        target=target_from_stored(target) if target else None,
        cases=tuple(map(from_stored, arguments.get("cases") or ())) if target else (),
        seconds=seconds if arguments.get("seconds") is None else arguments["seconds"],
        width=width if arguments.get("width") is None else arguments["width"],
        level=level,
        allocation=Allocation.from_stored(arguments.get("allocation") or {}),
        pythons=tuple(arguments.get("python") or ()),
        **{name: arguments[name] for name in names if name in arguments},
    )


def chosen_experiments(wanted: Sequence[str]) -> tuple[str, ...]:
    """The experiments to run, each once and in order. No name means all that are not extra; ``all`` means every one.

    Raises UsageError for an unknown name.
    """
    if not wanted:
        return tuple(experiments.usual())
    named = named_experiments([name for name in wanted if name != EVERY])
    return tuple(experiments.in_order()) if EVERY in wanted else named


def named_experiments(wanted: Sequence[str]) -> tuple[str, ...]:
    """The experiments of these names, each once and in the order to run them. Raises UsageError for an unknown name."""
    known = experiments.in_order()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(f"there is no experiment {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def check_seconds(seconds: float) -> float:
    """The same number of seconds, where it can be a time limit. Raises UsageError."""
    if not (seconds > 0 and math.isfinite(seconds)):
        raise UsageError(f"--time-limit {seconds:g}: give a number of seconds above 0, such as 10")
    return seconds


def check_width(width: float) -> float:
    """The same half-width, where an interval can get that narrow. Raises UsageError."""
    if not NARROWEST <= width < 1:
        raise UsageError(
            f"--width {width:g}: give the half-width of an interval as a share of its value, from {NARROWEST:g} (a"
            " tenth of a percent) to below 1, such as 0.02"
        )
    return width


def check_seed(seed: int) -> int:
    """The same seed, where it can be one. Raises UsageError."""
    if not 0 <= seed < SEEDS:
        raise UsageError(f"--seed {seed}: give a whole number from 0 to {SEEDS - 1}")
    return seed
