"""``lab run --resume``: runs that are killed at several moments go on, and lose nothing."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.containers.cleanup import remove_all
from lab.errors import UsageError
from lab.model.cell import Status
from lab.model.session import Session
from lab.sessions import listing, loading, resuming
from lab.sessions.document import document
from lab.sessions.folder import SessionFolder, is_written
from tests.conftest import labelled
from tests.sessions.test_loading import changed, stored
from tests.support import cells, scripts
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

EXPECTED = scripts.every_kind()["expected"]

two_cells = pytest.mark.skipif(len(cells.CPUS) < 2, reason="two cells take two CPUs")


_CLAIMS = ("process.concurrent", "process.own-pid", "process.join-waits", "pipe.duplex")
WHOLE = {(claim, cell): "confirmed" for claim in _CLAIMS for cell in ("cpu1", "cpu2")}

#: A machine that is too busy to start three children within 0.15 s cannot show that they wait at the same time.
_CANNOT_TELL = {("process.concurrent", cell): "inconclusive" for cell in ("cpu1", "cpu2")}

#: What to wait for in its progress, and for how much longer, in seconds.
MOMENTS = {
    "as the first cell begins": (r"1 CPU \(.*\): process", 0.0),
    "in the first cell": (r"1 CPU \(.*\): process", 0.3),
    "between the cells": (r"1 CPU \(.*\): measured", 0.0),
    "in the second cell": (r"2 CPUs \(.*\): process", 0.2),
    "near the end": (r"2 CPUs \(.*\): measured", 0.0),
}


def killed(folder: Path, moment: str, engine: str) -> Path:
    """Kill a run at that moment; returns its session's folder."""
    return killed_at(folder, *MOMENTS[moment], "process", "pipe", "--cpus", "1,2", "--engine", engine, "--quick")


def killed_at(folder: Path, words: str, longer: float, *arguments: str) -> Path:
    """Kill a run of these arguments so many seconds after its progress says that."""
    command = [sys.executable, "-m", "lab", "run", *arguments, "--output", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if re.match(words, line):
                break
        else:
            raise AssertionError(lines)
        time.sleep(longer)
        process.kill()
    (session,) = folder.iterdir()
    # A child that the run was just starting shares its lock until it is another program.
    give_up = time.monotonic() + 30
    while is_written(session) and time.monotonic() < give_up:
        time.sleep(0.01)
    return session


def complete_records(folder: Path) -> set[bytes]:
    files = [*folder.glob("*.jsonl"), *folder.glob("*.torn")]
    return {line for path in files for line in path.read_bytes().split(b"\n")[:-1]}


def resumed(lab: Lab, folder: Path) -> None:
    """Resume it, and check that it is whole and that nothing was lost."""
    before = complete_records(folder)
    whole = {
        result.cell.id: result.records
        for result in loading.load_session(folder).results
        if result.status is Status.MEASURED
    }
    noted = loading.endings(folder)
    (entry,) = listing.entries(folder.parent)
    if entry.state is listing.State.COMPLETE:  # it was done just before the kill
        return
    assert entry.state is listing.State.CUT_SHORT
    code, out, err = lab("run", "--resume", "--output", str(folder.parent))
    assert code == 0, err
    assert f"resuming {folder.name}: {len(noted)} of 2 cells are there already" in err
    session = loading.load_session(folder)
    verdicts = {(judgement.claim, judgement.cell): judgement.verdict.value for judgement in session.judgements}
    assert verdicts.keys() == WHOLE.keys()
    assert verdicts.items() <= WHOLE.items() | _CANNOT_TELL.items()
    assert [result.status for result in session.results] == [Status.MEASURED] * 2
    assert before <= complete_records(folder)
    for result in session.results:
        if result.cell.id in noted:
            assert result.records == whole[result.cell.id]
    assert "confirmed" in out
    assert lab("verify", str(folder))[0] == 0
    assert json.loads((folder / "session.json").read_text())["resumed"]


@pytest.mark.slow
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
    remove_all(engine, folder.name)
    assert labelled(engine, folder.name) == set()


@two_cells
@pytest.mark.engine
def test_a_run_on_several_builds_that_was_killed_goes_on_with_the_image_of_each(
    lab: Lab, tmp_path: Path, engine: DockerClient, two_builds: tuple[str, str]
) -> None:
    arguments = ["process", "pipe", "--python", ",".join(two_builds), "--cpus", "1,2", "--engine", "docker", "--quick"]
    folder = killed_at(tmp_path / "sessions", r"Python 3.13, 1 CPU \(.*\): measured", 0.4, *arguments, "--seed", "9")
    count = len(loading.endings(folder))
    assert 2 <= count < 4
    code, _, err = lab("run", "--resume", "--output", str(folder.parent))
    assert code == 0, err
    assert f"{count} of 4 cells are there already" in err
    session = loading.load_session(folder)
    assert [result.cell.id for result in session.results] == ["3.11-cpu1", "3.13-cpu1", "3.11-cpu2", "3.13-cpu2"]
    assert [result.status for result in session.results] == [Status.MEASURED] * 4
    assert [result.python["version"][1] for result in session.results] == [11, 13, 11, 13]
    digests = [engine.images.get(f"multicore-lab-base:{build}").id for build in two_builds]
    manifest = loading.manifest(folder)
    assert [build["image_id"] for build in manifest["machine"]["details"]["builds"]] == digests
    assert manifest["arguments"]["seed"] == 9
    assert manifest["arguments"]["python"] == ["3.11,3.13"]
    assert labelled(engine, folder.name) == set()


@two_cells
@pytest.mark.engine
def test_an_image_that_is_no_more_is_told_by_both_digests_and_only_force_goes_on(
    lab: Lab, tmp_path: Path, engine: DockerClient, image: str
) -> None:
    name = f"lab-test-{tmp_path.name[-12:].lower().strip('_')}:latest"

    def make(mark: str) -> str:
        text = io.BytesIO(f"FROM {image}\nLABEL mark={mark}\n".encode())
        return str(engine.images.build(fileobj=text, tag=name, rm=True)[0].id)

    first = make("first")
    try:
        folder = killed_at(
            tmp_path / "sessions",
            r"1 CPU \(.*\): measured",
            0.3,
            *("process", "gil", "--image", name, "--cpus", "1,2", "--engine", "docker", "--quick"),
        )
        remove_all(engine, folder.name)  # a container of the killed run holds its image
        second = make("second")
        assert first != second
        folders = ["--resume", "--output", str(folder.parent)]
        kept = tmp_path / "kept"
        shutil.copytree(folder, kept / folder.name)
        code, _, err = lab("run", "--resume", "--output", str(kept))
        assert code == 0, err
        assert f"the session's own image is taken: {first}" in err
        engine.images.remove(first)
        code, _, err = lab("run", *folders)
        assert code == 2
        assert f"image: {first}, not {second}" in err
        assert "lab replay" in err
        assert "--force" in err
        code, out, err = lab("run", *folders, "--force")
        assert code == 0, err
        assert "resumed by force" in out
        assert any(first in note for note in loading.load_session(folder).notes)
    finally:
        engine.images.remove(name, force=True)


def unfinished(folder: Path, session: Session = EXPECTED, **arguments: object) -> Path:
    """A session whose second cell did not come to its end."""
    path = stored(session, folder)
    manifest = loading.manifest(path)
    changed(path, report=None, arguments={**manifest["arguments"], "seed": 1, **arguments})
    first, second = manifest["report"]["cells"][:2]
    with SessionFolder(folder, path.name, again=True) as again:
        again.ended(first)
    torn = path / f"{second['id']}.jsonl"
    torn.write_bytes(torn.read_bytes()[:-50])
    return path


def test_a_session_that_lost_a_cell_is_resumed_without_being_named(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    report = document(EXPECTED)
    report["cells"][1] |= {"status": "error", "reason": "the engine does not answer any more"}
    changed(folder, report=report)
    with pytest.raises(UsageError, match="was cut short or lost a cell"):
        resuming.take_up(None, tmp_path)  # its experiment failed, and would fail again
    report["cells"][1]["proof"]["after"] = None
    changed(folder, report=report)
    assert resuming.take_up(None, tmp_path).folder == folder


def test_only_cells_that_ended_well_are_kept(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    past = resuming.take_up(folder, tmp_path)
    assert {cell: result.status.value for cell, result in past.kept.items()} == {
        "cpu1": "measured",
        "cpu4": "unavailable",
    }
    assert past.kept["cpu1"].outcome
    assert past.kept["cpu1"].outcome.outside["cpuset"] == "0"


def test_a_cell_whose_end_was_not_noted_is_measured_again(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    (folder / "cells.log").write_bytes((folder / "cells.log").read_bytes()[:-10])
    assert set(resuming.take_up(folder, tmp_path).kept) == {"cpu4"}


def test_another_machine_or_another_lab_cannot_go_on(tmp_path: Path) -> None:
    past = resuming.take_up(unfinished(tmp_path), tmp_path)
    resuming.check_resumable(past, scripts.machine(), past.code_sha256)
    with pytest.raises(UsageError, match=r"CPUs: 2 CPUs of 2, not 3 CPUs of 3\. Run all cells again with .* --force"):
        resuming.check_resumable(past, scripts.machine(3), past.code_sha256)
    with pytest.raises(UsageError, match=r"engine: docker 27\.0, not local"):
        resuming.check_resumable(past, scripts.machine(2, "local"), past.code_sha256)


BOTH = {"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}


@pytest.mark.parametrize(
    ("now", "complaint"),
    [
        pytest.param(scripts.on_builds(BOTH, (1,)), None, id="the same"),
        pytest.param(
            scripts.on_builds(BOTH, (1,), images={"3.14": "sha256:other"}),
            "image of 3.14: sha256:of-3.14, not sha256:other",
            id="another image of the second build",
        ),
        pytest.param(
            scripts.on_builds({**BOTH, "3.14": scripts.python((3, 14, 1))}, (1,)),
            "Python of 3.14: CPython 3.14.0 with the GIL, not CPython 3.14.1",
            id="another release",
        ),
    ],
)
def test_every_build_has_to_be_as_it_was_unless_it_is_forced(
    now: Session, complaint: str | None, tmp_path: Path
) -> None:
    past = resuming.take_up(unfinished(tmp_path, scripts.on_builds(BOTH, (1,))), tmp_path)
    if complaint is None:
        assert resuming.check_resumable(past, now.machine, past.code_sha256) == ()
        return
    with pytest.raises(UsageError, match=complaint) as caught:
        resuming.check_resumable(past, now.machine, past.code_sha256)
    assert "or resume it in spite of this with --force" in str(caught.value)
    changed = resuming.check_resumable(past, now.machine, past.code_sha256, force=True)
    assert complaint in past.manifest_at(1.0, changed)["forced"][0]


@pytest.mark.parametrize(
    ("now", "complaint"),
    [
        pytest.param(
            scripts.on_builds({"3.13": scripts.python()}, (1,)), "need the builds 3.14. Available: 3.13", id="a build"
        ),
        pytest.param(
            replace(scripts.on_builds(BOTH, (1,)), machine=replace(scripts.on_builds(BOTH, (1,)).machine, cpus=(1,))),
            "need CPUs 0, which are not available",
            id="a CPU",
        ),
    ],
)
def test_what_a_missing_cell_needs_cannot_be_forced(now: Session, complaint: str, tmp_path: Path) -> None:
    past = resuming.take_up(unfinished(tmp_path, scripts.on_builds(BOTH, (1,))), tmp_path)
    with pytest.raises(UsageError, match=complaint):
        resuming.check_resumable(past, now.machine, past.code_sha256, force=True)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["pipe"], "pipe"),
        (["--engine", "docker"], "--engine"),
        (["--smt"], "--smt"),
        (["--jobs", "2"], "--jobs"),
        (["--quick"], "--quick"),
        (["--predict"], "--predict"),
        (["--python", "3.13"], "--python"),
        (["--time", "30"], "--time"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_whatever_a_run_is_begun_with_is_not_set_anew(given: list[str], named: str, lab: Lab, tmp_path: Path) -> None:
    code, _, err = lab("run", *given, "--resume", str(unfinished(tmp_path)))
    assert (code, err.endswith(f"leave out {named}\n")) == (2, True), err


def test_force_without_resume_is_refused(lab: Lab) -> None:
    code, _, err = lab.run("pipe", "--force")
    assert (code, "--force goes with --resume" in err) == (2, True)


def test_a_run_that_is_under_way_is_not_taken_up(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    with (
        SessionFolder(tmp_path, folder.name, again=True),
        pytest.raises(UsageError, match="still being written by another lab"),
    ):
        resuming.take_up(folder, tmp_path)
    assert resuming.take_up(folder, tmp_path).kept


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


@pytest.mark.slow
@two_cells
def test_a_run_that_was_interrupted_and_then_killed_goes_on_from_both(lab: Lab, tmp_path: Path) -> None:
    folder = killed(tmp_path / "sessions", "in the second cell", "local")
    past = resuming.take_up(folder, tmp_path)
    changed(
        folder, report={"session": {"interrupted": True, "wall_seconds": 1.0, "notes": []}, "cells": [], "verdicts": []}
    )
    again = past.manifest_at(1.0)
    assert "report" not in again
    assert again["resumed"] == [1.0]
    resumed_again = resuming.take_up(folder, tmp_path)
    assert set(resumed_again.kept) == set(past.kept) == {"cpu1"}


def test_a_session_that_cannot_be_resumed_is_passed_over_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = cut_short(tmp_path, "20260101-000000-aa")
    newer = cut_short(tmp_path, "20260102-000000-bb")
    manifest = json.loads((newer / "session.json").read_text())
    del manifest["arguments"]["seed"]
    (newer / "session.json").write_text(json.dumps(manifest))
    assert resuming.take_up(None, tmp_path).folder == older
    message = capsys.readouterr().err
    assert "did not store the seed" in message
    assert f"to drop it, remove {newer}" in message


def test_where_no_session_can_be_resumed_each_reason_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cut_short(tmp_path, "20260101-000000-aa")
    manifest = json.loads((folder / "session.json").read_text())
    del manifest["arguments"]["seed"]
    (folder / "session.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="can be resumed: 1 passed over") as caught:
        resuming.take_up(None, tmp_path)
    assert "remove the folder" in caught.value.fix
    assert "did not store the seed" in capsys.readouterr().err


def cut_short(parent: Path, name: str) -> Path:
    """A stored run that was killed before its end."""
    folder = stored(EXPECTED, parent, name)
    manifest = json.loads((folder / "session.json").read_text())
    manifest.pop("report", None)
    manifest["arguments"].setdefault("seed", 1)
    (folder / "session.json").write_text(json.dumps(manifest))
    return folder
