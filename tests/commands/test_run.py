"""``lab run`` with the fake engine: what it prints, to the letter, and the code it exits with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from lab import engines
from lab.cell.cpus import cpulist
from lab.engines import Sink
from lab.engines.fake import Fake
from lab.errors import CellError, EngineError, LabError
from lab.model.cell import Job, Outcome
from lab.model.machine import Machine
from tests.support import scripts
from tests.support.scripts import Said
from tests.support.terminal import Lab

Golden = Callable[[str, str], None]
Script = Callable[[Job, Sink], Outcome]


class Stage:
    """Where fake engines take the place of the real ones."""

    def __init__(self) -> None:
        self.engines: dict[str, Fake | LabError] = {}

    def make(self, name: str, **_: object) -> Fake:
        """Stands in for :func:`lab.engines.make`."""
        engine = self.engines[name]
        if isinstance(engine, LabError):
            raise engine
        return engine

    def plays(self, script: Script | Mapping[str, Script | LabError | bytes], machine: Machine | None = None) -> Fake:
        """The docker engine plays this script, the same in every cell or one for each; returns the fake."""
        cells = script if isinstance(script, Mapping) else {f"cpu{size}": script for size in range(1, 129)}
        fake = Fake(machine=machine or scripts.machine(), cells=cells)
        self.engines["docker"] = fake
        return fake


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(engines, "make", stage.make)
    return stage


def cell(
    messages: Mapping[str, Iterable[Said]] | Callable[[int], Mapping[str, Iterable[Said]]] | None = None,
    *,
    reported: str | None = None,
    reason: str | None = None,
    **script: Any,
) -> Script:
    """A cell whose experiments say this (or what a function of its size says), limited as it was asked to be."""

    def play(job: Job, sink: Sink) -> Outcome:
        heard = messages(job.cell.size) if callable(messages) else messages
        heard = heard or {"pipe": scripts.pipe()}
        wanted = {name: heard[name] for name in job.experiments if name in heard}
        sink(scripts.stream(job.cell.id, job.cell.cpus, wanted, **script))
        outside = {"cpuset": cpulist.render(job.cell.cpus) if reported is None else reported, "warnings": []}
        return Outcome(exit_code=0, reason=reason, outside=outside)

    return play


def everything(size: int) -> dict[str, list[Said]]:
    """What three experiments say in a cell of that size where all is as expected."""
    return {"pool": scripts.pool(size), "pipe": scripts.pipe(), "gil": scripts.gil(size)}


def surprising(size: int) -> dict[str, list[Said]]:
    """The same where threads gain a core, ``Pool()`` counts the host's CPUs, and one word of a pipe got lost."""
    pipe = [*scripts.pipe(), scripts.observe("answered", False)]
    return {"pool": scripts.pool(8), "pipe": pipe, "gil": scripts.gil(size, threads=1.0 + 0.9 * (size > 1))}


#: Sessions to print: name -> (experiments, sizes, the cells' scripts, the exit code).
SESSIONS: dict[str, tuple[tuple[str, ...], str, Mapping[str, Script | LabError | bytes], int]] = {
    "expected": (
        ("pool", "pipe", "gil"),
        "1,2,4,all",
        {"cpu1": cell(everything), "cpu2": cell(everything)},
        0,
    ),
    "surprises": (
        ("pool", "pipe", "gil"),
        "1,2",
        {"cpu1": cell(surprising, host_cpus=8), "cpu2": cell(surprising, host_cpus=8)},
        1,
    ),
    "trouble": (
        ("pool", "pipe", "gil"),
        "1,2",
        {
            "cpu1": CellError("creating the container of cpu1: the engine answered 500: no space left on device"),
            "cpu2": cell(everything, reported=""),
        },
        3,
    ),
    "failing": (
        ("pool", "pipe"),
        "1,2",
        {
            "cpu1": cell(everything, failed={"pipe": "was killed by SIGSEGV"}),
            "cpu2": cell({"pool": scripts.pool(2)}, reason="it passed its deadline and was ended"),
        },
        3,
    ),
    "noisy": (
        ("gil",),
        "2",
        {"cpu2": cell({"gil": scripts.gil(2, disturbed="run delay")})},
        0,
    ),
}


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.parametrize(("form", "ending"), [("table", "txt"), ("markdown", "md")])
def test_the_report_of_a_session_is_as_reviewed(
    lab: Lab, stage: Stage, golden: Golden, name: str, form: str, ending: str
) -> None:
    experiments, sizes, script, expected = SESSIONS[name]
    fake = stage.plays(script)
    code, out, _ = lab.run(*experiments, "--cpus", sizes, "--format", form)
    golden(f"run-{name}.{ending}", out)
    assert code == expected
    assert fake.closed


def test_the_transcript_of_a_session_is_as_reviewed(lab: Lab, stage: Stage, golden: Golden) -> None:
    stage.plays(cell())
    code, out, _ = lab.run("pipe", "--cpus", "1,2", "--format", "transcript")
    golden("run-transcript.txt", out)
    assert code == 0


def test_a_transcript_comes_before_the_tables(lab: Lab, stage: Stage) -> None:
    stage.plays(cell())
    _, out, _ = lab.run("pipe", "--cpus", "1", "--transcript")
    assert out.index("the parent sends 'ping'") < out.index(" verdict on ")


def widest(text: str) -> int:
    return max(len(line) for line in text.splitlines())


@pytest.mark.parametrize(
    ("machine", "sizes", "tell"),
    [
        pytest.param(scripts.machine(4), "1,2,3,4", everything, id="4 cells"),
        pytest.param(scripts.machine(8), "1,2,3,4,5,6,7,all", surprising, id="8 cells"),
        pytest.param(scripts.machine(64), "all,128", everything, id="64 CPUs"),
    ],
)
def test_tables_of_many_cells_stay_within_80_columns(
    lab: Lab, stage: Stage, machine: Machine, sizes: str, tell: Callable[[int], dict[str, list[Said]]]
) -> None:
    stage.plays(cell(tell, host_cpus=len(machine.cpus)), machine)
    _, out, _ = lab.run("pool", "pipe", "gil", "--cpus", sizes)
    assert widest(out) <= 80


def test_tables_stay_within_80_columns_when_every_cell_fails_for_a_long_reason(lab: Lab, stage: Stage) -> None:
    why = CellError("creating the container of this cell: the engine answered 500: " + "a very long story, " * 8)
    stage.plays({f"cpu{size}": why for size in range(1, 9)}, scripts.machine(8))
    code, out, _ = lab.run("pool", "pipe", "gil", "--cpus", "1,2,3,4,5,6,7,8")
    assert code == 3
    assert widest(out) <= 80


def test_cpu_ids_with_gaps_stay_within_80_columns(lab: Lab, stage: Stage) -> None:
    even = tuple(range(0, 64, 2))
    machine = Machine(
        engine="docker", cpus=even, host_cpus=tuple(range(64)), python=scripts.python(), image="python:3.13-slim"
    )
    stage.plays(cell(everything, host_cpus=64), machine)
    assert widest(lab.run("pool", "pipe", "--cpus", "8,all")[1]) <= 80


def test_progress_in_plain_lines_goes_to_standard_error_and_results_to_standard_output(lab: Lab, stage: Stage) -> None:
    stage.plays(cell())
    _, out, err = lab.run("pipe", "--cpus", "1,2,4")
    lines = [re.sub(r" measured in [\d.]+ \w+$", " measured", line) for line in err.splitlines()[:-1]]
    assert lines[0] == "engine: docker, image python:3.13-slim"
    assert sorted(lines[1:]) == [  # one cell is taken down while the next one begins
        "1 CPU (0): measured",
        "1 CPU (0): pipe (about 1.0 s left)",
        "2 CPUs (0-1): measured",
        "2 CPUs (0-1): pipe (about 1.0 s left)",
    ]
    assert re.match(
        r"2 cells measured \(1 untestable on this machine\) in \d+ s; session kept in ", err.splitlines()[-1]
    )
    assert "left)" not in out


def test_a_session_is_stored_with_its_manifest_and_the_records_of_each_cell(lab: Lab, stage: Stage) -> None:
    stage.plays(cell())
    lab.run("pipe", "--cpus", "1,2,4")
    (folder,) = lab.sessions.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "cell.zip",
        "cells.log",
        "cpu1.jsonl",
        "cpu2.jsonl",
        "seal.json",
        "session.json",
    ]
    manifest = json.loads((folder / "session.json").read_text())
    assert manifest["session"] == folder.name
    assert [entry["status"] for entry in manifest["report"]["cells"]] == ["measured", "measured", "unavailable"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("--cpus", "1"), 0, id="as expected"),
        pytest.param(("--cpus", "4"), 0, id="nothing that this machine could run"),
        pytest.param(("--cpus", "1", "--strict"), 0, id="strict, as expected"),
    ],
)
def test_a_run_without_surprises_exits_with_0(
    lab: Lab, stage: Stage, arguments: tuple[str, ...], expected: int
) -> None:
    stage.plays(cell())
    assert lab.run("pipe", *arguments)[0] == expected


def test_strict_makes_an_inconclusive_verdict_a_failure(lab: Lab, stage: Stage) -> None:
    messages = {"pipe": [scripts.observe("answered", True), scripts.observe("answered", False)]}
    stage.plays(cell(messages))
    assert lab.run("pipe", "--cpus", "1")[0] == 0
    assert lab.run("pipe", "--cpus", "1", "--strict")[0] == 1


@pytest.mark.parametrize(
    ("expect", "expected", "words"),
    [
        ("pipe.duplex=confirmed", 0, "measured"),
        ("pipe.duplex=refuted", 1, "exit code 1: pipe.duplex@cpu1 is confirmed, not refuted (--expect)"),
        ("pipe.duplex@cpu1=refuted", 1, "exit code 1: pipe.duplex@cpu1 is confirmed, not refuted (--expect)"),
        ("pipe.duplex@cpu7=refuted", 2, "--expect names pipe.duplex@cpu7, which was not judged; the cells are cpu1"),
    ],
)
def test_a_named_verdict_is_what_counts(lab: Lab, stage: Stage, expect: str, expected: int, words: str) -> None:
    stage.plays(cell())
    code, _, err = lab.run("pipe", "--cpus", "1", "--fail-on", "never", "--expect", expect)
    assert code == expected
    assert words in err


@pytest.mark.parametrize(
    ("session", "fail_on", "expected"),
    [
        ("noisy", "surprise", 0),
        ("noisy", "refuted", 0),
        ("noisy", "inconclusive", 1),
        ("expected", "refuted", 1),
        ("surprises", "surprise", 1),
        ("surprises", "never", 0),
        ("trouble", "never", 3),
    ],
)
def test_fail_on_says_which_verdicts_are_a_failure(
    lab: Lab, stage: Stage, session: str, fail_on: str, expected: int
) -> None:
    experiments, sizes, script, _ = SESSIONS[session]
    stage.plays(script)
    assert lab.run(*experiments, "--cpus", sizes, "--fail-on", fail_on)[0] == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("nosuch",), ("'nosuch'", "process", "switching"), id="unknown experiment"),
        pytest.param(("pipe", "PIPE"), ("'PIPE'", "pipe"), id="an experiment in capitals"),
        pytest.param(("--cpus", ""), ("--cpus ''", "1,2,all"), id="no size"),
        pytest.param(("--cpus", "0"), ("--cpus", "not 0", "at least 1"), id="no CPU"),
        pytest.param(("--cpus=-1",), ("--cpus", "not -1", "at least 1"), id="minus one CPU"),
        pytest.param(("--cpus", "two"), ("--cpus", "'two'", "whole numbers"), id="a word"),
        pytest.param(("--cpus", "2,2"), ("--cpus", "2 twice"), id="a size twice"),
        pytest.param(("--time-limit", "0"), ("--time-limit 0", "above 0"), id="no time"),
        pytest.param(("--time-limit=-1",), ("--time-limit -1", "above 0"), id="less than no time"),
        pytest.param(("--time-limit", "nan"), ("--time-limit nan", "above 0"), id="not a number"),
        pytest.param(("--time-limit", "inf"), ("--time-limit inf", "above 0"), id="for ever"),
        pytest.param(("--width", "0"), ("--width 0", "0.001", "below 1"), id="no width"),
        pytest.param(("--width", "1"), ("--width 1", "0.001", "below 1"), id="as wide as the value"),
        pytest.param(("--width=-1",), ("--width -1", "0.001", "below 1"), id="less than no width"),
        pytest.param(("--width", "nan"), ("--width nan", "0.001", "below 1"), id="a width that is not a number"),
        pytest.param(("--width", "0.00001"), ("--width 1e-05", "0.001", "below 1"), id="too narrow"),
        pytest.param(("--engine", "local", "--image", "x"), ("--image",), id="an image without an engine"),
        pytest.param(("--strict", "--fail-on", "never"), ("--strict", "--fail-on never"), id="strict and never"),
        pytest.param(("--expect", "pipe.duplx=refuted"), ("did you mean pipe.duplex?",), id="a misspelt claim"),
        pytest.param(("--expect", "pipe.duplex=refute"), ("did you mean refuted?",), id="a misspelt verdict"),
        pytest.param(("pipe", "--expect", "pool.waves=refuted"), ("no experiment pool",), id="a claim that is not run"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2_before_anything_is_run(
    lab: Lab, stage: Stage, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    fake = stage.plays(cell())
    code, out, err = lab.run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert fake.jobs == []
    assert not lab.sessions.exists()


@pytest.mark.parametrize(
    ("arguments", "width"),
    [((), 0.05), (("--quick",), 0.15), (("--width", "0.001"), 0.001), (("--thorough", "--width", "0.999"), 0.999)],
    ids=["default", "quick", "the least", "over a level"],
)
def test_the_width_asked_for_is_the_one_at_which_cells_stop(
    lab: Lab, stage: Stage, arguments: tuple[str, ...], width: float
) -> None:
    fake = stage.plays(cell())
    assert lab.run("pipe", "--cpus", "1", *arguments)[0] == 0
    assert [job.width for job in fake.jobs] == [width]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--format", "pdf"), ("'pdf'", "table", "json")),
        (("run", "--fail-on", "noise"), ("'noise'", "surprise", "refuted", "inconclusive", "never")),
        (("run", "--engine", "rkt"), ("'rkt'", "docker", "local")),
        (("run", "--time-limit", "soon"), ("'soon'",)),
        (("run", "--width", "thin"), ("'thin'",)),
        (("run", "--quick", "--thorough"), ("not allowed with",)),
        (("dance",), ("'dance'", "run")),
        ((), ("COMMAND",)),
    ],
    ids=["format", "what fails", "engine", "time limit", "width", "two levels", "command", "nothing"],
)
def test_what_the_parser_refuses_names_the_choices_and_exits_with_2(
    lab: Lab, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    code, out, err = lab(*arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words)


def test_auto_takes_the_local_engine_where_docker_cannot_run_and_says_why_in_one_line(lab: Lab, stage: Stage) -> None:
    stage.engines["docker"] = EngineError("no Docker engine answers at the local socket")
    stage.engines["local"] = Fake(machine=scripts.machine(2, "local"), cells={"cpu1": cell()})
    code, out, err = lab.run("pipe", "--cpus", "1")
    assert code == 0
    assert err.splitlines()[0] == "engine: local (docker: no Docker engine answers at the local socket)"
    assert "local processes" in out


@pytest.mark.parametrize(
    "arguments", [("--engine", "docker"), ("--image", "python:3.13-slim")], ids=["engine", "image"]
)
def test_an_engine_that_was_asked_for_is_not_replaced(lab: Lab, stage: Stage, arguments: tuple[str, ...]) -> None:
    stage.engines["docker"] = EngineError("no Docker engine answers at the local socket; start one")
    code, out, err = lab.run("pipe", *arguments)
    assert (code, out) == (3, "")
    assert err == "lab: no Docker engine answers at the local socket; start one\n"


def test_a_cell_that_breaks_is_shown_beside_those_that_ran_and_the_exit_code_is_3(lab: Lab, stage: Stage) -> None:
    stage.plays({"cpu1": CellError("no room for it"), "cpu2": cell()})
    code, out, err = lab.run("pipe", "--cpus", "1,2")
    assert code == 3
    assert "no room for it" in out
    assert "confirmed" in out
    assert "1 CPU (0): error: no room for it" in err


def test_an_interruption_prints_and_stores_what_was_measured_and_exits_with_130(lab: Lab, stage: Stage) -> None:
    fake = stage.plays({"cpu1": cell(), "cpu2": scripts.ctrl_c}, scripts.machine(3))
    code, out, err = lab.run("pipe", "--cpus", "1,2,3")
    assert code == 130
    assert "confirmed" in out
    assert "interrupted" in out
    assert "Traceback" not in err
    assert [job.cell.id for job in fake.jobs] == ["cpu1", "cpu2"]
    assert fake.closed
    (folder,) = lab.sessions.iterdir()
    report = json.loads((folder / "session.json").read_text())["report"]
    assert report["session"]["interrupted"] is True
    assert [entry["status"] for entry in report["cells"]] == ["measured", "error", "planned"]


def test_a_quick_run_measures_less_and_a_time_limit_has_the_last_word(lab: Lab, stage: Stage) -> None:
    fake = stage.plays(cell())
    for arguments in ((), ("--quick",), ("--thorough",), ("--thorough", "--time-limit", "2.5")):
        lab.run("pipe", "--cpus", "1", *arguments)
    usual, quick, thorough, limited = fake.jobs
    assert quick.seconds < usual.seconds < thorough.seconds
    assert quick.width > usual.width > thorough.width
    assert (limited.seconds, limited.width) == (2.5, thorough.width)


def test_experiments_run_once_each_in_the_tutorials_order(lab: Lab, stage: Stage) -> None:
    fake = stage.plays(cell())
    lab.run("pipe", "process", "pipe", "--cpus", "1")
    assert fake.jobs[0].experiments == ("process", "pipe")
