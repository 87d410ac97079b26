"""Functions of other projects, run unchanged, beside what is published of their threads.

    python benchmarks/real_targets.py [--on local:3.11] [--on docker:3.13t] [--only NAME,NAME] [--packages DIR]

pip installs the packages into a folder that is removed afterwards (or uses the wheels in DIR). ``lab scale`` measures
each function there on two CPUs. A published statement says that two threads *take turns*, or that they *work in
parallel*. The lab agrees if the whole interval of their speed-up is on that side of the smallest speed-up that shows a
second CPU, 1.25; it contradicts if the whole interval is on the other side. Functions without a wheel for a build are
left out.

What a disturbed machine left without a number is measured again, until the minutes are over. Exit code 1: the lab
contradicts a published statement. Both builds together take 3 minutes on an idle machine.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

import lab
from lab.cell.claims.estimates import Estimate
from lab.cell.targets.causes import SECOND_CPU
from lab.errors import UsageError
from lab.running.scaling import Scaling

TURNS, PARALLEL = "take turns", "work in parallel"
INPUTS = Path(__file__).with_name("inputs.py")


class Statement(NamedTuple):
    """What a project, or its users, have published on a function and its threads."""

    #: The name in the table.
    name: str
    #: What pip installs; empty: it is in the standard library.
    requirement: str
    #: The target, as ``lab scale`` takes it.
    target: str
    #: ``take turns`` or ``work in parallel``, with the GIL; empty: nothing is published.
    with_gil: str
    #: The same without the GIL.
    without_gil: str
    #: Where it is published.
    source: str
    #: The function of the inputs that makes the argument; empty: none.
    setup: str = ""
    #: Other arguments.
    arguments: tuple[tuple[str, Any], ...] = ()


_GIL = "https://docs.python.org/3/library/threading.html"
_FREE = "https://docs.python.org/3/howto/free-threading-python.html"
_LXML = "https://lxml.de/FAQ.html#can-i-use-threads-to-concurrently-access-the-lxml-api"
_JITER = "https://github.com/pydantic/jiter/pull/165"

STATEMENTS = (
    Statement("orjson.loads", "orjson", "orjson:loads", TURNS, "", "https://github.com/ijl/orjson", "json_bytes"),
    Statement(
        "regex, search",
        "regex",
        "inputs:REGEX.search",
        PARALLEL,
        PARALLEL,
        "https://github.com/mrabarnett/mrab-regex",
        "text",
    ),
    Statement(
        "re, search",
        "",
        "inputs:STANDARD.search",
        TURNS,
        PARALLEL,
        f"https://github.com/python/cpython/issues/42625, {_FREE}",
        "text",
    ),
    Statement("lxml.etree.fromstring", "lxml", "lxml.etree:fromstring", PARALLEL, "", _LXML, "xml_bytes"),
    Statement(
        "numpy.sort",
        "numpy",
        "numpy:sort",
        PARALLEL,
        PARALLEL,
        "https://numpy.org/doc/stable/reference/thread_safety.html",
        "numbers",
    ),
    Statement(
        "jiter, with its cache", "jiter<0.16", "jiter:from_json", TURNS, TURNS, f"{_GIL}, {_JITER}", "json_bytes"
    ),
    Statement(
        "jiter, no cache",
        "jiter<0.16",
        "jiter:from_json",
        TURNS,
        PARALLEL,
        f"{_GIL}, {_JITER}",
        "json_bytes",
        (("cache_mode", "none"),),
    ),
    Statement(
        "markdown-it-py, render",
        "markdown-it-py",
        "inputs:MARKDOWN.render",
        TURNS,
        PARALLEL,
        f"{_GIL}, {_FREE}",
        "markdown_text",
    ),
    Statement(
        "pyperformance, nqueens",
        "pyperformance",
        "pyperformance/data-files/benchmarks/bm_nqueens/run_benchmark.py:bench_n_queens",
        TURNS,
        PARALLEL,
        f"{_GIL}, {_FREE}",
        "",
        (("queen_count", 6),),
    ),
)


class Row(NamedTuple):
    """A statement on a build, and what the lab says."""

    #: The statement.
    statement: Statement
    #: The engine and the build: ``docker:3.13t``.
    where: str
    #: What was measured; ``None``: nothing.
    scaling: Scaling | None
    #: Why nothing was measured.
    reason: str = ""

    @property
    def published(self) -> str:
        """What the statement says of this build."""
        return self.statement.without_gil if self.where.endswith("t") else self.statement.with_gil

    def speed_up(self, *workers: str) -> Estimate | None:
        """The best speed-up of these workers."""
        rows = self.scaling.rows if self.scaling else ()
        known = [row.speed_up for row in rows if row.workers in workers and row.speed_up]
        return max(known, key=lambda each: each.value, default=None)

    @property
    def threads(self) -> Estimate | None:
        """The speed-up of two threads that share the argument."""
        return self.speed_up("2 threads")

    @property
    def agreement(self) -> str:
        """``yes``, ``no``, or ``?`` where the interval is on neither side."""
        if not self.threads or not self.threads.outside(SECOND_CPU, SECOND_CPU):
            return "?"
        return "yes" if (self.threads.low > SECOND_CPU) == (self.published == PARALLEL) else "no"


def main() -> int:
    from benchmarks.passes import until_measured

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", action="append", metavar="ENGINE:BUILD", help="default: local:3.11 and docker:3.13t")
    parser.add_argument("--only", default="", metavar="NAMES", help="only these functions, separated by commas")
    parser.add_argument("--packages", type=Path, metavar="DIR", help="a folder of wheels, where no index is reached")
    parser.add_argument("--level", default="default", choices=("quick", "default", "thorough"))
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="after so many nothing is measured again (default: 8)"
    )
    options = parser.parse_args()
    chosen = [each for each in STATEMENTS if not options.only or each.name in options.only.split(",")]
    pairs = [(where, each) for where in options.on or ["local:3.11", "docker:3.13t"] for each in chosen]
    rows = until_measured(
        [pair for pair in pairs if Row(pair[1], pair[0], None).published],
        lambda pair: measured(*pair, options),
        lambda row: row.threads is None and not row.reason,
        options.minutes,
    )
    print(table(rows))
    contradicted = [f"{row.statement.name} on {row.where}" for row in rows if row.agreement == "no"]
    print(f"contradicted: {', '.join(contradicted) or 'none'}")
    return 1 if contradicted else 0


def measured(where: str, statement: Statement, options: argparse.Namespace) -> Row:
    """What the lab says of a function on a build."""
    engine, _, build = where.partition(":")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of the cells reads it
        shutil.copy(INPUTS, folder)
        row = Row(statement, where, None, install(statement.requirement, build, folder, options.packages))
        if not row.reason:
            row = scaled(row, engine, build, folder, options.level)
    print(f"{statement.name} on {where}: {shown(row.threads)} {row.agreement} {row.reason}", file=sys.stderr)
    return row


def install(requirement: str, build: str, folder: Path, packages: Path | None) -> str:
    """Install a package for a build into a folder. Returns why that failed; empty: it did not."""
    if not requirement:
        return ""
    version, abi = build.rstrip("t"), "t" if build.endswith("t") else ""
    machine = platform.machine()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "--only-binary", ":all:"]
    command += ["--python-version", version, "--implementation", "cp", "--abi", f"cp{version.replace('.', '')}{abi}"]
    command += [] if abi else ["--abi", "abi3"]
    command += ["--abi", "none"]
    for platform_tag in (f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in range(17, 37))):
        command += ["--platform", platform_tag]
    command += ["--no-index", "--find-links", str(packages)] if packages else []
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False, timeout=300)
    return f"no wheel for {build}" if done.returncode else ""


def scaled(row: Row, engine: str, build: str, folder: Path, level: str) -> Row:
    """The row with what the lab measured."""
    statement = row.statement
    is_file = ".py:" in statement.target
    try:
        scaling = lab.scale(
            f"{folder}/{statement.target}" if is_file else statement.target,
            setup=f"inputs:{statement.setup}" if statement.setup else "",
            params={name: [value] for name, value in statement.arguments},
            cpus="2",
            python=[build],
            engine=engine,
            project=folder,
            level=level,
        )
    except UsageError as error:
        return row._replace(reason=str(error))
    return row._replace(scaling=scaling)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = ("function", "on", "published: threads", "2 threads", "2 processes", "agrees?", "advice", "source")
    lines = [
        (
            row.statement.name,
            row.where,
            row.published,
            shown(row.threads) if not row.reason else row.reason,
            shown(row.speed_up("2 processes (fork)")),
            row.agreement,
            advice(row.scaling),
            row.statement.source,
        )
        for row in rows
    ]
    return tabulate(lines, head, tablefmt="github", disable_numparse=True)


def advice(scaling: Scaling | None) -> str:
    if scaling is None or scaling.executor is None:
        return "?"
    return "a plain loop" if scaling.executor == "none" else f"{scaling.workers} {scaling.executor}"


def shown(speed_up: Estimate | None) -> str:
    return f"{speed_up.value:.2f} ({speed_up.low:.2f}-{speed_up.high:.2f})" if speed_up else "?"


if __name__ == "__main__":
    sys.exit(main())
