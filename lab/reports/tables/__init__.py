"""What every report shows, as rows of text, and the sentences above and under them. Pure."""

from __future__ import annotations

from dataclasses import replace

from lab.cell.cpus import cpulist
from lab.model.cell import CellResult
from lab.model.machine import BuildFacts
from lab.model.session import Session, Verdict
from lab.reports.tables import claims, columns, limits, numbers, predictions, race_atlas
from lab.text import names, units
from lab.text.table import Table


def all_tables(session: Session) -> tuple[Table, ...]:
    """Every table that a session has something for, in the order to read them."""
    across = columns.several(session)
    found = _across(session, limits.limits(session)) if across else [limits.limits(session)]
    ran = {judgement.claim.partition(".")[0] for judgement in session.judgements}
    if "pool" in ran:
        found += _across(session, limits.pool(session)) if across else [limits.pool(session)]
    if "gil" in ran:
        found += numbers.cores_used(session)
    found.extend(numbers.quantities(session))
    found.extend(race_atlas.race_atlas_tables(session))
    found.extend(numbers.numbers(session))
    found.extend(claims.claims(session))
    found.extend(predictions.prediction_tables(session))
    pinned = pinning(session)
    return tuple(replace(table, subtitle=pinned) for table in found)


def _across(session: Session, table: Table) -> list[Table]:
    """A table that has a row for each cell, with a column for each build instead."""
    values = {
        (_in_a_line(figure), names.limit_lines(result.cell), result.cell.build): row[number]
        for number, figure in enumerate(table.head)
        if number > 0
        for result, row in zip(session.results, table.rows, strict=True)
    }
    return columns.tables(session, table.title, values, notes=table.notes)


def _in_a_line(head: str) -> str:
    return head.replace("_\n", "_").replace("\n", " ")


def pinning(session: Session) -> str:
    """Who pinned the cells, under the title of every table: a table may be read on its own."""
    labels = columns.labels(session)
    by = {labels[one.cell.id].replace(",\n", ", "): _pinned(one) for one in session.results if one.proof}
    who = sorted(set(by.values()))
    if len(who) < 2:
        return f"pinned by: {who[0]}" if who else ""
    parts = (f"{', '.join(cell for cell in by if by[cell] == one)}: {one}" for one in who)
    return f"pinned by: {'; '.join(parts)}"


def _pinned(result: CellResult) -> str:
    words = {"engine": "engine (CPU set)", "worker": "worker (affinity)", "none": "nobody (it has all)"}
    return words.get(result.pinned_by, result.pinned_by)


def headline(session: Session) -> tuple[str, ...]:
    """Where this ran: engine, Python, machine, and how the claims came out, in a few lines."""
    machine = session.machine
    python = next((result.python for result in session.results if result.python), machine.python)
    if not python:
        return ("no cell said which Python it runs",)
    image = f", image {machine.image}" if machine.image else ""
    engine = machine.engine_label
    counted = {verdict: sum(one.verdict is verdict for one in session.judgements) for verdict in Verdict}
    kernel = f"kernel {python['kernel']}, {python['machine']}"
    totals = ", ".join(f"{count} {verdict}" for verdict, count in counted.items() if count)
    builds = machine.named_builds
    on = f"{names.python_words(python)}, engine {engine}{image}"
    if builds:
        each = ", ".join(map(_build_words, builds))
        on = f"engine {engine}, Python {each}"
    return (
        on,
        f"machine: {units.cpus(len(machine.cpus))} ({limits.ids(cpulist.render(machine.cpus))}), {kernel}",
        f"verdicts: {totals or 'none'}; surprises: {len(session.surprises)}",
    )


def _build_words(facts: BuildFacts) -> str:
    """A build and what it proved to be: ``3.13t (3.13.5 without the GIL)``."""
    if not facts.python:
        return f"{facts.label} (it did not run)"
    return f"{facts.label} ({names.python_words(facts.python, short=True).removeprefix('CPython ')})"
