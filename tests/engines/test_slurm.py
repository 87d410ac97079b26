"""The Slurm engine, with a Slurm that the tests start: cells as steps, and nothing queued whatever ends the lab."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import engines
from lab.commands import _resume, doctor
from lab.commands._requests import allocation_of
from lab.engines import slurm as slurm_engine
from lab.engines import slurm_allocation, slurm_programs, slurm_records, slurm_words
from lab.engines.slurm import Slurm
from lab.engines.slurm_programs import JobState
from lab.errors import CellError, EngineError
from lab.judging.records import Reader, read_records
from lab.model.allocation import Allocation
from lab.model.cell import Cell, Limit, Status
from lab.planning.request import Request
from lab.sessions.document import cell_document
from tests.conftest import skip_or_fail
from tests.support import cells, slurm_cluster
from tests.support.slurm_cluster import Cluster
from tests.support.terminal import Lab

#: How many observations one of the experiments makes.
TALKS = 200
#: Experiments to which something happens.
BAD = {
    "hangs": "recorder.observe('waits', True); time.sleep(600)",
    "stubborn": """
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(600)
        """,
    "talks": f"""
        for number in range({TALKS}):
            recorder.observe(str(number), True)
            time.sleep(0.01)
        """,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Slurm with two nodes."""
    if why := slurm_cluster.impossible():
        skip_or_fail(why)
    with Cluster() as running:
        yield running


@pytest.fixture
def site(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster as the site that the lab asks. After the test no job, process or file of its cells is left."""
    for name, value in cluster.settings.items():
        monkeypatch.setenv(name, value)
    temporary = Path(tempfile.mkdtemp(prefix="lab-test-"))  # short, as a socket's path has to be
    monkeypatch.setenv("TMPDIR", str(temporary))
    mark = f"MULTICORE_LAB_TEST_{uuid.uuid4().hex}"
    monkeypatch.setenv(mark, "1")
    yield cluster
    left = [] if nothing_queued(cluster) else cluster.queue()
    cluster.ask("scancel", *(line.split()[0] for line in left)) if left else None
    assert left == []
    others = [line for line in cells.still_living(mark) if not line.startswith(f"{os.getpid()}:")]
    assert others == []
    files = list(temporary.glob("multicore-lab-*")) + list(temporary.glob("lab-*"))
    shutil.rmtree(temporary)
    assert files == []


def nothing_queued(cluster: Cluster, seconds: float = 30.0) -> bool:
    """Whether the queue gets empty."""
    until = time.monotonic() + seconds
    while cluster.queue() and time.monotonic() < until:
        time.sleep(0.05)
    return cluster.queue() == []


def no_steps_left(cluster: Cluster, seconds: float = 30.0) -> bool:
    """Whether all steps of cells leave the queue; Slurm says so a moment after they have ended."""
    until = time.monotonic() + seconds
    while set(cluster.ask("squeue", "--noheader", "--steps", "--format=%j").split()) - {"extern"}:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def node(site: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """An engine on a node, probed, whose cells know the bad experiments too."""
    monkeypatch.setattr(slurm_engine, "cell_code", lambda *_, **__: cells.code_with(BAD))
    engine = slurm_engine.connect(session=uuid.uuid4().hex)
    try:
        engine.probe()
        yield engine
    finally:
        engine.close()


def on_cpu(cpu: int) -> Cell:
    return Cell(id=f"cpu1-{cpu}", limit=Limit(cpus=1), size=1, cpus=(cpu,))


def at_first_observation(act: Callable[[], object]) -> Callable[[Reader], None]:
    """Calls ``act`` once, when the experiment has said that it runs."""
    done: list[object] = []

    def watch(reader: Reader) -> None:
        if not done and any(record.kind == "observation" for record in reader.records):
            done.append(act())

    return watch


@pytest.mark.slow
def test_lab_run_measures_each_cell_in_a_step_with_the_planned_cpus(site: Cluster, lab: Lab) -> None:
    code, out, err = lab.run(
        "pool", "--engine", "slurm", "--cpus", "1,2", "--quick", "--time", "30", "--format", "json"
    )
    assert code == 0, err
    document = json.loads(out)
    assert [cell["status"] for cell in document["cells"]] == ["measured"] * 2
    for cell in document["cells"]:
        assert cell["pinned_by"] == "step"
        assert cell["proof"]["before"]["affinity"] == cell["cpus"]
        assert cell["proof"]["engine"]["affinity"] == ("0" if len(cell["cpus"]) == 1 else "0-1")
    assert document["session"]["arguments"]["allocation"] == {"time": "30"}


def apptainer_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder that is an image for Apptainer, with what is bound into it. A stand-in runs it where none is here."""
    image = folder / "image"
    image.mkdir()
    if shutil.which("apptainer"):
        monkeypatch.setenv("APPTAINER_USERNS", "1")
        monkeypatch.setenv("APPTAINER_BIND", "/usr,/bin,/lib,/lib64")
    else:
        stand_in(folder / "apptainer", f'[ "$1 $2" = "exec {image}" ] && shift 2 && exec "$@"', monkeypatch)
    return str(image)


def enroot_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A container of Enroot, with what is bound into it. A stand-in runs it where none is here."""
    if shutil.which("enroot"):
        (folder / "data/bound/etc").mkdir(parents=True)
        (folder / "config/mounts.d").mkdir(parents=True)
        lines = [f"{path} {path} none x-create=dir,rbind\n" for path in ("/usr", "/bin", "/lib", "/lib64")]
        (folder / "data/bound/etc/rc").write_text('exec /bin/false "$@"', encoding="utf-8")  # the entry point
        (folder / "config/mounts.d/bound.fstab").write_text("".join(lines), encoding="utf-8")
        monkeypatch.setenv("ENROOT_DATA_PATH", str(folder / "data"))
        monkeypatch.setenv("ENROOT_CONFIG_PATH", str(folder / "config"))
    else:
        options = f"--env MULTICORE_LAB_CELL --env TMPDIR={os.environ['TMPDIR']} --mount"
        line = f'[ "$1 $2 $4 $5 $6 $7 $8" = "start --rc {options}" ] && rc=$3 && shift 11 && exec sh "$rc" "$@"'
        stand_in(folder / "enroot", line, monkeypatch)
    return "bound"


def stand_in(path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of the shell, first on the PATH."""
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


@pytest.mark.slow
@pytest.mark.parametrize("made", [apptainer_image, enroot_image])
def test_the_cells_run_in_an_image_with_what_the_node_has_for_it(
    made: Callable[[Path, pytest.MonkeyPatch], str],
    site: Cluster,
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    image = made(tmp_path, monkeypatch)
    words = ("pipe", "--engine", "slurm", "--image", image, "--cpus", "1", "--quick", "--format", "json")
    code, out, err = lab.run(*words)
    assert code == 0, err
    document = json.loads(out)
    assert document["session"]["image"] == image
    assert [cell["status"] for cell in document["cells"]] == ["measured"]


@pytest.mark.slow
def test_an_image_that_a_node_cannot_start_is_refused_with_what_to_do(
    site: Cluster, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("pipe", "--engine", "slurm", "--cpus", "1", "--quick", "--image")
    if not any(map(shutil.which, ("apptainer", "singularity", "enroot"))):
        code, _, err = lab.run(*words, "some.sif")
        assert code == 3
        assert "the image some.sif on the node n1 did not run the probe" in err
        assert "neither apptainer, singularity nor enroot" in err
    if not any(map(shutil.which, ("apptainer", "singularity"))):
        enroot_image(tmp_path, monkeypatch)
        code, _, err = lab.run(*words, "docker://python:3.13")
        assert code == 3
        assert "first: enroot import --output image.sqsh docker://python:3.13" in " ".join(err.split())


@pytest.mark.slow
def test_a_cell_that_ends_badly_says_how_and_the_next_one_runs(node: Slurm) -> None:
    hung = cells.run_on(node, cells.order(on_cpu(0), "hangs", experiment_deadline=1))
    assert (hung.status, hung.reason) == (Status.ERROR, "hangs did not end within 1 s")
    turn = iter([1.2])  # it waits for its turn for longer than it may take
    stopped = cells.run_on(
        node, cells.order(on_cpu(1), "stubborn", cell_deadline=1), lambda reader: time.sleep(next(turn, 0))
    )
    assert stopped.reason
    assert stopped.reason.startswith("it passed its deadline and was ended")
    assert stopped.records, "what came is kept"
    assert cells.run_on(node, cells.order(on_cpu(1), "pipe")).status is Status.MEASURED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "reason"),
    [("slurmstepd", None), ("srun", "srun was killed by signal 9 (Killed), and its step was ended")],
)
def test_a_stream_that_breaks_loses_no_record(
    node: Slurm, site: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, reason: str | None
) -> None:
    monkeypatch.setattr(slurm_records, "_SILENT_SECONDS", 0.5)
    copy = tmp_path / "copy"

    def kill() -> None:
        (file,) = Path(os.environ["TMPDIR"]).glob("multicore-lab-*.jsonl")
        copy.hardlink_to(file)
        for process in site.clients() if program == "srun" else site.processes(program):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    result = cells.run_on(node, cells.order(on_cpu(0), "talks"), at_first_observation(kill))
    assert (result.reason or "").partition(";")[0] == (reason or "")
    assert list(result.records) == read_records(copy.read_bytes()).records
    if reason is None:
        assert result.status is Status.MEASURED
        assert sum(record.kind == "observation" for record in result.records) == TALKS
    assert cells.run_on(node, cells.order(on_cpu(0), "pipe")).status is Status.MEASURED


@pytest.mark.slow
def test_a_controller_that_is_started_again_costs_no_cell(node: Slurm, site: Cluster) -> None:
    site.stop("slurmctld")
    site.start_controller()
    assert cells.run_on(node, cells.order(on_cpu(0), "pipe")).status is Status.MEASURED


def cancel(site: Cluster, job: str, name: str) -> None:
    site.ask("scancel", job)


def preempt(site: Cluster, job: str, name: str) -> None:
    words = ("--no-shell", "--exclusive", "--nodes=1", f"--nodelist={name}", "--partition=urgent", "--job-name=urgent")
    site.ask("salloc", *words)
    site.ask("scancel", "--name=urgent")


def fail_node(site: Cluster, job: str, name: str) -> None:
    site.ask("scontrol", "update", f"nodename={name}", "state=down", "reason=test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (cancel, "somebody cancelled it (scancel)"),
        (preempt, "a job of higher priority took its node"),
        (fail_node, "its node failed"),
    ],
)
def test_an_allocation_that_ends_early_costs_the_rest_of_its_cells(
    node: Slurm, site: Cluster, fault: Callable[[Cluster, str, str], None], cause: str
) -> None:
    job, name = site.ask("squeue", "--noheader", "--states=RUNNING", "--format=%i %N").split()
    temporary = Path(os.environ["TMPDIR"])
    result = cells.run_on(node, cells.order(on_cpu(0), "hangs"), at_first_observation(lambda: fault(site, job, name)))
    assert result.status is Status.ERROR
    assert result.reason
    assert cause in result.reason
    assert any(record.kind == "observation" for record in result.records), "what came is kept"
    assert cell_document(result)["proof"]["after"] is None, "it is measured again when the run is resumed"
    with pytest.raises(CellError) as caught:
        cells.run_on(node, cells.order(on_cpu(1), "pipe"))
    assert f"the allocation (job {job}) has ended: {cause}" in str(caught.value)
    with contextlib.suppress(subprocess.CalledProcessError):  # it is up
        site.ask("scontrol", "update", f"nodename={name}", "state=resume")
    if fault is fail_node:  # its processes may be killed at once, so that the file with the records stays
        for file in temporary.glob("multicore-lab-*.jsonl"):
            file.unlink()
    for folder in temporary.glob("lab-*"):  # its worker may have been killed before it has removed it
        shutil.rmtree(folder)
    site.await_state(slurm_cluster.NODES, "idle")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_lab_is_ended(site: Cluster, tmp_path: Path, number: signal.Signals) -> None:
    words = ["run", "gil", "--engine", "slurm", "--cpus", "1", "--output", str(tmp_path)]
    killed = subprocess.Popen([sys.executable, "-m", "lab", *words], stderr=subprocess.PIPE, text=True)
    assert killed.stderr
    for line in killed.stderr:
        if "gil" in line:  # the cell runs
            break
    killed.send_signal(number)
    killed.wait()
    killed.stderr.close()
    assert nothing_queued(site)


@pytest.mark.slow
def test_a_run_that_waits_says_why_and_leaves_the_queue_when_it_is_ended(site: Cluster, tmp_path: Path) -> None:
    nodes = f"nodename={','.join(slurm_cluster.NODES)}"
    site.ask("scontrol", "update", nodes, "state=drain", "reason=repair")
    words = ["run", "pipe", "--engine", "slurm", "--output", str(tmp_path)]
    waiting = subprocess.Popen([sys.executable, "-m", "lab", *words], stderr=subprocess.PIPE, text=True)
    assert waiting.stderr
    line = waiting.stderr.readline()
    assert ("DRAINED" in line, "n[1-2]: repair" in line) == (True, True), line
    assert len(site.queue()) == 1
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130, err
    assert site.queue() == []
    site.ask("scontrol", "update", nodes, "state=resume")
    site.await_state(slurm_cluster.NODES, "idle")


@pytest.mark.slow
def test_a_full_spool_folder_is_named(site: Cluster, lab: Lab) -> None:
    words = ("pipe", "--engine", "slurm", "--nodelist", "n2", "--cpus", "1", "--quick")
    with site.full_spool("n2"):
        code, _, err = lab.run(*words)
        assert (code, "the node n2 starts no step" in err, "SlurmdSpoolDir is full" in err) == (3, True, True), err
        site.await_state(["n2"], "drain")
    line = slurm_words.nodes_in_words(slurm_programs.reasons_of())
    assert line.startswith("n2: SlurmdSpoolDir is full; ask the site to make room in SlurmdSpoolDir")
    site.ask("scontrol", "update", "nodename=n2", "state=resume")
    site.await_state(["n2"], "idle")


@pytest.mark.slow
def test_the_doctor_says_what_slurm_can_do(site: Cluster) -> None:
    mark, line, _ = doctor.slurm()
    assert mark == "ok"
    assert line.startswith("cells as steps of Slurm 2")
    assert line.endswith("(partitions that are up: main, urgent), pinned by its task/affinity")


@pytest.mark.slow
def test_an_allocation_around_the_lab_is_used_and_kept(
    site: Cluster, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.ask("salloc", "--no-shell", "--exclusive", "--nodes=1", "--job-name=mine")
    job = site.queue()[0].split()[0]
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_CPU_BIND", "none")  # options of the allocation are none of its steps
    code, _, err = lab.run("pipe", "--engine", "slurm", "--cpus", "1", "--quick")
    assert code == 0, err
    assert site.queue() == [f"{job} mine RUNNING"]
    assert no_steps_left(site)
    site.ask("scancel", job)


@pytest.mark.slow
def test_each_node_of_an_allocation_is_a_machine_of_its_own(site: Cluster, lab: Lab) -> None:
    words = ("pipe", "--engine", "slurm", "--nodes", "2", "--cpus", "1", "--quick", "--format", "json")
    code, out, err = lab.run(*words)
    assert code == 0, err
    document = json.loads(out)
    assert [(cell["id"], cell["status"]) for cell in document["cells"]] == [
        ("cpu1-n1", "measured"),
        ("cpu1-n2", "measured"),
    ]
    assert [host["name"] for host in document["session"]["arguments"]["hosts"]] == ["n1", "n2"]
    asked = dataclasses.asdict(Allocation(nodelist="n[1-2]"))
    assert allocation_of(argparse.Namespace(engine="slurm", **asked)).nodes == 2, "each node of a list is measured"


@pytest.mark.slow
def test_a_run_is_submitted_as_a_job_and_collected_after_it(
    site: Cluster, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = ("pipe", "--engine", "slurm", "--host", "n2", "--cpus", "1", "--quick", "--submit")
    code, out, err = lab.run(*words)
    assert code == 0, err
    job = out.split()[1]
    assert out == f"job {job} is submitted; collect it with: lab gather --slurm {job}\n"
    assert nothing_queued(site)
    code, out, err = lab("gather", "--slurm", job, "--format", "json")
    assert code == 0, err
    assert [cell["status"] for cell in json.loads(out)["cells"]] == ["measured"]

    waiting = lab.run(*words, "--time", "120")[1].split()[1]  # the partition allows 60 minutes
    assert "waits in the queue (Partition" in lab("gather", "--slurm", waiting)[2]
    site.ask("scancel", waiting)
    assert f"the job {waiting} has measured nothing: somebody cancelled it" in lab("gather", "--slurm", waiting)[2]
    code, _, err = lab("gather", "--slurm", "0")
    assert (code, f"there are: {', '.join(sorted([job, waiting]))}" in err) == (2, True)


@pytest.mark.slow
def test_what_slurm_refuses_is_told_in_one_line(site: Cluster) -> None:
    for wanted, what in (
        (Allocation(partition="nope"), "invalid partition"),
        (Allocation(nodelist="n9"), "node name"),
        (Allocation(time="120"), "PartitionTimeLimit"),
    ):
        engine = engines.make("slurm", allocation=wanted, session=uuid.uuid4().hex)
        try:
            with pytest.raises(EngineError) as caught:
                engine.probe()
            with pytest.raises(EngineError, match=re.escape(str(caught.value))):
                engine.beside("python3", ()).probe()  # type: ignore[attr-defined]
        finally:
            engine.close()
        assert what.lower() in str(caught.value).lower()
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_step_without_its_affinity_is_tainted(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    if why := slurm_cluster.impossible():
        skip_or_fail(why)
    if len(cells.CPUS) < 2:
        pytest.skip("it takes a second CPU")
    with Cluster(pins=False) as unpinned:
        for name, value in unpinned.settings.items():
            monkeypatch.setenv(name, value)
        mark, line, _ = doctor.slurm()
        assert (mark, "it pins no step to CPUs" in line) == ("!", True)
        _, out, _ = lab.run("pipe", "--engine", "slurm", "--cpus", "1", "--quick", "--format", "json")
    (cell,) = json.loads(out)["cells"]
    assert cell["status"] == "tainted"
    assert "asked for CPUs 0, inside saw 0-1" in cell["reason"]


#: What Slurm 22.05 said, or what a cell may say -> how the step was ended by Slurm.
SAID = {
    "slurmstepd-n1: error: *** STEP 2.1 ON n1 CANCELLED AT 2026-11-29T10:00:36 DUE TO TIME LIMIT ***": "time limit",
    "slurmstepd-n1: error: *** STEP 1.0 ON n1 CANCELLED AT 2026-11-29T09:25:27 DUE TO PREEMPTION ***": "priority",
    "slurmstepd-n1: error: *** STEP 1.11 ON n1 CANCELLED AT 2026-11-29T09:23:17 ***": "scancel",
    "srun: error: Node failure on n1": "failed",
    "slurmstepd-n1: error: Detected 1 oom_kill event in StepId=1.0. Some of the step tasks": "memory",
    "srun: error: n1: task 0: Exited with exit code 127": "",
    "srun: error: bloom01: task 0: Exited with exit code 1": "",
    "error: *** everything was CANCELLED ***": "",
}


@pytest.mark.parametrize("said", SAID)
def test_how_slurm_ended_a_step_is_told_by_slurm_alone(said: str) -> None:
    ending = slurm_words.ending_of(f"{said}\nsrun: error: n1: task 0: Killed\n")
    assert SAID[said] in ending if ending else not SAID[said]


@pytest.mark.parametrize(
    ("states", "end"),
    [
        pytest.param(["RUNNING"], None, id="it runs"),
        pytest.param(["CONFIGURING"], None, id="its nodes still start"),
        pytest.param(["SUSPENDED"], None, id="it is suspended, and goes on later"),
        pytest.param(["STOPPED"], None, id="it is stopped, and goes on later"),
        pytest.param([""], None, id="Slurm does not answer"),
        pytest.param(["COMPLETING", "TIMEOUT"], "Slurm ended it at its time limit", id="it ends, and then says why"),
        pytest.param(["COMPLETING"], "its state is COMPLETING", id="it ends, and does not say why"),
        pytest.param(["CANCELLED"], "somebody cancelled it", id="it has ended"),
    ],
)
def test_only_an_allocation_that_has_ended_costs_its_cells(
    states: list[str], end: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_allocation, "_CAUSE_SECONDS", 0.3)
    monkeypatch.setattr(slurm_allocation, "_POLL_SECONDS", 0.0)
    coming = iter(states)
    monkeypatch.setattr(slurm_allocation, "state_of", lambda job: JobState(next(coming, states[-1])))
    allocation = slurm_allocation.OpenAllocation(Allocation(), "s", lambda line: None)
    with pytest.raises(CellError, match=f"has ended: {end}") if end else contextlib.nullcontext():
        allocation.check()


def test_a_run_that_goes_on_may_ask_slurm_for_more_time() -> None:
    before = Allocation(time="1", partition="long")
    request = Request(experiments=("pipe",), engine="slurm", seconds=1, width=0.1, allocation=before)
    given = argparse.Namespace(time="30", partition="", nodelist="", constraint="", account="")
    assert _resume.asking(request, given).allocation == Allocation(time="30", partition="long")


def test_an_option_of_slurm_without_slurm_is_refused(lab: Lab) -> None:
    code, _, err = lab.run("pipe", "--nodes", "2")
    assert (code, "--nodes goes with --engine slurm" in err) == (2, True)


def test_without_slurm_nothing_is_asked_for(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = lab.run("pipe", "--engine", "slurm")
    assert code == 3
    assert "there is no salloc on the PATH" in err
    mark, line, _ = doctor.slurm()
    assert (mark, "cells as steps of Slurm: there is no salloc on the PATH" in line) == ("no", True)
