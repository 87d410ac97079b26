"""Inputs for the functions that benchmarks/real_targets.py measures. It travels into the cells beside the packages."""

from __future__ import annotations

import json
import re


def text() -> str:
    """Some 90 kB of words and numbers."""
    return " ".join(f"word{number} {number * 7919 % 1000}.{number % 97}" for number in range(6000))


def json_bytes() -> bytes:
    """Some 40 kB of JSON with many short strings."""
    rows = [{"id": number, "name": f"name {number % 50}", "tags": ["red", "green", "blue"]} for number in range(600)]
    return json.dumps(rows).encode()


def xml_bytes() -> bytes:
    """Some 250 kB of XML."""
    return b"<rows>%s</rows>" % b"".join(b'<row id="%d"><name>some text</name></row>' % row for row in range(6000))


def html_text() -> str:
    """Some 250 kB of HTML."""
    rows = "".join(f"<tr><td>{row}</td><td>some text</td></tr>" for row in range(6000))
    return f"<html><body><table>{rows}</table></body></html>"


def markdown_text() -> str:
    """Some 4 kB of Markdown."""
    return "# A title\n\nSome *text* with a [link](https://example.org) and `code`.\n\n- one\n- two\n\n" * 40


def numbers() -> object:
    """An array of 200,000 numbers in no order."""
    import numpy

    return numpy.random.default_rng(1).random(200_000)


#: A pattern without a match, which is looked for at every place of the text.
WORDS = r"(?:[a-z]+\d+ )+[A-Z]{3}"
STANDARD = re.compile(WORDS)


def __getattr__(name: str) -> object:
    """Objects of other packages, made when they are asked for: not each is there on each build."""
    if name == "REGEX":
        import regex

        return regex.compile(WORDS)
    if name == "MARKDOWN":
        import markdown_it

        return markdown_it.MarkdownIt()
    raise AttributeError(name)
