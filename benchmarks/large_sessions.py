"""Sessions of any size, made of the records of a real one, and written as the lab writes them."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lab.cell.cpus import cpulist
from lab.cell.worker.record_writer import canonical
from lab.engines import Sink
from lab.engines.fake import Fake
from lab.judging.assembly import assemble
from lab.model.cell import Job, Outcome
from lab.planning import cells as planner
from lab.planning.jobs import job_of
from lab.planning.quotas import under_quotas
from lab.running import runner
from lab.running.parallel_cells import NoProgress
from lab.sessions import loading
from lab.sessions.document import document
from lab.sessions.folder import SessionFolder
from lab.sessions.manifest import manifest, noise
from tests.support import scripts

#: What a cell says once.
_ALONE = ("start", "begin", "finish", "end")

#: How many bytes of a stream an engine hands over at a time.
_PIECE = 1 << 16


class NeverStopped:
    """Nobody asks to stop."""

    requested = False


def write_streams(streams: str, parent: str) -> None:
    """Run the cells of the manifest in the folder ``streams`` by the fake engine, which hands over their streams.

    As in a run, each record is checked, hashed and stored, the session is judged, and it is sealed. It stands below
    ``parent``; a session that stood there before is removed.
    """
    shutil.rmtree(parent, ignore_errors=True)
    source = Path(streams)
    stored = json.loads((source / "session.json").read_text())
    machine, cells = loading.machine_of(stored), loading.planned(stored)
    experiments = tuple(stored["arguments"]["experiments"])
    jobs = [job_of(stored["session"], cell, experiments, 10.0, 0.05) for cell in cells]
    engine = Fake(machine=machine, cells={cell.id: partial(_hand_over, source / f"{cell.id}.jsonl") for cell in cells})
    started = {name: value for name, value in stored.items() if name not in ("ended", "noise", "report")}
    with SessionFolder(Path(parent), stored["session"]) as folder:
        folder.write_manifest(started)
        results = runner.run(engine, jobs, folder, NoProgress(), NeverStopped())
        session = assemble(
            id=stored["session"],
            began=stored["began"],
            machine=machine,
            arguments=stored["arguments"],
            experiments=experiments,
            results=results,
            code_sha256=stored["versions"]["code_sha256"],
            wall_seconds=1.0,
        )
        folder.write_manifest({**started, "noise": noise(results), "report": document(session)})
        folder.seal()
        if folder.failure:
            raise OSError(folder.failure)


def _hand_over(stream: Path, job: Job, sink: Sink) -> Outcome:
    """What an engine does for a cell that says what is in this file."""
    with stream.open("rb") as file:
        while piece := file.read(_PIECE):
            sink(piece)
    return Outcome(exit_code=0, outside={"cpuset": cpulist.render(job.cell.cpus)})


def many_cells(count: int, target: Path) -> Path:
    """Write the streams and the manifest of a run of that many cells of 1 and 2 CPUs, half of them under each quota.

    Returns the folder that they are in.
    """
    target.mkdir()
    machine = scripts.TWO_CPUS
    quotas = [None, *(0.01 + 0.9 * place / count for place in range(1, count // 2))]
    cells = under_quotas(planner.plan((1, 2), machine.cpus), quotas, False, None)
    for cell in cells:
        said, seen = scripts.everything(cell.size), scripts.proof(cell.cpus, quota=cell.quota_cpus)
        (target / f"{cell.id}.jsonl").write_bytes(scripts.stream(cell.id, cell.cpus, said, seen=seen))
    arguments = {"experiments": ["pool", "pipe", "gil"], "cpus": "1,2", "seed": 1}
    described = manifest(id="many", began=0.0, machine=machine, arguments=arguments, cells=cells)
    (target / "session.json").write_text(json.dumps(described))
    return target


def multiply(source: Path, target: Path, records: int) -> int:
    """Write streams like those of the session in ``source`` with about that many records; returns how many there are.

    Each record is there many times over, with measured numbers that differ by a percent, so that the mixture is a real
    one's. ``target`` becomes a folder with a file for each cell, and the manifest.
    """
    target.mkdir()
    (target / "session.json").write_bytes((source / "session.json").read_bytes())
    cells = {path: [json.loads(line) for line in path.read_bytes().splitlines()] for path in source.glob("*.jsonl")}
    kinds = [record["kind"] for lines in cells.values() for record in lines]
    alone = sum(kind in _ALONE for kind in kinds)
    times = max(1, round((records - alone) / (len(kinds) - alone)))
    generator = random.Random(1)
    return sum(_multiplied(lines, target / path.name, times, generator) for path, lines in cells.items())


def _multiplied(records: Sequence[dict[str, Any]], path: Path, times: int, generator: random.Random) -> int:
    """Write the stream of a cell with its records so many times over. Returns how many records it has."""
    written, whole = 0, hashlib.sha256()
    with path.open("wb") as file:
        for record in records:
            for number in range(1 if record["kind"] in _ALONE else times):
                data = _differing(record["data"], generator) if number else record["data"]
                if record["kind"] == "end":
                    whole.update(canonical(data := {**data, "records": written}))
                    data["sha256"] = whole.hexdigest()
                line = json.dumps({**record, "seq": written, "data": data}, separators=(",", ":"), ensure_ascii=False)
                file.write(piece := line.encode() + b"\n")
                whole.update(piece)
                written += 1
    return written


def _differing(value: Any, generator: random.Random) -> Any:
    """The same, with every fraction in it up to some percent larger or smaller."""
    if isinstance(value, dict):
        return {key: _differing(part, generator) for key, part in value.items()}
    if isinstance(value, list):
        return [_differing(part, generator) for part in value]
    return value * generator.gauss(1, 0.01) if isinstance(value, float) else value
