"""The documentation: what it names is there, and what is there it names."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lab import cli
from lab.cell import experiments
from lab.cell.claims.recorder import Recorder
from tests import test_layers
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
    local_targets = [target for target in targets if "://" not in target]
    assert [target for target in local_targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_a_heading_that_is_linked_to_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", PAGES[page])
    paths = [(ROOT / page).parent.joinpath(target) if target else ROOT / page for target, _ in links]
    missing = [
        anchor for path, (_, anchor) in zip(paths, links, strict=True) if anchor not in anchors(path.read_text("utf-8"))
    ]
    assert missing == []


#: A path in the repository. ``NAME`` and ``NOUN`` stand for a file that a contributor makes.
PATH = re.compile(r"(?<![\w/.:-])(?:lab|tests|docs|docker|benchmarks)/[\w./-]*\w")
#: A module of the lab, or something in it.
DOTTED = re.compile(r"(?<![\w/.-])lab(?:\.[A-Za-z_]\w*)+")
#: The changelog names these because they are gone.
FORMER_MODULES = {"lab.worker.service"}


def is_there(dotted: str) -> bool:
    """Whether a dotted name is a module of the lab, or a name inside a module."""
    module, _, attribute = dotted.rpartition(".")
    try:
        return importlib.import_module(dotted) is not None
    except ModuleNotFoundError:
        return bool(module) and is_there(module) and hasattr(importlib.import_module(module), attribute)


@every_page
def test_a_path_that_a_page_names_is_there(page: str) -> None:
    paths = [re.sub(r"/(NAME|NOUN)\.\w+$", "", path) for path in PATH.findall(PAGES[page])]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@every_page
def test_a_module_that_a_page_names_is_there(page: str) -> None:
    names = set(DOTTED.findall(PAGES[page])) - FORMER_MODULES
    assert [name for name in sorted(names) if not is_there(name)] == []


@pytest.mark.parametrize("name", ["lab.worker.service", "lab.cell.no_such_name", "lab.effective_cpu"])
def test_a_name_that_is_gone_is_found(name: str) -> None:
    assert not is_there(name)


def test_the_picture_of_the_packages_shows_the_rows_that_are_enforced() -> None:
    shown = re.findall(r'\["(\d): ([^"]*)"\]', PAGES["docs/design.md"])
    rows = {str(number): ", ".join(row) for number, row in enumerate(test_layers.ROWS, start=1)}
    assert dict(shown) == rows


def test_the_glossary_is_what_the_command_prints(lab: Lab) -> None:
    assert lab("explain", "glossary", "--markdown")[1] == PAGES["docs/glossary.md"]
    assert max(map(len, lab("explain", "glossary")[1].splitlines())) <= 80


@every_page
def test_a_page_has_a_place_in_the_navigation_of_the_site(page: str) -> None:
    assert f": {page}\n" in (ROOT / "mkdocs.yml").read_text("utf-8")


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) < 250


def test_contributing_is_short() -> None:
    assert len(PAGES["CONTRIBUTING.md"].splitlines()) < 150


def test_the_experiment_in_contributing_runs(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    source = PAGES["CONTRIBUTING.md"].partition("```python\n")[2].partition("```")[0]
    exec(compile(source, "CONTRIBUTING.md", "exec"), names)
    experiment = names["EXPERIMENT"]
    with (tmp_path / "records").open("w+b", buffering=0) as file:
        experiment.run(Recorder(file.fileno(), seconds=1, width=0.05))
        file.seek(0)
        messages = [json.loads(line) for line in file]
    assert [message["kind"] for message in messages] == ["event", "observation"]
    assert [claim.id.partition(".")[0] for claim in experiment.claims] == [experiment.name]


@every_page
def test_a_benchmark_that_prints_a_figure_is_there(page: str) -> None:
    scripts = re.findall(r"benchmarks/\w+\.py", PAGES[page])
    assert [script for script in scripts if not (ROOT / script).exists()] == []


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
    """``lab explain --all > docs/expected.md`` makes the page again."""
    assert PAGES["docs/expected.md"] == lab("explain", "--all")[1]
