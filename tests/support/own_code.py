"""Sessions of ``lab scale`` that nobody measured: what each worker does is made up, and varies a little."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.cell.targets.arms import name_of
from lab.cell.targets.case import Case
from lab.model.cell import Cell, CellResult, Status
from lab.model.session import Session
from tests.support import scripts
from tests.support.scripts import Said, observe

#: (Executor, workers) -> times the work of one worker.
Gains = Mapping[tuple[str, int], float]

BUSY = Case(label="work.py:busy", source="file", where="work.py", name="busy", call_seconds=0.001)

#: What a plain loop gains on two CPUs with the GIL, and without.
HOLDS = {("thread", 2): 1.0, ("fork", 2): 1.95, ("forkserver", 2): 1.94, ("spawn", 2): 1.95}
FREE = {("thread", 2): 1.93, ("fork", 2): 1.95, ("forkserver", 2): 1.94, ("spawn", 2): 1.95}
#: What waiting gains, with twice as many workers as CPUs.
WAITS = {(kind, workers): float(workers) for workers in (2, 4) for kind in ("thread", "fork", "forkserver", "spawn")}


def said(
    gains: Gains,
    *,
    rate: float = 1000.0,
    speed: float = 1.0,
    delivered: float = 2.0,
    spread: float = 0.01,
    disturbed: str | None = None,
    rounds: int = 12,
    seed: int = 1,
    helpers: bool = False,
    **trial: Any,
) -> list[Said]:
    """What the experiment of a case says where one worker makes ``rate`` calls a second.

    With ``helpers`` processes that live on do the work, whose CPU time no round counts.
    """
    order = random.Random(seed)

    def block(value: float, cores: float = 1.0) -> dict[str, Any]:
        blurred = value * order.uniform(1 - spread, 1 + spread)
        times = {"p50": 1 / rate, "p95": 1.1 / rate, "p99": 1.3 / rate}
        return {
            "rate": blurred,
            "cores": cores,
            "calls": {name: time * order.uniform(0.99, 1.01) for name, time in times.items()},
            "disturbed": disturbed,
            "delay": 0.0,
        }

    waits = helpers or trial.get("idle", 0) > 0.5
    samples = [
        {
            "one process": block(100 * speed),
            "probe": block(100 * speed * delivered, delivered),
            "1 worker": block(rate, 0.02 if waits else 1.0),
            **{
                name_of(kind, workers): block(rate * gain, 0.02 * workers if waits else gain)
                for (kind, workers), gain in gains.items()
            },
        }
        for _ in range(rounds)
    ]
    usual = {
        "first_seconds": 1 / rate,
        "call_seconds": 1 / rate,
        "cores": 1.0,
        "idle": 0.0,
        "own_threads": 0,
        "libraries": [],
        "result_bytes": 10,
        "pickle_seconds": 1e-6,
        "pickle_error": "",
        "same": True,
    }
    return [
        observe("imported", {"gil_before": True, "gil_after": True, "modules": []}),
        observe("packages", []),
        observe("trial", {**usual, **trial}),
        observe("dispatch", {"thread": 1e-5, "process": 1e-4}),
        observe("arms", [[name_of(kind, workers), kind, workers, False] for kind, workers in gains]),
        *(("sample", {"name": "round", "values": blocks}) for blocks in samples),
    ]


def session(*results: CellResult, cases: Sequence[Case] = (BUSY,), **changes: Any) -> Session:
    """A session of these cells, which measured these cases."""
    assembled = scripts.session(*results, experiments=[case.experiment for case in cases], **changes)
    return _of(assembled, cases)


def _of(assembled: Session, cases: Sequence[Case]) -> Session:
    target = {"case": cases[0]._replace(name="").to_stored(), "params": {}, "project": "/home/user/project"}
    stored = {"cases": [case.to_stored() for case in cases], "target": target}
    return replace(assembled, arguments={**assembled.arguments, **stored, "seed": 1})


def ran(size: int, *said_of: tuple[Case, Sequence[Said]], **script: Any) -> CellResult:
    """A cell of that size in which each case said this."""
    return scripts.ran(size, {case.experiment: messages for case, messages in said_of}, **script)


def one_case(gains: Gains = HOLDS, **changes: Any) -> Session:
    """One function in cells of one and of two CPUs."""
    alone = said({}, **{**changes, "delivered": 1.0})
    return session(ran(1, (BUSY, alone)), ran(2, (BUSY, said(gains, **changes))))


def two_environments(names: Sequence[str], other: float = 1.0, rounds: int = 8) -> Session:
    """What ``--against`` says where the other environment makes so many times the calls per second, in every round."""
    block = {"rate": 100.0, "cores": 1.0, "disturbed": None, "delay": 0.0}
    blocks = dict.fromkeys(names, block) | {f"other: {name}": {**block, "rate": 100.0 * other} for name in names}
    messages = [each for each in said({}) if each[1].get("name") not in ("arms", "round")]
    messages += [
        observe("arms", []),
        observe("pairs", [[name, name, f"other: {name}"] for name in names]),
        *(("sample", {"name": "round", "values": blocks}) for _ in range(rounds)),
    ]
    case = BUSY._replace(against={"python": "/usr/bin/python3", "label": "python3"})
    return session(ran(2, (case, messages)), cases=[case])


def several_cases(count: int = 3) -> Session:
    """Functions that hold the GIL, release it, or wait."""
    kinds: tuple[tuple[Gains, dict[str, Any]], ...] = (
        (HOLDS, {}),
        (FREE, {"rate": 52.0}),
        (WAITS, {"rate": 200.0, "idle": 0.98}),
    )
    cases = [BUSY._replace(label=f"work.py:bench_{number}", name=f"bench_{number}") for number in range(1, count + 1)]
    of = [(case, *kinds[number % 3]) for number, case in enumerate(cases)]
    small = [(case, said({("thread", 2): 2.0} if gains is WAITS else {}, **more)) for case, gains, more in of]
    large = [(case, said(gains, **more)) for case, gains, more in of]
    return session(ran(1, *small), ran(2, *large), cases=cases)


def on_builds(*, labels: Sequence[str] = ("3.13", "3.13t"), cases: Sequence[Case] = (BUSY,)) -> Session:
    """The same functions on several builds, of which those with a ``t`` have no GIL."""
    pythons = {
        label: scripts.python((3, int(label.strip("t").partition(".")[2]), 1), gil="t" not in label) for label in labels
    }

    def messages(cell: Cell) -> dict[str, list[Said]]:
        free = "t" in cell.build
        rate = 800.0 if free else 1000.0
        gains: Gains = {} if cell.size == 1 else FREE if free else HOLDS
        if cell.size > 1 and "3.14" in cell.build:
            gains = {**gains, ("interpreter", 2): 1.9}
        return {case.experiment: said(gains, rate=rate, delivered=float(cell.size)) for case in cases}

    return _of(scripts.on_builds(pythons, (1, 2), messages), cases)


def undecided() -> Session:
    """One function where every round was disturbed."""
    return one_case(disturbed="run delay")


def failed_cell() -> Session:
    """One function whose larger cell the engine could not start."""
    gone = CellResult(
        cell=scripts.cell(2), status=Status.ERROR, reason="the engine answered 500: no space left on device"
    )
    return session(ran(1, (BUSY, said({}))), gone)


def failed_case() -> Session:
    """Two functions, of which one killed its process in the larger cell."""
    cases = (BUSY, BUSY._replace(label="work.py:crash", name="crash"))
    broken = {cases[1].experiment: "was killed by SIGSEGV"}
    return session(
        ran(1, *((case, said({})) for case in cases)),
        ran(2, (cases[0], said(HOLDS)), (cases[1], said(HOLDS, rounds=0)), failed=broken),
        cases=cases,
    )


def interrupted() -> Session:
    """One function, and Ctrl-C before the larger cell."""
    unrun = CellResult(cell=scripts.cell(2), status=Status.PLANNED, reason="interrupted before it ran")
    return session(ran(1, (BUSY, said({}))), unrun, interrupted=True)


@functools.cache
def every_kind() -> dict[str, Session]:
    """A session of each kind, by its name."""
    return {
        "one-case": one_case(),
        "waits": one_case(WAITS, rate=200.0, idle=0.98),
        "cases": several_cases(),
        "many-cases": several_cases(12),
        "builds": on_builds(),
        "many-builds": on_builds(labels=("3.11", "3.12", "3.13", "3.13t", "3.14", "3.14t")),
        "cases-on-builds": on_builds(cases=(BUSY, BUSY._replace(label="work.py:other", name="other"))),
        "undecided": undecided(),
        "failed-cell": failed_cell(),
        "failed-case": failed_case(),
        "interrupted": interrupted(),
        "nothing-ran": session(replace(failed_cell().results[1], cell=scripts.cell(1))),
    }
