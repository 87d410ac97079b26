"""Rounds of blocks: what makes a block count, and what a model makes of one that does not."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Callable

import pytest

from lab.cell.experiments import gil
from lab.cell.measuring import rounds as _rounds
from lab.cell.measuring.crew_worker import Tally
from lab.cell.measuring.processes import WorkerLostError
from lab.cell.measuring.rounds import ALONE, PROBE, Arm, Crew, block_of, merged, probe, shuffler
from lab.judging import speedups
from lab.model.cell import Cell
from lab.reports import tables
from tests.support import cells, scripts

CLEAN = Arm("one process", "count")
TEAM = Arm("threads", "count", threads=2, clean=False)
BESIDE = TEAM._replace(seconds=0.025, has_own_cpus=True)
SHARING = Arm("threads", "target", threads=2, clean=False, seconds=0.05, foreign=True, shares_gil=True)


@pytest.mark.parametrize(
    ("arm", "tally", "cause"),
    [
        pytest.param(CLEAN, Tally(100, 0.005, 0.005, 0.0, 0.0), None, id="all well"),
        pytest.param(CLEAN, Tally(100, 0.005, 0.0045, 0.0005, 0.0005), "run delay", id="it waited for a CPU"),
        pytest.param(CLEAN, Tally(100, 0.005, 0.0045, 0.0, 0.0), "lost time", id="it was taken off"),
        pytest.param(CLEAN, Tally(100, 0.005, 0.005, None, None), None, id="a kernel without run delay"),
        pytest.param(TEAM, Tally(100, 0.005, 0.0025, 0.0025, 0.0025), None, id="threads wait by their nature"),
        pytest.param(
            TEAM._replace(clean=True, threads=64),
            Tally(6400, 0.005, 0.319, 0.0006, 0.00005),
            None,
            id="each thread of many waited a little",
        ),
        pytest.param(SHARING, Tally(100, 0.05, 0.098, 0.001, 0.001), None, id="two threads on two CPUs"),
        pytest.param(SHARING, Tally(80, 0.05, 0.08, 0.018, 0.018), "run delay", id="one of them waited for a CPU"),
        pytest.param(SHARING, Tally(50, 0.05, 0.05, 0.048, 0.025), "run delay", id="both had one CPU"),
        pytest.param(SHARING, Tally(50, 0.05, 0.05, 0.014, 0.008), None, id="they take turns with the GIL"),
        pytest.param(SHARING, Tally(60, 0.05, 0.065, 0.02, 0.02), "run delay", id="some turns, and a neighbour"),
        pytest.param(BESIDE, Tally(36, 0.025, 0.045, 0.004, 0.004), None, id="threads of C code on two CPUs"),
        pytest.param(BESIDE, Tally(38, 0.025, 0.027, 0.03, 0.018), "run delay", id="neighbours took half of both"),
        pytest.param(
            TEAM, Tally(0, 0.005, 0.0, 0.005, 0.005), "run delay", id="a team that came too late for anything"
        ),
    ],
)
def test_a_block_counts_unless_something_disturbed_it(arm: Arm, tally: Tally, cause: str | None) -> None:
    assert block_of(arm, [tally])["disturbed"] == cause


@pytest.mark.parametrize("seconds", [1.81, 22.3, 600.0])
def test_rates_of_long_calls_are_exact(seconds: float) -> None:
    """With two decimals a call of 10.5 s was as fast as one of 10 s."""
    one, slower = (
        merged([block_of(CLEAN, [Tally(1, wall, wall, 0.0, 0.0)])] * 2)["rate"] for wall in (seconds, 1.01 * seconds)
    )
    assert one / slower == pytest.approx(1.01, rel=1e-4)


def test_one_worker_alone_takes_every_cpu_in_its_turn() -> None:
    with Crew((0, 1)) as crew:
        laid = [crew._timetable([ALONE, probe(2), Arm("both", "count", processes=2), ALONE], [0] * 4) for _ in range(2)]
    cpus = [[block.cpus for _, block in timetable] for timetables in laid for timetable in timetables]
    assert cpus[0] == [((0,),), ((0,),), ((0, 1),), ((1,),)]
    assert cpus[1] == [((1,),), ((0, 1),)]
    assert cpus[2:] == cpus[:2]


def test_arms_that_are_compared_have_each_block_beside_one_of_the_other() -> None:
    pair = [Arm(name, "count", repeat=3, beside="pair") for name in ("own", "other")]
    rarer, alone = Arm("rarer", "count", beside="pair"), Arm("pair", "count")  # alone, though its name is that word
    arms = [ALONE._replace(repeat=4), *pair, rarer, alone]
    with Crew((0, 1)) as crew:
        assert sorted([arm.name for arm in unit] for unit in crew._units(arms)) == [
            *[["one process"]] * 4,
            *[["own", "other"]] * 2,
            ["own", "other", "rarer"],
            ["pair"],
        ]


def never_returns(lock: object) -> Callable[[object], object]:
    """What a worker does that hangs in its first block."""
    return lambda blocks: threading.Event().wait()


def test_a_worker_that_does_not_return_is_lost_after_the_patience_of_the_crew() -> None:
    with Crew((0,), begin=never_returns, patience=0.01) as crew:  # type: ignore[arg-type] # it returns nothing
        with pytest.raises(WorkerLostError, match=r"^did not return within \d+ s$") as caught:
            crew.rounds([ALONE], 0, 1, shuffler())
        assert crew.method_of(caught.value.place) == "fork"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_in_a_round_one_worker_alone_has_as_many_blocks_on_each_cpu(count: int) -> None:
    with Crew(range(count)) as crew:
        arms = [arm for arm in gil.arms_for(count) if arm.name == ALONE.name for _ in range(arm.repeat)]
        timetable, *_ = crew._timetable(arms, [0] * len(arms))
    had = collections.Counter(block.cpus for _, block in timetable)
    assert len(had) == count
    assert len(set(had.values())) == 1


def test_of_several_kinds_of_cores_one_worker_alone_is_on_each_cpu_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rounds, "kinds", lambda cpus: 2)
    with Crew(range(6)) as crew:
        assert crew._repeat(ALONE) == 6
        assert crew._repeat(ALONE._replace(repeat=8)) == 8
        assert crew._repeat(probe(6)) == 1
    monkeypatch.setattr(_rounds, "kinds", lambda cpus: 1)
    with Crew(range(6)) as crew:
        assert crew._repeat(ALONE) == 1


def test_a_round_in_which_a_team_did_nothing_does_not_end_the_report() -> None:
    records = scripts.gil(2)
    records[3][1]["values"]["threads"]["rate"] = 0.0
    fits = {curve.arm: curve.fit for curve in speedups.scaling([scripts.ran(2, {"gil": records})])}
    assert fits["threads"].serial.value == pytest.approx(1.0, abs=0.05)


def test_each_build_has_a_speed_up_model_of_its_own() -> None:
    pythons = {"3.13": scripts.python(), "3.13t": scripts.python(gil=False)}
    threads = {"3.13": 1.0, "3.13t": 2.0}
    locked, free = (
        scripts.on_builds({label: python}, (2,), {"gil": scripts.gil(2, threads=threads[label])})
        for label, python in pythons.items()
    )
    fits = {(curve.build, curve.arm): curve.fit for curve in speedups.scaling([*locked.results, *free.results])}
    assert [curve.points for curve in fits.values()] == [1, 1, 1, 1]
    assert fits["3.13", "threads"].serial.value == pytest.approx(1.0, abs=0.05)
    assert fits["3.13t", "threads"].serial.value == pytest.approx(0.0, abs=0.05)
    both = dataclasses.replace(locked, results=(*locked.results, *free.results))
    (table,) = [table for table in tables.all_tables(both) if table.title.startswith("Cores")]
    assert [note for note in table.notes if note.startswith("Amdahl")] == [], "one point is no curve"


def test_a_table_names_the_model_of_each_build_that_has_several_points() -> None:
    def messages(cell: Cell) -> dict[str, list[scripts.Said]]:
        return {"gil": scripts.gil(cell.size, threads=cell.size if cell.build == "3.13t" else 1.0)}

    pythons = {"3.13": scripts.python(), "3.13t": scripts.python(gil=False)}
    session = scripts.on_builds(pythons, (2, 4), messages, cpus=4)
    (table,) = [table for table in tables.all_tables(session) if table.title.startswith("Cores")]
    assert [note.partition(": ")[0] for note in table.notes if note.startswith("Amdahl")] == [
        "Amdahl, 3.13, threads",
        "Amdahl, 3.13, processes",
        "Amdahl, 3.13t, threads",
        "Amdahl, 3.13t, processes",
    ]


@pytest.mark.parametrize(
    ("quota_under_test", "disturbed"), [(False, {"throttling"}), (True, {None})], ids=["a disturbance", "under test"]
)
def test_a_quota_that_stops_the_crew_disturbs_it_unless_it_is_under_test(
    quota_under_test: bool, disturbed: set[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = iter(range(100))  # with each look at the counter the quota has stopped it once more
    monkeypatch.setattr(_rounds, "throttled_periods", lambda: next(stopped))
    cpus = cells.CPUS[:1]
    with Crew(cpus, quota_under_test=quota_under_test) as crew:
        measured, *later = crew.rounds((ALONE, probe(1)), 0, 3, shuffler())
        gated = crew.gated({"ours": lambda: {"seconds": 1.0}}, 0, shuffler())
    batch = [measured, *later]
    known = [blocks[name] for blocks in (*batch, gated) for name in (ALONE.name, PROBE)]
    assert {block["disturbed"] for block in known if block["rate"]} == disturbed
    # Other work may keep a worker of this machine from its CPU for a whole block.
    assert {block["disturbed"] for block in known if not block["rate"]} <= {"throttling"}
    assert gated["ours"]["disturbed"] in disturbed | {"throttling"}
    stops = [blocks[PROBE].get("stopped_periods") for blocks in batch]  # which are known of all rounds together
    assert stops == [1, None, None]


@pytest.mark.parametrize(
    ("causes", "tries", "looks", "cause"),
    [
        pytest.param([None], 3, 1, None, id="quiet at once"),
        pytest.param(["run delay", None], 3, 2, None, id="quiet the second time"),
        pytest.param(["run delay"] * 3, 3, 3, "run delay", id="never"),
        pytest.param(["run delay"], 1, 1, "run delay", id="one try"),
    ],
)
def test_a_probe_may_try_again_for_a_quiet_moment(
    causes: list[str | None], tries: int, looks: int, cause: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(causes)

    def rounds(*_: object) -> list[dict[str, dict[str, str | None]]]:
        cause = left.pop(0)
        return [{ALONE.name: {"disturbed": cause}, PROBE: {"disturbed": cause}}]

    with Crew(cells.CPUS[:1]) as crew:
        monkeypatch.setattr(crew, "rounds", rounds)
        gated = crew.gated({"ours": lambda: {"seconds": 1.0}}, 0, shuffler(), tries)
    assert len(causes) - len(left) == looks
    assert gated["ours"]["disturbed"] == cause
