"""Whether Pool() can be started, and why not: on a Python that lacks something, and under a limit on processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cell.cpus.pool_trial import try_pool
from lab.engines.cell_code import cell_code
from tests.support import cells

#: Stand-ins for a Python that was built without something, as the first line of a real child.
WITHOUT = {
    "semaphores": "import _multiprocessing; del _multiprocessing.SemLock",
    "_multiprocessing": "import sys; sys.modules['_multiprocessing'] = None",
    "ctypes": "import sys; sys.modules['ctypes'] = sys.modules['_ctypes'] = None",
    "zlib": "import sys; sys.modules['zlib'] = None",
    "resource": "import sys; sys.modules['resource'] = None",
    "shared memory": "import sys; sys.modules['_posixshmem'] = None",
    "select": "import sys; sys.modules['select'] = None",
}

NO_SEMAPHORES = ("semaphores", "_multiprocessing")

#: Runs as root in a mount namespace of its own, where no semaphore can be made.
IN_A_NAMESPACE = "unshare -m --propagation private"


def lab_cpus(before: str) -> subprocess.CompletedProcess[str]:
    source = f"{before}\nimport runpy, sys\nsys.argv[:] = ['lab', 'cpus', '--no-measure']\nrunpy.run_module('lab')"
    source = source.replace("runpy.run_module('lab')", "runpy.run_module('lab', run_name='__main__')")
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("lack", WITHOUT)
def test_lab_cpus_answers_without(lack: str) -> None:
    done = lab_cpus(WITHOUT[lack])
    assert (done.returncode, done.stderr) == (0, "")
    words = " ".join(done.stdout.split())
    lacks = dict.fromkeys(NO_SEMAPHORES, "semaphores") | {"select": "select"}
    assert ("Pool() - cannot be started here: this Python has no" in words) is (lack in lacks)
    assert lack not in lacks or f"this Python has no {lacks[lack]} (" in words
    assert ("workers started" in words) is (lack not in lacks)


@pytest.mark.slow
@pytest.mark.parametrize("lack", [lack for lack in WITHOUT if lack != "select"])  # a worker waits for its child by it
def test_a_cell_without_costs_only_the_experiments_that_need_it(lack: str, tmp_path: Path) -> None:
    code = cell_code(packed=False)
    ran = cells.run(cells.job(["pipe", "race", "queue"]), tmp_path, code, before=WITHOUT[lack])
    assert ran.reader.faults == []
    outcomes = {name: ran.data("finish", name)["outcome"] for name in ("pipe", "race", "queue")}
    lacks = lack in NO_SEMAPHORES
    needs_all = lack == "_multiprocessing"  # a pipe needs it too
    assert outcomes == {
        "pipe": "failed" if needs_all else "ok",
        "race": "ok",
        "queue": "failed" if lacks or lack == "ctypes" else "ok",  # its values are of ctypes
    }
    assert (ran.data("start")["proof"]["pool_size"] is None) is lacks


@pytest.mark.parametrize(
    ("hide", "reason"),
    [
        pytest.param("mount -t tmpfs -o ro none /dev/shm", "Read-only file system", id="read-only"),
        pytest.param("mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3", "No such file", id="not there"),
    ],
)
def test_without_shared_memory_it_says_so(hide: str, reason: str) -> None:
    if os.geteuid() or subprocess.run([*IN_A_NAMESPACE.split(), "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    source = "from lab.cell.cpus.pool_trial import try_pool; print(try_pool())"
    script = f"{hide} || exit 77; exec {sys.executable} -c '{source}'"
    done = subprocess.run([*IN_A_NAMESPACE.split(), "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.stdout.startswith("PoolTrial(workers=None, why='no semaphore can be made in /dev/shm (" + reason)


def test_a_pool_that_starts_is_counted() -> None:
    trial = try_pool()
    assert trial.why == ""
    assert trial.workers in (os.cpu_count(), len(os.sched_getaffinity(0)))


#: A Python whose first processes can be started, as under a limit that leaves room for them.
FEW = """if True:
    import errno, os
    fork, started = os.fork, []
    def limited():
        if len(started) >= ROOM:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(1)
        return fork()
    os.fork = limited
    os.cpu_count = os.process_cpu_count = lambda: 8
    from lab.cell.cpus import process_limit
    process_limit._folders = lambda root: [FOLDER]
"""


def test_a_limit_on_processes_is_named_with_how_many_could_not_start(tmp_path: Path) -> None:
    (tmp_path / "pids.max").write_text("16\n", encoding="ascii")
    before = FEW.replace("ROOM", "6").replace("FOLDER", repr(str(tmp_path)))  # the child that tries, and 5 workers
    source = before + "    from lab.cell.cpus.pool_trial import try_pool\n    print(try_pool().why)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "3 of 8 workers could not start: pids limit 16\n"


@pytest.mark.slow
def test_an_experiment_that_meets_it_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "pids.max").write_text("16\n", encoding="ascii")
    body = """
    from lab.cell.measuring.rounds import Crew
    fork, started = os.fork, []
    def limited():
        if len(started) >= 5:
            raise BlockingIOError(11, os.strerror(11))
        started.append(1)
        return fork()
    os.fork = limited
    from lab.cell.cpus import process_limit
    process_limit._folders = lambda root: [FOLDER]
    Crew(recorder.cpus, least=8)
    """.replace("FOLDER", repr(str(tmp_path)))
    ran = cells.run(cells.job(["full"]), tmp_path, cells.code_with({"full": body}))
    assert "3 of 8 workers could not start: pids limit 16" in ran.data("finish")["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as a user who has no other process")
def test_the_limit_of_a_user_is_named() -> None:
    source = (
        "import os, resource, sys, select, _posixsubprocess\n"
        "import multiprocessing.pool, multiprocessing.queues, multiprocessing.synchronize, multiprocessing.popen_fork\n"
        "from lab.cell.cpus.pool_trial import try_pool\n"
        "os.setgid(64321); os.setuid(64321)\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))\n"
        "print(try_pool().why)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "no process could be started: limit of 1 processes for this user (ulimit -u)\n"
