"""Cells and Pythons in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab import reports
from lab.model.cell import Cell, CellResult, Limit
from lab.reports import charts
from lab.reports.charts import drawing, handovers
from lab.text import names
from tests.support import scripts

TWO = Cell(id="cpu2", limit=Limit(cpus=2), size=2, cpus=(0, 1))
QUOTA = replace(TWO, id="cpu2-q1.5", limit=Limit(cpus=2, quota_cpus=1.5))
ALL = replace(QUOTA, limit=Limit(cpus=2, is_all=True, quota_cpus=1.5))
ALONE = replace(QUOTA, id="q1.5", limit=Limit(quota_cpus=1.5), pinned=False)
LACKING = Cell(id="cpu4", limit=Limit(cpus=4), size=4, reason="needs 4 CPUs")
FREE = replace(TWO, id="3.13t-cpu2", build="3.13t")
THERE = replace(FREE, machine="machine 1")


@pytest.mark.parametrize(
    ("cell", "limit", "asked", "full"),
    [
        pytest.param(TWO, "2 CPUs", "2 CPUs", "2 CPUs (0-1)", id="CPUs"),
        pytest.param(replace(TWO, limit=Limit(cpus=1), size=1, cpus=(3,)), "1 CPU", "1 CPU", "1 CPU (3)", id="one CPU"),
        pytest.param(QUOTA, "2 CPUs, quota 1.5", "2 CPUs, quota 1.5", "2 CPUs (0-1), quota 1.5", id="both"),
        pytest.param(ALL, "2 CPUs, quota 1.5", "2 = all, quota 1.5", "2 CPUs (0-1), quota 1.5", id="all there are"),
        pytest.param(ALONE, "quota 1.5", "quota 1.5", "quota 1.5", id="a quota alone"),
        pytest.param(LACKING, "4 CPUs", "4 CPUs", "4 CPUs", id="not there"),
        pytest.param(FREE, "2 CPUs", "2 CPUs", "Python 3.13t, 2 CPUs (0-1)", id="a build"),
        pytest.param(
            THERE, "2 CPUs", "2 CPUs, machine 1", "Python 3.13t, 2 CPUs (0-1), machine 1", id="one of several machines"
        ),
    ],
)
def test_a_cell_in_words(cell: Cell, limit: str, asked: str, full: str) -> None:
    assert names.limit_words(cell) == limit
    assert names.asked_words(cell) == asked
    assert names.full_words(cell) == full


def test_a_python_in_words() -> None:
    assert names.python_words(scripts.python()) == "CPython 3.13.5 with the GIL"
    assert names.python_words(scripts.python(), short=True) == "CPython 3.13.5"
    assert names.python_words(scripts.python(gil=False), short=True) == "CPython 3.13.5 without the GIL"
    assert names.python_words({}) == ""


def under(quota: float | None) -> CellResult:
    """A cell of two CPUs in which hand-overs were measured, with and without a quota."""
    result = scripts.ran(2, {"switching": scripts.switching(), "gil": scripts.gil(2)})
    return result if quota is None else replace(result, cell=QUOTA)


def test_two_cells_that_differ_in_their_quota_have_a_panel_each() -> None:
    session = scripts.session(under(None), under(1.5), experiments=("switching", "gil"))
    (chart,) = handovers.charts(session)
    assert [panel.title for panel in chart.panels] == ["CPython 3.13.5, 2 CPUs", "CPython 3.13.5, 2 CPUs, quota 1.5"]
    svg = drawing.elements(chart)[0]
    assert svg.count("CPython 3.13.5, 2 CPUs, quota 1.5<") == 1


def test_two_builds_that_are_called_alike_have_a_panel_each() -> None:
    session = scripts.session(under(None), replace(under(None), cell=replace(TWO, id="other")), experiments=("gil",))
    assert len(handovers.charts(session)[0].panels) == 2


def test_a_transcript_says_which_build_and_quota_a_story_is_of() -> None:
    result = scripts.ran(2, {"pipe": scripts.pipe()})
    session = scripts.session(result, replace(result, cell=replace(FREE, limit=Limit(cpus=2, quota_cpus=1.5))))
    heads = [line for line in reports.render(session, "transcript").splitlines() if line.startswith("pipe")]
    assert heads == ["pipe, with 2 CPUs (0-1)", "pipe, with Python 3.13t, 2 CPUs (0-1), quota 1.5"]


def test_one_cpu_is_no_plural_in_a_chart() -> None:
    session = scripts.session(scripts.ran(1, {"gil": scripts.gil(1)}), experiments=("gil",))
    (chart,) = charts.charts(session)
    assert "threads, 1 CPU: " in drawing.elements(chart)[0]
    assert "1 CPUs" not in drawing.elements(chart)[0]
