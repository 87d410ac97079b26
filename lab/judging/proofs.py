"""Was the limit real? Compares what was asked for, what the engine set, and what the inside saw. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.cell.cpus import cpulist
from lab.model.cell import CellResult

#: What must not change while a cell runs, as far as it was looked at again. Counters such as throttling may.
_CONSTANT = ("affinity", "cpuset_effective", "cpu_count", "process_cpu_count", "pool_size", "host_cpus")


def taints(result: CellResult) -> tuple[str, ...]:
    """Every reason not to believe that the cell's limit was what was asked for, all the time; empty when it was."""
    before, after = result.proof, result.data("end").get("proof")
    if not before:
        return ()
    asked = result.cell.cpus
    reasons = []
    if asked and tuple(before["affinity"]) != asked:
        reasons.append(f"asked for CPUs {cpulist.render(asked)}, inside saw {cpulist.render(before['affinity'])}")
    if result.pinned_by == "engine" and asked and result.outcome:
        reported = result.outcome.outside.get("cpuset")
        if reported is not None and cpulist.parse(reported) != asked:
            reasons.append(f"asked for CPUs {cpulist.render(asked)}, the engine says it set {reported or 'none'}")
        seen = before.get("cpuset_effective")
        if seen and cpulist.parse(seen) != asked:
            reasons.append(f"asked for CPUs {cpulist.render(asked)}, the control group has {seen}")
        reasons.extend(str(text) for text in result.outcome.outside.get("warnings", ()) if "cpuset" in text.lower())
    reasons.extend(_of_the_quota(result, before))
    affinity = result.outcome.outside.get("affinity") if result.outcome else None
    if affinity is not None and asked and cpulist.parse(affinity) != asked:
        reasons.append(f"asked for CPUs {cpulist.render(asked)}, from outside the affinity was {affinity}")
    if after:
        reasons.extend(_changes(before, after))
    return tuple(reasons)


def _of_the_quota(result: CellResult, before: Mapping[str, Any]) -> list[str]:
    """Whether the quota asked for is the one that the engine set and the inside saw. A tighter one further up makes
    another cell of it. One that was not asked for is seen in R, and where it stops the cell, by the throttling."""
    asked = result.cell.quota_cpus
    if asked is None:
        return []
    found = []
    if result.outcome and "quota_cpus" in result.outcome.outside:
        said = result.outcome.outside["quota_cpus"]
        if said is None or not _same(said, asked):
            found.append(f"asked for a quota of {asked:g} CPUs, the engine says it set {_cpus(said)}")
    seen = min(_quotas(before), default=None)
    if seen is None or not _same(seen, asked):
        found.append(f"asked for a quota of {asked:g} CPUs, the control groups have {_cpus(seen)}")
    return found


def _same(quota: float, other: float) -> bool:
    """Equal but for a microsecond in a period."""
    return abs(quota - other) < 2e-5


def _cpus(quota: float | None) -> str:
    return "none" if quota is None else f"{quota:g}"


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    changed = [name for name in _CONSTANT if name in after and before.get(name) != after[name]]
    found = [f"{name} changed from {before.get(name)} to {after.get(name)} while it ran" for name in changed]
    if _quotas(before) != _quotas(after):
        found.append(f"the quota changed from {_quotas(before)} to {_quotas(after)} while it ran")
    return found


def _quotas(proof: Mapping[str, Any]) -> list[float]:
    return [level["quota_cpus"] for level in proof.get("quotas", ())]


def parallelism(proof: Mapping[str, Any]) -> int:
    """P: the number of CPUs in the affinity mask."""
    return len(proof["affinity"])


def quota(proof: Mapping[str, Any]) -> float | None:
    """The tightest visible quota, in CPUs; ``None`` where there is none."""
    return min(_quotas(proof), default=None)


def rate(proof: Mapping[str, Any]) -> float:
    """R, in CPUs: the least of the affinity mask's size and every visible quota; never rounded."""
    return float(min([len(proof["affinity"]), *_quotas(proof)]))


def rate_of(result: CellResult) -> float | None:
    """R of a cell, in CPUs; ``None`` when it never started."""
    return rate(result.proof) if result.proof else None


def delivered(result: CellResult) -> float | None:
    """D: CPU seconds a second that P busy processes really got at the end of the cell; ``None`` when not measured."""
    found = result.data("end").get("delivered")
    return float(found["cpus"]) if found else None


def stopped_periods(result: CellResult) -> int | None:
    """In how many periods a quota stopped the cell while it ran; ``None`` without a quota, or an end."""
    after = result.data("end").get("proof")
    if not after or not after.get("quotas"):
        return None
    counts = [sum(int(level["throttled_periods"]) for level in one["quotas"]) for one in (result.proof, after)]
    return counts[1] - counts[0]
