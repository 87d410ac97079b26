"""The screen: what a default run prints. Each kind of session is a golden file, to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab import reports
from lab.cell.experiments import race
from lab.model.cell import Cell
from lab.model.session import Session
from lab.reports.formats.screen import MOST_LINES, most_lines
from lab.reports.tables.answers import answers
from lab.sessions import loading
from lab.text import colours
from tests.support import scripts
from tests.support.paths import ROOT

Golden = Callable[[str, str], None]

THREE = ("pool", "pipe", "gil")
OLD = scripts.python((3, 11, 7))


def with_choice(session: Session) -> Session:
    """The session where nobody named a Python, and others were there too."""
    choice = {"why": "the lab's default", "others": ["3.9", "3.11", "3.13t"]}
    details = {**session.machine.details, "python_choice": choice}
    return replace(session, machine=replace(session.machine, details=details))


def on_one_cpu() -> Session:
    machine = scripts.machine(1)
    messages = {**scripts.everything(1), "pool": scripts.pool(1, cpu_count=1)}
    return scripts.session(scripts.ran(1, messages, cpus=1), experiments=THREE, machine=machine)


def local() -> Session:
    """Cells of an old Python, pinned by their workers."""
    cells = [
        scripts.ran(size, {**scripts.everything(size), "pool": scripts.pool(2)}, python=OLD, pinned_by="worker")
        for size in (1, 2)
    ]
    return scripts.session(*cells, experiments=THREE, machine=scripts.machine(2, "local"))


def on_builds() -> Session:
    pythons = {f"3.{minor}": scripts.python((3, minor, 0)) for minor in (9, 11, 13, 14)}
    pythons |= {"3.13t": scripts.python(gil=False)}

    def messages(cell: Cell) -> dict[str, list[scripts.Said]]:
        version, free = pythons[cell.build]["version"], cell.build.endswith("t")
        workers = 2 if version[1] < 13 else cell.size
        times = 1.9 if free and cell.size > 1 else 1.0
        return {**scripts.everything(cell.size, threads=times), "pool": scripts.pool(workers)}

    return scripts.on_builds(pythons, (1, 2), messages)


KINDS = scripts.every_kind()
SESSIONS = {
    "docker": with_choice(KINDS["expected"]),
    "local": local(),
    "builds": on_builds(),
    "one-cpu": on_one_cpu(),
    "quota": loading.load_session(next((ROOT / "tests/data/stored/quota").iterdir())),
    "surprise": KINDS["surprise"],
    "noisy": KINDS["noisy"],
    "failed-cell": KINDS["error"],
    "failed-experiment": KINDS["failed"],
    "interrupted": KINDS["interrupted"],
}


@pytest.mark.parametrize("name", SESSIONS)
def test_a_screen_is_as_reviewed(name: str, golden: Golden) -> None:
    golden(f"screen-{name}.txt", reports.render(SESSIONS[name], "screen"))


@pytest.mark.parametrize("width", [66, 60])
def test_a_narrow_screen_is_as_reviewed(width: int, golden: Golden) -> None:
    golden(f"screen-docker-{width}.txt", reports.render(SESSIONS["docker"], "screen", width))


@pytest.mark.parametrize("width", [80, 66, 60])
@pytest.mark.parametrize("name", [*SESSIONS, *KINDS])
def test_no_line_is_too_wide_and_no_word_is_cut(name: str, width: int) -> None:
    session = SESSIONS.get(name) or KINDS[name]
    wide, text = (reports.render(session, "screen", columns) for columns in (80, width))
    assert max(map(len, text.splitlines())) <= width
    ruled = {word for word in text.split() if set(word) <= set("-|=:;0123456789")}
    plain = {word.strip("-:;,") for word in text.split() if not word.strip(",").isdigit()} - ruled
    # The two have room for other claims.
    claims = [f"{each.statement} ({each.claim}) ({each.claim}). {each.advice}" for each in session.judgements]
    whole = {word.strip("-:;,") for line in (wide, *claims) for word in line.split()}
    # A narrow screen has room for fewer claims, and says how many more there are.
    assert plain - whole <= {"and", "more", "see", "sentence", "sentences"}


@pytest.mark.parametrize("width", [80, 66, 60])
@pytest.mark.parametrize("name", [*SESSIONS, *KINDS])
def test_it_fits_on_a_screen_of_45_lines_or_as_much_text_in_narrow_lines(name: str, width: int) -> None:
    text = reports.render(SESSIONS.get(name) or KINDS[name], "screen", width)
    assert len(text.splitlines()) <= most_lines(width)
    assert most_lines(80) == MOST_LINES == 45


def test_refutations_that_do_not_fit_are_counted() -> None:
    session = SESSIONS["docker"]
    (refuted, *_) = (each for each in session.judgements if each.claim == "pool.errors-surface")
    many = tuple(replace(refuted, claim=f"pool.made-up-{number}") for number in range(30))
    text = reports.render(replace(session, judgements=(*session.judgements, *many)), "screen")
    assert len(text.splitlines()) <= MOST_LINES
    shown = text.count("(pool.made-up-")
    assert 0 < shown < 30
    hidden = sum(each.verdict == "refuted" for each in session.judgements) - 1 + 30 - text.count("\n- ") + 1
    assert f"- and {hidden} more sentences: lab report --terminal" in text


def test_what_the_machine_lacks_is_one_line_and_in_no_count() -> None:
    text = reports.render(SESSIONS["docker"], "screen")
    assert [line for line in text.splitlines() if "4 CPUs" in line] == [
        "Not tried   a cell of 4 CPUs: this machine has 2 CPUs."
    ]
    shown = [each for each in SESSIONS["docker"].judgements if each.cell != "cpu4"]
    confirmed = sum(each.verdict == "confirmed" for each in shown)
    assert f"26 verdicts on 13 claims in 2 cells: {confirmed} confirmed" in text


def subjects(session: Session) -> dict[str, str]:
    """Each subject of the answer -> its paragraphs."""
    return {
        answer.subject: "\n".join(f"{where} {text}" if where else text for where, text in answer.paragraphs)
        for answer in answers(session)
    }


def test_a_refuted_claim_has_its_advice_and_its_cells() -> None:
    text = " ".join(reports.render(SESSIONS["docker"], "screen").split())
    assert (
        '- "Pool() starts as many workers as os.cpu_count() says" is false only at 1 CPU (pool.cpu-count). Do not'
        in text
    )
    assert '- "the exception of an apply_async() task' in text  # refuted in every cell, so no cell is named
    assert 'get()" (pool.errors-surface). Call get() on each result.' in text


def test_a_loss_that_was_not_seen_is_no_reason_to_drop_the_lock() -> None:
    (refuted, *_) = (each for each in SESSIONS["docker"].judgements if each.claim == "pool.errors-surface")
    (claim,) = (each for each in race.EXPERIMENT.claims if each.id == "race.plain-loses")
    judgement = replace(refuted, claim=claim.id, statement=claim.statement, advice=claim.advice)
    session = replace(SESSIONS["docker"], judgements=(*SESSIONS["docker"].judgements, judgement))
    for width in (80, 66, 60):
        text = " ".join(reports.render(session, "screen", width).split())
        assert 'n += 1 is seen to lose updates" (race.plain-loses). Keep the lock: a loss that was' in text


def test_what_could_not_be_tested_is_named_with_its_reason() -> None:
    assert subjects(SESSIONS["docker"])["Not tried"].splitlines() == [
        "a cell of 4 CPUs: this machine has 2 CPUs.",
        "4 claims of gil in a cell of 1 CPU (needs 2 CPUs, this cell has 1).",
        "a quota of CPU time: lab run --quota 1.5 tries one.",
    ]
    assert "a quota:" not in subjects(SESSIONS["quota"])["Not tried"]


def test_what_a_quick_run_left_out_of_small_cells_is_named() -> None:
    session = SESSIONS["docker"]
    results = [
        replace(result, cell=replace(result.cell, experiments=("pool",))) if result.cell.size == 1 else result
        for result in session.results
    ]
    quick = replace(session, results=tuple(results), arguments={**session.arguments, "level": "quick"})
    sentence = "all experiments but pool in a cell of 1 CPU: --quick runs them with the most CPUs only."
    assert sentence in subjects(quick)["Not tried"].splitlines()
    merged = replace(quick, arguments={**session.arguments, "level": "default"})
    assert sentence not in subjects(merged)["Not tried"]


@pytest.mark.parametrize("name", [*SESSIONS, *KINDS])
def test_where_no_cell_had_a_quota_no_sentence_but_not_tried_speaks_of_one(name: str) -> None:
    session = SESSIONS.get(name) or KINDS[name]
    if any(result.proof.get("quota") or result.cell.quota_cpus for result in session.results):
        return
    lines = reports.render(session, "screen").splitlines()
    assert [line for line in lines if "quota" in line] in (
        [],
        ["            a quota of CPU time: lab run --quota 1.5 tries one."],
    ) or ("Not tried   a quota of CPU time: lab run --quota 1.5 tries one." in lines)


def test_builds_differ_by_what_was_run_and_in_no_release_between_them() -> None:
    text = reports.render(SESSIONS["builds"], "screen")
    assert "- on 3.13, not on 3.11: Pool() starts as many workers as the cell may use CPUs\n" in text
    assert "since" not in text
    assert text.count("(t: no GIL)") == 1


def test_the_answer_says_which_number_pool_goes_by() -> None:
    assert subjects(SESSIONS["local"])["Pool()"].startswith("starts 2 workers whatever the CPU set")
    assert "asks os.process_cpu_count(), which counts the CPU set" in subjects(SESSIONS["docker"])["Pool()"]
    assert "only a smaller cell could show" in subjects(SESSIONS["surprise"])["Pool()"]


def test_builds_that_behave_alike_are_named_together() -> None:
    text = subjects(SESSIONS["builds"])["Threads"]
    assert text.count("on 3.9, 3.11, 3.13 and 3.14 running Python code gain nothing: ") == 1
    assert text.count("on 3.13t running Python code gain: ") == 1


def test_a_tainted_cell_answers_nothing() -> None:
    assert [*subjects(KINDS["tainted"])] == ["Failed"]


def test_too_noisy_is_said_only_where_noise_was_the_reason() -> None:
    assert "too noisy, 12 of 12 rounds were disturbed" in subjects(KINDS["noisy"])["Threads"]
    few = scripts.everything(2)
    few["gil"] = few["gil"][:3]
    text = subjects(scripts.session(scripts.ran(2, few), experiments=THREE))["Threads"]
    assert "too few rounds" in text
    assert "noisy" not in text


def test_verdicts_are_coloured_and_stay_words() -> None:
    text = "12 confirmed, 1 refuted; no surprise. 2 surprises. lab.confirmed-by"
    painted = colours.painted(text)
    assert "\x1b[32mconfirmed\x1b[0m" in painted
    assert "\x1b[31msurprises\x1b[0m" in painted
    assert "no surprise." in painted
    assert "lab.confirmed-by" in painted


def test_builds_that_start_other_numbers_of_workers_are_not_named_together() -> None:
    pythons = {"3.9": scripts.python((3, 9, 0)), "3.11": scripts.python((3, 11, 0))}
    started = {"3.9": 2, "3.11": 3}
    session = scripts.on_builds(pythons, (1,), lambda cell: {"pool": scripts.pool(started[cell.build])})
    text = subjects(session)["Pool()"]
    assert "on 3.9 starts 2 workers" in text
    assert "on 3.11 started 3 workers for 1 CPU" in text
