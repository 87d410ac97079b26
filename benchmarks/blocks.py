"""Why blocks are short and kept by a timetable: intervals for the same measuring time with blocks of several lengths.

    python benchmarks/blocks.py [SECONDS]

For each length: rounds taken, how many pairs counted, and the 95 % half-width of the processes' speed-up over the
probe's. Lengths take turns, so that all meet the same machine.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from lab.cell.claims.estimates import median
from lab.cell.experiments.gil import arms_for, speed_up
from lab.cell.measuring.rounds import Arm, Crew, shuffler

LENGTHS = (0.005, 0.02, 0.05, 0.1)
TURNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=6.0, help="how long each length is measured")
    seconds = parser.parse_args().seconds
    widths: dict[float, list[tuple[int, int, float]]] = {length: [] for length in LENGTHS}
    for turn in range(TURNS):
        for length in LENGTHS:
            widths[length].append(measure(length, seconds, turn))
    for length, measurements in widths.items():
        rounds, pairs, width = (median([measurement[part] for measurement in measurements]) for part in range(3))
        spread = ", ".join(f"{measurement[2]:.1%}" for measurement in measurements)
        text = f"{rounds:.0f} rounds, {pairs:.0f} pairs counted, half-width {width:.1%} ({spread})"
        print(f"blocks of {length * 1e3:g} ms, {seconds:g} s: {text}")


def measure(length: float, seconds: float, seed: int) -> tuple[int, int, float]:
    """Rounds taken, pairs that counted, half-width of processes over probe as a share."""
    arms = [stretched(arm, length) for arm in arms_for(2)]
    rounds: list[dict[str, Any]] = []
    until = time.monotonic() + seconds
    with Crew((0, 1)) as crew:
        while time.monotonic() < until:
            rounds.extend(crew.rounds(arms, len(rounds), 2, shuffler(seed)))
    ratio = speed_up(rounds, "processes", "probe")
    return (len(rounds), ratio.size, (ratio.high - ratio.low) / 2 / ratio.value) if ratio else (len(rounds), 0, 1.0)


def stretched(arm: Arm, length: float) -> Arm:
    """The arm with blocks of that length at least."""
    return arm._replace(seconds=max(length, arm.seconds))


if __name__ == "__main__":
    main()
