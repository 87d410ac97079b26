"""The outputs of the action, as lines for $GITHUB_OUTPUT, from the folder in which the lab left its sessions.

outputs.py RESULTS    RESULTS holds report.md, and the folder sessions unless nothing ran
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

VERDICTS = ("confirmed", "refuted", "inconclusive", "untestable", "error")


def lines(results: Path) -> Iterator[str]:
    """A line for each output; all but the report only when there was a session."""
    yield f"report={results / 'report.md'}"
    sessions = results / "sessions"
    manifests = sorted([*sessions.glob("*/session.json"), *sessions.glob("*/*/session.json")])
    if not manifests:
        return
    reports = [json.loads(path.read_text(encoding="utf-8")).get("report") or {} for path in manifests]
    verdicts = [verdict for report in reports for verdict in report.get("verdicts", ())]
    yield f"session={sessions if len(manifests) > 1 else manifests[0].parent}"
    for verdict in VERDICTS:
        yield f"{verdict}={sum(one['verdict'] == verdict for one in verdicts)}"
    surprises = [f"{one['claim']}@{one['cell']}" for one in verdicts if one["surprise"]]
    yield f"surprises={' '.join(surprises)}"
    check = sessions / "check.json"
    gates = json.loads(check.read_text(encoding="utf-8"))["outcomes"] if check.exists() else {}
    yield f"met={gates.get('met', 0)}"
    yield f"failed={gates.get('failed', 0)}"
    yield f"open={gates.get('inconclusive', 0) + gates.get('untestable', 0)}"
    advice = [each for report in reports for each in report.get("advice", ())]
    last = advice[-1] if advice else {}
    yield f"executor={last.get('executor') or ''}"
    yield f"workers={last.get('workers') or ''}"


if __name__ == "__main__":
    print("\n".join(lines(Path(sys.argv[1]))))
