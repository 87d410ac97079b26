"""What a report costs: size of the page, seconds and peak memory, of a default session and of a very large one.

    python benchmarks/report.py SESSION [RECORDS]

SESSION is a session's folder (lab run --output DIR prints it). The large one (100,000 records, or RECORDS) has each of
its records many times over, with measured numbers that differ by a percent, so that its mixture is a real one's.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lab.worker.channel import canonical


def multiply(source: Path, target: Path, records: int) -> int:
    """Write a session like the one in ``source`` with about that many records; returns how many it has."""
    target.mkdir()
    (target / "session.json").write_bytes((source / "session.json").read_bytes())
    cells = {path: path.read_bytes().splitlines() for path in sorted(source.glob("*.jsonl"))}
    times = max(1, records // sum(map(len, cells.values())))
    generator = random.Random(1)
    written = 0
    for path, lines in cells.items():
        stream, whole = [], hashlib.sha256()
        for line in lines:
            record = json.loads(line)
            alone = record["kind"] in ("start", "begin", "finish", "end")
            for number in range(1 if alone else times):
                data = _differing(record["data"], generator) if number else record["data"]
                if record["kind"] == "end":
                    whole.update(canonical(data))
                    data = {**data, "records": len(stream), "sha256": whole.hexdigest()}
                said = {**record, "seq": len(stream), "data": data}
                stream.append(json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
                whole.update(stream[-1])
        (target / path.name).write_bytes(b"".join(stream))
        written += len(stream)
    return written


def _differing(value: Any, generator: random.Random) -> Any:
    """The same, with every fraction in it up to some percent larger or smaller."""
    if isinstance(value, dict):
        return {key: _differing(one, generator) for key, one in value.items()}
    if isinstance(value, list):
        return [_differing(one, generator) for one in value]
    return value * generator.gauss(1, 0.01) if isinstance(value, float) else value


def main() -> None:
    """Print a line for each of the two sessions."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    session = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        count = multiply(session, large, int(sys.argv[2]) if len(sys.argv) == 3 else 100_000)
        few = sum(len(path.read_bytes().splitlines()) for path in session.glob("*.jsonl"))
        for name, path, records in (("default", session, few), ("large", large, count)):
            page = Path(folder) / f"{name}.html"
            began = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "lab", "report", path, "--output", page])
            _, status, used = _wait(process)
            seconds = time.perf_counter() - began
            print(
                f"{name}: {records} records, page {page.stat().st_size / 1000:.0f} kB, {seconds:.1f} s,"
                f" {used.ru_utime + used.ru_stime:.1f} s of CPU, peak {used.ru_maxrss / 1024:.0f} MiB, exit {status}"
            )


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, int, resource.struct_rusage]:
    pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return pid, process.returncode, used


if __name__ == "__main__":
    main()
