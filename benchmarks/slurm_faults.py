"""What becomes of a run on Slurm to which something happens in the middle of a cell. Prints; asserts nothing.

    python benchmarks/slurm_faults.py [--fault FAULT …] [--seconds S]

The Slurm is this script's own: a controller and two nodes on this machine. In each trial the lab measures two cells on
one node, and the fault comes while the first cell measures. Then the fault is mended, and ``lab run --resume`` measures
what is missing. "cells" has what became of both cells, and "end" how long after the fault the run ended. "lost" counts
the records that a worker has written into the file on its node and that the session does not have. "left" counts the
jobs, steps and processes of the lab that are left in the end, and its files on the nodes. "missing" counts the cells
that are missing in the end.

It takes root, iptables, and the packages of .ci/setup-slurm.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from tempfile import TemporaryDirectory

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the cluster is the tests'

from lab.sessions import loading
from tests.support import cells
from tests.support.slurm_cluster import NODES, Cluster

RUN = ("pipe", "gil", "--engine", "slurm", "--cpus", "1,2", "--quick")
#: A cell of it takes longer than the shortest time limit that Slurm knows, one minute.
LONG_RUN = ("all", "--engine", "slurm", "--cpus", "1,2", "--time", "1")

Mend = Callable[[], object]


def nothing() -> None:
    """Mend what has mended itself."""


def node_of(cluster: Cluster) -> str:
    """The node that the job runs on."""
    return cluster.ask("squeue", "--noheader", "--states=RUNNING", "--format=%N").strip()


def signalled(pids: list[int], number: Signals) -> None:
    """Send a signal to processes that may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def step_killed(cluster: Cluster, seconds: float) -> Mend:
    """Kill the daemon of the step."""
    signalled(cluster.processes("slurmstepd"), SIGKILL)
    return nothing


def step_stopped_for_a_while(cluster: Cluster, seconds: float) -> Mend:
    """Stop the daemon of the step for so long."""
    daemons = cluster.processes("slurmstepd")
    signalled(daemons, SIGSTOP)
    time.sleep(seconds)
    signalled(daemons, SIGCONT)
    return nothing


def step_stopped(cluster: Cluster, seconds: float) -> Mend:
    """Stop the daemon of the step."""
    daemons = cluster.processes("slurmstepd")
    signalled(daemons, SIGSTOP)
    return lambda: signalled(daemons, SIGCONT)


def node_stopped_for_a_while(cluster: Cluster, seconds: float) -> Mend:
    """Stop the daemon of the node for so long."""
    daemon = cluster.pid(node_of(cluster))
    signalled([daemon], SIGSTOP)
    time.sleep(seconds)
    signalled([daemon], SIGCONT)
    return nothing


def node_stopped(cluster: Cluster, seconds: float) -> Mend:
    """Stop the daemon of the node."""
    daemon = cluster.pid(node_of(cluster))
    signalled([daemon], SIGSTOP)
    return lambda: signalled([daemon], SIGCONT)


def node_killed(cluster: Cluster, seconds: float) -> Mend:
    """Kill the daemon of the node."""
    name = node_of(cluster)
    cluster.kill(name)
    return lambda: cluster.start_node(name)


def machine_killed(cluster: Cluster, seconds: float) -> Mend:
    """Kill all that runs on the node, as when its power fails."""
    name = node_of(cluster)
    cluster.kill(name)
    signalled([*cluster.processes("slurmstepd"), *cells_of(cluster)], SIGKILL)
    return lambda: cluster.start_node(name)


def cells_of(cluster: Cluster) -> list[int]:
    """The processes of the cell that runs."""
    return [int(line.partition(":")[0]) for line in cells.living("MULTICORE_LAB_CELL=")]


def client_killed(cluster: Cluster, seconds: float) -> Mend:
    """Kill the ``srun`` of the cell."""
    signalled(cluster.clients(), SIGKILL)
    return nothing


def client_cut(cluster: Cluster, seconds: float) -> Mend:
    """Cut the connections between ``srun`` and the step, for good."""
    ports = ports_of(cluster.processes("srun"))
    for port in ports:
        rule(port, "--insert")

    def mend() -> None:
        for port in ports:
            rule(port, "--delete")

    return mend


def ports_of(pids: list[int]) -> set[int]:
    """The ports of these processes, listening and connected."""
    lines = subprocess.run(["ss", "-Htanp"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    own = [line for line in lines if any(f"pid={pid}," in line for pid in pids)]
    return {int(line.split()[3].rpartition(":")[2]) for line in own}


def rule(port: int, act: str) -> None:
    """Refuse all that is sent to a port of this machine, or stop to refuse it."""
    words = ["iptables", act, "INPUT", "--in-interface", "lo", "--protocol", "tcp", "--dport", str(port)]
    subprocess.run([*words, "--jump", "REJECT", "--reject-with", "tcp-reset"], check=True)


def cancelled(cluster: Cluster, seconds: float) -> Mend:
    """Cancel the job."""
    cluster.ask("scancel", cluster.queue()[0].split()[0])
    return nothing


def out_of_time(cluster: Cluster, seconds: float) -> Mend:
    """Nothing: the job has one minute, and the cell takes longer."""
    return nothing


FAULTS = {
    "slurmstepd killed": step_killed,
    "slurmstepd stopped for a while": step_stopped_for_a_while,
    "slurmstepd stopped": step_stopped,
    "slurmd stopped for a while": node_stopped_for_a_while,
    "slurmd stopped": node_stopped,
    "slurmd killed": node_killed,
    "node killed": machine_killed,
    "srun killed": client_killed,
    "srun cut off": client_cut,
    "scancel": cancelled,
    "time limit": out_of_time,
}


@contextlib.contextmanager
def lab(cluster: Cluster, mark: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """``lab`` with this cluster, and with a mark by which its processes are known."""
    environment = {**os.environ, **cluster.settings, mark: "1"}
    line = [sys.executable, "-m", "lab", "run", *words]
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def trial(cluster: Cluster, fault: str, seconds: float) -> list[object]:
    """A row: the fault, and what became of the run, of its records, its steps and its cells."""
    mark = f"MULTICORE_LAB_TEST_{uuid.uuid4().hex}"
    words = LONG_RUN if fault == "time limit" else RUN
    with TemporaryDirectory(prefix="lab-slurm-run-") as folder:
        copies = Path(folder) / "copies"
        copies.mkdir()
        output = Path(folder) / "sessions"
        with lab(cluster, mark, *words, "--output", str(output)) as process:
            assert process.stderr
            said = []
            for line in process.stderr:
                said.append(line)
                if "gil (" in line:
                    break
            keep_copies(copies)
            began = time.monotonic()
            mend = FAULTS[fault](cluster, seconds)
            for line in process.stderr:
                said.append(line)
            code = process.wait()
            took = time.monotonic() - began
        print("".join(said), file=sys.stderr)
        (session,) = output.iterdir()
        stored = loading.load_session(session)
        lost = lost_records(copies, session)
        mend()
        cluster.await_state(NODES, "idle")
        missing = 0
        if any(result.status != "measured" for result in stored.results):
            with lab(cluster, mark, "--resume", "--time", "30", "--output", str(output)) as process:
                assert process.stderr
                print(process.stderr.read(), file=sys.stderr)
                process.wait()
            missing = sum(result.status != "measured" for result in loading.load_session(session).results)
        left = [*left_behind(cluster, mark)]
        said_of = next((result.reason for result in stored.results if result.reason), "-")
        statuses = ", ".join(f"{result.status}" for result in stored.results)
        return [fault, statuses, said_of, f"{took:.0f} s", code, lost, " ".join(left) or 0, missing]


def keep_copies(folder: Path) -> None:
    """Keep the files of records on the nodes beyond their end, by links."""
    for file in Path("/tmp").glob("multicore-lab-*.jsonl"):
        (folder / file.name).hardlink_to(file)


def lost_records(copies: Path, session: Path) -> int:
    """How many whole records a worker has written that the session does not have."""
    stored = {line for file in session.rglob("*.jsonl") for line in file.read_bytes().splitlines()}
    written = {line for file in copies.iterdir() for line in file.read_bytes().split(b"\n")[:-1]}
    return len(written - stored)


def left_behind(cluster: Cluster, mark: str) -> Iterator[str]:
    """The jobs, steps, processes and files of a run that are left after it, and after Slurm has taken its time."""
    until = time.monotonic() + 10
    while cluster.queue() and time.monotonic() < until:
        time.sleep(0.1)
    yield from (f"job:{line}" for line in cluster.queue())
    yield from (f"step:{line}" for line in cluster.ask("squeue", "--noheader", "--steps", "--format=%i").split())
    yield from (f"process:{line}" for line in cells.still_living(mark, 10))
    yield from (str(file) for file in Path("/tmp").glob("multicore-lab-*.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", action="append", choices=tuple(FAULTS))
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a pause takes that ends")
    options = parser.parse_args()
    head = ("fault", "cells", "the lab says", "end", "code", "lost", "left", "missing")
    rows = []
    for fault in options.fault or FAULTS:
        with Cluster(silent_seconds=10) as cluster:
            rows.append(trial(cluster, fault, options.seconds))
        print(rows[-1], file=sys.stderr, flush=True)
    print(tabulate(rows, headers=head, maxcolwidths=[18, 10, 46]))


if __name__ == "__main__":
    main()
