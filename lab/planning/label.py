"""A label: the name that a participant gives a session. Nothing is ever taken from the machine for it."""

from __future__ import annotations

from lab.errors import UsageError

#: The most characters of a label: it stands in a column of a table.
MOST_CHARACTERS = 40


def parse_label(text: str) -> str:
    """The label that a user gave, without the space around it; empty for none.

    Raises UsageError for more than one line, for signs that cannot be printed, and for a long text.
    """
    label = text.strip()
    if not label.isprintable():
        raise UsageError(f"--label {text!r} has signs that cannot be printed", "give a short name, such as anna")
    if len(label) > MOST_CHARACTERS:
        raise UsageError(
            f"--label {label[:20]}… has {len(label)} characters", f"give a name of at most {MOST_CHARACTERS}"
        )
    return label
