"""The report for a browser: one HTML file that needs no other file, no network and no JavaScript.

Its template, style and script are in the folder ``page``. Everything that comes from a session is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
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
from lab.reports.tables import highlights, hosts, machine_map, predictions, scale
from lab.reports.tables.answers import Answer, answers
from lab.sessions import export
from lab.teaching import glossary
from lab.text import units
from lab.text.table import CODE, Table, title_of

#: A session with more records than this is not put into the page; the page says where the records are.
MOST_RECORDS = 20_000

#: The same for a larger zip: such a page would be slow to send.
MOST_BYTES = 450_000

#: The most rows of a chart's table; the raw data has the other rows.
MOST_ROWS = 400


def check_libraries() -> None:
    """Raise MissingExtraError if a library that draws or fills the page is not installed."""
    for name in ("jinja2", "matplotlib"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise MissingExtraError("HTML reports", "report", error) from error


def render(session: Session) -> str:
    """The whole session as a page. Raises MissingExtraError if a library for pages is not installed."""
    check_libraries()
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
    lessons = {
        "surprises": _lessons(highlights.surprises(session), surprise=True),
        "refuted": _lessons(highlights.refuted(session)),
        "causes": _lessons(highlights.causes(session)),
        "undecided": _lessons(highlights.undecided(session)),
    }
    drawn = [_chart(chart) for chart in charts(session)]
    downloads, left_out = _downloads(session)
    predicted = [_clear(table) for table in predictions.prediction_tables(session)]
    known = {table.title for table in predicted}
    tables = [_clear(table) for table in summary.all_tables(session) if table.title not in known]
    return lessons | {
        "title": f"{headline.title}, {hosts.several(session)[0] or units.cpus(len(session.machine.cpus))}",
        "where": ". ".join(_capital(line) for line in (headline.engine, headline.machine) if line),
        "own_code": scale.is_own_code(session),
        "counts": _counts(session),
        "answers": [_tile(answer) for answer in answers(session)],
        "predicted": predicted,
        "contents": [
            *([("predicted", "Predictions")] if predicted else []),
            ("lessons", "Findings"),
            *([("charts", "Charts")] if drawn else []),
            ("machine", "Machine"),
            ("claims", "Claims"),
            ("proof", "Proof"),
            ("tables", "Numbers"),
            ("data", "Raw data"),
            ("glossary", "Words"),
        ],
        "warnings": _warnings(session),
        "decided": any(judgement.verdict.decisive for judgement in session.judgements),
        "charts": drawn,
        "machine": _machine(session),
        "filters": _filters(session),
        "claims": [_claim(session, name) for name in dict.fromkeys(each.claim for each in session.judgements)],
        "limits": [table for table in tables if table.title == "Limits"],
        "proofs": [_proof(number, result) for number, result in enumerate(session.results, 1)],
        "tables": [table for table in tables if table.title not in ("Limits", "Claims")],
        "downloads": downloads,
        "left_out": left_out,
        "glossary": [(word, meaning.replace("`", "")) for word, meaning in glossary.terms().items()],
        "footer": _footer(session),
    }


def _capital(line: str) -> str:
    return line[:1].upper() + line[1:]


def _clear(table: Table) -> Table:
    """The table without the line breaks in its heads, which only a terminal needs."""
    head = tuple(name.replace("_\n", "_").replace("\n", " ") for name in table.head)
    notes = tuple(note for note in table.notes if not note.startswith(CODE))  # the tiles have the code
    return Table(title=table.title, head=head, rows=table.rows, notes=notes, subtitle=table.subtitle)


def _tile(answer: Answer) -> dict[str, Any]:
    named = f"{answer.subject} " if answer.figure and not answer.code else ""
    paragraphs = [_capital(named + f"{where} " * bool(where) + text) for where, text in answer.paragraphs]
    return {"subject": answer.subject, "figure": answer.figure, "paragraphs": paragraphs, "code": answer.code}


#: What the verdict on a cause of the user's own code means.
_OF_CAUSES = {Verdict.CONFIRMED: "found", Verdict.REFUTED: "excluded", Verdict.INCONCLUSIVE: "undecided"}


def _counts(session: Session) -> list[tuple[str, str, int]]:
    """How many claims have each verdict: (verdict, the word for it, how many)."""
    lacking = {result.cell.id for result in session.results if result.status is Status.UNAVAILABLE}
    verdicts = [judgement.verdict for judgement in session.judgements if judgement.cell not in lacking]
    words = _OF_CAUSES if scale.is_own_code(session) else {}
    numbers = {verdict: verdicts.count(verdict) for verdict in Verdict}
    counts = [(verdict.value, words.get(verdict, verdict.value), count) for verdict, count in numbers.items()]
    surprises = [] if words else [("surprises", "surprises", len(session.surprises))]
    return [*surprises, *(each for each in counts if each[2])]


def _warnings(session: Session) -> list[str]:
    ended = ["This session was interrupted. The cells that had not run are missing."] if session.interrupted else []
    cells = [
        f"Cell {title_of(result)}: {result.status.value}: {result.reason}"
        for result in session.results
        if result.status in (Status.ERROR, Status.TAINTED, Status.PLANNED)
    ]
    return [*ended, *cells, *(_capital(note.removeprefix("note: ")) for note in session.notes)]


def _anchor(claim: str) -> str:
    """An id without blanks, which no other claim has: the names of the user's functions may hold anything."""
    return f"claim-{re.sub(r'[^A-Za-z0-9_-]', lambda sign: f'_{ord(sign[0]):x}', claim.replace('.', '-'))}"


def _lessons(lessons: Sequence[highlights.Lesson], *, surprise: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "claim": lesson.claim,
            "anchor": _anchor(lesson.claim),
            "statement": lesson.statement,
            "verdict": lesson.verdict.value,
            "surprise": surprise,
            "expected": lesson.expected.value if surprise and lesson.expected else "",
            "places": [(reason, _cells(labels)) for reason, labels in lesson.places],
            "advice": lesson.advice if lesson.verdict.decisive else "",
        }
        for lesson in lessons
    ]


def _cells(labels: Sequence[str]) -> str:
    return ("Cell " if len(labels) == 1 else "Cells ") + ", ".join(labels)


def _chart(chart: Chart) -> dict[str, Any]:
    rows = chart.table.rows
    note = (
        (f"These are the first {MOST_ROWS} of {len(rows)} rows. The raw data has all rows.",)
        if len(rows) > MOST_ROWS
        else ()
    )
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
    """The map: for each cell, every CPU of the host, core by core, and whether the cell had that CPU.

    The topology of the machine says which CPUs share a core. Without a topology the proofs of the cells say so, but
    only for the CPUs of the cells. Hosts and joined machines have no map together: each has one on the page of its
    own session.
    """
    count, each = hosts.several(session)
    if count:
        one = "host's session" if session.hosts else "session"
        return {"words": f"{each}. The page of each {one} has its map.", "rows": [], "map": []}
    machine = session.machine
    host = tuple(sorted({*machine.host_cpus, *machine.cpus, *(machine.topology.online if machine.topology else ())}))
    proven = (core for result in session.results for core in result.proof.get("siblings") or ())
    siblings = {tuple(core) for core in (machine.topology.cores.values() if machine.topology else proven)}
    siblings = {core for core in siblings if len(core) > 1}
    core_of = {cpu: core for core in sorted(siblings, key=len) for cpu in core}
    cores = list(dict.fromkeys(core_of.get(cpu, (cpu,)) for cpu in host))
    rows = []
    for result in session.results:
        cell_cpus = set(result.proof.get("affinity") or result.cell.cpus)
        kinds = {cpu: "used" if cpu in cell_cpus else "free" if cpu in machine.cpus else "barred" for cpu in host}
        rows.append(
            {
                "label": title_of(result),
                "words": f"CPUs {cpulist.render(cell_cpus) or 'none'} of {cpulist.render(host)}",
                "cores": [[(cpu, kinds.get(cpu, "barred")) for cpu in core] for core in cores],
                "reason": "" if result.cell.available else result.reason or "",
            }
        )
    barred = set(host) - set(machine.cpus)
    words = [f"{units.cpus(len(host))} ({cpulist.render(host)})"]
    words += [f"the engine may not use {cpulist.render(barred)}"] if barred else []
    words += [f"{len(siblings)} cores have several CPUs"] if siblings else []
    isolated = {str(result.proof["isolated"]) for result in session.results if result.proof.get("isolated")}
    words += [f"isolated from the scheduler: {', '.join(sorted(isolated))}"] if isolated else []
    drawn = [machine.topology.model, *machine_map.draw_map(machine.topology)] if machine.topology else []
    return {"words": "; ".join(words) + ".", "rows": rows, "map": list(filter(None, drawn))}


def _filters(session: Session) -> list[tuple[str, list[tuple[str, str]]]]:
    occurring = {judgement.verdict for judgement in session.judgements}
    verdicts = [("surprise", "surprise")] * bool(session.surprises)
    verdicts += [(verdict.value, verdict.value) for verdict in Verdict if verdict in occurring]
    experiments = dict.fromkeys(judgement.claim.rpartition(".")[0] for judgement in session.judgements)
    cells = [(result.cell.id, title_of(result)) for result in session.results]
    return [("verdict", verdicts), ("experiment", [(name, name) for name in experiments]), ("cell", cells)]


def _claim(session: Session, name: str) -> dict[str, Any]:
    judgements = [judgement for judgement in session.judgements if judgement.claim == name]
    reasons = dict.fromkeys(judgement.reason for judgement in judgements)
    results = {result.cell.id: (number, result) for number, result in enumerate(session.results, 1)}
    return {
        "id": name,
        "anchor": _anchor(name),
        "experiment": name.rpartition(".")[0],
        "statement": judgements[0].statement,
        "text": " ".join((name, judgements[0].statement, *reasons)).lower(),
        "advice": judgements[0].advice,
        "cells": [_evidence(judgement, *results[judgement.cell]) for judgement in judgements],
    }


def _evidence(judgement: Judgement, number: int, result: CellResult) -> dict[str, Any]:
    return {
        "cell": judgement.cell,
        "cell_number": number,
        "label": title_of(result),
        "verdict": judgement.verdict.value,
        "surprise": judgement.surprise,
        "expected": judgement.expected.value if judgement.expected else "not known",
        "value": "–" if judgement.value is None else units.quantity(judgement.value, judgement.unit),
        "interval": _interval(judgement),
        "rounds": "–" if judgement.accepted is None else f"{judgement.accepted}/{judgement.rejected or 0}",
        "ceiling": "–" if judgement.ceiling is None else units.quantity(judgement.ceiling, judgement.unit),
        "reason": judgement.reason,
        "proof": _in_short(result),
    }


def _interval(judgement: Judgement) -> str:
    if judgement.low is None or judgement.high is None:
        return "–"
    return "exact" if judgement.low == judgement.high else units.interval(judgement.low, judgement.high, judgement.unit)


def _in_short(result: CellResult) -> str:
    """The proof of the limit in one line."""
    if not result.proof:
        return "none: the cell did not run."
    asked_cpus = cpulist.render(result.cell.cpus) or units.cpus(result.cell.size)
    outcome = "the same before and after" if result.status is not Status.TAINTED else result.reason
    return f"asked for {asked_cpus}, inside saw {cpulist.render(result.proof['affinity'])}; {outcome}."


def _proof(number: int, result: CellResult) -> dict[str, Any]:
    """Everything that the cell and the engine reported about the limit, before and after the experiments."""
    before, after = result.proof, result.data("end").get("proof") or {}
    rows = [(name, _text(value), _text(after.get(name))) for name, value in before.items()]
    if result.outcome:
        rows += [(f"engine: {name}", _text(value), "") for name, value in result.outcome.outside.items()]
    rows += [("stream of records", "; ".join(result.faults) or "complete", "")] if result.records else []
    table_title = f"What cell {title_of(result)} saw of its limit"
    return {
        "number": number,
        "title": f"Cell {title_of(result)}: {result.status.value}" + (f": {result.reason}" if result.reason else ""),
        "table": Table(title=table_title, head=("what", "before", "after"), rows=tuple(rows)),
    }


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _downloads(session: Session) -> tuple[list[dict[str, str]], str]:
    """The files that can be saved from the page, and a sentence about what was left out of the page."""
    document = reports.document(session)
    plain = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    files = []
    if len(plain) <= MOST_BYTES:
        words = "limits, verdicts and numbers, as printed by lab run --format json"
        files.append(_download("report.json", "application/json", plain, words))
    records = sum(len(result.records) for result in session.results)
    packed = export.pack(session, document) if records <= MOST_RECORDS else b""
    if packed and len(packed) <= MOST_BYTES:
        words = f"the whole session with its {records} records. Unpack it to read it with lab report"
        files.append(_download(f"{session.id}.zip", "application/zip", packed, words))
        return files, ""
    return files, f"The {records} records are too many for this page. They are in the session's folder."


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
