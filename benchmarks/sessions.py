"""What storing and reading sessions costs. Prints; asserts nothing.

    python benchmarks/sessions.py [SESSION]

- append: one record of 400 bytes handed to the system, 100,000 of them;
- seal: hashing those 100,000;
- a session of 100,000 records, each of those in SESSION many times over (lab run --output DIR prints its folder): read
  back, judged and reported in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.sessions.folder import SessionFolder

RECORDS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", type=Path, nargs="?", help="the folder of a session that is reported too")
    session = parser.parse_args().session
    line = b'{"schema":1,"session":"s","cell":"cpu2","seq":1,"kind":"sample","time":1.0,"data":' + b"x" * 315 + b"}\n"
    with tempfile.TemporaryDirectory() as parent, SessionFolder(Path(parent), "s") as folder:
        with folder.cell("cpu2") as file:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(RECORDS):
                file.append(line)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"append: {1e6 * wall / RECORDS:.1f} µs a record ({1e6 * cpu / RECORDS:.1f} µs of CPU)")
        wall, cpu = time.perf_counter(), time.process_time()
        folder.seal()
        print(f"seal: {time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)")
    if session:
        _report(session)


def _report(session: Path) -> None:
    from benchmarks.report import multiply

    with tempfile.TemporaryDirectory() as parent:
        large = Path(parent) / "large"
        count = multiply(session, large, RECORDS)
        for command in (["report", str(large), "--output", os.devnull], ["merge", str(large), "--format", "json"]):
            began = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "lab", *command], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            print(
                f"lab {command[0]}, {count} records: {time.perf_counter() - began:.1f} s"
                f" ({used.ru_utime + used.ru_stime:.1f} s of CPU), peak {used.ru_maxrss / 1024:.0f} MiB,"
                f" exit {process.returncode}"
            )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()
