"""The kernel's files below a root. None of them is trusted to be there, or whole; reading never fails."""

from __future__ import annotations

import os
import posixpath
from typing import List, Optional, Union


class KernelFiles:
    """The files below a folder, which stands in for ``/``. Every path begins with that folder."""

    def __init__(self, root: str = "/") -> None:
        self.root = root

    @property
    def are_of_this_process(self) -> bool:
        """Whether ``proc/self`` is the process that asks, so that the system can be asked as well."""
        return self.root == "/"

    def read(self, path: str) -> Optional[bytes]:
        """What stands in a file; ``None`` where it cannot be read, whatever the reason."""
        try:
            with open(path, "rb") as stream:
                return stream.read()
        except (OSError, ValueError):  # ValueError: a NUL in the name, which came out of a damaged file
            return None

    def names(self, folder: str) -> List[str]:
        """The names in a folder, sorted; none where it cannot be read."""
        try:
            return sorted(os.listdir(folder))
        except (OSError, ValueError):
            return []

    def is_folder(self, path: str, *, or_a_link: bool = True) -> bool:
        """Whether a folder is there, which may be reached by a link."""
        try:
            return os.path.isdir(path) and (or_a_link or not os.path.islink(path))
        except ValueError:
            return False

    def path(self, *parts: str) -> str:
        """The path of a file or folder below the root."""
        return posixpath.join(self.root, *parts)

    def text(self, path: str) -> Optional[str]:
        """The text of a file, without blanks around it; ``None`` where it cannot be read."""
        content = self.read(path)
        return None if content is None else content.decode("utf-8", "replace").strip()

    def lines(self, path: str) -> List[str]:
        """The lines of a file that names groups and folders; none where it cannot be read.

        A name may have any byte but a slash and a newline, also blanks at its end, and bytes that are no text.
        """
        content = self.read(path)
        return [] if content is None else os.fsdecode(content).split("\n")


#: A folder that stands in for ``/``, or the files below it.
Root = Union[str, KernelFiles]


def files_below(root: Root) -> KernelFiles:
    """The files below that root."""
    return root if isinstance(root, KernelFiles) else KernelFiles(root)


def read_text(path: str) -> Optional[str]:
    """The text of a file of this machine, without blanks around it; ``None`` where it cannot be read."""
    return KernelFiles().text(path)
