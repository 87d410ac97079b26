"""``lab exec``: any program, again and again under exact CPU limits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _hosts, _measuring, _options, _requests, _resume, _submit
from lab.errors import UsageError
from lab.system import in_container

if TYPE_CHECKING:
    from lab.cell.programs.program import Program
    from lab.model.room import Room
    from lab.planning.programs import Workload
    from lab.planning.request import Request

HELP = "run any command under CPU limits: its times, cores used, memory and processes"
EXAMPLE = """\
examples:
  lab exec -- pytest -n auto              a test suite with 1, 2, 4 and all CPUs
  lab exec --cpus 1,2 --runs 3 -- make   with 1 and 2 CPUs, three runs of each
  lab exec --shell 'sort big | uniq'     a line for the shell
  lab exec --parameter-list n 1,2,4 -- pytest -n {n}
  lab exec --prepare 'make clean' -- make -j2
  lab exec --against ../main -- make     beside the same in another folder
  lab exec --image app --host big --host arm -- make   on two other machines
  lab exec --resume                      the missing cells of a killed run

The limits take turns, so that a slow moment of the machine meets all of them.

exit codes: 0 it was measured; 1 the command failed; 2 it cannot be run;
  3 a cell or the engine failed; 130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="the command, after -- and as it is")
    parser.add_argument("--name", metavar="NAME", help="what the command is called in tables (default: itself)")
    parser.add_argument("--shell", action="store_true", help="run the command as a line for /bin/sh")
    _add_run_options(parser)
    _add_place_options(parser)
    _options.add_limit_options(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="the seed of the cells' order (default: a new seed)")
    _options.add_format_option(parser)
    parser.add_argument(
        "--session", dest="output", type=Path, metavar="DIR", help="keep the session in a folder below DIR"
    )
    _resume.add_resume_options(parser)
    _submit.add_submit_option(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how often it runs, and what comes before and after. The words are hyperfine's."""
    runs = "how many runs under each limit (default: at least 10, and 3 s)"
    parser.add_argument("--runs", type=int, metavar="N", help=runs)
    parser.add_argument("--warmup", type=int, default=0, metavar="N", help="so many runs of each cell do not count")
    parser.add_argument("--setup", default="", metavar="LINE", help="for the shell, once before the runs of a cell")
    parser.add_argument("--prepare", default="", metavar="LINE", help="for the shell, before each run")
    parser.add_argument("--conclude", default="", metavar="LINE", help="for the shell, after each run")
    parser.add_argument("--cleanup", default="", metavar="LINE", help="for the shell, once after the runs of a cell")
    parser.add_argument(
        "--output",
        dest="destination",
        default="null",
        metavar="WHERE",
        help="where its output goes: null (default), pipe, inherit (to you), or a file",
    )
    parser.add_argument(
        "--ignore-failure",
        nargs="?",
        const="all",
        metavar="CODES",
        help="an exit code other than 0 is no failure; with =1,3 only these",
    )
    parser.add_argument(
        "--deadline", type=float, default=3600.0, metavar="S", help="end a run after so many seconds (default: 3600)"
    )
    parser.add_argument(
        "--parameter-list",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUES"),
        help="{NAME} in the command becomes each of these values: n 1,2,4; repeat it for several",
    )


def _add_place_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say in which surroundings it runs."""
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable; NAME alone: as it is here"
    )
    parser.add_argument("--workdir", default="", metavar="DIR", help="the folder that it starts in")
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        metavar="DIR[:ro]",
        help="a folder that a container sees under the same path (C:\\code under /c/code); :ro: it can only read it",
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="OTHER",
        help="another folder, or a revision of git: the command runs there in turn",
    )
    parser.add_argument(
        "--memory",
        default="",
        metavar="SIZE",
        help="the most memory of a container, such as 500MiB (default: no limit)",
    )
    parser.add_argument("--network", default="", metavar="NAME", help="a network of the engine (default: none)")
    parser.add_argument("--entrypoint", metavar="PROGRAM", help="instead of that of the image; '' means none")


@_resume.passing_over
def run(options: argparse.Namespace) -> int:
    """Look whether the command can be started, run it under each limit, report; return the exit code."""
    from lab.model.fail_on import FailOn, FailurePolicy

    policy = FailurePolicy(FailOn.NEVER)
    if options.submit:
        return _submit.run(options, new_request)
    if _hosts.are_several(options):
        return _hosts.run(options, new_request, policy)
    request, start = _measuring.new_or_resumed(options, configure, "words", new_request)
    return _measuring.measure_and_report(options, request, start, policy)


def new_request(options: argparse.Namespace) -> Request:
    """The request of the command line. Raises UsageError."""
    return _requests.exec_request(options, _workload(options))


def _workload(options: argparse.Namespace) -> Workload:
    """What the options ask to run. Raises UsageError."""
    from lab.planning import programs

    programs.check_runs(options.runs, options.warmup, options.deadline)
    parameters = programs.parse_parameters(options.parameter_list)
    versions = programs.with_parameters(_program(options), parameters)
    if options.against:
        other = _other_folder(options)
        versions = programs.compared(versions, in_container(str(other)), options.against)
        return programs.Workload(programs=versions, runs=options.runs, room=_room(options, other))
    return programs.Workload(programs=versions, runs=options.runs, room=_room(options))


def _other_folder(options: argparse.Namespace) -> Path:
    """The folder of ``--against``. Raises UsageError if it is none, or if a container would not see the user's own."""
    from lab.running.revision import unpacked

    folder = Path(options.against).resolve()
    other = folder if folder.is_dir() else unpacked(options.against, Path(options.workdir))
    if (folder / "pyvenv.cfg").is_file():
        raise UsageError(
            f"--against {options.against} is a virtual environment, and a command runs in a folder",
            "name a folder with another version of the code, or compare commands: --parameter-list python A,B",
        )
    if other is None:
        raise UsageError(
            f"--against {options.against}: there is no such folder, and no such revision of git here",
            "name a folder with another version of the code, or a revision",
        )
    if (options.image or options.mount) and not options.workdir:
        raise UsageError(
            "--against needs --workdir in a container, which says where the command starts otherwise",
            "give both folders: --mount DIR --workdir DIR --against OTHER",
        )
    return other


def _room(options: argparse.Namespace, other: Path | None = None) -> Room:
    """What the containers have; ``other`` is the folder of ``--against``.

    Raises UsageError for a folder that is not there, and for what is no size of memory.
    """
    from lab.model.room import Mount, Room
    from lab.planning.programs import parse_memory

    mounts = []
    for text in options.mount:
        folder, read_only = Path(text.removesuffix(":ro")).resolve(), text.endswith(":ro")
        if not folder.is_dir() and not options.host:  # a host has folders of its own
            raise UsageError(f"--mount {text}: there is no such folder", "name a folder: --mount DIR or --mount DIR:ro")
        mounts.append(Mount(str(folder), read_only))
    if other and mounts:
        mounts.append(Mount(str(other), mounts[0].read_only))
    return Room(
        mounts=tuple(mounts),
        network=options.network,
        entrypoint=options.entrypoint,
        memory_bytes=parse_memory(options.memory) if options.memory else None,
    )


def _program(options: argparse.Namespace) -> Program:
    """The program, before its parameters have values. Raises UsageError."""
    from lab.cell.programs.program import Program
    from lab.planning import programs

    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words or not words[0].strip():
        raise UsageError("there is no command", "write it at the end: lab exec --cpus 1,2 -- COMMAND")
    program = Program(
        label="",
        words=(" ".join(words),) if options.shell else tuple(words),
        by_shell=options.shell,
        environment=_environment(options.env),
        folder=options.workdir and in_container(str(Path(options.workdir))),
        output=options.destination,
        setup=options.setup,
        prepare=options.prepare,
        conclude=options.conclude,
        cleanup=options.cleanup,
        warmup=options.warmup,
        deadline_seconds=options.deadline,
        ignored_codes=programs.parse_codes(options.ignore_failure),
    )
    return program._replace(label=programs.name_of(options.name or program.command))


def _environment(texts: list[str]) -> dict[str, str]:
    """The variables of ``--env``. Raises UsageError for one that has neither a value nor is set here."""
    import os

    variables = {}
    for text in texts:
        name, has_value, value = text.partition("=")
        if not name or (not has_value and name not in os.environ):
            raise UsageError(f"--env {text}: there is no variable of that name here", "give a value: --env NAME=VALUE")
        variables[name] = value if has_value else os.environ[name]
    return variables
