"""Builds as the user names them: what is read, what is refused, and in what order they come."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.model import build as builds
from lab.model.build import Build, parse_build, parse_builds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.9", Build(version=(3, 9))),
        ("3.10", Build(version=(3, 10))),
        ("3.13t", Build(version=(3, 13), free_threaded=True)),
        ("3.13t+gil", Build(version=(3, 13), free_threaded=True, gil=True)),
        ("3.13t+nogil", Build(version=(3, 13), free_threaded=True, gil=False)),
        ("3.14+cpu_count=3", Build(version=(3, 14), cpu_count=3)),
        ("3.14t+gil+cpu_count=3", Build(version=(3, 14), free_threaded=True, gil=True, cpu_count=3)),
        ("pypy3.10", Build(version=(3, 10), implementation="pypy")),
        ("/opt/python/bin/python3", Build(version=None, path="/opt/python/bin/python3")),
        ("./python", Build(version=None, path="./python")),
        ("~/python", Build(version=None, path="~/python")),
        ("/opt/python+gil", Build(version=None, path="/opt/python", gil=True)),
        ("/opt/c++/python", Build(version=None, path="/opt/c++/python")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_build_is_read_and_written_alike(text: str, expected: Build) -> None:
    assert parse_build(text) == expected
    assert parse_build(text).label == text


def test_the_order_of_options_does_not_matter() -> None:
    assert parse_build("3.13t+cpu_count=2+gil") == parse_build("3.13t+gil+cpu_count=2")
    assert parse_build("3.13t+cpu_count=2+gil").label == "3.13t+gil+cpu_count=2"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("3.13", ()),
        ("3.13t+gil", ("-X", "gil=1")),
        ("3.13t+nogil", ("-X", "gil=0")),
        ("3.14+cpu_count=3", ("-X", "cpu_count=3")),
        ("3.14t+gil+cpu_count=3", ("-X", "gil=1", "-X", "cpu_count=3")),
    ],
)
def test_options_become_arguments_of_the_interpreter(text: str, arguments: tuple[str, ...]) -> None:
    assert parse_build(text).arguments == arguments


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("3.13t", "3.13t"),
        ("3.13t+gil", "3.13t-gil"),
        ("3.14+cpu_count=3", "3.14-cpu_count-3"),
        ("/opt/my python/bin/python3.13+gil", "opt-my-python-bin-python3.13-gil"),
        ("./python", "python"),
    ],
)
def test_the_key_can_be_part_of_an_id(text: str, key: str) -> None:
    assert parse_build(text).key == key
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", key)  # as in the name of a container


#: From first to last.
ORDERED = (
    "3.9",
    "3.10",
    "3.13",
    "3.13+cpu_count=2",
    "3.13t",
    "3.13t+nogil",
    "3.13t+gil",
    "3.14",
    "pypy3.10",
    "/python",
)


def test_builds_are_ordered_by_version_and_then_with_a_gil_first() -> None:
    shuffled = [parse_build(text) for text in ORDERED]
    random.Random(1).shuffle(shuffled)
    assert [build.label for build in sorted(shuffled)] == list(ORDERED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("names no build", "3.13t")),
        ("3", ("first two numbers", "3.13")),
        ("3.13.5", ("first two numbers", "3.13")),
        ("3.13.0t", ("first two numbers",)),
        ("3.x", ("'3.x'", "3.13t")),
        ("python3.13", ("'python3.13'", "3.13t")),
        ("3.13T", ("'3.13T'",)),
        ("³.13", ("'³.13'",)),
        ("2.7", ("2.7 is too old", "3.9 or later")),
        ("3.8", ("3.8 is too old", "3.9 or later")),
        ("4.0", ("no Python 4",)),
        ("3.12t", ("3.13t", "first")),
        ("pypy3.8", ("too old",)),
        ("pypy3.13t", ("PyPy", "leave out the t")),
        ("pypy3.11+gil", ("PyPy", "leave them out")),
        ("3.13+gil", ("3.13t+gil", "free-threaded")),
        ("3.13+nogil", ("3.13t+gil", "free-threaded")),
        ("3.11+gil", ("3.13t+gil", "3.11 always has one")),
        ("3.12+cpu_count=2", ("3.13",)),
        ("3.13+cpu_count=0", ("'0'", "from 1")),
        ("3.13+cpu_count=-1", ("'-1'", "from 1")),
        ("3.13+cpu_count=1.5", ("'1.5'", "whole number")),
        ("3.13+cpu_count=99999999999", ("whole number",)),
        ("3.13+cpu_count=2147483648", ("whole number",)),
        ("3.13+cpu_count=", ("''", "whole number")),
        ("3.13+cpu_count", ("'cpu_count'", "cpu_count=N")),
        ("3.13t+GIL", ("'GIL'", "gil, nogil")),
        ("3.13t+", ("''", "gil, nogil")),
        ("3.13t+gil+gil", ("gil is set twice",)),
        ("3.13t+gil+nogil", ("gil is set twice",)),
        ("3.13+cpu_count=2+cpu_count=3", ("cpu_count is set twice",)),
        ("/opt/python/bin/", ("folder", "/opt/python/bin/python3")),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refused:
        parse_build(text)
    message = str(refused.value)
    assert message.startswith(f"build {text}: ")
    assert all(word in message for word in words), message


@given(st.text(alphabet="0123456789.tpy+gilnocu_=/-", max_size=20))
def test_whatever_is_typed_is_read_or_refused_and_reads_back_as_itself(text: str) -> None:
    try:
        build = parse_build(text)
    except UsageError:
        return
    assert parse_build(build.label) == build


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["3.14", "3.9"], ["3.14", "3.9"]),
        (["3.9,3.13t"], ["3.9", "3.13t"]),
        (["3.9, 3.13t", "3.14"], ["3.9", "3.13t", "3.14"]),
        (["all"], list(builds.ALL)),
        (["3.13t+gil", "3.13", "all"], ["3.13t+gil", "3.13", "3.9", "3.11", "3.13t", "3.14", "3.15"]),
        (["/opt/a,b/python"], ["/opt/a,b/python"]),
        (["/opt/3.9,3.13/python"], ["/opt/3.9,3.13/python"]),
        (["3.13,/opt/python"], ["3.13", "/opt/python"]),
        (["/opt/python, 3.13t+gil,~/python,b+gil"], ["/opt/python", "3.13t+gil", "~/python,b+gil"]),
        (["./a/python,../python"], ["./a/python", "../python"]),
    ],
    ids=[
        "in their order",
        "commas",
        "both",
        "all",
        "all and more",
        "a comma in a path",
        "a version in a path",
        "a path at the end",
        "paths and others",
        "two paths",
    ],
)
def test_several_are_read_in_their_order(values: list[str], labels: list[str]) -> None:
    assert [build.label for build in parse_builds(values)] == labels


@given(
    st.lists(st.sampled_from(["3.13", "all", "/a", "./b", "~/c", "d", "3.9/x", "3.13t+gil", "+gil", ""]), min_size=1)
)
def test_what_a_value_was_split_into_is_not_split_again(pieces: list[str]) -> None:
    value = ",".join(pieces)
    assert ",".join(builds.split_names(value)) == value
    assert [again for name in builds.split_names(value) for again in builds.split_names(name)] == builds.split_names(
        value
    )


def test_an_implementation_without_a_name_of_its_own_is_called_what_it_is() -> None:
    build = Build(version=(3, 11), implementation="graalpy")
    assert (build.name, build.has_name) == ("graalpy3.11", False)
    with pytest.raises(UsageError, match="GraalPy has none of these options"):
        builds.proven_build(parse_build("/python+cpu_count=2"), Build(version=(3, 13), implementation="graalpy"))


def test_all_stands_for_what_the_engine_has() -> None:
    assert [build.label for build in parse_builds(["all"], ["3.13t", "3.10"])] == ["3.10", "3.13t"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["3.9", "3.9"], ("3.9 is named twice",)),
        (["3.13t+gil+cpu_count=2", "3.13t+cpu_count=2+gil"], ("named twice",)),
        (["all", "all"], ("all is named twice",)),
        (["3.9,"], ("names no build",)),
        (["/a-b/python", "/a/b/python"], ("told apart",)),
    ],
    ids=["the same", "in another order", "all", "an empty one", "the same key"],
)
def test_several_that_would_be_mixed_up_are_refused(values: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refused:
        parse_builds(values)
    assert all(word in str(refused.value) for word in words), refused.value


def test_what_a_path_turned_out_to_be_decides_which_options_it_has() -> None:
    threads, usual = Build(version=(3, 13), free_threaded=True), Build(version=(3, 12))
    assert builds.proven_build(parse_build("/python+gil"), threads).version == (3, 13)
    assert builds.proven_build(parse_build("/python+gil"), threads).label == "/python+gil"
    for text in ("/python+gil", "/python+cpu_count=2"):
        with pytest.raises(UsageError, match=re.escape(text)):
            builds.proven_build(parse_build(text), usual)
