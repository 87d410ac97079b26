"""An experiment costs itself alone: what it does to others is put back, or the cell is tainted with the reason."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.cell.cpus import cgroups
from lab.cell.worker import surroundings
from lab.cell.worker.surroundings import Surroundings
from lab.containers.client import client_for_this_environment
from lab.engines.docker import Docker
from lab.judging import proofs
from lab.model.cell import Cell, Limit, Status
from tests.support import cells

#: What the next experiment sees of its surroundings. Its own code is loaded from the zip file after the hostile one.
AFTER = """
import resource, tempfile
recorder.observe("after", {
    "niceness": os.getpriority(os.PRIO_PROCESS, 0),
    "scheduler": os.sched_getscheduler(0),
    "affinity": sorted(os.sched_getaffinity(0)),
    "score": int(open("/proc/self/oom_score_adj").read()),
    "blocking": [os.get_blocking(number) for number in (0, 1, 2)],
    "umask": (os.umask(0), os.umask(0o22))[0],
    "folder": os.getcwd() == os.environ["HOME"],
    "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
    "ignored": [number for number in (1, 10, 13, 14) if signal.getsignal(number) == signal.SIG_IGN],
    "files": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
    "limit": list(resource.getrlimit(resource.RLIMIT_STACK)),
    "beside": os.listdir(tempfile.gettempdir()),
})
"""


class Hostile(NamedTuple):
    """What an experiment does to others, and the doubt that may remain where it cannot be put back."""

    name: str
    body: str
    doubt: str | None = None


TO_OTHERS = [
    Hostile("makes the worker nicer", "os.setpriority(os.PRIO_PROCESS, os.getppid(), 15)", "the niceness was changed"),
    Hostile("makes the worker's group nicer", "os.setpriority(os.PRIO_PGRP, os.getpgid(os.getppid()), 15)", "niceness"),
    Hostile(
        "makes the worker a batch process", "os.sched_setscheduler(os.getppid(), os.SCHED_BATCH, os.sched_param(0))"
    ),
    Hostile(
        "makes the worker an idle process",
        "os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0))",
        "the scheduling policy was changed",
    ),
    Hostile(
        "pins the worker",
        "os.sched_setaffinity(os.getppid(), {max(os.sched_getaffinity(0))})",
        "the affinity was changed from",
    ),
    Hostile(
        "lowers a soft limit of the worker",
        """
        import resource
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (40, most))
        """,
    ),
    Hostile(
        "lowers a hard limit of the worker",
        "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (40, 50))",
        "the limit RLIMIT_NOFILE was changed from",
    ),
    Hostile("offers the worker to the OOM killer", "open('/proc/%d/oom_score_adj' % os.getppid(), 'w').write('900')"),
    Hostile("makes standard error not block", "os.set_blocking(2, False)"),
    Hostile("overwrites the code", "open(CODE, 'w').write('nothing')"),
    Hostile("removes the code", "os.unlink(CODE)"),
    Hostile(
        "puts a folder in the place of the code", "os.unlink(CODE)\nos.mkdir(CODE)\nopen(CODE + '/x', 'w').close()"
    ),
    Hostile("puts a pipe in the place of the code", "os.unlink(CODE)\nos.mkfifo(CODE)"),
    Hostile("changes its umask and its folder", "os.umask(0o777)\nos.chdir('/')"),
    Hostile(
        "blocks and ignores signals",
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM})
        for number in (1, 10, 13, 14):
            signal.signal(number, signal.SIG_IGN)
        """,
    ),
    Hostile("limits itself", "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (2**20, 2**20))"),
    Hostile(
        "leaves a folder that nobody may enter",
        "import tempfile\nd = tempfile.mkdtemp()\nos.mkdir(d + '/inner')\nos.chmod(d + '/inner', 0)\nos.chmod(d, 0)",
    ),
    Hostile(
        "leaves folders that are deeper than a path may be long",
        """
        import tempfile
        os.chdir(tempfile.mkdtemp())
        for _ in range(1200):
            os.mkdir('deeper')
            os.chdir('deeper')
        """,
    ),
    Hostile("leaves a link to a folder of others", "import tempfile\nos.symlink('/usr', tempfile.mkdtemp() + '/usr')"),
]


@pytest.mark.slow
@pytest.mark.parametrize("hostile", TO_OTHERS, ids=lambda hostile: hostile.name)
def test_an_experiment_that(hostile: Hostile, tmp_path: Path) -> None:
    code = "CODE = next(path for path in sys.path if path.endswith('cell.zip'))\n"
    home = "os.environ['HOME'] = os.getcwd()\n"
    bodies = {"before": "pass", "hostile": code + textwrap.dedent(hostile.body), "after": AFTER}
    ran = cells.run(cells.job(list(bodies)), tmp_path, cells.code_with(bodies), before="import os\n" + home)
    assert ran.reader.faults == []
    assert [record.data["outcome"] for record in ran.records if record.kind == "finish"] == ["ok"] * 3
    (after,) = [record.data["value"] for record in ran.records if record.data.get("name") == "after"]
    taints = proofs.taints(ran.result(cells.CPUS))
    if taints and hostile.doubt:
        assert len(taints) == 1
        assert hostile.doubt in taints[0]
        assert "(while hostile ran)" in taints[0]
    else:
        assert taints == ()
    if taints and "cannot be put back" in taints[0]:
        return
    policy, score = os.sched_getscheduler(0), Path("/proc/self/oom_score_adj").read_text(encoding="ascii")
    assert (after["niceness"], after["scheduler"]) == (os.getpriority(os.PRIO_PROCESS, 0), policy)
    assert (after["affinity"], after["score"]) == (list(cells.CPUS), int(score))
    assert after["blocking"] == [True, True, True]
    assert after["folder"] is True
    assert (after["mask"], after["beside"]) == ([], [])
    assert 50 not in after["files"]
    assert 40 not in after["files"]
    assert 2**20 not in after["limit"]
    assert after["umask"] != 0o777


@pytest.mark.parametrize("alone", [True, False], ids=["alone in its container", "beside others"])
def test_new_files_are_removed_only_where_a_cell_is_alone(
    alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_FOLDERS", (str(tmp_path), "/not there"))
    monkeypatch.setattr(surroundings, "_OBJECTS", {})
    (tmp_path / "old").write_text("here before", encoding="utf-8")
    kept = Surroundings(alone, None)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").write_text("filled the disk", encoding="utf-8")
    (tmp_path / "link").symlink_to("old")
    assert kept.put_back() == []
    assert {path.name for path in tmp_path.iterdir()} == ({"old"} if alone else {"old", "new", "link"})


FILLS = """
import ctypes, tempfile
for folder in ("/tmp", "/dev/shm"):
    os.mkdir(folder + "/locked")
    try:
        with open(folder + "/locked/full", "wb") as file:
            while file.write(bytes(2**20)):
                pass
    except OSError:
        os.chmod(folder + "/locked", 0)
libc = ctypes.CDLL(None)
recorder.observe("segment", libc.shmget(0, 2**20, 0o1600) >= 0)
"""

FOUND = """
import multiprocessing
multiprocessing.Lock()
recorder.observe("found", [os.listdir("/tmp"), os.listdir("/dev/shm"), len(open("/proc/sysvipc/shm").readlines()) - 1])
"""


@pytest.mark.engine
def test_a_container_is_as_it_was_for_the_next_experiment(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = cells.code_with({"fills": FILLS, "found": FOUND})
    monkeypatch.setattr("lab.engines.docker.cell_code", lambda *_, **__: code)
    session = f"test-{secrets.token_hex(4)}"
    cell = Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,))
    engine = Docker(client_for_this_environment(), image, session)
    try:
        result = cells.run_on(engine, cells.order(cell, "fills", "found", session=session))
    finally:
        engine.close()
    assert (result.status, result.reason) == (Status.MEASURED, None)
    seen = {record.data["name"]: record.data["value"] for record in result.records if record.kind == "observation"}
    files, shared_memory, segments = seen["found"]
    assert seen["segment"] is True
    assert [name for name in files if not name.startswith(("multicore-lab-", "lab-"))] == []
    assert (shared_memory, segments) == ([], 0)


#: What is read on this machine; the tests change parts of it.
REALLY = cgroups.look()


def group(folder: str, quota: float | None = None) -> cgroups.Groups:
    """What is read where a group has this quota, or none."""
    level = cgroups.Level(folder, 100000 * (quota or 0), 100000, 0, 0.0)
    levels = (level,) if quota else ()
    return REALLY._replace(version=2, levels=levels, cpuset="0-1", folders=(folder,))


def test_a_quota_that_came_and_went_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = tmp_path / "cpu.stat"
    statistics.write_text("usage_usec 5\nnr_periods 7\nnr_throttled 1\n", encoding="ascii")
    monkeypatch.setattr(cgroups, "look", lambda: group(str(tmp_path)))
    kept = Surroundings(False, None)
    assert kept.put_back() == []
    statistics.write_text("usage_usec 9\nnr_periods 19\nnr_throttled 4\n", encoding="ascii")
    assert kept.put_back() == ["a quota came and went: it lasted for 12 of its periods"]
    assert kept.put_back() == []


def test_a_limit_that_changed_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "look", lambda: group(str(tmp_path), 2))
    kept = Surroundings(False, None)
    monkeypatch.setattr(cgroups, "look", lambda: group(str(tmp_path), 0.5)._replace(cpuset="0"))
    assert kept.put_back() == ["the quota changed from 2 to 0.5", "the CPU set changed from 0-1 to 0"]
    assert kept.put_back() == []


ORPHANS = """
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()
recorder.observe("left", True)
"""

#: The processes with the mark that the next experiment sees, apart from itself and the worker.
LEFT = """
found = []
for entry in os.listdir('/proc'):
    try:
        if entry.isdecimal() and b'MULTICORE_LAB_CELL=%s' in open('/proc/%%s/environ' %% entry, 'rb').read():
            found.append(int(entry))
    except OSError:
        pass
recorder.observe('beside', sorted(set(found) - {os.getpid(), os.getppid()}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import sys; sys.modules['ctypes'] = None"], ids=["with", "without ctypes"])
def test_no_orphan_is_left_to_the_next_experiment(before: str, tmp_path: Path) -> None:
    mark = f"test{os.getpid()}x{time.monotonic_ns()}"
    bodies = {"hostile": ORPHANS, "after": LEFT % mark}
    setting = f"import os; os.environ['MULTICORE_LAB_CELL'] = '{mark}'\n"
    # The environment of a process is what it was started with: start the same program once more.
    again = """
import sys
if 'again' not in os.environ:
    os.environ['again'] = '1'
    os.execv(sys.executable, sys.orig_argv)
"""
    if not hasattr(sys, "orig_argv"):
        pytest.skip("this Python does not know its own command line")
    work = cells.job(list(bodies), mark=mark)
    ran = cells.run(work, tmp_path, cells.code_with(bodies), before=setting + again + before)
    assert ran.reader.faults == []
    (beside,) = [record.data["value"] for record in ran.records if record.data.get("name") == "beside"]
    assert beside == []


def test_a_system_v_segment_is_removed_with_the_experiment_that_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ctypes = pytest.importorskip("ctypes")
    monkeypatch.setattr(surroundings, "_FOLDERS", ())
    shared_memory = surroundings._numbers("shm")
    segment = ctypes.CDLL(None).shmget(0, 4096, 0o1600)
    if segment < 0:
        pytest.skip("this system has no System V shared memory")
    assert segment in surroundings._numbers("shm")
    assert surroundings._removed("shm", shared_memory) == []
    assert segment not in surroundings._numbers("shm")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not undo it")
def test_what_nobody_may_undo_taints(tmp_path: Path) -> None:
    source = """if True:
        import os, resource
        from lab.cell.worker.surroundings import Surroundings
        os.setuid(65534)
        kept = Surroundings(False, None)
        os.nice(3)
        print(kept.put_back(), kept.put_back())
    """
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    now = os.getpriority(os.PRIO_PROCESS, 0)
    assert done.stdout == f"['the niceness was changed from {now} to {now + 3} and cannot be put back'] []\n"
