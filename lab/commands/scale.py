"""``lab scale``: which executor, and how many workers, for a function of the user's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _hosts, _measuring, _options, _requests, _resume, _submit
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.cell.targets.case import Case
    from lab.planning.request import Request

HELP = "measure your own function: which executor, how many workers, and why"
EXAMPLE = """\
examples:
  lab scale work.py:parse                      a function without arguments
  lab scale package.module:parse --cpus 1,2    in cells of 1 and 2 CPUs
  lab scale work.py                            all bench_* and time_* of a file
  lab scale -s 'import json' 'json.loads("1")' a statement, as timeit has it
  lab scale work.py:parse --setup make         make() makes the argument
  lab scale work.py:parse --param n=10,1000    parse(n=10), then parse(n=1000)
  lab scale work.py:parse --python 3.13 --python 3.13t
  lab scale work.py:parse --image myapp:latest in an image that has its packages
  lab scale work.py:parse --host big --host arm  on two other machines at once
  lab scale --resume                           the missing cells of a killed run

Each function is called by one worker alone, and by threads, by processes of
each start method and by interpreters, in turn. The last lines advise which of
them to take.

exit codes: 0 it was measured; 2 the target, or a function of its file, cannot
  be measured; 3 a cell or the engine failed; 130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "target",
        nargs="*",
        metavar="TARGET",
        help="module:function, file.py:function, file.py, or, with -s, a statement",
    )
    parser.add_argument("-s", dest="statement_setup", metavar="SETUP", help="code that runs once before the statement")
    parser.add_argument(
        "--setup",
        default="",
        metavar="FACTORY",
        help="module:function, or a function beside the target, that makes the argument",
    )
    parser.add_argument(
        "--state",
        choices=("shared", "own", "both"),
        default="both",
        help="whether threads share the argument, or each has its own, as each process and each interpreter always has"
        " (default: both)",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="a parameter and its values, such as n=1000,10000; repeat it for several",
    )
    parser.add_argument(
        "--project",
        type=Path,
        metavar="DIR",
        help="the folder that is importable in the cells (default: the current folder)",
    )
    parser.add_argument(
        "--items",
        default="",
        metavar="ITERABLE",
        help="module:iterable, or one beside the target: measure the time of the whole list through each executor",
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="OTHER",
        help="another folder, revision of git, virtual environment, Python or image: both take turns in each round",
    )
    parser.add_argument("--chunk", default="", metavar="SIZES", help="with --items: how many travel at a time, as 1,10")
    _options.add_cell_options(parser)
    _options.add_format_option(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the session in a folder below DIR")
    _options.add_level_options(parser)
    _resume.add_resume_options(parser)
    _submit.add_submit_option(parser)


@_resume.passing_over
def run(options: argparse.Namespace) -> int:
    """Look the target up, measure it, advise; return the exit code."""
    from lab.model.fail_on import FailOn, FailurePolicy

    policy = FailurePolicy(FailOn.NEVER)
    if options.submit:
        return _submit.run(options, new_request)
    if _hosts.are_several(options):
        return _hosts.run(options, new_request, policy)
    request, start = _measuring.new_or_resumed(options, configure, "target", new_request)
    return _measuring.measure_and_report(options, request, start, policy)


def new_request(options: argparse.Namespace) -> Request:
    """The request of the command line. Raises UsageError."""
    return _requests.scale_request(options, *_target(options))


def _target(options: argparse.Namespace) -> tuple[Case, Path, str]:
    """The target that the options name, and the folder of its project. Raises UsageError for a missing file."""
    from lab.planning.targets import parse_chunks, parse_target
    from lab.running.own_code import compared, located

    is_statement = options.statement_setup is not None
    setup = options.statement_setup if is_statement else options.setup
    case = parse_target(options.target, setup, options.state, is_statement=is_statement)
    case = case._replace(items=options.items, chunks=parse_chunks(options.chunk))
    if is_statement and options.items:
        raise UsageError("--items goes with a function, not with a statement", "name a function: file.py:function")
    if is_statement and options.setup:
        raise UsageError("--setup makes the argument of a function, and a statement takes none", "give its setup to -s")
    case, project = located(case, options.project)
    if not options.against:
        return case, project, ""
    case, other = compared(case, options.against, options.engine, project)
    return case, project, other
