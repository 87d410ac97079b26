"""The reader of records: whole streams, torn streams, and bytes that are no stream at all."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lab.cell.worker.record_writer import LONGEST_RECORD
from lab.judging.records import Reader, read_records
from lab.model.cell import Record
from tests.support import scripts

WHOLE = scripts.stream("cpu2", (0, 1), {"pipe": scripts.pipe(), "pool": scripts.pool(2)})
LINES = WHOLE.splitlines(keepends=True)


def record(**changes: Any) -> bytes:
    """One record as a line, with these fields changed."""
    fields = {"schema": 1, "session": "s", "cell": "c", "seq": 0, "kind": "begin", "time": 1.0}
    return json.dumps({**fields, "data": {"experiment": "pipe"}, **changes}).encode() + b"\n"


def test_a_whole_stream_has_all_its_records_and_no_fault() -> None:
    reader = read_records(WHOLE)
    assert reader.faults == []
    assert [record.seq for record in reader.records] == list(range(len(LINES)))
    assert reader.records[0].kind == "start"
    assert reader.records[-1].kind == "end"


def test_of_what_the_records_have_in_common_there_is_one_copy() -> None:
    messages = [*scripts.pool(2), scripts.tell("task 0 begins", 0.1, thread="MainThread")]
    records = read_records(scripts.stream("cpu2", (0, 1), {"pool": [*messages, *messages]})).records
    assert len({id(each.cell) for each in records}) == len({id(each.session) for each in records}) == 1
    for name in ("experiment", "name", "thread"):
        held = [each.data[name] for each in records if name in each.data]
        assert len({id(text) for text in held}) == len(set(held)) < len(held)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=30))
def test_the_pieces_in_which_a_stream_comes_make_no_difference(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    reader = Reader()
    completed: list[Record] = []
    for start, stop in itertools.pairwise(places):
        completed += reader.feed(WHOLE[start:stop])
    reader.finish()
    assert reader.faults == []
    assert completed == reader.records == read_records(WHOLE).records


@given(st.integers(0, len(LINES) - 1))
def test_a_line_that_is_missing_is_noticed(number: int) -> None:
    assert read_records(b"".join(LINES[:number] + LINES[number + 1 :])).faults


@given(st.integers(0, len(LINES) - 1))
def test_a_line_that_came_twice_is_noticed(number: int) -> None:
    assert read_records(b"".join(LINES[: number + 1] + LINES[number:])).faults


@given(st.permutations(LINES))
def test_lines_out_of_order_are_noticed(lines: list[bytes]) -> None:
    assume(lines != LINES)
    assert read_records(b"".join(lines)).faults


@given(st.integers(0, len(WHOLE) - len(LINES[-1]) - 1), st.integers(1, 255))
def test_an_altered_byte_before_the_end_record_is_noticed(place: int, change: int) -> None:
    altered = bytearray(WHOLE)
    altered[place] ^= change
    assert read_records(bytes(altered)).faults


@pytest.mark.parametrize(("field", "value"), [("records", 1), ("sha256", "0" * 64)])
def test_a_count_or_a_hash_that_is_wrong_is_noticed(field: str, value: object) -> None:
    end = json.loads(LINES[-1])
    end["data"][field] = value
    reader = read_records(b"".join(LINES[:-1]) + json.dumps(end).encode() + b"\n")
    assert reader.faults == ["the count or the hash in the end record does not match what came"]


@given(st.integers(0, len(WHOLE) - 1))
def test_a_stream_that_is_cut_off_is_noticed_and_what_came_is_kept(length: int) -> None:
    reader = read_records(WHOLE[:length])
    assert reader.faults
    assert reader.records == read_records(WHOLE).records[: WHOLE[:length].count(b"\n")]


@given(st.integers(0, len(LINES)), st.binary(min_size=1, max_size=50))
def test_a_line_that_does_not_belong_is_noticed_and_the_others_are_kept(number: int, line: bytes) -> None:
    assume(b"\n" not in line)
    reader = read_records(b"".join([*LINES[:number], line + b"\n", *LINES[number:]]))
    assert reader.faults
    assert reader.records == read_records(WHOLE).records


@given(st.binary(max_size=2000))
@example(b"[" * 8000 + b"\n")
@example(b'{"a":' * 1500 + b"\n")
@example(b"9" * 8000 + b"\n")
@example(b'"\\ud800"\n')
@example(b"null\n[]\n3\n{}\n")
@example(b'{"kind": "refused"}\n')
@example(b'{"kind": "refused", "reason": ["a"]}\n{"kind": []}\n')
def test_no_bytes_whatever_make_it_raise(raw: bytes) -> None:
    reader = Reader()
    for start in range(0, len(raw), 700):
        reader.feed(raw[start : start + 700])
    reader.finish()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["schema", "session", "cell", "seq", "kind", "time", "data", "extra"]), JSON)
def test_a_record_with_a_field_of_the_wrong_kind_is_no_record_and_makes_nothing_raise(
    field: str, value: object
) -> None:
    reader = read_records(record(**{field: value}))
    assert len(reader.records) <= 1
    assert reader.faults
    for each in reader.records:
        assert isinstance(each.kind, str)
        assert isinstance(each.time, float | int)
        assert isinstance(each.data, dict)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        pytest.param("finish", {"experiment": "pipe"}, id="an end without an outcome"),
        pytest.param("finish", {"outcome": "ok", "reason": None}, id="an end of nothing"),
        pytest.param("begin", {}, id="a beginning of nothing"),
        pytest.param("observation", {"experiment": "pipe", "name": "answered"}, id="an observation without a value"),
        pytest.param("observation", {"experiment": "pipe", "value": 1}, id="an observation without a name"),
        pytest.param("observation", {"experiment": "pipe", "value": 1, "name": []}, id="a name that is a list"),
        pytest.param("sample", {"experiment": "gil", "name": "round"}, id="a sample without values"),
        pytest.param("sample", {"experiment": "gil", "name": "round", "values": 3}, id="a sample that is a number"),
        pytest.param("event", {"experiment": "pipe", "text": "hello"}, id="an event without a time"),
        pytest.param("start", {"python": {}}, id="a start without a proof"),
        pytest.param("start", {"python": {}, "proof": []}, id="a proof that is a list"),
    ],
)
def test_a_record_that_lacks_what_its_kind_must_say_is_no_record(kind: str, data: dict[str, Any]) -> None:
    reader = read_records(record(kind=kind, data=data))
    assert reader.records == []
    assert any("not a record" in fault for fault in reader.faults)


def test_a_record_of_another_schema_is_named() -> None:
    assert "a record of another schema" in read_records(record(schema=2)).faults


def test_a_megabyte_without_a_newline_is_one_fault_and_costs_no_memory() -> None:
    reader = Reader()
    for line in LINES[:3]:
        reader.feed(line)
    for _ in range(1024):
        reader.feed(b"x" * 1024)
        assert len(reader._pending) <= LONGEST_RECORD
    reader.feed(b"\n" + b"".join(LINES[3:]))
    reader.finish()
    assert reader.faults == [f"a line longer than {LONGEST_RECORD} bytes"]
    assert len(reader.records) == len(LINES)


def test_an_overlong_line_that_comes_in_one_piece_is_a_fault_too() -> None:
    padded = record(data={"experiment": "pipe", "padding": "x" * LONGEST_RECORD})
    assert f"a line longer than {LONGEST_RECORD} bytes" in read_records(padded).faults


def test_invalid_utf8_is_shown_readably() -> None:
    reader = read_records(b"\xff\xfe broken\n" + WHOLE)
    assert reader.faults == ["a line that is not a record: '\\\\xff\\\\xfe broken'"]
    assert len(reader.records) == len(LINES)


def test_no_record_at_all_is_said_so() -> None:
    assert read_records(b"").faults == ["no record came"]


def test_a_worker_that_refuses_is_heard_and_is_not_a_torn_stream() -> None:
    reader = read_records(b'{"kind": "refused", "reason": "Python 3.6"}\n')
    assert reader.refusal == "Python 3.6"
    assert reader.faults == []


def test_a_fault_that_repeats_is_told_once() -> None:
    assert len(read_records(b"?\n" * 100).faults) == 2  # the line, and that no record came


def test_faults_of_a_thousand_kinds_are_told_in_a_few_lines() -> None:
    reader = read_records(b"".join(b"noise %d\n" % number for number in range(1000)) + WHOLE)
    assert len(reader.faults) <= 10
    assert len(reader.records) == len(LINES)


def test_a_stream_that_is_no_workers_is_not_read_to_its_end() -> None:
    reader = read_records(WHOLE + b"y\n" * 2**20)
    assert [record.kind for record in reader.records] == [record.kind for record in read_records(WHOLE).records]
    assert "more than 1000 lines are not records; the rest is not read" in reader.faults


LOADS = """
import signal, sys

left, loading = int(sys.argv[1]), False


def hook(event, arguments):
    global left, loading
    if event == "import":
        loading = loading or arguments[0] == "orjson.orjson"
        left -= loading
        if left == -1:
            left = -sys.maxsize
            signal.raise_signal(signal.SIGINT)


sys.addaudithook(hook)
import lab.judging.records
"""


@pytest.mark.parametrize("moment", [0, 1, 2, 5, 10])
def test_ctrl_c_while_the_reader_of_json_loads_does_not_crash(moment: int) -> None:
    done = subprocess.run([sys.executable, "-c", LOADS, str(moment)], capture_output=True, text=True, check=False)
    assert done.returncode in (130, -signal.SIGINT), done
    assert "KeyboardInterrupt" in done.stderr
