"""Which of the user's files are sent to a host."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from lab.engines import sent_code
from lab.errors import UsageError


def project(folder: Path) -> Path:
    for name in ("task.py", "package/part.py", "data/big.bin", ".git/config", "__pycache__/task.pyc", ".env"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
    (folder / "env" / "lib").mkdir(parents=True)
    for name in ("pyvenv.cfg", "lib/module.py"):
        (folder / "env" / name).write_text("home = /usr\n")
    (folder / "link.py").symlink_to("task.py")
    for link, target in (("alias", "package"), ("tools", "env"), (".hidden", "package")):
        (folder / link).symlink_to(target)
    (folder / "task.py").chmod(0o600)
    return folder


def test_what_cells_need_is_sent_so_that_everybody_may_read_it(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(sent_code._archive(project(tmp_path)))) as archive:
        assert archive.getnames() == ["alias", "link.py", "task.py", "data/big.bin", "package/part.py"]
        assert archive.getmember("task.py").mode & 0o444 == 0o444
        assert archive.getmember("link.py").issym()
        assert archive.getmember("alias").linkname == "package"


def test_a_folder_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_code, "_MOST_BYTES", 1000)
    with pytest.raises(UsageError, match=r"name a smaller folder with --project"):
        sent_code._archive(project(tmp_path))
