"""The report for the summary page of a CI job: short Markdown with the urgent parts first, and a mermaid chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.cell.claims.wording import shortened
from lab.judging import proofs, speedups
from lab.judging.advice import case_names
from lab.judging.programs import failed, is_of_programs, measured
from lab.model.cell import CellResult, Status
from lab.model.session import Judgement, Session, Verdict
from lab.reports import tables
from lab.reports.tables import environments, overview, programs, scale
from lab.reports.tables.answers import Answer, answers
from lab.text import markdown, mermaid, units
from lab.text import names as naming

#: The most characters of a text, lines of a list and rows of a table. The other reports show all.
LONGEST_TEXT, LONGEST_LIST, LONGEST_TABLE = 300, 15, 60

#: Verdicts as shapes and words, so that nobody has to tell colours apart.
_MARKS = {
    Verdict.CONFIRMED: "● confirmed",
    Verdict.REFUTED: "○ refuted",
    Verdict.INCONCLUSIVE: "◐ inconclusive",
    Verdict.UNTESTABLE: "– untestable",
    Verdict.ERROR: "✖ error",
}


def render(session: Session) -> str:
    """The session in one screen, and below it all claims in a folded part, if the screen does not show them."""
    if scale.is_own_code(session):
        return _own_code(session)
    if is_of_programs(session):
        return _programs(session)
    attention, plain = _divided(session)
    parts = [f"## multicore-lab: {_outcome(session)}"]
    parts += ["\n".join(_answered(answer) for answer in answers(session))]
    parts.append("  \n".join(map(escaped, tables.headline(session).lines)))
    parts += _list("Surprises", [_sentence(session, each) for each in session.judgements if each.surprise])
    parts += _list("Cells not measured as requested", _troubles(session))
    if attention:
        parts.append(_claims(session, attention[:LONGEST_TABLE]))
    if len(attention) > LONGEST_TABLE:
        parts.append(f"{len(attention) - LONGEST_TABLE} more claims are not confirmed everywhere.")
    if plain:
        parts.append(f"{len(plain)}{' more' if attention else ''}: confirmed wherever they can be tested.")
    parts += _speed_ups(session)
    parts += [escaped(note) for note in session.notes]
    whole = f"<details><summary>All {len(plain) + len(attention)} claims</summary>"
    details = "\n\n".join((whole, _claims(session, _ordered(session)), "</details>"))
    short = "\n\n".join(filter(None, parts))
    long = f"{short}\n\n{details}" if plain else short
    return (long if len(long.encode()) <= markdown.MOST_BYTES else short) + "\n"


def _own_code(session: Session) -> str:
    """The summary of a session that measured functions of the user's: advice, numbers and causes."""
    cases = units.counted(len(case_names(session)), "function")
    parts = [f"## multicore-lab: {', '.join((*_incidents(session), f'advice for {cases}'))}"]
    parts.append("\n".join(_answered(answer) for answer in answers(session)))
    parts.append("  \n".join(map(escaped, tables.headline(session).lines[:2])))
    for table in scale.screen_tables(session):
        head = [escaped(name) for name in table.head]
        rows = [[escaped(text) for text in row] for row in table.rows]
        parts += [f"### {escaped(table.title)}", markdown.table(head, rows), *map(escaped, table.notes)]
    parts += _chart_of_functions(session)
    parts += _list("Why", [escaped(line.removeprefix("- ")) for line in scale.cause_lines(session)])
    parts += _list("Not decided, whether", [escaped(line.removeprefix("- ")) for line in scale.open_lines(session)])
    parts += _list("Cells not measured as requested", _troubles(session))
    parts += [escaped(note) for note in session.notes]
    return "\n\n".join(filter(None, parts)) + "\n"


def _chart_of_functions(session: Session) -> list[str]:
    """A chart of the first function in the largest cell: against the other environment, else the speed-ups."""
    numbers = [each for each in session.quantities if each.value is not None]
    for what, title, line in (
        (environments.RATIO, "Calls per second of the other environment, over those of this one", 1.0),
        ("speed-up", "Speed-up over one worker alone", None),
    ):
        drawn = [each for each in numbers if each.what == what]
        if not drawn:
            continue
        last = drawn[-1]
        shown = [each for each in drawn if (each.experiment, each.cell) == (drawn[0].experiment, last.cell)]
        values = [float(each.value or 0) for each in shown]
        lines = [[line] * len(values)] if line else []
        return [mermaid.bars(title, [each.of for each in shown], values, *lines)] if values else []
    return []


def _chart_of_programs(session: Session) -> list[str]:
    """A chart of the median wall time of each command under each limit. Where all are short, it is in milliseconds."""
    rows = [row for row in measured(session) if row.runs]
    if not rows:
        return []
    labels = [f"{row.program.label}, {naming.plain_words(row.cell.cell)}" for row in rows[:LONGEST_LIST]]
    values = [row.middle("wall") or 0.0 for row in rows[:LONGEST_LIST]]
    if max(values) < 1:
        return [mermaid.bars("Median wall time of a run, in milliseconds", labels, [1000 * value for value in values])]
    return [mermaid.bars("Median wall time of a run, in seconds", labels, values)]


def _programs(session: Session) -> str:
    """The summary of a session that ran programs of the user's: the table, what failed, and the sensible limit."""
    outcome = "a command failed" if failed(session) else "every run ended well"
    parts = [f"## multicore-lab: {', '.join((*_incidents(session), outcome))}", escaped(overview.place(session))]
    for table in programs.program_tables(session):
        rows = [[escaped(text) for text in row] for row in table.rows]
        parts += [f"### {escaped(table.title)}", markdown.table([escaped(name) for name in table.head], rows)]
        parts += ["\n".join(f"- {escaped(note)}" for note in table.notes)]
    parts += _chart_of_programs(session)
    parts += _list("Limits without a run", [escaped(line) for line in programs.unavailable_lines(session)])
    parts += [escaped(note) for note in session.notes]
    return "\n\n".join(filter(None, parts)) + "\n"


def escaped(text: str) -> str:
    """The text on one line, not too long, without markup."""
    return markdown.escaped(shortened(" ".join(text.split()), LONGEST_TEXT))


def _answered(answer: Answer) -> str:
    """An answer as an item of a list, with an item below it for each group of builds that behave alike."""
    texts = [escaped(f"{where} {text}" if where else text) for where, text in answer.paragraphs]
    if len(texts) == 1:
        return f"- **{escaped(answer.subject)}** {texts[0]}"
    return "\n".join([f"- **{escaped(answer.subject)}**", *(f"  - {text}" for text in texts)])


def _outcome(session: Session) -> str:
    count = len(session.surprises)
    return ", ".join((*_incidents(session), units.counted(count, "surprise") if count else "no surprise"))


def _incidents(session: Session) -> list[str]:
    """What went wrong with the run itself."""
    broken = sum(result.status in (Status.ERROR, Status.TAINTED) for result in session.results)
    parts = ["interrupted"] if session.interrupted else []
    return parts + [f"{units.counted(broken, 'cell')} not measured as requested"] * bool(broken)


def _ordered(session: Session) -> list[str]:
    return list(dict.fromkeys(judgement.claim for judgement in session.judgements))


def _divided(session: Session) -> tuple[list[str], list[str]]:
    """The claims that need attention, and the claims that are confirmed wherever they can be tested."""
    notable = {each.claim for each in session.judgements if each.surprise or each.verdict not in _QUIET}
    ordered = _ordered(session)
    return [claim for claim in ordered if claim in notable], [claim for claim in ordered if claim not in notable]


_QUIET = (Verdict.CONFIRMED, Verdict.UNTESTABLE)


def _claims(session: Session, claims: Iterable[str]) -> str:
    judgements = {(judgement.claim, judgement.cell): judgement for judgement in session.judgements}
    cells = [result.cell.id for result in session.results]
    statements = {judgement.claim: judgement.statement for judgement in session.judgements}
    named = {claim: escaped(f"{statements[claim]} ({claim})") for claim in claims}
    rows = [(named[claim], *(_mark(judgements.get((claim, cell))) for cell in cells)) for claim in named]
    return markdown.table(("claim", *(_title(result) for result in session.results)), rows)


def _mark(judgement: Judgement | None) -> str:
    if judgement is None:
        return "-"
    if judgement.surprise:
        return f"❗ **{judgement.verdict}**, expected {judgement.expected}"
    return _MARKS[judgement.verdict]


def _title(result: CellResult) -> str:
    return ", ".join(filter(None, (escaped(result.cell.build), _limit(result))))


def _limit(result: CellResult) -> str:
    return escaped(naming.asked_words(result.cell))


def _sentence(session: Session, judgement: Judgement) -> str:
    (where,) = [result.cell.label for result in session.results if result.cell.id == judgement.cell]
    story = f"“{judgement.statement}”: {judgement.verdict}, expected {judgement.expected}: {judgement.reason}"
    return f"**{escaped(judgement.claim)}** at {escaped(where)}: {escaped(story)}"


def _troubles(session: Session) -> list[str]:
    return [
        f"**{escaped(result.cell.label)}**: {result.status}: {escaped(str(result.reason))}"
        for result in session.results
        if result.status not in (Status.MEASURED, Status.UNAVAILABLE)
    ]


def _list(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    shown = [f"- {line}" for line in lines[:LONGEST_LIST]]
    if len(lines) > LONGEST_LIST:
        shown.append(f"- and {len(lines) - LONGEST_LIST} more")
    return [f"### {title}", "\n".join(shown)]


def _speed_ups(session: Session) -> list[str]:
    """The speed-up of threads and processes by CPUs, as a table, and as a chart if there are several cells."""
    points = []
    for result in session.results:
        rows = {row.arm: row.speed_up for row in speedups.of_cell(result)} if result.proof else {}
        threads, processes = rows.get("threads"), rows.get("processes")
        if threads and processes:
            points.append((result, threads.value, processes.value))
    if not points:
        return []
    builds = any(result.cell.build for result in session.results)
    rows_of_text = []
    for result, threads_reached, processes_reached in points:
        capacity = speedups.capacity(result)
        numbers = (threads_reached, processes_reached, proofs.rate(result.proof), capacity.value if capacity else None)
        name = (escaped(result.cell.build), _limit(result)) if builds else (_limit(result),)
        rows_of_text.append((*name, *("?" if number is None else units.ratio(number) for number in numbers)))
    head = (
        *(("build",) if builds else ()),
        "CPUs",
        "threads",
        "processes",
        "the limit allows",
        "the machine delivered",
    )
    parts = ["### Speed-up of CPU-bound Python code", markdown.table(head, rows_of_text)]
    if len(points) > 1:
        ideal = [proofs.rate(result.proof) for result, _, _ in points]
        labels = [result.cell.label for result, _, _ in points]
        if len(set(labels)) < len(labels):
            labels = [result.cell.id for result, _, _ in points]  # mermaid draws one bar for equal names
        parts.append("Bars: processes. Lower line: threads. Upper line: what the limit allows.")
        threads_line, bars = [threads for _, threads, _ in points], [processes for _, _, processes in points]
        axes = ("CPUs", "speed-up")
        parts.append(mermaid.bars("Speed-up by CPUs", labels, bars, threads_line, ideal, axes=axes))
    return parts
