"""The figures of the source tree: ``python -m tests.support.house`` prints them as a table.

The rules that these figures follow from are in ``tests/test_layers.py``.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator

from tests.test_layers import MODULES, PACKAGE, ROWS, forbidden_imports, imports_of_the_lab, nodes, parsed, part

#: A function of more lines than this does not fit a screen.
SCREEN_LINES = 40


def packages() -> list[str]:
    """The folders directly in ``lab/``."""
    return sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__")


def modules_at_the_top() -> list[str]:
    """The modules directly in ``lab/``."""
    return [name for name in MODULES if "/" not in name]


def arrows() -> set[tuple[str, str]]:
    """Every pair of different packages (or modules at the top) of which the first imports the second."""
    pairs = {(part(name), part(imported)) for name in MODULES for imported in imports_of_the_lab(parsed(name))}
    return {(importer, imported) for importer, imported in pairs if importer != imported and imported != "__init__"}


def floors() -> int:
    """The longest chain of packages in which each imports the next."""
    below: dict[str, set[str]] = {}
    for importer, imported in arrows():
        below.setdefault(importer, set()).add(imported)

    def height(name: str) -> int:
        return 1 + max((height(imported) for imported in below.get(name, ())), default=0)

    return max(height(name) for name in below)


def arrows_up() -> list[tuple[str, str]]:
    """Every import that leads to the importer's own row or to a row above it."""
    return [(name, imported) for name in MODULES for imported in forbidden_imports(name, parsed(name))]


def functions() -> Iterator[tuple[int, str]]:
    """The length in lines and the name of every function, nested ones too."""
    for name in MODULES:
        for node in nodes(parsed(name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield node.end_lineno - node.lineno + 1, f"lab/{name}.py: {node.name}"


def figures() -> list[tuple[str, object]]:
    """The name and the value of every figure."""
    lengths = sorted(functions())
    longest, where = lengths[-1]
    long = sum(length > SCREEN_LINES for length, _ in lengths)
    sizes = sorted((len(path.read_text("utf-8").splitlines()), name) for name, path in MODULES.items())
    return [
        ("modules directly in lab/", len(modules_at_the_top())),
        ("folders directly in lab/", len(packages())),
        ("floors of packages", floors()),
        ("arrows between packages", len(arrows())),
        ("arrows up or to a neighbour", len(arrows_up())),
        ("rows of the layer table", len(ROWS)),
        ("exceptions to it", 0),
        ("modules", len(MODULES)),
        ("longest module, lines", f"{sizes[-1][0]} (lab/{sizes[-1][1]}.py)"),
        ("functions", len(lengths)),
        ("median function, lines", statistics.median(length for length, _ in lengths)),
        ("longest function, lines", f"{longest} ({where})"),
        (f"functions over {SCREEN_LINES} lines", f"{long} ({100 * long / len(lengths):.1f} %)"),
    ]


if __name__ == "__main__":
    for label, value in figures():
        print(f"{label:30} {value}")
