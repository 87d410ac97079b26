"""A configuration as it was written, with the line of each key. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import UsageError
from lab.planning.toml_lines import Step, line_of


@dataclass(frozen=True, kw_only=True)
class Document:
    """A configuration as it was written."""

    #: The name of the file.
    file: str
    #: Its text.
    text: str
    #: The keys above it in the file: ``tool`` and ``multicore-lab`` in a pyproject.toml.
    above: Sequence[str]
    #: What it says.
    content: Mapping[str, Any]
    #: The folder that its relative paths begin at.
    folder: str

    def line(self, *path: Step) -> int:
        """The line in which a key is set; that of the nearest table above it, if it is not there."""
        return line_of(self.text, (*self.above, *path)) or 1

    def error(self, path: Sequence[Step], what: str, fix: str = "") -> UsageError:
        """An error at a key, which names the file, the line and the key."""
        where = ".".join((*self.above, *(key for key in path if isinstance(key, str))))
        return UsageError(f"{self.file}:{self.line(*path)}: {where or 'the configuration'}: {what}", fix)
