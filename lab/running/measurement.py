"""Plan, run, judge and keep: from a request to a session.

A run begins with a new plan (:class:`NewRun`) or with what a run that was cut short has left (:class:`ResumedRun`).
:func:`measure` does the rest in three steps: prepare, run the cells, finish. What is slow to import is imported late,
while the engine is waited for.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lab import interrupts
from lab.errors import EngineError, Interrupted
from lab.interrupts import StopFlag
from lab.messages import tell

if TYPE_CHECKING:
    from lab.engines import Engine
    from lab.engines.selection import Wanted
    from lab.model.cell import Cell, CellResult
    from lab.model.machine import Machine
    from lab.model.session import Session
    from lab.planning.request import Request
    from lab.running.progress import Tables
    from lab.sessions.folder import SessionFolder
    from lab.sessions.resuming import Past


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is about to run, and what the manifest says of it."""

    #: Every cell of the plan, also those that have run already.
    cells: tuple[Cell, ...]
    #: The manifest as it is before anything runs.
    manifest: Mapping[str, Any]
    #: The hash of the code that measured the first cell.
    code_sha256: str
    #: The time that a person took to predict, in seconds. It is no part of the run.
    pondered_seconds: float = 0.0


class Start(Protocol):
    """How a run begins."""

    @property
    def session_id(self) -> str:
        """The id of the session that the run makes."""

    @property
    def kept(self) -> Mapping[str, CellResult]:
        """The results that there are already, by the ids of their cells."""

    def plan(self, request: Request, machine: Machine, code_sha256: str, stop: StopFlag) -> Plan:
        """The plan for this machine."""

    def folder(self, code: bytes) -> SessionFolder:
        """The folder of the session, open for writing."""


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that begins with a new plan."""

    #: The id of the new session.
    session_id: str
    #: When the run began, in seconds since the epoch.
    began: float
    #: The folder in which the session gets a folder of its own.
    parent: Path
    #: Chooses the cells instead of the request, where it is given.
    choose_cells: Callable[[Machine], tuple[Cell, ...]] | None = None
    #: Whether the person is asked for predictions first.
    predict: bool = False
    #: What else the manifest says of where the run comes from.
    origin: Mapping[str, str]

    @property
    def kept(self) -> Mapping[str, CellResult]:
        """No result: nothing has run yet."""
        return {}

    def plan(self, request: Request, machine: Machine, code_sha256: str, stop: StopFlag) -> Plan:
        """Choose the cells, ask for predictions, and describe the run."""
        from lab.running import host
        from lab.sessions.manifest import manifest
        from lab.teaching import prompt

        cells = self.choose_cells(machine) if self.choose_cells else request.cells(machine)
        predictions: dict[str, Any] = {}
        pondered_seconds = 0.0
        if self.predict:
            with stop.interruptible():
                predictions, pondered_seconds = prompt.predicted(request.experiments, cells, machine)
        described = manifest(
            id=self.session_id,
            began=self.began,
            machine=machine,
            arguments=request.arguments(machine) | predictions,
            cells=cells,
            code_sha256=code_sha256,
            host=host.host_facts(),
        )
        return Plan(
            cells=cells,
            manifest={**self.origin, **described},
            code_sha256=code_sha256,
            pondered_seconds=pondered_seconds,
        )

    def folder(self, code: bytes) -> SessionFolder:
        """A new folder, with the code of the cells in it."""
        from lab.sessions.folder import SessionFolder

        folder = SessionFolder(self.parent, self.session_id)
        folder.write_code(code)
        return folder


@dataclass(frozen=True, kw_only=True)
class ResumedRun:
    """A run that goes on where an earlier run was cut short."""

    #: What there is of the run that was cut short.
    past: Past
    #: When the run went on, in seconds since the epoch.
    resumed_at: float
    #: Whether the run goes on although the machine, a build or the lab is not as it was.
    force: bool = False

    @property
    def session_id(self) -> str:
        """The id of the session that was cut short."""
        return self.past.folder.name

    @property
    def kept(self) -> Mapping[str, CellResult]:
        """The results of the cells that are whole."""
        return self.past.kept

    def plan(self, request: Request, machine: Machine, code_sha256: str, stop: StopFlag) -> Plan:
        """The plan that the run had. Raises UsageError where it cannot go on here."""
        from lab.sessions import resuming

        changed = resuming.check_resumable(self.past, machine, code_sha256, force=self.force)
        manifest = self.past.manifest_at(self.resumed_at, changed)
        return Plan(cells=self.past.cells, manifest=manifest, code_sha256=self.past.code_sha256)

    def folder(self, code: bytes) -> SessionFolder:
        """The folder of the session, where incomplete cells are set aside."""
        from lab.sessions.folder import SessionFolder

        folder = SessionFolder(self.past.folder.parent, self.session_id, again=True)
        folder.set_aside(self.past.kept)
        return folder


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that a run needs before its first cell."""

    #: What the run is asked to do.
    request: Request
    #: How the run begins.
    start: Start
    #: The engine, probed.
    engine: Engine
    #: The machine that the engine runs on.
    machine: Machine
    #: The cells, and the manifest.
    plan: Plan
    #: The folder of the session, open for writing.
    folder: SessionFolder
    #: When the run began, by the monotonic clock.
    begun: float

    @property
    def missing(self) -> list[Cell]:
        """The cells that have not run yet."""
        return [cell for cell in self.plan.cells if cell.id not in self.start.kept]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """The results of the cells that ran."""

    #: The results, in the order of the plan.
    results: tuple[CellResult, ...]
    #: Why cells ran side by side, or why not; empty where that is no question.
    packing_note: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Where a session is kept, and whether it is."""

    #: The folder, or what is missing in it, in words.
    words: str
    #: Why the session in the folder is not complete; ``None`` where it is.
    failure: str | None


def measure(
    request: Request, start: Start, stop: StopFlag, prepare: Callable[[], object], tables: Tables | None = None
) -> tuple[Session, Kept]:
    """Run what is asked for. What there is when ``stop`` is requested is judged and kept.

    ``prepare`` loads and checks what the caller needs afterwards. It is called while the engine is waited for, and
    again before anything is measured, so that its exceptions are raised there. ``tables`` shows the cells that have
    ended, on a terminal. Returns the session, and where it is kept. Raises UsageError, EngineError, ImageError,
    StoreError or Interrupted.
    """
    request.check()
    with contextlib.ExitStack() as stack:
        prepared = _prepare(request, start, stop, prepare, stack)
        ran = _run_cells(prepared, stop, tables)
        return _finish(prepared, ran, stop)


def _prepare(
    request: Request,
    start: Start,
    stop: StopFlag,
    prepare: Callable[[], object],
    stack: contextlib.ExitStack,
) -> Prepared:
    begun = time.monotonic()
    while_waiting = functools.partial(_load_early, request.experiments, prepare)
    engine, machine = choose_engine(wanted(request), start.session_id, stop, while_waiting)
    stack.callback(engine.close)
    if request.target and not request.cases:
        from lab.running import own_code

        request = own_code.with_cases(request, engine, machine, start.session_id)
    if request.workload:
        from lab.running import own_programs

        own_programs.check(request.workload, engine, machine, start.session_id)
    prepare()

    from lab.engines.cell_code import cell_code
    from lab.running import parallel_cells

    stack.callback(parallel_cells.keep_off, set())
    code = cell_code()
    plan = start.plan(request, machine, hashlib.sha256(code).hexdigest(), stop)
    folder = stack.enter_context(start.folder(code))
    folder.write_manifest(plan.manifest)
    interrupts.leave(folder, functools.partial(_incomplete, folder, request.command))
    stack.callback(interrupts.leave_nothing, folder)
    return Prepared(request=request, start=start, engine=engine, machine=machine, plan=plan, folder=folder, begun=begun)


def _incomplete(folder: SessionFolder, command: str) -> str:
    """What is left of a run that has to end before its session is complete."""
    from lab.sessions.folder import resume_command

    return f"{folder.path.name} is incomplete; measure its missing cells with: {resume_command(folder.path, command)}"


def _run_cells(prepared: Prepared, stop: StopFlag, tables: Tables | None) -> Ran:
    from lab.planning.jobs import job_of
    from lab.running import parallel_cells, progress, runner

    request, cells = prepared.request, prepared.missing
    seed = prepared.plan.manifest["arguments"]["seed"]
    coming = Counter(name for cell in cells if cell.available for name in request.experiments_in(cell))
    own_costs = request.own_costs(cells)
    with progress.for_this_terminal(coming, request.seconds, own_costs, tables) as live:
        jobs = [
            job_of(
                prepared.start.session_id,
                cell,
                request.experiments_in(cell),
                request.seconds,
                request.width,
                seed,
                request.cases_in(cell),
                request.target.project if request.target else "",
                request.target.other if request.target else "",
                request.workload.room if request.workload else None,
            )
            for cell in cells
        ]
        schedule, packing_note = parallel_cells.decide(
            prepared.engine,
            prepared.machine,
            jobs,
            prepared.folder,
            stop,
            most=request.most_at_once,
            seconds=lambda cell: progress.cost(request.experiments_in(cell), request.seconds, own_costs),
            smt=request.smt,
            explicit=request.explicit(cells),
        )
        if packing_note:
            tell(packing_note)
        results = runner.run(prepared.engine, jobs, prepared.folder, live, stop, schedule, parallel_cells.keep_off)
    return Ran(results=results, packing_note=packing_note or "")


def _finish(prepared: Prepared, ran: Ran, stop: StopFlag) -> tuple[Session, Kept]:
    """Judge what ran, and complete the session's folder."""
    from lab.judging.assembly import assemble
    from lab.running import host, own_code
    from lab.sessions import resuming
    from lab.sessions.document import document
    from lab.sessions.folder import resume_command
    from lab.sessions.manifest import noise

    plan, folder, kept = prepared.plan, prepared.folder, prepared.start.kept
    on_docker = prepared.machine.engine == "docker"
    # Compose is asked only now, when nothing is measured.
    with host.asking_compose() if on_docker else contextlib.nullcontext() as compose_version:
        by_id = {**kept, **{result.cell.id: result for result in ran.results}}
        results = tuple(by_id[cell.id] for cell in plan.cells)
        spent_before = sum(result.wall_seconds for result in kept.values())
        left_out = own_code.left_out_lines(plan.manifest["arguments"])
        notes = (ran.packing_note, folder.failure, _forced(plan.manifest), _other_sessions(results), *left_out)
        session = assemble(
            id=prepared.start.session_id,
            began=plan.manifest["began"],
            machine=prepared.machine,
            arguments=plan.manifest["arguments"],
            experiments=prepared.request.experiments,
            results=results,
            code_sha256=plan.code_sha256,
            wall_seconds=time.monotonic() - prepared.begun - plan.pondered_seconds + spent_before,
            notes=tuple(f"note: {line}" for line in notes if line),
            interrupted=stop.requested,
        )
        manifest = dict(plan.manifest)
        if compose_version is not None:
            manifest["host"] = {**manifest["host"], "compose_version": compose_version()}
    ending: dict[str, Any] = {"ended": time.time(), "noise": noise(results), "report": document(session)}
    folder.write_manifest({**manifest, **ending})
    folder.seal()
    interrupts.leave_nothing(folder)
    words = folder.failure or f"session kept in {folder.path}"
    if not folder.failure and (stop.requested or resuming.lost_cells(ending["report"])):
        words += f"; measure its missing cells with: {resume_command(folder.path, prepared.request.command)}"
    return session, Kept(words=words, failure=folder.failure)


def _other_sessions(results: Iterable[CellResult]) -> str:
    """That other labs measured on the same engine; empty if none was seen."""
    cells = {
        result.cell.label: result.outcome.outside["other_sessions"]
        for result in results
        if result.outcome and result.outcome.outside.get("other_sessions")
    }
    if not cells:
        return ""
    sessions = sorted({str(session) for seen in cells.values() for session in seen})
    return (
        f"another lab used this engine at the same time (session {', '.join(sessions)}; at {', '.join(cells)})."
        " Runs disturb each other: run them one after the other"
    )


def _forced(manifest: Mapping[str, Any]) -> str:
    """What is not the same in all cells because a run was resumed by force; empty where everything is."""
    changed = manifest.get("forced")
    return f"resumed by force, cells before and after do not compare: {'; '.join(changed)}" if changed else ""


def wanted(request: Request) -> Wanted:
    """The engine, the image and the builds that a request names.

    Where the code is compared with a Python of this machine, ``auto`` means the local engine: no container has it.
    """
    from lab.engines.selection import Wanted

    is_here = bool(request.target and request.target.case.against.get("python")) and not (request.image or request.host)
    return Wanted(
        engine="local" if request.engine == "auto" and is_here else request.engine,
        image=request.image,
        pythons=request.pythons,
        images=request.images,
        own_programs=request.workload is not None,
        allocation=request.allocation,
        host=request.host,
        send_image=request.send_image,
    )


def choose_engine(
    wanted: Wanted, session_id: str, stop: StopFlag, while_waiting: Callable[[], object] | None = None
) -> tuple[Engine, Machine]:
    """The engine that is wanted, probed; see :func:`lab.engines.selection.choose`.

    Raises what that function raises. A request to stop takes effect at once, because nothing has been measured.
    """
    from lab import engines
    from lab.engines import selection

    meanwhile = while_waiting or engines.nothing
    with stop.interruptible():
        try:
            return selection.choose(wanted, session_id, note=tell, before_slow_step=tell, meanwhile=meanwhile)
        except EngineError:
            if stop.requested:  # Ctrl-C in a terminal also reaches a Python that is asked
                raise Interrupted("interrupted before anything was measured") from None
            raise


def _load_early(experiments: tuple[str, ...], prepare: Callable[[], object]) -> None:
    """Load what a run needs once there is an engine. What fails here fails again where it is needed, and says why."""
    with contextlib.suppress(Exception):
        from lab.engines.cell_code import cell_code
        from lab.judging import assembly  # noqa: F401 - only to load it
        from lab.running import host, parallel_cells, progress, runner  # noqa: F401 - likewise
        from lab.sessions import document, manifest, resuming  # noqa: F401 - likewise

        prepare()
        cell_code()
        cell_code(experiments)
