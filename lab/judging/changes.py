"""What changed between two neighbouring builds, and since which version: verdicts of the same claim and limit. Pure."""

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
    """Every claim that came out otherwise on a build than on its neighbour under the same limit.

    A build with options is held against the same one without them, a free-threaded one against its own version with a
    GIL, and any other against the one before it. Only decisive verdicts count: what noise or hardware kept undecided
    has not changed.
    """
    found: list[BuildChange] = []
    verdicts = {(one.claim, one.cell): one for one in judgements}
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
                before, after = (verdicts.get((claim.id, one.cell.id)) for one in (cells[base], cell))
                if not (before and after and before.verdict.decisive and after.verdict.decisive):
                    continue
                if before.verdict != after.verdict:
                    found.append(
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
    return tuple(found)


def _neighbour(builds: Sequence[str], facts: Sequence[Facts], number: int) -> int | None:
    """The place of the build to hold this one against; ``None`` for the first."""
    mine, without = facts[number], _OPTIONS.sub("", builds[number])
    if without != builds[number] and without in builds:
        return builds.index(without)
    # Of builds that are alike else, the one without options.
    places = sorted(range(len(builds)), key=lambda place: _OPTIONS.search(builds[place]) is not None)
    if not mine.gil:
        same = [place for place in places if facts[place].gil and facts[place].version == mine.version]
        if same:
            return same[0]
    earlier = [place for place in places if facts[place].gil == mine.gil and facts[place].version < mine.version]
    return max(earlier, key=lambda place: facts[place].version, default=None)


def _since(claim: Claim, before: Facts, after: Facts, was: str, now: str) -> str:
    """What explains it, by what is expected of either and of the versions in between: the one difference without which
    it would have stayed as it was. Empty where there is none."""
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
