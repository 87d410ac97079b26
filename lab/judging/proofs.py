"""Whether a limit was real: compares what was asked for, what the engine set, and what the inside saw. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lab.cell.cpus import cpulist
from lab.cell.cpus import rate as rates
from lab.model.cell import CellResult

#: The entries of a proof that must not change while a cell runs. Counters such as throttling may change.
_CONSTANT = ("affinity", "cpuset_effective", "cpu_count", "process_cpu_count", "pool_size", "host_cpus")


def taints(result: CellResult) -> tuple[str, ...]:
    """Every reason to doubt that the cell had the limit that was asked for, all the time; empty: no doubt."""
    before, after = result.proof, result.data("end").get("proof")
    if not before:
        return ()
    asked = result.cell.cpus
    reasons = []
    if asked and tuple(before["affinity"]) != asked:
        reasons.append(f"asked for CPUs {cpulist.render(asked)}, inside saw {cpulist.render(before['affinity'])}")
    if result.pinned_by == "engine" and asked and result.outcome:
        reported = result.outcome.outside.get("cpuset")
        if reported is not None and cpulist.members(str(reported)) != set(asked):
            reasons.append(f"asked for CPUs {cpulist.render(asked)}, the engine says it set {reported or 'none'}")
        seen = before.get("cpuset_effective")
        if seen and cpulist.members(seen) != set(asked):
            reasons.append(f"asked for CPUs {cpulist.render(asked)}, the control group has {seen}")
        reasons.extend(
            str(text) for text in result.outcome.outside.get("warnings", ()) if "cpuset" in str(text).lower()
        )
    reasons.extend(_of_the_quota(result, before))
    affinity = result.outcome.outside.get("affinity") if result.outcome else None
    if affinity is not None and asked and cpulist.members(affinity) != set(asked):
        reasons.append(f"asked for CPUs {cpulist.render(asked)}, from outside the affinity was {affinity}")
    if after:
        reasons.extend(_changes(before, after))
    reasons.extend(_left_behind(result))
    return tuple(reasons)


def _left_behind(result: CellResult) -> Iterator[str]:
    """What an experiment has left for those after it, and what changed while it ran: the worker says so."""
    for record in result.records:
        doubts = record.data.get("doubts") if record.kind == "finish" else None
        for doubt in doubts if isinstance(doubts, list) else ():
            yield f"{doubt} (while {record.data['experiment']} ran)"


def _of_the_quota(result: CellResult, before: Mapping[str, Any]) -> list[str]:
    """Every reason to doubt that the cell had the quota that was asked for.

    A tighter quota further up counts as another quota. A quota that was not asked for shows in R and in the throttling.
    """
    asked = result.cell.quota_cpus
    if asked is None:
        return []
    doubts = []
    if result.outcome and "quota_cpus" in result.outcome.outside:
        reported = result.outcome.outside["quota_cpus"]
        if reported is None or not _is_same(reported, asked):
            doubts.append(f"asked for a quota of {asked:g} CPUs, the engine says it set {_cpus(reported)}")
    seen = min(_quotas(before), default=None)
    if seen is None or not _is_same(seen, asked):
        doubts.append(f"asked for a quota of {asked:g} CPUs, the control groups have {_cpus(seen)}")
    return doubts


def _is_same(quota: float, asked: float) -> bool:
    """Whether two quotas are equal, apart from a microsecond in a period."""
    return abs(quota - asked) < 2e-5


def _cpus(quota: float | None) -> str:
    return "none" if quota is None else f"{quota:g}"


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    changed = [name for name in _CONSTANT if name in after and before.get(name) != after[name]]
    doubts = [f"{name} changed from {before.get(name)} to {after.get(name)} while it ran" for name in changed]
    if _quotas(before) != _quotas(after):
        doubts.append(f"the quota changed from {_quotas(before)} to {_quotas(after)} while it ran")
    return doubts


def _quotas(proof: Mapping[str, Any]) -> list[float]:
    return [level["quota_cpus"] for level in proof.get("quotas", ())]


def parallelism(proof: Mapping[str, Any]) -> int:
    """P: the number of CPUs in the affinity mask."""
    return len(proof["affinity"])


def quota(proof: Mapping[str, Any]) -> float | None:
    """The tightest visible quota, in CPUs; ``None``: no quota is visible."""
    return min(_quotas(proof), default=None)


def rate(proof: Mapping[str, Any]) -> float:
    """R, in CPUs: the smaller of P and the tightest visible quota; never rounded."""
    return rates.rate_of(parallelism(proof), _quotas(proof))


def rate_of(result: CellResult) -> float | None:
    """R of a cell, in CPUs; ``None``: the cell never started."""
    return rate(result.proof) if result.proof else None


def delivered(result: CellResult) -> float | None:
    """D: the CPUs that P busy processes really received at the end of the cell; ``None``: not measured."""
    measured = result.data("end").get("delivered")
    return float(measured["cpus"]) if measured else None


def stopped_periods(result: CellResult) -> int | None:
    """How many periods a quota paused the cell in, while it ran; ``None``: it has no quota, or no end record."""
    after = result.data("end").get("proof")
    if not after or not after.get("quotas"):
        return None
    counts = [sum(int(level["throttled_periods"]) for level in proof["quotas"]) for proof in (result.proof, after)]
    return counts[1] - counts[0]
