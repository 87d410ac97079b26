"""The gallery: reports of runs that were kept with the tests, and plans for machines that nobody has at hand."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import cli, reports
from lab.sessions import loading
from tests.support.machines import Machine, build, cores, machine
from website import markdown
from website.repository import ROOT

_FOLDER = "gallery"


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run whose report is shown."""

    #: The folder in ``tests/data/stored`` that has its session; also the name of its report.
    name: str
    #: What is special about it, as a heading.
    title: str


_RUNS = (
    _Run(name="docker", title="Containers on a machine with 2 CPUs"),
    _Run(name="local", title="The same machine without an engine"),
    _Run(name="quota", title="A quota instead of a CPU set"),
    _Run(name="builds", title="Three Pythons, one of them without a GIL"),
    _Run(name="extra", title="Extra experiments"),
    _Run(name="predicted", title="A student's predictions"),
)

_MACHINES: dict[str, Machine] = {
    "A laptop with two kinds of cores": machine(
        cores(6, 2, unit="cpu_core"), cores(8, first=12, unit="cpu_atom", number=6)
    ),
    "A server with two sockets": machine(
        cores(16, 2, apart=32),
        cores(16, 2, first=16, apart=32, package=1, node=1, cache=1),
    ),
    "A phone": machine(
        cores(3, capacity=290, midr="0x410fd460"),
        cores(4, first=3, capacity=760, midr="0x410fd470"),
        cores(1, first=7, capacity=1024, midr="0x410fd4e0"),
    ),
}


def pages() -> dict[str, str]:
    """Return the gallery's page, and the report of each run as a file of HTML."""
    files: dict[str, str] = {}
    measured: list[str] = []
    for run in _RUNS:
        session = loading.load_session(next((ROOT / "tests" / "data" / "stored" / run.name).iterdir()))
        files[f"{_FOLDER}/{run.name}.html"] = reports.render(session, "html")
        measured += [
            f"### {run.title}",
            markdown.fenced(reports.render(session, "screen")),
            f"[The whole report of this run, with charts]({run.name}.html)",
        ]
    page = markdown.page(
        "# Gallery",
        "Reports under unlike limits, on unlike Pythons and machines. This page is made whenever the site is built.",
        "## Measured",
        "Each of these runs really happened, on a shared machine with 2 CPUs. Its session is in `tests/data/stored`.",
        *measured,
        "## Planned only",
        "Nothing was measured on these machines. Their topology is described by hand, as the kernel would show it in "
        "`/sys`, and `lab plan --topology` says which CPUs the cells of a run would get there.",
        *_plans(),
    )
    return {f"{_FOLDER}/index.md": page, **files}


def _plans() -> Iterator[str]:
    """What ``lab plan`` says of each machine that is only described."""
    for title, described in _MACHINES.items():
        with tempfile.TemporaryDirectory() as folder:
            build(described, Path(folder))
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                cli.main(["plan", "--topology", folder])
        yield f"### {title}"
        yield markdown.fenced(printed.getvalue().replace(folder, "DIR"))
