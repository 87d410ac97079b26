"""The file of a bundle: what was written is read, and what was cut short or edited is refused, before anything is used.

No engine is needed: a refused bundle never gets that far.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.containers.bundle_file import MANIFEST, BundleWriter, open_bundle
from lab.errors import StoreError, UsageError
from tests.support.terminal import Lab

FILES = {
    "wheels/a-1-py3-none-any.whl": b"a wheel" * 100,
    f"images/{'0' * 64}.tar": b"layers" * 3000,
    "wheels/empty": b"",
}
#: Longer than the name of a tar header.
LONG = f"wheels/{'long_' * 24}-1-py3-none-any.whl"
ABOUT = {"lab": "1", "images": [], "wheels": {"python": "3.13"}}


def write(path: Path, files: Mapping[str, bytes] = FILES, about: Mapping[str, Any] = ABOUT) -> str:
    """Write a bundle with these members, each in pieces of 1000 bytes. Returns the fingerprint."""
    with BundleWriter(path) as bundle:
        for name, content in files.items():
            bundle.add(name, (content[start : start + 1000] for start in range(0, len(content), 1000)))
        return bundle.finish(about)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole bundle."""
    write(tmp_path / "room.tar")
    return tmp_path / "room.tar"


def read(path: Path) -> dict[str, bytes]:
    with open_bundle(path) as bundle:
        return {name: b"".join(bundle.pieces(name)) for name in bundle.places if name != MANIFEST}


def test_what_was_written_is_read_also_by_other_programs(tmp_path: Path) -> None:
    path, files = tmp_path / "room.tar", {**FILES, LONG: b"x"}
    fingerprint = write(path, files)
    assert read(path) == files
    with open_bundle(path) as bundle:
        assert (bundle.fingerprint, bundle.about["lab"]) == (fingerprint, "1")
    with tarfile.open(path) as archive:
        assert archive.getnames() == [*files, MANIFEST]
        assert archive.extractfile(LONG).read() == b"x"  # type: ignore[union-attr]
    path.unlink()
    assert write(path, files) == fingerprint


def interrupted(path: Path) -> None:
    with BundleWriter(path) as bundle:
        bundle.add("wheels/a", [b"a"])
        raise KeyboardInterrupt


def test_a_bundle_that_is_not_finished_is_removed_and_none_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "room.tar"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert not path.exists()
    write(path)
    with pytest.raises(UsageError, match=r"is there already; remove it"):
        write(path, {})
    assert read(path) == FILES
    with pytest.raises(UsageError, match="No such file"):
        write(tmp_path / "no/room.tar")


def test_a_file_that_cannot_be_written_to_its_end_is_one_line_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "room.tar"
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(
            StoreError, match=r"cannot write .*room\.tar: File too large; name a file on a disk with room"
        ):
            write(path, {"wheels/a": bytes(2**18)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()


def rewritten(change: Callable[[tarfile.TarFile], None]) -> Callable[[Path], None]:
    """An edit that adds members to the archive, as ``tar --append`` does."""

    def edit(path: Path) -> None:
        with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
            change(archive)

    return edit


def add(name: str, content: bytes = b"evil", **fields: Any) -> Callable[[Path], None]:
    """An edit that adds a member with this name, whatever it is."""

    def change(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        info.size = len(content) if info.isreg() else 0
        archive.addfile(info, io.BytesIO(content))

    return rewritten(change)


def cut(share: float) -> Callable[[Path], None]:
    """An edit that leaves this share of the file."""
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def swap(old: bytes, new: bytes) -> Callable[[Path], None]:
    """An edit that puts some bytes in the place of others, as many."""

    def edit(path: Path) -> None:
        assert len(old) == len(new)
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    return edit


def forge(**manifest: Any) -> Callable[[Path], None]:
    """An edit that writes the whole bundle again, with another manifest."""

    def edit(path: Path) -> None:
        path.unlink()
        write(path, about={**ABOUT, **manifest})

    return edit


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


EDITS = {
    "cut in the first member": (cut(0.03), "cut short"),
    "cut in the middle": (cut(0.5), "cut short"),
    "cut before the manifest": (cut(0.9), "cut short"),
    "empty": (_empty, "is refused"),
    "no archive": (lambda path: path.write_bytes(b"hello" * 1000), "is refused"),
    "a folder": (_folder, "is no file"),
    "a changed member": (swap(b"layerslayers", b"layersLayers"), f"images/{'0' * 64}.tar was changed"),
    "a changed hash": (swap(b'"sha256": "', b'"sha257": "'), "its manifest cannot be read"),
    "a manifest that is no JSON": (swap(b'{\n "files"', b'[\n "files"'), "its manifest cannot be read"),
    "another version": (forge(version=2), "another version of the lab"),
    "another format": (forge(format="x"), "another version of the lab"),
    "a member more": (add("wheels/b"), "wheels/b was added"),
    "a member twice": (add("wheels/empty"), "it has wheels/empty twice"),
    "a path above": (add("../evil"), "it has a member '../evil'"),
    "a path through": (add("images/../../evil"), "it has a member"),
    "a path from the root": (add("/etc/evil"), "it has a member '/etc/evil'"),
    "a folder inside": (add("wheels/.."), "it has a member"),
    "a long path above": (add("../" * 60 + "evil"), "it has a member"),
    "a link": (add("wheels/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "wheels/link is no plain file"),
    "a hard link": (add("wheels/link", type=tarfile.LNKTYPE, linkname="wheels/empty"), "wheels/link is no plain file"),
    "a device": (add("wheels/device", type=tarfile.CHRTYPE), "wheels/device is no plain file"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_bundle_is_refused_in_one_line_before_any_engine_is_asked(
    name: str, path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, words = EDITS[name]
    edit(path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path.parent}/nobody.sock")
    code, out, err = lab("load", str(path))
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_whatever_byte_is_changed_no_member_is_read_with_another_content(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    try:
        content = read(path)
    except UsageError:
        content = dict(FILES)
    finally:
        path.write_bytes(whole)
    assert content == FILES


def test_a_bundle_that_was_written_anew_has_another_fingerprint(path: Path, lab: Lab) -> None:
    with open_bundle(path) as bundle:
        fingerprint = bundle.fingerprint
    assert lab("load", str(path), "--check", "--fingerprint", fingerprint.upper())[0] == 0
    path.unlink()
    write(path, {**FILES, "wheels/empty": b"evil"})
    code, out, err = lab("load", str(path), "--fingerprint", fingerprint)
    assert (code, out) == (2, "")
    assert f"not {fingerprint}; compare it" in err


@pytest.mark.parametrize("about", [{"images": 3}, {"images": [{}]}, {"wheels": 3}, {"images": [{"id": "sha256:1"}]}])
def test_a_manifest_that_describes_nothing_is_refused(about: dict[str, Any], path: Path, lab: Lab) -> None:
    forge(**about)(path)
    code, _, err = lab("load", str(path))
    assert code == 2
    assert "its manifest describes no images" in err
    image = {"id": f"sha256:{'1' * 64}", "names": ["a:b"], "architecture": "amd64", "layers": []}
    forge(images=[image])(path)
    assert f"images/{'1' * 64}.tar is missing" in lab("load", str(path))[2]
