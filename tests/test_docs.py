"""The documentation: what it names is there, and what is there it names."""

from __future__ import annotations

import re

import pytest

from lab import cli
from lab.cell import experiments
from tests.support.paths import ROOT
from tests.support.terminal import Lab

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
}

every_page = pytest.mark.parametrize("page", PAGES)


@pytest.mark.parametrize("name", cli._names())
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`lab {name}" in PAGES["README.md"]


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_is_in_the_readme(name: str) -> None:
    listed = rf"^{name}$" if name in experiments.usual() else rf"^\| `{name}` \|"
    assert re.search(listed, PAGES["README.md"], re.MULTILINE)


@every_page
def test_a_page_that_is_linked_to_is_there(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", PAGES[page])
    here = [one for one in targets if "://" not in one]
    assert [one for one in here if not (ROOT / page).parent.joinpath(one).exists()] == []


@every_page
def test_a_benchmark_that_prints_a_figure_is_there(page: str) -> None:
    assert [one for one in re.findall(r"benchmarks/\w+\.py", PAGES[page]) if not (ROOT / one).exists()] == []


def test_every_option_that_a_page_gives_a_command_is_one_of_its_options(lab: Lab) -> None:
    options = {name: set(re.findall(r"--[a-z][a-z-]*", lab(name, "--help")[1])) for name in cli._names()}
    unknown = [
        f"{page}: lab {name} {option}"
        for page, text in PAGES.items()
        for name, rest in re.findall(r"\blab ([a-z][a-z-]*)((?: [^`|\n]*)?)", text)
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", re.split(r"[;#>]| lab ", rest)[0])
        if name in options and option not in options[name]
    ]
    assert unknown == []


def test_the_page_of_expectations_is_what_the_command_prints(lab: Lab) -> None:
    """``lab explain --all > docs/expected.md`` makes it anew."""
    assert PAGES["docs/expected.md"] == lab("explain", "--all")[1]
