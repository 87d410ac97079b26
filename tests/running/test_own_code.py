"""The cases of several builds become one list, and a long measurement is announced."""

from __future__ import annotations

from lab.cell.targets.case import FILE, Case, Times
from lab.cell.targets.look_up import Found
from lab.running.own_code import duration_line, joined

A, B, C = (Case(label=f"work.py:{name}", source=FILE, where="work.py", name=name) for name in "abc")


def test_a_case_of_several_builds_has_its_longest_times_and_what_one_of_them_lacks_is_left_out() -> None:
    slow = A._replace(call_seconds=2.0, times={"2": Times(30.0, 200.0)})
    quick = A._replace(call_seconds=0.02, times={"2": Times(40.0, 2.0), "4": Times(3.0, 4.0)})
    for on_builds in (
        {"3.13": Found([slow, B], []), "3.14": Found([quick, C], [("work.py:d", "raised")])},
        {"3.14": Found([quick, C], [("work.py:d", "raised")]), "3.13": Found([slow, B], [])},
    ):
        cases, left_out = joined(on_builds)
        assert cases == [A._replace(call_seconds=2.0, times={"2": (40.0, 200.0), "4": (3.0, 4.0)})]
        assert dict(left_out) == {
            "work.py:b": "on 3.14: it is not there",
            "work.py:c": "on 3.13: it is not there",
            "work.py:d": "on 3.14: raised",
        }
    assert joined({"": Found([quick], [("work.py:d", "raised")])}) == Found([quick], [("work.py:d", "raised")])


def test_a_long_measurement_is_announced_with_its_length() -> None:
    slow, quick = A._replace(call_seconds=2.0, times={"2": (30.0, 200.0)}), B._replace(times={"2": (2.0, 1.5)})
    assert duration_line([quick, quick], 2, 4.0) == ""
    assert duration_line([slow], 2, 4.0) == (
        "work.py:a: a call takes 2.0 s, so a cell of 2 CPUs takes about 3 min 50 s for it,"
        " and up to three times as long where noise leaves open what to take"
    )
    items = slow._replace(items="xs", call_seconds=1.0)
    assert "work.py:a: a plain loop over the items takes 1.0 s, so" in duration_line([items], 2, 4.0)
    assert duration_line([quick, slow], 2, 4.0).endswith("; all 2 functions take about 3 min 56 s")
    assert "three times" not in duration_line([slow._replace(against={"label": "old"})], 2, 16.0)
