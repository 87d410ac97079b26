"""The tables of claims, and the sentences below those tables: for the cells of one build or of several builds. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.model.cell import CellResult
from lab.model.session import BuildChange, Judgement, Session, Verdict
from lab.reports.tables import columns
from lab.reports.tables.highlights import grouped, is_cause
from lab.text import names as naming
from lab.text.table import GAP, WIDTH, Table

#: More cells than this do not fit side by side in 80 columns beside a statement.
CELLS_SIDE_BY_SIDE = 3
#: The width of the longest verdict with its mark.
_WIDEST_VERDICT = len("inconclusive!")
#: How wide a statement is where each build has a column.
_ROOM_BESIDE_BUILDS = 38

#: Below the table of claims.
_LEGEND = (
    "confirmed: it holds in this cell. refuted: it does not. inconclusive: too noisy to tell. untestable: this cell"
    " cannot decide it. !: a surprise, because the other verdict was expected."
)


def claims_tables(session: Session) -> list[Table]:
    """All claims x cells, a few cells side by side; below the last table, a sentence for each surprise and refutation.

    Several builds have a table for each limit, with a column for each build. Below those tables stands what changed
    between builds.
    """
    if any(result.cell.build for result in session.results):
        tables = [table for results in _by_limit(session.results).values() for table in _build_tables(session, results)]
    else:
        tables = [
            _cells_table(session, session.results[start : start + CELLS_SIDE_BY_SIDE])
            for start in range(0, len(session.results), CELLS_SIDE_BY_SIDE)
        ]
    if not tables:
        return []
    last = tables[-1]
    return [*tables[:-1], replace(last, notes=(*last.notes, *change_sentences(session), *verdict_sentences(session)))]


def _cells_table(session: Session, results: Sequence[CellResult]) -> Table:
    head = ("claim", *(naming.asked_lines(result.cell) for result in results))
    room = WIDTH - sum(max(_WIDEST_VERDICT, *map(len, text.split("\n"))) + GAP for text in head[1:])
    rows = []
    for claim, statement in session.claims.items():
        experiment, _, name = claim.rpartition(".")
        if (experiment, *[""] * len(results)) not in rows:
            rows.append((experiment, *[""] * len(results)))
        marks = (mark(find_judgement(session, claim, result)) for result in results)
        rows.append((_stated(statement, name, room), *marks))
    return Table(title="Claims", head=head, rows=tuple(rows), notes=(_LEGEND,))


def _stated(statement: str, name: str, room: int) -> str:
    """A statement with the name of its claim, in lines that fit into the first column."""
    text = f"{statement} ({name})"
    return textwrap.fill(text, room, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _by_limit(results: Sequence[CellResult]) -> dict[str, list[CellResult]]:
    """Limit -> the cells of each build under that limit."""
    groups: dict[str, list[CellResult]] = {}
    for result in results:
        groups.setdefault(result.cell.limit_label, []).append(result)
    return groups


#: Verdicts in words that fit a narrow column.
_SHORT = {
    Verdict.CONFIRMED: "yes",
    Verdict.REFUTED: "no",
    Verdict.INCONCLUSIVE: "open",
    Verdict.UNTESTABLE: "-",
    Verdict.ERROR: "error",
}


#: What the short words mean.
SHORT_LEGEND = (
    "yes: confirmed. no: refuted. open: inconclusive. -: untestable. !: a surprise, since another verdict was expected."
)


def _build_tables(session: Session, results: Sequence[CellResult]) -> list[Table]:
    """Tables of one limit, with a column for each build."""
    values: dict[tuple[str, str, str], str] = {}
    group = ""
    for claim, statement in session.claims.items():
        experiment, _, name = claim.rpartition(".")
        if experiment != group:
            group = experiment
            values[experiment, "", ""] = ""
        figure = _stated(statement, name, _ROOM_BESIDE_BUILDS)
        for result in results:
            judgement = find_judgement(session, claim, result)
            values[figure, claim, result.cell.build] = short_mark(judgement)
    title = f"Claims, {naming.asked_words(results[0].cell)}"
    return columns.build_tables(session, title, values, ("claim", ""), (SHORT_LEGEND,))


def short_mark(judgement: Judgement | None) -> str:
    """A verdict as a short word for a narrow column."""
    return "" if judgement is None else _SHORT[judgement.verdict] + "!" * judgement.surprise


def change_sentences(session: Session) -> tuple[str, ...]:
    """A sentence for each claim that has another verdict on one build than on the next build."""
    groups: dict[tuple[str, ...], list[BuildChange]] = {}
    for change in session.changes:
        key = (change.claim, change.before, change.after, change.was, change.now, change.since)
        groups.setdefault(key, []).append(change)
    lines = []
    names = columns.build_names(session)
    for (claim, before, after, was, now, since), changes in groups.items():
        where = ", ".join(change.limit for change in changes)
        when = f" ({since})" if since else ""
        verdicts = f"{was} on {names[before]}, {now} on {names[after]}{when}"
        lines.append(f"- {claim} at {where}: {verdicts}: {changes[0].reason}")
    return ("What changed between builds:", *lines) if lines else ()


def verdict_sentences(session: Session) -> tuple[str, ...]:
    """A sentence with the reason for each claim that surprised, was refuted, stayed inconclusive or failed.

    A fault of a whole cell is reported once, below the table of limits, and is not repeated here for each claim.
    """
    lines = []
    judgements = [judgement for judgement in session.judgements if not judgement.about_cell]
    expected = [judgement for judgement in judgements if not judgement.surprise]
    for heading, chosen in (
        ("Surprises (marked !)", [judgement for judgement in judgements if judgement.surprise]),
        ("Refuted", [each for each in expected if each.verdict is Verdict.REFUTED and not is_cause(each)]),
        ("Inconclusive", [judgement for judgement in judgements if judgement.verdict is Verdict.INCONCLUSIVE]),
        ("Errors", [judgement for judgement in judgements if judgement.verdict is Verdict.ERROR]),
    ):
        if chosen:
            lines.append(f"{heading}:")
            lines.extend(_merged(session, chosen))
    return tuple(lines)


def _merged(session: Session, chosen: Sequence[Judgement]) -> list[str]:
    """Lines for the chosen judgements; the statement of a claim stands once above the reasons of its cells."""
    cells = {result.cell.id: result for result in session.results}
    names = columns.build_names(session)
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
    """The cells in a few words: the limits and, if the session has several builds, the builds under each limit."""
    places = []
    for limit, cells in _by_limit(results).items():
        builds = ", ".join(names[result.cell.build] for result in cells if result.cell.build)
        places.append(f"{limit} on {builds}" if builds else limit)
    return "; ".join(places) if any(result.cell.build for result in results) else ", ".join(places)


def find_judgement(session: Session, claim: str, result: CellResult) -> Judgement | None:
    """The judgement of a claim in a cell; ``None`` if the claim was not judged there."""
    return session.by_claim_and_cell.get((claim, result.cell.id))


def mark(judgement: Judgement | None) -> str:
    """A verdict in a word, followed by ``!`` if it is a surprise."""
    if judgement is None:
        return "-"
    return judgement.verdict.value + ("!" if judgement.surprise else "")
