"""Runs ``lab cpus`` under limits that the kernel or an engine sets, and prints what it found and whether it is right.

    python benchmarks/effective.py [--processes]

Nothing is a file made by hand: the limits are those of containers, control groups, namespaces and mounts. Whoever sets
them knows P and R. Takes some minutes, root, an engine on this machine, and the images of docker/debian-base 3.9, 3.13
and 3.15. All groups, mounts and containers are gone at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the settings are the tests'

from lab.containers.client import client_for_this_environment
from tests.support import docker_settings, process_settings

#: A setting's words, what ``lab cpus`` said, and what is wrong with it.
Answer = tuple[str, dict[str, Any], list[str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", action="store_true", help="leave out the containers; no engine is needed")
    options = parser.parse_args()
    answers = [*_in_processes(), *([] if options.processes else _in_containers())]
    for sentence in process_settings.left_out():
        print(f"left out: {sentence}")
    header = ("setting", "P", "R", "D", "workers", "")
    print(tabulate([_row(*answer) for answer in answers], header, disable_numparse=True))
    right = sum(not faults for _, _, faults in answers)
    print(f"\n{right} of {len(answers)} right")
    return 0 if right == len(answers) else 1


def _in_processes() -> Iterator[Answer]:
    all_cpus = len(os.sched_getaffinity(0))
    for setting in () if process_settings.impossible() else process_settings.SETTINGS:
        answer = process_settings.ask(setting)
        yield setting.words, answer, process_settings.wrong(setting, answer, all_cpus)


def _in_containers() -> Iterator[Answer]:
    client = client_for_this_environment()
    all_cpus = client.info()["NCPU"]
    without = docker_settings.no_limited_parent(client)
    for setting in docker_settings.SETTINGS:
        if setting.parent and without:
            print(f"left out: docker run, {setting.words}: {without}")
            continue
        answer = docker_settings.ask(client, setting)
        yield f"docker run: {setting.words}", answer, docker_settings.wrong(setting, answer, all_cpus)
    client.close()


def _row(words: str, answer: dict[str, Any], faults: list[str]) -> tuple[str, ...]:
    advice, delivered = answer["advice"], answer["delivered_cpus"]
    return (
        words,
        str(answer["parallelism_cpus"]),
        f"{answer['rate_cpus']:g}",
        "" if delivered is None else f"{delivered:.2f}",
        f"{advice['throughput_workers']} / {advice['latency_workers']} by {advice['basis']}",
        "; ".join(faults) or "right",
    )


if __name__ == "__main__":
    sys.exit(main())
