"""The tables of claims and the sentences under them: of the cells of one build, or of several builds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lab import units
from lab.model import CellResult, Change, Judgement, Session, Verdict
from lab.table import Table, title_of

#: More cells than this do not fit beside each other in 80 columns.
CELLS_ABREAST = 4


def claims(session: Session) -> list[Table]:
    """All claims x cells, a few cells abreast; under the last, a sentence for each surprise and each refutation.

    Of several builds there is a table for each limit, with a column for each build, and what changed between them.
    """
    if any(result.cell.build for result in session.results):
        found = [_of_builds(session, limit, results) for limit, results in _by_limit(session.results).items()]
    else:
        found = [
            _of_cells(session, session.results[start : start + CELLS_ABREAST])
            for start in range(0, len(session.results), CELLS_ABREAST)
        ]
    if not found:
        return []
    last = found[-1]
    return [*found[:-1], replace(last, notes=(*last.notes, *changed(session), *sentences(session)))]


def _of_cells(session: Session, abreast: Sequence[CellResult]) -> Table:
    head = ("claim", *(over_a_column(result) for result in abreast))
    return Table(title="Claims", head=head, rows=_claim_rows(session, abreast, mark))


def _by_limit(results: Sequence[CellResult]) -> dict[str, list[CellResult]]:
    """Limit -> the cells of each build under it."""
    found: dict[str, list[CellResult]] = {}
    for result in results:
        found.setdefault(result.cell.limit, []).append(result)
    return found


#: Words short enough for a column for each build.
_SHORT = {
    Verdict.CONFIRMED: "yes",
    Verdict.REFUTED: "no",
    Verdict.INCONCLUSIVE: "open",
    Verdict.UNTESTABLE: "-",
    Verdict.ERROR: "error",
}


def _of_builds(session: Session, limit: str, results: Sequence[CellResult]) -> Table:
    size = units.cpus(int(limit)) if limit.isdecimal() else limit
    head = ("claim", *(result.cell.build.replace("+", "\n+") for result in results))
    key = "yes: confirmed; no: refuted; open: inconclusive; -: untestable; !: a surprise"
    return Table(title=f"Claims, {size}", head=head, rows=_claim_rows(session, results, _short_mark), notes=(key,))


def _short_mark(judgement: Judgement | None) -> str:
    return "" if judgement is None else _SHORT[judgement.verdict] + "!" * judgement.surprise


def _claim_rows(
    session: Session, results: Sequence[CellResult], word: Callable[[Judgement | None], str]
) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = []
    group = ""
    for claim in dict.fromkeys(judgement.claim for judgement in session.judgements):
        experiment, _, name = claim.partition(".")
        if experiment != group:
            group = experiment
            rows.append((experiment, *[""] * len(results)))
        rows.append((f"  {name}", *(word(find(session, claim, result)) for result in results)))
    return tuple(rows)


def changed(session: Session) -> tuple[str, ...]:
    """A sentence for each claim that came out otherwise on a build than on its neighbour."""
    alike: dict[tuple[str, ...], list[Change]] = {}
    for one in session.changes:
        alike.setdefault((one.claim, one.before, one.after, one.was, one.now, one.since), []).append(one)
    lines = []
    for (claim, before, after, was, now, since), cells in alike.items():
        where = ", ".join(one.limit for one in cells)
        when = f" ({since})" if since else ""
        lines.append(f"- {claim} at {where}: {was} on {before}, {now} on {after}{when}: {cells[0].reason}")
    return ("What changed between builds:", *lines) if lines else ()


def over_a_column(result: CellResult) -> str:
    """A cell's name as the head of a column."""
    first, comma, rest = title_of(result).partition(",\n")
    return (units.cpus(int(first)) if first.isdecimal() else first) + comma + rest


def sentences(session: Session) -> tuple[str, ...]:
    """One sentence for each claim that surprised, was refuted, stayed inconclusive or failed, saying why.

    What is wrong with a whole cell stands under the limits, once, and not here for each of its claims.
    """
    lines = []
    whole = {result.cell.id: result.reason for result in session.results if result.reason}
    own = [one for one in session.judgements if not (one.cell in whole and str(whole[one.cell]) in one.reason)]
    for heading, chosen in (
        ("Surprises (marked !)", [one for one in own if one.surprise]),
        ("Refuted", [one for one in own if one.verdict is Verdict.REFUTED and not one.surprise]),
        ("Inconclusive", [one for one in own if one.verdict is Verdict.INCONCLUSIVE]),
        ("Errors", [one for one in own if one.verdict is Verdict.ERROR]),
    ):
        if chosen:
            lines.append(f"{heading}:")
            lines.extend(_merged(session, chosen))
    return tuple(lines)


def _merged(session: Session, chosen: Sequence[Judgement]) -> list[str]:
    """A claim whose statement is the same in several cells says its statement once."""
    cells = {result.cell.id: result for result in session.results}
    lines = []
    for claim in dict.fromkeys(one.claim for one in chosen):
        mine = [one for one in chosen if one.claim == claim]
        expected = f" (expected: {mine[0].expected})" if mine[0].surprise else ""
        lines.append(f"- {claim}: “{mine[0].statement}”{expected}")
        for reason in dict.fromkeys(one.reason for one in mine):
            where = _where([cells[one.cell] for one in mine if one.reason == reason])
            lines.append(f"    at {where}: {reason}")
    return lines


def _where(results: Sequence[CellResult]) -> str:
    """These cells in a few words: the limits, and of several builds under each limit the builds."""
    found = []
    for limit, cells in _by_limit(results).items():
        builds = ", ".join(result.cell.build for result in cells if result.cell.build)
        found.append(f"{limit} on {builds}" if builds else limit)
    return "; ".join(found) if any(result.cell.build for result in results) else ", ".join(found)


def find(session: Session, claim: str, result: CellResult) -> Judgement | None:
    """The claim's judgement in that cell; ``None`` where it has none."""
    return next((one for one in session.judgements if one.claim == claim and one.cell == result.cell.id), None)


def mark(judgement: Judgement | None) -> str:
    """A verdict in a word, with ``!`` where it is a surprise."""
    if judgement is None:
        return "-"
    return judgement.verdict.value + ("!" if judgement.surprise else "")
