"""``lab merge``: join several sessions, for a matrix of jobs that each measured one limit or one build."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.commands import _options
from lab.errors import UsageError
from lab.messages import kept, tell

HELP = "join sessions of several limits, builds or machines in one summary"
EXAMPLE = """\
examples:
  lab merge DIR…                             print one table of all sessions
  lab merge DIR --format markdown            join every session below DIR
  lab merge DIR… --output DIR --format json  keep the result as a session too

exit codes: 0 no surprise; 1 a surprise, or a verdict that --fail-on or --strict
  names; 2 a folder is not a session, or two sessions have the same cell; 3 a
  cell failed, or the disk cannot be written; 130 a session was interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "sessions", nargs="+", type=Path, metavar="SESSION", help="sessions' folders, or folders that hold several"
    )
    _options.add_format_option(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the joined session in a folder below DIR")
    _options.add_failure_options(parser)


def run(options: argparse.Namespace) -> int:
    """Join the sessions, store and print the result, and return the exit code."""
    from lab import reports
    from lab.sessions import keeping, loading, merging

    reports.check_libraries(options.format)
    policy = _options.failure_policy(options)
    folders = dict.fromkeys(folder.resolve() for path in options.sessions for folder in _session_folders(path))
    where = ""
    with loading.making_sense_of(*folders):
        session = merging.join([loading.load_session(folder) for folder in folders])
        if options.output:
            where = f"session kept in {keeping.keep(options.output, session)}"
            tell(where)
        with kept(where):
            _options.print_report(session, options.format)
    return _options.tell_exit(session, policy)


def _session_folders(path: Path) -> list[Path]:
    """Every session below the folder, such as those of hosts, else the folder itself."""
    from lab.sessions import loading

    below = loading.folders(path) if path.is_dir() else []
    if path.is_dir() and not below and not (path / "session.json").exists():
        raise UsageError(f"there is no session in {path}; name the folders of sessions, or a folder that holds some")
    return below or [loading.find_session(path)]
