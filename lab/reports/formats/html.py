"""The report to look at: one HTML file that needs nothing else, no network and no JavaScript.

Its template, style and script are in the folder ``page``. Everything that comes from a session is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from lab import reports
from lab.cell.cpus import cpulist
from lab.errors import MissingExtraError
from lab.model.cell import CellResult, Status
from lab.model.session import Judgement, Session, Verdict
from lab.reports import tables as summary
from lab.reports.charts import Chart, charts, drawing
from lab.reports.tables import highlights, machine_map
from lab.sessions import export
from lab.text import units
from lab.text.table import Table, title_of

#: A page with more records than this, or a larger zip, is slow to send; it says where they are instead.
MOST_RECORDS = 20_000
MOST_BYTES = 450_000

#: Rows of a chart's table; the raw data has the rest.
MOST_ROWS = 400


def check() -> None:
    """Raises MissingExtraError without the libraries that draw a page and fill it in."""
    for name in ("jinja2", "matplotlib"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise MissingExtraError("HTML reports", "report", error) from error


def render(session: Session) -> str:
    """The whole session as a page. Raises MissingExtraError without the libraries for it."""
    check()
    import jinja2

    parts = {path.name: path.read_text("utf-8") for path in (resources.files("lab.reports.formats") / "page").iterdir()}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    script = "\n" + parts["script.js"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.from_string(parts["page.html"]).render(
        **_context(session),
        style=parts["style.css"],
        script=parts["script.js"],
        script_hash=f"sha256-{digest}",
    )


def _context(session: Session) -> dict[str, Any]:
    """Everything that the template shows."""
    headline = summary.headline(session)
    what, comma, engine = headline[0].partition(", engine ")
    where = f"engine {engine}" if comma else ""
    found = {
        "surprises": _lessons(highlights.surprises(session), surprise=True),
        "refuted": _lessons(highlights.refuted(session)),
        "undecided": _lessons(highlights.undecided(session)),
    }
    drawn = [_chart(one) for one in charts(session)]
    downloads, left_out = _downloads(session)
    tables = [_clear(table) for table in summary.all_tables(session)]
    return found | {
        "title": f"{what}, {units.cpus(len(session.machine.cpus))}",
        "where": ". ".join(_capital(line) for line in (where, *headline[1:2]) if line),
        "counts": _counts(session),
        "contents": [
            ("lessons", "What was found"),
            *([("charts", "Charts")] if drawn else []),
            ("machine", "Machine"),
            ("claims", "Claims"),
            ("proof", "Proof"),
            ("tables", "Numbers"),
            ("data", "Raw data"),
        ],
        "warnings": _warnings(session),
        "decided": any(one.verdict.decisive for one in session.judgements),
        "charts": drawn,
        "machine": _machine(session),
        "filters": _filters(session),
        "claims": [_claim(session, name) for name in dict.fromkeys(one.claim for one in session.judgements)],
        "limits": tables[0],
        "proofs": [_proof(number, result) for number, result in enumerate(session.results, 1)],
        "tables": [table for table in tables[1:] if table.title != "Claims"],
        "downloads": downloads,
        "left_out": left_out,
        "footer": _footer(session),
    }


def _capital(line: str) -> str:
    return line[:1].upper() + line[1:]


def _clear(table: Table) -> Table:
    """A table without the line breaks that fit its heads into a terminal."""
    head = tuple(name.replace("_\n", "_").replace("\n", " ") for name in table.head)
    return Table(title=table.title, head=head, rows=table.rows, notes=table.notes, subtitle=table.subtitle)


def _counts(session: Session) -> list[tuple[str, int]]:
    counted = [(one.value, sum(judgement.verdict is one for judgement in session.judgements)) for one in Verdict]
    return [("surprises", len(session.surprises)), *(pair for pair in counted if pair[1])]


def _warnings(session: Session) -> list[str]:
    ended = ["This session was interrupted: what had not run is missing."] if session.interrupted else []
    cells = [
        f"Cell {title_of(one)}: {one.status.value}: {one.reason}"
        for one in session.results
        if one.status in (Status.ERROR, Status.TAINTED, Status.PLANNED)
    ]
    return [*ended, *cells, *(_capital(note.removeprefix("note: ")) for note in session.notes)]


def _anchor(claim: str) -> str:
    return f"claim-{claim.replace('.', '-')}"


def _lessons(found: Sequence[highlights.Lesson], *, surprise: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "claim": one.claim,
            "anchor": _anchor(one.claim),
            "statement": one.statement,
            "verdict": one.verdict.value,
            "surprise": surprise,
            "expected": one.expected.value if surprise and one.expected else "",
            "places": [(reason, _cells(labels)) for reason, labels in one.places],
            "advice": one.advice if one.verdict.decisive else "",
        }
        for one in found
    ]


def _cells(labels: Sequence[str]) -> str:
    return ("Cell " if len(labels) == 1 else "Cells ") + ", ".join(labels)


def _chart(chart: Chart) -> dict[str, Any]:
    rows = chart.table.rows
    note = (f"the first {MOST_ROWS} of {len(rows)} rows; the raw data has all",) if len(rows) > MOST_ROWS else ()
    wide, narrow = drawing.elements(chart)
    return {
        "name": chart.name,
        "title": chart.title,
        "reading": chart.reading,
        "wide": wide,
        "narrow": narrow,
        "table": Table(title=chart.table.title, head=chart.table.head, rows=rows[:MOST_ROWS], notes=note),
    }


def _machine(session: Session) -> dict[str, Any]:
    """The map: for each cell, every CPU of the host, core by core, and whether the cell had it.

    How CPUs belong together says the topology of the machine, as ``lab doctor`` draws it; where nobody has looked, the
    proofs of the cells, which know no more than the siblings of their own CPUs.
    """
    machine = session.machine
    host = tuple(sorted({*machine.host_cpus, *machine.cpus, *(machine.topology.online if machine.topology else ())}))
    found = (core for one in session.results for core in one.proof.get("siblings") or ())
    siblings = {tuple(core) for core in (machine.topology.cores.values() if machine.topology else found)}
    siblings = {core for core in siblings if len(core) > 1}
    together = {cpu: core for core in sorted(siblings, key=len) for cpu in core}
    cores = list(dict.fromkeys(together.get(cpu, (cpu,)) for cpu in host))
    rows = []
    for result in session.results:
        mine = set(result.proof.get("affinity") or result.cell.cpus)
        kinds = {cpu: "used" if cpu in mine else "free" if cpu in machine.cpus else "barred" for cpu in host}
        rows.append(
            {
                "label": title_of(result),
                "words": f"CPUs {cpulist.render(mine) or 'none'} of {cpulist.render(host)}",
                "cores": [[(cpu, kinds.get(cpu, "barred")) for cpu in core] for core in cores],
                "reason": "" if result.cell.available else result.reason or "",
            }
        )
    barred = set(host) - set(machine.cpus)
    words = [f"{units.cpus(len(host))} ({cpulist.render(host)})"]
    words += [f"of which the engine may not use {cpulist.render(barred)}"] if barred else []
    words += [f"{len(siblings)} cores show as several CPUs"] if siblings else []
    isolated = {str(one.proof["isolated"]) for one in session.results if one.proof.get("isolated")}
    words += [f"set apart from the scheduler: {', '.join(sorted(isolated))}"] if isolated else []
    drawn = [machine.topology.model, *machine_map.draw(machine.topology)] if machine.topology else []
    return {"words": "; ".join(words) + ".", "rows": rows, "map": list(filter(None, drawn))}


def _filters(session: Session) -> list[tuple[str, list[tuple[str, str]]]]:
    there = {one.verdict for one in session.judgements}
    verdicts = [("surprise", "surprise")] * bool(session.surprises)
    verdicts += [(one.value, one.value) for one in Verdict if one in there]
    experiments = dict.fromkeys(one.claim.partition(".")[0] for one in session.judgements)
    cells = [(result.cell.id, title_of(result)) for result in session.results]
    return [("verdict", verdicts), ("experiment", [(one, one) for one in experiments]), ("cell", cells)]


def _claim(session: Session, name: str) -> dict[str, Any]:
    mine = [one for one in session.judgements if one.claim == name]
    results = {result.cell.id: (number, result) for number, result in enumerate(session.results, 1)}
    return {
        "id": name,
        "anchor": _anchor(name),
        "experiment": name.partition(".")[0],
        "statement": mine[0].statement,
        "text": f"{name} {mine[0].statement} {' '.join(dict.fromkeys(one.reason for one in mine))}".lower(),
        "advice": mine[0].advice,
        "cells": [_judged(one, *results[one.cell]) for one in mine],
    }


def _judged(one: Judgement, number: int, result: CellResult) -> dict[str, Any]:
    return {
        "cell": one.cell,
        "cell_number": number,
        "label": title_of(result),
        "verdict": one.verdict.value,
        "surprise": one.surprise,
        "expected": one.expected.value if one.expected else "not known",
        "value": "–" if one.value is None else units.quantity(one.value, one.unit),
        "interval": _interval(one),
        "rounds": "–" if one.accepted is None else f"{one.accepted}/{one.rejected or 0}",
        "ceiling": "–" if one.ceiling is None else units.quantity(one.ceiling, one.unit),
        "reason": one.reason,
        "proof": _in_short(result),
    }


def _interval(one: Judgement) -> str:
    if one.low is None or one.high is None:
        return "–"
    return "exact" if one.low == one.high else units.interval(one.low, one.high, one.unit)


def _in_short(result: CellResult) -> str:
    """The proof in a line."""
    if not result.proof:
        return "none: it did not run."
    asked = cpulist.render(result.cell.cpus) or units.cpus(result.cell.size)
    real = "the same before and after" if result.status is not Status.TAINTED else result.reason
    return f"asked for {asked}, inside saw {cpulist.render(result.proof['affinity'])}; {real}."


def _proof(number: int, result: CellResult) -> dict[str, Any]:
    """Everything that the inside and the engine said, before and after."""
    before, after = result.proof, result.data("end").get("proof") or {}
    rows = [(name, _text(value), _text(after.get(name))) for name, value in before.items()]
    if result.outcome:
        rows += [(f"engine: {name}", _text(value), "") for name, value in result.outcome.outside.items()]
    rows += [("stream of records", "; ".join(result.faults) or "whole", "")] if result.records else []
    title = f"Cell {title_of(result)}: {result.status.value}" + (f": {result.reason}" if result.reason else "")
    table = Table(title=f"What cell {title_of(result)} saw of its limit", head=("what", "before", "after"), rows=())
    return {
        "number": number,
        "title": title,
        "table": Table(title=table.title, head=table.head, rows=tuple(rows)),
    }


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _downloads(session: Session) -> tuple[list[dict[str, str]], str]:
    """What can be saved from the page, and what was left out of it."""
    document = reports.document(session)
    plain = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    found = []
    if len(plain) <= MOST_BYTES:
        words = "limits, verdicts and numbers, as lab run --format json prints them"
        found.append(_download("report.json", "application/json", plain, words))
    records = sum(len(result.records) for result in session.results)
    packed = export.pack(session, document) if records <= MOST_RECORDS else b""
    if packed and len(packed) <= MOST_BYTES:
        words = f"the whole session with its {records} records; unpacked, lab report reads it"
        found.append(_download(f"{session.id}.zip", "application/zip", packed, words))
        return found, ""
    return found, f"The {records} records are too many for this page; they are in the session's folder."


def _download(name: str, kind: str, content: bytes, words: str) -> dict[str, str]:
    link = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return {"name": name, "link": link, "size": f"{len(content) / 1000:.0f} kB", "words": words}


def _footer(session: Session) -> str:
    began = datetime.fromtimestamp(session.began, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return " · ".join(_facts(session, began))


def _facts(session: Session, began: str) -> Iterator[str]:
    versions: Mapping[str, str] = {"multicore-lab": session.lab_version, "code": session.code_sha256[:12]}
    yield f"session {session.id}"
    yield f"began {began}, took {units.seconds(session.wall_seconds)}"
    yield from (f"{name} {value}" for name, value in versions.items() if value)
    yield from (f"{name}: {_text(value)}" for name, value in session.arguments.items())
