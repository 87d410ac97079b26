"""Sessions that no lab has written: what an entry may hold there, and the commands that read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.paths import TESTS

STORED = TESTS / "data" / "stored" / "local" / "20261128-014656-e70d"

#: What a session's entry may hold in a file that no lab has written.
WRONG: dict[str, Any] = {
    "infinity": float("inf"),
    "nan": float("nan"),
    "digits": 10**400,
    "text": "x",
    "null": None,
    "list": [1],
    "far below": -1e308,
    "table": {"a": 1},
    "true": True,
}

#: Entries that every command reads.
ENTRIES = (
    *("began", "session", "engine", "arguments", "arguments.experiments", "machine", "machine.cpus"),
    *("machine.details", "machine.python", "machine.topology", "cells", "cells.0", "cells.0.id", "cells.0.cpus"),
    *("report", "report.cells", "report.verdicts", "report.session", "report.session.notes"),
    *("report.session.wall_seconds", "report.cells.0.status", "report.cells.0.wall_seconds", "schema", "versions"),
    *("noise", "host", "machine.host_cpus", "arguments.seed", "arguments.python"),
)

COMMANDS = (
    "report {folder} --terminal",
    "report {folder} --output -",
    "merge {folder} --format csv",
    "compare {folder} {good} --force",
    "verify {folder}",
    "sessions --output {folder}/..",
    "run --resume {folder}",
)


def with_entry(place: str, value: Any) -> Callable[[str], str]:
    def change(text: str) -> str:
        manifest = json.loads(text)
        *parents, last = [int(name) if name.isdecimal() else name for name in place.split(".")]
        table = manifest
        for name in parents:
            table = table[name]
        table[last] = value
        return json.dumps(manifest)

    return change
