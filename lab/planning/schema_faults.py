"""What a configuration says that its schema does not allow: the place, the value, and what may stand there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError
from lab.planning.document import Document
from lab.planning.expected import nearest
from lab.planning.toml_lines import Step

if TYPE_CHECKING:
    from jsonschema import ValidationError

#: The commands that measure a target, by the key that names it.
COMMANDS = ("scale", "exec", "run")

#: What is told first where several rules are broken at once: the rest often follows from it.
_ORDER = ("additionalProperties", "enum", "const", "type", "pattern")

#: What may be written, by the pattern that a text has to match.
_MAY_BE = {
    "percent": 'give a share with its unit, such as "5%"',
    "name": "a name of a target has letters without accents, digits, and . _ - inside",
    "variable": "the name of a variable has no = in it",
    "text": "a text has no NUL in it, and at least one character",
}
#: The forms of a value in words, by their types in the schema.
_FORMS = {"string": "a text", "array": "a list", "integer": "a whole number", "number": "a number", "object": "a table"}


def check(document: Document, schema: Mapping[str, Any]) -> None:
    """Raise UsageError for the first thing that the schema does not allow, with the nearest valid key."""
    from jsonschema import Draft202012Validator

    faults = sorted(Draft202012Validator(schema).iter_errors(document.content), key=_rank)
    if faults:
        raise _refusal(document, faults[0], schema)


def _rank(fault: ValidationError) -> tuple[int, int]:
    place = _ORDER.index(str(fault.validator)) if fault.validator in _ORDER else len(_ORDER)
    return place, -len(fault.absolute_path)


def _refusal(document: Document, fault: ValidationError, schema: Mapping[str, Any]) -> UsageError:
    path, value, rule = list(fault.absolute_path), fault.instance, str(fault.validator)
    allowed: Any = fault.validator_value
    if rule == "additionalProperties":
        return _unknown_key(document, path, value, fault.schema, schema)
    if rule in ("enum", "const"):
        choices = [str(choice).lower() for choice in (allowed if rule == "enum" else [allowed])]
        fix = nearest(str(value), choices) or f"take {'one of these' if len(choices) > 1 else 'this'}"
        return document.error(path, f"{_shown(value)} is not {' or '.join(choices)}", fix)
    if rule == "required":
        return document.error(path, fault.message.replace("is a required property", "is missing"), "add it")
    if rule in ("oneOf", "anyOf"):
        return document.error(path, *_alternatives(fault))
    if rule == "minProperties" and len(path) == 2:
        return document.error(path, "the target is empty", f"it needs one of {', '.join(COMMANDS)}")
    if rule in ("minProperties", "minItems"):
        return document.error(path, "it is empty", "write at least one entry, or leave it out")
    if rule in ("pattern", "minLength"):
        kind = fault.schema.get("title", "text")  # type: ignore[union-attr] # a schema of a text is an object
        step: list[Step] = [str(value)] if "propertyNames" in fault.absolute_schema_path else []
        return document.error([*path, *step], f"{_shown(value)} cannot be used", _MAY_BE[str(kind)])
    if rule == "type":
        kinds = [allowed] if isinstance(allowed, str) else list(allowed)
        return document.error(path, f"{_shown(value)} is not {' or '.join(_FORMS[kind] for kind in kinds)}")
    limits = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
    if rule in limits:
        return document.error(path, f"{_shown(value)} cannot be used", f"give {limits[rule]} {allowed}")
    return document.error(path, fault.message)


def _unknown_key(
    document: Document, path: Sequence[Step], value: Any, own_schema: Any, schema: Mapping[str, Any]
) -> UsageError:
    own: Mapping[str, Any] = own_schema["properties"]
    unknown = next(key for key in value if key not in own)
    if len(path) != 2:
        return document.error(
            [*path, unknown], "there is no such key", nearest(unknown, own) or f"there are: {', '.join(own)}"
        )
    commands = [command for command in COMMANDS if command in value]
    if len(commands) > 1:
        fix = "keep one of them"
        return document.error([*path, commands[1]], f"a target has one of {', '.join(COMMANDS)}", fix)
    if commands:
        fix = nearest(unknown, own) or f"there are: {', '.join(own)}"
        return document.error([*path, unknown], f"a target with {commands[0]} has no such key", fix)
    every = [key for command in COMMANDS for key in schema["$defs"][command]["properties"]]
    fix = nearest(unknown, every) or f"a target needs one of {', '.join(COMMANDS)}"
    return document.error([*path, unknown], "there is no such key", "" if fix == f"did you mean {unknown}?" else fix)


def _alternatives(fault: ValidationError) -> tuple[str, str]:
    """What is wrong, and what to do, where none of several forms fits."""
    forms: Any = fault.validator_value
    wanted = [part["required"][0] for part in forms if "required" in part]
    if wanted:
        return f"it needs one of {', '.join(wanted)}", "add one"
    words = list(dict.fromkeys(_form(part) for part in forms))
    value = fault.instance
    if isinstance(value, list):
        deep = min(fault.context or (), key=lambda each: -len(each.absolute_path), default=None)
        bad = deep.instance if deep and deep.absolute_path else value
        return f"{_shown(bad)} in the list cannot be used", f"the value may be {' or '.join(words)}"
    return f"{_shown(value)} cannot be used", f"give {' or '.join(words)}"


def _form(part: Mapping[str, Any]) -> str:
    if "const" in part:
        return f'"{part["const"]}"'
    return _FORMS.get(str(part.get("type", "")), "a text")


def _shown(value: object) -> str:
    """A value as it may be written in TOML, not too long."""
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    return text if len(text) < 60 else f"{text[:57]}…"
