"""What the place of data in memory does to one process, and what it does to blocks at different depths of the stack.

    python benchmarks/layout.py [PYTHON ...]

Every child is forked after one more small object was made, so each has other places in memory than the one before it.
In each child, blocks at one depth of the stack and blocks at random depths take turns. Printed: in how many children
the median block at one depth took at least so many times as long as the median block at random depths, or the other way
round. Each PYTHON is an interpreter that runs the same, beside this one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from lab.cell.measuring.payloads import Tools, count
from lab.cell.measuring.stack_depth import at_random_depth

CHILDREN = 1500
BLOCKS = 15
#: Payloads in a block.
PAYLOADS = 10
TIMES = 1.3
#: Objects that fill the gaps which the start of the interpreter has left.
FILLERS = 20_000


def block() -> float:
    tools = Tools(b"", None)
    begun = time.perf_counter()
    for _ in range(PAYLOADS):
        count(tools)
    return time.perf_counter() - begun


def ratio() -> float:
    """The median time of a block at this depth over that of a block at a random depth."""
    pairs = [(block(), at_random_depth(block)) for _ in range(BLOCKS)]
    return statistics.median(here for here, _ in pairs) / statistics.median(elsewhere for _, elsewhere in pairs)


def in_a_child() -> float:
    reader, writer = os.pipe()
    if not os.fork():
        os.write(writer, b"%.6f" % ratio())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = float(stream.read())
    os.wait()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="*", help="interpreters that run the same")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    fillers = [float(number) for number in range(FILLERS)]
    ratios = []
    others = parser.parse_args().python
    for _ in range(CHILDREN):
        fillers.append(float(len(fillers)))
        ratios.append(in_a_child())
    here = sum(value >= TIMES for value in ratios)
    elsewhere = sum(value <= 1 / TIMES for value in ratios)
    print(
        f"Python {sys.version.split()[0]}: at one depth {here} of {CHILDREN} processes took {TIMES:g} times as long or"
        f" longer (up to {max(ratios):.1f} times), at random depths {elsewhere}",
        flush=True,
    )
    for python in others:
        subprocess.run([python, __file__], check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))


if __name__ == "__main__":
    main()
