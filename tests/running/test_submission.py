"""What is collected of a batch job of Slurm, by what Slurm says of it. Its programs are of the shell here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lab.engines.slurm_programs import _PROGRAMS
from tests.support.terminal import Lab

JOB = "4711"
STORED = Path(__file__).parents[1] / "data" / "stored"
(CUT,), (WHOLE,) = (tuple((STORED / kind).iterdir()) for kind in ("cut", "docker"))


class Site:
    """A Slurm that answers as it is told to, and the job that the lab has submitted to it."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.job = folder / "bin", folder / "job-1"
        self.programs.mkdir()
        self.job.mkdir()
        index = folder / "multicore-lab" / "slurm" / f"{JOB}.json"
        index.parent.mkdir(parents=True)
        index.write_text(json.dumps({"folder": str(self.job), "command": "run"}))

    def answers(self, *states: str) -> None:
        """Let it answer, and say each of these states of the job in turn; empty: it does not know the job."""
        self.program("scontrol", "echo 'SLURM_VERSION = 22.05.8'")
        for number, state in enumerate(states):
            (self.programs / str(number)).write_text(f"{state}|None|n[1-2]|debug\n" if state else "")
        self.program("squeue", f'cd {self.programs}; for file in [0-9]; do cat "$file"; rm "$file"; exit; done')

    def is_silent(self) -> None:
        """Let it answer nothing."""
        for name in _PROGRAMS:
            self.program(name, "echo 'Unable to contact slurm controller' >&2; exit 1")

    def program(self, name: str, line: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{line}\n")
        (self.programs / name).chmod(0o755)

    def keep(self, session: Path, below: str = "", host: str = "") -> None:
        """Store a session in the folder of the job, as that of a host if one is named."""
        folder = self.job / below / session.name
        shutil.copytree(session, folder)
        manifest = json.loads((folder / "session.json").read_text())
        manifest["arguments"] |= {"host": host} if host else {}
        (folder / "session.json").write_text(json.dumps(manifest))
        if host:
            folder.rename(folder.with_name(host))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    site = Site(tmp_path)
    site.is_silent()
    return site


def test_a_job_has_ended_only_where_slurm_or_its_session_says_so(site: Site, lab: Lab) -> None:
    site.keep(CUT)
    code, out, err = lab("gather", "--slurm", JOB)
    assert (code, out) == (3, "")
    assert f"whether the job {JOB} has ended is not known: Slurm's programs are here, but no controller answers" in err
    assert "--resume" not in err  # it would be a second writer
    site.answers("", "RUNNING")
    assert f"the job {JOB} has not ended on n[1-2]" in lab("gather", "--slurm", JOB)[2]

    site.answers("", "")
    code, out, err = lab("gather", "--slurm", JOB)
    assert "this session was cut short" in " ".join(out.split())
    assert (code, err.count("did not end by itself")) == (3, 1)
    assert err.rstrip().endswith(f"measure its missing cells with: lab run --resume --output {site.job}")

    site.is_silent()
    shutil.rmtree(site.job)
    site.keep(WHOLE)
    assert lab("gather", "--slurm", JOB)[0] == 0
    shutil.rmtree(site.job)
    (site.programs / "squeue").unlink()
    assert "has ended is not known: there is no squeue on the PATH" in lab("gather", "--slurm", JOB)[2]


@pytest.mark.parametrize("state", ["CONFIGURING", "SUSPENDED", "SIGNALING", "COMPLETING"])
def test_a_job_that_may_still_write_its_session_is_not_collected(site: Site, lab: Lab, state: str) -> None:
    site.keep(CUT)
    site.answers(state)
    code, _, err = lab("gather", "--slurm", JOB)
    assert code == 3
    assert f"the job {JOB} has not ended on n[1-2]" in err


def test_what_the_nodes_of_a_job_have_measured_is_joined_where_the_job_could_not(site: Site, lab: Lab) -> None:
    for host in ("n1", "n2"):
        site.keep(CUT, below="20261128-1", host=host)
    site.answers("TIMEOUT")
    code, out, err = lab("gather", "--slurm", JOB, "--format", "json")
    document = json.loads(out)
    assert [host["name"] for host in document["session"]["arguments"]["hosts"]] == ["n1", "n2"]
    assert (code, document["session"]["interrupted"]) == (3, True)
    folder = site.job / "20261128-1"
    assert err.rstrip().endswith(f"lab run --resume --output {folder}; then join all hosts with: lab merge {folder}")
