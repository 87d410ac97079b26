"""The layers: which package of the lab may import which, what is pure, and who may print and exit.

CONTRIBUTING.md shows the same rows; a test here holds it to them.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pytest

import lab

PACKAGE = Path(lab.__file__).parent

#: The rows from the ground up. A package imports from itself and from the rows below its own.
ROWS: tuple[tuple[str, ...], ...] = (
    ("cell",),
    ("model",),
    ("text", "containers"),
    ("planning", "judging", "teaching", "pythons"),
    ("engines", "sessions"),
    ("running", "reports"),
    ("commands",),
    ("cli", "__main__"),
)

#: The rows inside ``cell``.
CELL_ROWS: tuple[tuple[str, ...], ...] = (
    ("cpus", "claims"),
    ("measuring",),
    ("experiments", "targets", "programs"),
    ("worker",),
)

#: Below all rows: the package's own version and commit, errors, messages, signals, and what systems differ in.
GROUND = ("__init__", "errors", "messages", "interrupts", "release", "system")

#: What ``lab`` hands on as a library: ``lab.effective_cpus()`` and ``lab.scale()``.
HANDED_ON = ("cell/cpus/effective", "running/scaling")

#: These packages decide and describe. They open no file, read no clock and start no process.
PURE = ("model", "text", "planning", "judging")

#: The files of these folders never import each other.
INDEPENDENT = ("reports/formats", "cell/experiments", "commands")
#: Neither do these.
ENGINES = ("engines/docker", "engines/local", "engines/slurm", "engines/fake")

#: What of the standard library computes without reaching out.
HARMLESS = {
    "ast",  # only read: literals
    "__future__",
    "bisect",
    "collections",
    "csv",  # into a text
    "dataclasses",
    "difflib",
    "enum",
    "functools",
    "hashlib",
    "io",  # in memory
    "itertools",
    "json",
    "math",
    "posixpath",  # of text alone
    "random",  # seeded
    "re",
    "shlex",  # quotes
    "statistics",
    "symtable",  # only read: the names in code
    "textwrap",
    "typing",
    "zipfile",  # in memory
    "zlib",
}

#: Other packages that compute without reaching out.
COMPUTES = {"jsonschema", "orjson", "scipy", "tabulate"}

#: Who may end the process. In a cell there is no ``__main__`` of the lab's. After Ctrl-C a guard ends what hangs.
EXITS = {"__main__", "interrupts", "cell/worker/compose_service"}

#: Who may write to standard output besides the commands: under Compose a cell's standard output is for people.
PRINTS = {"cell/worker/compose_service"}

MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def parsed(name: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@functools.cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All nodes of a tree, which many rules look through."""
    return tuple(ast.walk(tree))


def broken(rule: Callable[[str], Collection[str]], names: Iterable[str] = MODULES) -> dict[str, Collection[str]]:
    """The modules that break a rule, each with what it does against the rule."""
    return {name: offences for name in names if (offences := rule(name))}


def imports(tree: ast.AST) -> Iterator[str]:
    """Everything that a module imports, wherever in it, in full: ``lab.model.cell.cell.Cell``."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def imports_of_the_lab(tree: ast.AST) -> Iterator[str]:
    """The modules of the lab that a module imports, as paths below ``lab/``."""
    for full in imports(tree):
        if full == "lab" or full.startswith("lab."):
            path = full.removeprefix("lab").removeprefix(".").replace(".", "/")
            while path and path not in MODULES and f"{path}/__init__" not in MODULES:
                path = path.rpartition("/")[0]  # the last part names something inside the module
            yield path if path in MODULES else f"{path}/__init__".removeprefix("/")


def part(name: str) -> str:
    """The package that a module belongs to, or the module itself where it stands directly in ``lab/``."""
    return "cli" if name == "__main__" else name.partition("/")[0]  # the two are one door


def row_of(name: str, rows: tuple[tuple[str, ...], ...]) -> int | None:
    """The number of the row that a module or package stands in."""
    return next((number for number, packages in enumerate(rows) if part(name) in packages), None)


def runs_up(name: str, imported: str) -> bool:
    """Whether an import leads to the module's own row, to a row above it, or to a module without a row."""
    if part(imported) in GROUND:
        return False
    if part(name) in GROUND:
        return name != "__init__" or imported not in HANDED_ON
    if part(name) == part(imported):
        if part(name) != "cell":
            return False
        inner, inner_imported = name.partition("/")[2], imported.partition("/")[2]
        if part(inner) == part(inner_imported) or "__init__" in (inner, inner_imported):
            return False
        row, below = row_of(inner, CELL_ROWS), row_of(inner_imported, CELL_ROWS)
        return row is None or below is None or below > row  # cpus and claims may use each other
    row, below = row_of(name, ROWS), row_of(imported, ROWS)
    return row is None or below is None or below >= row


def forbidden_imports(name: str, tree: ast.AST) -> list[str]:
    """The modules that a module imports and must not."""
    return [imported for imported in imports_of_the_lab(tree) if runs_up(name, imported)]


def siblings(name: str, tree: ast.AST) -> list[str]:
    """The neighbours that a module of an independent folder imports all the same; ``_`` begins what is shared."""
    folder, _, own = name.rpartition("/")
    if name in ENGINES:
        return [imported for imported in imports_of_the_lab(tree) if imported in ENGINES and imported != name]
    if folder not in INDEPENDENT or own.startswith("_"):
        return []
    return [
        imported
        for imported in imports_of_the_lab(tree)
        if imported.startswith(f"{folder}/") and not imported.removeprefix(f"{folder}/").startswith("_")
    ]


def reaching_out(tree: ast.AST) -> list[str]:
    """What a module uses to reach files, clocks, processes or anything else outside."""
    outside = sorted({full.partition(".")[0] for full in imports(tree)} - {"lab"} - HARMLESS - COMPUTES)
    return outside + [name for name, _ in calls(tree) if name in ("open", "input", "__import__", "eval", "exec")]


def exits(tree: ast.AST) -> list[str]:
    """Where a module ends the process."""
    raised = [ast.unparse(node) for node in nodes(tree) if isinstance(node, ast.Raise)]
    return [name for name, _ in calls(tree) if name in ("sys.exit", "os._exit", "exit", "quit")] + [
        text for text in raised if "SystemExit" in text
    ]


#: What writes to a standard stream.
PRINT = re.compile(
    r"(print|.*\.print_exception|sys\.(__)?std(out|err)(__)?\..*write(lines)?|warnings\.warn|logging\..*)"
)


def prints(tree: ast.AST) -> list[str]:
    """Where a module writes to a standard stream by itself."""
    return [
        ast.unparse(call)
        for function, call in calls(tree)
        if PRINT.fullmatch(function)
        or any(re.match(r"sys\.std(out|err)", ast.unparse(keyword.value)) for keyword in call.keywords)
    ]


@functools.cache
def calls(tree: ast.AST) -> tuple[tuple[str, ast.Call], ...]:
    """Every call of a module, after the function as it is written there."""
    return tuple((ast.unparse(node.func), node) for node in nodes(tree) if isinstance(node, ast.Call))


def test_a_module_that_breaks_a_rule_is_named() -> None:
    assert broken(lambda name: [part(name)] if name.endswith("/gil") else []) == {"cell/experiments/gil": ["cell"]}


def test_a_module_imports_only_from_rows_below() -> None:
    assert broken(lambda name: forbidden_imports(name, parsed(name))) == {}


def test_files_that_stand_for_themselves_never_import_each_other() -> None:
    assert broken(lambda name: siblings(name, parsed(name))) == {}


def test_pure_modules_have_no_files_clocks_or_processes() -> None:
    pure = [name for name in MODULES if part(name) in PURE]
    assert pure
    assert broken(lambda name: reaching_out(parsed(name)), pure) == {}


def test_imports_say_in_full_where_from() -> None:
    assert broken(lambda name: [full for full in imports(parsed(name)) if full.startswith(".")]) == {}


def test_only_main_exits() -> None:
    def exits_of(name: str) -> set[str]:
        allowed = {"os._exit"} if part(name) == "cell" else set()  # a forked child must leave without coming back
        return set(exits(parsed(name))) - allowed

    assert broken(exits_of, MODULES.keys() - EXITS) == {}


def test_everything_is_printed_through_one_door() -> None:
    """There odd characters become signs, and a stream that is full or closed becomes a sentence."""
    outside = [name for name in MODULES if part(name) != "cell" and name != "messages"]
    assert broken(lambda name: prints(parsed(name)), outside) == {}


def test_a_cell_prints_nothing_to_standard_output() -> None:
    def printed(name: str) -> list[str]:
        lines = [line for line in prints(parsed(name)) if line.startswith(("print", "sys.stdout"))]
        return [line for line in lines if "sys.stderr" not in line]

    assert broken(printed, [name for name in MODULES if part(name) == "cell" and name not in PRINTS]) == {}


def test_only_commands_print_results() -> None:
    doors = {"lab.messages.show", "lab.messages.show_document"}
    others = [name for name in MODULES if part(name) not in ("commands", "cli")]
    assert broken(lambda name: doors & set(imports(parsed(name))), others) == {}


@pytest.mark.parametrize(
    "line", ["print(x)", "sys.stdout.write(x)", "f(file=sys.stderr)", "sys.stderr.buffer.write(x)"]
)
def test_what_goes_past_the_door_is_seen(line: str) -> None:
    assert prints(ast.parse(line)) == [line]


#: Who may write a file without lab/sessions/files.py: a folder of its own, which nobody else can write to.
WRITES = {"sessions/files", "engines/local"}


def writes(tree: ast.AST) -> list[str]:
    """Where a module opens a file for writing in a way that follows a symbolic link."""
    return [
        ast.unparse(call)
        for function, call in calls(tree)
        if re.search(r"\.(write_text|write_bytes|touch)$", function)
        or (
            re.fullmatch(r"open|.*\.open|(.*\.)?open_file|.*fdopen", function)
            and re.search(r"'[rb]*[wax+][bt+]*'|O_WRONLY|O_RDWR", ast.unparse(call))
            and not re.search(r"os\.devnull|follow=False|O_EXCL", ast.unparse(call))
        )
    ]


def test_no_file_is_written_through_a_link() -> None:
    names = [name for name in MODULES if part(name) not in ("cell", "messages") and name not in WRITES]
    assert broken(lambda name: writes(parsed(name)), names) == {}


@pytest.mark.parametrize(
    "line", ["open(x, 'w')", "x.open('ab')", "x.write_text(y)", "os.open(x, os.O_WRONLY)", "open_file(x, os.O_RDWR)"]
)
def test_a_file_that_is_written_is_seen(line: str) -> None:
    assert writes(ast.parse(line)) == [line]


def test_no_module_is_named_for_what_it_is_not() -> None:
    assert not [name for name in MODULES if name.rpartition("/")[2] in ("utils", "util", "helpers", "common", "misc")]


def test_contributing_shows_these_rows() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Layers")[2].partition("\n## ")[0]
    shown = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ") and "`" in line]
    rows = [(str(number), ", ".join(f"`{name}`" for name in row)) for number, row in enumerate(ROWS, start=1)]
    assert [(number.strip(), packages.strip()) for number, packages in shown] == rows[::-1]


def test_what_is_called_harmless_is_in_the_standard_library() -> None:
    assert not HARMLESS - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("errors", "from lab.model.cell import cell"),
        ("model/cell", "from lab.text import units"),
        ("judging/verdicts", "from lab.sessions.manifest import folder"),
        ("judging/verdicts", "from lab.planning import cells"),
        ("judging/verdicts", "def late():\n    from lab.engines.docker import connect"),
        ("sessions/folder", "from lab.engines import make"),
        ("running/runner", "from lab.commands.run import run"),
        ("reports/formats/table", "from lab.running import runner"),
        ("cell/worker/proof", "from lab.model.cell.cell import Cell"),
        ("cell/cpus/effective", "from lab.cell.worker import proof"),
        ("cell/experiments/pool", "from lab.cell.worker import record_writer"),
        ("cell/measuring/rounds", "from lab.cell.experiments import load"),
        ("anything_new", "from lab.model.cell import cell"),
    ],
)
def test_the_rules_find_an_import_from_above(name: str, source: str) -> None:
    assert forbidden_imports(name, ast.parse(source)) != []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("engines/local", "from lab.engines import docker"),
        ("reports/formats/table", "from lab.reports.formats import json"),
        ("cell/experiments/pool", "from lab.cell.experiments.process import run"),
        ("commands/replay", "from lab.commands.run import run"),
    ],
)
def test_the_rules_find_a_neighbour(name: str, source: str) -> None:
    assert siblings(name, ast.parse(source)) != []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (reaching_out, "import os"),
        (reaching_out, "from pathlib import Path"),
        (reaching_out, "from time import monotonic"),
        (reaching_out, "open('file')"),
        (exits, "import sys\nsys.exit(1)"),
        (exits, "raise SystemExit"),
        (exits, "import os\nos._exit(1)"),
        (prints, "print('hello')"),
        (prints, "import sys\nsys.stdout.write('hello')"),
    ],
)
def test_the_rules_find_what_they_look_for(rule: Callable[[ast.AST], list[str]], source: str) -> None:
    assert rule(ast.parse(source)) != []
