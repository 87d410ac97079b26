"""Charts: their data from a session, as SVG, as PNG and in a terminal."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

import pytest

from lab.reports import tables
from lab.reports.charts import Chart, charts, drawing, needs, terminal
from lab.reports.charts.chart import INK
from lab.sessions import merging
from tests.support import scripts

SESSION = scripts.drawn()
CHARTS = {chart.name: chart for chart in charts(SESSION)}

every_chart = pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)


def marks(svg: str) -> list[str]:
    """The titles of a drawing's marks."""
    space = {"s": "http://www.w3.org/2000/svg"}
    root = ElementTree.fromstring(svg)
    return [mark.findtext("s:title", "", space) for mark in root.iterfind(".//s:g[@class='mark']", space)]


def test_a_session_with_everything_has_every_chart() -> None:
    assert list(CHARTS) == [
        "speed-up",
        "timeline-pool",
        "timeline-queue",
        "timeline-threads",
        "hand-overs",
        "race-atlas-1",
        "race-atlas-2",
    ]


@pytest.mark.parametrize("name", ["nothing ran", "no cell", "tainted"])
def test_a_session_with_nothing_to_draw_has_no_chart(name: str) -> None:
    assert charts(scripts.every_kind()[name]) == ()


def test_a_cell_whose_limit_was_not_real_is_not_drawn() -> None:
    tainted = charts(scripts.drawn(end=scripts.proof((0,))))
    assert {row[2] for row in tainted[0].table.rows} == {"1 CPU"}


def test_there_is_a_mark_for_each_speed_up_with_its_interval() -> None:
    svg = drawing.elements(CHARTS["speed-up"])[0]
    assert len(marks(svg)) == len(CHARTS["speed-up"].table.rows) == 8
    assert any(re.match(r"threads, 2 CPUs: 1\.0\d \(\S+ to \S+\)", tip) for tip in marks(svg))


def test_several_builds_have_a_panel_each() -> None:
    free = scripts.ran(2, {"gil": scripts.gil(2, threads=1.9)}, python=scripts.python((3, 14, 0), gil=False))
    both = scripts.session(scripts.ran(2, {"gil": scripts.gil(2)}), free, experiments=("gil",))
    (chart,) = charts(both)
    svg = drawing.elements(chart)[0]
    assert "CPython 3.13.5<" in svg
    assert "CPython 3.14.0 without the GIL<" in svg
    assert len(chart.panels) == 2


def test_each_machine_has_a_panel_of_its_own() -> None:
    sessions = []
    for number, threads in enumerate((1.0, 2.0), 1):
        machine = dataclasses.replace(scripts.TWO_CPUS, host_cpus=tuple(range(2 * number)))
        result = scripts.ran(2, {"gil": scripts.gil(2, threads=threads)})
        session = scripts.session(result, experiments=("gil",), machine=machine)
        sessions.append(dataclasses.replace(session, id=str(number)))
    (chart,) = charts(merging.join(sessions))
    assert [panel.title for panel in chart.panels] == ["CPython 3.13.5, machine 1", "CPython 3.13.5, machine 2"]
    threads_of = {row[0]: round(float(row[3])) for row in chart.table.rows if row[1] == "threads"}
    assert threads_of == {"CPython 3.13.5, machine 1": 1, "CPython 3.13.5, machine 2": 2}
    assert "machine 2<" in drawing.elements(chart)[0]


def test_options_of_a_build_make_another_line() -> None:
    python = scripts.python((3, 14, 0))
    pythons = {"3.14": python, "3.14+cpu_count=3": {**python, "options": {"cpu_count": "3"}}}
    (chart,) = charts(scripts.on_builds(pythons, (2,), {"gil": scripts.gil(2)}))
    assert [panel.title for panel in chart.panels] == list(pythons)


def test_a_name_with_letters_that_the_font_lacks_is_drawn() -> None:
    (chart,) = charts(scripts.on_builds({"\u975e\n\x00": scripts.python()}, (2,), {"gil": scripts.gil(2)}))
    assert [panel.title for panel in chart.panels] == ["\u975e \u2400"]
    assert "\u975e \u2400<" in drawing.elements(chart)[0]
    assert drawing.png(chart)


def test_what_lasted_is_a_bar_and_a_moment_is_a_dot() -> None:
    tips = marks(drawing.elements(CHARTS["timeline-pool"])[0])
    assert len(tips) == 2 * 3  # where a task begins, its bar does
    assert "30.0 ms, process 1, CPU 0: task 0 ends" in tips
    rows = CHARTS["timeline-pool"].table.rows
    assert [row[2] for row in rows if row[6] == "task 0 ends"] == ["20.0", "20.0"]


def test_a_record_without_a_start_is_drawn_as_a_moment() -> None:
    assert all(row[2] == "" for row in CHARTS["timeline-threads"].table.rows)


def test_of_a_very_long_story_the_beginning_is_drawn() -> None:
    lanes = [(number, "MainThread", 0) for number in range(500)]
    session = scripts.session(scripts.ran(1, {"queue": scripts.story(*lanes)}), experiments=("queue",))
    (chart,) = charts(session)
    assert 10 < len(marks(drawing.elements(chart)[0])) <= 60
    assert chart.height[0] < 700


def test_hand_overs_lie_where_they_were_measured() -> None:
    tips = marks(drawing.elements(CHARTS["hand-overs"])[0])
    at_five = [tip for tip in tips if tip.startswith("at 5 ms")]
    assert at_five
    for tip in at_five:
        low, high = map(float, re.findall(r"took (\S+) to (\S+) ms", tip)[0])
        assert 4.5 < low <= high < 6.5


def test_the_atlas_leaves_out_what_it_cannot_read() -> None:
    broken = [scripts.observe("atlas", 7), scripts.observe("atlas", {"statement": "x", "made": "many"})]
    session = scripts.session(scripts.ran(1, {"race-atlas": [*scripts.atlas(), *broken]}), experiments=("race-atlas",))
    (chart,) = charts(session)
    assert len(chart.table.rows) == len(marks(drawing.elements(chart)[0])) == 4


@every_chart
@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
def test_a_drawing_for_a_page_speaks_and_takes_the_pages_colours(chart: Chart, narrow: bool) -> None:
    svg = drawing.elements(chart)[narrow]
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(str(name).startswith(chart.name) for name in ids)
    assert {f"#{name}" for name in ids} >= set(re.findall(r'href="(#[^"]+)"', svg))
    assert chart.description in "".join(root.itertext())
    assert "font-family" not in svg
    assert not re.search(rf"(?<!, ){INK}", svg), "a colour that the dark scheme cannot change"


@pytest.mark.slow
@every_chart
def test_a_chart_is_drawn_the_same_each_time(chart: Chart) -> None:
    assert drawing.svg(chart) == drawing.svg(chart)
    assert drawing.png(chart) == drawing.png(chart)


@every_chart
def test_an_svg_file_needs_no_page(chart: Chart) -> None:
    svg = drawing.svg(chart).decode()
    assert "var(" not in svg
    assert ElementTree.fromstring(svg).get("width")


@every_chart
def test_a_png_is_one(chart: Chart) -> None:
    png = drawing.png(chart)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(png[16:20]) == 2 * drawing.WIDE


@every_chart
@pytest.mark.parametrize("width", [1, 40, 80, 300])
def test_a_chart_in_a_terminal_is_no_wider_than_it(chart: Chart, width: int) -> None:
    text = terminal.text(chart, width, colour=False)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= max(width, terminal.NARROWEST)
    assert len(text.splitlines()) > 5


def test_colour_in_a_terminal_is_there_where_it_is_wanted() -> None:
    assert "\x1b[" in terminal.text(CHARTS["speed-up"], 80, colour=True)


def test_findings_in_a_terminal_say_what_to_do() -> None:
    session = scripts.every_kind()["old"]
    text = terminal.findings(session, tables.headline(session).lines, 40)
    assert "Pool(len(os.sched_getaffinity(0)))" in text.replace("\n", "")
    assert max(map(len, text.splitlines())) <= 40


def test_what_a_session_says_can_neither_break_a_drawing_nor_reach_the_terminal() -> None:
    hostile = "</script><b>$\\frac{x}$ \x1b[31m \x00 ]]>"
    events = [scripts.tell(hostile, 0.001, thread=hostile), scripts.tell(hostile, 0.002)]
    session = scripts.session(scripts.ran(1, {"queue": [*events, *events]}), experiments=("queue",))
    (chart,) = charts(session)
    assert "<b>" not in drawing.elements(chart)[0]
    assert "\x1b" not in terminal.text(chart, 80, colour=False)
    assert drawing.png(chart)


ALONE = {
    "gil": scripts.gil(2),
    "pool": scripts.story((11, "MainThread", 0)),
    "queue": scripts.story((21, "MainThread", 0)),
    "threads": scripts.story((31, "counter", 1)),
    "switching": scripts.switching(),
    "race-atlas": scripts.atlas(),
}


def test_every_experiment_that_a_chart_needs_is_drawn_alone() -> None:
    assert needs() == tuple(ALONE)
    for name, messages in ALONE.items():
        assert charts(scripts.session(scripts.ran(2, {name: messages}), experiments=(name,))), name
