"""Gates on what was measured: met, failed, inconclusive and untestable, each for its own reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.cell.programs.program import Program
from lab.cell.targets.case import ELSEWHERE, NOT_THERE
from lab.judging import proofs
from lab.judging.gates import Sessions, exit_reason, judge
from lab.model.gates import Gate, Goal, Kind, Outcome, Result
from lab.model.session import Session
from lab.planning.programs import compared
from tests.support import own_code, own_programs, scripts
from tests.support.scripts import observe

FREE, HOLDS = own_code.one_case(own_code.FREE), own_code.one_case(own_code.HOLDS)


def results(session: Session, kind: Kind, command: str = "scale", **gate: Any) -> tuple[Result, ...]:
    """What comes of one gate on a target that was measured alone."""
    goal = Goal(name="parse", command=command, words=("x",), gates=(Gate(kind=kind, **gate),), settings={"run": []})
    return judge(goal, Sessions(plain=session, compared={"main": session}, bases={"base": session}))


def one(session: Session, kind: Kind, command: str = "scale", **gate: Any) -> Result:
    [result] = results(session, kind, command, **gate)
    return result


@pytest.mark.parametrize(
    ("session", "gate", "outcome"),
    [
        (FREE, {"executor": "threads", "least": 1.7}, Outcome.MET),
        (HOLDS, {"executor": "threads", "least": 1.7}, Outcome.FAILED),
        (HOLDS, {"executor": "threads", "most": 1.2}, Outcome.MET),
        (FREE, {"executor": "threads", "most": 1.2}, Outcome.FAILED),
        (FREE, {"executor": "threads", "least": 1.93}, Outcome.INCONCLUSIVE),
        (HOLDS, {"executor": "processes", "least": 1.7}, Outcome.MET),
        (HOLDS, {"executor": "spawn", "least": 1.7}, Outcome.MET),
        (FREE, {"executor": "interpreters", "least": 1.7}, Outcome.UNTESTABLE),
        (FREE, {"executor": "threads", "workers": 3, "least": 1.7}, Outcome.UNTESTABLE),
        (FREE, {"executor": "threads", "least": 1.7, "at": 8}, Outcome.UNTESTABLE),
        (FREE, {"executor": "threads", "least": 1.7, "build": "3.13t"}, Outcome.UNTESTABLE),
        (own_code.undecided(), {"executor": "threads", "least": 1.7}, Outcome.INCONCLUSIVE),
        (own_code.failed_cell(), {"executor": "threads", "least": 1.7}, Outcome.INCONCLUSIVE),
        (own_code.one_case(own_code.HOLDS, delivered=1.0), {"executor": "fork", "least": 2.5}, Outcome.INCONCLUSIVE),
    ],
)
def test_a_speed_up(session: Session, gate: dict[str, Any], outcome: Outcome) -> None:
    result = one(session, Kind.SPEED_UP, **gate)
    assert result.outcome is outcome, result.sentence
    assert result.goal == "parse"
    assert result.reason or outcome is not Outcome.UNTESTABLE


def test_an_efficiency_is_a_share_of_what_was_delivered() -> None:
    met = one(FREE, Kind.EFFICIENCY, executor="threads", least=0.8)
    assert (met.outcome, met.limit) == (Outcome.MET, 0.8)
    assert met.value == pytest.approx(0.965, abs=0.02)
    assert one(HOLDS, Kind.EFFICIENCY, executor="threads", least=0.8).outcome is Outcome.FAILED


def test_workers_that_cannot_do_the_work_fail_the_gate() -> None:
    broken = own_code.said({("fork", 2): 1.9})
    broken.append(observe("out", ["2 threads", "thread", "TypeError: cannot share it"]))
    session = own_code.session(own_code.ran(2, (own_code.BUSY, broken)))
    result = one(session, Kind.SPEED_UP, executor="threads", least=1.2)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "TypeError: cannot share it")


def test_the_advised_workers_may_be_limited_by_the_rate() -> None:
    assert one(FREE, Kind.WORKERS, most="R").outcome is Outcome.MET
    waits = own_code.one_case(own_code.WAITS, rate=200.0, idle=0.98)
    result = one(waits, Kind.WORKERS, most="R")
    assert (result.outcome, result.measured) == (Outcome.FAILED, "4 threads")
    assert one(waits, Kind.WORKERS, most=4).outcome is Outcome.MET
    assert one(own_code.undecided(), Kind.WORKERS, most="R").outcome is Outcome.INCONCLUSIVE


def test_every_function_and_build_has_its_own_result() -> None:
    session = own_code.on_builds(cases=(own_code.BUSY, own_code.BUSY._replace(label="work.py:other", name="other")))
    outcomes = [
        (result.cell, result.outcome) for result in results(session, Kind.SPEED_UP, executor="threads", least=1.7)
    ]
    assert outcomes == [
        ("3.13, 2 CPUs", Outcome.FAILED),
        ("3.13, 2 CPUs", Outcome.FAILED),
        ("3.13t, 2 CPUs", Outcome.MET),
        ("3.13t, 2 CPUs", Outcome.MET),
    ]
    assert len(results(session, Kind.SPEED_UP, executor="threads", least=1.7, build="3.13t")) == 2


def versions(times: float, spread: float = 0.01) -> Session:
    """A session in which the other version's calls take 1/times as long."""
    said = own_code.said({("thread", 2): 1.0}, spread=spread)
    arms = [("1 worker", "1 worker", "1 worker, other"), ("2 threads", "2 threads", "2 threads, other")]
    blocks = []
    for kind, content in said:
        if content.get("name") == "round":
            values = content["values"]
            others = {other: {**values[own], "rate": values[own]["rate"] * times} for _, own, other in arms}
            content = {**content, "values": {**values, **others}}
        blocks.append((kind, content))
    blocks.append(observe("pairs", [list(arm) for arm in arms]))
    case = own_code.BUSY._replace(against={"label": "main"})
    return own_code.session(own_code.ran(2, (case, blocks)), cases=(case,))


@pytest.mark.parametrize(
    ("times", "outcome"), [(1.0, Outcome.MET), (1.1, Outcome.FAILED), (0.9, Outcome.MET), (1.04, Outcome.MET)]
)
def test_a_regression_against_a_version_in_the_same_run(times: float, outcome: Outcome) -> None:
    found = results(versions(times), Kind.REGRESSION, most=0.05, against="main")
    assert [result.outcome for result in found] == [outcome, outcome]
    assert one(versions(times), Kind.REGRESSION, most=0.05, against="main", executor="threads").value == pytest.approx(
        times
    )
    assert (
        one(versions(times), Kind.REGRESSION, most=0.05, against="main", executor="spawn").outcome is Outcome.UNTESTABLE
    )


def test_a_function_that_cannot_be_measured_fails_its_gates_unless_it_works_here() -> None:
    broken, new = "work.py:b raised at its first calls: ValueError", f"{ELSEWHERE} (--against main): work has no c"
    left_out = {"work.py:b": broken, "work.py:c": new, "work.py:d": f"on 3.9: {NOT_THERE}"}
    # What a function raises may hold the same words.
    left_out |= {f"work.py:{name}": f"{broken}: {words}" for name, words in (("e", ELSEWHERE), ("f", NOT_THERE))}
    session = replace(FREE, arguments={**FREE.arguments, "left_out": left_out})
    found = results(session, Kind.SPEED_UP, executor="threads", least=1.7)
    assert [(each.subject, each.outcome) for each in found] == [
        ("speedup of work.py:b", Outcome.FAILED),
        ("speedup of work.py:c", Outcome.UNTESTABLE),
        ("speedup of work.py:d", Outcome.UNTESTABLE),
        ("speedup of work.py:e", Outcome.FAILED),
        ("speedup of work.py:f", Outcome.FAILED),
        (found[5].subject, Outcome.MET),
    ]
    assert found[0].reason == broken


def test_a_function_that_the_other_version_does_not_have_is_untestable_there() -> None:
    gate = Gate(kind=Kind.REGRESSION, most=0.05, against="main")
    goal = Goal(name="parse", command="scale", words=("x",), gates=(gate,), settings={})
    [result] = judge(goal, Sessions(uncallable={"main": "work has no busy"}))
    assert (result.outcome, result.reason) == (Outcome.UNTESTABLE, "work has no busy")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.MET),
        ({"rate": 900.0}, Outcome.FAILED),
        ({"rate": 900.0, "speed": 0.9}, Outcome.MET),  # the whole machine is slower
        ({"rate": 1100.0}, Outcome.MET),
    ],
)
def test_a_regression_since_a_stored_session(changes: dict[str, Any], outcome: Outcome) -> None:
    base, now = own_code.one_case(own_code.FREE), own_code.one_case(own_code.FREE, seed=2, **changes)
    gate = Gate(kind=Kind.REGRESSION, most=0.05, base="base", executor="threads")
    goal = Goal(name="parse", command="scale", gates=(gate,))
    [result] = judge(goal, Sessions(plain=now, bases={"base": base}))
    if outcome is Outcome.MET and changes.get("speed"):
        assert result.outcome is not Outcome.FAILED
    else:
        assert result.outcome is outcome, result.sentence


def test_a_base_of_another_machine_makes_a_regression_untestable() -> None:
    elsewhere = replace(FREE, machine=replace(FREE.machine, engine="local"))
    goal = Goal(name="parse", command="scale", gates=(Gate(kind=Kind.REGRESSION, most=0.05, base="base"),))
    [result] = judge(goal, Sessions(plain=FREE, bases={"base": elsewhere}))
    assert result.outcome is Outcome.UNTESTABLE
    assert "measured on something else: engine" in result.reason


MAKE = own_programs.session({1: 4.0, 2: 2.1})


@pytest.mark.parametrize(
    ("kind", "gate", "outcome"),
    [
        (Kind.SPEED_UP, {"at": 2, "least": 1.7}, Outcome.MET),
        (Kind.SPEED_UP, {"at": 2, "least": 2.5}, Outcome.FAILED),
        (Kind.SPEED_UP, {"at": 1, "least": 1.7}, Outcome.UNTESTABLE),
        (Kind.EFFICIENCY, {"least": 0.9}, Outcome.MET),
        (Kind.EFFICIENCY, {"least": 0.99}, Outcome.FAILED),
        (Kind.TIME, {"most": 3.0}, Outcome.MET),
        (Kind.TIME, {"most": 2.0}, Outcome.FAILED),
        (Kind.TIME, {"most": 2.1}, Outcome.INCONCLUSIVE),
        (Kind.MEMORY, {"most": 60e6}, Outcome.MET),
        (Kind.MEMORY, {"most": 40e6}, Outcome.FAILED),
        (Kind.PROCESSES, {"most": 3}, Outcome.MET),
        (Kind.PROCESSES, {"most": "R"}, Outcome.FAILED),
        (Kind.THROTTLED, {}, Outcome.UNTESTABLE),
    ],
)
def test_a_command(kind: Kind, gate: dict[str, Any], outcome: Outcome) -> None:
    result = one(MAKE, kind, "exec", **gate)
    assert result.outcome is outcome, result.sentence


def test_a_command_that_its_quota_stops_fails_a_gate_on_that() -> None:
    counted: dict[str, Any] = {"periods": 10, "throttled_periods": 4, "throttled_seconds": 0.4}
    result = one(own_programs.session({2: 1.0}, **counted), Kind.THROTTLED, "exec")
    assert (result.outcome, result.measured) == (Outcome.FAILED, "in 40 % of its periods")
    some = one(own_programs.session({2: 1.0}, **counted), Kind.THROTTLED, "exec", most=0.4)
    assert (some.outcome, some.bound) == (Outcome.MET, "in at most 40 % of its periods")
    free: dict[str, Any] = {"periods": 10, "throttled_periods": 0, "throttled_seconds": 0.0}
    assert one(own_programs.session({2: 1.0}, **free), Kind.THROTTLED, "exec").outcome is Outcome.MET


@pytest.mark.parametrize(
    ("beyond", "outcome"),
    [(0, Outcome.MET), (1, Outcome.INCONCLUSIVE), (2, Outcome.INCONCLUSIVE), (3, Outcome.FAILED)],
)
@pytest.mark.parametrize(
    ("kind", "gate", "small", "large"),
    [
        pytest.param(Kind.MEMORY, {"most": 60e6}, {"tree_memory": 50e6}, {"tree_memory": 70e6}, id="memory"),
        pytest.param(
            Kind.MEMORY, {"most": 60e6}, {"group_memory": 50e6}, {"group_memory": 70e6}, id="memory of the group"
        ),
        pytest.param(Kind.PROCESSES, {"most": "R"}, {"processes": 2}, {"processes": 3}, id="processes"),
        pytest.param(
            Kind.THROTTLED,
            {},
            {"periods": 9, "throttled_periods": 0},
            {"periods": 9, "throttled_periods": 2},
            id="quota",
        ),
    ],
)
def test_what_a_command_was_counted_with_is_judged_by_all_of_its_runs(
    kind: Kind, gate: dict[str, Any], small: dict[str, Any], large: dict[str, Any], beyond: int, outcome: Outcome
) -> None:
    """Three runs in each turn, of which so many are beyond the bound."""
    made = [own_programs.run(1.0, **changes) for changes in [large] * beyond + [small] * (3 - beyond)]
    if "group_memory" in small and beyond:  # the turns are alike, and each knows only its largest run
        outcome = Outcome.FAILED
    result = one(own_programs.session({2: 1.0}, made={2: made}), kind, "exec", **gate)
    assert result.outcome is outcome, result.sentence
    if outcome is Outcome.INCONCLUSIVE:
        assert result.reason == f"{5 * beyond} of 15 runs are beyond the bound"


def test_a_group_that_tells_its_peak_in_some_turns_only_does_not_hide_it() -> None:
    session = own_programs.session({2: 1.0}, tree_memory=50e6)
    for record in session.results[0].records:
        if record.data.get("name") == "run":
            record.data["values"]["program"]["group_memory"] = 70e6
    result = one(session, Kind.MEMORY, "exec", most=60e6)
    assert (result.outcome, result.measured) == (Outcome.INCONCLUSIVE, "70 MB"), result.sentence


def test_a_quota_that_the_machine_did_not_deliver_says_nothing_of_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "delivered", lambda result: 0.5)
    result = one(own_programs.session({2: 1.0}, periods=9, throttled_periods=0), Kind.THROTTLED, "exec")
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, "the machine delivered 0.50 of 2 CPUs")


@pytest.mark.parametrize(
    ("kind", "gate", "reason"),
    [
        (Kind.SPEED_UP, {"least": 1.2}, "too few turns: give more runs"),
        (Kind.TIME, {"most": 0.1}, "too few runs: give more runs"),
        (Kind.MEMORY, {"most": 1e6}, "too few runs: give more runs"),
        (Kind.PROCESSES, {"most": 1}, "too few runs: give more runs"),
    ],
)
def test_a_command_of_one_run_decides_nothing(kind: Kind, gate: dict[str, Any], reason: str) -> None:
    result = one(own_programs.session({1: 1.0, 2: 0.6}, runs=1), kind, "exec", **gate)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, reason)


@pytest.mark.parametrize(("factor", "outcome"), [(1.0, Outcome.MET), (0.85, Outcome.FAILED), (1.2, Outcome.MET)])
def test_a_command_beside_its_other_version(factor: float, outcome: Outcome) -> None:
    """``factor`` is how many times as long the other version takes."""
    programs: tuple[Program, ...] = compared((own_programs.MAKE,), "/other", "main")
    session = own_programs.session({2: 1.0}, programs=programs, factors={programs[1].label: factor})
    result = one(session, Kind.REGRESSION, "exec", most=0.05, against="main")
    assert result.outcome is outcome, result.sentence


@pytest.mark.parametrize(
    ("wall", "speed", "outcome"),
    [
        pytest.param(2.0, 1.0, Outcome.MET, id="as it was"),
        pytest.param(2.3, 1.0, Outcome.FAILED, id="slower"),
        pytest.param(2.3, 2.0 / 2.3, Outcome.INCONCLUSIVE, id="on a slower machine"),
        pytest.param(1.7, 1.0, Outcome.MET, id="faster"),
    ],
)
def test_a_command_since_a_stored_session_is_held_against_the_speed_of_the_machine(
    wall: float, speed: float, outcome: Outcome
) -> None:
    base = own_programs.session({2: 2.0})
    now = own_programs.session({2: wall}, speed=speed, seed=2)
    goal = Goal(name="make", command="exec", gates=(Gate(kind=Kind.REGRESSION, most=0.05, base="base"),))
    [result] = judge(goal, Sessions(plain=now, bases={"base": base}))
    assert result.outcome is outcome, result.sentence


def written_as_all(session: Session) -> Session:
    """The same session, had its cells of 2 CPUs been asked for as all CPUs too."""
    results = tuple(
        replace(each, cell=replace(each.cell, limit=replace(each.cell.limit, is_all=True)))
        if each.cell.size == 2
        else each
        for each in session.results
    )
    return replace(session, results=results)


@pytest.mark.parametrize("rewritten", ["base", "now"])
@pytest.mark.parametrize(
    ("command", "base", "now"),
    [
        ("exec", own_programs.session({2: 2.0}), own_programs.session({2: 2.3}, seed=2)),
        ("scale", FREE, own_code.one_case(own_code.FREE, seed=2, rate=900.0)),
    ],
)
def test_a_regression_is_found_also_where_the_base_writes_the_same_limit_in_another_way(
    command: str, base: Session, now: Session, rewritten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, now = (written_as_all(base), now) if rewritten == "base" else (base, written_as_all(now))
    executor = "threads" if command == "scale" else ""
    gate = Gate(kind=Kind.REGRESSION, most=0.05, base="base", executor=executor)
    goal, sessions = Goal(name="parse", command=command, gates=(gate,)), Sessions(plain=now, bases={"base": base})
    [result] = judge(goal, sessions)
    assert result.outcome is Outcome.FAILED, result.sentence
    monkeypatch.setattr(proofs, "delivered", lambda result: 1.0 if result.cell.limit.is_all else None)
    [result] = judge(goal, sessions)
    assert (result.outcome, "got 1.00 of 2 CPUs at 2 = all" in result.reason) == (Outcome.INCONCLUSIVE, True)


def test_only_failed_gates_fail_and_with_strict_also_what_noise_left_open() -> None:
    sessions = (FREE, HOLDS, own_code.undecided())
    met, failed, noisy = (one(session, Kind.SPEED_UP, executor="threads", least=1.7) for session in sessions)
    assert exit_reason([met, noisy], strict=False) == ""
    assert exit_reason([met, noisy], strict=True) == "1 gate inconclusive (--strict)"
    assert exit_reason([met, failed, failed, noisy], strict=False) == "2 gates failed"


def test_the_largest_limit_is_meant_though_this_machine_lacks_it() -> None:
    session = own_programs.session({1: 4.0, 2: 2.1}, lacking=(64,))
    assert one(session, Kind.SPEED_UP, "exec", least=10.0).outcome is Outcome.UNTESTABLE
    assert one(session, Kind.SPEED_UP, "exec", least=1.7, at=2).outcome is Outcome.MET


def test_the_same_speed_on_a_faster_machine_is_not_met() -> None:
    base, now = own_code.one_case(own_code.FREE), own_code.one_case(own_code.FREE, seed=2, speed=1.2)
    gate = Gate(kind=Kind.REGRESSION, most=0.05, base="base", executor="threads")
    [result] = judge(Goal(name="parse", command="scale", gates=(gate,)), Sessions(plain=now, bases={"base": base}))
    assert (result.outcome, "in units of the machine's speed" in result.reason) == (Outcome.INCONCLUSIVE, True)


def test_the_efficiency_of_a_command_is_named_as_that_of_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    result = one(MAKE, Kind.EFFICIENCY, "exec", least=0.99)
    assert (result.outcome, result.subject) == (Outcome.FAILED, "efficiency (over the limit's CPUs) of make")
    monkeypatch.setattr(proofs, "delivered", lambda result: 0.85 * result.cell.size if result.cell.size == 2 else 1.0)
    result = one(MAKE, Kind.EFFICIENCY, "exec", least=0.99)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, "the machine delivered 1.70 of 2 CPUs")


def test_a_smallest_limit_that_got_too_little_decides_no_speed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was slower than it is, so the speed-up over it is larger than it is."""
    monkeypatch.setattr(proofs, "delivered", lambda result: 0.5 if result.cell.size == 1 else 2.0)
    for gate in ({"least": 1.7}, {"most": 1.2}):
        result = one(MAKE, Kind.SPEED_UP, "exec", at=2, **gate)
        assert (result.outcome, "0.50 of 1 CPU" in result.reason) == (Outcome.INCONCLUSIVE, True), result.sentence


def test_the_verdict_of_one_cell_counts_more_than_that_of_all() -> None:
    wrong = [scripts.observe("answered", False)]
    session = scripts.session(scripts.ran(1, {"pipe": scripts.pipe()}), scripts.ran(2, {"pipe": wrong}))
    confirmed = Gate(kind=Kind.VERDICT, claim="pipe.duplex", verdict="confirmed")
    refuted = Gate(kind=Kind.VERDICT, claim="pipe.duplex@cpu2", verdict="refuted")

    def outcomes(*gates: Gate) -> list[tuple[str, Outcome]]:
        goal = Goal(name="claims", command="run", gates=gates)
        return [(result.cell, result.outcome) for result in judge(goal, Sessions(plain=session))]

    assert outcomes(confirmed, refuted) == [("cpu1", Outcome.MET), ("cpu2", Outcome.MET)]
    assert outcomes(confirmed) == [("cpu1", Outcome.MET), ("cpu2", Outcome.FAILED)]
    assert outcomes(replace(refuted, claim="pipe.duplex@cpu1")) == [
        ("cpu1", Outcome.FAILED),
        ("cpu2", Outcome.FAILED),
    ], "a surprise in another cell is one all the same"
