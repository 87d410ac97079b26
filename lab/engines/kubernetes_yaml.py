"""Objects of Kubernetes as YAML, which people read and kubectl takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lab.errors import MissingExtraError

if TYPE_CHECKING:
    from yaml import SafeDumper, ScalarNode

#: What needs no quotes, unless it is one of the words below. Every other string has them: what is a string to PyYAML,
#: which reads YAML 1.1, may be a number to kubectl, such as 12e4567.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9./_-]*")
_TRUTH_VALUES = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])


def document(value: Mapping[str, Any]) -> str:
    """The value as a document that begins with ``---``. Raises MissingExtraError without PyYAML."""
    try:
        import yaml  # here: only this needs it
    except ModuleNotFoundError as error:
        raise MissingExtraError("Jobs of Kubernetes", "kubernetes", error) from error

    class Dumper(yaml.SafeDumper):
        """Writes everything where it stands, also what stands there twice."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    Dumper.add_representer(str, _represented)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, explicit_start=True, allow_unicode=True, width=10_000)


def _represented(dumper: SafeDumper, text: str) -> ScalarNode:
    """A word as it is, several lines of printable text below a ``|``, and every other string in quotes."""
    is_word = _WORD.fullmatch(text) and text.lower() not in _TRUTH_VALUES
    lines = text.split("\n")
    stands_alone = len(lines) > 1 and all(map(str.isprintable, lines))
    style = None if is_word else "|" if stands_alone else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
