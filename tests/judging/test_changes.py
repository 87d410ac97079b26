"""What changed between neighbouring builds: which are neighbours, and what explains a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lab.model.session import BuildChange, Session
from tests.support import scripts

CPU_COUNT_3 = {"options": {"cpu_count": "3"}}
OLD, NEW, FREE = scripts.python((3, 12, 1)), scripts.python((3, 14, 0)), scripts.python((3, 14, 0), gil=False)


def changed(*builds: tuple[str, dict[str, Any], int]) -> tuple[BuildChange, ...]:
    """What changed between cells with one CPU on a host with two, in each of which ``Pool()`` started so many."""
    sessions: list[Session] = [
        scripts.on_builds({label: python}, (1,), {"pool": scripts.pool(workers)}) for label, python, workers in builds
    ]
    return scripts.session(
        *(result for session in sessions for result in session.results), experiments=("pool",)
    ).changes


def race(*, plain_loses: bool) -> list[scripts.Said]:
    """The race experiment, in which a plain ``n += 1`` lost updates or not."""
    observations = []
    for name, loses in (("n += 1", plain_loses), ("read; call; write", True), ("with lock: n += 1", False)):
        share = 0.1 if loses else 0.0
        seen = {"made": 10_000, "lost": round(10_000 * share), "hand_overs": 1000, "shares": [share] * 6}
        observations.append(scripts.observe(name, seen, "updates"))
    return observations


def pairs(changes: Sequence[BuildChange]) -> list[tuple[str, str, str]]:
    return [(change.before, change.after, change.since) for change in changes if change.claim == "pool.default-size"]


def test_a_change_is_dated_by_the_version_that_made_it() -> None:
    assert pairs(changed(("3.9", scripts.python((3, 9, 2)), 2), ("3.14", NEW, 1))) == [("3.9", "3.14", "since 3.13")]


def test_a_build_with_options_is_held_against_the_same_one_without() -> None:
    changes = changed(("3.12", OLD, 2), ("3.14", NEW, 1), ("3.14+cpu_count=3", NEW | CPU_COUNT_3, 3))
    assert pairs(changes) == [
        ("3.12", "3.14", "since 3.13"),
        ("3.14", "3.14+cpu_count=3", "by -X cpu_count"),
    ]


def test_of_two_of_one_version_the_one_without_options_is_the_neighbour() -> None:
    build = scripts.python() | CPU_COUNT_3
    assert pairs(changed(("3.13", scripts.python(), 1), ("3.13+cpu_count=3", build, 3), ("3.14", NEW, 1))) == [
        ("3.13", "3.13+cpu_count=3", "by -X cpu_count")
    ]


def test_a_verdict_that_nobody_expected_is_not_explained() -> None:
    assert pairs(changed(("3.13", scripts.python(), 2), ("3.14", NEW, 1))) == [("3.13", "3.14", "")]


@pytest.mark.parametrize(
    ("options", "since"),
    [
        pytest.param({}, "since 3.10", id="of the version"),
        pytest.param(CPU_COUNT_3, "since 3.10", id="an option that has nothing to do with it"),
    ],
)
def test_an_option_is_the_cause_only_of_what_it_makes(options: dict[str, Any], since: str) -> None:
    label = "3.14+cpu_count=3" if options else "3.14"
    builds = {"3.9": (scripts.python((3, 9, 2)), True), label: (NEW | options, False)}
    cells = [
        result
        for name, (python, loses) in builds.items()
        for result in scripts.on_builds({name: python}, (2,), {"race": race(plain_loses=loses)}).results
    ]
    changes = scripts.session(*cells, experiments=("race",)).changes
    assert [change.since for change in changes if change.claim == "race.plain-loses"] == [since]
