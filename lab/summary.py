"""What every report shows, as rows of text: limits, Pool(), cores, claims, and the sentences under them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab import atlas, build_columns, claim_tables, cores, cpuset, naming, predictions, proofs, units
from lab.model import CellResult, Judgement, Quantity, Session, Status, Verdict
from lab.stats import Estimate
from lab.table import Table

#: A list of CPU ids that is longer does not fit into a column.
LONGEST_LIST = 11


def tables(session: Session) -> tuple[Table, ...]:
    """Every table that a session has something for, in the order to read them."""
    across = build_columns.several(session)
    found = _across(session, limits(session)) if across else [limits(session)]
    ran = {judgement.claim.partition(".")[0] for judgement in session.judgements}
    if "pool" in ran:
        found += _across(session, pool(session)) if across else [pool(session)]
    if "gil" in ran:
        found += _cores_across(session) if across else [cores_used(session)]
    found.extend(quantities(session))
    found.extend(atlas.tables(session))
    found.extend(numbers(session))
    found.extend(claim_tables.claims(session))
    found.extend(predictions.tables(session))
    pinned = pinning(session)
    return tuple(replace(table, subtitle=pinned) for table in found)


def _across(session: Session, table: Table) -> list[Table]:
    """A table that has a row for each cell, with a column for each build instead."""
    values = {
        (_in_a_line(figure), result.cell.limit, result.cell.build): row[number]
        for number, figure in enumerate(table.head)
        if number > 0
        for result, row in zip(session.results, table.rows, strict=True)
    }
    return build_columns.tables(session, table.title, values, notes=table.notes)


def _in_a_line(head: str) -> str:
    return head.replace("_\n", "_").replace("\n", " ")


def pinning(session: Session) -> str:
    """Who pinned the cells, under the title of every table: a table may be read on its own."""
    labels = build_columns.labels(session)
    by = {labels[one.cell.id].replace(",\n", ", "): _pinned(one) for one in session.results if one.proof}
    who = sorted(set(by.values()))
    if len(who) < 2:
        return f"pinned by: {who[0]}" if who else ""
    parts = (f"{', '.join(cell for cell in by if by[cell] == one)}: {one}" for one in who)
    return f"pinned by: {'; '.join(parts)}"


def unavailable(session: Session) -> tuple[str, ...]:
    """A line for each cell without a measurement, and why."""
    words = {Status.UNAVAILABLE: "untestable", Status.PLANNED: "not run"}
    return tuple(
        f"{naming.full_words(result.cell)}: {words.get(result.status, result.status.value)}: {result.reason}"
        for result in session.results
        if result.status is not Status.MEASURED
    )


def limits(session: Session) -> Table:
    """The proof: what was asked for, what the engine says it set, what the inside saw; and P, R and D."""
    rows = []
    labels = build_columns.labels(session)
    for result in session.results:
        asked = _limit(result.cell.cpus if result.cell.pinned else (), result.cell.quota_cpus)
        asked = asked or units.cpus(result.cell.size)
        if not result.proof:
            rows.append((labels[result.cell.id], asked, *["-"] * 6, _word(result)))
            continue
        outside = result.outcome.outside if result.outcome else None
        reported = "-"
        if outside is not None:
            set_for_it = cpuset.parse(outside.get("cpuset") or outside.get("affinity") or "")
            reported = _limit(set_for_it, outside.get("quota_cpus")) or "none"
        inside = _limit(result.proof["affinity"], proofs.quota(result.proof))
        three = (proofs.parallelism(result.proof), proofs.rate(result.proof), proofs.delivered(result))
        said = ("-" if one is None else f"{one:.2f}".rstrip("0").rstrip(".") for one in three)
        rows.append((labels[result.cell.id], asked, reported, inside, *said, _stopped(result), _word(result)))
    head = ("CPUs", "asked for", "engine\nsays", "inside saw", "P", "R", "D", "stopped", "cell")
    notes = (
        *build_columns.paths(session),
        *unavailable(session),
        *_about_cpus(session),
        *_hidden(session),
        _PRD,
    )
    return Table(title="Limits", head=head, rows=tuple(rows), notes=notes)


_PRD = (
    "P: CPUs in the affinity mask; R: the least of P and every quota; D: CPUs that P busy processes got; stopped:"
    " periods in which a quota did"
)


def _limit(cpus: Sequence[int], quota_cpus: float | None) -> str:
    """A limit for a column: CPU ids, a quota, or both; empty for none."""
    parts = (_ids(cpuset.render(cpus)), "" if quota_cpus is None else f"quota {quota_cpus:g}")
    return ",\n".join(filter(None, parts))


def _stopped(result: CellResult) -> str:
    periods = proofs.stopped_periods(result)
    return "-" if periods is None else str(periods)


def _hidden(session: Session) -> list[str]:
    """A line for each cell that got clearly less than every limit in sight allows, and why, as far as it could tell."""
    found = [(result, result.data("end").get("delivered") or {}) for result in session.results]
    return [f"{result.cell.label}: {delivered['why']}" for result, delivered in found if delivered.get("why")]


def _about_cpus(session: Session) -> tuple[str, ...]:
    """What is special about a cell's CPUs, a line each."""
    return tuple(f"{result.cell.label}: {note}" for result in session.results for note in result.cell.notes)


def _ids(text: str) -> str:
    """A CPU list that fits a column; the JSON document has all of it."""
    return text if len(text) <= LONGEST_LIST else text[: LONGEST_LIST - 1] + "…"


def _pinned(result: CellResult) -> str:
    words = {"engine": "engine (CPU set)", "worker": "worker (affinity)", "none": "nobody (it has all)"}
    return words.get(result.pinned_by, result.pinned_by)


def _word(result: CellResult) -> str:
    words = {Status.UNAVAILABLE: "untestable", Status.PLANNED: "not run"}
    return words.get(result.status, result.status.value)


def pool(session: Session) -> Table:
    """What ``Pool()`` started, beside every number that it could have gone by."""
    rows = []
    labels, several = build_columns.labels(session), build_columns.several(session)
    mark = claim_tables.short_mark if several else claim_tables.mark
    for result in session.results:
        verdict = mark(claim_tables.find(session, "pool.default-size", result))
        if not result.proof or result.status is Status.UNAVAILABLE:
            rows.append((labels[result.cell.id], *["-"] * 6, verdict))
            continue
        proof = result.proof
        quota = proofs.quota(proof)
        started = [
            record.data["value"]
            for record in result.of.get("pool", ())
            if record.kind == "observation" and record.data["name"] == "default workers"
        ]
        numbers = [
            len(cpuset.parse(proof["host_cpus"])) if proof["host_cpus"] else None,
            proof["cpu_count"],
            proof["process_cpu_count"],
            len(proof["affinity"]),
            f"{quota:g}" if quota is not None else "none",
            started[0] if started else None,
        ]
        rows.append((labels[result.cell.id], *("-" if one is None else str(one) for one in numbers), verdict))
    head = (
        "CPUs",
        "host\nCPUs",
        "os.cpu_\ncount()",
        "process_\ncpu_count()",
        "affinity",
        "quota",
        "workers\nstarted",
        "as many as\nCPUs?",
    )
    notes = (claim_tables.SHORT_KEY,) if several else ()
    return Table(title="Pool(): how many workers it starts", head=head, rows=tuple(rows), notes=notes)


def cores_used(session: Session) -> Table:
    """Speed-up and cores used of each way of working, beside what the machine delivered."""
    rows: list[tuple[str, ...]] = []
    labels = build_columns.labels(session)
    for result in session.results:
        found = cores.rows(result)
        if not found:
            rows.append((labels[result.cell.id], _word(result), *["-"] * 4))
            continue
        delivered = _value(cores.delivered(result))
        for number, row in enumerate(found):
            name = row.arm if row.workers in (1, 100) else f"{row.workers} {row.arm}"
            first = labels[result.cell.id] if number == 0 else ""
            speed = ("1.00", "-") if row.arm == "one process" else _speed(row.speed_up)
            rows.append((first, name, *speed, _value(row.cores_used), delivered))
    head = (
        "CPUs",
        "CPU-bound\nPython code",
        "speed-up",
        "95 % interval",
        "cores\nused",
        "machine\ndelivered",
    )
    return Table(title=_CORES, head=head, rows=tuple(rows), notes=_models(session))


_CORES = "Cores: what threads and processes really use"


def _cores_across(session: Session) -> list[Table]:
    """The same with a column for each build."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for result in session.results:
        at = (result.cell.limit, result.cell.build)
        rows = cores.rows(result)
        for row in rows:
            if row.arm != "one process":
                found.setdefault(f"{row.arm}: speed-up", {})[at] = _with_interval(*_speed(row.speed_up))
            found.setdefault(f"{row.arm}: cores used", {})[at] = _value(row.cores_used)
        found.setdefault("machine delivered", {})[at] = _value(cores.delivered(result)) if rows else _word(result)
    workers = "threads, processes: one on each CPU, two on a single one"
    notes = (_BELOW, workers, *_models(session))
    return build_columns.tables(session, _CORES, _flat(found), ("CPU-bound\nPython code", "CPUs"), notes)


#: What stands under a number in a column of its build.
_BELOW = "below a number: its 95 % interval; rounds and ceilings are in the JSON document"


def _narrow(one: Quantity | Judgement) -> str:
    """A number for a narrow column: what is counted says the figure's name."""
    counted = f" {one.unit}" if one.unit in ("workers", "tasks") else ""
    return _with_interval(_quantity(one).removesuffix(counted), _interval(one).removesuffix(counted))


def _with_interval(value: str, interval: str) -> str:
    """A value and under it its interval, in a narrow column."""
    low, to, high = interval.partition(" to ")
    return f"{value}\n{low} to\n{high}" if to else value


def _flat(found: Mapping[str, Mapping[tuple[str, str], str]]) -> dict[tuple[str, str, str], str]:
    """Figure -> (limit, build) -> text, as :mod:`lab.build_columns` takes it."""
    return {(figure, *at): text for figure, texts in found.items() for at, text in texts.items()}


def _models(session: Session) -> tuple[str, ...]:
    names = build_columns.heads(session)
    return tuple(_model(one, names[one.build]) for one in cores.scaling(session.results))


def _model(model: cores.Model, build: str) -> str:
    """A speed-up model in a line; ``build`` is what tables call its build."""
    found = model.fit
    whose = ", ".join(part for part in (build, model.machine, model.arm) if part)

    def share(one: Estimate) -> str:
        return f"{units.share(one.value)} ({units.interval(one.low, one.high, 'share')})"

    points = f"{found.points} point" + "s" * (found.points > 1)
    text = f"{found.model}, {whose}: serial share {share(found.serial)} from {points}"
    if found.coherency is None:
        return text + "; contention not identifiable"
    return f"{text}; coherency {share(found.coherency)}"


def quantities(session: Session) -> list[Table]:
    """The tables of each experiment that has measured more than its claims: every number, with its interval; and those
    that many have alike, a row for each of them."""
    found = []
    for experiment in dict.fromkeys(one.experiment for one in session.quantities if one.experiment != atlas.NAME):
        mine = [one for one in session.quantities if one.experiment == experiment]
        if build_columns.several(session):
            found += _quantities_across(session, mine)
        else:
            found += [table(session, mine) for table in (_numbers_of, _rows_of) if table(session, mine).rows]
    return found


def _quantities_across(session: Session, quantities: Sequence[Quantity]) -> list[Table]:
    """All of them with a column for each build; of what many have alike, without the intervals."""
    cells = {result.cell.id: (result.cell.limit, result.cell.build) for result in session.results}
    found: dict[str, dict[tuple[str, str], str]] = {}
    for one in quantities:
        text = _quantity(one) if one.of else _narrow(one)
        found.setdefault(f"{one.of}: {one.what}" if one.of else one.what, {})[cells[one.cell]] = text
    for result, word in _unmeasured(session):
        found.setdefault("cell", {})[cells[result.cell.id]] = word
    corner = (quantities[0].experiment, "CPUs")
    return build_columns.tables(session, quantities[0].title, _flat(found), corner, (_BELOW,))


def _numbers_of(session: Session, quantities: Sequence[Quantity]) -> Table:
    labels = build_columns.labels(session)
    rows, last = [], ""
    for one in quantities:
        if not one.of:
            row = (one.what, _quantity(one), _interval(one), _rounds(one))
            rows.append(("" if one.cell == last else labels[one.cell], *row))
            last = one.cell
    rows += [(labels[result.cell.id], word, "-", "-", "-") for result, word in _unmeasured(session)] if rows else []
    head = ("CPUs", quantities[0].experiment, *_NUMBER)
    return Table(title=quantities[0].title, head=head, rows=tuple(rows))


def _rows_of(session: Session, quantities: Sequence[Quantity]) -> Table:
    """What many have alike, without the intervals, which the JSON document has."""
    labels = build_columns.labels(session)
    columns = list(dict.fromkeys(one.what for one in quantities if one.of))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for one in quantities:
        if one.of:
            lines.setdefault((one.cell, one.of), {})[one.what] = _quantity(one)
    rows, last = [], ""
    for (cell, name), values in lines.items():
        rows.append(("" if cell == last else labels[cell], name, *(values.get(column, "-") for column in columns)))
        last = cell
    head = ("CPUs", "", *(column.replace(" ", "\n") for column in columns))
    return Table(title=f"{quantities[0].experiment}, one by one", head=head, rows=tuple(rows))


_NUMBER = ("value", "95 % interval", "rounds\n+/-")


def numbers(session: Session) -> list[Table]:
    """Each claim that rests on a number: value, interval, rounds, and the most that the machine had to give."""
    if build_columns.several(session):
        return _numbers_across(session)
    labels = build_columns.labels(session)
    rows: list[tuple[str, ...]] = []
    group = last = ""
    for one in session.judgements:
        if one.value is None:
            continue
        ceiling = "-" if one.ceiling is None else units.quantity(one.ceiling, one.unit)
        experiment, _, name = one.claim.partition(".")
        if experiment != group:
            group = experiment
            rows.append((experiment, *[""] * 5))
        rows.append(
            (
                "" if one.claim == last else f"  {name}",
                labels[one.cell],
                _quantity(one),
                _interval(one),
                _rounds(one),
                ceiling,
            )
        )
        last = one.claim
    rows += [(f"{naming.asked_words(result.cell)}: {word}", *["-"] * 5) for result, word in _unmeasured(session)]
    notes = (
        "rounds +/-: those that count, and those rejected because something disturbed them",
        "ceiling: the most that the machine had to give; for a time, the least it can take; -: it sets no bound",
    )
    head = ("claim", "CPUs", *_NUMBER, "ceiling")
    return [Table(title=_NUMBERS, head=head, rows=tuple(rows), notes=notes)] if rows else []


_NUMBERS = "Numbers that claims rest on"


def _numbers_across(session: Session) -> list[Table]:
    """The same with a column for each build."""
    cells = {result.cell.id: (result.cell.limit, result.cell.build) for result in session.results}
    values: dict[tuple[str, str, str], str] = {}
    group = ""
    for one in session.judgements:
        if one.value is None:
            continue
        experiment, _, name = one.claim.partition(".")
        if experiment != group:
            group = experiment
            values[experiment, "", ""] = ""
        values[f"  {name}", *cells[one.cell]] = _narrow(one)
    if not values:
        return []
    values |= {("cell", *cells[result.cell.id]): word for result, word in _unmeasured(session)}
    return build_columns.tables(session, _NUMBERS, values, ("claim", "CPUs"), (_BELOW,))


def _unmeasured(session: Session) -> list[tuple[CellResult, str]]:
    """The cells without a proof, which have no numbers, and what is to stand in their place."""
    return [(result, _word(result)) for result in session.results if not result.proof]


def _quantity(one: Quantity | Judgement) -> str:
    return "?" if one.value is None else units.quantity(one.value, one.unit)


def _interval(one: Quantity | Judgement) -> str:
    if one.low is None or one.high is None:
        return "too few rounds" if one.value is None else "-"
    if one.low == one.high:
        return "exact" if isinstance(one, Judgement) else "-"
    return units.interval(one.low, one.high, one.unit)


def _rounds(one: Quantity | Judgement) -> str:
    return "-" if one.accepted is None else f"{one.accepted}/{one.rejected or 0}"


def _value(found: Estimate | None) -> str:
    return units.ratio(found.value) if found else "?"


def _speed(found: Estimate | None) -> tuple[str, str]:
    return (units.ratio(found.value), units.interval(found.low, found.high, "")) if found else ("?", "too noisy")


def headline(session: Session) -> tuple[str, ...]:
    """Where this ran: engine, Python, machine, and how the claims came out, in a few lines."""
    machine = session.machine
    python = next((result.python for result in session.results if result.python), machine.python)
    if not python:
        return ("no cell said which Python it runs",)
    image = f", image {machine.image}" if machine.image else ""
    engine = f"{machine.engine} {machine.details.get('engine_version') or ''}".strip()
    counted = {verdict: sum(one.verdict is verdict for one in session.judgements) for verdict in Verdict}
    kernel = f"kernel {python['kernel']}, {python['machine']}"
    totals = ", ".join(f"{count} {verdict}" for verdict, count in counted.items() if count)
    builds = machine.details.get("builds") or ()
    on = f"{naming.python_words(python)}, engine {engine}{image}"
    if builds:
        each = ", ".join(_build(one) for one in builds)
        on = f"engine {engine}, Python {each}"
    return (
        on,
        f"machine: {units.cpus(len(machine.cpus))} ({_ids(cpuset.render(machine.cpus))}), {kernel}",
        f"verdicts: {totals or 'none'}; surprises: {len(session.surprises)}",
    )


def _build(one: Mapping[str, Any]) -> str:
    """A build and what it proved to be: ``3.13t (3.13.5 without the GIL)``."""
    python = one["python"]
    if not python:
        return f"{one['build']} (it did not run)"
    return f"{one['build']} ({naming.python_words(python, short=True).removeprefix('CPython ')})"


def rate(result: CellResult) -> float | None:
    """R of a cell, in CPUs; ``None`` when it never started."""
    return proofs.rate(result.proof) if result.proof else None
