"""The line of a key in a TOML document."""

from __future__ import annotations

import pytest

from lab.planning.toml_lines import line_of

TEXT = """\
[project]
name = "work"

[tool.multicore-lab]
engine = "local"

[tool.multicore-lab.targets.parse]
scale = "work.py:parse"  # setup = "not here"
gates.speedup = {at = 2, executor = "threads", min = 1.7}

[tool.multicore-lab.targets."a b".gates]
efficiency = [
  {at = 2, executor = "threads", min = 0.8},
]

[[other.list]]
scale = 1
[[other.list]] # the second
text = \"\"\"
scale = 2
\"\"\"
# scale = 3
scale = 4
list = [
  {at = 1}, # at = 2
  {at = 2,
   max = 3},
]
"last" = 5
"""

ABOVE = ("tool", "multicore-lab")
PARSE = (*ABOVE, "targets", "parse")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("project", "name"), 2),
        (ABOVE, 4),
        ((*ABOVE, "engine"), 5),
        (PARSE, 7),
        ((*PARSE, "scale"), 8),
        ((*PARSE, "gates", "speedup"), 9),
        ((*PARSE, "gates", "speedup", "min"), 9),
        ((*PARSE, "setup"), 7),
        ((*ABOVE, "targets", "a b", "gates", "efficiency"), 12),
        ((*ABOVE, "targets", "a b", "gates", "efficiency", 0, "executor"), 13),
        (("other", "list", 0, "scale"), 17),
        (("other", "list", 1, "scale"), 23),
        (("other", "list", 1, "list", 0, "at"), 25),
        (("other", "list", 1, "list", 1, "at"), 26),
        (("other", "list", 1, "list", 1, "max"), 27),
        (("other", "list", 1, "last"), 29),
        (("nowhere",), 0),
    ],
)
def test_the_line_of_a_key(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, path) == line
