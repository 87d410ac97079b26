"""CPU lists: text to tuple and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cell.cpus import cpulist

IDS = st.sets(st.integers(0, 5000), max_size=60)


@given(IDS)
def test_what_is_rendered_reads_back_as_the_same_cpus(ids: set[int]) -> None:
    assert cpulist.parse(cpulist.render(ids)) == tuple(sorted(ids))


@given(IDS)
def test_a_rendered_list_is_the_shortest_there_is(ids: set[int]) -> None:
    runs = cpulist.render(ids).split(",") if ids else []
    starts = [cpu for cpu in ids if cpu - 1 not in ids]
    assert len(runs) == len(starts)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        pytest.param("0-3,8", (0, 1, 2, 3, 8), id="ranges and ids"),
        pytest.param("8,0-1", (0, 1, 8), id="any order"),
        pytest.param("0-2,1-3", (0, 1, 2, 3), id="overlapping"),
        pytest.param(" 0 , 2\n", (0, 2), id="blanks and a newline"),
        pytest.param("", (), id="empty"),
        pytest.param("\n", (), id="as the kernel writes an empty one"),
        pytest.param("5-5", (5,), id="a range of one"),
    ],
)
def test_the_kernels_way_of_writing_is_read(text: str, ids: tuple[int, ...]) -> None:
    assert cpulist.parse(text) == ids


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "0-1-2", "1.5", "0;1", "²", "9" * 5000])
def test_what_is_not_a_list_is_refused_with_what_was_seen(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a CPU id or a range|runs backwards"):
        cpulist.parse(text)


@pytest.mark.parametrize(("text", "ids"), [("0-1,4", {0, 1, 4}), (None, set()), ("(null)", None), ("0-9999999", None)])
def test_a_list_in_a_file_that_may_be_damaged(text: str | None, ids: set[int] | None) -> None:
    assert cpulist.members(text) == ids
