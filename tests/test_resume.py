"""``lab run --resume``: runs that are killed at several moments go on, and lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import archive, resuming, shelf
from lab.containers import remove
from lab.errors import UsageError
from lab.model import Status
from lab.store import SessionFolder
from tests import cells, scripts
from tests.conftest import labelled
from tests.terminal import Lab
from tests.test_archive import changed, stored

if TYPE_CHECKING:
    from docker import DockerClient

two_cells = pytest.mark.skipif(len(cells.CPUS) < 2, reason="two cells take two CPUs")


_CLAIMS = ("process.concurrent", "process.own-pid", "process.join-waits", "pipe.duplex")
WHOLE = {(claim, cell): "confirmed" for claim in _CLAIMS for cell in ("cpu1", "cpu2")}

#: A machine that is too busy to start three children within 0.15 s cannot show that they wait at the same time.
_CANNOT_TELL = {("process.concurrent", cell): "inconclusive" for cell in ("cpu1", "cpu2")}

#: What to wait for in its progress, and for how much longer, in seconds.
MOMENTS = {
    "as the first cell begins": ("1 CPU (0): process", 0.0),
    "in the first cell": ("1 CPU (0): process", 0.3),
    "between the cells": ("1 CPU (0): measured", 0.0),
    "in the second cell": ("2 CPUs (0-1): process", 0.2),
    "near the end": ("2 CPUs (0-1): measured", 0.0),
}


def killed(folder: Path, moment: str, engine: str) -> Path:
    """Kill a run at that moment; returns its session's folder."""
    words, longer = MOMENTS[moment]
    command = [sys.executable, "-m", "lab", "run", "process", "pipe", "--cpus", "1,2", "--engine", engine, "--quick"]
    with subprocess.Popen(
        [*command, "--output", folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith(words):
                break
        else:
            raise AssertionError(said)
        time.sleep(longer)
        process.kill()
    (session,) = folder.iterdir()
    return session


def complete_records(folder: Path) -> set[bytes]:
    files = [*folder.glob("*.jsonl"), *folder.glob("*.torn")]
    return {line for path in files for line in path.read_bytes().split(b"\n")[:-1]}


def resumed(lab: Lab, folder: Path) -> None:
    """Resume it, and check that it is whole and that nothing was lost."""
    before = complete_records(folder)
    whole = {one.cell.id: one.records for one in archive.load(folder).results if one.status is Status.MEASURED}
    noted = archive.endings(folder)
    (entry,) = shelf.entries(folder.parent)
    if entry.state is shelf.State.COMPLETE:  # it was done just before the kill
        return
    assert entry.state is shelf.State.CUT_SHORT
    code, out, err = lab("run", "--resume", "--output", str(folder.parent))
    assert code == 0, err
    assert f"resuming {folder.name}: {len(noted)} of 2 cells are there already" in err
    session = archive.load(folder)
    found = {(one.claim, one.cell): one.verdict.value for one in session.judgements}
    assert found.keys() == WHOLE.keys()
    assert found.items() <= WHOLE.items() | _CANNOT_TELL.items()
    assert [one.status for one in session.results] == [Status.MEASURED] * 2
    assert before <= complete_records(folder)
    for result in session.results:
        if result.cell.id in noted:
            assert result.records == whole[result.cell.id]
    assert "confirmed" in out
    assert lab("verify", str(folder))[0] == 0
    assert json.loads((folder / "session.json").read_text())["resumed"]


@two_cells
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_local_run_that_was_killed_goes_on_and_loses_nothing(moment: str, lab: Lab, tmp_path: Path) -> None:
    resumed(lab, killed(tmp_path / "sessions", moment, "local"))


@two_cells
@pytest.mark.engine
@pytest.mark.parametrize("moment", ["in the first cell", "in the second cell"])
def test_a_run_in_containers_that_was_killed_goes_on_and_leaves_nothing(
    moment: str, lab: Lab, tmp_path: Path, engine: DockerClient, image: str
) -> None:
    folder = killed(tmp_path / "sessions", moment, "docker")
    resumed(lab, folder)
    remove(engine, folder.name)
    assert labelled(engine, folder.name) == set()


def unfinished(folder: Path, **arguments: object) -> Path:
    """A session whose second cell did not come to its end."""
    session = scripts.every_kind()["expected"]
    path = stored(session, folder)
    found = archive.manifest(path)
    changed(path, report=None, arguments={**found["arguments"], "seed": 1, **arguments})
    with SessionFolder(folder, path.name, again=True) as again:
        for cell in found["report"]["cells"][:1]:
            again.ended(cell)
    (path / "cpu2.jsonl").write_bytes((path / "cpu2.jsonl").read_bytes()[:-50])
    return path


def test_only_cells_that_ended_well_are_kept(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    past = resuming.take_up(folder, tmp_path)
    assert {cell: one.status.value for cell, one in past.kept.items()} == {"cpu1": "measured", "cpu4": "unavailable"}
    assert past.kept["cpu1"].outcome
    assert past.kept["cpu1"].outcome.outside["cpuset"] == "0"


def test_a_cell_whose_end_was_not_noted_is_measured_again(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    (folder / "cells.log").write_bytes((folder / "cells.log").read_bytes()[:-10])
    assert set(resuming.take_up(folder, tmp_path).kept) == {"cpu4"}


def test_another_machine_or_another_lab_cannot_go_on(tmp_path: Path) -> None:
    past = resuming.take_up(unfinished(tmp_path), tmp_path)
    resuming.check(past, scripts.machine(), past.code_sha256)
    with pytest.raises(UsageError, match="CPUs: 2 CPUs of 2, not 3 CPUs of 3; run it anew: lab replay"):
        resuming.check(past, scripts.machine(3), past.code_sha256)
    with pytest.raises(UsageError, match=r"engine: docker 27\.0, not local"):
        resuming.check(past, scripts.machine(2, "local"), past.code_sha256)


def test_a_run_that_is_under_way_is_not_taken_up(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    with (
        SessionFolder(tmp_path, folder.name, again=True),
        pytest.raises(UsageError, match="still being written by another lab"),
    ):
        resuming.take_up(folder, tmp_path)
    assert resuming.take_up(folder, tmp_path).kept


def test_experiments_cannot_be_named_when_a_run_is_resumed(lab: Lab, tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    code, _, err = lab("run", "pipe", "--resume", str(folder))
    assert (code, "leave out pipe" in err) == (2, True)


def test_what_an_attempt_left_is_kept_under_another_name_each_time(tmp_path: Path) -> None:
    with SessionFolder(tmp_path, "s") as folder:
        for content in (b"one", b"two", b"three"):
            folder.set_aside(["cpu2"])
            with folder.cell("cpu1") as file:
                file.append(content)
        with folder.cell("cpu2") as file:
            file.append(b"kept")
        folder.set_aside(["cpu2"])
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == {
        "cpu1.1.jsonl.torn": b"one",
        "cpu1.2.jsonl.torn": b"two",
        "cpu1.3.jsonl.torn": b"three",
        "cpu2.jsonl": b"kept",
    }


@two_cells
def test_a_run_that_was_interrupted_and_then_killed_goes_on_from_both(lab: Lab, tmp_path: Path) -> None:
    folder = killed(tmp_path / "sessions", "in the second cell", "local")
    past = resuming.take_up(folder, tmp_path)
    changed(folder, report={"session": {"interrupted": True}, "cells": [], "verdicts": []})
    again = past.manifest_at(1.0)
    assert "report" not in again
    assert again["resumed"] == [1.0]
    resumed_again = resuming.take_up(folder, tmp_path)
    assert set(resumed_again.kept) == set(past.kept) == {"cpu1"}
