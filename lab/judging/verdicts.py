"""Verdicts: every claim decided by the evidence of every cell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lab.cell import experiments
from lab.cell.claims.claim import Claim, Evidence, Experiment, Facts, Finding
from lab.cell.cpus import cpulist
from lab.judging import proofs
from lab.judging.records import MALFORMED
from lab.model.cell import CellResult, Record, Status
from lab.model.session import Judgement, Quantity, Verdict
from lab.text import units


def judge_claims(experiments: Sequence[Experiment], results: Iterable[CellResult]) -> tuple[Judgement, ...]:
    """The judgement of every claim of every experiment in every cell, in that order."""
    cells = tuple(results)
    judgements: list[Judgement] = []
    for experiment in experiments:
        by_cell = [_judged(experiment, result) for result in cells if _belongs(experiment, result)]
        judgements.extend(judgement for claim in zip(*by_cell, strict=True) for judgement in claim)
    return tuple(judgements)


def _belongs(experiment: Experiment, result: CellResult) -> bool:
    """Whether the cell was to run the experiment; in a merged session not every cell was to run all of them."""
    return not result.cell.experiments or experiment.name in result.cell.experiments


def _judged(experiment: Experiment, result: CellResult) -> list[Judgement]:
    """Every claim of an experiment in one cell. The evidence may be large, so it is made once and not kept."""
    evidence = evidence_of(experiment.name, result)
    return [judge_claim(experiment.name, claim, result, evidence) for claim in experiment.claims]


def facts_of(result: CellResult) -> Facts:
    """The facts of a cell, from its own start record."""
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
    records = result.records_of(experiment)
    return Evidence(
        [(record.data["name"], record.data["value"]) for record in records if record.kind == "observation"],
        list(_samples(records)),
    )


def _samples(records: Iterable[Record]) -> Iterator[tuple[str, Any]]:
    """The rounds by their names. Those of very many arms come in parts, and one without its last part is none."""
    parts: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.kind == "sample":
            name, values = record.data["name"], record.data["values"]
            whole = {**parts.pop(name), **values} if name in parts else values
            if record.data.get("more"):
                parts[name] = whole
            else:
                yield name, whole


def judge_claim(experiment: str, claim: Claim, result: CellResult, evidence: Evidence | None = None) -> Judgement:
    """The judgement of one claim in one cell. Give ``evidence`` if :func:`evidence_of` was called already."""
    failure = _failure(experiment, claim, result)
    finding = failure.finding if failure else None
    finding = finding or _finding(claim, evidence or evidence_of(experiment, result), facts_of(result))
    expectation = _expected_in(experiment, claim, result)
    return Judgement(
        claim=claim.id,
        statement=claim.statement,
        cell=result.cell.id,
        verdict=Verdict(finding.verdict),
        expected=Verdict(expectation) if expectation else None,
        reason=finding.reason,
        value=finding.value,
        low=finding.low,
        high=finding.high,
        unit=finding.unit,
        accepted=finding.accepted,
        rejected=finding.rejected,
        ceiling=finding.ceiling,
        better=finding.better,
        about_cell=failure is not None and failure.about_cell,
        advice=claim.advice,
    )


class _Failure(NamedTuple):
    """Why a claim cannot be decided by evidence."""

    #: What is found instead.
    finding: Finding
    #: Whether the reason is that of the whole cell.
    about_cell: bool = False


def _failure(experiment: str, claim: Claim, result: CellResult) -> _Failure | None:
    """Why the cell or the experiment left no evidence for the claim; ``None`` where it did."""
    is_told = result.reason is not None
    if result.status is Status.UNAVAILABLE:
        return _Failure(Finding(Verdict.UNTESTABLE, result.reason or "not available"), is_told)
    finish = finish_of(experiment, result)
    if not result.proof or finish is None:
        return _Failure(Finding(Verdict.ERROR, result.reason or "it was not run"), is_told)
    if lack := _lack(claim, facts_of(result)):
        return _Failure(Finding(Verdict.UNTESTABLE, lack))
    if result.status is Status.TAINTED:
        return _Failure(Finding(Verdict.INCONCLUSIVE, f"the limit was not real: {result.reason}"), is_told)
    if finish["outcome"] != "ok":
        return _Failure(Finding(Verdict.ERROR, _how_it_failed(experiment, finish)))
    return None


def _how_it_failed(experiment: str, finish: Mapping[str, Any]) -> str:
    """How an experiment ended that did not end well; of one in a file of the user's also the file and the next step."""
    frames = finish.get("frames") or ()
    where = f" ({frames[-1]})" if frames else ""
    text = f"the experiment {finish['reason']}{where}"
    if file := experiments.files().get(experiment):
        name = file.rpartition("/")[2]
        text += "; repair that line" if frames else f"; run in {name} has to return before its time limit"
    return text


def _finding(claim: Claim, evidence: Evidence, facts: Facts) -> Finding:
    """What the claim's own predicate finds. Malformed records cost this claim only, not the others."""
    try:
        return claim.judge(evidence, facts)
    except LookupError as missing:
        return Finding(Verdict.ERROR, f"evidence is missing: {missing}; the experiment has to observe it by that name")
    except MALFORMED as error:
        return Finding(Verdict.ERROR, f"evidence cannot be read: {error}")


def _expected_in(experiment: str, claim: Claim, result: CellResult) -> str | None:
    if result.status is Status.UNAVAILABLE:
        return Verdict.UNTESTABLE
    ran = result.proof and finish_of(experiment, result)
    return expected_verdict(claim, facts_of(result)) if ran else None


def expected_verdict(claim: Claim, facts: Facts) -> str | None:
    """The verdict that is expected of a claim in such a cell; ``None``: not known, as on any Python but CPython."""
    if _lack(claim, facts):
        return Verdict.UNTESTABLE
    return claim.expected(facts) if facts.implementation == "CPython" else None


def _lack(claim: Claim, facts: Facts) -> str:
    """Why no cell like this one can test the claim, whatever it measures; empty where it can."""
    if facts.cpus < claim.least_cpus:
        return f"needs {units.cpus(claim.least_cpus)}, this cell has {facts.cpus}"
    if claim.least_cpus > 1 and facts.rate < facts.cpus:
        return "a quota stops and goes, and blocks shorter than its period cannot average: see lab run oversubscription"
    return ""


def finish_of(experiment: str, result: CellResult) -> dict[str, Any] | None:
    """How an experiment ended in a cell; ``None``: it never ended."""
    for record in result.records_of(experiment):
        if record.kind == "finish":
            return dict(record.data)
    return None


def completed(experiment: str, result: CellResult) -> bool:
    """Whether an experiment came to its end in a cell whose limit held. Others in the cell may have failed."""
    finish = finish_of(experiment, result)
    proven = result.proof and result.status in (Status.MEASURED, Status.ERROR)
    return bool(proven) and finish is not None and finish["outcome"] == "ok"


def quantities(experiments: Sequence[Experiment], results: Iterable[CellResult]) -> tuple[Quantity, ...]:
    """Every number of every experiment's own table, cell by cell."""
    cells = tuple(results)
    return tuple(
        quantity for experiment in experiments for result in cells for quantity in _quantities(experiment, result)
    )


def _quantities(experiment: Experiment, result: CellResult) -> Iterable[Quantity]:
    if experiment.figures is None or not completed(experiment.name, result):
        return
    evidence = evidence_of(experiment.name, result)
    if not evidence.rounds("round"):
        return
    try:
        figures = experiment.figures(evidence)
    except MALFORMED:
        return  # the claims of the experiment say so, because their evidence cannot be read either
    for figure in figures:
        estimate = figure.found
        yield Quantity(
            experiment=experiment.name,
            title=experiment.summary,
            cell=result.cell.id,
            what=figure.what,
            value=estimate.value if estimate else None,
            low=estimate.low if estimate else None,
            high=estimate.high if estimate else None,
            unit=figure.unit,
            accepted=figure.accepted,
            rejected=figure.rejected,
            of=figure.of,
            better=figure.better,
        )
