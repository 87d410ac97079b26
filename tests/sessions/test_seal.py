"""Seals: what was edited is named, down to the record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.sessions import seal

RECORDS = b"".join(b'{"seq":%d}\n' % number for number in range(20))
MANIFEST = json.dumps({"schema": 1, "arguments": {"seed": 1}, "report": {"verdicts": ["a"], "cells": []}}).encode()
FILES = {"session.json": MANIFEST, "cpu1.jsonl": RECORDS, "cpu2.jsonl": RECORDS, "cell.zip": b"code"}
SEAL = json.loads(json.dumps(seal.seal(FILES)))


def test_what_was_not_changed_is_as_it_was_sealed() -> None:
    assert seal.differences(SEAL, FILES) == ()


@given(place=st.integers(0, len(RECORDS) - 1), byte=st.integers(0, 255))
def test_a_byte_changed_anywhere_in_the_records_is_found_and_its_file_named(place: int, byte: int) -> None:
    edited = RECORDS[:place] + bytes([byte]) + RECORDS[place + 1 :]
    differences = seal.differences(SEAL, {**FILES, "cpu2.jsonl": edited})
    assert len(differences) == (edited != RECORDS)
    assert all(line.startswith("cpu2.jsonl was changed: ") for line in differences)


@given(number=st.integers(0, 19))
def test_the_number_of_an_edited_record_is_named(number: int) -> None:
    lines = RECORDS.splitlines(keepends=True)
    lines[number] = lines[number].replace(b"seq", b"sea")
    assert seal.differences(SEAL, {**FILES, "cpu1.jsonl": b"".join(lines)}) == (
        f"cpu1.jsonl was changed: record {number}",
    )


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        pytest.param({"cpu1.jsonl": None}, "cpu1.jsonl is missing", id="missing"),
        pytest.param({"cpu3.jsonl": RECORDS}, "cpu3.jsonl was not there when it was sealed", id="more"),
        pytest.param(
            {"cpu1.jsonl": RECORDS[:-11]},
            "cpu1.jsonl was changed: 20 records then, 19 now, the same up to record 19",
            id="cut short",
        ),
        pytest.param({"cell.zip": b"edited"}, "cell.zip was changed (4 bytes then, 6 now)", id="the code"),
        pytest.param(
            {"session.json": MANIFEST.replace(b'"a"', b'"b"')},
            "session.json was changed: report: verdicts",
            id="the report",
        ),
        pytest.param(
            {"session.json": MANIFEST.replace(b'"seed": 1', b'"seed": 2')},
            "session.json was changed: arguments",
            id="the arguments",
        ),
        pytest.param({"session.json": b"{"}, "session.json was changed: it is not JSON any more", id="torn manifest"),
    ],
)
def test_each_change_is_named(changed: dict[str, bytes | None], difference: str) -> None:
    files = {name: content for name, content in {**FILES, **changed}.items() if content is not None}
    assert seal.differences(SEAL, files) == (difference,)


def test_what_was_put_beside_it_later_is_no_damage() -> None:
    assert seal.differences(SEAL, {**FILES, "report.html": b"page"}) == ()
