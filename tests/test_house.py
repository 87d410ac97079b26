"""The house as a newcomer meets it: few rooms, short functions, and texts that can be read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support import house
from tests.test_layers import MODULES, broken, nodes, parsed

MOST_WORDS = 30


def test_the_first_floor_plan_fits_a_glance() -> None:
    assert len(house.modules_at_the_top()) <= 8
    assert len(house.packages()) <= 14
    assert house.floors() <= 9


def test_every_function_fits_a_screen_or_nearly() -> None:
    lengths = sorted(house.functions())
    assert lengths[-1][0] <= 60, lengths[-1][1]
    assert sum(length > house.SCREEN_LINES for length, _ in lengths) <= 0.01 * len(lengths)


def docstrings(tree: ast.Module) -> Iterator[str]:
    """The docstring of the module, and of every class and function in it."""
    for node in nodes(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def sentences(docstring: str) -> Iterator[str]:
    """The sentences of a docstring; an indented example and the items of a list are none."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.splitlines()
        if lines[0].startswith("    "):
            continue
        for item in re.split(r"\n(?=- )", paragraph):
            yield from re.split(r"(?<=[.!?:])\s+(?=[^a-z])", " ".join(item.removeprefix("- ").split()))


def long_sentences(name: str) -> list[str]:
    """The sentences of a module's docstrings that have too many words."""
    all_sentences = [sentence for text in docstrings(parsed(name)) for sentence in sentences(text)]
    return [sentence for sentence in all_sentences if len(sentence.split()) > MOST_WORDS]


def test_no_sentence_of_a_docstring_is_too_long() -> None:
    assert broken(long_sentences) == {}


def undescribed(name: str) -> Iterator[str]:
    """The attributes of data classes that no line describes."""
    lines = MODULES[name].read_text("utf-8").splitlines()
    for node in nodes(parsed(name)):
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        is_data = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        if not is_data and "NamedTuple" not in [ast.unparse(base) for base in node.bases]:
            continue
        docstring = ast.get_docstring(node) or ""
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                attribute = statement.target.id
                above = lines[statement.lineno - 2].strip()
                inline = "  # " in lines[statement.lineno - 1]
                listed = re.search(rf"^\W*{attribute}\W", docstring, re.MULTILINE)
                if not (above.startswith("#:") or inline or listed):
                    yield f"{node.name}.{attribute}"


def test_every_attribute_of_a_data_class_has_a_line_of_its_own() -> None:
    assert broken(lambda name: list(undescribed(name))) == {}


@pytest.mark.parametrize(
    ("docstring", "longest"),
    [
        ("One two. Three four five.", 3),
        ("Some text:\n\n    not a sentence at all, but an example\n\nTwo words.", 2),
        ("A list:\n\n- one two three\n- four", 3),
        ("It reads ``a.b`` and e.g. this.", 6),
    ],
)
def test_sentences_are_told_apart(docstring: str, longest: int) -> None:
    assert max(len(sentence.split()) for sentence in sentences(docstring)) == longest
