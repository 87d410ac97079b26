"""The channel of records, where a file has them too: a reader or a disk that fails loses none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cell.worker import record_writer
from lab.cell.worker.record_writer import Channel
from lab.judging.records import read_records


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe, as (reader, writer)."""
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test has closed it


def emit(channel: Channel, count: int) -> None:
    """Write so many records and the end record."""
    for number in range(count):
        channel.emit("observation", {"experiment": "e", "name": str(number), "value": "x" * 1000})
    channel.end({})


def is_whole(stream: bytes, count: int) -> bool:
    reader = read_records(stream)
    return not reader.faults and len(reader.records) == count + 1


@pytest.mark.parametrize("is_gone", [True, False], ids=["the reader has gone", "the reader takes nothing"])
def test_without_its_reader_the_file_has_all_records(
    pipe: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    monkeypatch.setattr(record_writer, "_READER_SECONDS", 0.01)
    reader, writer = pipe
    if is_gone:
        os.close(reader)
    file = tmp_path / "records"
    channel = Channel(writer, "s", "c", str(file))
    emit(channel, 100)  # more than a pipe holds
    assert is_whole(file.read_bytes(), 100)
    channel.remove_copy()
    assert file.exists()
    if not is_gone:
        assert file.read_bytes().startswith(os.read(reader, 2**20))


def test_with_its_reader_the_file_is_a_copy_that_can_be_removed(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = pipe
    file = tmp_path / "records"
    channel = Channel(writer, "s", "c", str(file))
    emit(channel, 3)
    assert file.read_bytes() == os.read(reader, 2**16)
    assert file.stat().st_mode & 0o777 == 0o600
    channel.remove_copy()
    assert not file.exists()


@pytest.mark.parametrize("copy", ["/dev/full", "/nowhere/records"])
def test_without_room_for_the_file_the_reader_has_all_records(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, copy: str
) -> None:
    if copy == "/dev/full":
        monkeypatch.setattr(record_writer, "_new_file", lambda path: os.open(path, os.O_WRONLY))
    reader, writer = pipe
    emit(Channel(writer, "s", "c", copy), 3)
    assert is_whole(os.read(reader, 2**16), 3)
