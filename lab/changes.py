"""What changed between two neighbouring builds, and since which version: verdicts of the same claim and limit. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.experiments._claims import Claim, Experiment, Facts
from lab.model import CellResult, Change, Judgement
from lab.verdicts import facts_of


def between(
    experiments: Sequence[Experiment], results: Sequence[CellResult], judgements: Sequence[Judgement]
) -> tuple[Change, ...]:
    """Every claim that came out otherwise on a build than on its neighbour under the same limit.

    A build with a GIL is held against the one before it, a free-threaded one against its own version with a GIL. Only
    decisive verdicts count: what noise or hardware kept undecided has not changed.
    """
    found: list[Change] = []
    verdicts = {(one.claim, one.cell): one for one in judgements}
    limits: dict[str, list[CellResult]] = {}
    for result in results:
        if result.cell.build and result.python and result.proof:
            limits.setdefault(result.cell.limit, []).append(result)
    for claim in (claim for experiment in experiments for claim in experiment.claims):
        for limit, cells in limits.items():
            facts = [facts_of(cell) for cell in cells]
            for number, cell in enumerate(cells):
                base = _neighbour(facts, number)
                if base is None:
                    continue
                before, after = (verdicts.get((claim.id, one.cell.id)) for one in (cells[base], cell))
                if not (before and after and before.verdict.decisive and after.verdict.decisive):
                    continue
                if before.verdict != after.verdict:
                    found.append(
                        Change(
                            claim=claim.id,
                            limit=limit,
                            before=cells[base].cell.build,
                            after=cell.cell.build,
                            was=before.verdict,
                            now=after.verdict,
                            since=_since(claim, facts[base], facts[number], after.verdict.value),
                            reason=after.reason,
                        )
                    )
    return tuple(found)


def _neighbour(facts: Sequence[Facts], number: int) -> int | None:
    """The place of the build to hold this one against; ``None`` for the first."""
    mine = facts[number]
    if not mine.gil:
        same = [place for place, one in enumerate(facts) if one.gil and one.version == mine.version]
        if same:
            return same[0]
    earlier = [
        (one.version, place) for place, one in enumerate(facts) if one.gil == mine.gil and one.version < mine.version
    ]
    return max(earlier)[1] if earlier else None


def _since(claim: Claim, before: Facts, after: Facts, verdict: str) -> str:
    """Since when, by what is expected of the versions in between; empty where that does not explain it."""
    if before.version == after.version:
        return "without the GIL" if before.gil and not after.gil else ""
    if before.told_cpus != after.told_cpus:
        return "by -X cpu_count"
    for minor in range(before.version[1] + 1, after.version[1] + 1):
        if claim.expected(after._replace(version=(after.version[0], minor))) == verdict:
            return f"since {after.version[0]}.{minor}"
    return ""
