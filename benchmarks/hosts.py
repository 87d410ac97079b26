"""What becomes of a run on three hosts of which one is lost in the middle of a cell. Prints; asserts nothing.

    python benchmarks/hosts.py [--fault FAULT …] [--host KIND …] [--seconds S] [--times] [--ends]

The hosts are three dockerd of this script's own: at a port, behind ssh on loopback, and behind TLS. In each trial the
lab measures two experiments in a cell of each host. While one cell measures, its host is killed, paused for good,
paused for some seconds, cut off, or cut off for two seconds. Then the host is given back, its session is resumed, and
the hosts are joined again. Counted are complete records that were stored and are not in the joined session, and what
is left on the engines at the end. With --times the usual run on one host alone after another is compared with all at
once. With --ends no host is lost but the lab itself, while all three measure: it is killed, it is killed with its
processes for the hosts, or its terminal is closed. Then each session is resumed, and all are joined.

It takes root, sshd, and an engine with the base image of docker/debian-base 3.13.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the hosts are the tests'

from lab.sessions import loading
from tests.support import cells
from tests.support.engine_hosts import EngineHost, EngineHosts, HostsRun, engine_hosts

#: A longer run: the hosts begin one after the other, and all are to measure at the same time.
LONGER = ("run", "pipe", "gil", "--cpus", "1,2", "--time-limit", "6")
RUN = ("run", "pipe", "gil", "--cpus", "1", "--quick")

#: The run whose times are compared.
USUAL_RUN = ("run", "--fail-on", "never")
KINDS = ("plain", "ssh", "tls")


def killed(host: EngineHost, seconds: float) -> Callable[[], object]:
    """Kill the engine. Returns what starts it again."""
    host.daemon.kill()
    return host.daemon.start


def paused(host: EngineHost, seconds: float) -> Callable[[], object]:
    """Stop the engine. Returns what lets it go on."""
    host.daemon.freeze()
    return host.daemon.thaw


def paused_for_a_while(host: EngineHost, seconds: float) -> Callable[[], object]:
    """Stop the engine for so long. Returns what does nothing."""
    host.daemon.freeze()
    time.sleep(seconds)
    host.daemon.thaw()
    return lambda: None


def cut(host: EngineHost, seconds: float) -> Callable[[], object]:
    """Cut the connections to the engine. Returns what mends them."""
    host.relay.cut()
    return host.relay.mend


def cut_for_a_moment(host: EngineHost, seconds: float) -> Callable[[], object]:
    """Cut the connections to the engine, and mend them after two seconds. Returns what does nothing."""
    host.relay.cut()
    time.sleep(min(seconds, 2.0))
    host.relay.mend()
    return lambda: None


FAULTS = {
    "killed": killed,
    "paused": paused,
    "paused for a while": paused_for_a_while,
    "cut": cut,
    "cut for a moment": cut_for_a_moment,
}


def trial(hosts: EngineHosts, kind: str, fault: str, seconds: float) -> list[object]:
    """A row: the host, the fault, and what became of the run, of its records and of its containers."""
    with TemporaryDirectory(prefix="lab-hosts-run-") as folder:
        output = ("--output", folder)
        with HostsRun(hosts, *RUN, *output, *hosts.words) as run:
            run.act({hosts.by_kind[kind].says("1 CPU (0): gil ("): lambda: None})
            began = time.monotonic()
            mend = FAULTS[fault](hosts.by_kind[kind], seconds)
            code, _, err = run.end()
            print(err, file=sys.stderr)
            took = time.monotonic() - began
        mend()
        (session,) = Path(folder).iterdir()
        joined = loading.load_session(session)
        reason = next((result.reason for result in joined.results if result.reason), "") or "-"
        states = [f"{result.status}" for result in joined.results]
        lost = missing_records(session)
        resumed: int | str = "-"
        if any(state != "measured" for state in states):
            with HostsRun(hosts, "run", "--resume", "--output", str(session)) as run:
                resumed = run.end()[0]
        with HostsRun(hosts, "merge", str(session)) as run:
            again = run.end()[0]
        left = len(hosts.left())
        return [kind, fault, f"{took:.0f} s", code, ", ".join(states), lost, reason, resumed, again, left]


def missing_records(session: Path) -> int:
    """How many complete records the folders of the hosts have that the joined session does not have."""
    joined = {
        (record.session, record.cell, record.seq)
        for result in loading.load_session(session).results
        for record in result.records
    }
    parts = [loading.load_session(part) for part in loading.folders(session)]
    stored = {
        (record.session, record.cell, record.seq)
        for part in parts
        for result in part.results
        for record in result.records
    }
    return len(stored - joined)


def kill_all(run: HostsRun) -> None:
    """Kill the lab and its processes for the hosts."""
    for process in (run.process.pid, *run.parts.values()):
        os.kill(process, signal.SIGKILL)


ENDS: dict[str, Callable[[HostsRun], object]] = {
    "the lab is killed": lambda run: run.process.kill(),
    "it is killed with its processes for the hosts": kill_all,
    "its terminal is closed": HostsRun.close_terminal,
}


HEAD_OF_ENDS = ("the end", "nothing left after", "left", "resume", "merge", "measured", "left at the end")


def end_of_lab(hosts: EngineHosts, how: str) -> list[object]:
    """A row: how the lab ended, after how long nothing was left, and what resuming brought."""
    with TemporaryDirectory(prefix="lab-hosts-run-") as folder:
        with HostsRun(hosts, *LONGER, "--output", folder, *hosts.words, in_terminal=True) as run:
            run.act({host.says("1 CPU (0): gil ("): lambda: None for host in hosts.by_kind.values()})
            began = time.monotonic()
            ENDS[how](run)
            run.process.wait()
            while (left := hosts.left() + cells.living(hosts.environment["HOME"])) and time.monotonic() < began + 120:
                time.sleep(0.1)
            took = time.monotonic() - began
        (session,) = Path(folder).iterdir()
        parts = loading.folders(session)
        with contextlib.ExitStack() as stack:
            runs = [stack.enter_context(HostsRun(hosts, "run", "--resume", str(part))) for part in parts]
            resumed = [each.end()[0] for each in runs]
        with HostsRun(hosts, "merge", str(session), "--format", "json") as run:
            merged, document, _ = run.end()
        cells_of_all = [cell["status"] for cell in json.loads(document)["cells"]]
        measured = f"{cells_of_all.count('measured')} of {len(cells_of_all)}"
        return [how, f"{took:.1f} s", len(left), resumed, merged, measured, len(hosts.left())]


def durations(hosts: EngineHosts) -> list[list[object]]:
    """How long the usual run takes on each host alone, what that is together, and how long it takes on all at once."""
    rows: list[list[object]] = []
    alone = 0.0
    for words in (*(["--host", name] for name in hosts.names), hosts.words):
        with TemporaryDirectory(prefix="lab-hosts-run-") as folder:
            began = time.monotonic()
            with HostsRun(hosts, *USUAL_RUN, "--output", folder, *words) as run:
                code = run.end()[0]
            seconds = time.monotonic() - began
            if len(words) > 2:
                rows.append(["one after the other", f"{alone:.1f} s", ""])
            alone += seconds
            rows.append([" ".join(words[1::2]), f"{seconds:.1f} s", code])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", action="append", choices=tuple(FAULTS))
    parser.add_argument("--host", action="append", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a pause takes that ends")
    parser.add_argument("--times", action="store_true", help="compare times, and lose no host")
    parser.add_argument("--ends", action="store_true", help="end the lab, and lose no host")
    options = parser.parse_args()
    head = ("host", "fault", "end after", "code", "cells", "records lost", "reason", "resume", "merge", "left")
    rows = []
    with engine_hosts() as hosts:
        if options.times:
            print(tabulate(durations(hosts), headers=("hosts", "time", "code")))
            return
        if options.ends:
            print(tabulate([end_of_lab(hosts, how) for how in ENDS], headers=HEAD_OF_ENDS))
            return
        for kind in options.host or KINDS:
            for fault in options.fault or FAULTS:
                rows.append(trial(hosts, kind, fault, options.seconds))
                print(rows[-1], file=sys.stderr, flush=True)
        print(tabulate(rows, headers=head))


if __name__ == "__main__":
    main()
