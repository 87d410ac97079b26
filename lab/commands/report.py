"""``lab report``: show a stored session as a page, in the terminal, or as files of its charts."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _options
from lab.errors import MissingExtraError, StoreError, UsageError
from lab.messages import columns, show, show_document

if TYPE_CHECKING:
    from lab.model.session import Session
    from lab.reports.charts import Chart

HELP = "show a stored session as a page with charts, in the terminal, or as PNG and SVG files of its charts"
EXAMPLE = """\
examples:
  lab report                            write report.html into the folder of
                                        the newest session
  lab report DIR --output page.html     write the page of another session;
                                        - is standard output
  lab report --terminal                 print all tables and charts here
  lab report --png charts --svg charts  write the charts into a folder
  lab report DIR --fail-on surprise     also exit as lab run would have (CI)

exit codes: 0 reported; 2 the folder is not a session, or the file cannot be
  written there; 3 a library is missing, or the system refuses to read or write.
  With --fail-on or --strict also: 1 a verdict that they name; 3 a cell failed;
  130 the session was interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "session", nargs="?", type=Path, metavar="SESSION", help="the folder of a session, or a folder of sessions"
    )
    parser.add_argument("--output", metavar="FILE", help="the page to write (default: report.html in the session)")
    parser.add_argument("--terminal", action="store_true", help="print all tables and charts here instead")
    parser.add_argument("--png", type=Path, metavar="DIR", help="write each chart into DIR as PNG instead")
    parser.add_argument("--svg", type=Path, metavar="DIR", help="write each chart into DIR as SVG instead")
    _options.add_failure_options(parser, asked_for=True)


def run(options: argparse.Namespace) -> int:
    """Read the session, judge it again, report it, and return the exit code."""
    from lab import reports
    from lab.sessions import loading
    from lab.sessions.folder import default_folder

    policy = _options.failure_policy(options)
    if options.output == "":
        raise UsageError("--output is empty; name a file, or - for standard output")
    folder = loading.find_session(options.session or default_folder())
    elsewhere = options.terminal or options.png or options.svg
    page = None if elsewhere and not options.output else options.output or str(folder / "report.html")
    if page and page != "-":
        check_output(Path(page))
    with (
        loading.making_sense_of(folder),
        loading.uncollected(),
    ):  # the charts' cycles take a few megabytes, and the process ends soon
        session = loading.load_session(folder)
        if page:
            _publish(reports.render(session, "html"), page)
        if options.terminal:
            show(_for_terminal(session), end="", painted=True)
        if options.png or options.svg:
            _write_charts(session, options.png, options.svg)
    if options.fail_on or options.strict or options.expect:
        return _options.tell_exit(session, policy)
    return 0


def check_output(path: Path) -> None:
    """Raise UsageError or StoreError if the file cannot be written, before anything is judged or drawn."""
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder; name a file, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}; make it, or name another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise StoreError(f"cannot write {path}: Permission denied; name another file with --output")


def _publish(text: str, page: str) -> None:
    if page == "-":
        show_document(text)
    else:
        _write(Path(page), text.encode("utf-8", "replace"))
        show(page)


def _write(path: Path, content: bytes) -> None:
    from lab.sessions.files import replace_file

    try:
        replace_file(path, content)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; name another folder") from error


def _for_terminal(session: Session) -> str:
    import textwrap

    from lab import reports
    from lab.reports.charts import charts, terminal

    width = columns()
    colour = _options.shows_colours()
    parts = [reports.render(session, "screen", width), terminal.findings(session, (), width)]
    parts.append(reports.render(session, "table", width))
    try:
        parts += [terminal.text(chart, width, colour=colour) for chart in charts(session)]
    except MissingExtraError as error:  # everything but the charts is there
        parts.append(textwrap.fill(str(error), width, break_on_hyphens=False, break_long_words=False) + "\n")
    return "\n".join(parts)


def _write_charts(session: Session, png: Path | None, svg: Path | None) -> None:
    from lab.reports.charts import charts, drawing, needs

    drawable = charts(session)
    if not drawable:
        raise UsageError(f"this session has nothing to draw; charts exist for {', '.join(needs())}")
    outputs: list[tuple[Path | None, str, Callable[[Chart], bytes]]] = [
        (png, "png", drawing.png),
        (svg, "svg", drawing.svg),
    ]
    for folder, suffix, draw in outputs:
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder {folder}: {error.strerror}; name another one") from error
        for chart in drawable:
            _write(folder / f"{chart.name}.{suffix}", draw(chart))
            show(f"{folder / chart.name}.{suffix}")
