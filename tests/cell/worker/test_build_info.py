"""How a build was compiled, as it says itself, and where that is recorded."""

from __future__ import annotations

import json
import sys
import sysconfig
from typing import Any

import pytest

from lab import engines
from lab.cell.worker import build_info
from lab.engines.docker import connect

#: As in a Makefile of CPython 3.13.
KNOWN: dict[str, Any] = {
    "Py_GIL_DISABLED": 0,
    "Py_DEBUG": 0,
    "PY_CFLAGS": "-fno-strict-overflow -Wsign-compare -DNDEBUG -g -O3 -Wall",
    "PY_CFLAGS_NODIST": "-std=c11 -fvisibility=hidden  -I./Include/internal",
    "CONFIG_ARGS": "'--prefix=/usr'  '--enable-shared'",
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, {"gil_at_build": True, "optimisation": "O3", "debug": False, "by_profile": None, "link_time": None}),
        ({"Py_GIL_DISABLED": 1}, {"gil_at_build": False}),
        ({"Py_DEBUG": 1}, {"debug": True}),
        ({"PY_CFLAGS_NODIST": "-g -fwrapv -O2"}, {"optimisation": "O2"}),
        ({"PY_CFLAGS": "-Og -Wall"}, {"optimisation": "Og"}),
        ({"PY_CFLAGS": "-Wall -DNAME=-O1"}, {"optimisation": None}),
        ({"PY_CFLAGS_NODIST": "-flto=auto -g"}, {"link_time": True}),
        ({"CONFIG_ARGS": "'--enable-optimizations' '--with-lto'"}, {"by_profile": True, "link_time": True}),
        ({"CONFIG_ARGS": None, "PY_CFLAGS": None}, {"configure": "", "optimisation": None}),
    ],
    ids=["usual", "no GIL", "debug", "the last -O counts", "-Og", "not a level", "LTO", "PGO", "nothing recorded"],
)
def test_what_the_makefile_says_is_read(changed: dict[str, Any], expected: dict[str, Any]) -> None:
    build = build_info._from({**KNOWN, **changed})
    assert {name: build[name] for name in expected} == expected


def test_long_flags_leave_room_in_the_record() -> None:
    build = build_info._from({**KNOWN, "CONFIG_ARGS": "'-x' " * 5000, "PY_CFLAGS": "-g " * 5000})
    assert len(json.dumps(build)) < 4096


def test_without_its_makefile_a_python_still_says_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, Any]:
        raise ModuleNotFoundError("No module named '_sysconfigdata__linux_'")

    monkeypatch.setattr(sysconfig, "get_config_vars", missing)
    build = build_info.describe()
    assert build["gil_at_build"] is ("t" not in sys.abiflags)
    assert build["optimisation"] is None


def test_the_probe_of_the_local_engine_says_how_this_python_was_compiled() -> None:
    engine = engines.make("local")
    try:
        build = engine.probe().details["build"]
    finally:
        engine.close()
    assert isinstance(build, dict)
    assert build == build_info.describe()


@pytest.mark.engine
def test_the_probe_of_the_docker_engine_says_how_the_image_was_compiled(image: str) -> None:
    engine = connect(image=image)
    try:
        build = engine.probe().details["build"]
    finally:
        engine.close()
    assert build["gil_at_build"] is True
    assert build["optimisation"]
