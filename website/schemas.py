"""The schemas: a page for each JSON schema that the lab publishes, with a table for each kind of object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from website import markdown
from website.repository import ROOT

Schema = dict[str, Any]

#: How a bound of a schema is written.
_BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def pages() -> dict[str, str]:
    """Return the page of each schema."""
    paths = sorted((ROOT / "lab" / "schema").glob("*.schema.json"))
    return {
        f"reference/{path.name.partition('.')[0]}-schema.md": _page(
            json.loads(path.read_text("utf-8")), f"../{path.relative_to(ROOT).as_posix()}"
        )
        for path in paths
    }


def _page(schema: Schema, file: str) -> str:
    parts = [f"# {schema['title']}", *_object(schema), f"This page is made from [the schema]({file}) itself."]
    for name, kind in schema["$defs"].items():
        parts += [f"## {name}", *(_object(kind) if "properties" in kind else [_line(kind)])]
    return markdown.page(*parts)


def _object(schema: Schema) -> Iterator[str]:
    """What an object is, and a table of its properties."""
    yield schema.get("description", "")
    rows = list(_rows(schema, ""))
    yield markdown.table(["name", "value", "means"], rows)
    if all(name in schema.get("required", ()) for name in schema["properties"]):
        yield "All of them are there."
    else:
        required = [markdown.code(name) for name in schema.get("required", ())]
        yield f"Always there: {', '.join(required)}." if required else "Each of them may be left out."


def _rows(schema: Schema, prefix: str) -> Iterator[list[str]]:
    """A row for each property; those of an object inside an object have its name before theirs."""
    for name, value in schema["properties"].items():
        yield [markdown.code(prefix + name), _kind(value), value.get("description", "").replace("|", "\\|")]
        if "properties" in value:
            yield from _rows(value, f"{prefix}{name}.")


def _line(schema: Schema) -> str:
    description = schema.get("description", "")
    return f"{_kind(schema)}. {description}".strip()


def _kind(schema: Schema) -> str:
    """What a value may be, in words."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name})"
    choices = schema.get("oneOf") or schema.get("anyOf") or [schema[key] for key in ("then", "else") if key in schema]
    if choices and all("required" not in choice or "type" in choice for choice in choices):
        return " or ".join(dict.fromkeys(_kind(choice) for choice in choices))
    if "const" in schema:
        return markdown.code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(markdown.code(json.dumps(value)) for value in schema["enum"])
    bounds = "".join(f" {words.format(schema[key])}" for key, words in _BOUNDS.items() if key in schema)
    types = schema.get("type", "any value")
    words = " or ".join([types] if isinstance(types, str) else types)
    if "items" in schema:
        return f"{words} of {_kind(schema['items'])}"
    more = schema.get("additionalProperties")
    return f"{words} of {_kind(more)}" if isinstance(more, dict) else words + bounds
