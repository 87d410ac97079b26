"""Objects as YAML for people, which is read again as it was written."""

from __future__ import annotations

import string
import sys
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lab.engines.kubernetes_yaml import document
from lab.errors import MissingExtraError

#: Letters that mean something in YAML, and some that do not.
TEXTS = st.text(
    string.ascii_letters + string.digits + ":#-?|>&*!%@`'\"\\{}[],~= \t\n\r.$é€😀\x07\x7f\x85\u2028", max_size=40
)
SCALARS = TEXTS | st.integers() | st.booleans() | st.none() | st.sampled_from(["yes", "null", "1e3", "0x1F", "~", ""])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=20
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
@example({"\n\x85": "one\r\ntwo\u2028three\n"})  # ends of lines that are not those of a block
def test_whatever_is_written_is_read_again(value: dict[str, Any]) -> None:
    assert yaml.safe_load(document(value)) == value


def test_it_reads_like_yaml() -> None:
    args = ["-c", "import sys\n\nif sys:\n    pass\n", '{"a": 1}', "1"]
    value = {"kind": "Job", "spec": {"args": args, "volumes": [{"a/b": True, "on": []}]}}
    assert document(value).splitlines() == [
        "---",
        "kind: Job",
        "spec:",
        "  args:",
        '  - "-c"',
        "  - |",
        "    import sys",
        "",
        "    if sys:",
        "        pass",
        r'  - "{\"a\": 1}"',
        '  - "1"',
        "  volumes:",
        "  - a/b: true",
        '    "on": []',
    ]


@pytest.mark.parametrize("text", ["12e4567", "0o17", "1_000", "12:30", "y", ".5", "0b1"])
def test_what_another_reader_may_take_for_a_number_has_quotes(text: str) -> None:
    assert document({"value": text}) == f'---\nvalue: "{text}"\n'


def test_what_stands_there_twice_is_written_twice() -> None:
    labels = {"a": "b"}
    assert document({"one": labels, "other": labels}) == "---\none:\n  a: b\nother:\n  a: b\n"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"\[kubernetes\]"):
        document({})
