"""Reports of ``lab exec``: what each format shows. Each screen is a golden file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest

from lab import reports
from lab.reports.formats.screen import most_lines
from tests.reports.test_schema import check
from tests.support.own_programs import every_kind

Golden = Callable[[str, str], None]

KINDS = every_kind()

every_one = pytest.mark.parametrize("name", KINDS)


@every_one
def test_a_screen_is_as_reviewed(name: str, golden: Golden) -> None:
    golden(f"exec-{name}.txt", reports.render(KINDS[name], "screen"))


@pytest.mark.parametrize("width", [80, 66, 60, 40])
@every_one
def test_a_screen_fits(name: str, width: int) -> None:
    lines = reports.render(KINDS[name], "screen", width).splitlines()
    assert len(lines) <= most_lines(width)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("form", reports.format_names())
@every_one
def test_every_format_takes_it(name: str, form: str) -> None:
    assert reports.render(KINDS[name], form)


@every_one
def test_the_document_is_as_the_schema_says_and_what_is_missing_is_null(name: str) -> None:
    programs = check(reports.render(KINDS[name], "json"))["programs"]
    assert programs
    for program in programs:
        assert program["peak_memory_bytes"] != 0
    assert (programs[0]["most_processes"] is None) == (name in ("unknown", "failing"))


def test_hyperfines_form_has_its_words() -> None:
    results = json.loads(reports.render(KINDS["several"], "hyperfine"))["results"]
    assert [result["parameters"] for result in results] == [
        {"n": n, "limit": limit} for n in ("1", "2") for limit in ("1 CPU", "2 CPUs")
    ]
    for result in results:
        assert result["min"] <= result["median"] <= result["max"]
        assert len(result["times"]) == len(result["exit_codes"]) == len(result["memory_usage_byte"]) == 10
        assert result["command"].startswith("make -j")
    in_containers = json.loads(reports.render(KINDS["counted"], "hyperfine"))["results"]
    assert in_containers[0]["memory_usage_byte"] == [50_000_000] * 10
    assert json.loads(reports.render(KINDS["one-run"], "hyperfine"))["results"][0]["stddev"] is None


def test_a_row_of_csv_has_a_number() -> None:
    rows = [*csv.DictReader(io.StringIO(reports.render(KINDS["faster"], "csv")))]
    assert len(rows) == len(KINDS["faster"].quantities)
    assert {row["number"] for row in rows} >= {"wall time", "CPU time", "speed-up", "peak memory"}


def test_a_summary_says_first_what_failed() -> None:
    assert reports.render(KINDS["failing"], "summary").startswith("## multicore-lab: a command failed\n")
    assert reports.render(KINDS["faster"], "summary").startswith("## multicore-lab: every run ended well\n")
