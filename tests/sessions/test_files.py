"""Files in folders of others: no link is followed in writing, and nothing but a regular file is read or written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.sessions import files
from tests.sessions.test_loading import stored
from tests.support import scripts
from tests.support.terminal import Lab

SESSION = scripts.every_kind()["expected"]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "report.html"
    precious.write_text("keep me")
    link.symlink_to(precious)
    files.replace_file(link, b"page")
    assert (precious.read_text(), link.read_bytes(), link.is_symlink()) == ("keep me", b"page", False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "report.html"]


@pytest.mark.parametrize("append", [False, True])
def test_a_stream_does_not_follow_a_link(tmp_path: Path, append: bool) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        files.open_to_write(tmp_path / "link", append=append)
    assert not (tmp_path / "precious").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "folder"])
def test_what_is_no_file_is_neither_read_nor_written(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    for act in (files.open_to_read, files.open_to_write, lambda path: files.replace_file(path, b"")):
        with pytest.raises(OSError, match=r"regular file|Is a directory|No such device"):
            act(tmp_path / "x")


def test_a_device_is_neither_read_nor_replaced() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        files.read_file(Path("/dev/zero"))
    with pytest.raises(OSError, match="not a regular file"):
        files.replace_file(Path("/dev/null"), b"")


def test_what_is_written_has_the_usual_rights_and_can_be_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    files.replace_file(path, b"a")
    with files.open_to_write(path, append=True) as stream:
        stream.write(b"b")
    assert path.read_bytes() == b"ab"
    usual = tmp_path / "usual"
    usual.touch()
    assert path.stat().st_mode == usual.stat().st_mode
    with files.open_to_write(path) as stream:
        stream.write(b"c")
    assert path.read_bytes() == b"c"


@pytest.mark.parametrize("name", ["session.json", "cpu1.jsonl"])
def test_a_session_with_a_fifo_is_refused_at_once(lab: Lab, tmp_path: Path, name: str) -> None:
    folder = stored(SESSION, tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    code, out, err = lab("report", str(folder), "--terminal")
    assert (code, out) == (3, "")
    assert f"cannot read {folder / name}: it is not a regular file" in err


def test_the_page_does_not_follow_a_link(lab: Lab, tmp_path: Path) -> None:
    folder = stored(SESSION, tmp_path)
    (folder / "report.html").symlink_to(tmp_path / "elsewhere")
    assert lab("report", str(folder))[0] == 0
    assert not (tmp_path / "elsewhere").exists()
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
