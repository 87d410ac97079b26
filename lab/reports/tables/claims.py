"""The tables of claims and the sentences under them: of the cells of one build, or of several builds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lab.model.cell import CellResult
from lab.model.session import BuildChange, Judgement, Session, Verdict
from lab.reports.tables import columns
from lab.reports.tables.highlights import grouped
from lab.text import names as naming
from lab.text.table import Table

#: More cells than this do not fit beside each other in 80 columns.
CELLS_ABREAST = 4


def claims(session: Session) -> list[Table]:
    """All claims x cells, a few cells abreast; under the last, a sentence for each surprise and each refutation.

    Of several builds there is a table for each limit, with a column for each build, and what changed between them.
    """
    if any(result.cell.build for result in session.results):
        found = [one for results in _by_limit(session.results).values() for one in _of_builds(session, results)]
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
    head = ("claim", *(naming.asked_lines(one.cell) for one in abreast))
    return Table(title="Claims", head=head, rows=_claim_rows(session, abreast))


def _by_limit(results: Sequence[CellResult]) -> dict[str, list[CellResult]]:
    """Limit -> the cells of each build under it."""
    found: dict[str, list[CellResult]] = {}
    for result in results:
        found.setdefault(result.cell.limit_label, []).append(result)
    return found


#: Words short enough for a column for each build.
_SHORT = {
    Verdict.CONFIRMED: "yes",
    Verdict.REFUTED: "no",
    Verdict.INCONCLUSIVE: "open",
    Verdict.UNTESTABLE: "-",
    Verdict.ERROR: "error",
}


#: What these words mean.
SHORT_KEY = "yes: confirmed; no: refuted; open: inconclusive; -: untestable; !: a surprise"


def _of_builds(session: Session, results: Sequence[CellResult]) -> list[Table]:
    """Tables of the cells of each build under one limit."""
    values: dict[tuple[str, str, str], str] = {}
    group = ""
    for claim in _claims_of(session):
        experiment, _, name = claim.partition(".")
        if experiment != group:
            group = experiment
            values[experiment, "", ""] = ""
        for result in results:
            values[f"  {name}", claim, result.cell.build] = short_mark(find_judgement(session, claim, result))
    title = f"Claims, {naming.asked_words(results[0].cell)}"
    return columns.tables(session, title, values, ("claim", ""), (SHORT_KEY,))


def short_mark(judgement: Judgement | None) -> str:
    """A verdict in a word for a narrow column."""
    return "" if judgement is None else _SHORT[judgement.verdict] + "!" * judgement.surprise


def _claims_of(session: Session) -> Iterable[str]:
    return dict.fromkeys(judgement.claim for judgement in session.judgements)


def _claim_rows(session: Session, results: Sequence[CellResult]) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = []
    group = ""
    for claim in _claims_of(session):
        experiment, _, name = claim.partition(".")
        if experiment != group:
            group = experiment
            rows.append((experiment, *[""] * len(results)))
        rows.append((f"  {name}", *(mark(find_judgement(session, claim, result)) for result in results)))
    return tuple(rows)


def changed(session: Session) -> tuple[str, ...]:
    """A sentence for each claim that came out otherwise on a build than on its neighbour."""
    alike: dict[tuple[str, ...], list[BuildChange]] = {}
    for one in session.changes:
        alike.setdefault((one.claim, one.before, one.after, one.was, one.now, one.since), []).append(one)
    lines = []
    names = columns.heads(session)
    for (claim, before, after, was, now, since), cells in alike.items():
        where = ", ".join(one.limit for one in cells)
        when = f" ({since})" if since else ""
        change = f"{was} on {names[before]}, {now} on {names[after]}{when}"
        lines.append(f"- {claim} at {where}: {change}: {cells[0].reason}")
    return ("What changed between builds:", *lines) if lines else ()


def sentences(session: Session) -> tuple[str, ...]:
    """One sentence for each claim that surprised, was refuted, stayed inconclusive or failed, saying why.

    What is wrong with a whole cell stands under the limits, once, and not here for each of its claims.
    """
    lines = []
    own = [judgement for judgement in session.judgements if not judgement.about_cell]
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
    names = columns.heads(session)
    lines = []
    for claim, judgements in grouped(chosen, lambda judgement: judgement.claim).items():
        lines.append(f"- {claim}: “{judgements[0].statement}”")
        # What is expected may depend on the build and on the limit.
        by_reason = grouped(judgements, lambda judgement: (judgement.reason, judgement.surprise and judgement.expected))
        for (reason, expected), same in by_reason.items():
            where = _where([cells[judgement.cell] for judgement in same], names)
            lines.append(f"    at {where}{f' (expected: {expected})' if expected else ''}: {reason}")
    return lines


def _where(results: Sequence[CellResult], names: Mapping[str, str]) -> str:
    """These cells in a few words: the limits, and of several builds under each limit the builds."""
    found = []
    for limit, cells in _by_limit(results).items():
        builds = ", ".join(names[result.cell.build] for result in cells if result.cell.build)
        found.append(f"{limit} on {builds}" if builds else limit)
    return "; ".join(found) if any(result.cell.build for result in results) else ", ".join(found)


def find_judgement(session: Session, claim: str, result: CellResult) -> Judgement | None:
    """The claim's judgement in that cell; ``None`` where it has none."""
    return next((one for one in session.judgements if one.claim == claim and one.cell == result.cell.id), None)


def mark(judgement: Judgement | None) -> str:
    """A verdict in a word, with ``!`` where it is a surprise."""
    if judgement is None:
        return "-"
    return judgement.verdict.value + ("!" if judgement.surprise else "")
