"""What the lab costs beside what it measures. Prints; asserts nothing.

    python benchmarks/cost.py [--image IMAGE]

- the whole default ``lab run``, and the share of it that is not measuring;
- an empty cell, in runs of four, against a bare ``docker run`` of the same image, alternating in the same run;
- ``lab --help`` against a bare interpreter start, alternating.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.cell.claims.estimates import median, quantile
from lab.cell.cpus import delivered
from lab.containers import client as containers
from lab.engines import docker, image_choice
from lab.model.cell import Job, Status
from lab.planning import cells as planner
from lab.running import runner
from lab.running.progress import Plain
from lab.sessions.folder import SessionFolder
from lab.text import units

REPEATS = 15
CELLS = 4  # as a default run has


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image")
    image = parser.parse_args().image
    whole_run(image)
    one_cell(image)
    help_text()


def whole_run(image: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        command = [sys.executable, "-m", "lab", "run", "--engine", "docker", "--format", "json", "--output", folder]
        done = subprocess.run(command + (["--image", image] if image else []), capture_output=True, check=False)
        wall = time.monotonic() - begun
        records = [
            json.loads(line) for file in Path(folder).glob("*/*.jsonl") for line in file.read_text().splitlines()
        ]
    measuring = sum(record["data"]["seconds"] for record in records if record["kind"] == "finish")
    # D, the CPU time delivered, is measured as well, at the end of each cell: a lead-in, as experiments warm up, and a
    # window.
    windows = [record["data"]["delivered"] for record in records if record["data"].get("delivered")]
    measuring += sum(delivered.USUAL_PERIOD_SECONDS + window["seconds"] for window in windows)
    cells = sum(record["kind"] == "start" for record in records)
    print(f"lab run: exit code {done.returncode}, {cells} cells, {wall:.1f} s")
    print(f"  measuring {measuring:.1f} s; not measuring {wall - measuring:.1f} s = {(wall - measuring) / wall:.1%}")


def one_cell(image: str | None) -> None:
    client = containers.client_for_this_environment()
    name = image_choice.find_image(client, image, print)
    client.close()
    cells = [dataclasses.replace(planner.plan([1], (0,))[0], id=f"empty{number}") for number in range(CELLS)]
    jobs = [
        Job(session="cost", cell=cell, experiments=(), seconds=1, width=1, experiment_deadline=30, cell_deadline=60)
        for cell in cells
    ]

    def cells_of_ours() -> None:
        with tempfile.TemporaryDirectory() as parent, SessionFolder(Path(parent), "cost") as folder:
            engine = docker.connect(image=name, session="cost")
            try:
                results = runner.run(engine, jobs, folder, Silent({}, 0), Never())
            finally:
                engine.close()  # all their containers are gone when it returns
        assert all(result.status is Status.MEASURED for result in results), results

    def bare() -> None:
        for _ in cells:
            subprocess.run(["docker", "run", "--rm", "--entrypoint", "python3", name, "-c", "pass"], check=True)

    ours, bare_times = alternate(cells_of_ours, bare)
    report(
        f"an empty cell with its proof, image {name}, in runs of {CELLS}",
        [seconds / CELLS for seconds in ours],
        "bare docker run",
        [seconds / CELLS for seconds in bare_times],
    )


class Silent(Plain):
    """Progress that says nothing."""

    def say(self, line: str) -> None:
        pass


class Never:
    """Nobody asks to stop."""

    requested = False


def help_text() -> None:
    ours, bare = alternate(
        lambda: subprocess.run([sys.executable, "-m", "lab", "--help"], check=True, stdout=subprocess.DEVNULL),
        lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
    )
    report("lab --help", ours, "python -c pass", bare)
    allowed = 2.5 * median(bare) + 0.1
    print(f"  2.5 × a bare start + 100 ms = {units.seconds(allowed)}")


def alternate(ours: Callable[[], object], bare: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of each, taken in turns so that both meet the same machine; the first of each is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS + 1):
        for act, seconds in zip((ours, bare), times, strict=True):
            begun = time.monotonic()
            act()
            if repeat:
                seconds.append(time.monotonic() - begun)
    return times


def report(name: str, ours: Sequence[float], bare_name: str, bare: Sequence[float]) -> None:
    ratios = [our_time / bare_time for our_time, bare_time in zip(ours, bare, strict=True)]
    print(f"{name}: {spread(ours)}; {bare_name}: {spread(bare)}")
    print(f"  ratio in the same turn: median {median(ratios):.2f} ({REPEATS} turns)")


def spread(values: Sequence[float]) -> str:
    low, high = quantile(values, 0.25), quantile(values, 0.75)
    return f"median {units.seconds(median(values))} (middle half {units.seconds(low)} to {units.seconds(high)})"


if __name__ == "__main__":
    main()
