"""How many workers ``pytest -n auto`` starts in containers with and without ``--lab-workers``, and how long they take.

    python benchmarks/xdist_workers.py [--runs 3]

The suite is a part of this project's own fast tests. Needs an engine on this machine. Two runs take six minutes. A
container has the Python of this machine with its packages, in the same places, and this tree; all of it read-only.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent

#: Tests of pure code and of code that reads files, which load no compiled library.
SUITE = ("tests/planning", "tests/model", "tests/cell/cpus", "tests/cell/claims")

#: The limits, as options of ``docker run``.
LIMITS = {
    "no limit": (),
    "quota 1.5": ("--cpus", "1.5"),
    "quota 1": ("--cpus", "1"),
    "quota 0.5": ("--cpus", "0.5"),
    "CPU set of 1": ("--cpuset-cpus", "0"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs of the suite for each row (default: 3)")
    parser.add_argument("--image", default="multicore-lab-base:3.13", help="an image with a C library like this one")
    options = parser.parse_args()
    rows: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for _ in range(options.runs):
        for words, limit in LIMITS.items():
            for hook in ("", "--lab-workers"):
                rows.setdefault((words, hook), []).append(_run(options.image, limit, hook))
    table = [
        (words, f"-n auto {hook}".strip(), ", ".join(sorted({str(workers) for workers, _ in runs})), *_seconds(runs))
        for (words, hook), runs in rows.items()
    ]
    print(tabulate(table, ("container", "options", "workers", "seconds", "least", "most"), floatfmt=".1f"))
    return 0


def _seconds(runs: list[tuple[int, float]]) -> tuple[float, float, float]:
    seconds = [value for _, value in runs]
    return statistics.median(seconds), min(seconds), max(seconds)


def _run(image: str, limit: tuple[str, ...], hook: str) -> tuple[int, float]:
    """The workers that one run of the suite started, and the seconds that pytest says it took."""
    places = dict.fromkeys(map(str, (ROOT, Path(sys.prefix), Path(sys.base_prefix))))
    mounts = [word for place in places for word in ("--volume", f"{place}:{place}:ro")]
    inside = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-n", "auto", "-m", "not slow"]
    plain = ["--rm", "--workdir", str(ROOT), "--tmpfs", "/tmp:exec", "--entrypoint", inside[0]]
    plain += ["--env", "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis"]
    command = ["docker", "run", *plain, *limit, *mounts, image, *inside[1:], *([hook] if hook else []), *SUITE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = re.search(r"in ([\d.]+)s", done.stdout)
    workers = re.search(r"(\d+) workers?", done.stdout) or re.search(r"created: \d+/(\d+)", done.stdout)
    if done.returncode or not seconds or not workers:
        raise SystemExit(f"the suite failed in a container:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return int(workers.group(1)), float(seconds.group(1))


if __name__ == "__main__":
    sys.exit(main())
