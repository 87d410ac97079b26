"""The published schema describes every JSON document that comes out, and nothing more."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from lab import reports
from tests.support import cells, scripts
from tests.support.terminal import Lab

SCHEMA: dict[str, Any] = json.loads((resources.files("lab") / "schema" / "session.schema.json").read_text("utf-8"))
SESSIONS = scripts.every_kind()


def check(text: str) -> dict[str, Any]:
    """The document, after checking that it is strict JSON and as the schema says."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    document: dict[str, Any] = json.loads(text, parse_constant=refuse)
    Draft202012Validator(SCHEMA).validate(document)
    return document


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [child for part in schema for child in objects(part)]
    if not isinstance(schema, dict):
        return []
    parents = [schema] if "required" in schema else []
    return parents + [child for part in schema.values() for child in objects(part)]


def test_every_property_that_the_schema_lists_is_required_and_no_other_is_allowed() -> None:
    schemas = objects(SCHEMA)
    assert len(schemas) > 10
    for schema in schemas:
        assert schema["additionalProperties"] is False
        assert sorted(schema["required"]) == sorted(schema["properties"])


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_of_every_kind_is_as_the_schema_says(name: str) -> None:
    document = check(reports.render(SESSIONS[name], "json"))
    assert len(document["cells"]) == len(SESSIONS[name].results)
    assert len(document["verdicts"]) == len(SESSIONS[name].judgements)


def test_the_sessions_of_every_kind_leave_no_status_and_no_verdict_out() -> None:
    results = [result for session in SESSIONS.values() for result in session.results]
    judgements = [judgement for session in SESSIONS.values() for judgement in session.judgements]
    assert {result.status.value for result in results} == set(SCHEMA["$defs"]["cell"]["properties"]["status"]["enum"])
    assert {judgement.verdict.value for judgement in judgements} == set(SCHEMA["$defs"]["kind"]["enum"])


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another version": lambda document: document.update(schema=2),
    "a property too many": lambda document: document["session"].update(colour="red"),
    "a property too few": lambda document: document["cells"][0].pop("proof"),
    "an unknown status": lambda document: document["cells"][0].update(status="fine"),
    "an error without a reason": lambda document: document["cells"][0].update(status="error"),
    "a measurement with a reason": lambda document: document["cells"][0].update(reason="because"),
    "an unknown verdict": lambda document: document["verdicts"][0].update(verdict="maybe"),
    "half an interval": lambda document: document["verdicts"][0]["evidence"].update(interval=[1.0]),
    "a surprise that was expected": lambda document: document["verdicts"][0].update(surprise=True, expected=None),
    "CPUs twice": lambda document: document["cells"][0].update(cpus=[0, 0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_as_the_schema_says_is_refused(change: str) -> None:
    document = json.loads(reports.render(SESSIONS["expected"], "json"))
    CHANGES[change](document)
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(document)


@pytest.mark.slow
def test_what_the_local_engine_measures_is_as_the_schema_says(lab: Lab) -> None:
    sizes = "1" if len(cells.CPUS) == 1 else "1,2"
    code, out, err = lab.run("pipe", "pool", "--engine", "local", "--cpus", sizes + ",999", "--format", "json")
    document = check(out)
    assert code == 0, err
    assert [cell["status"] for cell in document["cells"]][-1] == "unavailable"
    assert document["session"]["engine"] == "local"
    assert document["cells"][0]["proof"]["before"]["affinity"] == list(cells.CPUS[:1])


@pytest.mark.engine
def test_what_a_container_measures_is_as_the_schema_says(lab: Lab, image: str) -> None:
    code, out, err = lab.run(
        "gil", "pipe", "--engine", "docker", "--image", image, "--cpus", "1", "--time-limit", "0.5", "--format", "json"
    )
    document = check(out)
    assert code == 0, err
    assert document["session"]["image"] == image
    assert document["cells"][0]["cores"]
