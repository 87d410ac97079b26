"""Functions of parsers that are written in C and in Rust."""

from __future__ import annotations

import json
from typing import Any

TEXT = ("<r>" + "".join(f"<e a='{number}'><f>{number}</f></e>" for number in range(3000)) + "</r>").encode()
DOCUMENT = json.dumps([{"id": number, "name": f"name {number}", "tags": ["a", "b"]} for number in range(2000)]).encode()


def make_parser() -> Any:
    """A parser of lxml."""
    from lxml import etree

    return etree.XMLParser()


def parse_xml(parser: Any) -> int:
    """Parse a document: lxml gives the GIL up, and takes a lock of the parser."""
    from lxml import etree

    return len(etree.fromstring(TEXT, parser))


def parse_json_cached() -> int:
    """Parse JSON with jiter's cache of strings, which all threads share behind a lock."""
    import jiter

    return len(jiter.from_json(DOCUMENT, cache_mode="all"))


def parse_json() -> int:
    """Parse JSON with jiter, without its cache."""
    import jiter

    return len(jiter.from_json(DOCUMENT, cache_mode="none"))
