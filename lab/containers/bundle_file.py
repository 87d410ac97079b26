"""The file of a bundle: a tar archive whose manifest has the size and the hash of every other member.

The manifest comes last, because images are written as the engine sends them. A file that was cut short has none. A
person who edits a bundle can also write a new manifest, so a bundle has a fingerprint, to be compared by other means.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lab.containers.exception_words import NONSENSE
from lab.errors import StoreError, UsageError
from lab.system import open_file

MANIFEST = "manifest.json"
#: What the manifest says of itself.
_FORMAT, _VERSION = "multicore-lab-bundle", 1
#: The names that members have: none of them leads outside of the folder in which the archive is unpacked.
_NAMES = re.compile(r"(images|wheels)/[A-Za-z0-9][A-Za-z0-9._+-]*")
#: The largest manifest that is read, in bytes. That of all builds and of all wheels takes some kilobytes.
_MOST_MANIFEST = 2**20
#: How many bytes are read at a time.
_PIECE = 2**20
#: When every member was written, in seconds since 1970: the same members give the same bytes.
_WRITTEN = 315532800  # 1980

_AGAIN = "make it, or copy it, again"


class BundleWriter:
    """Writes a new bundle; use as a context manager. A bundle that was not finished is removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, dict[str, Any]] = {}
        self._finished = False

    def __enter__(self) -> BundleWriter:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        try:
            self._file = os.fdopen(open_file(self._path, flags, follow=False), "w+b")
        except FileExistsError as error:
            raise UsageError(f"{self._path} is there already", "remove it, or name another file") from error
        except OSError as error:
            raise UsageError(f"cannot write {self._path}: {error.strerror}", "name another file") from error
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):  # a full disk has been told already
            self._file.close()
        if not self._finished:
            self._path.unlink(missing_ok=True)

    def add(self, name: str, pieces: Iterable[bytes]) -> int:
        """Write a member, piece by piece. Returns its size in bytes. Raises StoreError, and what ``pieces`` raises."""
        digest, size, start = hashlib.sha256(), 0, self._file.tell()
        self._write(_header(name, 0))  # until the size is known
        for piece in pieces:
            self._write(piece)
            digest.update(piece)
            size += len(piece)
        self._write(bytes(-size % tarfile.BLOCKSIZE))
        end = self._file.tell()
        self._file.seek(start)
        self._write(_header(name, size))
        self._file.seek(end)
        self._files[name] = {"bytes": size, "sha256": digest.hexdigest()}
        return size

    def add_file(self, name: str, path: Path) -> int:
        """Write a file as a member. Returns its size in bytes. Raises StoreError."""
        with path.open("rb") as file:
            return self.add(name, iter(lambda: file.read(_PIECE), b""))

    def finish(self, about: Mapping[str, Any]) -> str:
        """Write the manifest, with what it says besides the files. Returns the fingerprint. Raises StoreError."""
        manifest = {"format": _FORMAT, "version": _VERSION, **about, "files": dict(self._files)}
        text = json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"
        self.add(MANIFEST, [text])
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritten(error) from error
        self._finished = True
        return _fingerprint(text)

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(content)
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> StoreError:
        return StoreError(f"cannot write {self._path}: {error.strerror}", "name a file on a disk with room")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An open bundle, in which every member is as it was written."""

    #: The path of the file.
    path: Path
    #: The manifest.
    about: Mapping[str, Any]
    #: The hash of the manifest, which stands for the whole bundle.
    fingerprint: str
    #: The open file.
    file: BinaryIO
    #: Where each member is: its name -> the first byte and the number of bytes.
    places: Mapping[str, tuple[int, int]]

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of a member, in pieces."""
        yield from _pieces(self.file, *self.places[name])


@contextlib.contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """A bundle to read, after every hash was checked. Raises UsageError for a file that is none, or no longer is."""
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no file", "name the file that lab bundle has written")
        with path.open("rb") as file:
            yield _checked(path, file)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", _AGAIN) from error


def _checked(path: Path, file: BinaryIO) -> Bundle:
    """The bundle in a file. Raises UsageError."""
    try:
        places, hashes = _members(file)
    except (_NotWritten, tarfile.TarError) as error:
        raise UsageError(f"{path} is refused: {error}", _AGAIN) from error
    if MANIFEST not in places:
        raise UsageError(f"{path} is refused: it has no manifest, so it was cut short, or is no bundle", _AGAIN)
    text = b"".join(_pieces(file, places[MANIFEST][0], min(places[MANIFEST][1], _MOST_MANIFEST)))
    try:
        about = json.loads(text)
        if about["format"] != _FORMAT or about["version"] != _VERSION:
            raise UsageError(f"{path} is a bundle of another version of the lab", "load it with that version")
        written = {name: (entry["bytes"], entry["sha256"]) for name, entry in about["files"].items()}
    except (*NONSENSE, RecursionError) as error:
        raise UsageError(f"{path} is refused: its manifest cannot be read", _AGAIN) from error
    for name in sorted(written.keys() | hashes.keys() - {MANIFEST}):
        problem = _problem(written.get(name), (places[name][1], hashes[name]) if name in places else None)
        if problem:
            raise UsageError(f"{path} is refused: {name} {problem}", _AGAIN)
    return Bundle(path=path, about=about, fingerprint=_fingerprint(text), file=file, places=places)


def _problem(written: tuple[int, str] | None, read: tuple[int, str] | None) -> str | None:
    """Why a member is not as it was written; ``None`` if it is. Both are its size and its hash."""
    if read is None:
        return "is missing"
    if written is None:
        return "was added: the manifest does not name it"
    return None if read == written else "was changed: its SHA-256 is not that of the manifest"


class _NotWritten(Exception):
    """An archive has what no bundle has."""


def _members(file: BinaryIO) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Where the members of an archive are, and their hashes. Raises TarError, and _NotWritten."""
    places: dict[str, tuple[int, int]] = {}
    hashes: dict[str, str] = {}
    archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - it is part of the file, which the caller closes
    while info := archive.next():
        name = info.name
        if name != MANIFEST and not _NAMES.fullmatch(name):
            raise _NotWritten(f"it has a member {name[:80]!r}, and a bundle's are in images/ and wheels/")
        if not info.isreg() or info.issparse():
            raise _NotWritten(f"its member {name} is no plain file")
        if name in places:
            raise _NotWritten(f"it has {name} twice")
        digest, size = hashlib.sha256(), 0
        for piece in _pieces(file, info.offset_data, info.size):
            digest.update(piece)
            size += len(piece)
        if size < info.size:
            raise _NotWritten(f"it was cut short in {name}")
        places[name], hashes[name] = (info.offset_data, info.size), digest.hexdigest()
        archive.members.clear()  # type: ignore[attr-defined] # tarfile keeps them all
    return places, hashes


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    """So many bytes of a file, in pieces; fewer where the file ends."""
    file.seek(start)
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


def _header(name: str, size: int) -> bytes:
    """The header of a member. Its length depends on the name alone."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = size, _WRITTEN
    return info.tobuf(tarfile.GNU_FORMAT)


def _fingerprint(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()
