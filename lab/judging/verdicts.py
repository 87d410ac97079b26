"""Verdicts: claims held against a cell's evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.cell.claims.claim import Claim, Evidence, Experiment, Facts, Finding
from lab.cell.cpus import cpulist
from lab.judging import proofs
from lab.model.cell import CellResult, Status
from lab.model.session import Judgement, Quantity, Verdict
from lab.text import units


def judge(experiments: Sequence[Experiment], results: Iterable[CellResult]) -> tuple[Judgement, ...]:
    """Every claim of every experiment in every cell, in that order."""
    cells = tuple(results)
    found: list[Judgement] = []
    for experiment in experiments:
        judged = [_judged(experiment, result) for result in cells]
        found.extend(one for claim in zip(*judged, strict=True) for one in claim)
    return tuple(found)


def _judged(experiment: Experiment, result: CellResult) -> list[Judgement]:
    """Every claim of an experiment in one cell: its evidence, which may be large, is made once and not kept."""
    evidence = evidence_of(experiment.name, result)
    return [judge_one(experiment.name, claim, result, evidence) for claim in experiment.claims]


def facts_of(result: CellResult) -> Facts:
    """What is known of a cell from its own start record."""
    python, proof = result.python, result.proof
    major, minor = python["version"][:2]
    return Facts(
        version=(major, minor),
        gil=python["gil_enabled"],
        cpus=len(proof["affinity"]),
        rate=proofs.rate(proof),
        host_cpus=proof["cpu_count"],
        siblings=tuple(map(tuple, proof.get("siblings") or ())),
        kinds=proof.get("kinds") or 1,
        told_cpus=_number(python.get("options", {}).get("cpu_count")),
        isolated=tuple(sorted(_ids(proof.get("isolated")) & {*proof["affinity"]})),
        implementation=python["implementation"],
    )


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() else None


def _ids(text: str | None) -> set[int]:
    """The ids in a kernel list; none where a kernel wrote something else."""
    try:
        return set(cpulist.parse(text or ""))
    except ValueError:
        return set()


def evidence_of(experiment: str, result: CellResult) -> Evidence:
    """What one experiment observed and sampled in a cell."""
    mine = result.of.get(experiment, ())
    return Evidence(
        [(record.data["name"], record.data["value"]) for record in mine if record.kind == "observation"],
        [(record.data["name"], record.data["values"]) for record in mine if record.kind == "sample"],
    )


def judge_one(experiment: str, claim: Claim, result: CellResult, evidence: Evidence | None = None) -> Judgement:
    """One claim in one cell. ``evidence`` is what :func:`evidence_of` found, where the caller has it already."""
    finding = _without_ground(experiment, claim, result)
    finding = finding or _found(claim, evidence or evidence_of(experiment, result), facts_of(result))
    known = _expected_in(experiment, claim, result)
    return Judgement(
        claim=claim.id,
        statement=claim.statement,
        cell=result.cell.id,
        verdict=Verdict(finding.verdict),
        expected=Verdict(known) if known else None,
        reason=finding.reason,
        value=finding.value,
        low=finding.low,
        high=finding.high,
        unit=finding.unit,
        accepted=finding.accepted,
        rejected=finding.rejected,
        ceiling=finding.ceiling,
        better=finding.better,
        advice=claim.advice,
    )


def _without_ground(experiment: str, claim: Claim, result: CellResult) -> Finding | None:
    """The finding where the cell or the experiment gives the claim no ground for one of its own; else ``None``."""
    if result.status is Status.UNAVAILABLE:
        return Finding(Verdict.UNTESTABLE, result.reason or "not available")
    finish = finish_of(experiment, result)
    if not result.proof or finish is None:
        return Finding(Verdict.ERROR, result.reason or "it was not run")
    if lacking := _lacking(claim, facts_of(result)):
        return Finding(Verdict.UNTESTABLE, lacking)
    if result.status is Status.TAINTED:
        return Finding(Verdict.INCONCLUSIVE, f"the limit was not real: {result.reason}")
    if finish["outcome"] != "ok":
        return Finding(Verdict.ERROR, f"the experiment {finish['reason']}")
    return None


def _found(claim: Claim, evidence: Evidence, facts: Facts) -> Finding:
    """What the claim's own predicate finds. Records that are whole but say what no experiment of ours says must not
    cost the other claims."""
    try:
        return claim.judge(evidence, facts)
    except LookupError as missing:
        return Finding(Verdict.ERROR, f"evidence is missing: {missing}")
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        return Finding(Verdict.ERROR, f"evidence cannot be read: {error}")


def _expected_in(experiment: str, claim: Claim, result: CellResult) -> str | None:
    if result.status is Status.UNAVAILABLE:
        return Verdict.UNTESTABLE
    ran = result.proof and finish_of(experiment, result)
    return expected(claim, facts_of(result)) if ran else None


def expected(claim: Claim, facts: Facts) -> str | None:
    """The verdict that is expected of a claim in such a cell; ``None`` where it is not known, as of any Python but
    CPython."""
    if _lacking(claim, facts):
        return Verdict.UNTESTABLE
    return claim.expected(facts) if facts.implementation == "CPython" else None


def _lacking(claim: Claim, facts: Facts) -> str:
    """Why no cell like this one can tell, whatever it measures; empty where it may."""
    if facts.cpus < claim.least_cpus:
        return f"needs {units.cpus(claim.least_cpus)}, this cell has {facts.cpus}"
    if claim.least_cpus > 1 and facts.rate < facts.cpus:
        return (
            f"a quota of {facts.rate:g} CPUs stops and goes, and blocks shorter than its period cannot average: see"
            " lab run oversubscription"
        )
    return ""


def finish_of(experiment: str, result: CellResult) -> dict[str, str] | None:
    """How an experiment ended in a cell, or ``None`` when it never did."""
    for record in result.of.get(experiment, ()):
        if record.kind == "finish":
            return dict(record.data)
    return None


def quantities(experiments: Sequence[Experiment], results: Iterable[CellResult]) -> tuple[Quantity, ...]:
    """Every number of every experiment's own table, cell by cell."""
    cells = tuple(results)
    return tuple(one for experiment in experiments for result in cells for one in _quantities(experiment, result))


def _quantities(experiment: Experiment, result: CellResult) -> Iterable[Quantity]:
    if experiment.figures is None or result.status is not Status.MEASURED:
        return
    evidence = evidence_of(experiment.name, result)
    if not evidence.rounds("round"):
        return
    try:
        found = experiment.figures(evidence)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return  # its claims say so: the same evidence cannot be read
    for one in found:
        yield Quantity(
            experiment=experiment.name,
            title=experiment.summary,
            cell=result.cell.id,
            what=one.what,
            value=one.found.value if one.found else None,
            low=one.found.low if one.found else None,
            high=one.found.high if one.found else None,
            unit=one.unit,
            accepted=one.accepted,
            rejected=one.rejected,
            of=one.of,
            better=one.better,
        )
