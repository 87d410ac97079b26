"""What it costs to collect and grade a class, of thirty participants and of a thousand. Prints.

    python benchmarks/classes.py [--engine local] [--python 3.11 --python 3.13 ...]

On each Python one session is measured for real: ``lab run pool gil --quick --cpus 1,2``. Each participant hands in one
of these, with a label, a host, a processor, a kernel and predictions of its own, and seals it again. What Pool()
starts in a cell of 1 CPU depends on the Python alone, and must be explained by nothing else. Printed are seconds of
wall time and of CPU and the peak of memory of ``lab class`` and ``lab grade``, each in a process of its own. The exit
code is 1 if the difference is not named, if anything else is given as its reason, or if a participant is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.sessions import seal
from lab.sessions.folder import read_files

SIZES = (30, 1000)
#: The Pythons that real sessions are measured on, unless others are named.
_BUILDS = ("3.11", "3.13", "3.14")
KEY = Path(__file__).parents[1] / "docs" / "examples" / "class" / "key.toml"
#: The claim whose verdict depends on the Python: up to 3.12 Pool() asks for the CPUs of the machine.
CLAIM = "pool.default-size"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto", help="default: auto")
    parser.add_argument("--python", action="append", metavar="BUILD", help="default: 3.11, 3.13 and 3.14")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        real = [measured(Path(work) / "real", build, options.engine) for build in options.python or _BUILDS]
        faults = [size for size in SIZES if not collected(real, Path(work) / f"class-{size}", size)]
    sys.exit(len(faults))


def measured(folder: Path, build: str, engine: str) -> Path:
    """The folder of a session that is measured now on this Python."""
    words = ["run", "pool", "gil", "--quick", "--cpus", "1,2", "--engine", engine, "--python", build]
    _, seconds, _, _ = timed([*words, "--fail-on", "never", "--output", str(folder / build)])
    (session,) = (path.parent for path in (folder / build).glob("*/session.json"))
    records = sum(path.read_bytes().count(b"\n") for path in session.glob("*.jsonl"))
    size = sum(path.stat().st_size for path in session.iterdir())
    print(f"{build}: measured in {seconds:.1f} s; {records} records, {size / 2**10:.0f} KiB")
    return session


def collected(real: Sequence[Path], folder: Path, size: int) -> bool:
    """Hand in, collect and grade a class of that size; returns whether all are there and the reason was named."""
    generator = random.Random(1)
    for number in range(size):
        hand_in(real[number % len(real)], folder / f"student {number}", number, generator)
    (folder / "answers.toml").write_text('pool-1 = "2"\n', encoding="utf-8")
    text, *costs = timed(["class", str(folder), "--format", "json"])
    told("lab class", size, *costs)
    document = json.loads(text)
    told("lab class --output page", size, *timed(["class", str(folder), "--output", f"{folder}.html"])[1:])
    graded, *costs = timed(["grade", str(folder), "--key", str(KEY), "--format", "json"])
    told("lab grade", size, *costs)
    reasons = {
        (claim["claim"], claim["limit"]): [each["property"] for each in claim["goes_with"]]
        for claim in document["claims"]
        if len({"confirmed", "refuted"} & set(claim["participants"])) == 2
    }
    print(f"  explained by: {reasons}")
    is_whole = len(document["participants"]) == len(json.loads(graded)) == size
    return is_whole and reasons.get((CLAIM, "1 CPU")) == ["Python"]


def hand_in(session: Path, folder: Path, number: int, generator: random.Random) -> None:
    """A copy of a session as a participant with that number has it, sealed."""
    target = folder / f"20260101-{number:06}-aaaa"
    target.mkdir(parents=True)
    contents = read_files(session)
    manifest = varied(json.loads(contents["session.json"]), target.name, number, generator)
    contents["session.json"] = json.dumps(manifest, indent=2).encode()
    for name, content in contents.items():
        (target / name).write_bytes(content)
    (target / seal.NAME).write_text(json.dumps(seal.seal(contents)), encoding="utf-8")


def varied(manifest: dict[str, Any], name: str, number: int, generator: random.Random) -> Mapping[str, Any]:
    """The manifest of another participant: the label, the host, what describes its machine, and what it predicted."""
    cell = next(each["id"] for each in manifest["cells"] if len(each["cpus"]) == 1)
    prediction = {"of": CLAIM, "what": "workers", "cell": cell, "value": generator.choice([1, 2]), "whole": True}
    manifest["session"] = name
    manifest["arguments"].update(label=f"student {number}", predictions=[prediction])
    manifest["host"]["name"] = f"laptop-{number}"
    manifest["machine"]["topology"]["model"] = f"Processor {generator.randrange(4)}"
    manifest["machine"]["python"]["kernel"] = f"6.{generator.randrange(6)}"
    return manifest


def timed(words: Sequence[str]) -> tuple[str, float, float, float]:
    """What a command of the lab prints, its seconds of wall time and of CPU, and its peak of memory in MiB."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", *words], stdout=output, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr
        messages = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"lab {' '.join(words)} ended with {process.returncode}:\n{messages}")
        output.seek(0)
        text = output.read().decode()
    return text, time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def told(command: str, size: int, wall: float, cpu: float, memory: float) -> None:
    """Print a line about a command."""
    print(f"{command}, {size} participants: {wall:.2f} s ({cpu:.2f} s of CPU), peak {memory:.0f} MiB")


if __name__ == "__main__":
    main()
