"""Verdicts that changed between two neighbouring builds under the same limit, and since which version. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lab.cell.claims.claim import Claim, Experiment, Facts
from lab.judging.verdicts import facts_of
from lab.model.cell import CellResult
from lab.model.session import BuildChange, Judgement

#: The options at the end of a build's label.
_OPTIONS = re.compile(r"(\+(gil|nogil|cpu_count=\d+))+$")


def changes_between_builds(
    experiments: Sequence[Experiment], results: Sequence[CellResult], judgements: Sequence[Judgement]
) -> tuple[BuildChange, ...]:
    """Every claim with different verdicts on a build and on its neighbour, under the same limit.

    The neighbour of a build with options is the same build without them. The neighbour of a free-threaded build is its
    own version with a GIL. The neighbour of any other build is the version before. Only decisive verdicts count.
    """
    changes: list[BuildChange] = []
    by_claim_and_cell = {(judgement.claim, judgement.cell): judgement for judgement in judgements}
    limits: dict[str, list[CellResult]] = {}
    for result in results:
        if result.cell.build and result.python and result.proof:
            limits.setdefault(result.cell.limit_label, []).append(result)
    for claim in (claim for experiment in experiments for claim in experiment.claims):
        for limit, cells in limits.items():
            builds = [cell.cell.build for cell in cells]
            facts = [facts_of(cell) for cell in cells]
            for number, cell in enumerate(cells):
                base = _neighbour(builds, facts, number)
                if base is None:
                    continue
                before, after = (by_claim_and_cell.get((claim.id, side.cell.id)) for side in (cells[base], cell))
                if not (before and after and before.verdict.decisive and after.verdict.decisive):
                    continue
                if before.verdict != after.verdict:
                    changes.append(
                        BuildChange(
                            claim=claim.id,
                            limit=limit,
                            before=cells[base].cell.build,
                            after=cell.cell.build,
                            was=before.verdict,
                            now=after.verdict,
                            since=_since(claim, facts[base], facts[number], before.verdict.value, after.verdict.value),
                            reason=after.reason,
                        )
                    )
    return tuple(changes)


def _neighbour(builds: Sequence[str], facts: Sequence[Facts], number: int) -> int | None:
    """The place of the build to compare this one with; ``None`` for the first build."""
    own, without = facts[number], _OPTIONS.sub("", builds[number])
    if without != builds[number] and without in builds:
        return builds.index(without)
    # Of builds that differ only in their options, the build without options comes first.
    places = sorted(range(len(builds)), key=lambda place: _OPTIONS.search(builds[place]) is not None)
    if not own.gil:
        same = [place for place in places if facts[place].gil and facts[place].version == own.version]
        if same:
            return same[0]
    earlier = [place for place in places if facts[place].gil == own.gil and facts[place].version < own.version]
    return max(earlier, key=lambda place: facts[place].version, default=None)


def _since(claim: Claim, before: Facts, after: Facts, was: str, now: str) -> str:
    """Which difference between the builds explains the change; empty: no difference explains it alone.

    A difference explains the change if the expected verdict, without this difference, would not have changed.
    """
    if (claim.expected(before), claim.expected(after)) != (was, now):
        return ""
    if claim.expected(after._replace(told_cpus=before.told_cpus)) != now:
        return "without -X cpu_count" if after.told_cpus is None else "by -X cpu_count"
    if claim.expected(after._replace(gil=before.gil)) != now:
        return "with the GIL" if after.gil else "without the GIL"
    major, minor = after.version
    while minor > before.version[1]:
        minor -= 1
        if claim.expected(after._replace(version=(major, minor))) != now:
            return f"since {major}.{minor + 1}"
    return ""
