"""``lab merge``: several sessions as one, for a matrix of jobs that measured a limit or a build each."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _options
from lab.errors import UsageError
from lab.messages import tell

if TYPE_CHECKING:
    from lab.model.session import Session

HELP = "join sessions of several limits, builds or machines into one summary"
EXAMPLE = """\
examples:
  lab merge DIR…                             one table of them all
  lab merge DIR --format markdown            every session below DIR, for a page
  lab merge DIR… --output DIR --format json  kept as a session too

exit codes: 0 no surprise; 1 a surprise, or what --fail-on or --strict names;
  2 not sessions, or a cell that is in two of them; 3 a cell failed, or nothing
  can be written; 130 one of them was interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from lab import reports

    parser.add_argument(
        "sessions", nargs="+", type=Path, metavar="SESSION", help="sessions' folders, or folders that hold several"
    )
    parser.add_argument(
        "--format", choices=reports.format_names(), default="table", help="what to print (default: table)"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the joined session in a folder below DIR")
    _options.add_gate_options(parser)


def run(options: argparse.Namespace) -> int:
    """Read them, join, store, print; returns the exit code."""
    from lab import reports
    from lab.judging import exit_code
    from lab.sessions import loading, merging

    reports.check_libraries(options.format)
    fail_on = _options.gate(options)
    folders = dict.fromkeys(folder.resolve() for named in options.sessions for folder in _meant(named))
    found = merging.join([loading.load_session(folder) for folder in folders])
    if options.output:
        tell(f"session kept in {_store(options.output, found)}")
    sys.stdout.write(reports.render(found, options.format))
    return exit_code.exit_code(found, fail_on=fail_on, strict=options.strict)


def _meant(named: Path) -> list[Path]:
    from lab.sessions import loading

    below = loading.folders(named) if named.is_dir() and not (named / "session.json").exists() else []
    if named.is_dir() and not below and not (named / "session.json").exists():
        raise UsageError(f"there is no session in {named}; name sessions' folders, or folders that hold some")
    return below or [loading.find_session(named)]


def _store(parent: Path, session: Session) -> Path:
    from lab import reports
    from lab.errors import StoreError
    from lab.sessions import export, manifest
    from lab.sessions.folder import SessionFolder

    with SessionFolder(parent, session.id) as folder:
        for result in session.results:
            if result.records:
                with folder.cell(result.cell.id) as file:
                    file.append(export.lines(result))
        noise = manifest.noise(session.results)
        folder.write_manifest({**manifest.manifest_of(session), "noise": noise, "report": reports.document(session)})
        folder.seal()
        if folder.failure:
            raise StoreError(f"{folder.failure}; name another folder with --output")
    return folder.path
