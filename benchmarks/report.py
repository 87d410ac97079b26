"""What it costs to read, judge and report a session, a default one and a very large one. Prints; asserts nothing.

    python benchmarks/report.py SESSION [RECORDS]

SESSION is a session's folder (lab run --output DIR prints it). The large one (100,000 records, or RECORDS) has each of
its records many times over, with measured numbers that differ by a percent, so that its mixture is a real one's.
Printed are seconds of wall time and of CPU, medians of three runs in a process of its own each, and peak memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from lab.cell.worker.record_writer import canonical

#: So often each step is run.
TIMES = 3

#: What a cell says once.
_ALONE = ("start", "begin", "finish", "end")


def multiply(source: Path, target: Path, records: int) -> int:
    """Write a session like the one in ``source`` with about that many records; returns how many it has."""
    target.mkdir()
    (target / "session.json").write_bytes((source / "session.json").read_bytes())
    cells = {path: path.read_bytes().splitlines() for path in sorted(source.glob("*.jsonl"))}
    kinds = [json.loads(line)["kind"] for lines in cells.values() for line in lines]
    alone = sum(kind in _ALONE for kind in kinds)
    times = max(1, -(-(records - alone) // (len(kinds) - alone)))
    generator = random.Random(1)
    written = 0
    for path, lines in cells.items():
        stream: list[bytes] = []
        whole = hashlib.sha256()
        for line in lines:
            record = json.loads(line)
            for number in range(1 if record["kind"] in _ALONE else times):
                data = _differing(record["data"], generator) if number else record["data"]
                if record["kind"] == "end":
                    whole.update(canonical(data))
                    data = {**data, "records": len(stream), "sha256": whole.hexdigest()}
                copy = {**record, "seq": len(stream), "data": data}
                stream.append(json.dumps(copy, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
                whole.update(stream[-1])
        (target / path.name).write_bytes(b"".join(stream))
        written += len(stream)
    return written


def _differing(value: Any, generator: random.Random) -> Any:
    """The same, with every fraction in it up to some percent larger or smaller."""
    if isinstance(value, dict):
        return {key: _differing(part, generator) for key, part in value.items()}
    if isinstance(value, list):
        return [_differing(part, generator) for part in value]
    return value * generator.gauss(1, 0.01) if isinstance(value, float) else value


def main() -> None:
    """Print a paragraph for each of the two sessions, with a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", type=Path, help="the folder of a session")
    parser.add_argument("records", type=int, nargs="?", default=100_000, help="how many records the large session has")
    options = parser.parse_args()
    session = options.session
    with tempfile.TemporaryDirectory() as folder:
        large, page = Path(folder) / "large", Path(folder) / "page.html"
        with ProcessPoolExecutor(1) as apart:  # what is started from a large process counts as large
            count = apart.submit(multiply, session, large, options.records).result()
        few = sum(len(path.read_bytes().splitlines()) for path in session.glob("*.jsonl"))
        for name, path, records in (("default", session, few), ("large", large, count)):
            print(f"{name}, {records} records:")
            for what, arguments in _steps(path, page):
                costs = [cost(arguments) for _ in range(TIMES)]
                wall, cpu = (statistics.median(values) for values in list(zip(*costs, strict=True))[:2])
                peak = max(mebibytes for _, _, mebibytes in costs)
                print(f"  {what}: {wall:.1f} s ({cpu:.1f} s of CPU), peak {peak:.0f} MiB")
            print(f"  the page: {page.stat().st_size / 1000:.0f} kB")


def _steps(session: Path, page: Path) -> list[tuple[str, list[str]]]:
    """What is measured, each time in a process of its own, so that each but the first includes what is above it."""
    begin = "import gc, pathlib, sys; from lab.sessions import loading; folder = pathlib.Path(sys.argv[1])"
    # As loading.load_session does; it reads and judges in one go.
    read = f"{begin}; gc.disable(); kept = [loading.read_records(path) for path in folder.glob('*.jsonl')]"
    lab = ["-m", "lab"]
    return [
        ("read", ["-c", read, str(session)]),
        ("read and judged", ["-c", f"{begin}; loading.load_session(folder)", str(session)]),
        ("lab report", [*lab, "report", str(session), "--output", str(page)]),
        ("lab report --terminal", [*lab, "report", str(session), "--terminal"]),
        ("lab merge --format json", [*lab, "merge", str(session), "--format", "json"]),
        ("lab verify", [*lab, "verify", str(session)]),
        ("lab compare, with itself", [*lab, "compare", str(session), str(session)]),
    ]


def cost(arguments: list[str]) -> tuple[float, float, float]:
    """What Python with these arguments takes: seconds of wall time, seconds of CPU, and mebibytes of memory at most."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode > 1:  # 1 is a finding: multiplied records do not give the verdicts of the report
        sys.exit(f"{' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
