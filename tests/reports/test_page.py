"""The page: what is in the file, and what a real browser makes of it."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from lab import reports
from lab.model.session import Session
from lab.reports.formats import html
from lab.reports.tables import machine_map
from tests.support import scripts
from tests.support.machines import simulated

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SESSION = scripts.drawn()

#: No word of it may come out as anything but text.
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' $x$ {{ 7 * 7 }} \x1b[31m"


@pytest.fixture(scope="module")
def text() -> str:
    """The page of a session that has something for every part of it."""
    return reports.render(SESSION, "html")


def test_the_page_says_first_what_surprised_what_is_refuted_and_what_to_do(text: str) -> None:
    surprised = scripts.every_kind()["surprise"]
    page = reports.render(surprised, "html")
    surprise = page.index("threads do not speed up CPU-bound Python code")
    assert page.index("Surprises<") < surprise < page.index('id="charts"')
    assert "Try threads before processes" in page
    assert "expected: confirmed" in page
    assert text.index("Refuted claims, and what to do") < text.index("only get() or an error_callback")
    assert text.index("pass an error_callback: otherwise") < text.index('id="charts"')


def test_a_page_of_one_run_stays_below_a_megabyte(text: str) -> None:
    assert len(text.encode()) < 1_000_000


def test_a_page_asks_for_nothing_outside_of_itself(text: str) -> None:
    for link in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert link.startswith(("#", "data:")), link
    assert not re.search(r"url\((?!#)|@import|srcset|<iframe|<object", text)
    assert "default-src 'none'" in text


def test_every_claim_is_there_with_its_evidence_and_its_proof(text: str) -> None:
    for judgement in SESSION.judgements:
        assert f'id="claim-{judgement.claim.replace(".", "-")}"' in text
    assert text.count('data-verdict="') == 2 * len(SESSION.judgements)
    assert "asked for 0-1, inside saw 0-1; the same before and after." in text


def test_the_map_is_that_of_the_topology_where_the_session_has_one() -> None:
    topology = dataclasses.replace(simulated(4, threads=2, nodes=2, per_cache=2), model="A processor & more")
    machine = dataclasses.replace(scripts.machine(8), topology=topology)
    page = reports.render(scripts.session(scripts.ran(2, {"pipe": scripts.pipe()}, cpus=8), machine=machine), "html")
    (drawn,) = re.findall(r'<pre class="topology">(.*?)</pre>', page, re.DOTALL)
    assert drawn.splitlines() == ["A processor &amp; more", *machine_map.draw_map(topology)]
    assert "package 0, node 1, L3: (2,6) (3,7)" in drawn
    cores = re.findall(r'<span class="core">(.*?)</span></span>', page)
    assert [re.findall(r">(\d+)<", core + "<") for core in cores] == [["0", "4"], ["1", "5"], ["2", "6"], ["3", "7"]]
    assert "4 cores have several CPUs" in page


def test_without_a_topology_the_map_is_made_of_what_the_cells_saw(text: str) -> None:
    assert '<pre class="topology">' not in text
    assert text.count('<span class="core">') == 2 * len(SESSION.results)


def test_what_is_to_be_saved_is_the_session(text: str) -> None:
    (packed,) = re.findall(r'download="scripted\.zip" href="data:application/zip;base64,([^"]+)"', text)
    names = zipfile.ZipFile(io.BytesIO(base64.b64decode(packed))).namelist()
    assert names == ["session.json", "cpu1.jsonl", "cpu2.jsonl"]


def test_of_a_session_with_too_many_records_the_page_says_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_RECORDS", 10)
    page = reports.render(SESSION, "html")
    assert "records are too many for this page" in page
    assert "application/zip" not in page


def test_what_a_session_says_is_text_wherever_it_stands() -> None:
    raw = scripts.stream(
        "cpu2",
        (0, 1),
        {"queue": [scripts.tell(HOSTILE, 0.001, thread=HOSTILE), scripts.observe("delivered in order", HOSTILE)]},
        python=scripts.python() | {"release": HOSTILE, "kernel": HOSTILE},
        failed={"queue": HOSTILE},
    )
    machine = dataclasses.replace(scripts.machine(), image=HOSTILE, details={"engine_version": HOSTILE})
    result = scripts.result(scripts.cell(2), raw)
    session = scripts.session(result, experiments=("queue",), machine=machine, notes=(HOSTILE,))
    session = dataclasses.replace(session, id=HOSTILE, arguments={HOSTILE: HOSTILE}, lab_version=HOSTILE)
    page = reports.render(session, "html")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("<script>") == 1
    assert "{{ 7 * 7 }}" in page


@dataclass(kw_only=True)
class Seen:
    """A page in a browser, and whatever it complained about or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def file(text: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser: Browser, file: str, request: pytest.FixtureRequest) -> Iterator[Seen]:
    """The page, opened as the test's parameter says: arguments of a browser's context."""
    options: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}} | getattr(request, "param", {})
    context = browser.new_context(**options)
    seen = Seen(page=context.new_page())
    seen.page.on("console", lambda message: seen.complaints.append(message.text) if message.type == "error" else None)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on(
        "request", lambda request: seen.requests.append(request.url) if not request.url.startswith("data:") else None
    )
    seen.page.goto(file)
    yield seen
    assert seen.complaints == []
    assert seen.requests == [file]
    context.close()


DARK = {"color_scheme": "dark"}
PHONE = {"viewport": {"width": 360, "height": 740}}
NO_SCRIPT = {"java_script_enabled": False}

everywhere = pytest.mark.parametrize(
    "opened", [{}, DARK, PHONE, PHONE | DARK], ids=["light", "dark", "phone", "dark phone"], indirect=True
)


@pytest.mark.browser
@everywhere
def test_the_charts_have_their_marks_and_nothing_is_asked_for(opened: Seen) -> None:
    figures = opened.page.locator("figure")
    assert figures.count() == 7
    for number in range(figures.count()):
        shown = figures.nth(number).locator("svg:visible")
        assert shown.count() == 1
        assert shown.locator(".mark").count() >= 4
    assert opened.page.locator("#chart-speed-up svg:visible .mark").count() == 8


@pytest.mark.browser
@everywhere
def test_nothing_is_wider_than_the_screen(opened: Seen) -> None:
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    width = opened.page.evaluate("document.documentElement.scrollWidth")
    assert width <= opened.page.evaluate("innerWidth")


@pytest.mark.browser
@everywhere
def test_nothing_keeps_people_out(opened: Seen) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    violations = Axe().run(opened.page).response["violations"]
    assert not violations, [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]][:3]) for violation in violations
    ]


@pytest.mark.browser
def test_the_filter_shows_what_was_asked_for(opened: Seen) -> None:
    from playwright.sync_api import expect

    page = opened.page
    claims = page.locator("details.judged")
    count = claims.count()
    assert page.locator("output").inner_text() == f"{count} of {count} claims"
    page.select_option("[name=verdict]", "refuted")
    shown = page.locator("details.judged:visible code").all_inner_texts()
    assert "pool.errors-surface" in shown
    assert "pool.explicit-size" not in shown
    page.select_option("[name=experiment]", "gil")
    assert page.locator("details.judged:visible code").all_inner_texts() == ["gil.always-one-core"]
    page.select_option("[name=cell]", "cpu1")
    assert claims.locator("visible=true").count() == 0
    page.click("button[type=reset]")
    expect(claims.locator("visible=true")).to_have_count(count, timeout=30_000)
    page.fill("[name=text]", "MANAGER queue")
    assert claims.locator("visible=true").count() == 0
    page.fill("[name=text]", "exception parent")
    assert page.locator("details.judged:visible code").all_inner_texts() == ["pool.errors-surface"]


@pytest.mark.browser
def test_a_link_to_a_claim_opens_it_also_when_the_filter_hides_it(opened: Seen) -> None:
    page = opened.page
    page.select_option("[name=verdict]", "confirmed")
    page.click("#lessons a[href='#claim-pool-errors-surface']")
    page.wait_for_selector("#claim-pool-errors-surface[open]:visible")
    assert page.evaluate("document.activeElement.closest('details').id") == "claim-pool-errors-surface"


@pytest.mark.browser
def test_the_keyboard_reaches_everything_in_the_order_of_the_page(opened: Seen) -> None:
    page = opened.page
    wanted = page.evaluate(
        "[...document.querySelectorAll('a, summary, input, select, button, .scroll')]"
        ".filter(one => one.checkVisibility({contentVisibilityAuto: true})).length"
    )
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = 1
    previous = page.evaluate_handle("document.activeElement")
    while True:
        page.keyboard.press("Tab")
        here = page.evaluate_handle("document.activeElement")
        if page.evaluate("one => one === document.body", here) or reached > wanted:
            break
        later = page.evaluate("([a, b]) => !!(a.compareDocumentPosition(b) & 4)", [previous, here])
        assert later, "the focus went backwards"
        reached, previous = reached + 1, here
    assert reached == wanted
    page.locator("details.judged summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.judged").first.get_attribute("open") is not None


@pytest.mark.browser
@pytest.mark.parametrize("opened", [NO_SCRIPT], ids=["no JavaScript"], indirect=True)
def test_without_javascript_everything_but_the_filter_is_there(opened: Seen) -> None:
    page = opened.page
    assert page.locator("#filter").is_hidden()
    assert page.locator("figure svg:visible").count() == 7
    page.locator("#claim-pool-errors-surface summary").click()
    assert page.locator("#claim-pool-errors-surface td.long").first.is_visible()
    with page.expect_download() as saved:
        page.click("a[download='scripted.zip']")
    assert zipfile.is_zipfile(saved.value.path())


@pytest.mark.browser
@pytest.mark.parametrize("opened", [{}, NO_SCRIPT], ids=["with JavaScript", "without"], indirect=True)
def test_on_paper_every_claim_is_unfolded(opened: Seen, tmp_path: Path) -> None:
    opened.page.emulate_media(media="print")
    evidence = opened.page.locator("details.judged .scroll")
    assert evidence.count() == len({judgement.claim for judgement in SESSION.judgements})
    assert all(element.bounding_box() for element in evidence.all())
    opened.page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").stat().st_size > 50_000


@pytest.mark.browser
def test_the_dark_scheme_is_dark_and_the_charts_with_it(browser: Browser, file: str) -> None:
    colours = []
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(file)
        colours.append(
            (
                page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor"),
                page.locator("#chart-speed-up svg.wide text").first.evaluate("one => getComputedStyle(one).fill"),
            )
        )
        context.close()
    (light, light_text), (dark, dark_text) = colours
    assert light == "rgb(255, 255, 255)"
    assert max(map(int, re.findall(r"\d+", dark))) < 50
    assert light_text != dark_text


@pytest.mark.browser
def test_the_page_of_ten_thousand_records_opens_within_two_seconds(browser: Browser, tmp_path: Path) -> None:
    page_file = tmp_path / "large.html"
    session = large(10_000)
    page_file.write_text(reports.render(session, "html"), encoding="utf-8")
    assert page_file.stat().st_size < 1_500_000
    tries: list[float] = []
    while len(tries) < 5 and min(tries, default=2) >= 2:  # a neighbour that has the CPUs is not the page's fault
        page = browser.new_page()
        began = time.monotonic()
        page.goto(page_file.as_uri(), wait_until="load")
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")  # it has been drawn
        tries.append(time.monotonic() - began)
        page.close()
    assert min(tries) < 2, tries


def large(records: int) -> Session:
    """The session with its stories and rounds so many times over."""
    messages = {
        name: [
            message
            for message in (
                *scripts.story((1, "a", 0), (2, "b", 1)),
                *(scripts.switching() if name == "switching" else ()),
            )
            for _ in range(records // 24)
        ]
        for name in ("pool", "queue", "threads", "switching")
    }
    cells = [scripts.ran(size, messages) for size in (1, 2)]
    assert sum(len(cell.records) for cell in cells) >= records
    return scripts.session(*cells, experiments=tuple(messages))
