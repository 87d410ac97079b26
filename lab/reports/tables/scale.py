"""What a session of the user's own code shows: tables of its ways to work, the causes, and the advice. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lab.cell.claims.estimates import Estimate
from lab.cell.targets.case import PREFIX
from lab.judging import advice as judged_advice
from lab.judging.advice import Advice
from lab.judging.call_code import common_code
from lab.model.cell import CellResult
from lab.model.session import Judgement, Quantity, Session, Verdict
from lab.reports.tables import columns, environments
from lab.text import names, units
from lab.text.table import CODE, Table

#: A screen with more rows than this gets one row for each function and build.
MOST_ROWS = 16
#: Several functions whose code has more lines than this leave less room for tables.
_USUAL_CODE = 7
#: The most rows of that table on a screen.
_MOST_SUMMED = 10
#: The most builds that stand side by side on a screen.
_MOST_BUILDS = 3
#: With more pieces of advice than this, those that are alike share a line.
_FEW = 2
#: The most names in a line.
_MOST_NAMES = 6

_HEAD = ("speed-up", "of\ndelivered", "cores\nused", "call,\np50")

_LEGEND = (
    "of delivered: what they did, of what the machine gave so many workers; p50: half of the calls took no longer",
)

#: What one worker alone is called in the middle of a sentence, and how to run it.
_ALONE = "one worker, in a plain loop"


def is_own_code(session: Session) -> bool:
    """Whether a session measured functions of the user's."""
    return bool(judged_advice.case_names(session))


def screen_tables(session: Session) -> tuple[Table, ...]:
    """The tables that have room on a screen.

    One function has a row for each way of working, with the builds side by side. Several functions or many builds have
    a row each.
    """
    if compared := environments.environment_tables(session):
        return _fitting(compared)
    chosen = placed(session)
    names_of_builds = {each.build for each in chosen}
    is_one = len({(each.case, each.result.cell.machine) for each in chosen}) == 1
    if is_one and 1 < len(names_of_builds) <= _MOST_BUILDS:
        return _side_by_side(session)
    tables = full_tables(session)
    long_code = sum(max(len(text.code) - _USUAL_CODE, 0) for text in advice_texts(session)) if len(chosen) > 1 else 0
    if len(names_of_builds) < 2 and sum(len(table.rows) + 4 for table in tables) <= MOST_ROWS + 4 - long_code:
        return tables
    summary = _summary(session, [each.advice for each in chosen])
    more = len(summary.rows) - _MOST_SUMMED
    notes = (f"and {units.counted(more, 'more row')}: lab report --terminal",) if more > 0 else ()
    return (replace(summary, rows=summary.rows[:_MOST_SUMMED], notes=notes),)


def _fitting(tables: Sequence[Table]) -> tuple[Table, ...]:
    """As many rows of these tables as a screen has room for. A line says how many are left out."""
    shown: list[Table] = []
    room = MOST_ROWS
    for table in tables:
        if len(shown) and room < 1:
            break
        shown.append(replace(table, rows=table.rows[: max(room, 1)]))
        room -= len(table.rows) + 4
    more = sum(len(table.rows) for table in tables) - sum(len(table.rows) for table in shown)
    if more > 0:
        note = f"and {units.counted(more, 'more row')}: lab report --terminal"
        shown[-1] = replace(shown[-1], notes=(*shown[-1].notes, note))
    return tuple(shown)


def full_tables(session: Session) -> tuple[Table, ...]:
    """A table for each case with a row for each way of working, however many these are."""
    tables = (_table(session, name, result) for name in judged_advice.case_names(session) for result in session.results)
    shown = [table for table in tables if table.rows]
    compared = environments.environment_tables(session)
    return (*compared, *shown[:-1], *(replace(table, notes=_LEGEND) for table in shown[-1:]))


def counted(session: Session) -> str:
    """What the rates of a session count: ``calls``, or the ``items`` of a list."""
    return next((advice.case.counted for advice in judged_advice.all_advice(session)), "calls")


def _table(session: Session, experiment: str, result: CellResult) -> Table:
    """A row for each way of working in one cell."""
    numbers = judged_advice.numbers_of(session, experiment, result.cell.id)
    numbers = {of: quantities for of, quantities in numbers.items() if environments.RATIO not in quantities}
    where = ", ".join(filter(None, (experiment.partition(":")[2], result.cell.build, names.plain_words(result.cell))))
    return Table(
        title=where,
        head=("workers", f"{counted(session)}/s", *_HEAD),
        rows=tuple((on_two_lines(of), *_cells(quantities)) for of, quantities in numbers.items()),
    )


def on_two_lines(workers: str) -> str:
    """The name of workers with the chunks on a line of their own: the table has 80 columns."""
    return workers.replace(", chunks", ",\nchunks")


def _cells(quantities: dict[str, Quantity]) -> tuple[str, ...]:
    rate = _value(quantities, "calls/s")
    share, cores, time = (quantities.get(what) for what in ("of delivered", "cores used", "call, p50"))
    return (
        "?" if rate is None else units.quantity(rate, ""),
        _interval(quantities["speed-up"]) if "speed-up" in quantities else "1",
        value_text(share, lambda value: f"{100 * value:.0f} %"),
        value_text(cores, units.ratio),
        value_text(time, units.seconds),
    )


def value_text(quantity: Quantity | None, words: Callable[[float], str]) -> str:
    """A number in words; ``-`` where nobody measures it, and ``?`` where too few rounds count."""
    if quantity is None or not (quantity.accepted or quantity.rejected):
        return "-"
    return "?" if quantity.value is None else words(quantity.value)


def _interval(number: Quantity | Estimate) -> str:
    if number.value is None or number.low is None or number.high is None:
        return "?"
    return f"{number.value:.2f} ({number.low:.2f}-{number.high:.2f})"


def _value(quantities: dict[str, Quantity], what: str) -> float | None:
    return quantities[what].value if what in quantities else None


def _side_by_side(session: Session) -> tuple[Table, ...]:
    """The largest cells of one function: a row for each way of working, and a column for each build."""
    values = {}
    for each in placed(session):
        numbers = judged_advice.numbers_of(session, each.advice.case.experiment, each.advice.cell)
        for of, quantities in numbers.items():
            rate, gain = (_value(quantities, what) for what in ("calls/s", "speed-up"))
            times = f" ({gain:.2f} x)" if gain is not None else ""
            values[of, "", each.result.cell.build] = ("?" if rate is None else units.quantity(rate, "")) + times
    each = placed(session)[0]
    where, unit = names.plain_words(each.result.cell), f"{counted(session)}/s"
    title = f"{each.case}, {where}: {unit} (x: times those of 1 worker of that build)"
    return tuple(columns.build_tables(session, title, values, ("workers", "")))


def advice_table(session: Session) -> tuple[Table, ...]:
    """The advice for each function and cell, with its sentences and the causes below.

    There is none for the lab's own experiments.
    """
    if not is_own_code(session):
        return ()
    table = _summary(session, judged_advice.all_advice(session))
    lines = [line for text in advice_texts(session) for line in (text.sentence, *(CODE + code for code in text.code))]
    return (replace(table, notes=(*lines, *cause_lines(session))),)


def _summary(session: Session, chosen: Sequence[Advice]) -> Table:
    """A row for each piece of advice: the speed of one worker, and what is advised."""
    results = {result.cell.id: result for result in session.results}
    builds = columns.build_names(session)
    where, cases = shared_file(session), judged_advice.case_names(session)
    several = len(cases) > 1
    rows = []
    for advice in chosen:
        cell = results[advice.cell].cell
        place = ", ".join(filter(None, (cell.build and builds[cell.build], names.plain_words(cell))))
        rate = _value(judged_advice.numbers_of(session, advice.case.experiment, cell.id).get("1 worker", {}), "calls/s")
        gain = advice.speed_up
        times = "?" if gain is None else "1" if gain.value == 1 else _interval(gain)
        take = advice.option.name if advice.option else "not decided"
        name = [advice.case.label.removeprefix(where)] * several
        rows.append((*name, place, "?" if rate is None else units.quantity(rate, ""), take, times))
    head = (*["function"] * several, "cell", f"{counted(session)}/s of\n1 worker", "take", "speed-up")
    subject = f"the functions of {where.rstrip(':')}" if where else "" if several else cases[0].removeprefix(PREFIX)
    title = f"What to take{' for ' if subject else ''}{subject}"
    return Table(title=title, head=head, rows=tuple(rows))


def shared_file(session: Session) -> str:
    """What the names of several functions begin with, such as ``work.py:``; empty where they differ."""
    labels = [name.removeprefix(PREFIX) for name in judged_advice.case_names(session)]
    files = {label.partition(":")[0] + ":" if ":" in label else "" for label in labels}
    return files.pop() if len(labels) > 1 and len(files) == 1 else ""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A piece of advice, and the cell that it is for."""

    #: The advice.
    advice: Advice
    #: The cell.
    result: CellResult
    #: The build's name in a table; empty where the session has only one.
    build: str
    #: The function as short as it can be named in this session.
    case: str

    def place(self, session: Session) -> str:
        """Where the advice holds, as far as the session has several places: ``for f on 3.13t with 2 CPUs``."""
        several_cases = len(judged_advice.case_names(session)) > 1
        several_cells = len(session.results) > 1
        case = f"for {self.case}" if several_cases else ""
        build = f"on {self.build}" if self.build else ""
        cell = f"with {names.plain_words(self.result.cell)}" if several_cells else ""
        return " ".join(filter(None, (case, build, cell)))


def placed(session: Session) -> tuple[Placed, ...]:
    """Of each function and build the advice for the cell with the most CPUs, with its place."""
    results = {result.cell.id: result for result in session.results}
    builds = columns.build_names(session) if columns.has_builds(session) else {}
    where = shared_file(session)
    return tuple(
        Placed(
            advice=advice,
            result=results[advice.cell],
            build=builds.get(results[advice.cell].cell.build, ""),
            case=advice.case.label.removeprefix(where),
        )
        for advice in judged_advice.largest(session)
    )


@dataclass(frozen=True, kw_only=True)
class AdviceText:
    """Advice for a reader."""

    #: A sentence that begins with ``Advice:``.
    sentence: str
    #: The lines of code to paste; none where nothing is decided.
    code: tuple[str, ...]


def advice_texts(session: Session) -> tuple[AdviceText, ...]:
    """The advice for the largest cell of each function and build. Where it is the same for many, they share it.

    Code that is the same for two stands below the second one, with the import of that function. Code that many share
    imports the first one.
    """
    chosen = placed(session)
    if len(chosen) <= _FEW:
        codes = [common_code(each.advice.code) for each in chosen]
        return tuple(
            AdviceText(
                sentence=_placed_sentence(session, each),
                code=() if codes[number] in codes[number + 1 :] else tuple(each.advice.code.splitlines()),
            )
            for number, each in enumerate(chosen)
        )
    alike: dict[tuple[str, str], list[Placed]] = {}  # by what is taken, and by the code that they have in common
    for each in chosen:
        name = each.advice.option.name if each.advice.option else ""
        alike.setdefault((name, common_code(each.advice.code)), []).append(each)
    return tuple(
        AdviceText(sentence=_shared_sentence(session, name, same), code=tuple(same[0].advice.code.splitlines()))
        for (name, _), same in alike.items()
    )


def _placed_sentence(session: Session, each: Placed) -> str:
    place = each.place(session)
    return each.advice.sentence.replace("Advice: ", f"Advice: {place}, " if place else "Advice: ", 1)


def _shared_sentence(session: Session, name: str, same: Sequence[Placed]) -> str:
    places = _listed([each.place(session) for each in same])
    if not name:
        return f"Advice: not decided {places}. Measure again on a quieter machine, or with --thorough."
    return f"Advice: take {_ALONE if name == '1 worker' else name} {places}."


def _listed(places: Sequence[str]) -> str:
    """Places in a few words. What they all end with is said once."""
    ends = {place.rpartition(" with ")[2] if " with " in place else "" for place in places}
    end = f" with {next(iter(ends))}" if len(ends) == 1 and ends != {""} else ""
    starts = [place.removesuffix(end) for place in places]
    first = starts[0].partition(" ")[0]
    if all(start.startswith(f"{first} ") for start in starts):
        starts = [starts[0], *(start.partition(" ")[2] for start in starts[1:])]
    more = len(starts) - _MOST_NAMES
    shown = [*starts[:_MOST_NAMES], f"{more} more"] if more > 0 else starts
    *others, last = shown
    return (f"{', '.join(others)} and {last}" if others else last) + end


def cause_lines(session: Session) -> tuple[str, ...]:
    """A sentence for each cause that was found, with its evidence, of the cells that advice is given for."""
    return _lines(session, Verdict.CONFIRMED)


def open_lines(session: Session) -> tuple[str, ...]:
    """What could not be decided, and why."""
    return _lines(session, Verdict.INCONCLUSIVE)


def _lines(session: Session, verdict: Verdict) -> tuple[str, ...]:
    """A line for each cause with this verdict. Functions and builds that share a cause share its line."""
    chosen = placed(session)
    by_cause: dict[str, list[tuple[Placed, Judgement]]] = {}
    for each in chosen:
        for judgement in _judgements(session, each.advice):
            if judgement.verdict is verdict:
                by_cause.setdefault(judgement.statement, []).append((each, judgement))
    lines = []
    for statement, found in by_cause.items():
        (first, judgement), *others = found
        place = _listed([each.place(session) for each, _ in found]) if len(chosen) > 1 else ""
        example = f"{first.place(session)}: " if others else ""
        hint = f". What to do: {judgement.advice}" if verdict is Verdict.CONFIRMED and judgement.advice else ""
        lines.append(f"- {place}{': ' if place else ''}{statement} ({example}{judgement.reason}){hint}")
    return tuple(lines)


def _judgements(session: Session, advice: Advice) -> Sequence[Judgement]:
    return [
        judgement
        for judgement in session.judgements
        if judgement.cell == advice.cell and judgement.claim.rpartition(".")[0] == advice.case.experiment
    ]
