"""``kill -9`` of the orchestrator at random moments, then ``lab run --resume``. Prints; asserts nothing.

    python benchmarks/kill.py [--local N] [--docker N] [--image IMAGE] [--seed N] [--clean]

Each run is two short experiments in two cells. Counted are: runs whose verdicts after resuming are those of a run that
nobody killed; complete records that were on the disk at the kill and are not there any more; what is left on the engine
after the clean-up of that session by its label, and processes that outlive the run. A run that is killed in the probe
has no session yet to clean up after: ``--clean`` runs ``lab clean`` at the end, which removes what any session has left
on the engine, and counts what is there then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from lab.containers import cleanup
from lab.containers import client as client_
from lab.sessions import listing, loading

RUN = [sys.executable, "-m", "lab", "run", "process", "pipe", "--quick", "--cpus", "1,2"]


@dataclass(kw_only=True)
class Told:
    """What came of the kills."""

    runs: int = 0
    before_it_began: int = 0
    after_it_ended: int = 0
    kept: int = 0
    same: int = 0
    lost: int = 0
    left: int = 0
    alive: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", type=int, default=40)
    parser.add_argument("--docker", type=int, default=10)
    parser.add_argument("--image")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clean", action="store_true", help="only where nobody else uses the lab on this engine")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    for engine, times in (("local", options.local), ("docker", options.docker)):
        if times:
            image = ["--image", options.image] if options.image and engine == "docker" else []
            report(engine, kills([*RUN, "--engine", engine, *image], times, generator))
    if options.clean:
        subprocess.run([sys.executable, "-m", "lab", "clean"], check=True)
        client = client_.client_for_this_environment()
        left = client.api.containers(all=True, filters={"label": client_.SESSION_LABEL})
        client.close()
        print(f"left on the engine after lab clean: {len(left)}")


def report(engine: str, counts: Told) -> None:
    print(
        f"{engine}: {counts.runs} kills ({counts.before_it_began} before there was a manifest, {counts.after_it_ended}"
        f" after the end); after --resume the same verdicts in {counts.same} of {counts.runs - counts.before_it_began};"
        f" cells not measured again: {counts.kept}; complete records lost: {counts.lost};"
        f" left on the engine by these sessions: {counts.left}; processes that outlived the run: {counts.alive}"
    )


def kills(command: list[str], times: int, generator: random.Random) -> Told:
    """Kill that many runs, at moments spread over how long one takes."""
    counts = Told()
    with tempfile.TemporaryDirectory() as parent:
        began = time.monotonic()
        subprocess.run([*command, "--output", f"{parent}/whole"], capture_output=True, check=True)
        whole, seconds = verdicts(Path(parent) / "whole"), time.monotonic() - began
        for number in range(times):
            kill(command, Path(parent) / str(number), generator.uniform(0.1, seconds), whole, counts)
    return counts


def kill(command: list[str], folder: Path, after: float, whole: dict[str, str], counts: Told) -> None:
    """Kill one run after so many seconds, resume it, and count."""
    mark = f"MULTICORE_LAB_KILL_{uuid.uuid4().hex}"
    process = subprocess.Popen(
        [*command, "--output", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, mark: "1"},
    )
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    counts.runs += 1
    before = records(folder)
    sessions = listing.entries(folder) if folder.exists() else []
    if not sessions:
        counts.before_it_began += 1
    else:
        counts.after_it_ended += sessions[0].state is listing.State.COMPLETE
        if sessions[0].state is not listing.State.COMPLETE:
            counts.kept += sessions[0].measured
            subprocess.run(
                [sys.executable, "-m", "lab", "run", "--resume", "--output", folder], capture_output=True, check=False
            )
        counts.same += verdicts(folder) == whole
        counts.lost += len(before - records(folder))
    if "docker" in command:
        client = client_.client_for_this_environment()
        for name in [path.name for path in folder.glob("*")]:
            cleanup.remove_all(client, name)
            label = {"label": f"{client_.SESSION_LABEL}={name}"}
            counts.left += len(client.api.containers(all=True, filters=label))
        client.close()
    until = time.monotonic() + 10
    while living(mark) and time.monotonic() < until:
        time.sleep(0.1)
    counts.alive += living(mark)


def verdicts(parent: Path) -> dict[str, str]:
    """Claim and cell -> verdict, of the newest session."""
    session = loading.load_session(loading.newest(parent))
    return {f"{judgement.claim} {judgement.cell}": str(judgement.verdict) for judgement in session.judgements}


def records(folder: Path) -> set[bytes]:
    """Every complete record on the disk."""
    files = [*folder.glob("*/*.jsonl"), *folder.glob("*/*.torn")]
    return {line for path in files for line in path.read_bytes().split(b"\n")[:-1] if json.loads(line)}


def living(mark: str) -> int:
    """How many processes of the killed run's tree are left."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            count += mark.encode() in (entry / "environ").read_bytes()
        except OSError:
            continue  # it has just ended
    return count


if __name__ == "__main__":
    main()
