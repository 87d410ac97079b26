"""YAML as it is written for people, and read again by a library that knows the whole language."""

from __future__ import annotations

import string
from typing import Any

import yaml as library
from hypothesis import given
from hypothesis import strategies as st

from lab.text import yaml

#: Letters that mean something in YAML, and some that do not.
TEXTS = st.text(
    string.ascii_letters + string.digits + ":#-?|>&*!%@`'\"\\{}[],~= \t\n\r.$é€😀\x07\x7f\x85\u2028", max_size=40
)
SCALARS = TEXTS | st.integers() | st.booleans() | st.none() | st.sampled_from(["yes", "null", "1e3", "0x1F", "~", ""])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=20
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_whatever_is_written_is_read_again(value: dict[str, Any]) -> None:
    assert library.safe_load(yaml.document(value)) == value


def test_it_reads_like_yaml() -> None:
    args = ["-c", "import sys\n\nif sys:\n    pass\n", '{"a": 1}', "1"]
    value = {"kind": "Job", "spec": {"args": args, "volumes": [{"a/b": True, "on": []}]}}
    assert yaml.document(value).splitlines() == [
        "---",
        "kind: Job",
        "spec:",
        "  args:",
        '    - "-c"',
        "    - |",
        "      import sys",
        "",
        "      if sys:",
        "          pass",
        """    - '{"a": 1}'""",
        '    - "1"',
        "  volumes:",
        "    - a/b: true",
        '      "on": []',
    ]
