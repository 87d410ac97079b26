"""The headline and the tables of a session, as text, for every format of a report. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.judging.programs import is_of_programs, limits_of
from lab.model.cell import CellResult, Status
from lab.model.machine import BuildFacts
from lab.model.session import Session, Verdict
from lab.reports.tables import (
    call_times,
    claims,
    columns,
    hosts,
    limits,
    numbers,
    packages,
    predictions,
    programs,
    race_atlas,
    scale,
)
from lab.text import names, units
from lab.text.table import Table


def all_tables(session: Session) -> tuple[Table, ...]:
    """Every table for which the session has data, in reading order."""
    if is_of_programs(session):
        shown = (limits.limits_table(_first_turns(session)), *programs.program_tables(session))
        return (*hosts.host_tables(session), *(replace(table, subtitle=pinning(session)) for table in shown))
    experiments = {judgement.claim.rpartition(".")[0] for judgement in session.judgements}
    cell_tables = [limits.limits_table(session)]
    if "pool" in experiments:
        cell_tables.append(limits.pool_table(session))
    if columns.has_builds(session):
        cell_tables = [part for table in cell_tables for part in _table_by_build(session, table)]
    tables = (
        *cell_tables,
        *scale.advice_table(session),
        *scale.full_tables(session),
        *call_times.call_tables(session),
        *packages.package_tables(session),
        *(numbers.cores_tables(session) if "gil" in experiments else ()),
        *(() if scale.is_own_code(session) else numbers.quantity_tables(session)),
        *race_atlas.race_atlas_tables(session),
        *numbers.number_tables(session),
        *claims.claims_tables(session),
        *predictions.prediction_tables(session),
    )
    pinned = pinning(session)
    return (*hosts.host_tables(session), *(replace(table, subtitle=pinned) for table in tables))


def _first_turns(session: Session) -> Session:
    """The session with one cell for each limit: the first, or the first that was not measured as asked."""
    groups = limits_of(session.results)
    chosen = (next((each for each in group if each.status is not Status.MEASURED), group[0]) for group in groups)
    return replace(session, results=tuple(chosen))


def _table_by_build(session: Session, table: Table) -> list[Table]:
    """A table with a row for each cell, turned into tables with a column for each build."""
    values = {
        (_on_one_line(figure), names.limit_lines(result.cell), result.cell.build): row[number]
        for number, figure in enumerate(table.head)
        if number > 0
        for result, row in zip(session.results, table.rows, strict=True)
    }
    return columns.build_tables(session, table.title, values, notes=table.notes)


def _on_one_line(head: str) -> str:
    return head.replace("_\n", "_").replace("\n", " ")


def pinning(session: Session) -> str:
    """Who pinned the cells. It stands below the title of every table, because a table may be read alone."""
    labels = columns.cell_labels(session)
    pinned_by = {
        labels[result.cell.id].replace(",\n", ", "): _pinned_by(result) for result in session.results if result.proof
    }
    ways = sorted(set(pinned_by.values()))
    if len(ways) < 2:
        return f"pinned by: {ways[0]}" if ways else ""
    parts = (f"{', '.join(label for label in pinned_by if pinned_by[label] == way)}: {way}" for way in ways)
    return f"pinned by: {'; '.join(parts)}"


def _pinned_by(result: CellResult) -> str:
    words = {
        "engine": "engine (CPU set)",
        "step": "Slurm (affinity of the step)",
        "worker": "worker (affinity)",
        "none": "nobody (the cell has all CPUs)",
    }
    return words.get(result.pinned_by, result.pinned_by)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """Where a session ran and how its claims came out."""

    #: The Python; if the session has several builds, each of them with the Python that it proved to be.
    python: str
    #: The engine with its version, and the image if all cells ran from the same image. Empty if no cell ran.
    engine: str = ""
    #: The CPUs and the kernel. Empty if no cell ran.
    machine: str = ""
    #: How many claims have each verdict, and how many are surprises. Empty if no cell ran.
    totals: str = ""
    #: Whose session it is. Empty if nobody has said so.
    label: str = ""

    @property
    def title(self) -> str:
        """The Python, and before it whose session it is."""
        return f"{self.label}: {self.python}" if self.label else self.python

    @property
    def lines(self) -> tuple[str, ...]:
        """The headline as a few lines of text."""
        where = ", ".join(filter(None, (self.title, self.engine)))
        return tuple(filter(None, (where, self.machine, self.totals)))


def headline(session: Session) -> Headline:
    """The headline of a session."""
    machine = session.machine
    python = next((result.python for result in session.results if result.python), machine.python)
    if not python:
        return Headline(python="no cell reported which Python it runs", label=session.label)
    builds = ", ".join(map(_build_words, machine.named_builds))
    image = f", image {machine.image}" if machine.image and not builds and hosts.have_same_image(session) else ""
    counts = {verdict: sum(each.verdict is verdict for each in session.judgements) for verdict in Verdict}
    totals = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    cpus = f"{units.cpus(len(machine.cpus))} ({limits.short_ids(machine.cpus)})"
    where = f"machine: {cpus}, kernel {python['kernel']}, {python['machine']}"
    count, each = hosts.several(session)
    return Headline(
        python=f"Python {builds}" if builds else names.python_words(python),
        engine=f"engine {machine.engine if count else machine.engine_label}{image}",
        machine=f"{'hosts' if session.hosts else f'machines of {count}'}: {each}" if count else where,
        totals=f"verdicts: {totals or 'none'}; surprises: {len(session.surprises)}",
        label=session.label,
    )


def _build_words(facts: BuildFacts) -> str:
    """A build with the Python that it proved to be: ``3.13t (3.13.5 without the GIL)``."""
    if not facts.python:
        return f"{facts.label} (it did not run)"
    return f"{facts.label} ({names.python_words(facts.python, short=True).removeprefix('CPython ')})"
