"""Joining sessions: a matrix of limits and builds in one table."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab import reports
from lab.cell.programs.program import Program
from lab.errors import UsageError
from lab.judging import programs, speedups
from lab.judging.exit_code import exit_code, exit_reason
from lab.model.cell import CellResult, Status
from lab.model.session import Session, Verdict
from lab.reports import tables
from lab.reports.tables import overview, predictions
from lab.reports.tables.programs import program_tables
from lab.sessions import loading, merging
from tests.sessions.test_loading import stored
from tests.support import own_code, own_programs, scripts
from tests.support.terminal import Lab

UNAVAILABLE_CELL = CellResult(cell=scripts.cell(4), status=Status.UNAVAILABLE, reason=scripts.cell(4).reason)


#: How many claims the experiments ``pool`` and ``pipe`` have.
CLAIMS_PER_CELL = 8


def session_of(cpus: int, version: tuple[int, int, int] = (3, 13, 5), *, gil: bool = True, name: str = "") -> Session:
    """A session with one measured cell of that many CPUs, and one cell of 4 CPUs that the machine cannot run."""
    python = scripts.python(version, gil=gil)
    result = scripts.ran(cpus, {"pipe": scripts.pipe(), "pool": scripts.pool(cpus)}, python=python)
    session = scripts.session(result, UNAVAILABLE_CELL, experiments=("pool", "pipe"))
    machine = dataclasses.replace(session.machine, python=python)
    return dataclasses.replace(session, id=name or f"{cpus}-{version[1]}", machine=machine)


def test_limits_of_one_build_stand_beside_each_other_as_in_one_run() -> None:
    joined = merging.join([session_of(1), session_of(2)])
    assert [result.cell.label for result in joined.results] == ["1", "4", "2"]
    assert len(joined.judgements) == 3 * CLAIMS_PER_CELL
    (claims,) = [table for table in tables.all_tables(joined) if table.title == "Claims"]
    assert claims.head == ("claim", "1 CPU", "4 CPUs", "2 CPUs")


def test_builds_are_named_in_the_labels_of_their_cells() -> None:
    joined = merging.join([session_of(2), session_of(2, (3, 14, 0), gil=False)])
    assert [result.cell.label for result in joined.results] == ["3.13, 2", "3.13, 4", "3.14t, 2", "3.14t, 4"]
    assert [result.cell.id for result in joined.results] == ["3.13-cpu2", "3.13-cpu4", "3.14t-cpu2", "3.14t-cpu4"]
    assert {judgement.cell for judgement in joined.judgements} == {result.cell.id for result in joined.results}


def test_what_changed_between_builds_that_were_measured_apart_is_said_as_of_one_run() -> None:
    old, new = session_of(2, (3, 12, 1)), session_of(2, (3, 13, 5))
    old_result = scripts.ran(1, {"pool": scripts.pool(2)}, python=scripts.python((3, 12, 1)))
    old = dataclasses.replace(
        scripts.session(old_result, experiments=("pool",), machine=old.machine), id="old", arguments=old.arguments
    )
    new_result = scripts.ran(1, {"pool": scripts.pool(1)})
    new = dataclasses.replace(
        scripts.session(new_result, experiments=("pool",), machine=new.machine), id="new", arguments=new.arguments
    )
    changes = merging.join([old, new]).changes
    assert [(change.claim, change.before, change.after, change.since) for change in changes] == [
        ("pool.default-size", "3.12", "3.13", "since 3.13"),
        ("pool.cpu-count", "3.12", "3.13", "since 3.13"),
    ]


def test_sessions_of_named_builds_and_of_one_that_nobody_named_are_joined_by_build() -> None:
    named = scripts.on_builds({"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}, (1,))
    joined = merging.join([named, session_of(2)])
    assert [result.cell.id for result in joined.results] == ["3.13-cpu1", "3.14-cpu1", "3.13-cpu2", "3.13-cpu4"]
    assert [build["build"] for build in joined.machine.details["builds"]] == ["3.13", "3.14"]
    with pytest.raises(UsageError, match=r"cpu1 is in scripted and in one, both on CPython 3\.13\.5"):
        merging.join([named, session_of(1, name="one")])


def test_two_releases_of_one_version_are_told_apart_in_full() -> None:
    joined = merging.join([session_of(2), session_of(2, (3, 13, 7), name="newer")])
    assert [result.cell.build for result in joined.results] == ["3.13.5", "3.13.5", "3.13.7", "3.13.7"]


def test_options_of_a_build_tell_its_cells_apart() -> None:
    python = scripts.python()
    limited_python = {**python, "options": {"cpu_count": "3"}}
    joined = merging.join(
        [scripts.on_builds({"3.13": python}, (2,)), scripts.on_builds({"3.13+cpu_count=3": limited_python}, (2,))]
    )
    assert [result.cell.id for result in joined.results] == ["3.13-cpu2", "3.13-cpu_count-3-cpu2"]


def test_machines_are_numbered_in_the_labels_of_their_cells() -> None:
    second = session_of(2, name="second")
    machine = dataclasses.replace(second.machine, cpus=(0, 1, 2), host_cpus=(0, 1, 2))
    joined = merging.join([session_of(2), dataclasses.replace(second, machine=machine)])
    measured = [result.cell.label for result in joined.results if result.status is Status.MEASURED]
    assert measured == ["2, machine 1", "2, machine 2"]
    assert sum("note: " in note for note in joined.notes) == 2


def labelled(label: str, cpus: int = 2) -> Session:
    """A session of this label."""
    session = session_of(2, name=f"{label}-{cpus}")
    machine = dataclasses.replace(session.machine, host_cpus=tuple(range(cpus)))
    return dataclasses.replace(session, machine=machine, arguments={**session.arguments, "label": label})


@pytest.mark.parametrize(
    ("sessions", "labels"),
    [
        ([("anna", 2), ("ben", 2)], ["2, anna", "2, ben"]),  # like machines
        ([("anna", 2), ("ben", 3)], ["2, anna", "2, ben"]),
        ([("anna", 2), ("anna", 3)], ["2, machine 1", "2, machine 2"]),
        ([("anna", 2), ("", 2)], ["2, anna", "2"]),
        ([("anna", 2), ("", 3)], ["2, anna, machine 1", "2, machine 2"]),
    ],
)
def test_cells_have_the_labels_of_their_sessions(sessions: list[tuple[str, int]], labels: list[str]) -> None:
    joined = merging.join([labelled(*each) for each in sessions])
    assert [result.cell.label for result in joined.results if result.status is Status.MEASURED] == labels
    assert joined.label == ("anna" if {label for label, _ in sessions} == {"anna"} else "")
    assert all(any(label in note for note in joined.notes) for label, _ in sessions)


def of_host(host: str, /, **details: Any) -> Session:
    """A session that this host ran, whose engine said this of itself."""
    session = session_of(2, name=f"of-{host}")
    machine = dataclasses.replace(session.machine, details={**session.machine.details, **details})
    return dataclasses.replace(session, machine=machine, arguments={**session.arguments, "host": host})


def test_hosts_have_a_part_each_also_where_their_machines_are_alike() -> None:
    joined = merging.join([of_host("big"), of_host("ssh://me@arm:2222")])
    assert [result.cell.label for result in joined.results] == [
        *("2, big", "4, big"),
        *("2, me@arm:2222", "4, me@arm:2222"),
    ]
    assert [result.cell.id for result in joined.results][2:] == ["cpu2-me-arm-2222", "cpu4-me-arm-2222"]
    assert "host" not in joined.arguments
    assert [(host.name, host.session, host.cpus) for host in joined.hosts] == [
        ("big", "of-big", 2),
        ("me@arm:2222", "of-ssh://me@arm:2222", 2),
    ]
    assert exit_code(joined) == 0
    screen = reports.render(joined, "screen")
    assert "Docker on 2 hosts: big (2 CPUs), me@arm:2222 (2 CPUs)." in " ".join(screen.split())
    assert "a cell of 4 CPUs, big: big has 2 CPUs." in screen
    assert "Map of the machine" in reports.render(joined, "html")


def test_programs_on_hosts_are_compared_with_the_smallest_limit_of_their_own_host() -> None:
    sessions = []
    for host, walls in (("big", {1: 1.0, 2: 0.5}), ("arm", {1: 3.0, 2: 3.0})):
        session = own_programs.session(walls)
        sessions.append(dataclasses.replace(session, id=host, arguments={**session.arguments, "host": host}))
    joined = merging.join(sessions)
    assert {"cpu1-big.1", "cpu2-arm.2"} < {result.cell.id for result in joined.results}
    rows = programs.measured(joined)
    gains = {row.cell.cell.id: row.speed_up and round(row.speed_up.value) for row in rows}
    assert gains == {"cpu1-big.1": None, "cpu1-arm.1": None, "cpu2-big.1": 2, "cpu2-arm.1": 1}
    screen = " ".join(reports.render(joined, "screen").split())
    assert "Sensible limit: make: 2 CPUs, big: 2.0" in screen
    assert "Sensible limit: make: 1 CPU, arm, the smallest;" in screen


def of_commands(name: str, cpus: int, *commands: str, failed: bool = False) -> Session:
    """A session of these commands in a cell of 1 CPU, on a machine with so many."""
    chosen = [Program(label=command, words=tuple(command.split())) for command in commands]
    session = own_programs.session({1: 1.0}, programs=chosen, made={1: [own_programs.failing()]} if failed else {})
    return dataclasses.replace(session, id=name, machine=dataclasses.replace(scripts.machine(cpus), image=None))


def test_commands_that_differ_between_sessions_have_rows_of_their_own_and_their_failures_count() -> None:
    old, new = "python3.11 job.py", "python3.13 job.py"
    joined = merging.join([of_commands("a", 1, old), of_commands("b", 2, new, failed=True)])
    rows = programs.measured(joined)
    assert [(row.program.label, row.machine, len(row.runs), len(row.failures)) for row in rows] == [
        (old, "machine 1", 10, 0),
        (new, "machine 2", 0, 5),
    ]
    assert exit_code(joined) == 1
    screen = reports.render(joined, "screen")
    assert f"Failed with {new}, 1 CPU, machine 2: it ended with exit code 2 (5 times)." in " ".join(screen.split())
    (table,) = program_tables(joined)
    assert [row[0].partition("\n")[0] for row in table.rows] == [old, new]


def test_parameters_alone_do_not_tell_different_commands_apart() -> None:
    sessions = []
    for number, command in enumerate(("make", "ninja"), 1):
        session = of_commands(command, number)
        with_n = Program(label=f"{command}, n=1", words=(command,), parameters={"n": "1"})
        made = own_programs.session({1: 1.0}, programs=[with_n])
        sessions.append(dataclasses.replace(made, id=command, machine=session.machine))
    (table,) = program_tables(merging.join(sessions))
    assert [row[0].partition("\n")[0] for row in table.rows] == ["make, n=1", "ninja, n=1"]


def test_one_name_for_two_commands_is_refused_with_what_differs() -> None:
    other = of_commands("b", 2, "make")
    workload = other.arguments["workload"]
    changed = [{**workload["programs"][0], "setup": "make clean"}]
    arguments = {**other.arguments, "workload": {**workload, "programs": changed}}
    with pytest.raises(UsageError, match=r"a and b run make \(setup\) in different ways: none; and make clean"):
        merging.join([of_commands("a", 1, "make"), dataclasses.replace(other, arguments=arguments)])


@pytest.mark.parametrize("first", [True, False])
def test_a_session_of_commands_and_one_of_experiments_are_not_joined(first: bool) -> None:
    sessions = [of_commands("a", 1, "make", failed=True), session_of(2, name="b")]
    with pytest.raises(UsageError, match=r"b ran no command, and others did; join the sessions of lab exec alone"):
        merging.join(sessions if first else sessions[::-1])


def test_advice_is_for_the_largest_cell_of_each_host() -> None:
    session = own_code.one_case()
    sessions = [
        dataclasses.replace(session, id=host, arguments={**session.arguments, "host": host}) for host in ("big", "arm")
    ]
    screen = reports.render(merging.join(sessions), "screen")
    assert all(f"Advice: with 2 CPUs, {host}, take " in screen for host in ("big", "arm"))


def test_names_of_hosts_that_make_the_same_id_are_numbered() -> None:
    joined = merging.join([of_host("a-b"), of_host("a+b")])
    assert [result.cell.id for result in joined.results][::2] == ["cpu2-a-b", "cpu2-a-b-2"]


def test_a_host_that_is_lost_is_named_with_the_reason_and_is_never_a_success() -> None:
    joined = merging.join([of_host("big")], {"tcp://gone:2376": "it is away; start it"})
    assert (exit_code(joined), exit_reason(joined)) == (3, "1 host did not run everything: gone:2376")
    assert "note: gone:2376 ran nothing: it is away; start it" in joined.notes
    (table,) = [table for table in tables.all_tables(joined) if table.title == "Hosts"]
    assert table.head == ("", "big", "gone:2376")
    assert table.notes[-1] == "gone:2376: it is away; start it"
    again = merging.join([joined, of_host("arm")])
    assert [(host.name, bool(host.reason)) for host in again.hosts] == [
        ("big", False),
        ("gone:2376", True),
        ("arm", False),
    ]


def test_what_differs_between_hosts_is_in_the_session() -> None:
    arm = of_host("arm", clock_seconds=-300.0, engine_version="20.10", image_id="sha256:" + "1" * 64)
    arm = dataclasses.replace(
        arm, machine=dataclasses.replace(arm.machine, python={**arm.machine.python, "machine": "aarch64"})
    )
    joined = merging.join([of_host("big", clock_seconds=0.0), arm])
    notes = "\n".join(joined.notes)
    assert "the clock of arm is 5 min 0 s behind that of this machine" in notes
    assert "the hosts differ in engine, architecture, image" in notes
    assert "the hosts have different architectures" in notes
    (table,) = [table for table in tables.all_tables(joined) if table.title == "Hosts"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["architecture"] == ("x86_64", "aarch64")
    assert rows["clock"] == ("right", "5 min 0 s behind")
    assert "image python" not in reports.render(joined, "screen")


def test_long_facts_of_many_hosts_fit_a_terminal() -> None:
    builds = [f"#{day} SMP PREEMPT_DYNAMIC Debian 6.1.{day}-1 (2026-01-0{day}T10:20:30)" for day in (1, 2, 3)]
    joined = merging.join([of_host(f"host-{build[1]}", host={"kernel_version": build}) for build in builds])
    text = reports.render(joined, "table")
    assert max(map(len, text.splitlines())) <= 80
    assert all(build in text for build in builds)


def test_on_a_page_of_hosts_the_limits_are_proven_by_their_own_table() -> None:
    page = reports.render(merging.join([of_host("big"), of_host("arm", engine_version="20.10")]), "html")
    proof, numbers = page.index('id="proof-title"'), page.index('id="tables-title"')
    assert "<caption>Limits" in page[proof:numbers]
    assert "<caption>Hosts" not in page[proof:numbers]
    assert "<summary>Hosts</summary>" in page[numbers:]
    assert "<summary>Limits</summary>" not in page


def test_predictions_go_with_their_cells() -> None:
    sessions = []
    for name, value in (("anna", 1.0), ("ben", 2.0)):
        guess = {"of": "pool.default-size", "what": "workers", "cell": "cpu2", "value": value, "whole": True}
        session = labelled(name)
        sessions.append(
            dataclasses.replace(session, arguments={**session.arguments, "predictions": [guess]}),
        )
    joined = merging.join(sessions)
    (table,) = predictions.prediction_tables(joined)
    assert [(row[1], row[2], row[-1]) for row in table.rows] == [
        ("2,\nanna", "1", "off by 1"),
        ("2,\nben", "2", "right"),
    ]
    assert "Prediction beside measurement" in reports.render(joined, "html")


def test_each_machine_has_a_speed_up_model_of_its_own() -> None:
    sessions = []
    for number, threads in enumerate((1.0, 2.0), 1):
        result = scripts.ran(2, {"gil": scripts.gil(2, threads=threads)})
        machine = dataclasses.replace(scripts.TWO_CPUS, host_cpus=tuple(range(2 * number)))
        sessions.append(
            dataclasses.replace(scripts.session(result, experiments=("gil",), machine=machine), id=str(number))
        )
    models = [model for model in speedups.scaling(merging.join(sessions).results) if model.arm == "threads"]
    assert [model.machine for model in models] == ["machine 1", "machine 2"]
    assert [round(model.fit.serial.value) for model in models] == [1, 0]


def test_unlike_machines_are_not_described_as_the_first_of_them() -> None:
    lacking = CellResult(cell=scripts.cell(8, 4), status=Status.UNAVAILABLE, reason=scripts.cell(8, 4).reason)
    result = scripts.ran(2, {"pipe": scripts.pipe(), "pool": scripts.pool(2)}, cpus=4)
    larger = scripts.session(result, lacking, experiments=("pool", "pipe"), machine=scripts.machine(4))
    joined = merging.join([session_of(2), dataclasses.replace(larger, id="larger")])
    screen = " ".join(reports.render(joined, "screen").split())
    assert "Docker on the machines of 2 sessions: machine 1, machine 2." in screen
    assert "a cell of 4 CPUs, machine 1: needs 4 CPUs, this machine has 2." in screen
    assert "a cell of 8 CPUs, machine 2: needs 8 CPUs, this machine has 4." in screen
    assert "machines of 2 sessions: machine 1, machine 2" in reports.render(joined, "table")
    page = reports.render(joined, "html")
    assert "<h1>CPython 3.13.5 with the GIL, 2 sessions</h1>" in page
    assert "machine 1, machine 2. The page of each session has its map." in page
    assert 'class="core"' not in page


def test_gains_are_those_of_the_largest_cell_of_each_machine() -> None:
    sessions = []
    for cpus in (2, 4):
        pythons = {"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}
        session = scripts.on_builds(pythons, (1, cpus), lambda cell: {"gil": scripts.gil(cell.size)}, cpus=cpus)
        machine = dataclasses.replace(session.machine, cpus=tuple(range(cpus)), host_cpus=tuple(range(cpus)))
        sessions.append(dataclasses.replace(session, id=str(cpus), machine=machine))
    (table,) = overview.overview_tables(merging.join(sessions))
    assert Counter(row[1] for row in table.rows) == {"2 CPUs, machine 1": 4, "4 CPUs, machine 2": 4}


def test_a_cell_that_one_machine_lacks_gives_way_to_one_that_was_measured() -> None:
    four = scripts.session(scripts.ran(4, {"pipe": scripts.pipe()}, cpus=4), machine=scripts.machine(4))
    joined = merging.join([session_of(2), dataclasses.replace(four, id="four")])
    assert [result.status for result in joined.results] == [Status.MEASURED, Status.MEASURED]


def test_the_same_cell_twice_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"cpu2 is in a and in b, both on CPython 3\.13\.5"):
        merging.join([session_of(2, name="a"), session_of(2, name="b")])


def test_sessions_of_two_versions_of_the_lab_are_refused() -> None:
    with pytest.raises(UsageError, match="several versions of the lab"):
        merging.join([session_of(1), dataclasses.replace(session_of(2), lab_version="0.0.1")])


@pytest.mark.parametrize("form", reports.format_names())
def test_a_merged_session_can_be_shown_in_every_format(form: str) -> None:
    assert "3.14" in reports.render(
        merging.join([session_of(2), session_of(2, (3, 14, 0), gil=False)]), form
    ) or form in (
        "hyperfine",  # of commands alone
        "transcript",
        "pyperf",
    )


def test_a_merged_session_is_stored_and_read_back_as_it_is(lab: Lab, tmp_path: Path) -> None:
    for number, session in enumerate((session_of(1), session_of(2))):
        stored(session, tmp_path / "in", f"2026010{number}-000000-aa")
    code, out, _ = lab("merge", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--format", "json")
    assert code == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert json.loads(json.dumps(reports.document(loading.load_session(folder)))) == json.loads(out)
    assert lab("verify", str(folder))[0] == 0


def test_a_stored_session_of_different_experiments_is_read_as_it_was_joined(tmp_path: Path) -> None:
    first = scripts.session(scripts.ran(1, {"pipe": scripts.pipe()}), experiments=("pipe",))
    second = scripts.session(scripts.ran(2, {"pool": scripts.pool(2)}), experiments=("pool",))
    joined = merging.join([dataclasses.replace(first, id="a"), dataclasses.replace(second, id="b")])
    again = loading.load_session(stored(joined, tmp_path))
    assert [(each.claim, each.cell, each.verdict) for each in again.judgements] == [
        (each.claim, each.cell, each.verdict) for each in joined.judgements
    ]
    assert Verdict.ERROR not in {judgement.verdict for judgement in again.judgements}
