"""``lab.scale()`` as a program uses it: a typed result, and nothing printed."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lab
from lab.errors import UsageError
from lab.running import scaling
from lab.running.scaling import result_of
from tests.support import cells, own_code
from tests.support.own_code import FREE

SOURCE = """
def busy():
    total = 0
    for number in range(2000):
        total = (total * 31 + number) & 255
    return total
"""


@pytest.mark.slow
@pytest.mark.measures
def test_a_function_of_a_module_gets_a_typed_result_and_nothing_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work_for_the_library.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import work_for_the_library as work  # type: ignore[import-not-found] # it was just written

    result = lab.scale(work.busy, cpus="2")
    sys.modules.pop("work_for_the_library")
    assert capsys.readouterr() == ("", "")
    assert [row.workers for row in result.rows][:3] == ["1 worker", "2 threads", "2 processes (fork)"]
    assert result.advice.startswith("Advice: ")
    assert result.to_dict()["advice"][0]["sentence"] == result.advice
    page = result._repr_html_()
    assert "<td>2 threads</td>" in page
    assert result.advice in page


@pytest.mark.slow
@pytest.mark.measures
def test_two_versions_of_a_function_are_compared(tmp_path: Path) -> None:
    for name, text in (("base", SOURCE), ("head", SOURCE.replace("return total", "return total + sum(range(20000))"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "work.py").write_text(text)
    result = lab.scale(f"{tmp_path / 'base' / 'work.py'}:busy", against=tmp_path / "head", cpus="1")
    (ratio,) = [row.ratio for row in result.rows if row.workers == "1 worker" and row.ratio]
    assert ratio.high < 1
    assert "1 worker: the other does 0." in result.advice


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.skipif(len(cells.CPUS) < 2, reason="two threads take two CPUs")
def test_workers_that_fail_later_in_one_version_are_left_out_and_the_others_are_compared(tmp_path: Path) -> None:
    late = "    if time.monotonic() > BEGAN + 0.5 and threading.current_thread() is not threading.main_thread():\n"
    later = "import threading, time\nBEGAN = time.monotonic()\n" + SOURCE.replace(
        "    return total", late + "        raise RuntimeError('too late')\n    return total"
    )
    for name, text in (("base", SOURCE), ("head", later)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "work.py").write_text(text)
    result = lab.scale(f"{tmp_path / 'base' / 'work.py'}:busy", against=tmp_path / "head", cpus="2", only="2 threads")
    records = [record for cell in result.session.results for record in cell.records]
    (failed,) = [record.data["value"] for record in records if record.data.get("name") == "out"]
    assert failed[0] == "2 threads"
    assert "too late" in failed[2]
    rounds = [record.data["values"] for record in records if record.kind == "sample"]
    assert not [block for blocks in rounds for block in blocks.values() if "error" in block]
    assert "2 threads" not in rounds[-1]
    assert [row.ratio for row in result.rows if row.workers == "1 worker" and row.ratio]


def test_rows_of_several_parameters_say_which() -> None:
    cases = [own_code.BUSY._replace(label=f"work.py:busy, n={n}") for n in (10, 1000)]
    result = result_of(own_code.session(own_code.ran(1, *((case, own_code.said({})) for case in cases)), cases=cases))
    assert [row.case for row in result.rows] == ["work.py:busy, n=10", "work.py:busy, n=1000"]
    assert "<th>function</th>" in result._repr_html_()
    assert "<th>function</th>" not in result_of(own_code.one_case())._repr_html_()


def test_the_causes_are_those_of_the_function_that_the_advice_is_for() -> None:
    cases = [own_code.BUSY._replace(label=f"work.py:busy, n={n}") for n in (10, 1000)]
    said = (own_code.said(own_code.HOLDS), own_code.said(own_code.WAITS, idle=0.98))
    result = result_of(own_code.session(own_code.ran(2, *zip(cases, said, strict=True)), cases=cases))
    statements = {cause.statement for cause in result.causes}
    assert any("waits for something" in statement for statement in statements)
    assert not any("holds the GIL" in statement for statement in statements)


def test_a_function_of_the_standard_library_has_no_project() -> None:
    case, folder = scaling._case(json.loads, "", "both", None)
    assert (case.label, folder) == ("json:loads", Path.cwd())


def test_a_function_that_no_worker_can_find_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="so workers cannot import it; define it with def at the top of its module"):
        lab.scale(lambda: 1)
    with pytest.raises(UsageError, match="an object of type partial, which has no name to import it by; give it a"):
        lab.scale(functools.partial(own))


class Parser:
    """What a method belongs to."""

    def parse(self) -> None:
        """Do nothing."""

    @classmethod
    def made(cls) -> None:
        """Do nothing."""


cached = functools.lru_cache(json.loads)


@pytest.mark.parametrize("function", [cached, Parser().parse], ids=["a wrapper of another name", "a bound method"])
def test_a_function_in_whose_place_workers_would_import_another_one_is_refused(function: Any) -> None:
    with pytest.raises(UsageError, match=r"was given another object than .*, which workers would import"):
        scaling._case(function, "", "both", None)


@pytest.mark.parametrize("function", [Parser.parse, Parser.made, json.loads])
def test_what_workers_can_import_by_its_name_is_taken(function: Any) -> None:
    case, _ = scaling._case(function, "", "both", None)
    assert case.name == function.__qualname__


def own() -> None:
    """What a notebook defines."""


def test_a_function_of_a_notebook_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "__module__", "__main__")
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(UsageError, match="write it into a file"):
        lab.scale(own)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "fast"}, "level 'fast' is not known"),
        ({"params": {"n": [{1}]}}, "--param n: a value of type set changes on its way to a cell"),
        ({"params": {"n": [(1, 2)]}}, "--param n: a value of type tuple changes on its way to a cell"),
        ({"params": {"n": []}}, "--param n has no list of values"),
        ({"params": {"n": 5}}, "--param n has no list of values"),
        ({"params": {"n": "abc"}}, "--param n has no list of values"),
        ({"chunks": [10]}, "but there is no list"),
        ({"chunks": [10, 0], "items": "work.py:many"}, "give whole numbers above 0"),
        ({"items": "work.py:many", "against": "."}, "--against and --items cannot be combined"),
        ({"against": "nowhere"}, "--against nowhere is neither a folder, nor a Python"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    (tmp_path / "work.py").write_text(SOURCE)
    with pytest.raises(UsageError, match=message):
        lab.scale(f"{tmp_path / 'work.py'}:busy", **options)


@pytest.mark.slow
@pytest.mark.measures
def test_a_script_measures_its_own_function_below_its_guard(tmp_path: Path) -> None:
    call = "print(repr(lab.scale(busy, cpus='1'))[:9])"
    guarded = f"import lab\n{SOURCE}\nif __name__ == '__main__':\n    {call}\n"
    for text, told in ((guarded, "<Scaling "), (f"import lab\n{SOURCE}\n{call}\n", "call lab.scale() below if")):
        (tmp_path / "script.py").write_text(text)
        done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert told in done.stdout + done.stderr
        assert "pip install" not in done.stderr


NOTEBOOK = Path(__file__).parents[2] / "docs" / "scale.ipynb"


def shape(page: str) -> list[str]:
    """The elements of a page, and the heads of its table."""
    return re.findall(r"<(?:table|p|b|ul|pre)>|<th>.*?</th>", page)


def test_the_notebook_was_run_and_shows_a_result_as_it_looks_now() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert all(cell["outputs"] for cell in cells)
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result"}
    (page,) = ["".join(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})]
    assert shape(page) == shape(result_of(own_code.one_case(FREE))._repr_html_())


@pytest.mark.slow
def test_the_notebook_runs_again(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
