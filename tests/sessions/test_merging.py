"""Joining sessions: a matrix of limits and builds in one table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from lab import reports
from lab.errors import UsageError
from lab.judging import speedups
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.reports import tables
from lab.sessions import loading, merging
from tests.sessions.test_loading import stored
from tests.support import scripts
from tests.support.terminal import Lab

LACKING = CellResult(cell=scripts.cell(4), status=Status.UNAVAILABLE, reason=scripts.cell(4).reason)


def one(size: int, version: tuple[int, int, int] = (3, 13, 5), *, gil: bool = True, name: str = "") -> Session:
    python = scripts.python(version, gil=gil)
    result = scripts.ran(size, {"pipe": scripts.pipe(), "pool": scripts.pool(size)}, python=python)
    found = scripts.session(result, LACKING, experiments=("pool", "pipe"))
    machine = dataclasses.replace(found.machine, python=python)
    return dataclasses.replace(found, id=name or f"{size}-{version[1]}", machine=machine)


def test_limits_of_one_build_stand_beside_each_other_as_in_one_run() -> None:
    joined = merging.join([one(1), one(2)])
    assert [result.cell.label for result in joined.results] == ["1", "4", "2"]
    assert len(joined.judgements) == 3 * 7
    (claims,) = [table for table in tables.all_tables(joined) if table.title == "Claims"]
    assert claims.head == ("claim", "1 CPU", "4 CPUs", "2 CPUs")


def test_builds_are_named_in_the_labels_of_their_cells() -> None:
    joined = merging.join([one(2), one(2, (3, 14, 0), gil=False)])
    assert [result.cell.label for result in joined.results] == ["3.13, 2", "3.13, 4", "3.14t, 2", "3.14t, 4"]
    assert [result.cell.id for result in joined.results] == ["3.13-cpu2", "3.13-cpu4", "3.14t-cpu2", "3.14t-cpu4"]
    assert {judgement.cell for judgement in joined.judgements} == {result.cell.id for result in joined.results}


def test_what_changed_between_builds_that_were_measured_apart_is_said_as_of_one_run() -> None:
    old, new = one(2, (3, 12, 1)), one(2, (3, 13, 5))
    less = scripts.ran(1, {"pool": scripts.pool(2)}, python=scripts.python((3, 12, 1)))
    old = dataclasses.replace(
        scripts.session(less, experiments=("pool",), machine=old.machine), id="old", arguments=old.arguments
    )
    newer = scripts.ran(1, {"pool": scripts.pool(1)})
    new = dataclasses.replace(
        scripts.session(newer, experiments=("pool",), machine=new.machine), id="new", arguments=new.arguments
    )
    (change,) = merging.join([old, new]).changes
    assert (change.claim, change.before, change.after, change.since) == (
        "pool.default-size",
        "3.12",
        "3.13",
        "since 3.13",
    )


def test_sessions_of_named_builds_and_of_one_that_nobody_named_are_joined_by_build() -> None:
    named = scripts.on_builds({"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}, (1,))
    joined = merging.join([named, one(2)])
    assert [result.cell.id for result in joined.results] == ["3.13-cpu1", "3.14-cpu1", "3.13-cpu2", "3.13-cpu4"]
    assert [found["build"] for found in joined.machine.details["builds"]] == ["3.13", "3.14"]
    with pytest.raises(UsageError, match=r"cpu1 is in scripted and in one, both on CPython 3\.13\.5"):
        merging.join([named, one(1, name="one")])


def test_two_releases_of_one_version_are_told_apart_in_full() -> None:
    joined = merging.join([one(2), one(2, (3, 13, 7), name="newer")])
    assert [result.cell.build for result in joined.results] == ["3.13.5", "3.13.5", "3.13.7", "3.13.7"]


def test_options_of_a_build_tell_its_cells_apart() -> None:
    python = scripts.python()
    told = {**python, "options": {"cpu_count": "3"}}
    joined = merging.join(
        [scripts.on_builds({"3.13": python}, (2,)), scripts.on_builds({"3.13+cpu_count=3": told}, (2,))]
    )
    assert [result.cell.id for result in joined.results] == ["3.13-cpu2", "3.13-cpu_count-3-cpu2"]


def test_machines_are_numbered_in_the_labels_of_their_cells() -> None:
    other = one(2, name="other")
    other = dataclasses.replace(other, machine=dataclasses.replace(other.machine, cpus=(0, 1, 2), host_cpus=(0, 1, 2)))
    joined = merging.join([one(2), other])
    assert [result.cell.label for result in joined.results][::2] == ["2, machine 1", "2, machine 2"]
    assert sum("note: " in note for note in joined.notes) == 2


def test_each_machine_has_a_speed_up_model_of_its_own() -> None:
    found = []
    for number, threads in enumerate((1.0, 2.0), 1):
        ran = scripts.ran(2, {"gil": scripts.gil(2, threads=threads)})
        machine = dataclasses.replace(scripts.TWO_CPUS, host_cpus=tuple(range(2 * number)))
        found.append(dataclasses.replace(scripts.session(ran, experiments=("gil",), machine=machine), id=str(number)))
    models = [one for one in speedups.scaling(merging.join(found).results) if one.arm == "threads"]
    assert [one.machine for one in models] == ["machine 1", "machine 2"]
    assert [round(one.fit.serial.value) for one in models] == [1, 0]


def test_a_cell_that_one_machine_lacks_gives_way_to_one_that_was_measured() -> None:
    four = scripts.session(scripts.ran(4, {"pipe": scripts.pipe()}, cpus=4), machine=scripts.machine(4))
    joined = merging.join([one(2), dataclasses.replace(four, id="four")])
    assert [result.status for result in joined.results] == [Status.MEASURED, Status.MEASURED]


def test_the_same_cell_twice_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"cpu2 is in a and in b, both on CPython 3\.13\.5"):
        merging.join([one(2, name="a"), one(2, name="b")])


def test_sessions_of_two_versions_of_the_lab_are_refused() -> None:
    with pytest.raises(UsageError, match="several versions of the lab"):
        merging.join([one(1), dataclasses.replace(one(2), lab_version="0.0.1")])


@pytest.mark.parametrize("form", reports.format_names())
def test_what_was_joined_can_be_shown_in_every_format(form: str) -> None:
    assert "3.14" in reports.render(merging.join([one(2), one(2, (3, 14, 0), gil=False)]), form) or form in (
        "transcript",
        "pyperf",
    )


def test_the_joined_session_is_stored_and_read_back_as_it_is(lab: Lab, tmp_path: Path) -> None:
    for number, session in enumerate((one(1), one(2))):
        stored(session, tmp_path / "in", f"2026010{number}-000000-aa")
    code, out, _ = lab("merge", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--format", "json")
    assert code == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert json.loads(json.dumps(reports.document(loading.load_session(folder)))) == json.loads(out)
    assert lab("verify", str(folder))[0] == 0
