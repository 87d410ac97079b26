"""Was the limit real? Compares what was asked for, what the engine set, and what the inside saw. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab import cpuset
from lab.model import CellResult

#: What must not change while a cell runs. Counters such as throttling may.
_CONSTANT = ("affinity", "cpuset_effective", "cpu_count", "process_cpu_count", "pool_size", "host_cpus")


def taints(result: CellResult) -> tuple[str, ...]:
    """Every reason not to believe that the cell's limit was what was asked for, all the time; empty when it was."""
    before, after = result.proof, result.data("end").get("proof")
    if not before:
        return ()
    asked = result.cell.cpus
    reasons = []
    if asked and tuple(before["affinity"]) != asked:
        reasons.append(f"asked for CPUs {cpuset.render(asked)}, inside saw {cpuset.render(before['affinity'])}")
    if result.pinned_by == "engine" and asked and result.outcome:
        reported = result.outcome.outside.get("cpuset")
        if reported is not None and cpuset.parse(reported) != asked:
            reasons.append(f"asked for CPUs {cpuset.render(asked)}, the engine says it set {reported or 'none'}")
        seen = before.get("cpuset_effective")
        if seen and cpuset.parse(seen) != asked:
            reasons.append(f"asked for CPUs {cpuset.render(asked)}, the control group has {seen}")
        reasons.extend(str(text) for text in result.outcome.outside.get("warnings", ()) if "cpuset" in text.lower())
    affinity = result.outcome.outside.get("affinity") if result.outcome else None
    if affinity is not None and asked and cpuset.parse(affinity) != asked:
        reasons.append(f"asked for CPUs {cpuset.render(asked)}, from outside the affinity was {affinity}")
    if after:
        reasons.extend(_changes(before, after))
    return tuple(reasons)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    changed = [name for name in _CONSTANT if before.get(name) != after.get(name)]
    found = [f"{name} changed from {before.get(name)} to {after.get(name)} while it ran" for name in changed]
    if _quotas(before) != _quotas(after):
        found.append(f"the quota changed from {_quotas(before)} to {_quotas(after)} while it ran")
    return found


def _quotas(proof: Mapping[str, Any]) -> list[float]:
    return [level["quota_cpus"] for level in proof.get("quotas", ())]


def rate(proof: Mapping[str, Any]) -> float:
    """R, in CPUs: the least of the affinity mask's size and every visible quota; never rounded."""
    return float(min([len(proof["affinity"]), *_quotas(proof)]))
