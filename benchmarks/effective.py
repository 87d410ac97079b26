"""Runs ``lab cpus`` in containers with known limits, and prints what it found and whether it is right.

    python benchmarks/effective.py

Takes about a minute, an engine on this machine, and the images of docker/debian-base 3.9, 3.13 and 3.15. For the
settings in a limited parent it makes a control group and removes it again, which needs root.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the settings are the tests'

from lab.containers.client import client_for_this_environment
from tests.support.docker_settings import SETTINGS, ask, no_limited_parent, wrong


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    client = client_for_this_environment()
    all_cpus = client.info()["NCPU"]
    without = no_limited_parent(client)
    rows, right = [], 0
    for setting in SETTINGS:
        if setting.parent and without:
            print(f"left out: {setting.words}: {without}")
            continue
        answer = ask(client, setting)
        faults = wrong(setting, answer, all_cpus)
        right += not faults
        advice = answer["advice"]
        rows.append(
            (
                setting.words,
                answer["parallelism"],
                f"{answer['rate']:g}",
                f"{answer['delivered']['cpus']:.2f}",
                f"{advice['throughput_workers']} / {advice['latency_workers']} by {advice['basis']}",
                "; ".join(faults) or "right",
            )
        )
    print(tabulate(rows, ("docker run", "P", "R", "D", "workers", ""), disable_numparse=True))
    print(f"\nright in {right} of {len(rows)} settings")
    client.close()


if __name__ == "__main__":
    main()
