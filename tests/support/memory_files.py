"""The kernel's files in memory, where ten thousand trees take a minute."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lab.cell.cpus.kernel_files import KernelFiles


class MemoryFiles(KernelFiles):
    """Files that no file system has: path below the root -> contents."""

    def __init__(self, tree: Mapping[bytes, bytes]) -> None:
        super().__init__("/below")
        self._files = {f"/below/{os.fsdecode(name)}": text for name, text in tree.items()}
        self._folders: dict[str, set[str]] = {}
        for name in self._files:
            while name:
                name, _, inner = name.rpartition("/")
                names = self._folders.setdefault(name or "/", set())
                if inner in names:  # the folders above are known
                    break
                names.add(inner)

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)

    def names(self, folder: str) -> list[str]:
        return sorted(self._folders.get(folder.rstrip("/"), ()))

    def is_folder(self, path: str, *, or_a_link: bool = True) -> bool:
        return path.rstrip("/") in self._folders
