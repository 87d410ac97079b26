"""How long a cell takes to start and end, beside another checkout of the lab. Prints; asserts nothing.

    python benchmarks/start.py --against DIR [--engine docker] [--image IMAGE] [--runs 15]

Both checkouts run ``lab run pipe --cpus 1`` in turn, and the wall time of the cell is read from the report. The
experiment itself takes some milliseconds; the rest is the start of the cell, its proof and its end. The ratio is taken
pair by pair, because the speed of a shared machine drifts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.cell.claims.estimates import estimate, median
from lab.text import units

HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, metavar="DIR", help="the other checkout")
    parser.add_argument("--engine", default="docker", choices=("docker", "local"))
    parser.add_argument("--image")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    words = ["--engine", options.engine, *(["--image", options.image] if options.image else [])]
    pairs = []
    for number in range(-1, options.runs):  # the first pair warms up
        checkouts = [HERE, options.against.resolve()]
        seconds = {checkout: cell_seconds(checkout, words) for checkout in checkouts[:: -1 if number % 2 else 1]}
        if number >= 0:
            pairs.append((seconds[HERE], seconds[checkouts[1]]))
    for name, values in (("here", [here for here, _ in pairs]), ("against", [baseline for _, baseline in pairs])):
        least, most = units.seconds(min(values)), units.seconds(max(values))
        print(f"{name:8} a cell takes {units.seconds(median(values))} ({least} to {most})")
    ratio = estimate([here / baseline for here, baseline in pairs])
    print(f"ratio    {ratio.value:.3f} (95 % interval {ratio.low:.3f} to {ratio.high:.3f}), {len(pairs)} pairs")


def cell_seconds(checkout: Path, words: list[str]) -> float:
    """The wall time of one cell, in seconds, as the report of that checkout says it."""
    command = [sys.executable, "-m", "lab", "run", "pipe", "--cpus", "1", "--format", "json", *words]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--output", folder],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            capture_output=True,
            check=True,
        )
    (cell,) = json.loads(done.stdout)["cells"]
    return float(cell["wall_seconds"])


if __name__ == "__main__":
    main()
