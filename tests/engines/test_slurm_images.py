"""Images on a node of Slurm: what the script asks a container runtime for, with stand-ins that the shell runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.cell.worker.job import MARK
from lab.engines import slurm_guard
from lab.engines.slurm_images import folders_of, in_image
from lab.model.cell import Cell, Job, Limit

#: Prints each word that it gets, and the file of ``--rc``, to its standard error; then runs the command in the image.
ENROOT = """\
printf '%s\\n' "$@" >&2
rc=$3
cat "$rc" >&2
while [ "$1" != -- ]; do shift; done
shift 2
exec /bin/sh "$rc" "$@"
"""
#: Says what it reads from its standard input, and then waits until it is asked to end.
LISTENER = 'trap "echo asked; exit 3" TERM; read -r word; echo "$word"; while :; do sleep 0.05; done'


def environment(folder: Path, runtime: str, script: str) -> dict[str, str]:
    """One in which the only container runtime is this script."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("sort", "sed", "rm", "cat", "sleep"):
        (programs / name).symlink_to(f"/bin/{name}")
    (programs / runtime).write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    (programs / runtime).chmod(0o755)
    return {"PATH": str(programs), "TMPDIR": str(folder / "tmp folder")}


def started(words: tuple[str, ...], variables: Mapping[str, str], where: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=variables, cwd=where, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_enroot_gets_the_folders_no_entry_point_and_each_request_to_end(tmp_path: Path) -> None:
    variables = environment(tmp_path, "enroot", ENROOT)
    temporary, inner = tmp_path / "tmp folder", tmp_path / "tmp folder/code"
    inner.mkdir(parents=True)
    folders = [f"ro {inner}", f"rw {tmp_path}", "ro /no/such/folder", "ro /"]
    words = (*in_image("-x.sqsh", folders, "session.mark"), "/bin/sh", "-c", LISTENER)
    step = started(words, variables, tmp_path)
    assert step.stdin
    assert step.stdout
    step.stdin.write("ready\n")
    step.stdin.flush()
    assert step.stdout.readline() == "ready\n"
    step.send_signal(signal.SIGTERM)
    out, err = step.communicate()
    assert (out, step.returncode) == ("asked\n", 3)

    rc = temporary / "session.mark.rc"
    options = ["--rc", str(rc), "--env", MARK, "--env", f"TMPDIR={temporary}"]
    for path, mode in ((tmp_path, "rw"), (temporary, "rw"), (inner, "ro")):
        escaped = str(path).replace(" ", "\\040")
        options += ["--mount", f"{escaped}:{escaped}:none:x-create=dir,bind,{mode}"]
    lines = err.splitlines()
    assert lines[: len(options) + 4] == ["start", *options, "--", "-x.sqsh", "/bin/sh"]
    assert lines[-2:] == [f'rm -f "{rc}"', 'exec "$@"']
    assert not rc.exists()


def test_apptainer_gets_the_folders_that_are_there(tmp_path: Path) -> None:
    variables = environment(tmp_path, "apptainer", 'echo "$*"')
    words = in_image("some.sif", [f"ro {tmp_path}", "rw /no/such/folder"], "session.mark")
    step = started((*words, "python3", "-c", ""), variables, tmp_path)
    assert step.communicate()[0] == f"exec --bind {tmp_path}:{tmp_path}:ro some.sif python3 -c \n"


def test_code_can_only_be_read_and_a_program_may_write_where_it_starts() -> None:
    def job(**values: object) -> Job:
        cell = Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,))
        named = {"experiments": (), "seconds": 1.0, "width": 0.1, "experiment_deadline": 1.0, "cell_deadline": 1.0}
        return Job(session="s", cell=cell, **{**named, **values})  # type: ignore[arg-type]

    assert folders_of(job()) == []
    assert folders_of(job(project="/a", other="/b", cases={"scale:f": {}})) == ["ro /a", "ro /b"]
    cases = {"exec:1": {"folder": ""}, "exec:2": {"folder": "/c"}, "exec:3": {"folder": ""}}
    assert folders_of(job(cases=cases)) == [f"rw {Path.cwd()}", "rw /c"]


def test_the_guard_removes_all_files_and_semaphores_of_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    mark = f"test{os.getpid()}"
    for name in (f"mine.{mark}.jsonl", f"mine.{mark}.jsonl.rc", f"other.{mark}.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / f"lab-{mark}-x/inner").mkdir(parents=True)
    semaphores = [Path(f"/dev/shm/sem.mp-{name}-x") for name in (mark, f"{mark}0")]
    try:
        for semaphore in semaphores:
            semaphore.touch()
        for session in ("mine", "none"):
            subprocess.run(["/bin/sh", "-c", slurm_guard._CLEAN, "sh", session, MARK], check=True)
        assert [semaphore.exists() for semaphore in semaphores] == [False, True]
        assert [path.name for path in tmp_path.iterdir()] == [f"other.{mark}.jsonl"]
    finally:
        for semaphore in semaphores:
            semaphore.unlink(missing_ok=True)
