"""The target cannot run in every kind of worker."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.arms import METHODS
from lab.cell.targets.causes import Cause, excluded, found
from lab.cell.targets.figures import LATER

_KINDS = {
    "thread": "threads",
    "interpreter": "interpreters",
    LATER: "later",
}
#: Where one of two environments was left out.
_PLACES = {"own": "this environment", "other": "the other environment"}


def judge(evidence: Evidence, facts: Facts) -> Finding:
    text = reasons(evidence)
    return found(text) if text else excluded("it ran in every kind of worker")


def reasons(evidence: Evidence) -> str:
    """Which kinds of workers were left out, and why; empty where none was."""
    why: dict[str, str] = {}
    for workers, executor, reason in evidence.all("out"):
        place = _PLACES.get(executor)
        why.setdefault("%s in %s" % (workers, place) if place else executor, reason)
    kinds: dict[str, list[str]] = {}
    for executor, reason in why.items():
        kinds.setdefault(reason, []).append(executor)
    return "; ".join("%s: %s" % (_named(executors), reason) for reason, executors in kinds.items())


def _named(executors: list[str]) -> str:
    """``threads and processes (fork, spawn)``."""
    methods = [executor for executor in executors if executor in METHODS]
    names = [_KINDS.get(executor, executor) for executor in executors if executor not in METHODS]
    return " and ".join(names + (["processes (%s)" % ", ".join(methods)] if methods else []))


CAUSE = Cause("the function does not work in every kind of worker", judge, "take another kind, or repair the reason")
