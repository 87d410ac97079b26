"""The user's code on an engine that does not see this machine's folders: each folder is a volume there.

What is hidden, made by Python, or a virtual environment is not sent: cells run the packages of their image. The volumes
carry the label of the session, and are removed at its end with everything else.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lab.containers.cleanup import remove_container
from lab.containers.client import SESSION_LABEL, translated
from lab.containers.container import OTHER_PROJECT, PROJECT, create_container, isolated_host_config, volume_mount
from lab.containers.owner import OWNER_LABEL, own
from lab.errors import UsageError
from lab.text import units

if TYPE_CHECKING:
    from docker.types import Mount

    from docker import DockerClient

#: The most bytes of a folder: its archive is in memory.
_MOST_BYTES = 100 * 2**20
#: Folders that no cell needs.
_LEFT_OUT = ("__pycache__", "node_modules")


class SentCode:
    """Sends each folder of the user's once, when a cell first needs it."""

    def __init__(self, client: DockerClient, image: str, session: str, key: str, note: Callable[[str], None]) -> None:
        """``key`` keeps the volumes of several engines of a session apart, and ``note`` takes lines for the user."""
        self._client, self._image, self._session, self._note = client, image, session, note
        self._name = f"multicore-lab-{session}-code{key and '-'}{key}"
        self._lock = threading.Lock()
        self._volumes: dict[str, str] = {}  # folder here -> its volume there

    def mounts(self, folder: str, other: str) -> list[Mount]:
        """What makes a folder, and another one if there is one, readable in a cell.

        Raises UsageError for a folder that is too large, CellError where the engine refuses it, and EngineError.
        """
        places = [(PROJECT, folder), *([(OTHER_PROJECT, other)] if other else [])]
        with self._lock:
            return [volume_mount(place, self._volume(each), read_only=True) for place, each in places]

    def _volume(self, folder: str) -> str:
        if folder not in self._volumes:
            archive = _archive(Path(folder))
            self._note(f"sending the folder {folder}, {units.size(len(archive))} …")
            self._volumes[folder] = self._sent(archive, f"{self._name}-{len(self._volumes)}")
        return self._volumes[folder]

    def _sent(self, archive: bytes, volume: str) -> str:
        """A new volume with the files of an archive."""
        host = isolated_host_config(1) | {"mounts": [volume_mount(PROJECT, volume, read_only=False)]}
        with translated("sending the code to the host"):
            self._client.api.create_volume(name=volume, labels={SESSION_LABEL: self._session, OWNER_LABEL: own()})
            labels = {SESSION_LABEL: self._session}
            # It is never started.
            container = create_container(self._client, self._image, ["true"], host, labels=labels)["Id"]
            try:
                self._client.api.put_archive(container, PROJECT, archive)
            finally:
                remove_container(self._client, container)
        return volume


def _archive(folder: Path) -> bytes:
    """A tar archive of a folder's files, which everybody may read.

    Raises UsageError for a folder that is too large, and for a file that cannot be read.
    """
    memory = io.BytesIO()
    with tarfile.TarFile(fileobj=memory, mode="w") as archive:
        for path in _files(folder):
            try:
                _add(archive, path, str(path.relative_to(folder)))
            except OSError as error:
                raise UsageError(f"{path} cannot be sent to a host: {error.strerror}", "make it readable") from error
            if memory.tell() > _MOST_BYTES:
                raise UsageError(
                    f"the folder {folder} has more than {units.size(_MOST_BYTES)}, which is too much to send to a host",
                    "name a smaller folder with --project",
                )
    return memory.getvalue()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a regular file or a link. Raises OSError."""
    entry = archive.gettarinfo(path, name)
    entry.uid = entry.gid = 0
    entry.mode |= 0o444
    if entry.isreg():
        with path.open("rb") as file:
            archive.addfile(entry, file)
    elif entry.issym():
        archive.addfile(entry)


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder, at any depth, in the order of their names, and the links to folders.

    A link is sent as a link: what it names in the folder is sent at its own place.
    """
    for parent, folders, names in os.walk(folder):
        inner = [name for name in folders if not name.startswith(".") and name not in _LEFT_OUT]
        folders[:] = sorted(name for name in inner if not (Path(parent) / name / "pyvenv.cfg").is_file())
        links = [name for name in folders if (Path(parent) / name).is_symlink()]  # they are not walked into
        yield from (Path(parent) / name for name in sorted([*names, *links]) if not name.startswith("."))
