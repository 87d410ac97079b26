"""The options that several commands have, and what these commands print alike."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from lab.model.fail_on import FailurePolicy
    from lab.model.session import Session


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """Add `--format` with every format of a report. Their names come from a listing of files, and none is imported."""
    from lab import reports

    formats = reports.format_names()
    parser.add_argument(
        "--format",
        choices=formats,
        metavar="FORMAT",
        default="screen",
        help=f"what to print: {', '.join(formats)} (default: screen)",
    )
    parser.add_argument(
        "--full", action="store_const", dest="format", const="table", help="print all tables: --format table"
    )


def print_report(session: Session, form: str) -> None:
    """Print a session in one of the formats: in UTF-8, or as wide as the terminal and in the colours that it shows."""
    from lab import reports
    from lab.messages import columns, show, show_document
    from lab.text import colours

    text = reports.render(session, form, columns())
    if form not in _FOR_TERMINALS:
        show_document(text)
    elif shows_colours():
        show(colours.painted(text), end="", painted=True)
    else:
        show(text, end="")


def shows_colours() -> bool:
    """Whether standard output is a terminal with colours, and the user has not refused them (https://no-color.org)."""
    import os
    import sys

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def tell_exit(session: Session, policy: FailurePolicy, *, lost: str | None = None) -> int:
    """Say why the exit code is not 0, as the last message. Returns the exit code.

    ``lost`` says what of the session is missing or could not be stored: that is never a success. Raises UsageError
    where the user expects a verdict that the session does not have.
    """
    from lab.judging.exit_code import exit_code, exit_reason, unjudged
    from lab.messages import ended

    code = exit_code(session, policy)
    if lost and code in (0, 1):
        return ended(3, lost)
    missing = unjudged(session, policy) if code in (0, 1) else []
    if missing:
        judged = ", ".join(dict.fromkeys(judgement.cell for judgement in session.judgements))
        raise UsageError(f"--expect names {missing[0]}, which was not judged; the cells are {judged or 'none'}")
    return ended(code, exit_reason(session, policy))


#: The formats for a terminal: in its encoding, and with coloured verdicts.
_FOR_TERMINALS = ("screen", "table", "transcript")


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what to run and where."""
    which = "the experiments to run, files of your own such as ./waiting.py, or all (default: all but the extra ones)"
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=which)
    add_cell_options(parser)


def add_cell_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say in which cells, on which engine and on which builds to run."""
    add_limit_options(parser)
    parser.add_argument(
        "--jobs",
        default="auto",
        metavar="N",
        help="how many cells run at the same time, each on its own cores: a number or auto (default)",
    )
    parser.add_argument(
        "--python",
        action="append",
        type=located,
        metavar="BUILD",
        help="a Python to run on, such as 3.9, 3.13t, 3.13t+gil, /path/to/python or all; repeat it for several",
    )


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say under which limits and on which engine to run."""
    parser.add_argument(
        "--cpus",
        metavar="LIST",
        help="sizes (default: 1,2,4,all; with --quota: the quota alone), or CPU ids: 0-3,8 or ids:3",
    )
    parser.add_argument(
        "--smt",
        action="store_true",
        help="use every thread of a core before the next core (default: a core for each CPU)",
    )
    parser.add_argument(
        "--quota",
        metavar="LIST",
        help="quotas in CPUs, such as 0.5,1.5 (CPU time per second); 'none' means no quota (docker)",
    )
    parser.add_argument("--engine", choices=("auto", "docker", "local", "slurm"), default="auto", help="default: auto")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="run on the engine of another machine: a Docker context, ssh://USER@HOST or tcp://HOST:PORT (with --engine"
        " slurm: a node); repeat it to run on several at the same time",
    )
    parser.add_argument(
        "--send-image",
        action="store_true",
        help="send the image from the engine of this machine to each host that lacks it (default: the host pulls it)",
    )
    parser.add_argument("--image", help="the image of the cells, with Python 3.9 or later (docker, slurm)")
    add_label_option(parser)
    add_allocation_options(parser)


def add_allocation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is asked of a batch system, in the words of Slurm."""
    group = parser.add_argument_group("slurm", "what salloc is asked for; inside an allocation nothing is")
    group.add_argument("--partition", default="", metavar="NAME", help="a queue of the site (default: the site's)")
    group.add_argument("--nodes", type=int, default=1, metavar="N", help="how many nodes run it at the same time")
    group.add_argument("--nodelist", default="", metavar="NODES", help="the nodes to take, such as n[1-2]")
    group.add_argument("--constraint", default="", metavar="FEATURES", help="what the node must have, as sinfo has it")
    group.add_argument("--account", default="", metavar="NAME", help="the account that pays")
    group.add_argument("--time", default="", metavar="TIME", help="the most time: minutes, or hours:minutes:seconds")


def add_label_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names whose session it is."""
    parser.add_argument(
        "--label", metavar="NAME", help="whose session it is, in every table and report (default: LAB_LABEL, or nobody)"
    )


def located(build: str) -> str:
    """The builds as they were written, each path made absolute, because the session keeps it.

    Raises UsageError where a path begins with the home folder of an unknown user.
    """
    from lab.model import build as builds
    from lab.pythons import discovery

    def whole(part: str) -> str:
        is_path = "/" in part and not part.endswith("/")  # such a part is refused later, with a better message
        return str(discovery.located(part)) if is_path else part

    return ",".join(map(whole, builds.split_names(build))) if "/" in build else build


def add_failure_options(parser: argparse.ArgumentParser, *, asked_for: bool = False) -> None:
    """Add the options that say which verdicts are a failure.

    With ``asked_for`` no verdict is a failure unless one of the options is given.
    """
    from lab.model.fail_on import FailOn

    usual = "exit with 1 for a surprise (default); for a refuted or inconclusive verdict too; or never"
    asked = (
        "exit as run does: with 1 for a surprise; for a refuted or inconclusive verdict too; or never (default: with 0)"
    )
    parser.add_argument(
        "--fail-on",
        choices=[choice.value for choice in FailOn],
        default=None if asked_for else FailOn.SURPRISE.value,
        help=asked if asked_for else usual,
    )
    parser.add_argument(
        "--strict", action="store_true", help="an inconclusive verdict is a failure too, whatever --fail-on says"
    )
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="CLAIM=VERDICT",
        help="of this claim only another decisive verdict is a failure, whatever --fail-on says; CLAIM@CELL names one"
        " cell; repeat it for several",
    )


def add_yes_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--yes``, for commands that run what a stored session names."""
    parser.add_argument("--yes", action="store_true", help="run the session's programs and code without asking")


def confirm_code(arguments: Mapping[str, Any], session: Path, *, yes: bool) -> None:
    """Show which programs and code a stored session is about to run. Ask, unless this machine knows them, or ``yes``.

    ``session`` is its folder.

    Raises UsageError where the answer is not yes, and where nobody can be asked.
    """
    import sys

    from lab.messages import tell
    from lab.running.foreign_code import foreign_code, unknown_programs

    programs, code = unknown_programs(arguments), foreign_code(arguments, session)
    if programs:
        tell(f"the session names programs that are not among the Pythons of this machine: {', '.join(programs)}")
    if code:
        tell(f"the session runs {'; '.join(code)}")
    if yes or not (programs or code):
        return
    both = ", ".join((*programs, *code))
    look = "look at it, then give --yes to run it"
    if programs:
        look = "look at these programs, then give --yes to run them; lab doctor lists the Pythons of this machine"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"the session would run {both}, and there is no terminal to ask on", look)
    tell("Run that with your rights? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError(f"nothing was run, because {both} may not be run", look)


def failure_policy(options: argparse.Namespace) -> FailurePolicy:
    """What is a failure: a surprise, where the options say nothing else.

    Raises UsageError where the options contradict each other, or expect a verdict of what is no claim.
    """
    from lab.model.fail_on import FailOn, FailurePolicy

    if options.strict and options.fail_on == FailOn.NEVER:
        raise UsageError("--strict and --fail-on never contradict each other; leave one of them out")
    expected: Mapping[str, str] = {}
    if options.expect:
        from lab.planning.expected import parse_expected

        expected = parse_expected(options.expect, claim_ids())
    return FailurePolicy(FailOn(options.fail_on or FailOn.SURPRISE), options.strict, expected)


def claim_ids() -> dict[str, list[str]]:
    """The name of each experiment -> the ids of its claims."""
    from lab.cell import experiments

    known = [name for name in experiments.in_order() if name not in experiments.broken()]
    return {name: [claim.id for claim in experiments.load(name).claims] for name in known}


def add_level_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how precisely to measure."""
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--quick", dest="level", action="store_const", const="quick", help="measure less, judge less")
    level.add_argument("--thorough", dest="level", action="store_const", const="thorough", help="measure more")
    parser.add_argument(
        "--time-limit", type=float, metavar="S", help="most seconds of measuring, for each experiment in each cell"
    )
    parser.add_argument(
        "--width",
        type=float,
        metavar="SHARE",
        help="half-width of an interval, as a share of its value, at which measuring stops sooner",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the seed of the random order (default: a new seed)")
    parser.set_defaults(level="default")
