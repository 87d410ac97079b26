"""An import has switched the GIL on, in a Python that runs without it."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.causes import Cause, excluded, found


def judge(evidence: Evidence, facts: Facts) -> Finding:
    imported = evidence.last("imported")
    if imported["gil_before"]:
        return excluded("this Python has the GIL on from the start")
    if not imported["gil_after"]:
        return excluded("the GIL stayed off")
    modules = ", ".join(imported["modules"]) or "a module that Python does not name"
    return found("the GIL was switched on to load %s" % modules)


CAUSE = Cause(
    "an import switches the GIL on in this free-threaded Python",
    judge,
    "take a version of that module that declares itself safe without the GIL (Py_mod_gil), or run with -X gil=0 at"
    " your own risk",
)
