"""What an experiment says becomes messages that are not too long."""

from __future__ import annotations

import json
import os
from typing import Any

from lab.cell.claims.recorder import Recorder
from lab.cell.worker.message_reader import LONGEST_MESSAGE
from lab.judging.verdicts import _samples
from lab.model.cell import Record

#: What a round of many arms has, as on a machine with very many CPUs.
ROUND = {f"{number} processes (forkserver)": {"rate": 12.5, "words": "x" * 150} for number in range(90)}


def messages(*rounds: Any) -> list[Any]:
    """What arrives of these rounds."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    recorder = Recorder(writing, 1.0, 0.01)
    for values in rounds:
        recorder.sample("round", values)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert max(map(len, lines)) <= LONGEST_MESSAGE
    return [json.loads(line) for line in lines]


def records(said: list[Any]) -> list[Record]:
    return [Record(session="s", cell="c", seq=0, kind="sample", time=0.0, data=data) for data in said]


def test_a_round_of_very_many_arms_comes_in_parts_and_is_whole_again() -> None:
    small = {"1 worker": {"rate": 1.0}}
    said = messages(small, ROUND, small)
    assert len(said) > 4
    assert [data.get("more", False) for data in said] == [False, *[True] * (len(said) - 3), False, False]
    assert list(_samples(records(said))) == [("round", small), ("round", ROUND), ("round", small)]


def test_a_round_without_its_last_part_is_none() -> None:
    assert list(_samples(records(messages(ROUND)[:-1]))) == []
