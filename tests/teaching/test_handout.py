"""Handouts and the course: what students get, and that no answer is among it."""

from __future__ import annotations

import html.parser

import pytest

from lab.cell import experiments
from lab.teaching import handout, primers
from tests.support.terminal import Lab


@pytest.mark.parametrize("name", experiments.in_order())
def test_a_handout_has_the_tasks_and_no_answer(lab: Lab, name: str) -> None:
    code, out, _ = lab("explain", name, "--handout")
    primer = primers.load(name)
    assert primer
    assert code == 0
    for question in primer.questions:
        assert question.ask in out
        assert question.answer not in out
    assert primer.outdated not in out
    assert experiments.load(name).watch not in out
    assert f"lab run {name}" in out
    assert ("| --- |" in out) == bool(primer.predict)


def test_the_course_has_every_usual_experiment_once(lab: Lab) -> None:
    assert sorted(name for meeting in handout.COURSE for name in meeting.names) == sorted(experiments.usual())
    _, out, _ = lab("explain", "--course")
    assert out.count("## Session ") == 3
    assert all(f"`lab explain {name} --answers`" in out for name in experiments.usual())
    assert "lab run process pool manager --predict --full --label YOUR-NAME" in out


class _Text(html.parser.HTMLParser):
    """Collects the text of a page, and the tags that are open at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "hr", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("words", [("--all",), ("glossary",), ("pool.default-size",)])
def test_a_handout_of_something_else_is_refused(lab: Lab, words: tuple[str, ...]) -> None:
    code, _, err = lab("explain", *words, "--handout")
    assert (code, "a handout is about an experiment" in " ".join(err.split())) == (2, True)


@pytest.mark.parametrize("words", [("pool",), ("--course",)])
def test_a_page_to_print_has_the_same_text(lab: Lab, words: tuple[str, ...]) -> None:
    _, out, _ = lab("explain", *words, "--handout", "html")
    page = _Text()
    page.feed(out)
    assert page.open == []
    assert "lab run" in page.text
    assert "\\_" not in page.text
    assert "&nbsp;" not in page.text
