"""The outputs of the action, as lines for $GITHUB_OUTPUT, from the folder in which ``lab run`` left its session.

outputs.py RESULTS    RESULTS holds report.md, and sessions/ID/session.json unless nothing ran
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

VERDICTS = ("confirmed", "refuted", "inconclusive", "untestable", "error")


def lines(results: Path) -> Iterator[str]:
    """A line for each output; counts and session only when there was a session."""
    yield f"report={results / 'report.md'}"
    for manifest in (results / "sessions").glob("*/session.json"):
        verdicts = json.loads(manifest.read_text(encoding="utf-8"))["report"]["verdicts"]
        yield f"session={manifest.parent}"
        for verdict in VERDICTS:
            yield f"{verdict}={sum(one['verdict'] == verdict for one in verdicts)}"
        surprises = [f"{one['claim']}@{one['cell']}" for one in verdicts if one["surprise"]]
        yield f"surprises={' '.join(surprises)}"


if __name__ == "__main__":
    print("\n".join(lines(Path(sys.argv[1]))))
