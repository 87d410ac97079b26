"""Primers: every experiment has one, and what it asks for exists; and how ``lab explain`` shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.cell import experiments
from lab.cell.claims.claim import CONFIRMED, REFUTED, Facts
from lab.judging import speedups
from lab.model import build
from lab.teaching import primers
from lab.teaching.primers import Primer
from tests.support.terminal import Lab

every_experiment = pytest.mark.parametrize("name", experiments.names())


def primer(name: str) -> Primer:
    content = primers.load(name)
    assert content, f"lab/teaching/primers/{name}.toml is missing"
    return content


@every_experiment
def test_every_experiment_has_a_primer_with_three_questions_and_sources(name: str) -> None:
    content = primer(name)
    assert len(content.questions) == 3
    assert all("?" in question.ask and question.answer.endswith(".") for question in content.questions)
    assert content.sources
    for text in (content.idea, content.outdated):
        assert 100 < len(text) < 700
        assert text.endswith(".")


@every_experiment
def test_sources_are_documentation_over_https(name: str) -> None:
    hosts = ("docs.python.org", "peps.python.org", "man7.org", "docs.kernel.org", "github.com/python/cpython")
    for source in primer(name).sources:
        assert source.url.startswith(tuple(f"https://{host}/" for host in hosts)), source.url
        assert len(source.url) <= 120
        assert source.title == source.title.strip() != ""


@every_experiment
def test_what_can_be_predicted_is_measured_by_that_experiment(name: str) -> None:
    claims = {claim.id: claim for claim in experiments.load(name).claims}
    for prediction in primer(name).predict:
        kind, _, arm = prediction.of.partition(".")
        assert prediction.ask.endswith("?")
        assert len(prediction.what) <= 20  # a column of a table of 80
        if kind == "cores":
            assert name == "gil"
            assert arm in speedups.ARMS
        else:
            assert prediction.least_cpus >= claims[prediction.of].least_cpus


def test_the_versions_on_which_an_increment_is_said_to_lose_nothing_are_those_on_which_none_is_expected() -> None:
    match = re.search(
        r"on 3\.(\d+) to 3\.(\d+) with the GIL a plain n \+= 1 loses nothing", primer("race-atlas").outdated
    )
    assert match
    first, last = map(int, match.groups())
    assert f"3.{last}" == build.ALL[-1]  # what has been measured
    (claim,) = [claim for claim in experiments.load("race-atlas").claims if claim.id == "race-atlas.augmented-loses"]
    facts = Facts(version=(3, last), gil=True, cpus=2, rate=2.0, host_cpus=2)
    expected = [claim.expected(facts._replace(version=(3, minor))) for minor in range(first - 1, last + 1)]
    assert expected == [CONFIRMED, *[REFUTED] * (last - first + 1)]


def test_no_primer_is_left_over() -> None:
    names = {path.stem for path in Path(primers.__file__).parent.glob("*.toml")}
    assert names == set(experiments.names())


def test_an_experiment_without_a_primer_is_none() -> None:
    assert primers.load("no-such-experiment") is None


@pytest.mark.parametrize(
    ("text", "error"),
    [("idea = 'x'", KeyError), ("idea='x'\noutdated='y'\nquestions=[]\nsources=[]\nmore='z'", TypeError)],
    ids=["a part is missing", "a part too many"],
)
def test_a_primer_has_all_its_parts_and_no_others(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        primers.parse_primer(text)


@every_experiment
def test_explain_shows_the_primer_and_keeps_the_answers_back(lab: Lab, name: str) -> None:
    code, out, err = lab("explain", name)
    assert (code, err) == (0, "")
    flowing = " ".join(out.split())
    content = primer(name)
    for text in (content.idea, *(question.ask for question in content.questions)):
        assert text in flowing
    assert content.outdated not in flowing
    assert "confirmed" not in flowing.partition("What is claimed")[2]
    assert flowing.index("What is claimed") < flowing.index(content.questions[0].ask)
    for question in content.questions:
        assert question.answer not in flowing
    assert f"lab explain {name} --answers" in out
    assert not [line for line in out.splitlines()[1:] if len(line) > 80 and not re.match(r" +https://\S+$", line)]


@every_experiment
def test_explain_with_answers_has_each_answer_under_its_question(lab: Lab, name: str) -> None:
    flowing = " ".join(lab("explain", name, "--answers")[1].split())
    for question in primer(name).questions:
        assert f"{question.ask} → {question.answer}" in flowing
    assert "The answers:" not in flowing


@every_experiment
def test_explain_for_teachers_has_all(lab: Lab, name: str) -> None:
    flowing = " ".join(lab("explain", name, "--teacher")[1].split())
    content = primer(name)
    for text in (content.idea, content.outdated, *(question.answer for question in content.questions)):
        assert text in flowing
    assert "the verdict expected on a host" in flowing


def test_explaining_one_claim_leaves_the_lesson_out(lab: Lab) -> None:
    _, out, _ = lab("explain", "pool.default-size")
    assert "Three questions" not in out
    assert "pool.default-size:" in out
