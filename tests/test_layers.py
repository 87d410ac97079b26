"""The layers: which part of the lab may import what, print and exit. CONTRIBUTING.md says it, this test enforces it.

Every exception stands here with its reason; whoever needs another one has to write one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import lab

PACKAGE = Path(lab.__file__).parent

#: Decide, never read or act. The experiments' claims are of their kind: predicates over evidence.
PURE = {
    "cpuset",
    "planner",
    "quotas",
    "stats",
    "verdicts",
    "proofs",
    "records",
    "sessions",
    "summary",
    "cores",
    "gathering",
    "scaling",
    "predictions",
    "particulars",
    "builds",
    "answers",
    "image_settings",
    "roundings",
    "placement",
    "packing",
    "machine_map",
    "sentinel",
    "table",
    "atlas",
    "claim_tables",
    "changes",
    "lessons",
    "parcel",
    "likeness",
    "comparison",
    "repetition",
    "merging",
    "sealing",
    "layout",
    "limit_tables",
    "number_tables",
    "expectations",
    "naming",
    "build_columns",
}

#: The nouns that everything is said in.
MODEL = {"model", "errors", "units", "hardware", "gates"}

#: What of the standard library computes without reaching out.
HARMLESS = {
    "__future__",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "io",  # in memory
    "itertools",
    "json",
    "math",
    "random",  # seeded
    "re",
    "statistics",
    "textwrap",
    "typing",
    "zipfile",  # in memory
    "zlib",
}

#: Of other packages: they compute as well, and the slow ones are loaded late.
COMPUTES = {"orjson", "scipy", "tabulate"}

_PURE_MAY: set[str] = {"", *PURE, *MODEL, "experiments._claims", "experiments._measured"}

#: Part -> what of the lab it may import, with all below; "" is the package's own version.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "units": set(),
    "gates": set(),
    "telling": set(),
    "hardware": {"cpuset"},
    "model": {"errors", "units", "hardware"},
    **dict.fromkeys(PURE, _PURE_MAY),
    "cpuset": set(),
    "containers": {*MODEL, "image_settings"},
    "image_python": {*MODEL, "answers", "containers", "image_settings", "worker.question"},
    "recipe": MODEL,
    "programs": {*MODEL, "builds", "answers", "worker.question"},
    "interpreters": {*MODEL, "builds", "answers", "programs"},
    "images": {*MODEL, "builds", "answers", "containers", "image_python"},
    "builder": {*MODEL, "builds", "containers", "images", "recipe"},
    "topology": {*MODEL, "cpuset", "worker"},
    "store": {*MODEL, "sealing"},
    "interrupts": {"errors"},
    "orchestrator": {"topology", "worker.cgroups", "worker.host"},
    "progress": {*MODEL, "telling", "naming", "experiments"},
    "primers": {*MODEL, "predictions"},
    "asking": {*MODEL, "naming", "predictions", "primers", "progress", "telling"},
    "charts": {*MODEL, *PURE, "charts"},
    "archive": {*MODEL, *PURE, "runner", "store", "experiments"},
    "shelf": {*MODEL, *PURE, "store", "archive"},
    "resuming": {*MODEL, *PURE, "containers", "store", "archive"},
    "again": {*MODEL, *PURE, "containers", "images", "telling"},
    "inspection": {*MODEL, *PURE, "store", "archive", ""},
    "runner": {*MODEL, *PURE, "engines", "store"},
    "several": {*MODEL, "builds", "engines"},
    "choice": {*MODEL, "builds", "containers", "engines", "images", "interpreters", "several"},
    "packed": {*MODEL, *PURE, "hardware", "engines", "store", "runner", "experiments"},
    "engines": {
        *MODEL,
        *("attached", "cell_code", "containers", "cpuset", "engines", "image_python", "image_settings"),
        "worker.bootstrap",
    },
    "attached": set(),
    "cell_code": set(),
    "reports": {*MODEL, *PURE, "charts", "reports"},
    "effective": {"cpuset", "worker.cgroups"},
    "worker": {"cpuset", "worker", "experiments", "stats"},
    "experiments": {"experiments", "stats"},
}

#: These may import anything, and are handed to nobody.
EDGE = {"__init__", "__main__", "asked", "cli", "commands"}

EXCEPTIONS = {
    ("records", "worker.channel"): "the reader takes the writer's schema and longest record, so that they never differ",
    ("answers", "worker.question"): "the reader takes the mark that the question makes, so that they never differ",
    ("sessions", "experiments.load"): "a session is judged by the experiments it names; they are code, not files read",
    ("merging", "experiments.load"): "the order of claims is that of the experiments that sessions name",
    ("gathering", "experiments"): "records name their experiments; here they are found again",
    ("gathering", "runner"): "what became of a cell is concluded alike, whoever ran it; conclude() is pure",
    ("sentinel", "experiments._sentinel"): "its name and its clock stand there, where they are gone by",
    ("sentinel", "experiments._companion"): "likewise",
    ("parcel", "worker.channel"): "what is packed is what the worker wrote, in its schema",
    ("charts", "experiments.switching"): "the switch intervals that were tried are named there and nowhere else",
    ("cores", "experiments.gil"): "the arms of the gil experiment are named there and nowhere else",
    ("experiments", "worker.cgroups"): "a round tells throttling by the counters of the control groups",
    ("experiments", "worker.topology"): "a round has a block on each CPU where the cores are of several kinds",
    ("atlas", "experiments.race_atlas"): "what its observations were called before is known there and nowhere else",
    ("engines", "records"): "what a probe's records describe is the same for every engine",
}

#: Modules that may name one engine or one report.
NAMES_ONE = {"reports/__init__": "the JSON document is the base of every format for machines"}

#: Who may end the process. In a cell there is no ``__main__`` of the lab's.
EXITS = {"__main__", "worker/service"}
#: Here a forked child has to leave without coming back.
LEAVES = {"worker", "experiments"}

#: Who may write to standard output besides the commands.
PRINTS = {"worker/service"}  # in Compose a cell's standard output is for people, its records go to a file

MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

every_module = pytest.mark.parametrize("name", MODULES)


def part(name: str) -> str:
    """The part of the lab that a module belongs to: its folder, or itself."""
    return name.partition("/")[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Everything that a module imports, wherever in it, in full: ``lab.model.Cell``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def of_the_lab(tree: ast.AST) -> Iterator[str]:
    """The modules of the lab that a module imports, without the ``lab.`` in front; of :mod:`lab.experiments` also the
    name taken from it (``experiments.load``)."""
    for full in imports(tree):
        if full != "lab" and not full.startswith("lab."):
            continue
        inner = full.removeprefix("lab").removeprefix(".").replace(".", "/")
        module = inner.rpartition("/")[0]
        is_module = inner in MODULES or f"{inner}/__init__" in MODULES
        yield (inner if is_module or module == "experiments" else module).replace("/", ".")


def below(found: str, allowed: Iterable[str]) -> bool:
    """Whether a module is one of these, or inside one of them."""
    return any(found == one or (one and found.startswith(f"{one}.")) for one in allowed)


def forbidden_imports(name: str, tree: ast.AST) -> list[str]:
    """What of the lab a module imports and must not, for its layer."""
    here = part(name)
    if here in EDGE:
        return []
    excused = {target for module, target in EXCEPTIONS if module == here}
    return [found for found in of_the_lab(tree) if not below(found, MAY_IMPORT.get(here, set()) | excused)]


def reaching_out(tree: ast.AST) -> list[str]:
    """What a module uses to reach files, clocks, processes or anything else outside."""
    outside = sorted({full.partition(".")[0] for full in imports(tree)} - {"lab"} - HARMLESS - COMPUTES)
    return outside + [call for call in calls(tree) if call in ("open", "input", "__import__", "eval", "exec")]


def exits(tree: ast.AST) -> list[str]:
    """Where a module ends the process."""
    raised = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return [call for call in calls(tree) if call in ("sys.exit", "os._exit", "exit", "quit")] + [
        text for text in raised if "SystemExit" in text
    ]


def prints(tree: ast.AST) -> list[str]:
    """Where a module writes to standard output."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            (ast.unparse(node.func) == "print" and "file" not in [keyword.arg for keyword in node.keywords])
            or ast.unparse(node.func).startswith("sys.stdout.write")
            or ast.unparse(node.func).startswith("sys.stdout.buffer")
        )
    ]


def calls(tree: ast.AST) -> list[str]:
    """The functions that a module calls, as they are written there."""
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_every_module_has_a_place_in_the_layers() -> None:
    assert {part(name) for name in MODULES} <= EDGE | set(MAY_IMPORT)


@every_module
def test_a_module_imports_only_what_its_layer_may(name: str) -> None:
    assert forbidden_imports(name, TREES[name]) == []


@every_module
def test_imports_say_in_full_where_from(name: str) -> None:
    assert not [full for full in imports(TREES[name]) if full.startswith(".")]


@pytest.mark.parametrize("name", sorted(PURE | MODEL))
def test_pure_modules_have_no_files_clocks_or_processes(name: str) -> None:
    assert reaching_out(TREES[name]) == []


@pytest.mark.parametrize("folder", ["engines", "reports"])
def test_the_files_of_a_folder_never_import_each_other(folder: str) -> None:
    for name in MODULES:
        if part(name) == folder and not name.endswith("__init__"):
            assert not [found for found in of_the_lab(TREES[name]) if found.startswith(f"{folder}.")], name


def test_no_one_but_the_edge_names_an_engine_or_a_report() -> None:
    """The rest of the lab is handed an engine, and finds a report by its name."""
    for name in MODULES:
        if part(name) not in EDGE and name not in NAMES_ONE:
            assert not [found for found in of_the_lab(TREES[name]) if found.startswith(("engines.", "reports."))], name


@every_module
def test_only_main_exits(name: str) -> None:
    allowed = {"os._exit"} if part(name) in LEAVES else set()
    if name not in EXITS:
        assert set(exits(TREES[name])) <= allowed


@every_module
def test_only_commands_print_to_standard_output(name: str) -> None:
    if part(name) not in ("commands", "cli") and name not in PRINTS:
        assert prints(TREES[name]) == []


def test_no_module_is_named_for_what_it_is_not() -> None:
    assert not [name for name in MODULES if name.rpartition("/")[2] in ("utils", "util", "helpers", "common", "misc")]


def table_of_layers() -> list[str]:
    """The first two columns of CONTRIBUTING's table of layers: parts that may import the same, and what that is."""
    rows: dict[str, list[str]] = {}
    for name, allowed in MAY_IMPORT.items():
        rows.setdefault(in_words(allowed), []).append(name)
    rows["anything"] = sorted(EDGE - {"__init__"})
    return [f"| {', '.join(f'`{name}`' for name in sorted(names))} | {words} |" for words, names in rows.items()]


def in_words(allowed: set[str]) -> str:
    rest, words = set(allowed) - {""}, []
    for kind, name in ((PURE, "the pure ones"), (MODEL, "`model` and below")):
        if kind <= rest:
            rest -= kind
            words.append(name)
    return ", ".join([*words, *(f"`{name.replace('.', '/')}`" for name in sorted(rest))]) or "nothing"


def table_of_exceptions() -> list[str]:
    return [f"| `{part}` | `{found.replace('.', '/')}` | {why} |" for (part, found), why in EXCEPTIONS.items()]


def test_contributing_has_these_layers_and_exceptions() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Layers")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    layers = table_of_layers()
    assert [line.rsplit("|", 2)[0] + "|" for line in lines[: len(layers)]] == layers
    assert lines[len(layers) :] == table_of_exceptions()


def test_every_exception_is_still_needed() -> None:
    used = {(part(name), found) for name in MODULES for found in of_the_lab(TREES[name])}
    for module, target in EXCEPTIONS:
        assert [found for importer, found in used if importer == module and below(found, [target])], (module, target)
    for names, found_in in ((EXITS, exits), (PRINTS, prints)):
        assert all(found_in(TREES[name]) for name in names)
    assert all(any("os._exit" in exits(TREES[name]) for name in MODULES if part(name) == folder) for folder in LEAVES)


def test_what_is_called_harmless_is_in_the_standard_library() -> None:
    assert not HARMLESS - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("units", "from lab import errors"),
        ("model", "import lab.cpuset"),
        ("verdicts", "from lab import store"),
        ("verdicts", "from lab.experiments import load"),
        ("verdicts", "def late():\n    from lab.engines.docker import connect"),
        ("cores", "from lab.experiments.race import run"),
        ("topology", "from lab.planner import plan"),
        ("store", "from lab.records import read"),
        ("runner", "from lab.commands.run import tell"),
        ("reports/table", "from lab import runner"),
        ("engines/local", "from lab import verdicts"),
        ("worker/proof", "from lab.model import Cell"),
        ("effective", "from lab import model"),
        ("effective", "from lab.worker import proof"),
        ("experiments/pool", "from lab.worker import channel"),
        ("anything_new", "from lab import model"),
    ],
)
def test_the_rules_find_an_import_from_above(name: str, source: str) -> None:
    assert forbidden_imports(name, ast.parse(source)) != []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (reaching_out, "import os"),
        (reaching_out, "from pathlib import Path"),
        (reaching_out, "from time import monotonic"),
        (reaching_out, "open('file')"),
        (exits, "import sys\nsys.exit(1)"),
        (exits, "raise SystemExit"),
        (exits, "exit()"),
        (prints, "print('text')"),
        (prints, "sys.stdout.write('text')"),
    ],
)
def test_the_rules_find(rule: Callable[[ast.AST], list[str]], source: str) -> None:
    assert rule(ast.parse(source)) != []


def test_the_rules_let_messages_through() -> None:
    assert prints(ast.parse("print('text', file=sys.stderr)")) == []
