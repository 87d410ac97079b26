"""The configuration of ``lab check``: what is read from it, and what is refused with file, line and the nearest key."""

from __future__ import annotations

import tomllib

import jsonschema
import pytest

from lab.commands._targets import schema
from lab.errors import UsageError
from lab.model.gates import Goal, Kind
from lab.planning.configuration import goals_of
from lab.planning.document import Document

SCALE = '[targets.parse]\nscale = "work.py:parse"\n'
EXEC = '[targets.suite]\nexec = ["pytest", "-q"]\n'


def goals(text: str) -> tuple[Goal, ...]:
    document = Document(
        file="multicore-lab.toml", text=text, above=(), content=tomllib.loads(text), folder="/home/user/project"
    )
    return goals_of(document, schema())


def test_the_published_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_a_function_becomes_a_command_line() -> None:
    [goal] = goals(
        'level = "quick"\nseed = 3\n'
        '[targets.parse]\nscale = "work.py:parse"\npython = ["3.13", "3.13t"]\n'
        'params = {n = [10, 1000], kind = ["a"]}\n'
        'state = "own"\ngates.speedup = {at = 2, executor = "threads", min = 1.7}\n'
    )
    assert (goal.name, goal.line, goal.command) == ("parse", 3, "scale")
    words = " ".join(goal.words)
    assert words.endswith("-- work.py:parse")
    for part in (
        "--quick", "--seed=3", "--python=3.13 --python=3.13t", "--state=own", "--cpus=2", "--param=n=10,1000",
        "--param=kind='a'", "--project=/home/user/project",
    ):  # fmt: skip
        assert part in words


def test_a_command_becomes_a_command_line() -> None:
    [words, line] = goals(
        '[targets.words]\nexec = ["make", "-j2"]\nruns = 7\nenv = {A = "1 2"}\nmount = ["src"]\nimage = "gcc:14"\n'
        'entrypoint = ""\ngates.time = {max = "30 s"}\n[targets.line]\nexec = "make | cat"\n'
    )
    assert words.words[-3:] == ("--", "make", "-j2")
    assert "--entrypoint=" in words.words
    assert {"--runs=7", "--cpus=1,all", "--image=gcc:14", "--env=A=1 2", "--mount=src"} <= {*words.words}
    assert line.words[-3:] == ("--shell", "--", "make | cat")


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        (SCALE, None),
        (SCALE + 'gates.speedup = {executor = "threads", min = 1}', "--cpus=all"),
        (
            SCALE + 'gates.speedup = [{at = 2, executor = "fork", min = 1}, {at = 4, executor = "fork", min = 1}]',
            "--cpus=2,4",
        ),
        (SCALE + 'cpus = [1, "all"]', "--cpus=1,all"),
        (SCALE + "cpus = 2", "--cpus=2"),
        (EXEC + "gates.speedup = {at = 2, min = 1.2}", "--cpus=1,2"),
        (EXEC + "quota = [0.5, 1.5]\ngates.throttled = false", None),
    ],
)
def test_the_sizes_are_those_that_the_gates_need(text: str, sizes: str | None) -> None:
    [goal] = goals(text)
    assert [word for word in goal.words if word.startswith("--cpus")] == ([sizes] if sizes else [])


def test_gates_have_their_bounds_in_plain_numbers() -> None:
    [goal] = goals(
        EXEC
        + "quota = 1.5\n[targets.suite.gates]\n"
        + 'regression = {max = "5%", against = "main"}\nmemory = {max = "500 MiB"}\ntime = {max = "200 ms"}\n'
        + 'processes = {max = "R"}\nthrottled = false\n'
    )
    assert {gate.kind: gate.most for gate in goal.gates} == {
        Kind.REGRESSION: 0.05,
        Kind.MEMORY: 500 * 2**20,
        Kind.TIME: 0.2,
        Kind.PROCESSES: "R",
        Kind.THROTTLED: 0.0,
    }
    assert [gate.line for gate in goal.gates] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[targets.a]\nscal = 'w.py:f'", "toml:2: targets.a.scal: there is no such key; did you mean scale?"),
        ("[target.a]\nscale = 'w.py:f'", "toml:1: target: there is no such key; did you mean targets?"),
        ("", "the configuration: 'targets' is missing; add it"),
        ("[targets.a]\ncpus = 2", "toml:1: targets.a: it needs one of scale, exec, run; add one"),
        (SCALE + "exec = 'make'", "toml:3: targets.parse.exec: a target has one of scale, exec, run; keep"),
        (
            SCALE + "gates.spedup = {}",
            "toml:3: targets.parse.gates.spedup: there is no such key; did you mean speedup?",
        ),
        (
            SCALE + "gates.speedup = {executor = 'threads', mim = 1}",
            "toml:3: targets.parse.gates.speedup.mim: there is no such key; did you mean min?",
        ),
        (
            SCALE + "gates.speedup = {executor = 'threds', min = 1}",
            "toml:3: targets.parse.gates.speedup.executor: 'threds' is not threads or processes or fork or",
        ),
        (SCALE + "gates.speedup = {executor = 'threads'}", "gates.speedup: it needs one of min, max; add one"),
        (SCALE + "gates.speedup = {executor = 'threads', min = '2'}", "'2' is not a number"),
        (SCALE + "gates.speedup = {min = 2}", "targets.parse.gates.speedup: 'executor' is missing; add it"),
        (SCALE + "gates.regression = {max = 5}", "5 is not a text"),
        (SCALE + "gates.regression = {max = '5'}", "'5' cannot be used; give a share with its unit, such as \"5%\""),
        (SCALE + "gates.regression = {max = '5%', against = 'main', base = 'x'}", "it has against and base; keep one"),
        (SCALE + "cpus = 0", "0 cannot be used; give a whole number or a text or a list"),
        (SCALE + "level = 'fast'", "'fast' is not quick or default or thorough; take one of these"),
        (
            EXEC + "gates.time = {max = '30 sec'}",
            "'30 sec' is no number above 0 with a unit; give one of the units ms, s, min, h",
        ),
        (EXEC + "gates.memory = {max = '0 MB'}", "'0 MB' is no number above 0 with a unit"),
        (
            SCALE + "cpus = [1, 2]\ngates.speedup = {at = 4, executor = 'threads', min = 1}",
            "toml:4: targets.parse.gates.speedup.at: the target has no cell with at = 4; its cpus: 1, 2;",
        ),
        (
            SCALE + "gates.speedup = {build = '3.13t', executor = 'threads', min = 1}",
            "no cell with build = 3.13t; its python: not given",
        ),
        (
            SCALE + "[[targets.parse.gates.speedup]]\nat = 2\nexecutor = 'threads'\nmin = 1.7\n"
            "[[targets.parse.gates.speedup]]\nat = 2\nexecutor = 'threads'\nmax = 1.2",
            "it asks for at least 1.7 (line 3) and at most 1.2 (line 7); no measurement can meet both; change",
        ),
        (
            SCALE + "cpus = [1, 2]\n[targets.parse.gates]\nspeedup = [{executor = 'fork', min = 1.7},\n"
            "{at = 2, executor = 'fork', workers = 2, max = 1.2}]",
            "toml:5: targets.parse.gates.speedup: it asks for at least 1.7 (line 5) and at most 1.2 (line 6); no",
        ),
        (
            SCALE
            + "python = ['3.13', '3.14']\n[targets.parse.gates]\nspeedup = [{executor = 'forkserver', min = 1.7},\n"
            "{build = '3.14', executor = 'processes', max = 1.2}]",
            "at least 1.7 (line 5) and at most 1.2 (line 6)",
        ),
        (
            SCALE + "quota = 1.5\n[targets.parse.gates]\nspeedup = [{executor = 'fork', min = 1.7},\n"
            "{quota = 1.5, executor = 'fork', max = 1.2}]",
            "at least 1.7 (line 5) and at most 1.2 (line 6)",
        ),
        (
            EXEC + "cpus = [1, 2]\n[targets.suite.gates]\nspeedup = {at = 2, max = 1.4}\nefficiency = {min = 0.8}",
            "suite.gates.efficiency: it asks for efficiency at least 0.8 (line 6) and speedup at most 1.4 (line 5); no",
        ),
        (EXEC + "quota = 1.5\ngates.throttled = {at = 2, max = 5}", "5 is not a text"),
        (EXEC + "quota = 1.5\ngates.throttled = {quota = 2.5, max = '5%'}", "no cell with quota = 2.5; its quota: 1.5"),
        (EXEC + "gates.throttled = {max = '5%'}", "there is no quota that could stop the command"),
        (EXEC + 'entrypoint = "a\\u0000b"', "cannot be used"),
        (EXEC + "python = '3.13'", "targets.suite.python: a target with exec has no such key; there are: exec, runs"),
        (SCALE + "runs = 3", "targets.parse.runs: a target with scale has no such key"),
        ("[targets.a]", "targets.a: the target is empty; it needs one of scale, exec, run"),
        ("[targets.'my suite']\nexec = 'true'", "'my suite' cannot be used; a name of a target has letters"),
        ("[targets.\"a\\n\"]\nexec = 'true'", "cannot be used; a name of a target has letters"),
        ("[targets.'check.json']\nexec = 'true'", "check.json is the name of the file of results; take another name"),
        ("[targets.a]\nexec = ['sleep', \"a\\u0000b\"]", "in the list cannot be used"),
        ("[targets.a]\nexec = 'x'\nenv = {'A=B' = 'c'}", "'A=B' cannot be used; the name of a variable has no ="),
        (EXEC + "gates.throttled = false", "there is no quota that could stop the command; give one: quota = 1.5"),
        (EXEC + "quota = 1.5\ngates.throttled = true", "true is not false; take this"),
        (EXEC + "cpus = 2\ngates.speedup = {at = 2, min = 1.2}", "a speed-up of a command is over its smallest limit"),
        (EXEC + "gates.efficiency = {at = 1, min = 0.8}", "a speed-up of a command is over its smallest limit"),
        (SCALE + "gates.speedup = {executor = 'one', min = 1}", "'one' is not threads or processes"),
        (SCALE + "gates.speedup = {executor = 'threads', max = inf}", "the number is too large, or is none"),
        (SCALE + "gates.speedup = {executor = 'threads', min = nan}", "the number is too large, or is none"),
        (SCALE + f"gates.speedup = {{executor = 'threads', min = {'9' * 400}}}", "the number is too large, or is none"),
        (EXEC + f"gates.time = {{max = '{'9' * 400} s'}}", "is no number above 0 with a unit"),
        (SCALE + 'gates.regression = {max = "5%\\n"}', "give a share with its unit"),
        (SCALE + "cpus = [1, 'al']", "'al' in the list cannot be used"),
        (SCALE + "time-limit = 0", "0 cannot be used; give more than 0"),
        ("[targets.a]\nrun = ['gil']\nexpect = {'gil.no-speedup' = 'refutd'}", "did you mean refuted?"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        goals(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        SCALE + "quota = 1.0\ngates.speedup = {quota = 1.0, executor = 'threads', min = 1}",
        SCALE + "quota = '1.50'\ngates.speedup = {quota = 1.5, executor = 'threads', min = 1}",
        SCALE + "cpus = '0-1'\ngates.speedup = {at = 2, executor = 'threads', min = 1}",
        SCALE + "cpus = [2.0]\ngates.speedup = {at = 2, executor = 'threads', min = 1}",
        EXEC + "gates.time = [{max = '3 s'}, {at = 2, max = '2 s'}]",
        SCALE + "python = ['3.13', '3.14']\ngates.speedup = [{build = '3.13', executor = 'forkserver', min = 1.7},"
        "{build = '3.13', executor = 'processes', max = 1.2}]",
        SCALE
        + "cpus = [2, 4]\ngates.speedup = [{executor = 'fork', min = 1.7}, {at = 2, executor = 'fork', max = 1.2}]",
        EXEC + "cpus = [1, 2]\ngates = {speedup = {at = 2, max = 1.6}, efficiency = {min = 0.8}}",
        EXEC + "quota = [0.5, 1.5]\ngates.throttled = [{quota = 0.5, max = '20%'}, {quota = 1.5, max = '0%'}]",
        SCALE + "python = '/opt/python3'\ngates.speedup = {build = '3.13', executor = 'threads', min = 1}",
    ],
)
def test_what_can_be_meant_is_taken(text: str) -> None:
    assert goals(text)[0].gates


def test_limits_may_be_those_of_every_target() -> None:
    first, second = goals("cpus = 2\n" + SCALE + "gates.workers = {at = 2, max = 4}\n" + EXEC + "cpus = [1, 2]")
    assert ("--cpus=2" in first.words, "--cpus=1,2" in second.words) == (True, True)


def test_whole_numbers_are_written_as_such() -> None:
    [goal] = goals(EXEC + "runs = 3.0\ncpus = [1.0, 2]")
    assert {"--runs=3", "--cpus=1,2"} <= {*goal.words}
