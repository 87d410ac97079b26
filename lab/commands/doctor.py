"""``lab doctor``: what can be measured here, and the exact fix for what cannot be."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab import release, system
from lab.errors import LabError, StoreError, UsageError
from lab.messages import ended, show

if TYPE_CHECKING:
    from lab.engines import Engine
    from lab.model.machine import Machine
    from lab.model.topology import Topology
    from lab.pythons.discovery import Discovery, Interpreter

#: Most seconds of measuring how quiet the machine is.
_QUIET_SECONDS = 2.0

HELP = "say what can be measured on this machine, and the exact fix for what cannot be"
EXAMPLE = """\
examples:
  lab doctor                     engine, CPUs, cgroups, and what would disturb a
                                 measurement
  lab doctor --capture cpus.txt  write the kernel's files on the CPUs into a
                                 file for a report; then lab cpus --root
                                 cpus.txt says anywhere what it says here"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--image", help="the image to try, with Python 3.9 or later (docker)")
    parser.add_argument(
        "--capture",
        type=Path,
        metavar="FILE",
        help="write the kernel's files that tell the CPUs into FILE, without names of users or hosts, and do no more",
    )


def run(options: argparse.Namespace) -> int:
    """Look at everything and print it; return 0 when cells can run in containers, else 3."""
    if options.capture is not None:
        return _capture(options.capture)
    from tabulate import tabulate

    from lab.pythons import discovery
    from lab.running import host

    here = host.read_topology()
    docker, quiet, error = _docker(options.image)
    rows = [*_machine_rows(here), *_engine_rows(docker)]
    show(tabulate(rows, tablefmt="plain", disable_numparse=True, maxcolwidths=[None, 58]))
    show("\n".join(["", *_maps(here, docker)]))
    if system.HAS_AFFINITY:
        show("\nPythons of this machine, for --engine local")
        show(tabulate(_pythons(discovery.find_interpreters()), tablefmt="plain", disable_numparse=True))
    show("\nWhat can be measured")
    advice = [*_abilities(docker, error), *_disturbances(here, docker), *quiet]
    for mark, line, fix in advice:
        rows = [(f"{mark:2}", line), *([("", f"fix: {fix}")] if fix else [])]
        show(tabulate(rows, tablefmt="plain", maxcolwidths=[None, 72], preserve_whitespace=True))
    return ended(0 if docker else 3, "no cell can be run in a container")


def _capture(path: Path) -> int:
    """Write the capture of this process's CPUs; return 0. Raises UsageError and StoreError."""
    from lab import __version__
    from lab.cell.cpus.capture import capture
    from lab.sessions.files import replace_file

    if not path.name or path.is_dir():
        raise UsageError(f"--capture {path} is a folder; name a file in it")
    if not system.HAS_AFFINITY:
        raise UsageError(
            f"--capture packs files of Linux's kernel, and {system.NAME} has none",
            "run it in a container of the engine",
        )
    note = f"The kernel's files that tell which CPUs a process has, as lab {__version__} read them."
    try:
        replace_file(path, capture(note))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; name another file") from error
    show(str(path))
    return 0


#: (ok, no or !; what was found; the fix)
_Advice = tuple[str, str, str]


def _docker(image: str | None) -> tuple[Machine | None, list[_Advice], LabError | None]:
    """The engine's machine and how quiet it is; without an engine how quiet this machine is, and the error."""
    from lab.engines import make

    try:
        made = make("docker", image=image, session=f"doctor-{os.getpid()}", note=lambda line: None)
        with contextlib.closing(made) as engine:
            machine = engine.probe()
            return machine, _quiet(engine, machine), None
    except LabError as error:
        no_engine = error
    try:
        with contextlib.closing(make("local")) as engine:
            return None, _quiet(engine, engine.probe()), no_engine
    except LabError:
        return None, [], no_engine


def _quiet(engine: Engine, machine: Machine) -> list[_Advice]:
    """How quiet the machine is, by a short ``lab selftest``: a second or two of claims whose truth is known."""
    from lab.cell.claims.measured import CAPACITY
    from lab.engines.temporary import TemporaryFolder
    from lab.judging.verdicts import evidence_of
    from lab.model.cell import Status
    from lab.planning import cells
    from lab.running import selftest
    from lab.sessions.folder import SessionFolder
    from lab.text import units

    cell = cells.plan([min(2, len(machine.cpus))], machine.cpu_topology)[0]
    with TemporaryFolder() as parent, SessionFolder(Path(parent), "doctor") as folder:
        result = selftest.measure_controls(
            engine, f"doctor-{os.getpid()}", cell, "idle", 0, _QUIET_SECONDS, folder, NeverStop()
        )
    if result.status is not Status.MEASURED:
        return [("!", f"how quiet it is could not be measured: {result.reason}", "lab selftest")]
    rounds = evidence_of("_control-idle", result).rounds("round")
    good, bad = CAPACITY.counts(rounds)
    delivered = CAPACITY.estimate(rounds)
    score = selftest.score(selftest.judge_controls("idle", [result]))
    text = (
        f"a short selftest: {units.ratio(delivered.value) if delivered else '?'} of {units.cpus(cell.size)} delivered,"
        f" {bad} of {good + bad} rounds disturbed; of the claims whose truth is known {score.right} were judged right,"
        f" {score.wrong} wrong, {score.inconclusive} undecided"
    )
    if score.wrong:
        return [("no", text, "lab selftest shows which; please report it")]
    if score.inconclusive or bad > good:
        return [("!", text, "end other work on this machine, or use --thorough; lab selftest says more")]
    return [("ok", text, "")]


class NeverStop:
    """A stop flag that is never set."""

    requested = False


def _machine_rows(here: Topology) -> list[tuple[str, str]]:
    from lab.cell.cpus import cgroups, cpulist

    groups = cgroups.cgroups("/")
    allowed = sorted(system.usable_cpus())
    quotas = ", ".join(f"{level['quota_cpus']:g} CPUs ({level['folder']})" for level in groups["quotas"]) or "none"
    load = system.load()
    return [
        ("processor", here.model or system.processor() or "the system does not name it"),
        ("host CPUs", f"{len(here.online)} ({cpulist.render(here.online)})"),
        ("CPUs here", f"{len(allowed)} ({cpulist.render(allowed)}): what this process may use"),
        ("cgroup version", str(groups["version"] or "none found")),
        ("quota here", quotas),
        ("load", _words_of(load)),
    ]


def _words_of(load: float | None) -> str:
    if load is None:
        return f"{system.NAME} does not count it"
    return f"on average {load:.2f} processes wanted a CPU in the last minute"


def _maps(here: Topology, docker: Machine | None) -> list[str]:
    """The map of this machine, and of the engine's machine if it differs. CPUs in parentheses share a core."""
    from lab.reports.tables import machine_map

    lines = ["This machine: " + machine_map.draw_map(here)[0], *machine_map.draw_map(here)[1:]]
    if not system.HAS_AFFINITY:
        lines.append(f"  {system.NAME} does not say which CPUs share a core or a cache: each is drawn as a core")
    elif not here.smt:
        lines.append("  no SMT siblings seen: every CPU is a core, or a hypervisor hides it")
    engine_topology = docker.topology if docker else None
    if engine_topology and (engine_topology.cpus, engine_topology.model) != (here.cpus, here.model):
        first, *others = machine_map.draw_map(engine_topology)
        lines += ["The engine's machine: " + first, *others]
    return lines


def _pythons(discovery: Discovery) -> list[tuple[str, str, str]]:
    """(build, path, why it is refused) of each interpreter of this machine.

    The first interpreter of a build is the one that is taken. Programs that only have the name of a Python come last.
    """
    rows = [(python.build.name, python.path, python.problem or _debug(python)) for python in discovery.interpreters]
    rows += [
        (", ".join(build.name for build in program.builds) or "?", program.path, program.reason)
        for program in discovery.broken
    ]
    return rows or [("none", "", "")]


def _debug(python: Interpreter) -> str:
    return "a debug build (Py_DEBUG): its times do not compare" if python.answer.debug else ""


def _engine_rows(docker: Machine | None) -> list[tuple[str, str]]:
    from lab.cell.cpus import cpulist

    if docker is None:
        return [("engine", "none that can run a cell")]
    details, python = docker.details, docker.python
    return [
        ("engine", f"{docker.engine_label} (API {details['api_version']}) on {details['engine_name']}"),
        ("engine's CPUs", f"{len(docker.cpus)} ({cpulist.render(docker.cpus)}): what a container may use"),
        ("engine's cgroup", f"version {details['cgroup_version']}"),
        ("image", f"{docker.image}: {python['implementation']} {python['release']}"),
    ]


def _abilities(docker: Machine | None, error: LabError | None) -> list[_Advice]:
    """The advice for each way to run a cell."""
    advice = []
    if docker:
        advice.append(("ok", "cells in containers, with a CPU set that the engine sets and the inside proves", ""))
        if docker.no_quota:
            advice.append(("no", f"cells with a quota: {docker.no_quota}", _fix_for_limits(docker)))
    else:
        why, fix = (error.what, error.fix) if error else ("there is no engine", "")
        advice.append(("no", f"cells in containers: {why}", fix or "start an engine"))
    if why := system.why_not_local():
        advice.append(("no", f"cells as local processes: {why}", "run the cells in containers"))
    else:
        advice.append(("ok", "cells as local processes, pinned by affinity (no quota, no isolation)", ""))
    advice.append(slurm())
    have = len(docker.cpus) if docker else len(system.usable_cpus())
    for size in (2, 4):
        if have < size:
            fix = (
                f"run on a machine with {size} CPUs, or give the engine's virtual machine more; all else can be judged"
            )
            advice.append(("no", f"claims about {size} CPUs: there are {have}", fix))
        else:
            advice.append(("ok", f"claims about {size} CPUs", ""))
    return advice


def slurm() -> _Advice:
    """The advice on cells as steps of Slurm: whether one answers, and whether it can pin them."""
    from lab.engines import slurm_programs

    try:
        site = slurm_programs.read_site()
    except LabError as error:
        return "no", f"cells as steps of Slurm: {error.what}", error.fix
    if not site.partitions:
        return "no", f"cells as steps of Slurm {site.version}: no partition is up", "look at: sinfo --summarize"
    where = f"Slurm {site.version} (partitions that are up: {', '.join(site.partitions)})"
    if not site.pins:
        fix = "ask the site for TaskPlugin=task/affinity; without it every cell is tainted"
        return "!", f"cells as steps of {where}: it pins no step to CPUs, as it has no task/affinity", fix
    return "ok", f"cells as steps of {where}, pinned by its task/affinity", ""


def _fix_for_limits(docker: Machine) -> str:
    from lab.containers import engine_faults

    version = str(docker.details["cgroup_version"])
    return engine_faults.fix({"CgroupVersion": version}, refuses=version == "2")


def _fix_for_warning(docker: Machine | None, text: str) -> str:
    """What to do about a warning of the engine. A cell needs only the limits of its CPUs."""
    is_about_cpus = any(word in text.lower() for word in ("cpuset", "cpu cfs"))
    return _fix_for_limits(docker) if docker and is_about_cpus else "nothing: no cell needs it"


def _disturbances(here: Topology, docker: Machine | None) -> list[_Advice]:
    """The advice on what would make a measurement wrong or noisy here."""
    advice = [
        (
            "!",
            f"{name} has the import name of multicore-lab: each overwrites files of the other",
            "install multicore-lab in a virtual environment of its own",
        )
        for name in release.namesakes()
    ]
    load = system.load() or 0.0
    if load > 0.5:
        advice.append(("!", f"the machine is busy (load {load:.2f})", "end other work; or use --thorough"))
    if here.isolated:
        fix = "name other CPUs; or boot without isolcpus, or leave the CPU set that is not balanced"
        advice.append(("!", "isolated CPUs keep every thread of a cell on one CPU, which fakes the GIL's effect", fix))
    if len(here.kinds) > 1:
        advice.append(
            ("!", "cores of different kinds: speed-ups over them have no single unit", "use --cpus within one kind")
        )
    if here.smt:
        advice.append(
            (
                "!",
                "SMT siblings share a core: two of them deliver less than two CPUs",
                "see the machine's capacity in the cores table",
            )
        )
    if docker:
        advice += [
            ("!", f"the engine warns: {text}", _fix_for_warning(docker, text))
            for text in docker.details["engine_warnings"]
        ]
    if system.HAS_AFFINITY and not Path("/proc/self/schedstat").exists():
        advice.append(
            (
                "!",
                "the kernel keeps no run delay: some disturbed rounds cannot be recognised",
                "boot a kernel with CONFIG_SCHED_INFO",
            )
        )
    return advice or [("ok", "nothing here is known to disturb a measurement", "")]
