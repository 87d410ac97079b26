"""The experiments that a bare run leaves out: their predicates, and that they see what is there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cell.claims.claim import CONFIRMED, INCONCLUSIVE, REFUTED, UNTESTABLE, Claim, Evidence, Facts, Finding, Round
from lab.cell.claims.measured import Measured
from lab.cell.claims.recorder import Recorder
from lab.cell.experiments import executors, fork_threads, load, shared_object
from lab.cell.measuring import memory, object_passing, programs
from lab.cell.measuring.rounds import Arm

EXTRA = ("executors", "shared-object", "race-atlas", "fork-threads", "main-thread", "silent-failures")


def facts(version: tuple[int, int] = (3, 13), *, gil: bool = True, cpus: int = 2) -> Facts:
    return Facts(version=version, gil=gil, cpus=cpus, rate=float(cpus), host_cpus=2)


def claim(name: str) -> Claim:
    (match,) = [candidate for candidate in load(name.partition(".")[0]).claims if candidate.id == name]
    return match


def judged(
    name: str, observed: Iterable[tuple[str, Any]] = (), rounds: Iterable[Round] = (), where: Facts | None = None
) -> Finding:
    return claim(name).judge(Evidence(list(observed), [("round", values) for values in rounds]), where or facts())


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A recorder whose records nobody reads."""
    with Path(os.devnull).open("wb") as stream:
        yield Recorder(stream.fileno(), 10.0, 0.1)


@pytest.mark.parametrize("name", EXTRA)
def test_an_experiment_that_a_bare_run_leaves_out_says_so(name: str) -> None:
    assert load(name).extra


# Programs and children.


def test_a_program_tells_its_status_and_what_it_printed() -> None:
    ended = programs.program("import sys; print('out'); sys.stderr.write('err'); sys.exit(3)")
    assert ended == (3, "out\n", "err")


def test_a_program_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATIENCE_SECONDS", 0.3)
    assert programs.program("import time; time.sleep(60)").status is None


@pytest.mark.parametrize("answer", [True, False])
def test_a_forked_child_answers(answer: bool) -> None:
    assert programs.forked(lambda: answer) is answer


def test_a_forked_child_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATIENCE_SECONDS", 0.1)
    assert programs.forked(lambda: threading.Event().wait()) is None


# Executors.


@pytest.mark.parametrize(
    ("executor", "thing", "outcome"),
    [
        ("thread", "list", ("shared", "")),
        ("thread", "generator", ("shared", "")),
        ("fork", "list", ("copied", "")),
        ("fork", "lambda", ("copied", "")),
        ("fork", "open file", ("shared", "")),
        ("spawn", "list", ("copied", "")),
        ("spawn", "lock", ("refused", "TypeError")),
        ("spawn", "module state", ("copied", "")),
    ],
)
def test_what_a_worker_gets(executor: str, thing: str, outcome: tuple[str, str]) -> None:
    assert object_passing.hand(executor, thing) == outcome


def test_a_family_takes_memory_and_more_of_it_with_a_child() -> None:
    before = memory.family_bytes()
    with memory.waiting("spawn"):
        after = memory.family_bytes()
    assert before is not None
    assert after is not None
    assert after > before + 2**20


def handed(executor: str, **outcomes: str) -> list[tuple[str, Any]]:
    return [
        (
            "handed",
            {"executor": executor, "thing": thing.replace("_", " "), "outcome": outcome, "error": "TypeError"},
        )
        for thing, outcome in outcomes.items()
    ]


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [("shared", CONFIRMED), ("copied", REFUTED), ("refused", REFUTED)],
)
def test_threads_share_all_or_not(outcome: str, verdict: str) -> None:
    seen = handed("thread", list="shared", lock=outcome)
    assert judged("executors.threads-share-all", seen).verdict == verdict


def test_a_lambda_that_a_spawned_process_gets_refutes_that_pickling_refuses_it() -> None:
    seen = handed("spawn", **{"lambda": "copied"}, lock="refused")
    finding = judged("executors.pickling-refuses", seen)
    assert finding.verdict == REFUTED
    assert "lambda copied (spawn)" in finding.reason


@pytest.mark.parametrize(
    ("version", "outcome", "verdict"),
    [((3, 13), "copied", UNTESTABLE), ((3, 14), "copied", CONFIRMED), ((3, 14), "shared", REFUTED)],
    ids=["before 3.14", "copied", "shared"],
)
def test_interpreters_share_nothing_where_there_are_any(version: tuple[int, int], outcome: str, verdict: str) -> None:
    seen = handed("interpreter", list=outcome, lock="refused")
    finding = judged("executors.interpreters-share-nothing", seen, where=facts(version))
    assert finding.verdict == verdict
    assert claim("executors.interpreters-share-nothing").expected(facts((3, 13))) == UNTESTABLE


def rates(arms: Mapping[str, float]) -> list[Round]:
    """Rounds in which each arm had this rate, with a little wobble; two CPUs were delivered."""
    usual = {"one process": 100.0, "probe": 200.0}
    return [
        {
            name: {"rate": rate * (1 + 0.01 * ((number + place) % 3)), "cores": 1.0, "disturbed": None}
            for place, (name, rate) in enumerate({**usual, **arms}.items())
        }
        for number in range(12)
    ]


@pytest.mark.parametrize(
    ("forkserver", "spawn", "verdict"),
    [(200, 200, CONFIRMED), (200, 120, REFUTED), (120, 200, REFUTED)],
    ids=["alike", "spawn slower", "forkserver slower"],
)
def test_processes_are_alike_only_if_all_are(forkserver: float, spawn: float, verdict: str) -> None:
    rounds = rates({"work, fork": 200, "work, forkserver": forkserver, "work, spawn": spawn})
    assert judged("executors.processes-scale-alike", rounds=rounds).verdict == verdict


def test_interpreters_that_take_turns_refute_that_they_scale() -> None:
    rounds = rates({"work, fork": 200, "work, interpreter": 100})
    assert judged("executors.interpreters-scale", rounds=rounds, where=facts((3, 14))).verdict == REFUTED


# Shared objects.


@pytest.mark.parametrize(
    ("own", "shared", "verdicts"),
    [
        pytest.param(196, 90, (CONFIRMED, REFUTED, CONFIRMED), id="free-threaded"),
        pytest.param(100, 98, (REFUTED, REFUTED, REFUTED), id="with the GIL"),
    ],
)
def test_own_and_shared_objects(own: float, shared: float, verdicts: tuple[str, ...]) -> None:
    rounds = rates({"processes, list": 200, "threads, own list": own, "threads, shared list": shared})
    names = ("own-scales", "shared-scales", "sharing-costs")
    assert tuple(judged("shared-object." + name, rounds=rounds).verdict for name in names) == verdicts
    where = facts(gil=own < 150)
    assert tuple(claim("shared-object." + name).expected(where) for name in names) == verdicts


@pytest.mark.parametrize("gil", [True, False])
def test_threads_may_be_found_disturbed_where_they_have_neither_a_gil_nor_a_lock_to_wait_for(gil: bool) -> None:
    arms = {arm.name: arm for arm in shared_object.arms_for(2, gil)}
    assert not arms["threads, shared list"].clean
    for name in ("own list", "own reference", "shared reference", "shared function"):
        assert arms["threads, " + name].clean is not gil
    assert arms["threads, own list"].repeat == arms["processes, list"].repeat or gil, "what is held to within a tenth"
    assert len({arms["threads, " + whose + " function"].repeat for whose in ("own", "shared")}) == 1


def test_what_is_only_shown_is_what_no_claim_rests_on() -> None:
    """It takes part in every second round only, and what a claim rests on in every one."""
    rests = {arm for measured, _ in shared_object.MEASURED.values() for arm in measured.arms}
    of_all = {"one process", "probe", "one, list"}
    assert {arm.name for arm in shared_object.arms_for(2, False)} - rests - of_all == set(shared_object.SHOWN)


def test_after_the_fewest_rounds_what_is_only_shown_takes_part_in_every_second_one(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    taken: list[tuple[int, set[str]]] = []

    class Crew:
        """A crew whose rounds hold nothing."""

        def __init__(self, cpus: object) -> None:
            pass

        def __enter__(self) -> Crew:
            return self

        def __exit__(self, *exception: object) -> None:
            pass

        def warm_up(self, arms: Sequence[Arm], order: object) -> None:
            pass

        def rounds(self, arms: Sequence[Arm], first: int, count: int, order: object) -> list[dict[str, Any]]:
            taken.append((first, {arm.name for arm in arms}))
            return [{arm.name: {"rate": 1.0} for arm in arms}]

    monkeypatch.setattr(shared_object, "Crew", Crew)
    monkeypatch.setattr(shared_object, "enough", lambda rounds, *rest: len(rounds) == 8)
    monkeypatch.setattr(recorder, "cpus", (0, 1))
    shared_object.run(recorder)
    shown = {first for first, names in taken if set(shared_object.SHOWN) <= names}
    assert shown == {0, 1, 2, 3, 4, 6}
    assert all(names.isdisjoint(shared_object.SHOWN) for first, names in taken if first not in shown)


def test_kinds_of_workers_that_are_compared_have_their_blocks_beside_each_other() -> None:
    """Where a neighbour came and went within a round, one kind met it and the other did not."""
    arms = {arm.name: arm for arm in executors.arms_for(2, True)}
    assert len({arms["work, " + method].beside for method in executors.METHODS}) == 1
    arms = {arm.name: arm for arm in shared_object.arms_for(2, True)}
    for measured, _ in shared_object.MEASURED.values():
        assert len({arms[name].beside for name in measured.arms}) == 1


def test_where_there_is_one_cpu_executors_need_not_decide_what_needs_several(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    """They went on until the time was up where a neighbour kept parallel work from being decided."""
    asked: list[list[str]] = []

    def enough(rounds: object, fewest: int, measurements: Sequence[tuple[Measured, object]], until: float) -> bool:
        asked.append([measured.arms[0] for measured, _ in measurements])
        return True

    monkeypatch.setattr(executors, "enough", enough)
    monkeypatch.setattr(executors, "pass_things", lambda recorder: None)
    monkeypatch.setattr(recorder, "cpus", recorder.cpus[:1])
    executors.run(recorder)
    assert asked == [["start, fork", "memory, spawn"]]


def test_a_function_of_ones_own_shares_no_code() -> None:
    function, twin = shared_object.another(), shared_object.another()
    assert function.__code__ is not twin.__code__


# Forks, the main thread, silence.


@pytest.mark.parametrize(("version", "expected"), [((3, 11), REFUTED), ((3, 12), CONFIRMED)], ids=["3.11", "3.12"])
def test_where_a_warning_is_expected(version: tuple[int, int], expected: str) -> None:
    assert fork_threads.expect_warning(facts(version)) == expected


def test_a_holder_holds_and_lets_go() -> None:
    with fork_threads.Holder(fork_threads._lock):
        assert not fork_threads.free(0.01)
    assert fork_threads.free(0.01)


def test_a_try_in_which_even_the_parent_had_no_lock_decides_nothing() -> None:
    assert judged("fork-threads.stays-locked", [("locked in the child", None)]).verdict == INCONCLUSIVE
