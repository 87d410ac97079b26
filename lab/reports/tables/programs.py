"""What a session of the user's programs shows: a row for each limit, what failed, and the sensible limit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.cell.claims.estimates import Estimate, median
from lab.cell.claims.wording import shortened, three_figures
from lab.judging.programs import (
    Choice,
    Measured,
    Run,
    against_of,
    choices,
    measured,
    slower_than_other,
    troubles,
)
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.text import names, units
from lab.text.table import Table

_HEAD = (
    "limit",
    "wall time",
    "CPU time",
    "cores\nused",
    "speed-up",
    "of the\nCPUs",
    "peak\nmemory",
    "stopped\nby quota",
)

_LEGEND = (
    "Medians of all runs, below them the 95 % interval. speed-up: against the first limit, turn by turn. of the CPUs:"
    " the speed-up over what so many more CPUs would give. -: nobody knows, or there is none."
)

#: A line of what a program said before it failed has at most so many characters, and there are so many lines.
_LONGEST_LINE, _MOST_LINES = 160, 3
#: The most kinds of failure that are told.
_MOST_FAILURES = 6


def program_tables(session: Session) -> tuple[Table, ...]:
    """The table of all programs under all limits; none for a session of another kind."""
    rows = measured(session)
    if not rows:
        return ()
    notes = (*failure_lines(session), *against_lines(session), *choice_lines(session), *most_lines(session), _LEGEND)
    body = tuple(_row(row, rows) for row in rows if row.cell.status is not Status.UNAVAILABLE or row.runs)
    title = f"{title_of(session)}: what a run took"
    return (Table(title=title, head=_HEAD, rows=body, notes=notes),)


def title_of(session: Session) -> str:
    """The command as it was run, or that there were several."""
    commands = list(dict.fromkeys(row.program.command for row in measured(session)))
    return " ".join(commands[0].split()) if len(commands) == 1 else f"{units.counted(len(commands), 'command')}"


def _row(row: Measured, rows: Sequence[Measured]) -> tuple[str, ...]:
    limit = names.cell_words(row.cell.cell).replace(", ", ",\n")
    place = "\n".join(filter(None, (_short_name(row, rows), limit)))
    gain = row.speed_up
    is_base = gain is None and bool(row.runs)
    return (
        place,
        _seconds(row.middle("wall"), row.interval("wall")),
        _seconds(row.middle("cpu")),
        _text(_middle(row.cores), units.ratio),
        "1" if is_base else _ratio(gain),
        "-" if is_base else _text(row.efficiency, lambda share: f"{100 * share:.0f} %"),
        _text(row.memory, units.size),
        _text(row.throttled, lambda share: f"{100 * share:.0f} %"),
    )


def _short_name(row: Measured, rows: Sequence[Measured]) -> str:
    """What tells a program apart from the others of these rows: its parameters, else its name; empty: it is alone."""
    if len({each.program.label for each in rows}) == 1:
        return ""
    commands = {each.program.label.removesuffix(f", {_given(each)}") for each in rows}
    return (_given(row) if len(commands) == 1 else "") or row.program.label


def _given(row: Measured) -> str:
    """The parameters of a program, as they end its name."""
    return ", ".join(f"{name}={value}" for name, value in row.program.parameters.items())


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _text(value: float | None, words: Callable[[float], str]) -> str:
    return "-" if value is None else words(value)


def _seconds(value: float | None, interval: Estimate | None = None) -> str:
    """A duration with three figures, and its interval, in the same unit, on a line of its own."""
    if value is None:
        return "-"
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if value * factor >= 0.9995), _UNITS[-1])
    texts = [three_figures(each * factor) for each in (value, *(interval[1:3] if interval else ()))]
    return f"{texts[0]} {unit}" + (f"\n{texts[1]}-{texts[2]}" if interval else "")


#: The units of a duration, and how many of them a second has.
_UNITS = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))


def _ratio(gain: Estimate | None) -> str:
    """A speed-up, and its interval, if it has one, on a line of its own."""
    if gain is None:
        return "-"
    ends = f"\n{units.interval(gain.low, gain.high, '').replace(' to ', '-')}" if gain.low > 0 else ""
    return units.ratio(gain.value) + ends


def against_lines(session: Session) -> tuple[str, ...]:
    """How much longer each program took under each limit than the other version that took turns with it."""
    rows = measured(session)
    others = list(dict.fromkeys(filter(None, (against_of(row.program) for row in rows))))
    own = [row for row in rows if not against_of(row.program)]
    lines = []
    for row in own if others else ():
        times = slower_than_other(session, row)
        if times is not None:
            lines.append(f"Against {others[0]}, {_place(row, own)}: {_times_as_long(times)}.")
    return tuple(lines)


def _times_as_long(times: Estimate) -> str:
    """A ratio of two times, turn by turn, as a sentence."""
    taken = f"it took {units.ratio(times.value)} times as long"
    if not times.low > 0:
        return f"{taken}; too few turns for an interval"
    whole = f"{taken} (95 % interval {units.interval(times.low, times.high, '')})"
    return f"{whole}: no difference that could be shown" if times.low <= 1 <= times.high else whole


def choice_lines(session: Session) -> tuple[str, ...]:
    """For each program that ran under several limits: which of them is the sensible one."""
    found = [choice for choice in choices(session) if not against_of(choice.program)]
    return tuple(_choice(choice, several=len(found) > 1) for choice in found)


def _choice(choice: Choice, *, several: bool) -> str:
    row, rows = choice.row, choice.rows
    subject = f"{choice.program.label}: " if several else ""
    if row is None:
        subject = ", ".join(filter(None, (choice.program.label, rows[0].machine))) + ": " if several else ""
        return f"Sensible limit: {subject}not decided; measure again on a quieter machine, or with more --runs."
    limit = names.plain_words(row.cell.cell)
    if row is rows[0] or row.speed_up is None:
        return f"Sensible limit: {subject}{limit}, the smallest; more CPUs make it no faster that could be shown."
    gain = f": {units.ratio(row.speed_up.value)} times as fast as with {names.plain_words(rows[0].cell.cell)}"
    after = "" if row is rows[-1] else "; more CPUs make it no faster that could be shown"
    return f"Sensible limit: {subject}{limit}{gain}{after}."


def most_lines(session: Session) -> tuple[str, ...]:
    """How many processes and threads there were at a time, and what the programs left behind."""
    lines = []
    rows = measured(session)
    for row in rows:
        processes, threads = row.most("processes"), row.most("threads")
        left = sum(run.get("left") or 0 for run in (*row.runs, *row.failures))
        place = _place(row, rows)
        if processes is not None and threads is not None and threads > 1:
            lines.append(
                f"{place}: at most {int(processes)} processes with {units.counted(int(threads), 'thread')} in all were"
                " seen at a time."
            )
        lines += _killed_lines(row, place)
        if left:
            were = "process was" if left == 1 else "processes were"
            lines.append(f"{place}: {left} {were} left at the end of a run, and ended by the lab.")
    return tuple(lines)


def _killed_lines(row: Measured, place: str) -> list[str]:
    """In how many runs that ended well memory ran out. The ending of a failed run says so itself."""
    kills = sum(bool(run.get("oom_kills")) for run in row.runs)
    runs = units.counted(kills, "run")
    return [f"{place}: in {runs} memory ran out, and a process of the command was killed."] if kills else []


def _place(row: Measured, rows: Sequence[Measured]) -> str:
    return ", ".join(filter(None, (_short_name(row, rows), names.plain_words(row.cell.cell))))


def failure_lines(session: Session) -> tuple[str, ...]:
    """What failed and why: the exit code, with the last lines of standard error."""
    rows = measured(session)
    lines: list[str] = []
    for row in rows:
        for ending, run in _endings(row).items():
            count = sum(each["ending"] == ending for each in row.failures)
            times = f" ({count} times)" if count > 1 else ""
            lines.append(f"Failed with {_place(row, rows)}: it {ending}{times}.")
            lines += [f"    {shortened(line, _LONGEST_LINE)}" for line in run["words"].splitlines()[-_MOST_LINES:]]
    for row, reason in troubles(session):
        lines.append(f"Failed with {_place(row, rows)}: {reason}.")
    return tuple(lines[: _MOST_FAILURES * (_MOST_LINES + 1)])


def _endings(row: Measured) -> dict[str, Run]:
    """How its failed runs ended, each way once, with a run that did."""
    return {run["ending"]: run for run in reversed(row.failures)}


def unavailable_lines(session: Session) -> tuple[str, ...]:
    """A line for each cell that was not measured, with the reason."""
    return tuple(
        f"{names.full_words(result.cell)}: {_word(result)}: {result.reason}"
        for result in session.results
        if result.status is not Status.MEASURED
    )


def _word(result: CellResult) -> str:
    return {Status.UNAVAILABLE: "untestable", Status.PLANNED: "not run"}.get(result.status, result.status.value)
