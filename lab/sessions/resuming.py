"""Resume a run that was killed or interrupted: which cells are complete, and whether it can continue here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cell.cpus import cpulist
from lab.containers import cleanup
from lab.containers import client as client_
from lab.errors import EngineError, NotResumableError, UsageError
from lab.judging import differences
from lab.judging.differences import Difference
from lab.judging.records import MALFORMED
from lab.messages import tell
from lab.model import machine as machine_
from lab.model.cell import Cell, CellResult, Status
from lab.model.machine import Machine
from lab.sessions import folder as store
from lab.sessions import loading


@dataclass(frozen=True, kw_only=True)
class Past:
    """A stored run that did not come to its end."""

    #: The folder of the session.
    folder: Path
    #: The content of its session.json.
    manifest: Mapping[str, Any]
    #: The planned cells.
    cells: tuple[Cell, ...]
    #: The complete results, by the ids of their cells. These cells are not run again.
    kept: Mapping[str, CellResult]
    #: The machine that the run began on.
    machine: Machine
    #: The hash of the lab's code that the run began with.
    code_sha256: str
    #: How long the kept cells took together.
    wall_seconds: float

    def manifest_at(self, time: float, changes: Iterable[Difference] = ()) -> dict[str, Any]:
        """The manifest of the resumed run.

        It has no entry that only the end of a run writes. It has the time of resuming (seconds since the epoch), and
        the differences that the user accepted with ``--force``.
        """
        kept_entries = {
            name: value for name, value in self.manifest.items() if name not in ("report", "ended", "noise")
        }
        forced = [*self.manifest.get("forced", ()), *map(str, changes)]
        return {
            **kept_entries,
            "resumed": [*self.manifest.get("resumed", ()), time],
            **({"forced": forced} if forced else {}),
        }

    @property
    def arguments(self) -> Mapping[str, Any]:
        arguments: Mapping[str, Any] = self.manifest["arguments"]
        return arguments


def take_up(named: Path | None, parent: Path, passed_over: list[Path] | None = None) -> Past:
    """The run in this folder, or the newest run below ``parent`` that did not come to its end.

    Without a name, runs that cannot be resumed are passed over, and the reason of each is told. ``passed_over`` has
    their folders, and gets new ones. Raises UsageError when there is no such run. For a named run it raises UsageError
    when no cell of the run is missing, when it is still running, and when an early version wrote it, without a seed.
    """
    if named is None:
        return _newest_resumable(parent, [] if passed_over is None else passed_over)
    return _past(loading.find_session(named))


def _past(folder: Path) -> Past:
    """The run in this folder. Raises UsageError if it cannot be resumed."""
    if store.is_written(folder):
        raise UsageError(f"{folder.name} is still being written by another lab; wait until that run ends, or stop it")
    check_whole(loading.manifest(folder)["arguments"], folder)
    session = loading.load_session(folder)
    manifest = loading.manifest(folder)
    # Without a note of its end, nobody knows what limits the engine reported for a cell: it is measured again.
    noted = {*loading.endings(folder), *(cell["id"] for cell in (manifest.get("report") or {}).get("cells", ()))}
    kept = {
        result.cell.id: result
        for result in session.results
        if result.status is Status.UNAVAILABLE or (result.status is Status.MEASURED and result.cell.id in noted)
    }
    if len(kept) == len(session.results) and not unfinished(manifest):
        raise UsageError(f"{folder.name} is complete: no cell is missing; show it with lab report {folder}")
    if "seed" not in manifest["arguments"]:
        raise UsageError(
            f"{folder.name} was made by a version of the lab that did not store the seed; it can be read, but"
            " not resumed"
        )
    return Past(
        folder=folder,
        manifest=manifest,
        cells=loading.planned(manifest),
        kept=kept,
        machine=session.machine,
        code_sha256=session.code_sha256,
        wall_seconds=sum(result.wall_seconds for result in kept.values()),
    )


def check_whole(arguments: Mapping[str, Any], folder: Path) -> None:
    """Raise UsageError where a session joins those of several hosts, because only each of these has a machine."""
    if arguments.get("hosts"):
        raise UsageError(
            f"{folder.name} joins the sessions of {len(arguments['hosts'])} hosts, each of which is a run of its own",
            f"name one of those below {folder}, and then join them again: lab merge {folder}",
        )


def unfinished(manifest: Mapping[str, Any]) -> bool:
    """Whether the run did not come to its end."""
    report = manifest.get("report")
    return not report or bool(report["session"]["interrupted"])


def lost_cells(report: Mapping[str, Any]) -> bool:
    """Whether a cell of a report was cut short: it should have run, and the end of its records is missing."""
    return any(
        cell["status"] in (Status.ERROR, Status.PLANNED) and cell["proof"].get("after") is None
        for cell in report["cells"]
    )


def _newest_resumable(parent: Path, passed_over: list[Path]) -> Past:
    """The newest run below this folder that was cut short, or lost cells, and can be resumed. Older ones wait."""
    for folder in reversed(loading.folders(parent)):
        if folder in passed_over:
            continue
        try:
            manifest = loading.manifest(folder)
            if not unfinished(manifest) and not lost_cells(manifest["report"]):
                continue
        except (UsageError, *MALFORMED):  # not a session that this version can read
            continue
        try:
            return _past(folder)
        except UsageError as error:
            pass_over(folder, error, passed_over)
    if passed_over:
        raise UsageError(
            f"no session in {parent} can be resumed: {len(passed_over)} passed over, for the reasons above",
            "remove the folder of a session that you do not need, or begin a new run with lab run",
        )
    raise UsageError(f"no session in {parent} was cut short or lost a cell", "list all sessions with lab sessions")


def pass_over(folder: Path, reason: UsageError, passed_over: list[Path]) -> None:
    """Tell why this run is not resumed, and how to drop it."""
    tell(f"passed over: {reason}; to drop it, remove {folder}")
    passed_over.append(folder)


def clear(past: Past) -> None:
    """Remove the containers that the killed run has left on its engine.

    These would run beside the new cells, and occupy their names. Raises EngineError when the engine does not answer,
    or when a container cannot be removed.
    """
    if past.manifest["engine"] != "docker":
        return
    with contextlib.closing(client_.client_for_this_environment(past.arguments.get("host") or "")) as client:
        _, remaining = cleanup.remove_all(client, past.folder.name)
        remedy = client_.clean_command(client)
    if remaining:
        raise EngineError(f"{past.folder.name} has left {'; '.join(remaining)}; remove it with {remedy}, then resume")


def check_resumable(past: Past, machine: Machine, code_sha256: str, *, force: bool = False) -> tuple[Difference, ...]:
    """The differences between the machine, the builds and the lab of the stored run and those of now.

    Raises NotResumableError for differences that ``force`` does not allow. If the CPUs or the builds of the missing
    cells do not exist here, ``force`` does not help.
    """
    missing = [cell for cell in past.cells if cell.available and cell.id not in past.kept]
    missing_cpus = sorted({cpu for cell in missing for cpu in cell.cpus} - {*machine.cpus})
    missing_builds = {cell.build for cell in missing if cell.build} - {*machine_.builds_of(machine)}
    run_again = f"Run all cells again with lab replay {past.folder}"
    machine_differences = differences.of_machines(past.machine, machine)
    if missing_cpus and machine.cpus:
        raise NotResumableError(
            f"{past.folder.name} cannot be resumed on this machine: its cells need CPUs {cpulist.render(missing_cpus)},"
            f" which are not available. Differences: {'; '.join(map(str, machine_differences))}. {run_again}"
        )
    if missing_builds:
        raise NotResumableError(
            f"{past.folder.name} cannot be resumed on this machine: its cells need the builds"
            f" {', '.join(sorted(missing_builds))}. Available: {', '.join(machine_.builds_of(machine))}. {run_again}"
        )
    all_differences = machine_differences + differences.of_code(past.code_sha256, code_sha256)
    if all_differences and not force:
        raise NotResumableError(
            f"{past.folder.name} cannot be resumed on this machine: its cells would not be comparable. Differences:"
            f" {'; '.join(map(str, all_differences))}. {run_again}, or resume it in spite of this with --force"
        )
    return all_differences


def joined(past: Past | None, cells: tuple[Cell, ...], ran: tuple[CellResult, ...]) -> tuple[CellResult, ...]:
    """The results of the whole plan, in the order of the plan: the kept results and the new results."""
    results = {**(past.kept if past else {}), **{result.cell.id: result for result in ran}}
    return tuple(results[cell.id] for cell in cells)
